//! A dialogue beside one of hyper's, which is the reference: of the same bytes, however broken, both understand
//! the same requests.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::pending;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use splitway_core::problem::{Answer, Problem};
use splitway_tests::chance::{Chance, environment};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use super::super::attendance::Attendance;
use super::super::body::ClientBody;
use super::super::conversation::{Host, Site};
use super::super::limits::Limits;
use super::super::options::ListenOptions;
use super::*;

/// As many bytes a stream takes of one who writes where nobody reads.
const WIDE: usize = 1 << 16;

/// Answers with what it understood.
struct Echo;

impl Site for Echo {
    type Body = Full<Bytes>;

    async fn answer(
        &self,
        _: IpAddr,
        parts: Box<Parts>,
        body: ClientBody,
    ) -> Response<Full<Bytes>> {
        if parts.uri == "/never" {
            return pending().await;
        }
        echo(Request::from_parts(*parts, body)).await
    }

    fn refuse(&self, problem: Problem) -> Answer {
        problem.answer()
    }

    fn whole(answer: Answer) -> Response<Full<Bytes>> {
        Response::new(answer.body.into())
    }
}

async fn echo<B: Body<Data = Bytes> + Unpin>(request: Request<B>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let is_old = parts.version == Version::HTTP_10;
    let mut text = format!("{} {} {is_old}\n", parts.method, parts.uri);
    let mut lines: Vec<String> =
        parts.headers.iter().map(|(name, value)| format!("{name}: {value:?}\n")).collect();
    lines.sort();
    text.extend(lines);
    let status = match body.collect().await {
        Ok(body) => {
            let trailers = body.trailers().map_or(0, HeaderMap::len);
            let _ = write!(text, "{:?} {trailers}", body.to_bytes());
            StatusCode::OK
        }
        // How much came of it by then depends on how it was read.
        Err(_) => StatusCode::BAD_REQUEST,
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

/// What both sides say to these pieces of bytes until nothing more is said: the bodies of answers, and whether
/// the connection goes on.
async fn heard(mut client: DuplexStream, pieces: &[&[u8]]) -> (Vec<String>, bool) {
    let mut answered = Vec::new();
    let mut goes_on = true;
    for piece in pieces.iter().chain([&&b""[..]]) {
        // Whoever refuses need not read it all.
        let _ = client.write_all(piece).await;
        let mut space = [0; 4096];
        // Time stands still, so that this is when both have nothing to do.
        while let Ok(read) = timeout(Duration::from_millis(1), client.read(&mut space)).await {
            match read.unwrap_or(0) {
                0 => {
                    goes_on = false;
                    break;
                }
                count => answered.extend_from_slice(space.get(..count).unwrap_or_default()),
            }
        }
    }
    let text = String::from_utf8_lossy(&answered).into_owned();
    let answers = text.split("HTTP/1.").skip(1).map(|answer| {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
        format!("{} {body}", head.get(2..5).unwrap_or_default())
    });
    (answers.collect(), goes_on)
}

/// Has a client talk with us.
fn talk(near: DuplexStream) -> [JoinHandle<()>; 2] {
    let options = ListenOptions { max_header_bytes: 4096, ..ListenOptions::default() };
    let limits = Limits::new(&options, 0, NonZeroUsize::MIN);
    let attendance = Arc::new(Attendance::new(Arc::clone(&limits.connections)));
    let (host, client) = (Host::new(Echo, limits, None), Ipv4Addr::LOCALHOST.into());
    let later = Rc::new(Later::default());
    let writing = Rc::clone(&later);
    let talk = async move {
        let wire = &Rc::new(Wire::new(near, b""));
        let (host, later, attendance) = (&host, &later, &attendance);
        let dialogue = Dialogue { wire, host, later, client, attendance };
        let ending = dialogue.go_on().await;
        if let (Ending::Refused(_), Some((mut stream, _))) = (&ending, wire.take()) {
            let refused = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            stream.write_all(refused).await.expect("a client that reads");
        }
    };
    let write = async move {
        let _never = writing.write().await;
    };
    [spawn_local(talk), spawn_local(write)]
}

async fn ours(pieces: &[&[u8]], capacity: usize) -> (Vec<String>, bool) {
    let (near, far) = duplex(capacity);
    let tasks = talk(near);
    let heard = heard(far, pieces).await;
    tasks.iter().for_each(JoinHandle::abort);
    heard
}

async fn theirs(pieces: &[&[u8]]) -> (Vec<String>, bool) {
    let (near, far) = duplex(WIDE);
    let service = service_fn(|request| async { Ok::<_, Infallible>(echo(request).await) });
    let talking = tokio::spawn(async move {
        let mut server = hyper::server::conn::http1::Builder::new();
        server.max_buf_size(8192).max_header_size(4096);
        // How it ends, the client sees.
        drop(server.serve_connection(TokioIo::new(near), service).await);
    });
    let heard = heard(far, pieces).await;
    talking.abort();
    heard
}

const LINES: [&str; 24] = [
    "Host: a.test",
    "host:a.test",
    "X-A: 1",
    "X-a:  two words \t",
    "x-empty:",
    "X-B: \u{e9}",
    "Content-Length: 3",
    "content-length: 0",
    "Content-Length: 03",
    "Content-Length: 3, 3",
    "Content-Length: +3",
    "Content-Length: 99999999999999999999",
    "Transfer-Encoding: chunked",
    "transfer-encoding: Chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding : chunked",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: x, close",
    "Upgrade: x",
    " folded",
    "no colon",
    "Trailer: x-sum",
];

const BODIES: [&str; 12] = [
    "",
    "abc",
    "0\r\n\r\n",
    "3\r\nabc\r\n0\r\n\r\n",
    "1;a=b\r\na\r\n02\r\nbc\r\n0\r\nx-sum: 1\r\n\r\n",
    "A\r\n0123456789\r\n0\r\n\r\n",
    "3\r\nab",
    "3\r\nabcd\r\n0\r\n\r\n",
    "g\r\n",
    "-1\r\n",
    "10000000000000000\r\n",
    "3\nabc\r\n0\r\n\r\n",
];

/// A request, mostly a sound one.
fn request(chance: &mut Chance) -> Vec<u8> {
    let method = chance.one_of(&["GET", "POST", "HEAD", "OPTIONS", "PURGE", "get"]);
    let target =
        chance.one_of(&["/", "/a?b=c", "*", "http://b.test/x", "/%zz", "/a b", "a.test:80"]);
    let version = chance.one_of(&["1.1", "1.1", "1.1", "1.1", "1.0", "1.2", "2.0"]);
    let mut text = format!("{method} {target} HTTP/{version}\r\n");
    for _ in 0..chance.below(5) {
        text.extend([chance.one_of(&LINES), "\r\n"]);
    }
    let (framing, body) = match chance.below(4) {
        0 => ("", ""),
        1 => ("Content-Length: 3\r\n", "abc"),
        2 => ("Transfer-Encoding: chunked\r\n", chance.one_of(&BODIES)),
        _ => ("", chance.one_of(&BODIES)),
    };
    text.extend([framing, "\r\n", body]);
    let text = if chance.one_in(12) { text.replace("\r\n", "\n") } else { text };
    let mut bytes = text.into_bytes();
    if chance.one_in(3) {
        spoil(&mut bytes, chance);
    }
    bytes
}

/// Changes a byte, or inserts or removes one.
fn spoil(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let byte = chance.one_of(b"\r\n\0 \t:,;/a0\x7f\x80\"");
    let place = chance.below(bytes.len());
    match chance.below(3) {
        0 => bytes.insert(place, byte),
        1 => drop(bytes.remove(place)),
        _ => bytes.iter_mut().skip(place).take(1).for_each(|old| *old = byte),
    }
}

/// DIALOGUE_SEED and DIALOGUE_ROUNDS replay one, or go on for longer.
#[tokio::test(flavor = "local", start_paused = true)]
async fn the_same_bytes_are_the_same_requests_as_they_are_to_hyper() {
    let (seed, rounds) = (environment("DIALOGUE_SEED", 0), environment("DIALOGUE_ROUNDS", 4000));
    let mut differences = Vec::new();
    for seed in seed..seed + rounds {
        let mut chance = Chance::new(seed);
        let count = 1 + chance.below(3);
        let bytes: Vec<u8> = (0..count).flat_map(|_| request(&mut chance)).collect();
        let mut pieces = Vec::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let piece;
            (piece, rest) = rest.split_at(1 + chance.below(rest.len().min(120)));
            pieces.push(piece);
        }
        let (ours, theirs) = (ours(&pieces, WIDE).await, theirs(&pieces).await);
        if ours != theirs {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            differences
                .push(format!("seed {seed}: {text:?}\n  ours {ours:?}\n  hyper's {theirs:?}"));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

const TWO: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_takes_little_at_once_has_all_answers() {
    let expected = ours(&[TWO], WIDE).await;
    assert_eq!((expected.0.len(), expected.1), (2, true));
    for capacity in TWO.len()..TWO.len() + 300 {
        assert_eq!(ours(&[TWO], capacity).await, expected, "{capacity} bytes");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_says_that_it_is_done_has_its_answers() {
    for capacity in [TWO.len(), WIDE] {
        let (near, mut far) = duplex(capacity);
        let [talking, _] = talk(near);
        far.write_all(TWO).await.expect("a server that reads");
        far.shutdown().await.expect("a server that reads");
        let mut answers = String::new();
        far.read_to_string(&mut answers).await.expect("text");
        assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{answers}");
        assert!(answers.ends_with("b\"\" 0"), "{answers}");
        talking.await.expect("no panic");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_goes_while_it_is_answered_has_the_answers_before() {
    let (near, mut far) = duplex(WIDE);
    let [talking, _] = talk(near);
    let requests = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\n";
    far.write_all(requests).await.expect("a server that reads");
    far.shutdown().await.expect("a server that reads");
    let mut answers = String::new();
    far.read_to_string(&mut answers).await.expect("text");
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 1, "{answers}");
    assert!(answers.ends_with("b\"\" 0"), "{answers}");
    talking.await.expect("no panic");
}
