//! Responses to clients: an upstream's relayed, or one of our own.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use splitway_core::head::{Edits, Head};
use splitway_core::problem::Answer;
use splitway_core::serve::{Reply, serve};

use crate::message::forwarded;
use crate::platform::{Effects, Received, RequestHead};

/// The body of a response: streamed from an upstream, or whole.
pub(crate) type ReplyBody = Either<Incoming, Full<Bytes>>;

/// Answers one request that came from `client` to `port`.
pub(crate) async fn answer(
    effects: Arc<Effects>,
    client: IpAddr,
    port: u16,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let (parts, body) = request.into_parts();
    let head = RequestHead::new(parts, client, port, &effects.fronts);
    Ok(match serve(&*effects, &head, Either::Left(body)).await {
        Reply::Relay(response, edits) => relay(response, &edits).map(Either::Left),
        Reply::Refuse(answer, _) if head.fault().is_some() => last(answer).map(Either::Right),
        Reply::Refuse(answer, _) => whole(answer).map(Either::Right),
    })
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

/// The answer to a request that HTTP forbids, and the last on its connection: what follows the
/// request is not to be trusted either.
pub(crate) fn last(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = whole(answer);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
