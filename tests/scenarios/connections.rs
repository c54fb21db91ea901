//! What one message ends and the next begins with, on connections that carry several.

use serde_json::json;

use crate::document::{everything_to, routes, split, upstream};
use crate::message::Call;
use crate::script::{Act, Reply};
use crate::target::Target;

/// A client may stay connected; each of its requests is decided by itself.
pub(crate) fn one_connection_serves_many_requests(target: &mut impl Target) {
    let (old, new) = (target.origin(Reply::ok("old")), target.origin(Reply::ok("new")));
    target.start(&split(&[
        json!({"weight": 1, "upstream": upstream(&old)}),
        json!({"weight": 1, "upstream": upstream(&new)}),
    ]));

    let mut connection = target.dial();
    for _ in 0..10 {
        connection.send(&Call::post("/x", "a body").in_chunks());
        assert_eq!(connection.answer().status, 200);
        connection.send(&Call::get("/x"));
        assert_eq!(connection.answer().status, 200);
    }
    assert_eq!((old.count(), new.count()), (10, 10));
}

/// Upstreams close connections that were idle for long; no client ever notices.
pub(crate) fn an_upstream_may_close_connections_that_are_idle(target: &mut impl Target) {
    let origin = target.origin(Reply::ok("done").then_close());
    target.start(&everything_to(&origin));

    for number in 0..20 {
        assert_eq!(target.call(&Call::post("/x", "a body")).text(), "done", "{number}");
        origin.wait_until("it closes", |requests| requests.iter().all(|request| request.closed));
    }
    assert_eq!(origin.count(), 20);
}

/// The body of a request that is answered without being read is never taken for a request.
pub(crate) fn a_body_that_nobody_reads_is_not_the_next_request(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&routes(&[json!({"id": "a", "uri": "/a", "upstream": upstream(&origin)})]));

    let hidden = "GET /a?hidden HTTP/1.1\r\nHost: splitway.test\r\n\r\n";
    let mut connection = target.dial();
    connection.send(&Call::post("/nowhere", hidden.repeat(1000)));
    assert_eq!(connection.answer().status, 404);
    // The connection may go on or be closed, and nothing else.
    connection.send(&Call::get("/a?shown"));
    if let Some(answer) = connection.next_answer() {
        assert_eq!(answer.status, 200);
        assert_eq!(origin.only_request().target, "/a?shown");
    }
    assert_eq!(target.call(&Call::get("/a?last")).status, 200);
    assert!(origin.requests().iter().all(|request| request.target != "/a?hidden"));
}

/// A request that frames its body in two ways is refused, or goes up framed in one (RFC 9112, 6.3).
pub(crate) fn a_request_with_two_framings_goes_up_with_one(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&everything_to(&origin));

    for (framing, may_pass) in [
        ("Content-Length: 4\r\nTransfer-Encoding: chunked", true),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4", true),
        ("Content-Length: 4\r\nContent-Length: 5", false),
        ("Content-Length: 5, 4", false),
        ("Content-Length: +5", false),
        ("Transfer-Encoding: chunked, identity", false),
        ("Transfer-Encoding : chunked\r\nContent-Length: 5", false),
    ] {
        let seen = origin.count();
        let mut connection = target.dial();
        let head = format!("POST /x HTTP/1.1\r\nHost: splitway.test\r\n{framing}\r\n\r\n");
        connection.send_raw("POST", format!("{head}0\r\n\r\n").as_bytes());
        let status = connection.next_answer().map(|answer| answer.status);
        let received = origin.requests().drain(seen..).collect::<Vec<_>>();
        assert!(may_pass || status != Some(200), "{framing}: {status:?}");
        assert_eq!(received.len(), usize::from(status == Some(200)), "{framing}: {status:?}");
        for request in received {
            assert_eq!(request.body, b"", "{framing}");
            let framings = request.headers.all("content-length").len()
                + request.headers.all("transfer-encoding").len();
            assert!(framings <= 1, "{framing}: {:?}", request.headers);
        }
    }
}

/// A response whose end is ambiguous is not passed on.
pub(crate) fn a_response_with_two_lengths_is_a_502_problem(target: &mut impl Target) {
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde";
    let origin = target.origin(Act::Garbage(response.to_vec()));
    target.start(&everything_to(&origin));

    let answer = target.call(&Call::post("/x", "a body"));
    assert_eq!((answer.status, answer.headers.has("proxy-status")), (502, true));
}

/// A request of HTTP/1.1 that names no host, or two, is refused (RFC 9112, 3.2).
pub(crate) fn a_request_must_name_one_host(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&everything_to(&origin));

    for lines in ["", "Host: a.test\r\nHost: b.test\r\n"] {
        let mut connection = target.dial();
        connection.send_raw("GET", format!("GET /x HTTP/1.1\r\n{lines}\r\n").as_bytes());
        let status = connection.next_answer().map(|answer| answer.status);
        assert!(status.is_none_or(|status| status >= 400), "{lines}: {status:?}");
    }
    assert_eq!(origin.count(), 0);
}
