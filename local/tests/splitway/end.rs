//! How a server ends.

use std::net::TcpStream;
use std::time::Instant;

use splitway_tests::document;
use splitway_tests::message::Call;
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, Gate, Reply, Script};
use splitway_tests::wire::Connection;

use crate::process::{Files, PATIENCE, Serving};

/// A server with one request under way, which is answered when the gate is opened.
fn busy() -> (Serving, Connection, Origin, Gate) {
    let gate = Gate::default();
    let behind = gate.clone();
    let origin = Origin::on_loopback(Script::new(move |_| {
        behind.wait();
        Act::Answer(Reply::ok("late"))
    }));
    let files = Files::new();
    let path = files.write("split.yaml", &document::everything_to(&origin));
    let serving = Serving::file(&path, &[]);
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
