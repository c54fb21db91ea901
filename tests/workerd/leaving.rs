//! Clients that leave. workerd does not look at the connection of a client before it writes to it, as
//! Cloudflare's front does, so a Worker in front of Splitway leaves in the place of its client.

use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use splitway_tests::document::{everything_to, split, upstream};
use splitway_tests::events;
use splitway_tests::message::Call;
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, DEADLINE, Piece, Reply};

use crate::edge::{Edge, answering};

fn edge(document: &str) -> Edge {
    Edge::start(&json!({"document": document, "leaving": true}))
}

fn call(edge: &Edge, when: &str, expected: &str) {
    let answer = edge.call(&Call::get("/x").header("X-Leave", when));
    assert_eq!((answer.status, answer.text().as_str()), (200, expected));
}

/// Asks, and leaves once the upstream has the request.
fn leave_before_the_head(edge: &Edge, origin: &Origin) {
    thread::scope(|scope| {
        scope.spawn(|| call(edge, "when-told", "left"));
        origin.wait_until("the request", |requests| requests.len() == 1);
        call(edge, "now", "told");
    });
}

/// Waits until the Worker has said this.
fn wait_until_logged(edge: &Edge, mark: &str) {
    let begin = Instant::now();
    while !edge.miniflare.logged().iter().any(|line| line.contains(mark)) {
        assert!(begin.elapsed() < DEADLINE, "nothing is said of `{mark}`");
    }
}

fn check_let_go(origin: &Origin) {
    origin.wait_until("it is let go", |requests| requests.len() == 1 && requests[0].gone);
}

/// The attempt ends at once, and the Worker takes note of that: whoever counts attempts is told.
#[test]
fn before_the_head_it_ends_the_attempt() {
    let silent = Origin::on_loopback(Act::Silence.into());
    let edge = edge(&everything_to(&silent));
    leave_before_the_head(&edge, &silent);
    check_let_go(&silent);
    wait_until_logged(&edge, "http_request_error");
}

/// Nobody is asked in the place of an upstream whose client left.
#[test]
fn nothing_is_asked_anew() {
    let silent = Origin::on_loopback(Act::Silence.into());
    let other = answering();
    let branch = |weight: u32, origin: &Origin| -> Value {
        json!({"name": format!("b{weight}"), "weight": weight, "upstream": upstream(origin)})
    };
    let list = [branch(1, &silent), branch(0, &other)];
    let rule = json!({"weighted_upstreams": list, "on_failure": {"to": "b0"}});
    let edge = edge(&split(&[rule]));
    leave_before_the_head(&edge, &silent);
    check_let_go(&silent);
    wait_until_logged(&edge, "http_request_error");
    assert_eq!((silent.count(), other.count()), (1, 0));
}

/// A body that is on its way ends, whoever moves it.
#[test]
fn behind_the_head_it_ends_the_body() {
    let stalling = [Piece::Send(b"a part".to_vec()), Piece::WaitUntilGone];
    for reply in [
        Reply::status(200).pieces(stalling),
        events::then_stall(&[events::DELTA]),
        Reply::status(200).pieces([Piece::RepeatUntilGone(vec![b'x'; 1000])]),
        events::stream(&[], [Piece::RepeatUntilGone(events::DELTA.into())]),
    ] {
        let origin = Origin::on_loopback(reply.into());
        let edge = edge(&everything_to(&origin));
        call(&edge, "after-a-chunk", "left");
        check_let_go(&origin);
    }
}

/// Who stays has his answer.
#[test]
fn who_stays_is_served() {
    let origin = answering();
    let edge = edge(&everything_to(&origin));
    assert_eq!(edge.call(&Call::get("/x")).text(), "here");
}
