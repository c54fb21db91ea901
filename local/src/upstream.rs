//! One attempt: the request to a node, until the head of its response is there.
//!
//! Connections are kept in a `pool` for each thread: a `link` takes one HTTP/1.1 request after the other
//! and is driven by whoever has it, a `channel` takes many HTTP/2 requests at once. What comes back flows
//! through `flow`, which holds the connection until the response is at its end.

mod channel;
mod flow;
mod h1;
mod link;
mod place;
mod pool;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{Either, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use splitway_core::exchange::Attempt;
use splitway_core::problem::Failure;
use tokio::time::timeout;

use self::channel::Channel;
pub(crate) use self::flow::{Flow, Received};
use self::link::Link;
pub(crate) use self::link::Switched;
use self::place::{Place, Road};
use self::pool::Pool;
use crate::connect::Connector;
use crate::failure;
use crate::listen::{CanSwitch, ClientBody};
use crate::message::{has_unknown_coding, multiplexed_headers, multiplexed_uri, say_length};
use crate::platform::RequestHead;
use crate::trace::Going;

/// How many connections of the pool may turn out to be closed before a new one is made.
const STALE_MAX: u32 = 2;

/// The body of a request: as it comes from the client, or bytes of our own.
pub(crate) type Upload = Either<ClientBody, Full<Bytes>>;

/// The connections of one thread to all upstreams.
#[derive(Debug)]
pub(crate) struct Upstreams {
    connector: Arc<Connector>,
    pool: Arc<Pool>,
}

/// Why a request has no response.
struct Unsent {
    failure: Failure,
    /// The body, if nothing of the request was sent.
    body: Option<Upload>,
    /// Whether it was sent, and the node says that it did nothing with it.
    is_refused: bool,
}

impl Unsent {
    fn of(mut error: TrySendError<Request<Upload>>) -> Self {
        let body = error.take_message().map(Request::into_body);
        let is_refused = failure::is_refused(error.error());
        Self { failure: failure::name_sent(error.error()), body, is_refused }
    }
}

impl From<Failure> for Unsent {
    fn from(failure: Failure) -> Self {
        Self { failure, body: None, is_refused: false }
    }
}

impl Upstreams {
    /// Belongs to the runtime that it is made in.
    pub(crate) fn new(connector: Connector) -> Self {
        let pool = Arc::new(Pool::default());
        Pool::have_swept(&pool);
        Self { connector: Arc::new(connector), pool }
    }

    /// What makes their connections.
    pub(crate) fn connector(&self) -> Arc<Connector> {
        Arc::clone(&self.connector)
    }

    /// Makes the attempt. Dropping the future cancels it: the connection is closed, or the stream reset.
    pub(crate) async fn send(
        &self,
        attempt: &Attempt<'_>,
        head: &RequestHead,
        body: Upload,
        trace: Option<&Going>,
    ) -> Result<Received, Failure> {
        let progress = match &body {
            Either::Left(_) => head.progress(),
            Either::Right(_) => None,
        };
        let wish = wish(attempt, head);
        let sent = self.send_on(Outgoing { attempt, head, wish, trace }, body).await;
        // What becomes of a connection on which the body broke off says nothing of the node.
        sent.map_err(|failure| match progress {
            Some(progress) if progress.is_broken() => Failure::HttpRequestError,
            Some(progress) if progress.is_too_long() => Failure::RequestBodyTooLong,
            Some(_) | None => failure,
        })
    }

    async fn send_on(&self, outgoing: Outgoing<'_>, mut body: Upload) -> Result<Received, Failure> {
        let attempt = outgoing.attempt;
        let place = self.pool.place(attempt);
        let can_repeat = can_repeat(attempt, &body);
        let mut spare = spare(&body);
        let mut stale_count = 0;
        loop {
            let (road, is_kept) = self.road(&place, outgoing, stale_count < STALE_MAX).await?;
            let sent = match road {
                Road::Link(link) => send_alone(link, &place, outgoing, body).await,
                Road::Channel(channel) => send_along(channel, &place, outgoing, body).await,
            };
            match sent {
                Ok(received) => return Ok(received),
                // It was closed while nobody looked,
                Err(Unsent { body: Some(unsent), .. }) if is_kept => {
                    body = unsent;
                    stale_count += 1;
                }
                // or at that very moment.
                Err(Unsent {
                    failure: Failure::ConnectionTerminated, is_refused: false, ..
                }) if is_kept && can_repeat => {
                    body = Either::Right(Full::default());
                    stale_count = STALE_MAX;
                }
                // Nothing was executed: it goes to the same node once more, on a connection of its own
                // making, and then elsewhere, whatever it asks for.
                Err(Unsent { is_refused: true, .. }) => match spare.take() {
                    Some(spare) => {
                        body = Either::Right(spare);
                        stale_count = STALE_MAX;
                    }
                    None => return Err(Failure::DestinationUnavailable),
                },
                Err(unsent) => return Err(unsent.failure),
            }
        }
    }

    /// A connection to send on, and whether it was there already; `can_be_kept` says whether it may.
    async fn road(
        &self,
        place: &Place,
        Outgoing { attempt, wish, .. }: Outgoing<'_>,
        can_be_kept: bool,
    ) -> Result<(Road, bool), Failure> {
        let kept = match can_be_kept {
            true => place.take(attempt.keepalive, wish.is_some()),
            false => None,
        };
        if let Some(road) = kept {
            return Ok((road, true));
        }
        let opening = place.open(&self.connector, attempt.keepalive, wish.is_some());
        let opened = timeout(attempt.timeouts.connect, opening).await;
        Ok((opened.unwrap_or(Err(Failure::ConnectionTimeout))?, false))
    }
}

/// The body once more, if all of it is in hand.
fn spare(body: &Upload) -> Option<Full<Bytes>> {
    match body {
        Either::Right(bytes) => Some(bytes.clone()),
        Either::Left(client) => client.is_end_stream().then(Full::default),
    }
}

/// Whether a request may be sent again where a kept connection was closed while it was sent, though the
/// node may have had it (RFC 9112, section 9.3.1).
fn can_repeat(attempt: &Attempt<'_>, body: &Upload) -> bool {
    let method = Method::from_bytes(attempt.method.as_bytes());
    body.is_end_stream() && method.is_ok_and(|method| method.is_idempotent())
}

/// The protocol that the client wishes to speak in place of HTTP/1.1, if that may be (RFC 9110, section
/// 7.8). HTTP/2 in the clear is not among them: whoever speaks it is beyond all rules of the route.
fn wish<'h>(attempt: &Attempt<'_>, head: &'h RequestHead) -> Option<&'h HeaderValue> {
    let parts = head.parts();
    let protocol = parts.headers.get(UPGRADE).filter(|_| attempt.upgrades)?;
    let is_nominated = parts.headers.get_all(CONNECTION).iter().any(|names| {
        let mut names = names.as_bytes().split(|byte| *byte == b',');
        names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    let is_http = protocol.as_bytes().to_ascii_lowercase().starts_with(b"h2");
    let can = is_nominated && !is_http && !attempt.scheme.is_grpc();
    (can && parts.extensions.get::<CanSwitch>().is_some()).then_some(protocol)
}

/// Whether a response over HTTP/2 can be relayed.
fn is_sound(response: &Response<Incoming>) -> bool {
    let is_switch = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    !is_switch && !has_unknown_coding(response.headers())
}

/// What is to be sent, but for its body.
#[derive(Clone, Copy)]
struct Outgoing<'o> {
    attempt: &'o Attempt<'o>,
    head: &'o RequestHead,
    wish: Option<&'o HeaderValue>,
    /// What the node is to know of the trace.
    trace: Option<&'o Going>,
}

impl Outgoing<'_> {
    /// As HTTP/2 has it.
    fn of_channel(self, body: Upload) -> Result<Request<Upload>, Failure> {
        let uri = multiplexed_uri(self.attempt).map_err(|_| Failure::DestinationUnavailable)?;
        let mut headers = multiplexed_headers(&self.head.parts().headers, self.attempt);
        if let Either::Right(bytes) = &body {
            say_length(&mut headers, bytes.size_hint().lower());
        }
        if let Some(trace) = self.trace {
            trace.write(&mut headers);
        }
        let method = Method::from_bytes(self.attempt.method.as_bytes());
        let mut request = Request::new(body);
        *request.method_mut() = method.map_err(|_| Failure::HttpRequestError)?;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// Has a connection of its own take the request.
async fn send_alone(
    mut link: Box<Link>,
    place: &Arc<Place>,
    outgoing: Outgoing<'_>,
    body: Upload,
) -> Result<Received, Unsent> {
    let response = link.send(outgoing, body).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let response = response.map(|()| Flow::empty());
        return Ok(Received { response, switched: Some(Box::new(link.switch())) });
    }
    let keepalive = *outgoing.attempt.keepalive;
    let flow = |()| Flow::of_link(link, Arc::clone(place), keepalive);
    Ok(Received { response: response.map(flow), switched: None })
}

/// Has a connection take the request that others share.
async fn send_along(
    mut channel: Channel,
    place: &Place,
    outgoing: Outgoing<'_>,
    body: Upload,
) -> Result<Received, Unsent> {
    match channel.send(outgoing.of_channel(body)?).await {
        // HTTP/2 has neither codings of its own nor another protocol to go on with.
        Ok((response, _)) if !is_sound(&response) => Err(Failure::HttpProtocolError.into()),
        Ok((response, lease)) => {
            let flow = |incoming| Flow::of_channel(incoming, lease);
            Ok(Received { response: response.map(flow), switched: None })
        }
        Err(unsent) => {
            if unsent.body.is_some() || unsent.is_refused {
                place.let_go(&channel);
            }
            Err(unsent)
        }
    }
}
