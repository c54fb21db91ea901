//! One attempt at the edge: one `fetch`, its failure named by an error type of RFC 9209.

mod limited;
mod relay;

use splitway_core::exchange::Attempt;
use splitway_core::head::Head;
use splitway_core::problem::Failure;
use worker::js_sys;
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::Request;

pub(crate) use self::limited::Limited;
pub(crate) use self::relay::EdgeResponse;
use crate::platform::road::{Fetch, Fetching};
use crate::platform::{EdgeBody, EdgeHead};
use crate::telemetry;

/// Makes one attempt. Dropping the future aborts the `fetch`.
pub(crate) async fn send(
    attempt: &Attempt<'_>,
    head: &EdgeHead,
    body: &EdgeBody,
) -> Result<EdgeResponse, Failure> {
    if attempt.scheme.is_grpc() {
        telemetry::failure("gRPC ends with trailers, and a Worker gets none");
        return Err(Failure::DestinationUnavailable);
    }
    // With such a method only a request that came in so can carry a body, as long as nobody reads it.
    let is_carried = || match body {
        EdgeBody::Sent(request) => is_empty(request, head) || head.method() == attempt.method,
        EdgeBody::Bytes(bytes) => bytes.length() == 0,
        EdgeBody::Limited(_) => false,
    };
    if takes_no_body(attempt) && !is_carried() {
        return Err(Failure::HttpRequestError);
    }
    let came = start(attempt, head, body).map_err(unsent)?.response().await;
    let is_too_long = || matches!(body, EdgeBody::Limited(body) if body.is_too_long());
    let (response, told) = came.map_err(|error| match error.is_undefined() {
        // The client is gone.
        true => Failure::HttpRequestError,
        false if is_too_long() => Failure::RequestBodyTooLong,
        false => name(error),
    })?;
    let response = EdgeResponse::new(response, told);
    if is_too_long() {
        return Err(Failure::RequestBodyTooLong);
    }
    if response.is_sound() { Ok(response) } else { Err(Failure::HttpProtocolError) }
}

/// The `fetch`, under way. `Host` is what the URL says: the runtime takes no other.
fn start(attempt: &Attempt<'_>, head: &EdgeHead, body: &EdgeBody) -> Result<Fetching, JsValue> {
    let url = [attempt.scheme.as_str(), "://", attempt.node.authority(), &attempt.target].concat();
    let takes_body = !takes_no_body(attempt);
    let (mut is_carried, mut ends) = (false, JsValue::UNDEFINED);
    let body = match body {
        EdgeBody::Sent(request) if takes_body => {
            request.body().map_or(JsValue::UNDEFINED, Into::into)
        }
        EdgeBody::Sent(request) => {
            is_carried = !is_empty(request, head);
            JsValue::UNDEFINED
        }
        EdgeBody::Limited(body) => {
            ends = body.ends().into();
            body.stream().into()
        }
        EdgeBody::Bytes(bytes) if bytes.length() == 0 => JsValue::UNDEFINED,
        EdgeBody::Bytes(bytes) => bytes.into(),
    };
    let upgrade = (attempt.upgrades && wants_web_socket(head)).then_some(WEB_SOCKET);
    let (method, edits, is_alone) = (&*attempt.method, &attempt.edits, head.is_detached());
    let fetch = Fetch { url: &url, method, edits, body, is_carried, is_alone, ends, upgrade };
    Fetching::begin(head.request(), &fetch)
}

/// The one protocol that the runtime switches to; what else a client asks for, it may go without
/// (RFC 9110, section 7.8).
const WEB_SOCKET: &str = "websocket";

fn wants_web_socket(head: &EdgeHead) -> bool {
    head.header("upgrade").is_some_and(|protocol| protocol.eq_ignore_ascii_case(WEB_SOCKET))
}

/// Whether nothing comes after the head. Of a body of no bytes the runtime makes a stream all the same.
pub(crate) fn is_empty(request: &Request, head: &EdgeHead) -> bool {
    request.body().is_none() || head.header("content-length").as_deref() == Some("0")
}

/// Whether the runtime makes no request with such a method and a body.
fn takes_no_body(attempt: &Attempt<'_>) -> bool {
    matches!(&*attempt.method, "GET" | "HEAD")
}

/// A `fetch` that was not even begun.
fn unsent(error: JsValue) -> Failure {
    telemetry::failure(&telemetry::message(&error));
    Failure::DestinationUnavailable
}

/// Names the failure of a `fetch`. A `TypeError` is how one is told that could not be made: a URL or a
/// method that may not be, a header that is none. The runtime throws it before it connects. What fails on
/// the way is an `Error` that tells little: that a connection was lost, be it before there was one. That
/// does not say whether the request was executed, so it may have been.
fn name(error: JsValue) -> Failure {
    match error.is_instance_of::<js_sys::TypeError>() {
        true => unsent(error),
        false => terminated(error),
    }
}

/// A connection that was lost after something of the request may have been sent. Once there is a head of a
/// response, that is all that can happen, of whatever type the error is.
fn terminated(error: JsValue) -> Failure {
    telemetry::failure(&telemetry::message(&error));
    Failure::ConnectionTerminated
}
