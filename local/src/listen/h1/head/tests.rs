use super::*;

const BOUNDS: Bounds = Bounds { bytes: 1000, headers: 8 };

fn take(head: &str) -> Result<Option<Head>, Problem> {
    let mut buffer = BytesMut::from(format!("{head}\r\n\r\nbehind").as_bytes());
    let taken = parse(&mut buffer, BOUNDS);
    if let Ok(Some(_)) = taken {
        assert_eq!(buffer, "behind", "{head:?}");
    }
    taken
}

fn head(text: &str) -> Head {
    take(text).unwrap_or_else(|problem| panic!("{text:?}: {problem:?}")).expect("a whole head")
}

#[test]
fn framing_is_what_one_reading_says() {
    use Follows::{Chunks, Length};
    for (lines, follows, is_kept) in [
        ("x: y", Length(0), true),
        ("content-length: 0", Length(0), true),
        ("Content-Length:  7 ", Length(7), true),
        ("content-length: 007", Length(7), true),
        ("content-length: 7\r\ncontent-length: 7", Length(7), true),
        ("transfer-encoding: chunked", Chunks, true),
        ("Transfer-Encoding: CHUNKED", Chunks, true),
        // What the library does not undo is refused further on.
        ("transfer-encoding: gzip, chunked", Chunks, true),
        // Chunks win, and the connection is not trusted with another request.
        ("content-length: 7\r\ntransfer-encoding: chunked", Chunks, false),
        ("transfer-encoding: chunked\r\ncontent-length: nonsense", Chunks, false),
        ("connection: close", Length(0), false),
        ("connection: x, CLOSE", Length(0), false),
        ("connection: close\r\nconnection: keep-alive", Length(0), false),
        ("connection: closed", Length(0), true),
    ] {
        let head = head(&format!("POST /x HTTP/1.1\r\n{lines}"));
        assert_eq!((head.follows, head.manner.is_kept), (follows, is_kept), "{lines:?}");
        let has_both = head.parts.headers.contains_key(TRANSFER_ENCODING)
            && head.parts.headers.contains_key(CONTENT_LENGTH);
        assert!(!has_both, "{lines:?}");
        let lengths = head.parts.headers.get_all(CONTENT_LENGTH);
        assert!(lengths.iter().count() <= 1, "{lines:?}");
    }
}

#[test]
fn of_http_1_0_connections_are_kept_where_the_client_asks_for_it() {
    for (lines, is_kept) in [
        ("x: y", false),
        ("connection: keep-alive", true),
        ("connection: keep-alive, close", false),
    ] {
        let head = head(&format!("GET / HTTP/1.0\r\n{lines}"));
        assert_eq!(head.manner.is_kept, is_kept, "{lines:?}");
        assert!(head.manner.is_old && head.parts.version == Version::HTTP_10);
    }
    let coded = take("POST / HTTP/1.0\r\ntransfer-encoding: chunked");
    assert_eq!(coded.expect_err("ambiguous"), Problem::BadRequest);
}

#[test]
fn what_two_could_read_in_two_ways_is_refused() {
    for lines in [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 5",
        "content-length: +5",
        "content-length: 5 5",
        "content-length:",
        "content-length: 18446744073709551615",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: xchunked",
        "transfer-encoding:",
        "content-length : 5",
        "x: a\r\n b",
        "x: a\0b",
        "x\0: a",
        ": a",
        "x",
    ] {
        let taken = take(&format!("POST /x HTTP/1.1\r\n{lines}"));
        assert_eq!(taken.err(), Some(Problem::BadRequest), "{lines:?}");
    }
    for line in
        ["GET /\u{0} HTTP/1.1", "GET / HTTP/1.2", "GET  HTTP/1.1", "G\tT / HTTP/1.1", "GET /"]
    {
        assert_eq!(take(line).err(), Some(Problem::BadRequest), "{line:?}");
    }
}

#[test]
fn what_is_too_much_is_refused_by_its_name_before_it_is_whole() {
    let long = "x".repeat(BOUNDS.bytes);
    for (text, problem) in [
        (format!("GET /{long}"), Problem::UriTooLong),
        (format!("GET / HTTP/1.1\r\nx: {long}"), Problem::HeadTooLarge),
        (format!("GET / HTTP/1.1\r\n{}", "x: y\r\n".repeat(9)), Problem::HeadTooLarge),
        (format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n"), Problem::HeadTooLarge),
    ] {
        let mut buffer = BytesMut::from(text.as_bytes());
        assert_eq!(parse(&mut buffer, BOUNDS).err(), Some(problem), "{text:?}");
    }
    let large = Bounds { bytes: 100_000, ..BOUNDS };
    let target = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(URI_MAX));
    let taken = parse(&mut BytesMut::from(target.as_bytes()), large);
    assert_eq!(taken.err(), Some(Problem::UriTooLong));
}

#[test]
fn a_head_is_taken_when_all_of_it_is_there() {
    let whole =
        "\r\nPOST /a?b HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n";
    for end in 0..whole.len() {
        let mut buffer = BytesMut::from(whole.split_at(end).0);
        assert!(parse(&mut buffer, BOUNDS).is_ok_and(|head| head.is_none()), "{end}");
    }
    let mut buffer = BytesMut::from(whole);
    let head = parse(&mut buffer, BOUNDS).expect("a head").expect("a whole one");
    assert!(head.manner.expects && !head.manner.is_head && buffer.is_empty());
    assert_eq!(head.parts.uri, "/a?b");
    // Nobody waits to be asked for nothing.
    let head = self::head("HEAD / HTTP/1.1\r\nexpect: 100-continue");
    assert!(!head.manner.expects && head.manner.is_head);
}

#[test]
fn only_http_1_1_goes_on_as_something_else() {
    for (text, can) in [
        ("GET / HTTP/1.1\r\nupgrade: websocket", true),
        ("GET / HTTP/1.0\r\nupgrade: websocket", false),
        ("GET / HTTP/1.1", false),
    ] {
        assert_eq!(head(text).parts.extensions.get::<CanSwitch>().is_some(), can, "{text}");
    }
}
