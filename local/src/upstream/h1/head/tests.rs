use super::*;

/// What a head is taken for: the status, what follows, and whether the connection is kept.
fn read(head: &str, asked: Asked) -> Result<(u16, Follows, bool), Failure> {
    let mut buffer = BytesMut::from(head.as_bytes());
    let head = parse(&mut buffer, asked)?.expect("a whole head");
    assert!(buffer.is_empty());
    Ok((head.response.status().as_u16(), head.follows, !head.is_last))
}

fn ask(head: &str) -> Result<(u16, Follows, bool), Failure> {
    read(head, Asked::default())
}

#[test]
fn framing_is_what_one_reading_says() {
    use Follows::{Chunks, Length, Rest};
    for (lines, follows, is_kept) in [
        ("content-length: 5\r\n", Length(5), true),
        ("Content-Length:5\r\n", Length(5), true),
        ("content-length: 005\r\n", Length(5), true),
        ("content-length: 5\r\ncontent-length: 5\r\n", Length(5), true),
        ("content-length: 5, 5\r\n", Length(5), true),
        ("transfer-encoding: chunked\r\n", Chunks, true),
        ("Transfer-Encoding: CHUNKED\r\n", Chunks, true),
        // Chunks win, and the connection is not trusted with another request.
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", Chunks, false),
        ("transfer-encoding: chunked\r\ncontent-length: nonsense\r\n", Chunks, false),
        ("", Rest, false),
        ("connection: keep-alive\r\n", Rest, false),
        ("content-length: 5\r\nconnection: close\r\n", Length(5), false),
        ("content-length: 5\r\nconnection: x, CLOSE\r\n", Length(5), false),
        ("content-length: 5\r\nconnection: close\r\nconnection: keep-alive\r\n", Length(5), false),
        ("content-length: 5\r\nconnection: closed\r\n", Length(5), true),
    ] {
        let read = ask(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
        assert_eq!(read, Ok((200, follows, is_kept)), "{lines:?}");
    }
    for (lines, follows, is_kept) in [
        ("content-length: 5\r\n", Length(5), false),
        ("content-length: 5\r\nconnection: keep-alive\r\n", Length(5), true),
        ("content-length: 5\r\nconnection: keep-alive, close\r\n", Length(5), false),
        ("connection: keep-alive\r\n", Rest, false),
    ] {
        let read = ask(&format!("HTTP/1.0 200 OK\r\n{lines}\r\n"));
        assert_eq!(read, Ok((200, follows, is_kept)), "HTTP/1.0, {lines:?}");
    }
}

#[test]
fn what_two_could_read_in_two_ways_is_refused() {
    for lines in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5, 6\r\n",
        "content-length: 5,\r\n",
        "content-length: +5\r\n",
        "content-length: -5\r\n",
        "content-length: 5 5\r\n",
        "content-length: 0x5\r\n",
        "content-length:\r\n",
        "content-length: 18446744073709551616\r\n",
        "content-length: 99999999999999999999999\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: \"chunked\"\r\n",
        "transfer-encoding: chunked;a=b\r\n",
        "transfer-encoding:\r\n",
        "transfer-encoding: \u{b}chunked\r\n",
        "transfer-encoding: gzip\r\ncontent-length: 5\r\n",
        // Lines that are none.
        "a: b\r\n c\r\n",
        "a: b\r\n\tc\r\n",
        "transfer-encoding:\r\n chunked\r\n",
        " a: b\r\n",
        "content-length : 5\r\n",
        "transfer-encoding\t: chunked\r\n",
        "content-length\r\n",
        ": 5\r\n",
        "a\0: b\r\n",
        "a: b\0\r\n",
        "a: b\rcontent-length: 5\r\n",
        "a: b\u{7f}\r\n",
        "a b: c\r\n",
    ] {
        let read = ask(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
        assert_eq!(read, Err(Failure::HttpProtocolError), "{lines:?}");
        // Also where no body follows, so that no client is told.
        let head = Asked { is_head: true, ..Asked::default() };
        let read = self::read(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"), head);
        assert_eq!(read, Err(Failure::HttpProtocolError), "HEAD, {lines:?}");
    }
    let chunked = ask("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_eq!(chunked, Err(Failure::HttpProtocolError));
}

#[test]
fn first_lines_are_read_and_others_refused() {
    for (line, status, reason) in [
        ("HTTP/1.1 200 OK", 200, None),
        ("HTTP/1.1 200 Fine", 200, Some("Fine")),
        ("HTTP/1.1 200 ", 200, Some("")),
        ("HTTP/1.1 200", 200, Some("")),
        ("HTTP/1.1 299 Other\tthings", 299, Some("Other\tthings")),
        ("HTTP/1.0 999 x", 999, Some("x")),
        ("\r\n\r\nHTTP/1.1 200 OK", 200, None),
    ] {
        let mut buffer = BytesMut::from(format!("{line}\r\n\r\n").as_bytes());
        let head = parse(&mut buffer, Asked::default()).expect(line).expect("a whole head");
        assert_eq!(head.response.status().as_u16(), status);
        let told = head.response.extensions().get::<ReasonPhrase>();
        assert_eq!(told.map(ReasonPhrase::as_bytes), reason.map(str::as_bytes), "{line:?}");
    }
    for line in [
        "HTTP/1.1 099 x",
        "HTTP/1.1 1000 x",
        "HTTP/1.1 20 x",
        "HTTP/1.1 abc x",
        "HTTP/1.1 +20 x",
        "HTTP/1.1  200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/0.9 200 OK",
        "http/1.1 200 OK",
        "HTTP/1.1200 OK",
        " HTTP/1.1 200 OK",
        "HTTP/1.1 200 a\0b",
        "HTTP/1.1 200 a\rb",
        "ICY 200 OK",
        "<html>",
        "\u{16}\u{3}\u{1}",
    ] {
        assert_eq!(ask(&format!("{line}\r\n\r\n")), Err(Failure::HttpProtocolError), "{line:?}");
    }
}

#[test]
fn answers_without_a_body_have_none() {
    let switch = Asked { is_switch: true, ..Asked::default() };
    let head = Asked { is_head: true, ..Asked::default() };
    for (line, asked, follows) in [
        ("204 No Content", Asked::default(), Ok(Follows::Length(0))),
        ("304 Not Modified", Asked::default(), Ok(Follows::Length(0))),
        ("200 OK", head, Ok(Follows::Length(0))),
        ("101 Switching Protocols", switch, Ok(Follows::Length(0))),
        ("101 Switching Protocols", Asked::default(), Err(Failure::HttpProtocolError)),
        ("100 Continue", Asked::default(), Ok(Follows::Head)),
        ("103 Early Hints", switch, Ok(Follows::Head)),
        ("199 x", head, Ok(Follows::Head)),
    ] {
        for lines in ["", "content-length: 5\r\n", "transfer-encoding: chunked\r\n"] {
            let read = read(&format!("HTTP/1.1 {line}\r\n{lines}\r\n"), asked);
            assert_eq!(read.map(|(_, follows, _)| follows), follows, "{line:?} {lines:?}");
        }
    }
}

#[test]
fn what_goes_on_says_one_length_or_none() {
    for (lines, length) in [
        ("content-length: 5\r\ncontent-length: 5\r\n", Some("5")),
        ("content-length: 5, 5\r\n", Some("5")),
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", None),
    ] {
        let mut buffer = BytesMut::from(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes());
        let head = parse(&mut buffer, Asked::default()).expect(lines).expect("a whole head");
        let lengths: Vec<_> = head.response.headers().get_all(CONTENT_LENGTH).iter().collect();
        assert_eq!(lengths, Vec::from_iter(length), "{lines:?}");
    }
}

#[test]
fn bare_line_feeds_end_lines_and_values_keep_their_bytes() {
    let mut buffer = BytesMut::from(&b"HTTP/1.1 200 OK\nX-A: \xe9 b \nx-a:c\n\nrest"[..]);
    let head = parse(&mut buffer, Asked::default()).expect("a head").expect("a whole head");
    let values: Vec<_> = head.response.headers().get_all("x-a").iter().collect();
    let values: Vec<_> = values.into_iter().map(HeaderValue::as_bytes).collect();
    assert_eq!(values, [&b"\xe9 b"[..], b"c"]);
    assert_eq!(&buffer[..], b"rest");
}

#[test]
fn heads_are_bounded() {
    let many = "a: b\r\n".repeat(HEADERS_MAX);
    assert!(ask(&format!("HTTP/1.1 200 OK\r\n{many}\r\n")).is_ok());
    let more = ask(&format!("HTTP/1.1 200 OK\r\n{many}a: b\r\n\r\n"));
    assert_eq!(more, Err(Failure::HttpProtocolError));
    let long = "x".repeat(BYTES_MAX);
    for text in
        [format!("HTTP/1.1 200 OK\r\na: {long}\r\n\r\n"), format!("HTTP/1.1 200 OK\r\na: {long}")]
    {
        assert_eq!(ask(&text), Err(Failure::HttpProtocolError));
    }
}
