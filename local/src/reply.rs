//! Responses to clients: an upstream's relayed, or one of our own.

mod body;
mod metered;
mod tunnel;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode, Version};
use http_body_util::{Either, Full};
use splitway_core::exchange::{Exchange, Relay};
use splitway_core::head::{Changes, Head};
use splitway_core::platform::Platform;
use splitway_core::problem::{Answer, Problem};
use splitway_core::serve::{Reply, serve, shadow};
use splitway_core::telemetry::Record;

use self::body::Relayed;
use self::metered::Metered;
pub(crate) use self::tunnel::{Handover, Tunnel};
use crate::access::Entry;
use crate::door::Door;
use crate::listen::{ClientBody, Edited, Site, last};
use crate::message::{change, strip, takes_trailers};
use crate::platform::{Effects, RequestHead};
use crate::upstream::Received;

/// The body of a response: streamed from an upstream, or whole. The former is in a box because it is handed on
/// from one to the next some fifteen times.
pub(crate) type ReplyBody = Either<Box<Relayed>, Full<Bytes>>;

impl Edited for ReplyBody {
    fn edits(&mut self) -> Option<Changes> {
        match self {
            Either::Left(relayed) => relayed.edits.take(),
            Either::Right(_) => None,
        }
    }
}

/// The traffic of one thread as what a listener serves.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) effects: Arc<Effects>,
    pub(crate) door: Door,
}

impl Traffic {
    /// The answer to a request that came from `client`, if that is known.
    pub(crate) async fn reply(
        &self,
        client: Option<IpAddr>,
        parts: Box<Parts>,
        body: ClientBody,
    ) -> Response<ReplyBody> {
        let mut head = RequestHead::new(parts, client, self.door, &self.effects.fronts);
        head.precede(&body);
        if let Some(tracer) = &self.effects.tracer {
            head.trace(tracer);
        }
        let mut served = serve(&*self.effects, &head, Either::Left(body)).await;
        if let Some(copy) = served.shadow {
            let (effects, head) = (Arc::clone(&self.effects), head.clone());
            tokio::spawn(async move { shadow(&*effects, &head, copy).await });
        }
        if let Reply::Own(answer, _) = &served.reply
            && head.method() != "HEAD"
        {
            served.entry.sent(answer.body.len());
        }
        match served.reply {
            Reply::Relay(received, how) => {
                let response = relay(&self.effects, &head, received, how, served.entry);
                head.leave();
                response
            }
            // What follows a request that HTTP forbids is not to be trusted either.
            Reply::Own(answer, _) if head.fault().is_some() => last(Self::whole(answer)),
            Reply::Own(answer, _) => Self::whole(answer),
        }
    }
}

impl Site for Traffic {
    type Body = ReplyBody;

    fn answer(
        &self,
        client: IpAddr,
        parts: Box<Parts>,
        body: ClientBody,
    ) -> impl Future<Output = Response<ReplyBody>> + Send {
        self.reply(Some(client), parts, body)
    }

    fn refuse(&self, problem: Problem) -> Answer {
        let snapshot = self.effects.store.snapshot();
        let exchange = Exchange::failed(snapshot.as_deref(), problem);
        let now = self.effects.now();
        if let Some(running) = exchange.note(now, Duration::ZERO, problem.status(), Some(problem)) {
            running.end(now);
        }
        let record = Record {
            revision: exchange.revision(),
            problem: Some(problem.token()),
            ..Record::new(now, problem.status())
        };
        let line = self.effects.access.begin(&record, None);
        let mut entry = Entry::new(record.at, line, None);
        let answer = exchange.refuse(problem);
        entry.sent(answer.body.len());
        answer
    }

    fn whole(answer: Answer) -> Response<ReplyBody> {
        whole(answer).map(Either::Right)
    }
}

/// An upstream's response, which whoever writes it changes by its [`Edited::edits`]. Status, reason and body stay
/// as they are.
fn relay(
    effects: &Arc<Effects>,
    head: &RequestHead,
    received: Received,
    how: Relay,
    entry: Entry,
) -> Response<ReplyBody> {
    let Received { response, switched } = received;
    let mut how = how;
    let metered = Metered::new(&mut how.tail, head.progress().cloned());
    let (mut parts, flow) = response.into_parts();
    let is_coded = parts.headers.contains_key(TRANSFER_ENCODING);
    let names = parts.headers.get(TRAILER).filter(|_| is_coded).cloned();
    let protocol = switched.as_ref().and_then(|_| parts.headers.get(UPGRADE).cloned());
    strip(&mut parts.headers);
    if is_coded {
        // The chunks say where the body ends; a length beside them is not to be believed, and to
        // forward it would cut the body or confuse the client (RFC 9112, section 6.3).
        parts.headers.remove(CONTENT_LENGTH);
    }
    if let Some(names) = names
        && takes_trailers(&head.parts().headers)
    {
        parts.headers.insert(TRAILER, names);
    }
    parts.version = Version::HTTP_11;
    let Some(upstream) = switched else {
        let Relay { edits, tail, .. } = how;
        let body = Relayed::new(flow, edits, tail, metered, entry, Arc::clone(effects));
        return Response::from_parts(parts, Either::Left(Box::new(body)));
    };
    change(&mut parts.headers, &how.edits);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        parts.headers.insert(UPGRADE, protocol);
    }
    // What hyper noted of the upstream's side of it is not for the client's.
    parts.extensions = http::Extensions::new();
    parts.extensions.insert(Handover::new(Tunnel::new(*upstream, how.tail, metered, entry)));
    Response::from_parts(parts, Either::Right(Full::default()))
}

/// A response of our own.
pub(crate) fn whole(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_maybe_shared(Bytes::from(value))) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
