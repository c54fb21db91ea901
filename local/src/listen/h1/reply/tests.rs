use std::mem;

use super::*;
use http::Response;

const ASKED: Manner = Manner { is_head: false, is_old: false, is_kept: true, expects: false };
const OLD: Manner = Manner { is_old: true, ..ASKED };
const HEAD: Manner = Manner { is_head: true, ..ASKED };

fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> Parts {
    let mut parts = Response::builder().status(status).body(()).expect("a response").into_parts().0;
    for (name, value) in [("date", "now")].iter().chain(headers) {
        parts.headers.append(*name, HeaderValue::from_static(value));
    }
    parts
}

/// A head as it is written, without its date and the empty line.
fn written(parts: &Parts, size: Option<u64>, manner: Manner, is_kept: bool) -> (String, Body) {
    let mut out = Vec::new();
    let size = size.map(SizeHint::with_exact).unwrap_or_default();
    let body = Reply { parts, edits: None, size }.write(&mut out, manner, !is_kept);
    let text = String::from_utf8(out).expect("text");
    let text = text.strip_suffix("\r\n\r\n").expect("an end");
    (text.replace("\r\ndate: now", "").replace("\r\n", "|"), body)
}

#[test]
fn a_body_is_framed_as_the_client_can_read_it() {
    let lengths = &[("content-length", "5")][..];
    for (status, headers, size, manner, line) in [
        (200, &[][..], Some(5), ASKED, "HTTP/1.1 200 OK|content-length: 5"),
        (200, lengths, Some(5), ASKED, "HTTP/1.1 200 OK|content-length: 5"),
        (200, lengths, None, ASKED, "HTTP/1.1 200 OK|content-length: 5"),
        (200, &[], Some(0), ASKED, "HTTP/1.1 200 OK|content-length: 0"),
        (200, &[], None, ASKED, "HTTP/1.1 200 OK|transfer-encoding: chunked"),
        (404, &[], None, OLD, "HTTP/1.0 404 Not Found"),
        (200, &[], Some(5), OLD, "HTTP/1.0 200 OK|connection: keep-alive|content-length: 5"),
        (200, lengths, Some(0), HEAD, "HTTP/1.1 200 OK|content-length: 5"),
        (200, &[], Some(7), HEAD, "HTTP/1.1 200 OK|content-length: 7"),
        (200, &[], Some(0), HEAD, "HTTP/1.1 200 OK"),
        (304, lengths, Some(0), ASKED, "HTTP/1.1 304 Not Modified|content-length: 5"),
        (204, lengths, Some(0), ASKED, "HTTP/1.1 204 No Content"),
        (101, &[("upgrade", "x")], Some(0), ASKED, "HTTP/1.1 101 Switching Protocols|upgrade: x"),
        (799, &[], Some(0), ASKED, "HTTP/1.1 799 |content-length: 0"),
    ] {
        assert_eq!(written(&answer(status, headers), size, manner, true).0, line);
    }
}

#[test]
fn the_client_is_told_whether_the_connection_goes_on() {
    let close = &[("connection", "close")][..];
    for (headers, manner, is_kept, line) in [
        (&[][..], ASKED, true, ""),
        (&[], ASKED, false, "|connection: close"),
        (close, ASKED, false, "|connection: close"),
        (&[], OLD, true, "|connection: keep-alive"),
        (&[], OLD, false, ""),
    ] {
        let (text, _) = written(&answer(204, headers), Some(0), manner, is_kept);
        assert_eq!(text.split_once(" No Content").expect("a line").1, line);
    }
}

#[test]
fn the_reason_is_that_of_whoever_answered_and_a_date_is_always_told() {
    let mut parts = answer(200, &[]);
    parts.extensions.insert(ReasonPhrase::from_static(b"Fine"));
    assert_eq!(written(&parts, Some(0), ASKED, true).0, "HTTP/1.1 200 Fine|content-length: 0");
    parts.headers.clear();
    let (text, _) = written(&parts, Some(0), ASKED, true);
    let date = text.split_once("|date: ").expect("a date").1;
    assert!(httpdate::parse_http_date(date).is_ok(), "{date}");
}

/// What is written of a body of these pieces, and whether all of it is.
fn pieces(body: &mut Body, pieces: &[&'static str]) -> (String, bool) {
    let mut out = Out::default();
    for piece in pieces {
        body.piece(&mut out, Frame::data(Bytes::from_static(piece.as_bytes())));
    }
    body.finish(out.bytes());
    (String::from_utf8(mem::take(out.bytes())).expect("text"), !body.is_cut())
}

#[test]
fn a_body_that_is_not_as_long_as_was_said_is_cut() {
    let framed = |size, manner| written(&answer(200, &[]), size, manner, true).1;
    for (size, manner, sent, expected) in [
        (Some(3), ASKED, &["a", "", "bc"][..], ("abc", true)),
        (Some(3), ASKED, &["ab"], ("ab", false)),
        (Some(3), ASKED, &["ab", "cd"], ("ab", false)),
        (None, ASKED, &["ab", "", "c"], ("2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", true)),
        (None, OLD, &["ab", "c"], ("abc", true)),
        (None, HEAD, &[], ("", true)),
    ] {
        let (text, is_whole) = pieces(&mut framed(size, manner), sent);
        assert_eq!((text.as_str(), is_whole), expected);
    }
}

#[test]
fn trailers_are_those_that_were_announced_and_may_be() {
    let parts = answer(200, &[("trailer", "x-sum, content-length")]);
    let (text, mut body) = written(&parts, None, ASKED, true);
    assert_eq!(text, "HTTP/1.1 200 OK|trailer: x-sum, content-length|transfer-encoding: chunked");
    let mut out = Out::default();
    let mut trailers = HeaderMap::new();
    for name in ["x-sum", "x-other", "content-length"] {
        trailers.insert(name, HeaderValue::from_static("1"));
    }
    body.piece(&mut out, Frame::trailers(trailers));
    body.finish(out.bytes());
    assert_eq!(out.bytes(), b"0\r\nx-sum: 1\r\n\r\n");
    // Of a body whose length is told there are none.
    assert_eq!(written(&parts, Some(1), ASKED, true).0, "HTTP/1.1 200 OK|content-length: 1");
}
