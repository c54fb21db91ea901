//! How long upstreams may take, and who says so.

use std::time::Duration;

use serde_json::{Value, json};

use crate::document::{routes, split, upstream};
use crate::events;
use crate::message::Call;
use crate::origin::Origin;
use crate::script::{Act, Piece, Reply};
use crate::target::Target;

/// Too long for a test to wait for.
const LONG: f64 = 300.0;

/// All three phases take that long together, and `more`.
fn timeout(secs: f64, more: &Value) -> Value {
    let third = secs / 3.0;
    let mut timeout = json!({"connect": third, "send": third, "read": third});
    timeout.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    timeout
}

/// A route to an upstream, each with what it says of time.
fn route(uri: &str, origin: &Origin, own: Option<Value>, of_upstream: Option<Value>) -> Value {
    let mut upstream = upstream(origin);
    if let Some(timeout) = of_upstream {
        upstream["timeout"] = timeout;
    }
    let mut route = json!({"id": &uri[1..], "uri": uri, "upstream": upstream});
    if let Some(timeout) = own {
        route["timeout"] = timeout;
    }
    route
}

/// What a route says goes before what its upstream says; without it that counts.
pub(crate) fn the_time_of_the_route_goes_first(target: &mut impl Target) {
    let silent = target.origin(Act::Silence);
    let late = target.origin(Act::from(Reply::ok("late")).late(Duration::from_millis(800)));
    let (short, long) = (timeout(0.3, &json!({})), timeout(LONG, &json!({})));
    target.start(&routes(&[
        route("/short-route", &silent, Some(short.clone()), Some(long.clone())),
        route("/short-upstream", &silent, None, Some(short.clone())),
        route("/long-route", &late, Some(long), Some(short)),
    ]));
    assert_eq!(target.call(&Call::post("/short-route", "a body")).status, 504);
    assert_eq!(target.call(&Call::post("/short-upstream", "a body")).status, 504);
    assert_eq!(target.call(&Call::post("/long-route", "a body")).text(), "late");
}

/// `first_byte` is all the time until the head is there, whichever is longer.
pub(crate) fn the_first_byte_has_a_time_of_its_own(target: &mut impl Target) {
    let silent = target.origin(Act::Silence);
    let late = target.origin(Act::from(Reply::ok("late")).late(Duration::from_millis(800)));
    let phases = |read: f64, first_byte: f64| json!({"connect": 0.1, "send": 0.1, "read": read, "first_byte": first_byte});
    target.start(&routes(&[
        route("/short", &silent, Some(phases(LONG, 0.2)), None),
        route("/long", &late, Some(phases(0.1, LONG)), None),
    ]));
    assert_eq!(target.call(&Call::post("/short", "a body")).status, 504);
    assert_eq!(target.call(&Call::post("/long", "a body")).text(), "late");
}

/// A body that is no stream of events and pauses for too long is cut off.
pub(crate) fn a_body_that_stalls_is_cut_off(target: &mut impl Target) {
    let pieces = [Piece::Send(b"the first half".to_vec()), Piece::WaitUntilGone];
    let origin = target.origin(Reply::status(200).pieces(pieces));
    let own = timeout(LONG, &json!({"idle": 0.5}));
    target.start(&routes(&[route("/x", &origin, Some(own), None)]));
    let answer = target.call(&Call::post("/x", "a body"));
    assert_eq!((answer.status, answer.complete), (200, false));
    assert_eq!(answer.text(), "the first half");
    origin.wait_until("it is let go", |requests| requests[0].gone);
}

/// A stream that shows that it is alive is not cut before its first event, however long that takes.
pub(crate) fn comments_keep_a_stream_alive(target: &mut impl Target) {
    let pause = || Piece::Pause(Duration::from_millis(400));
    let send = |event: &str| Piece::Send(event.as_bytes().to_vec());
    let rest = [
        pause(),
        send(events::COMMENT),
        pause(),
        send(events::COMMENT),
        pause(),
        send(events::DELTA),
        send(events::DONE),
    ];
    let v2 = target.origin(events::stream(&[events::COMMENT], rest));
    let v1 = target.origin(Reply::ok("of v1"));
    let mut thinking = upstream(&v2);
    let phase = json!(0.1);
    thinking["timeout"] =
        json!({"connect": phase, "send": phase, "read": LONG, "first_byte": 0.5, "idle": LONG});
    target.start(&split(&[json!({
        "weighted_upstreams": [
            {"name": "v2", "weight": 1, "upstream": thinking},
            {"name": "v1", "weight": 0, "upstream": upstream(&v1)},
        ],
        "on_failure": {"to": "v1"},
    })]));
    let answer = target.call(&Call::post("/x", r#"{"stream":true}"#));
    assert_eq!((answer.status, answer.complete), (200, true), "{}", answer.text());
    assert_eq!(answer.branch().as_deref(), Some("v2"));
    let expected = [&events::COMMENT.repeat(3), events::DELTA, events::DONE].concat();
    assert_eq!(answer.text(), expected);
    assert_eq!(v1.count(), 0);
}
