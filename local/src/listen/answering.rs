//! How one request of a client is answered: when there is a place for it, and with what becomes of its body.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::Body;
use splitway_core::problem::Problem;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::attendance::Presence;
use super::body::{Attended, ClientBody, News, Source};
use super::conversation::{Host, Site};

/// How much is read, and for how long, of a body that nobody wants, so that its connection can go on.
const LEFT_MAX: u64 = 64 * 1024;
const LEFT_TIME: Duration = Duration::from_secs(1);

/// Has the site answer a request, unless there is no place for it or its body does not come.
pub(super) async fn attend<S: Site>(
    host: &Host<S>,
    client: IpAddr,
    mut presence: Presence,
    parts: Box<Parts>,
    incoming: Source,
) -> Response<Attended<S::Body>> {
    let is_http2 = parts.version == Version::HTTP_2;
    let refused = match &host.limits.gate {
        None => None,
        Some(gate) => pass(gate, host.limits.wait, &mut presence).await.err(),
    };
    let mut response = match refused {
        Some(problem) => S::whole(host.site.refuse(problem)),
        None => answer(host, client, parts, incoming).await,
    };
    if !is_http2 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        if presence.is_draining() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        } else if response.headers().contains_key(CONNECTION) {
            presence.end();
        }
    }
    response.map(|body| Attended::new(body, presence))
}

/// Takes a place among the requests under way.
async fn pass(
    gate: &Arc<Semaphore>,
    wait: Duration,
    presence: &mut Presence,
) -> Result<(), Problem> {
    let place = match Arc::clone(gate).try_acquire_owned() {
        Ok(place) => Ok(place),
        Err(_) => match timeout(wait, Arc::clone(gate).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Problem::Overloaded),
        },
    };
    presence.place = Some(place?);
    Ok(())
}

async fn answer<S: Site>(
    host: &Host<S>,
    client: IpAddr,
    parts: Box<Parts>,
    incoming: Source,
) -> Response<S::Body> {
    let is_http2 = parts.version == Version::HTTP_2;
    let has_to_be_asked = !incoming.is_end_stream() && parts.headers.contains_key(EXPECT);
    let (body, told) = ClientBody::new(incoming, host.limits.body);
    // In one place: a future that is moved is there twice, and this is a large one.
    let mut answering = pin!(host.site.answer(client, parts, body));
    let Some(mut told) = told else { return answering.await };
    let mut left = None;
    let response = loop {
        tokio::select! {
            biased;
            Ok(news) = &mut told, if left.is_none() => match news {
                News::Stalled => return last(S::whole(host.site.refuse(Problem::RequestTimeout))),
                News::Left(rest) => left = Some(rest),
            },
            response = answering.as_mut() => break response,
        }
    };
    if left.is_none()
        && let Ok(News::Left(rest)) = told.try_recv()
    {
        left = Some(rest);
    }
    // HTTP/2 ends the request alone. Who waits to be asked for a body is not asked for one in vain.
    let goes_on = match left.filter(|_| !is_http2) {
        Some(rest) => !has_to_be_asked && drained(rest).await,
        None => true,
    };
    if goes_on { response } else { last(response) }
}

/// Reads the rest of a body that nobody wants, and whether that was done: the connection can go on then.
/// Otherwise it has to end, and the client is to know before it sends another request on it.
async fn drained(mut rest: Source) -> bool {
    let mut left = LEFT_MAX;
    if rest.size_hint().lower() > left {
        return false;
    }
    let draining = async {
        while let Some(frame) = rest.frame().await {
            let Ok(frame) = frame else { return false };
            let count = frame.data_ref().map_or(0, |data| data.len());
            let Some(less) = left.checked_sub(u64::try_from(count).unwrap_or(u64::MAX)) else {
                return false;
            };
            left = less;
        }
        true
    };
    timeout(LEFT_TIME, draining).await.unwrap_or(false)
}

/// The same answer, behind which the connection is closed.
pub(crate) fn last<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
