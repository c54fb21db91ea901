//! How a server ends.

use std::net::TcpStream;
use std::time::Instant;

use splitway_tests::document;
use splitway_tests::message::Call;
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, Gate, Reply, Script};
use splitway_tests::wire::Connection;

use crate::process::{Files, PATIENCE, Serving, origin};

/// A server with one request under way, which is answered when the gate is opened.
fn busy() -> (Serving, Connection, Origin, Gate) {
    busy_with(&[])
}

fn busy_with(options: &[&str]) -> (Serving, Connection, Origin, Gate) {
    let gate = Gate::default();
    let behind = gate.clone();
    let origin = Origin::on_loopback(Script::new(move |_| {
        behind.wait();
        Act::Answer(Reply::ok("late"))
    }));
    let files = Files::new();
    let path = files.write("split.yaml", &document::everything_to(&origin));
    let serving = Serving::file(&path, options);
    let mut client = Connection::open(serving.traffic);
    client.send(&Call::get("/"));
    origin.wait_until("the request is there", |requests| requests.len() == 1);
    (serving, client, origin, gate)
}

/// Waits until nobody is accepted any more.
fn await_closed(serving: &Serving) {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(serving.traffic).is_ok() {
        assert!(Instant::now() < deadline, "it still accepts");
    }
}

#[test]
fn the_first_signal_lets_requests_finish() {
    let (serving, mut client, _origin, gate) = busy();
    serving.signal("TERM");
    await_closed(&serving);
    gate.open();
    assert_eq!(client.answer().text(), "late");
    assert_eq!(serving.end().code(), Some(0));
}

#[test]
fn the_second_signal_does_not() {
    let (serving, _client, _origin, _gate) = busy();
    let begin = Instant::now();
    serving.signal("INT");
    await_closed(&serving);
    serving.signal("INT");
    assert_eq!(serving.end().code(), Some(0));
    assert!(begin.elapsed().as_secs() < 9, "it waited for the request");
}

/// Requests that go on are cut when the time is up.
#[test]
fn the_time_to_finish_is_limited() {
    let (serving, mut client, _origin, _gate) = busy_with(&["--drain-time", "200ms"]);
    serving.signal("TERM");
    assert!(client.next_answer().is_none(), "it was answered");
    assert_eq!(serving.end().code(), Some(0));
}

/// A client that holds a connection open may be about to use it: its next request is answered, with
/// the word that it is the last.
#[test]
fn a_kept_connection_ends_with_its_next_answer() {
    let (serving, mut busy, _origin, gate) = busy_with(&[]);
    let mut kept = Connection::open(serving.traffic);
    kept.send(&Call::get("/nowhere"));
    serving.signal("TERM");
    await_closed(&serving);
    gate.open();
    for client in [&mut busy, &mut kept] {
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("connection").as_deref()), (200, Some("close")));
        assert!(client.next_answer().is_none());
    }
    assert_eq!(serving.end().code(), Some(0));
}

/// Connections that nobody uses do not hold up the end.
#[test]
fn connections_that_wait_are_closed() {
    let upstream = origin("");
    let files = Files::new();
    let path = files.write("split.yaml", &document::everything_to(&upstream));
    let serving = Serving::file(&path, &[]);
    let mut fresh = Connection::open(serving.traffic);
    let mut kept = Connection::open(serving.traffic);
    kept.send(&Call::get("/"));
    assert_eq!(kept.answer().status, 200);
    serving.signal("TERM");
    assert!(kept.next_answer().is_none() && fresh.next_answer().is_none());
    assert_eq!(serving.end().code(), Some(0));
}
