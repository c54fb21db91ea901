//! Bodies flow: nothing waits for their end.

use serde_json::json;

use crate::document::{everything_to, split, upstream};
use crate::http::Framing;
use crate::message::Call;
use crate::script::{Act, Gate, Piece, Reply};
use crate::target::Target;

/// The client has the first event while the upstream still holds the second one back.
pub(crate) fn a_response_flows_while_the_upstream_speaks(target: &mut impl Target) {
    let gates = [Gate::default(), Gate::default()];
    let event = |number: u32| format!("data: {{\"n\":{number}}}\n\n").into_bytes();
    let pieces = vec![
        Piece::Send(event(1)),
        Piece::Wait(gates[0].clone()),
        Piece::Send(event(2)),
        Piece::Wait(gates[1].clone()),
        Piece::Send(event(3)),
    ];
    let reply = Reply::status(200).header("Content-Type", "text/event-stream").pieces(pieces);
    let origin = target.origin(reply);
    let rule =
        json!({"weight": 1, "upstream": upstream(&origin), "rewrite": {"uri": "/v1/events"}});
    target.start(&split(&[rule]));

    let mut connection = target.dial();
    connection.send(&Call::post("/events", r#"{"stream":true}"#));
    let start = connection.start();
    assert_eq!((start.status, start.framing), (200, Framing::Chunked));
    assert_eq!(start.head.headers.one("content-type").as_deref(), Some("text/event-stream"));
    assert_eq!(start.head.headers.one("x-splitway-branch").as_deref(), Some("b0"));
    connection.expect_bytes(&event(1));
    gates[0].open();
    connection.expect_bytes(&event(2));
    gates[1].open();
    connection.expect_bytes(&event(3));
    assert_eq!(connection.chunk(), None);
}

/// The upstream has the first part of a request while the client still holds the second one back.
pub(crate) fn a_request_flows_while_the_client_speaks(target: &mut impl Target) {
    let origin = target.origin(Reply::ok("heard"));
    target.start(&everything_to(&origin));

    let mut connection = target.dial();
    connection.send_head(&Call::post("/x", "").in_chunks());
    connection.send_chunk(b"first ");
    origin.wait_until("the first part", |requests| {
        requests.first().is_some_and(|request| request.body == b"first ")
    });
    connection.send_chunk(b"second");
    origin.wait_until("the second part", |requests| requests[0].body == b"first second");
    connection.send_chunk(b"");
    assert_eq!(connection.answer().text(), "heard");
}

/// Nobody listens any more: the upstream that goes on speaking is stopped.
pub(crate) fn a_client_that_leaves_stops_an_upstream_that_speaks(target: &mut impl Target) {
    let event = b"data: again\n\n".to_vec();
    let origin = target.origin(Reply::status(200).pieces([Piece::RepeatUntilGone(event)]));
    target.start(&everything_to(&origin));

    let mut connection = target.dial();
    connection.send(&Call::get("/x"));
    connection.start();
    connection.chunk();
    connection.leave().unwrap();
    origin.wait_until("the upstream is stopped", |requests| requests[0].gone);
}

/// The upstream that says nothing more is left alone too.
pub(crate) fn a_client_that_leaves_cancels_the_upstream(target: &mut impl Target) {
    let pieces = [Piece::Send(b"data: 1\n\n".to_vec()), Piece::WaitUntilGone];
    let origin = target.origin(Reply::status(200).pieces(pieces));
    target.start(&everything_to(&origin));

    let mut connection = target.dial();
    connection.send(&Call::get("/x"));
    connection.start();
    connection.expect_bytes(b"data: 1\n\n");
    connection.leave().unwrap();
    origin.wait_until("the upstream is left alone", |requests| requests[0].gone);
}

/// The same holds while the upstream has not answered yet.
pub(crate) fn a_client_that_leaves_before_the_head_cancels_the_upstream(target: &mut impl Target) {
    let origin = target.origin(Act::Silence);
    target.start(&everything_to(&origin));

    let mut connection = target.dial();
    connection.send(&Call::get("/x"));
    origin.wait_until("the request", |requests| requests.len() == 1 && requests[0].complete);
    connection.leave().unwrap();
    origin.wait_until("the upstream is left alone", |requests| requests[0].gone);
}
