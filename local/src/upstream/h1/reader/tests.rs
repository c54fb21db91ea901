use super::*;
use splitway_tests::chance::{Chance, environment};

/// All that comes of the bytes of a node.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    head: Option<String>,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// How it ended: whole, or broken off, or still to come.
    end: Option<Result<(), Failure>>,
    /// Whether the connection takes another request.
    is_free: bool,
    /// What follows the response.
    rest: Vec<u8>,
}

fn shown(response: &Response<()>) -> String {
    let reason = response.extensions().get::<hyper::ext::ReasonPhrase>();
    format!("{} {reason:?} {:?}", response.status(), response.headers())
}

/// Reads a response that comes in these pieces, and then ends if `is_ended`.
fn read(pieces: &[&[u8]], asked: Asked, is_ended: bool) -> Told {
    let mut reader = Reader::new();
    reader.ask(asked);
    let mut told = Told::default();
    let mut buffer = BytesMut::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        step(&mut reader, &mut buffer, false, &mut told);
    }
    if is_ended {
        step(&mut reader, &mut buffer, true, &mut told);
    }
    told.is_free = reader.is_free();
    told.rest = if told.end == Some(Ok(())) { buffer.to_vec() } else { Vec::new() };
    told
}

/// Takes what is there.
fn step(reader: &mut Reader, buffer: &mut BytesMut, is_ended: bool, told: &mut Told) {
    if told.end.is_some() {
        return;
    }
    if told.head.is_none() {
        match reader.head(buffer, is_ended) {
            Ok(Some(response)) => told.head = Some(shown(&response)),
            Ok(None) => return,
            Err(failure) => {
                told.end = Some(Err(failure));
                return;
            }
        }
    }
    loop {
        match reader.body(buffer, is_ended) {
            Ok(Piece::More) => return,
            Ok(Piece::Data(bytes)) => {
                assert!(!bytes.is_empty());
                told.body.extend_from_slice(&bytes);
            }
            Ok(Piece::Trailers(trailers)) => told.trailers = Some(trailers),
            Ok(Piece::End) => {
                assert!(reader.is_at_end());
                told.end = Some(Ok(()));
                return;
            }
            Err(failure) => {
                told.end = Some(Err(failure));
                return;
            }
        }
    }
}

/// Responses that are whole: the bytes, the body, whether the connection goes on.
const WHOLE: [(&str, &str, bool); 13] = [
    ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole", "whole", true),
    ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "", true),
    ("HTTP/1.1 204 No Content\r\n\r\n", "", true),
    ("HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", "", true),
    ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", "x", true),
    (
        "HTTP/1.1 103 x\r\nlink: a\r\n\r\nHTTP/1.1 102 y\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
        "x",
        true,
    ),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "", true),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc", true),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\na: b\r\n\r\n",
        "abcde",
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "abc",
        false,
    ),
    ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx", "x", false),
    ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", "x", false),
    ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\nx", "x", true),
];

#[test]
fn a_response_ends_where_it_says_and_what_follows_is_not_of_it() {
    for (bytes, body, is_free) in WHOLE {
        for next in ["", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", "\r\n", "x"] {
            let told = read(&[bytes.as_bytes(), next.as_bytes()], Asked::default(), false);
            assert_eq!(told.end, Some(Ok(())), "{bytes:?}");
            assert_eq!(told.body, body.as_bytes(), "{bytes:?}");
            assert_eq!(told.is_free, is_free, "{bytes:?}");
            let both = read(&[format!("{bytes}{next}").as_bytes()], Asked::default(), false);
            assert_eq!((both.body, both.rest), (told.body, next.as_bytes().to_vec()), "{bytes:?}");
        }
    }
}

#[test]
fn a_response_that_is_cut_anywhere_is_never_whole() {
    for (bytes, ..) in WHOLE {
        for end in 0..bytes.len() {
            let told = read(&[bytes.as_bytes().split_at(end).0], Asked::default(), true);
            let failure = Some(Err(Failure::ConnectionTerminated));
            assert_eq!(told.end, failure, "{:?}", &bytes[..end]);
            assert!(!told.is_free);
        }
    }
}

#[test]
fn a_body_without_a_length_ends_with_the_connection_and_not_before() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\n"] {
        let open = read(&[head.as_bytes(), b"some"], Asked::default(), false);
        assert_eq!((open.end, open.is_free), (None, false));
        let ended = read(&[head.as_bytes(), b"some"], Asked::default(), true);
        assert_eq!((ended.end, ended.is_free), (Some(Ok(())), false));
        assert_eq!(ended.body, b"some");
    }
}

#[test]
fn heads_before_the_answer_are_so_many_and_no_more() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    for (count, end) in [(100, Ok(())), (101, Err(Failure::HttpProtocolError))] {
        let text = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(count) + answer;
        assert_eq!(read(&[text.as_bytes()], Asked::default(), false).end, Some(end), "{count}");
    }
}

#[test]
fn a_switch_is_one_where_it_was_asked_for() {
    let text = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\nbytes of another protocol";
    let asked = Asked { is_switch: true, ..Asked::default() };
    let told = read(&[text], asked, false);
    assert_eq!((told.end, told.rest.as_slice()), (Some(Ok(())), &b"bytes of another protocol"[..]));
    let unasked = read(&[text], Asked::default(), false);
    assert_eq!(unasked.end, Some(Err(Failure::HttpProtocolError)));
}

#[test]
fn an_endless_head_is_given_up() {
    let mut reader = Reader::new();
    reader.ask(Asked::default());
    let mut buffer = BytesMut::from(&b"HTTP/1.1 200 OK\r\na: "[..]);
    let mut fed = buffer.len();
    let failure = loop {
        match reader.head(&mut buffer, false) {
            Ok(None) => {
                buffer.extend_from_slice(&[b'x'; 1024]);
                fed += 1024;
                assert!(fed <= head::BYTES_MAX + 1024, "it goes on for ever");
            }
            Ok(Some(_)) => panic!("it has no end"),
            Err(failure) => break failure,
        }
    };
    assert_eq!(failure, Failure::HttpProtocolError);
}

/// Pieces of what nodes write: some that mean something, some that should not.
const PIECES: [&str; 36] = [
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 204 x\r\n",
    "HTTP/1.1 100 x\r\n",
    "HTTP/1.1 101 x\r\n",
    "HTTP/1.1 ",
    "\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\n\n",
    "\r",
    "\0",
    " ",
    "content-length: 3\r\n",
    "content-length: 3\r\n",
    "Content-Length: 4\r\n",
    "content-length: 3, 3\r\n",
    "content-length: +3\r\n",
    "transfer-encoding: chunked\r\n",
    "transfer-encoding: chunked\r\n",
    "transfer-encoding: gzip\r\n",
    "connection: close\r\n",
    "connection: keep-alive\r\n",
    "x: y\r\n",
    "x : y\r\n",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "0\r\n",
    "3;x\r\n",
    "abc",
    "ffffffffffffffffff\r\n",
    "a: b\r\n",
    ":",
    "é",
];

fn any_text(chance: &mut Chance) -> String {
    let start = chance.one_of(&WHOLE).0;
    match chance.below(4) {
        // A sound one with something in it.
        0 => {
            let mut text = start.to_owned();
            let at = chance.below(text.len() + 1);
            text.insert_str(at, chance.one_of(&PIECES));
            text
        }
        // One with something left out.
        1 => {
            let (from, count) = (chance.below(start.len()), chance.below(4));
            let kept = start.char_indices().filter(|(at, _)| !(from..from + count).contains(at));
            kept.map(|(_, letter)| letter).collect()
        }
        _ => (0..chance.below(12)).map(|_| chance.one_of(&PIECES)).collect(),
    }
}

/// Responses of any shape mean the same however the network cuts them.
#[test]
fn how_bytes_are_cut_into_pieces_makes_no_difference() {
    let seed = environment("SEED", 7);
    let mut chance = Chance::new(seed);
    for round in 0..environment("FUZZ_ROUNDS", 1000) {
        let text = any_text(&mut chance);
        let bytes = text.as_bytes();
        let asked = Asked { is_head: chance.one_in(6), is_switch: chance.one_in(6) };
        let is_ended = chance.one_in(2);
        let whole = read(&[bytes], asked, is_ended);
        let check = |pieces: &[&[u8]]| {
            let mut cut = read(pieces, asked, is_ended);
            // What is wrong with an unfinished head is seen when it is finished, or at the end.
            if cut.end.is_none() && cut.head.is_none() && matches!(whole.end, Some(Err(_))) {
                cut = read(pieces, asked, true);
                assert!(matches!(cut.end, Some(Err(_))), "seed {seed}, round {round}: {text:?}");
                return;
            }
            assert_eq!(cut, whole, "seed {seed}, round {round}: {text:?} as {pieces:?}");
        };
        for at in 0..=bytes.len() {
            let (start, rest) = bytes.split_at(at);
            check(&[start, rest]);
        }
        check(&bytes.chunks(1).collect::<Vec<_>>());
        let size = 1 + chance.below(9);
        check(&bytes.chunks(size).collect::<Vec<_>>());
        // Whoever says the end twice, or says it in a broken way, is not kept.
        if whole.is_free {
            assert_eq!(whole.end, Some(Ok(())), "{text:?}");
        }
    }
}
