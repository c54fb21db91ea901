//! Requests that HTTP forbids, to either listener.

use std::net::SocketAddr;

use splitway_tests::message::Answer;
use splitway_tests::wire::Connection;

use crate::process::{Files, Serving};

/// A request, and the status of its answer.
const FORBIDDEN: [(&str, u16); 16] = [
    ("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", 405),
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: \u{e9}\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: user@a.test\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a.test:99999\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n", 400),
    ("GET a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("GET a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("GET a.test HTTP/1.0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    (
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    ("CONNECT a.test:443 HTTP/1.1\r\n\r\n", 405),
];

/// What is answered to a request and to one sent behind it.
fn answers(to: SocketAddr, request: &str) -> (Answer, Option<Answer>) {
    let mut connection = Connection::open(to);
    let method = request.split(' ').next().expect("a word");
    let second = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    connection.send_raw(method, format!("{request}{second}").as_bytes());
    let first = connection.next_answer();
    let first = first.unwrap_or_else(|| panic!("no answer to {request:?}"));
    (first, connection.next_answer())
}

#[test]
fn they_are_answered_with_a_problem_and_end_their_connection() {
    let files = Files::new();
    let serving = Serving::ledger(&files.path("data"), crate::process::splitway());
    let admin = serving.admin.expect("the Admin API is on");
    for (listener, has_proof) in [(serving.traffic, true), (admin, false)] {
        for (request, status) in FORBIDDEN {
            let (answer, behind) = answers(listener, request);
            assert_eq!(answer.status, status, "{request:?}");
            for (name, value) in [
                ("content-type", "application/problem+json"),
                ("proxy-status", "splitway; error=http_request_error"),
                ("connection", "close"),
            ] {
                assert_eq!(answer.header(name).as_deref(), Some(value), "{request:?}");
            }
            let proof = answer.header("x-splitway-route");
            assert_eq!(proof.as_deref(), has_proof.then_some("none"), "{request:?}");
            assert_eq!(answer.json().get("status"), Some(&status.into()), "{request:?}");
            assert!(behind.is_none(), "{request:?} does not end the connection");
        }
    }
}

#[test]
fn what_only_looks_forbidden_is_not() {
    let files = Files::new();
    let serving = Serving::file(&files.write("split.yaml", "routes: []\n"), &[]);
    for request in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a_b.test\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET http://a.test HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET http://a.test?x HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
    ] {
        let (answer, _) = answers(serving.traffic, request);
        assert_eq!(answer.status, 404, "{request:?}");
    }
}
