//! What clients are held to: how much, how long, how many.

use std::io::Read;
use std::net::{Shutdown, TcpStream};

use serde_json::Value;
use splitway_tests::document;
use splitway_tests::line::Line;
use splitway_tests::message::{Answer, Call};
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, DEADLINE, Gate, Piece, Reply, Script};
use splitway_tests::wire::Connection;

use crate::process::{Files, Serving, origin, problem};

/// A server of one thread with these options in front of `origin`.
fn serving(origin: &Origin, options: &[&str]) -> Serving {
    let files = Files::new();
    let path = files.write("split.yaml", &document::everything_to(origin));
    Serving::file(&path, &[&["--workers", "1"], options].concat())
}

/// Checks that an answer is a problem with this status, the last of its connection, and logged.
fn check_refused(serving: &mut Serving, connection: &mut Connection, status: u16) -> Answer {
    let answer = connection.answer();
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.json()["status"], status, "{}", answer.text());
    let about = [answer.header("content-type"), answer.header("connection")];
    assert_eq!(about, ["application/problem+json", "close"].map(|it| Some(it.to_owned())));
    assert_eq!(answer.header("x-splitway-route").as_deref(), Some("none"));
    assert!(connection.next_answer().is_none(), "{status} does not end the connection");
    let line = serving.line(|line| line.contains("\"event\":\"request\""));
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&line["status"], &line["problem"]), (&status.into(), &"http_request_error".into()));
    answer
}

/// Sends a GET with these many headers more, of `size` bytes each.
fn send(serving: &Serving, target: &str, count: usize, size: usize) -> Connection {
    let mut connection = Connection::open(serving.traffic);
    let mut head = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n");
    for number in 0..count {
        let name = format!("x-{number:05}: ");
        head += &format!("{name}{}\r\n", "a".repeat(size - name.len() - 2));
    }
    connection.send_raw("GET", format!("{head}\r\n").as_bytes());
    connection
}

#[test]
fn heads_have_a_size() {
    let upstream = origin("through");
    let mut serving = serving(&upstream, &["--max-header-bytes", "4096"]);
    assert_eq!(send(&serving, "/", 1, 4000).answer().text(), "through");
    for (count, size) in [(1, 4096), (50, 1000), (1, 200_000)] {
        let mut connection = send(&serving, "/", count, size);
        check_refused(&mut serving, &mut connection, 431);
    }
    // Behind one that was answered, too.
    let mut connection = Connection::open(serving.traffic);
    connection.send(&Call::get("/"));
    assert_eq!(connection.answer().status, 200);
    connection.send(&Call::get("/").header("x", "a".repeat(5000)));
    check_refused(&mut serving, &mut connection, 431);
    assert_eq!(upstream.count(), 2);
}

#[test]
fn heads_have_so_many_headers() {
    let upstream = origin("through");
    for (options, fitting) in
        [(&[][..], 99), (&["--max-headers", "10"], 9), (&["--max-headers", "300"], 299)]
    {
        let mut serving = serving(&upstream, options);
        // Beside them there is the host.
        assert_eq!(send(&serving, "/", fitting, 20).answer().text(), "through");
        let mut connection = send(&serving, "/", fitting + 1, 20);
        check_refused(&mut serving, &mut connection, 431);
    }
    assert_eq!(upstream.count(), 3);
}

#[test]
fn targets_have_a_length() {
    let upstream = origin("through");
    let target = |length: usize| format!("/{}", "a".repeat(length - 1));
    for (options, longest) in [(&[][..], 16_384), (&["--max-uri", "100"], 100)] {
        let mut serving = serving(&upstream, options);
        assert_eq!(send(&serving, &target(longest), 0, 0).answer().text(), "through");
        let mut connection = send(&serving, &target(longest + 1), 0, 0);
        check_refused(&mut serving, &mut connection, 414);
    }
    let mut serving = serving(&upstream, &["--max-uri", "65534", "--max-header-bytes", "262144"]);
    let mut connection = send(&serving, &target(70_000), 0, 0);
    check_refused(&mut serving, &mut connection, 414);
    assert_eq!(upstream.count(), 2);
}

#[test]
fn what_is_no_http_is_told_so() {
    let upstream = origin("");
    let mut serving = serving(&upstream, &[]);
    let mut connection = Connection::open(serving.traffic);
    connection.send_raw("GET", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    check_refused(&mut serving, &mut connection, 400);
}

#[test]
fn a_head_must_come_in_time() {
    let upstream = origin("");
    let mut serving = serving(&upstream, &["--header-timeout", "200ms"]);
    let mut connection = Connection::open(serving.traffic);
    connection.send_raw("GET", b"GET / HTTP/1.1\r\nHost: a.test\r\n");
    check_refused(&mut serving, &mut connection, 408);
    let mut connection = Connection::open(serving.traffic);
    connection.send(&Call::get("/"));
    assert_eq!(connection.answer().status, 200);
    connection.send_raw("GET", b"G");
    check_refused(&mut serving, &mut connection, 408);
}

#[test]
fn a_connection_that_waits_for_too_long_is_closed_without_a_word() {
    let options = ["--idle-timeout", "200ms", "--header-timeout", "5s"];
    let upstream = origin("");
    let mut serving = serving(&upstream, &options);
    let mut connection = Connection::open(serving.traffic);
    assert!(connection.next_answer().is_none(), "it was told something");
    let mut connection = Connection::open(serving.traffic);
    connection.send(&Call::get("/"));
    assert_eq!(connection.answer().status, 200);
    assert!(connection.next_answer().is_none(), "it was told something");
    assert!(!serving.told().contains("\"event\":\"request\""));
}

#[test]
fn a_body_must_go_on() {
    let upstream = origin("");
    let mut serving = serving(&upstream, &["--body-timeout", "200ms"]);
    for is_chunked in [false, true] {
        let framing = if is_chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 10" };
        let start = if is_chunked { "5\r\nabc" } else { "abc" };
        let mut connection = Connection::open(serving.traffic);
        let head = format!("POST / HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n{start}");
        connection.send_raw("POST", head.as_bytes());
        check_refused(&mut serving, &mut connection, 408);
    }
    assert!(upstream.requests().iter().all(|request| !request.complete));
}

/// An answer that has begun cannot become a 408: the connection is cut.
#[test]
fn a_body_that_stalls_behind_the_answer_ends_the_connection() {
    // It answers before it has read all, and would go on answering for ever.
    let early = Origin::listening(Act::Close.into(), |mut stream: Line| {
        use std::io::Write;
        let mut space = [0; 1024];
        let mut head = Vec::new();
        while !head.ends_with(b"abc") {
            let count = stream.read(&mut space)?;
            head.extend_from_slice(&space[..count]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")?;
        Ok(stream)
    });
    let serving = serving(&early, &["--body-timeout", "200ms"]);
    let mut connection = Connection::open(serving.traffic);
    let head = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nabc";
    connection.send_raw("POST", head.as_bytes());
    let answer = connection.answer();
    assert_eq!((answer.status, answer.complete), (200, false));
}

/// An upstream whose answers wait for a gate.
fn gated() -> (Origin, Gate) {
    let gate = Gate::default();
    let behind = gate.clone();
    let origin = Origin::on_loopback(Script::new(move |_| {
        behind.wait();
        Act::Answer(Reply::ok("late"))
    }));
    (origin, gate)
}

#[test]
fn a_request_too_many_is_told_to_come_again() {
    let (upstream, gate) = gated();
    let mut serving = serving(&upstream, &["--max-requests", "1", "--max-wait", "100ms"]);
    let mut first = Connection::open(serving.traffic);
    first.send(&Call::get("/"));
    upstream.wait_until("the first is there", |requests| requests.len() == 1);
    let mut second = Connection::open(serving.traffic);
    second.send(&Call::get("/"));
    let answer = second.answer();
    assert_eq!(problem(&answer), (503, Some("http_request_denied".to_owned())));
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    let line = serving.line(|line| line.contains("\"event\":\"request\""));
    assert!(line.contains("\"problem\":\"http_request_denied\""), "{line}");
    gate.open();
    assert_eq!(first.answer().text(), "late");
    // The connection goes on.
    second.send(&Call::get("/"));
    assert_eq!(second.answer().text(), "late");
}

#[test]
fn a_request_too_many_waits_for_its_turn() {
    let (upstream, gate) = gated();
    let serving = serving(&upstream, &["--max-requests", "1", "--max-wait", "30s"]);
    let mut connections: Vec<Connection> = (0..5)
        .map(|_| {
            let mut connection = Connection::open(serving.traffic);
            connection.send(&Call::get("/"));
            connection
        })
        .collect();
    upstream.wait_until("one is there", |requests| !requests.is_empty());
    gate.open();
    for connection in &mut connections {
        assert_eq!(connection.answer().text(), "late");
    }
}

/// The place of a request is taken until its answer is complete, or its client gone.
#[test]
fn an_answer_that_goes_on_keeps_its_place() {
    let gate = Gate::default();
    let pieces = [Piece::Send(b"one".to_vec()), Piece::Wait(gate.clone())];
    let upstream = Origin::on_loopback(Reply::status(200).pieces(pieces).into());
    let serving = serving(&upstream, &["--max-requests", "1", "--max-wait", "100ms"]);
    let mut first = Connection::open(serving.traffic);
    first.send(&Call::get("/"));
    first.start();
    first.expect_bytes(b"one");
    assert_eq!(serving.get("/").status, 503);
    first.leave().expect("it is open");
    upstream.wait_until("the first is gone", |requests| requests.len() == 1);
    let mut second = Connection::open(serving.traffic);
    loop {
        second.send(&Call::get("/"));
        let start = second.start();
        if start.status == 200 {
            break;
        }
        let _ = second;
        second = Connection::open(serving.traffic);
    }
    gate.open();
}

#[test]
fn a_connection_too_many_waits() {
    let upstream = origin("through");
    let mut serving = serving(&upstream, &["--max-connections", "2"]);
    let mut seated: Vec<Connection> = (0..2).map(|_| Connection::open(serving.traffic)).collect();
    for connection in &mut seated {
        connection.send(&Call::get("/"));
        assert_eq!(connection.answer().status, 200);
    }
    let mut third = Connection::open(serving.traffic);
    third.send(&Call::get("/"));
    serving.line(|line| line.contains("\"event\":\"connections_at_limit\""));
    // Those that are in go on.
    seated[0].send(&Call::get("/"));
    assert_eq!(seated[0].answer().status, 200);
    seated.pop();
    assert_eq!(third.answer().text(), "through");
}

/// The answer arrives although the client sends on and on: closing at once would reset it away.
#[test]
fn a_refusal_is_not_lost_in_what_is_still_sent() {
    let upstream = origin("");
    let mut serving = serving(&upstream, &["--max-header-bytes", "1024"]);
    for _ in 0..20 {
        let mut connection = send(&serving, "/", 200, 1000);
        check_refused(&mut serving, &mut connection, 431);
    }
    let stream = TcpStream::connect(serving.traffic).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("it is open");
    stream.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!((&stream).read(&mut [0; 16]).expect("an end in time"), 0);
}
