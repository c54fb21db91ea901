//! Bodies of requests that nobody reads, because they are refused by their heads.

use std::thread;

use splitway_tests::wire::Connection;

use crate::process::{Files, Serving};

/// A client that is not told would send its next request on a connection that is about to close, and
/// could not know whether it was executed.
#[test]
fn a_connection_ends_behind_them_with_a_word_or_goes_on() {
    let files = Files::new();
    let serving = Serving::file(&files.write("split.yaml", "routes: []\n"), &[]);
    for (size, goes_on) in [(0, true), (1, true), (60_000, true), (100_000, false)] {
        for is_chunked in [false, true] {
            let (framing, body) = match is_chunked {
                true => ("Transfer-Encoding: chunked".to_owned(), chunked(size)),
                false => (format!("Content-Length: {size}"), vec![b'x'; size]),
            };
            let mut connection = Connection::open(serving.traffic);
            let head = format!("POST / HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n");
            connection.send_raw("POST", head.as_bytes());
            thread::yield_now();
            connection.send_raw("POST", &body);
            let answer = connection.next_answer().expect("an answer");
            assert_eq!(answer.status, 404, "{size} {framing}");
            let word = answer.header("connection");
            assert_eq!(word.as_deref(), (!goes_on).then_some("close"), "{size} {framing}");
            if goes_on {
                connection.send_raw("GET", b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
            }
            let behind = connection.next_answer().map(|answer| answer.status);
            assert_eq!(behind, goes_on.then_some(404), "{size} {framing}");
        }
    }
}

fn chunked(size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in vec![b'x'; size].chunks(1000) {
        bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        bytes.extend([piece, b"\r\n"].concat());
    }
    [&bytes[..], b"0\r\n\r\n"].concat()
}
