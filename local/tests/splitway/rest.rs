//! Connections that wait for their next request for a while, of which the server keeps little.

use std::thread::sleep;
use std::time::Duration;

use splitway_tests::document;
use splitway_tests::message::Call;
use splitway_tests::script::{Reply, Script};
use splitway_tests::wire::Connection;

use crate::process::{Files, Serving, origin};

/// Longer than a connection waits before it rests. Whoever is late sees the same.
const REST: Duration = Duration::from_millis(300);

const GET: &str = "GET /later HTTP/1.1\r\nhost: a.test\r\n\r\n";

#[test]
fn a_connection_goes_on_however_long_it_rested() {
    let upstream = origin("through");
    let files = Files::new();
    let path = files.write("split.yaml", &document::everything_to(&upstream));
    let serving = Serving::file(&path, &["--workers", "1"]);
    let mut connection = Connection::open(serving.traffic);
    for _ in 0..3 {
        for call in [Call::get("/"), Call::post("/", "body"), Call::post("/", "x").in_chunks()] {
            connection.send(&call);
            assert_eq!(connection.answer().text(), "through");
        }
        sleep(REST);
    }
    // A head that comes in pieces, the first of which wakes it; one that came while another was answered.
    let (first, rest) = GET.split_at(1);
    connection.send_raw("GET", first.as_bytes());
    sleep(REST);
    connection.send_raw("GET", [rest, GET].concat().as_bytes());
    assert_eq!(connection.answer().text(), "through");
    assert_eq!(connection.answer().text(), "through");
    sleep(REST);
    // What begins as HTTP/2 is none behind HTTP/1.1.
    connection.send_raw("PRI", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(connection.answer().status, 400);
    assert!(connection.next_answer().is_none());
}

#[test]
fn the_rest_of_a_body_is_no_request_however_late_it_comes() {
    let upstream = Script::from(Reply::ok("early")).early();
    let upstream = splitway_tests::origin::Origin::on_loopback(upstream);
    let files = Files::new();
    let path = files.write("split.yaml", &document::everything_to(&upstream));
    let serving = Serving::file(&path, &["--workers", "1"]);
    let mut connection = Connection::open(serving.traffic);
    let length = GET.len() + 4;
    let head =
        format!("POST /first HTTP/1.1\r\nhost: a.test\r\ncontent-length: {length}\r\n\r\nhalf");
    connection.send_raw("POST", head.as_bytes());
    assert_eq!(connection.answer().text(), "early");
    sleep(REST);
    connection.send_raw("POST", GET.as_bytes());
    // There is no other answer, and the next request has one unless the connection has ended.
    connection.send_head(&Call::get("/next"));
    if let Some(answer) = connection.next_answer() {
        assert_eq!(answer.text(), "early");
    }
    let targets = upstream.requests().into_iter().map(|request| request.target);
    assert!(targets.clone().all(|target| target != "/later"), "{:?}", targets.collect::<Vec<_>>());
}
