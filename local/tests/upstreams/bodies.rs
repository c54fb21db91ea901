//! Bodies of responses on their way to the client: how they end, and what ends them.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};
use splitway_local::Server;
use splitway_tests::events;
use splitway_tests::message::Call;
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, Piece, Reply, Script};
use splitway_tests::wire::{self, Connection};

use crate::rig::{DEADLINE, serve, upstream};

/// A pause of more than 100 ms is too long.
fn impatient() -> Value {
    json!({"timeout": {"connect": 60, "send": 60, "read": 60, "idle": 0.1}})
}

fn serving(script: impl Into<Script>, more: Value) -> (Server, Origin) {
    let origin = Origin::on_loopback(script.into());
    (serve(upstream(origin.authority(), more)), origin)
}

#[test]
fn a_stream_of_events_that_pauses_too_long_or_breaks_off_says_so() {
    for (reply, token) in [
        (events::then_stall(&["one", "two"]), "http_response_timeout"),
        (events::then_cut(&["one", "two"]), "connection_terminated"),
        (events::then_reset(&["one", "two"]), "connection_terminated"),
    ] {
        let (server, origin) = serving(reply, impatient());
        let answer = wire::call(server.listen_addr(), &Call::get("/"));
        let text = answer.text();
        assert!(answer.complete, "{token}: {text}");
        assert!(text.contains("one") && text.contains("two"), "{token}: {text}");
        assert!(text.contains("event: error") && text.contains(token), "{token}: {text}");
        assert!(text.ends_with("\n\n"), "{token}: {text}");
        assert_eq!(origin.count(), 1);
    }
}

#[test]
fn any_other_body_that_pauses_too_long_is_cut() {
    let paused = [Piece::Send(b"some".to_vec()), Piece::WaitUntilGone];
    let (server, origin) = serving(Reply::ok("").pieces(paused), impatient());
    let answer = wire::call(server.listen_addr(), &Call::get("/"));
    assert_eq!((answer.status, &*answer.text(), answer.complete), (200, "some", false));
    origin.wait_until("the end of the connection", |requests| requests[0].gone);
}

#[test]
fn events_of_a_known_length_are_cut_rather_than_changed() {
    let reply = Reply::ok("").header("content-type", "text/event-stream");
    let raw = reply.header("content-length", "100").raw("data: 1\n\n").then_close();
    let (server, _origin) = serving(raw, impatient());
    let answer = wire::call(server.listen_addr(), &Call::get("/"));
    assert_eq!((&*answer.text(), answer.complete), ("data: 1\n\n", false));
}

#[test]
fn pauses_that_are_short_enough_may_be_many() {
    let pause = || Piece::Pause(Duration::from_millis(40));
    let pieces = (0..6).flat_map(|_| [Piece::Send(b"x".to_vec()), pause()]);
    let reply = Reply::ok("").pieces(pieces.collect::<Vec<_>>());
    let (server, _origin) = serving(reply, impatient());
    let answer = wire::call(server.listen_addr(), &Call::get("/"));
    assert_eq!((&*answer.text(), answer.complete), ("xxxxxx", true));
}

#[test]
fn a_client_that_goes_away_ends_the_request_at_once() {
    let endless = vec![Piece::RepeatUntilGone(b"more".to_vec())];
    let silent = vec![Piece::Send(b"first".to_vec()), Piece::WaitUntilGone];
    for pieces in [endless, silent] {
        let (server, origin) = serving(Reply::ok("").pieces(pieces), json!({}));
        let mut client = Connection::open(server.listen_addr());
        client.send(&Call::get("/"));
        client.start();
        assert!(client.chunk().is_some());
        client.leave().expect("an open socket");
        origin.wait_until("the end of the connection", |requests| requests[0].gone);
    }
    // Before there is a response.
    let (server, origin) = serving(Act::Silence, json!({}));
    let mut client = Connection::open(server.listen_addr());
    client.send(&Call::get("/"));
    origin.wait_until("the request", |requests| !requests.is_empty());
    client.leave().expect("an open socket");
    origin.wait_until("the end of the connection", |requests| requests[0].gone);
}

/// Sends a request by hand and reads all there is until the server closes.
fn conversation(server: &Server, request: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(server.listen_addr()).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    stream.write_all(request.as_bytes()).expect("an open socket");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an end");
    text
}

#[test]
fn trailers_of_http1_pass_where_they_are_announced_and_wanted() {
    let body = "3\r\nabc\r\n0\r\nx-sum: 7\r\nx-other: 8\r\n\r\n";
    let reply = Reply::ok("").header("transfer-encoding", "chunked").header("trailer", "x-sum");
    let (server, _origin) = serving(reply.raw(body), json!({}));
    let request =
        |te: &str| format!("GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n{te}\r\n");
    let wanted = conversation(&server, &request("te: trailers\r\n"));
    assert!(wanted.ends_with("3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n"), "{wanted}");
    let unwanted = conversation(&server, &request(""));
    assert!(unwanted.ends_with("3\r\nabc\r\n0\r\n\r\n"), "{unwanted}");
    assert!(!unwanted.contains("trailer"), "{unwanted}");
}

#[test]
fn trailers_of_a_request_pass_where_they_are_announced() {
    use std::io::{Read, Write};
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let node = listener.local_addr().expect("an address").to_string();
    let server = serve(upstream(&node, json!({})));
    let received = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        let mut text = Vec::new();
        while !text.ends_with(b"x-sum: 7\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("the trailers");
            text.push(byte[0]);
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("an open socket");
    });
    let head = "POST / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
    let answer = conversation(&server, &format!("{head}3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    received.join().expect("the trailers arrived");
}
