//! Attempts that bring no response, and how they are named.

use splitway_tests::document;
use splitway_tests::events;
use splitway_tests::message::Answer;
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, Reply};
use splitway_tests::wire::Connection;

use crate::process::{Files, Serving, everything_to, problem};

#[track_caller]
fn check(document: &str, status: u16, token: &str) {
    let files = Files::new();
    let path = files.write("split.yaml", document);
    let answer = Serving::file(&path, &[]).get("/");
    assert_eq!(problem(&answer), (status, Some(token.to_owned())));
}

#[test]
fn a_port_where_nobody_listens_is_a_refused_connection() {
    let document = document::everything_to(&Origin::refusing());
    check(&document, 502, "connection_refused");
}

#[test]
fn a_name_that_does_not_exist_is_a_dns_error() {
    check(&everything_to("http://nobody.invalid"), 502, "dns_error");
}

#[test]
fn a_node_that_says_nothing_is_a_timeout() {
    let silent = Origin::on_loopback(Act::Silence.into());
    let nodes = format!("{{\"{}\": 1}}", silent.authority());
    let upstream = format!("{{nodes: {nodes}, timeout: {{connect: 0.1, send: 0.1, read: 0.1}}}}");
    check(&everything_to(&upstream), 504, "http_response_timeout");
}

/// What is answered to a request with this body, whose client then sends no more.
fn answer_to(head: &str, body: &str) -> (Option<Answer>, Origin) {
    let origin = Origin::on_loopback(Reply::ok("served").into());
    let files = Files::new();
    let path = files.write("split.json", &document::everything_to(&origin));
    let serving = Serving::file(&path, &[]);
    let mut connection = Connection::open(serving.traffic);
    let message = format!("POST / HTTP/1.1\r\nHost: a.test\r\n{head}\r\n\r\n{body}");
    connection.send_raw("POST", message.as_bytes());
    connection.end_sending();
    (connection.next_answer(), origin)
}

#[test]
fn a_body_that_is_not_http_is_the_clients_failure() {
    for (head, body) in [
        ("Transfer-Encoding: chunked", "zz\r\n"),
        ("Transfer-Encoding: chunked", "3\r\nabc\r\nzz\r\n"),
        ("Transfer-Encoding: chunked", "3\r\nabcdef\r\n"),
        ("Transfer-Encoding: chunked", "3\r\nabc\r\n"),
        ("Transfer-Encoding: chunked", "3\r\na"),
        ("Content-Length: 10", "abc"),
        ("Content-Length: 10", ""),
    ] {
        let (answer, origin) = answer_to(head, body);
        let answer = answer.unwrap_or_else(|| panic!("no answer: {head} {body:?}"));
        let expected = (400, Some("http_request_error".to_owned()));
        assert_eq!(problem(&answer), expected, "{head} {body:?}");
        // What went up is not taken for a whole request.
        assert!(origin.requests().iter().all(|request| !request.complete), "{head} {body:?}");
    }
}

#[test]
fn a_response_in_a_coding_that_cannot_be_relayed_is_a_protocol_error() {
    for codings in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: identity",
    ] {
        let response = format!("HTTP/1.1 200 OK\r\n{codings}\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        let origin = Origin::on_loopback(Act::Garbage(response.into_bytes()).into());
        check(&document::everything_to(&origin), 502, "http_protocol_error");
    }
}

#[test]
fn a_response_that_breaks_off_is_told_of_in_the_log() {
    let files = Files::new();
    for (reply, token) in [
        (
            Reply::ok("").header("content-length", "100").raw("some").then_close(),
            "connection_terminated",
        ),
        (events::then_cut(&["one"]), "connection_terminated"),
        (events::then_stall(&["one"]), "http_response_timeout"),
    ] {
        let origin = Origin::on_loopback(reply.into());
        let nodes = format!("{{\"{}\": 1}}", origin.authority());
        let timeout = "{connect: 60, send: 60, read: 60, idle: 0.1}";
        let upstream = format!("{{nodes: {nodes}, timeout: {timeout}}}");
        let path = files.write("split.yaml", &everything_to(&upstream));
        let mut serving = Serving::file(&path, &[]);
        let answer = serving.get("/");
        assert_eq!(answer.status, 200);
        let line = serving.line(|line| line.contains("response_broken"));
        for part in [token, "\"route\":\"all\"", "\"branch\":\"route\""] {
            assert!(line.contains(part), "{line}");
        }
    }
}
