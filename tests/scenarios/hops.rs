//! Headers that concern one connection only (RFC 9110, section 7.6.1).

use crate::document::everything_to;
use crate::message::{Call, Headers};
use crate::script::Reply;
use crate::target::Target;

/// None of these lines is there.
fn check_absent(headers: &Headers, names: &[&str]) {
    for name in names {
        assert!(!headers.has(name), "`{name}` went further: {headers:?}");
    }
}

/// What the client says to this hop is not said to the upstream.
pub(crate) fn hop_by_hop_headers_end_here_on_the_way_up(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&everything_to(&origin));

    let call = Call::get("/x")
        .header("Connection", "Upgrade")
        .header("Upgrade", "h2c")
        .header("Expect", "100-continue")
        .header("Keep-Alive", "timeout=7")
        .header("Proxy-Authenticate", "Basic")
        .header("Proxy-Authorization", "Basic eA==")
        .header("Proxy-Connection", "keep-alive")
        .header("TE", "trailers")
        .header("Trailer", "X-Sum")
        .header("X-End", "to end");
    assert_eq!(target.call(&call).status, 200);
    let headers = origin.only_request().headers;
    check_absent(
        &headers,
        &[
            "expect",
            "keep-alive",
            "proxy-authenticate",
            "proxy-authorization",
            "proxy-connection",
            "te",
            "trailer",
            "upgrade",
        ],
    );
    assert_eq!(headers.all("x-end"), [b"to end"]);
}

/// What the upstream says to this hop is not said to the client.
pub(crate) fn hop_by_hop_headers_end_here_on_the_way_down(target: &mut impl Target) {
    let reply = Reply::ok("")
        .header("Expect", "100-continue")
        .header("Keep-Alive", "timeout=77")
        .header("Proxy-Authenticate", "Basic")
        .header("Proxy-Authorization", "Basic eA==")
        .header("Proxy-Connection", "keep-alive")
        .header("Trailer", "X-Sum")
        .header("Upgrade", "h2c")
        .header("X-End", "to end");
    let origin = target.origin(reply);
    target.start(&everything_to(&origin));

    let headers = target.call(&Call::get("/x")).headers;
    check_absent(
        &headers,
        &[
            "expect",
            "proxy-authenticate",
            "proxy-authorization",
            "proxy-connection",
            "trailer",
            "upgrade",
        ],
    );
    assert!(!headers.all("keep-alive").contains(&b"timeout=77".as_slice()));
    assert_eq!(headers.all("x-end"), [b"to end"]);
}

/// What `Connection` nominates concerns this hop too, but it cannot take away what frames or
/// addresses the request.
pub(crate) fn headers_that_connection_nominates_end_here_on_the_way_up(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&everything_to(&origin));

    let call = Call::post("/x", "a body")
        .header("Connection", "X-Hop, x-hop-two ,Content-Length,Host")
        .header("X-Hop", "1")
        .header("X-Hop-Two", "2")
        .header("X-End", "to end");
    assert_eq!(target.call(&call).status, 200);
    let request = origin.only_request();
    check_absent(&request.headers, &["x-hop", "x-hop-two"]);
    assert_eq!(request.header("host").as_deref(), Some(origin.authority()));
    assert_eq!(request.header("x-end").as_deref(), Some("to end"));
    assert_eq!(request.body, b"a body");
}

/// The same holds for what the upstream nominates.
pub(crate) fn headers_that_connection_nominates_end_here_on_the_way_down(target: &mut impl Target) {
    let reply = Reply::ok("a body")
        .header("Connection", "X-Hop")
        .header("X-Hop", "1")
        .header("X-End", "to end");
    let origin = target.origin(reply);
    target.start(&everything_to(&origin));

    let answer = target.call(&Call::get("/x"));
    check_absent(&answer.headers, &["x-hop"]);
    assert_eq!(answer.header("x-end").as_deref(), Some("to end"));
    assert_eq!(answer.body, b"a body");
}
