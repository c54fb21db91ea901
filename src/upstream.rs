//! One attempt at the edge: one `fetch`, its failure named by an error type of RFC 9209.

mod limited;
mod relay;

use splitway_core::exchange::Attempt;
use splitway_core::head::{Changes, HOP_BY_HOP, Head};
use splitway_core::problem::Failure;
use worker::js_sys::{self, Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{
    AbortController, AbortSignal, Headers, Request, RequestInit, RequestRedirect, Response,
    WorkerGlobalScope,
};

pub(crate) use self::limited::Limited;
pub(crate) use self::relay::EdgeResponse;
use crate::platform::{EdgeBody, EdgeHead};
use crate::telemetry;

/// The hop-by-hop headers that the runtime leaves in a request or a response; it removes the others
/// of [`HOP_BY_HOP`] itself, before a Worker sees them and again when it sends.
const LEFT_BY_RUNTIME: [&str; 5] =
    ["expect", "proxy-authenticate", "proxy-authorization", "proxy-connection", "upgrade"];

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
    let is_carried = match body {
        EdgeBody::Sent(request) => is_empty(request, head) || head.method() == attempt.method,
        EdgeBody::Bytes(bytes) => bytes.length() == 0,
        EdgeBody::Limited(_) => false,
    };
    if takes_no_body(attempt) && !is_carried {
        return Err(Failure::HttpRequestError);
    }
    let controller = AbortController::new().map_err(unsent)?;
    if let EdgeBody::Limited(body) = body {
        body.end_with(&controller);
    }
    let client = head.signal();
    // The client's own signal stays with the response: whoever leaves ends its body, too.
    let signals: Array = client.iter().chain([&controller.signal()]).collect();
    let promise = start(attempt, head, body, &AbortSignal::any(&signals)).map_err(unsent)?;
    let aborting = Aborting(Some(controller));
    let is_gone = || client.as_ref().is_some_and(AbortSignal::aborted);
    let is_too_long = || matches!(body, EdgeBody::Limited(body) if body.is_too_long());
    let response = JsFuture::from(promise).await.map_err(|error| match is_gone() {
        true => Failure::HttpRequestError,
        false if is_too_long() => Failure::RequestBodyTooLong,
        false => name(error),
    })?;
    if is_too_long() {
        return Err(Failure::RequestBodyTooLong);
    }
    aborting.disarm();
    let response: Response = response.unchecked_into();
    let response = EdgeResponse::new(response);
    if response.is_sound() { Ok(response) } else { Err(Failure::HttpProtocolError) }
}

/// The `fetch`, under way. `Host` is what the URL says: the runtime takes no other.
fn start(
    attempt: &Attempt<'_>,
    head: &EdgeHead,
    body: &EdgeBody,
    signal: &AbortSignal,
) -> Result<js_sys::Promise, JsValue> {
    let url = [attempt.scheme.as_str(), "://", attempt.node.authority(), &attempt.target].concat();
    let global: WorkerGlobalScope = js_sys::global().unchecked_into();
    let init = RequestInit::new();
    init.set_signal(Some(signal));
    if let EdgeBody::Sent(request) = body
        && takes_no_body(attempt)
        && !is_empty(request, head)
    {
        // An init with such a method and a body is refused; a request made from one that came in
        // keeps both, and its redirect mode, which is manual.
        let carrier = Request::new_with_str_and_init(&url, request.unchecked_ref())?;
        edit(&carrier.headers(), &attempt.edits)?;
        return Ok(global.fetch_with_request_and_init(&carrier, &init));
    }
    let headers = Headers::new_with_headers(head.headers())?;
    edit(&headers, &attempt.edits)?;
    if attempt.upgrades && wants_web_socket(head) {
        headers.set("upgrade", WEB_SOCKET)?;
    }
    init.set_method(&attempt.method);
    init.set_headers(&headers);
    init.set_redirect(RequestRedirect::Manual);
    match body {
        EdgeBody::Sent(request) => {
            if let Some(body) = request.body().filter(|_| !takes_no_body(attempt)) {
                init.set_body(&body);
            }
        }
        EdgeBody::Limited(body) => init.set_body(body.stream()),
        EdgeBody::Bytes(bytes) if bytes.length() == 0 => {}
        EdgeBody::Bytes(bytes) => {
            headers.delete("content-length")?;
            init.set_body(bytes);
        }
    }
    Ok(global.fetch_with_str_and_init(&url, &init))
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

/// Applies changes to headers, after removing what belongs to one connection only.
pub(crate) fn edit(headers: &Headers, edits: &Changes) -> Result<(), JsValue> {
    debug_assert!(LEFT_BY_RUNTIME.iter().all(|name| HOP_BY_HOP.contains(name)), "a part of them");
    for name in LEFT_BY_RUNTIME {
        headers.delete(name)?;
    }
    for name in edits.removed() {
        headers.delete(name)?;
    }
    for (name, value) in edits.set() {
        headers.set(name, value)?;
    }
    for (name, value) in edits.added() {
        headers.append(name, value)?;
    }
    Ok(())
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

/// Aborts a `fetch` when dropped, unless disarmed.
struct Aborting(Option<AbortController>);

impl Aborting {
    /// The head of the response is there; the body has its own life.
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Aborting {
    fn drop(&mut self) {
        if let Some(controller) = &self.0 {
            controller.abort();
        }
    }
}
