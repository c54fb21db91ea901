//! HTTP/1.1 as bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use splitway_tests::script::DEADLINE;

use crate::serving;

/// What is sent behind each request; the last of its connection.
const SECOND: &str = "GET /second HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/// The same as the origin receives it.
const SECOND_PASSED: &str = "GET /second HTTP/1.1\r\nhost: a.test\r\n\r\n";

/// All that is answered until the connection is closed.
fn talk(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // Whoever refuses need not read it all.
    let _ = stream.write_all(bytes);
    let mut answered = Vec::new();
    let mut space = [0; 4096];
    loop {
        match stream.read(&mut space) {
            Ok(0) => break,
            Ok(count) => answered.extend_from_slice(&space[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&answered)),
        }
    }
    String::from_utf8_lossy(&answered).into_owned()
}

/// The statuses of answers.
fn statuses(answers: &str) -> Vec<u16> {
    let starts = answers.split("HTTP/1.1 ").skip(1);
    starts.map(|start| start.get(..3).unwrap().parse().unwrap()).collect()
}

/// Requests that are refused, each with the status; `\r\n\r\n` and [`SECOND`] follow.
const REFUSED: &[(&str, &str, u16)] = &[
    (
        "lengths that differ",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\nContent-Length: 44",
        400,
    ),
    ("a list of lengths", "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0, 44", 400),
    ("a list of equal lengths", "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0, 0", 400),
    ("a length with a plus", "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: +0", 400),
    ("a length with a minus", "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: -0", 400),
    ("a length in two words", "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0 44", 400),
    ("a length in hex", "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0x0", 400),
    ("no length", "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length:", 400),
    (
        "a length beyond 64 bits",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 18446744073709551616",
        400,
    ),
    (
        "a length that wraps around",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 18446744073709551615",
        400,
    ),
    (
        "a coding that is none",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: xchunked",
        400,
    ),
    (
        "a coding in quotes",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: \"chunked\"",
        400,
    ),
    (
        "chunked, and then not",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked, identity",
        400,
    ),
    ("identity", "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: identity", 400),
    (
        "identity, then chunked",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: identity, chunked",
        501,
    ),
    (
        "chunked twice",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        501,
    ),
    (
        "a coding behind a vertical tab",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: \x0bchunked",
        400,
    ),
    ("an empty coding", "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding:", 400),
    ("a coding in HTTP/1.0", "POST /x HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked", 400),
    ("a folded line", "POST /x HTTP/1.1\r\nHost: a.test\r\nX: a\r\n b\r\nContent-Length: 0", 400),
    ("a folded coding", "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding:\r\n chunked", 400),
    ("a folded first line", "POST /x HTTP/1.1\r\n X: a\r\nHost: a.test", 400),
    ("a blank before the colon", "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length : 0", 400),
    (
        "a tab before the colon",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding\t: chunked",
        400,
    ),
    ("a line without a colon", "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length", 400),
    ("a line without a name", "POST /x HTTP/1.1\r\nHost: a.test\r\n: 0", 400),
    ("a bare CR in a value", "POST /x HTTP/1.1\r\nHost: a.test\r\nX: a\rContent-Length: 44", 400),
    ("a bare CR in a name", "POST /x HTTP/1.1\r\nHost: a.test\r\nX\r: a", 400),
    ("a bare CR for a line end", "POST /x HTTP/1.1\rHost: a.test", 400),
    ("NUL in a value", "POST /x HTTP/1.1\r\nHost: a.test\r\nX: a\0b", 400),
    ("NUL in a name", "POST /x HTTP/1.1\r\nHost: a.test\r\nX\0: a", 400),
    ("NUL in a coding", "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\0", 400),
    ("NUL in the target", "POST /x\0 HTTP/1.1\r\nHost: a.test", 400),
    ("two hosts", "GET /x HTTP/1.1\r\nHost: a.test\r\nHost: b.test", 400),
    ("the same host twice", "GET /x HTTP/1.1\r\nHost: a.test\r\nHost: a.test", 400),
    ("no host", "GET /x HTTP/1.1", 400),
    ("a host and a user", "GET http://b.test@a.test/x HTTP/1.1\r\nHost: a.test", 400),
    ("a blank in the target", "GET /x HTTP/1.1 HTTP/1.1\r\nHost: a.test", 400),
    ("a version that is none", "GET /x HTTP/1.2\r\nHost: a.test", 400),
    ("a version of later", "GET /x HTTP/2.0\r\nHost: a.test", 400),
];

#[test]
fn what_is_ambiguous_is_refused_with_all_behind_it() {
    let (server, origin) = serving();
    let mut others = Vec::new();
    for (name, request, status) in REFUSED {
        // Both what could be the body and what could be the next request.
        let answers = talk(server.listen_addr(), format!("{request}\r\n\r\n{SECOND}").as_bytes());
        let received = origin.take();
        if statuses(&answers) != [*status] || !received.is_empty() {
            others.push(format!("{name}: {:?}, received {received:?}", statuses(&answers)));
        } else if !answers.contains("application/problem+json")
            || !answers.to_ascii_lowercase().contains("connection: close")
        {
            others.push(format!("{name}: not a problem and the last: {answers}"));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
}

/// Requests that have one reading only in the end, and what the origin receives of them.
const PASSED: &[(&str, &str, &str, bool)] = &[
    (
        "equal lengths are one",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "POST /x HTTP/1.1\r\nhost: a.test\r\ncontent-length: 3\r\n\r\nabc",
        true,
    ),
    (
        "chunks are believed, a length beside them is not, and the connection ends (RFC 9112, 6.3)",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /x HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        false,
    ),
    (
        "in either order",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\na\r\n0\r\n\r\n",
        "POST /x HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        false,
    ),
    (
        "a length beside chunks may be anything",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nContent-Length: nonsense\r\n\r\n0\r\n\r\n",
        "POST /x HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        false,
    ),
    (
        "bare line feeds end lines (RFC 9112, 2.2), and go no further",
        "POST /x HTTP/1.1\nHost: a.test\nContent-Length: 3\n\nabc",
        "POST /x HTTP/1.1\r\nhost: a.test\r\ncontent-length: 3\r\n\r\nabc",
        true,
    ),
    (
        "extensions of chunks go no further",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b;c=\"d\"\r\na\r\n0;e\r\n\r\n",
        "POST /x HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        true,
    ),
    (
        "zeros before a size go no further",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0001\r\na\r\n000\r\n\r\n",
        "POST /x HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        true,
    ),
    (
        "the host of an absolute target replaces another (RFC 9112, 3.2.2)",
        "GET http://b.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET /x HTTP/1.1\r\nhost: b.test\r\n\r\n",
        true,
    ),
    (
        "what a connection nominates goes no further, but for the framing and the host",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nConnection: content-length, host, x-secret\r\nX-Secret: a\r\nContent-Length: 3\r\n\r\nabc",
        "POST /x HTTP/1.1\r\nhost: a.test\r\ncontent-length: 3\r\n\r\nabc",
        true,
    ),
    (
        "a GET may have a body",
        "GET /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc",
        "GET /x HTTP/1.1\r\nhost: a.test\r\ncontent-length: 3\r\n\r\nabc",
        true,
    ),
    (
        "empty lines before a request are no request (RFC 9112, 2.2)",
        "\r\n\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n",
        true,
    ),
    (
        "no upgrade is forwarded",
        "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
        "GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n",
        true,
    ),
];

#[test]
fn what_is_odd_goes_up_with_one_reading() {
    let (server, origin) = serving();
    let mut others = Vec::new();
    for (name, request, passed, goes_on) in PASSED {
        let answers = talk(server.listen_addr(), format!("{request}{SECOND}").as_bytes());
        let received = sorted(&origin.take());
        let second = if *goes_on { SECOND_PASSED } else { "" };
        let expected = sorted(&format!("{passed}{second}"));
        let count = if *goes_on { 2 } else { 1 };
        if received != expected || statuses(&answers) != vec![200; count] {
            others.push(format!("{name}: {:?}, received {received:?}", statuses(&answers)));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
}

/// The same bytes with the header lines of each head in the order of the alphabet.
pub(crate) fn sorted(requests: &str) -> String {
    let mut lines: Vec<&str> = requests.split_inclusive("\r\n").collect();
    for head in lines.chunk_by_mut(|line, next| is_header(line) == is_header(next)) {
        if head.first().is_some_and(|line| is_header(line)) {
            head.sort_unstable();
        }
    }
    lines.concat()
}

fn is_header(line: &str) -> bool {
    line.contains(": ") && line.ends_with("\r\n")
}

/// Bodies that are broken in the middle: nothing that follows is a request, and the origin is never told
/// that the body is complete.
#[test]
fn a_body_that_is_none_ends_the_connection() {
    let (server, origin) = serving();
    let head = "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (name, body) in [
        ("a size beyond 64 bits", "10000000000000000\r\na\r\n0\r\n\r\n"),
        ("a size that wraps around to 1", "10000000000000001\r\na\r\n0\r\n\r\n"),
        ("a size in hex with a prefix", "0x1\r\na\r\n0\r\n\r\n"),
        ("a size with a plus", "+1\r\na\r\n0\r\n\r\n"),
        ("a size with a minus", "-1\r\na\r\n0\r\n\r\n"),
        ("no size", "\r\na\r\n0\r\n\r\n"),
        ("a size that is none", "g\r\na\r\n0\r\n\r\n"),
        ("a bare LF behind a size", "1\na\r\n0\r\n\r\n"),
        ("a bare CR behind a size", "1\ra\r\n0\r\n\r\n"),
        ("a bare LF in an extension", "1;a\nb\r\na\r\n0\r\n\r\n"),
        ("a chunk longer than its size", "1\r\nab\r\n0\r\n\r\n"),
        ("a bare LF behind a chunk", "1\r\na\n0\r\n\r\n"),
        ("no line end behind a chunk", "1\r\na0\r\n\r\n"),
    ] {
        let answers = talk(server.listen_addr(), format!("{head}{body}{SECOND}").as_bytes());
        let received = origin.take();
        assert!(!received.contains("/second"), "{name}: received {received:?}");
        assert!(!received.ends_with("0\r\n\r\n"), "{name}: received {received:?}");
        let refused = matches!(*statuses(&answers), [] | [400] | [502]);
        assert!(refused, "{name}: {answers:?}");
        let says_so = answers.is_empty() || answers.contains("connection: close");
        assert!(says_so, "{name}: {answers:?}");
    }
}

/// The body of a request that is refused for its head is never the next request.
#[test]
fn a_connection_is_over_after_a_refusal_in_a_sequence() {
    let (server, origin) = serving();
    let sound = "GET /first HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let refused = "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: +1\r\n\r\n";
    let answers = talk(server.listen_addr(), format!("{sound}{refused}{SECOND}").as_bytes());
    assert_eq!(statuses(&answers), [200, 400], "{answers}");
    assert_eq!(origin.take(), "GET /first HTTP/1.1\r\nhost: a.test\r\n\r\n");
}
