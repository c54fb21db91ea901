//! Responses to clients: an upstream's relayed, or one of our own.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{Either, Full};
use hyper::body::{Body as _, Incoming};
use splitway_core::exchange::Exchange;
use splitway_core::head::{Edits, Head};
use splitway_core::platform::Platform;
use splitway_core::problem::{Answer, Problem};
use splitway_core::serve::{Reply, serve};
use splitway_core::telemetry::Record;

use crate::door::Door;
use crate::listen::{ClientBody, Site, last};
use crate::message::forwarded;
use crate::platform::{Effects, Received, RequestHead};

/// The body of a response: streamed from an upstream, or whole.
pub(crate) type ReplyBody = Either<Incoming, Full<Bytes>>;

/// The traffic of one thread as what a listener serves.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) effects: Effects,
    pub(crate) door: Door,
}

impl Site for Traffic {
    type Body = ReplyBody;

    async fn answer(&self, client: IpAddr, request: Request<ClientBody>) -> Response<ReplyBody> {
        let (parts, body) = request.into_parts();
        let mut head = RequestHead::new(parts, client, self.door, &self.effects.fronts);
        head.frame(!body.is_end_stream());
        match serve(&self.effects, &head, Either::Left(body)).await {
            Reply::Relay(response, edits) => relay(response, &edits).map(Either::Left),
            // What follows a request that HTTP forbids is not to be trusted either.
            Reply::Refuse(answer, _) if head.fault().is_some() => last(Self::whole(answer)),
            Reply::Refuse(answer, _) => Self::whole(answer),
        }
    }

    fn refuse(&self, problem: Problem) -> Answer {
        let snapshot = self.effects.store.snapshot();
        let exchange = Exchange::failed(snapshot.as_deref(), problem);
        self.effects.record(&Record {
            at: self.effects.now(),
            duration: Duration::ZERO,
            route: None,
            branch: None,
            revision: exchange.revision(),
            status: problem.status(),
            problem: Some(problem.token()),
        });
        exchange.refuse(problem)
    }

    fn whole(answer: Answer) -> Response<ReplyBody> {
        whole(answer).map(Either::Right)
    }
}

/// An upstream's response with the core's edits. Status, reason and body stay as they are.
fn relay(Received(mut response): Received, edits: &Edits) -> Response<Incoming> {
    let is_chunked = response.headers().contains_key(TRANSFER_ENCODING);
    *response.headers_mut() = forwarded(response.headers(), edits);
    if is_chunked {
        // The chunks say where the body ends; a length beside them is not to be believed, and to
        // forward it would cut the body or confuse the client (RFC 9112, section 6.3).
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    *response.version_mut() = Version::HTTP_11;
    response
}

/// A response of our own.
pub(crate) fn whole(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}
