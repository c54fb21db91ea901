//! Connections that go on in another protocol.

use serde_json::{Value, json};

use crate::document::{routes, upstream};
use crate::http::Framing;
use crate::message::Call;
use crate::origin::Origin;
use crate::script::{Act, Reply, Script};
use crate::target::Target;
use crate::websocket::{Frame, Opcode, expected_accept, handshake, switching};

/// A route that lets its clients switch protocols, or not.
fn route(uri: &str, origin: &Origin, enable_websocket: bool) -> Value {
    let plugins = json!({"traffic-split": {"rules": [{"weighted_upstreams": [{
        "name": "v2",
        "upstream": upstream(origin),
        "rewrite": {"uri": "/v2/chat"},
        "headers": {"set": {"x-version": "2"}},
        "response_headers": {"set": {"x-served": "by v2"}},
    }]}]}});
    json!({"uri": uri, "plugins": plugins, "enable_websocket": enable_websocket})
}

fn echoing() -> Script {
    Script::new(|request| {
        let reply = switching(request);
        Act::Answer(reply.header("Sec-WebSocket-Protocol", "chat").header("X-Own", "1"))
    })
}

/// Text, bytes and the end arrive on both sides, and the branch has made its changes to the handshake.
pub(crate) fn frames_pass_both_ways(target: &mut impl Target) {
    let origin = target.origin(echoing());
    target.start(&routes(&[route("/chat", &origin, true)]));

    let mut connection = target.dial();
    connection.send(&handshake("/chat?a=1").header("Sec-WebSocket-Protocol", "chat"));
    let start = connection.start();
    assert_eq!((start.status, start.framing), (101, Framing::None));
    for (name, value) in [
        ("upgrade", "websocket"),
        ("sec-websocket-accept", expected_accept().as_str()),
        ("sec-websocket-protocol", "chat"),
        ("x-served", "by v2"),
        ("x-own", "1"),
        ("x-splitway-branch", "v2"),
    ] {
        let found = start.head.headers.one(name).unwrap_or_default();
        assert!(found.eq_ignore_ascii_case(value), "{name}: {found}");
    }
    let request = origin.only_request();
    assert_eq!(request.target, "/v2/chat?a=1");
    assert_eq!(request.header("x-version").as_deref(), Some("2"));
    assert_eq!(request.header("sec-websocket-protocol").as_deref(), Some("chat"));

    let long: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for frame in [
        Frame::new(Opcode::Text, "a text, \u{e9}\u{1f980}"),
        Frame::new(Opcode::Binary, [0, 255, 128]),
        Frame::new(Opcode::Text, ""),
        Frame::new(Opcode::Binary, long),
    ] {
        connection.send_frame(&frame);
        assert_eq!(connection.frame(), frame);
    }
    let close = Frame::close(4001, "enough");
    connection.send_frame(&close);
    assert_eq!(connection.frame(), close);
    connection.wait_for_end();
}

/// A client that is gone is gone for the upstream, too.
pub(crate) fn a_client_that_leaves_ends_what_it_switched_to(target: &mut impl Target) {
    let origin = target.origin(echoing());
    target.start(&routes(&[route("/chat", &origin, true)]));

    let mut connection = target.dial();
    connection.send(&handshake("/chat"));
    assert_eq!(connection.start().status, 101);
    let frame = Frame::new(Opcode::Text, "still there");
    connection.send_frame(&frame);
    assert_eq!(connection.frame(), frame);
    connection.leave().unwrap();
    origin
        .wait_until("the upstream hears of it", |requests| requests[0].gone || requests[0].closed);
}

/// An upstream need not switch; what it answers is relayed as ever.
pub(crate) fn an_upstream_may_decline(target: &mut impl Target) {
    let origin = target.origin(Reply::status(403).body("not you"));
    target.start(&routes(&[route("/chat", &origin, true)]));

    let mut connection = target.dial();
    connection.send(&handshake("/chat"));
    let answer = connection.answer();
    assert_eq!((answer.status, answer.text().as_str()), (403, "not you"));
    assert_eq!(answer.header("x-served").as_deref(), Some("by v2"));
}

/// A route that does not say so does not let its clients switch: the upstream hears nothing of it.
pub(crate) fn routes_that_do_not_say_so_do_not_switch(target: &mut impl Target) {
    let origin = target.origin(Script::new(|request| match request.header("upgrade") {
        None => Reply::status(426).body("not without an upgrade").into(),
        Some(_) => switching(request).into(),
    }));
    target.start(&routes(&[route("/chat", &origin, false)]));

    let mut connection = target.dial();
    connection.send(&handshake("/chat"));
    assert_eq!(connection.answer().status, 426);
    assert_eq!(target.call(&Call::get("/chat")).status, 426);
}
