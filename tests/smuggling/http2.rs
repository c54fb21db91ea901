//! HTTP/2 as frames, in front of an origin of HTTP/1.1.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use splitway_tests::script::DEADLINE;

use crate::serving;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Answered, with the status if that is one that has a number of its own in HPACK.
    Answered(Option<u16>),
    /// The stream was reset, or the whole connection closed.
    Reset,
}

/// The headers of a request, in HPACK: each as a literal that no table remembers.
fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Sends one request on a connection of its own; its body is in these pieces, none is no body.
fn ask(to: SocketAddr, headers: &[(&str, &str)], body: &[&str]) -> Outcome {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    let end = if body.is_empty() { END_STREAM } else { 0 };
    bytes.extend(frame(HEADERS, END_HEADERS | end, 1, &block(headers)));
    for (number, piece) in body.iter().enumerate() {
        let end = if number + 1 == body.len() { END_STREAM } else { 0 };
        bytes.extend(frame(DATA, end, 1, piece.as_bytes()));
    }
    stream.write_all(&bytes).unwrap();
    outcome(&mut stream)
}

/// Reads frames until the first stream is answered or reset.
fn outcome(stream: &mut TcpStream) -> Outcome {
    let mut status = None;
    loop {
        let mut head = [0; 9];
        match stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no outcome in time"),
            Err(_) => return Outcome::Reset,
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).unwrap();
        let (kind, flags) = (head[3], head[4]);
        match kind {
            RST_STREAM | GOAWAY => return Outcome::Reset,
            PING if flags & ACK == 0 => {
                stream.write_all(&frame(PING, ACK, 0, &payload)).unwrap();
            }
            HEADERS => {
                status = Some(match payload[0] {
                    0x88 => Some(200),
                    0x8c => Some(400),
                    0x8d => Some(404),
                    _ => None,
                });
            }
            _ => {}
        }
        if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
            return Outcome::Answered(status.expect("headers before data"));
        }
    }
}

/// A request with these headers in place of those that it has, or beside them.
fn with<'h>(more: &[(&'h str, &'h str)]) -> Vec<(&'h str, &'h str)> {
    let mut headers =
        vec![(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", "/x")];
    for (name, value) in more {
        match headers.iter_mut().find(|(known, _)| known == name && name.starts_with(':')) {
            Some(known) => known.1 = value,
            None => headers.push((name, value)),
        }
    }
    headers
}

#[test]
fn what_http_1_has_no_words_for_is_refused() {
    let (server, origin) = serving();
    let to = server.listen_addr();
    let check = |headers: &[(&str, &str)]| {
        let outcome = ask(to, headers, &[]);
        let refused = [Outcome::Reset, Outcome::Answered(Some(400))].contains(&outcome);
        assert!(refused, "{headers:?}: {outcome:?}");
        assert_eq!(origin.take(), "", "{headers:?}");
    };
    for more in [
        ("connection", "close"),
        ("connection", "transfer-encoding"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("te", "trailers, chunked"),
        ("host", "b.test"),
        ("x", "a\r\nContent-Length: 44"),
        ("x", "a\nb"),
        ("x", "a\rb"),
        ("x", "a\0b"),
        ("x\r\ncontent-length", "44"),
        ("x y", "a"),
        ("x:", "a"),
        ("X-Upper", "a"),
        ("", "a"),
        ("content-length", "+0"),
        ("content-length", "5"),
        ("content-length", "0, 0"),
        (":authority", "b.test@a.test"),
        (":authority", "a.test/x"),
        (":authority", "a.test, b.test"),
        (":authority", "a.test\r\nx: y"),
        (":path", "x"),
        (":path", ""),
        (":path", "/x HTTP/1.1\r\nhost: b.test"),
        (":path", "/x y"),
        (":path", "http://b.test/x"),
        (":method", "GET /y HTTP/1.1\r\nhost: b.test\r\n\r\nPOST"),
        (":method", ""),
        (":scheme", "http\r\nx: y"),
        (":status", "200"),
        (":unknown", "a"),
    ] {
        check(&with(&[more]));
    }
    for twice in [(":path", "/y"), (":authority", "a.test"), (":method", "POST")] {
        let mut headers = with(&[]);
        headers.insert(1, twice);
        check(&headers);
    }
    let mut late = with(&[("x", "a")]);
    let path = late.remove(3);
    late.push(path);
    check(&late);
    check(&with(&[("host", "a.test"), ("host", "b.test")]));
    check(&with(&[("content-length", "0"), ("content-length", "1")]));
}

/// What a request has beside the usual, its body, and what the origin receives.
type Case<'c> = (&'c [(&'c str, &'c str)], &'c [&'c str], &'c str);

#[test]
fn what_passes_is_one_request_of_http_1() {
    let (server, origin) = serving();
    let to = server.listen_addr();
    let cases: [Case<'_>; 9] = [
        (&[], &[], "POST /x HTTP/1.1\r\nhost: a.test\r\n\r\n"),
        (
            &[("content-length", "3")],
            &["ab", "c"],
            "POST /x HTTP/1.1\r\ncontent-length: 3\r\nhost: a.test\r\n\r\nabc",
        ),
        (
            &[],
            &["abc"],
            "POST /x HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            &[(":method", "GET")],
            &["abc"],
            "GET /x HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
        (&[("host", "A.test")], &[], "POST /x HTTP/1.1\r\nhost: a.test\r\n\r\n"),
        (&[("te", "trailers")], &[], "POST /x HTTP/1.1\r\nhost: a.test\r\n\r\n"),
        (
            &[("cookie", "a=b"), ("cookie", "c=d"), ("cookie", "e=f")],
            &[],
            "POST /x HTTP/1.1\r\ncookie: a=b; c=d; e=f\r\nhost: a.test\r\n\r\n",
        ),
        (
            &[("expect", "100-continue"), ("content-length", "1")],
            &["a"],
            "POST /x HTTP/1.1\r\ncontent-length: 1\r\nhost: a.test\r\n\r\na",
        ),
        (
            &[(":method", "GET"), (":path", "/../x//y?z=/..")],
            &[],
            "GET /x//y?z=/.. HTTP/1.1\r\nhost: a.test\r\n\r\n",
        ),
    ];
    for (more, body, expected) in cases {
        let outcome = ask(to, &with(more), body);
        assert_eq!(outcome, Outcome::Answered(Some(200)), "{more:?}");
        assert_eq!(crate::http1::sorted(&origin.take()), expected, "{more:?}");
    }
}

/// The origin never takes a body for complete that is shorter or longer than was said.
#[test]
fn a_body_of_another_length_than_was_said_is_none() {
    let (server, origin) = serving();
    let head = "POST /x HTTP/1.1\r\ncontent-length: 3\r\nhost: a.test\r\n\r\n";
    for body in [&["a"][..], &["a", "b"], &["abcd"], &["ab", "cd"], &["ab", "cGET /y"], &[""]] {
        let headers = with(&[("content-length", "3")]);
        let outcome = ask(server.listen_addr(), &headers, body);
        let received = crate::http1::sorted(&origin.take());
        let sent = received.strip_prefix(head).unwrap_or_default();
        assert!(received.is_empty() || received.starts_with(head), "{body:?}: {received:?}");
        assert!(sent.len() < 3, "{body:?}: received {received:?}");
        assert_ne!(outcome, Outcome::Answered(Some(200)), "{body:?}");
    }
}

/// The preface of HTTP/2 in the midst of HTTP/1.1 begins nothing.
#[test]
fn a_preface_behind_a_request_is_none() {
    let (server, origin) = serving();
    let mut stream = TcpStream::connect(server.listen_addr()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut bytes = b"GET /first HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec();
    bytes.extend(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&with(&[]))));
    stream.write_all(&bytes).unwrap();
    let mut answered = Vec::new();
    // Closed, with or without a reset.
    let _ = stream.read_to_end(&mut answered);
    let answered = String::from_utf8_lossy(&answered);
    assert_eq!(answered.matches("HTTP/1.1 200").count(), 1, "{answered}");
    assert_eq!(origin.take(), "GET /first HTTP/1.1\r\nhost: a.test\r\n\r\n");
}

/// A client that asks and takes back, again and again, is sent away (CVE-2023-44487).
#[test]
fn a_flood_of_resets_ends_the_connection() {
    let (server, _origin) = serving();
    let mut stream = TcpStream::connect(server.listen_addr()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    for stream in (1..4001).step_by(2) {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&with(&[]))));
        bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    // Whoever is sent away need not be read to the end.
    let _ = stream.write_all(&bytes);
    let mut read = Vec::new();
    let ended = stream.read_to_end(&mut read).err().map(|error| error.kind());
    assert_ne!(ended, Some(ErrorKind::WouldBlock), "it goes on");
}
