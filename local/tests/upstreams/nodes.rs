//! Nodes that answer what no node should, byte for byte. A client never takes for whole what is not, and
//! nothing that one request brought is the answer to another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use splitway_local::Server;
use splitway_tests::message::{Answer, Call};
use splitway_tests::wire;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::rig::{Upstream, serve, upstream, within};

/// What comes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Whole, and the connection takes the next request.
    Kept(u16, &'static str),
    /// Whole, and the connection is closed.
    Last(u16, &'static str),
    /// The start of a body, and no end.
    Cut(&'static str),
    /// None: an error of ours.
    Refused(&'static str),
}

use Expected::{Cut, Kept, Last, Refused};

/// What is to be said of a broken answer, and of one that ends before it begins.
const NO_HTTP: Expected = Refused("http_protocol_error");
const NOTHING: Expected = Refused("connection_terminated");

/// Whether the node closes its side behind what it says.
const OPEN: bool = false;
const SHUT: bool = true;

const CASES: &[(&str, bool, Expected)] = &[
    ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", OPEN, Kept(200, "ok")),
    ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok", OPEN, Kept(200, "ok")),
    ("HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok", OPEN, Kept(200, "ok")),
    ("HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", OPEN, Kept(200, "ok")),
    ("HTTP/1.1 200 OK\ncontent-length: 2\n\nok", OPEN, Kept(200, "ok")),
    (
        "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 103 x\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        OPEN,
        Kept(200, "ok"),
    ),
    (
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
        OPEN,
        Kept(200, "ok"),
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\n\r\n",
        OPEN,
        Kept(200, "ok"),
    ),
    ("HTTP/1.1 204 No Content\r\n\r\n", OPEN, Kept(204, "")),
    ("HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", OPEN, Kept(304, "")),
    // Chunks are believed, and the connection is not.
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        OPEN,
        Last(200, "ok"),
    ),
    ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", OPEN, Last(200, "ok")),
    ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", OPEN, Last(200, "ok")),
    ("HTTP/1.1 200 OK\r\n\r\nok", SHUT, Last(200, "ok")),
    ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", SHUT, Last(200, "ok")),
    // What follows is of nobody.
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        OPEN,
        Last(200, "ok"),
    ),
    ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\r\n", OPEN, Last(200, "ok")),
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        OPEN,
        Last(200, ""),
    ),
    (
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        OPEN,
        Last(204, ""),
    ),
    ("HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\nevil", OPEN, Last(304, "")),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        OPEN,
        Last(200, "ok"),
    ),
    // What is cut is not whole.
    ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", SHUT, Cut("ok")),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", SHUT, Cut("ok")),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", SHUT, Cut("ok")),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nok", SHUT, Cut("ok")),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n",
        OPEN,
        Cut("ok"),
    ),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nx\r\n", OPEN, Cut("ok")),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n10000000000000000\r\n",
        OPEN,
        Cut("ok"),
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\na: b\n\r\n",
        OPEN,
        Cut("ok"),
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\na b\r\n\r\n",
        OPEN,
        Cut("ok"),
    ),
    // What has no end, or none that is sure.
    ("", SHUT, NOTHING),
    ("HTTP/1.1 200 OK\r\ncontent-length: 2", SHUT, NOTHING),
    ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n", SHUT, NOTHING),
    ("HTTP/1.1 100 Continue\r\n\r\n", SHUT, NOTHING),
    (
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        OPEN,
        NO_HTTP,
    ),
    ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", OPEN, NO_HTTP),
    ("HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nok", OPEN, NO_HTTP),
    ("HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok", OPEN, NO_HTTP),
    ("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551618\r\n\r\nok", OPEN, NO_HTTP),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        OPEN,
        NO_HTTP,
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        OPEN,
        NO_HTTP,
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        OPEN,
        NO_HTTP,
    ),
    ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", OPEN, NO_HTTP),
    ("HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nok", OPEN, NO_HTTP),
    ("HTTP/1.1 200 OK\r\nx: a\0\r\ncontent-length: 2\r\n\r\nok", OPEN, NO_HTTP),
    ("HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 2\r\n\r\nok", OPEN, NO_HTTP),
    ("HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok", OPEN, NO_HTTP),
    ("HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\nok", OPEN, NO_HTTP),
    ("HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok", OPEN, NO_HTTP),
    ("ok\r\n\r\n", OPEN, NO_HTTP),
    ("\u{15}\u{3}\u{3}\u{0}\u{2}\u{2}\u{46}", OPEN, NO_HTTP),
];

const NEXT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext";

async fn read_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return false,
        }
    }
    true
}

/// Answers the first request with these bytes, in pieces of this size, and all others as one should. What
/// comes along is free once all the bytes are said: what comes behind the next request is an answer to it.
async fn node(bytes: &'static str, size: usize, is_shut: bool) -> (Upstream, Arc<Semaphore>) {
    let (first, said) = (Arc::new(AtomicBool::new(true)), Arc::new(Semaphore::new(0)));
    let all_said = Arc::clone(&said);
    let upstream = Upstream::speaking(move |mut stream| {
        let (first, said) = (Arc::clone(&first), Arc::clone(&said));
        async move {
            while read_head(&mut stream).await {
                if !first.swap(false, Ordering::SeqCst) {
                    let _ = stream.write_all(NEXT.as_bytes()).await;
                    continue;
                }
                for piece in bytes.as_bytes().chunks(size) {
                    // Whoever has seen enough goes away.
                    let _ = stream.write_all(piece).await;
                    tokio::task::yield_now().await;
                }
                if is_shut {
                    let _ = stream.shutdown().await;
                }
                said.add_permits(1);
                if is_shut {
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                    return;
                }
            }
        }
    })
    .await;
    (upstream, all_said)
}

async fn get(server: &Server) -> Answer {
    let address = server.listen_addr();
    let asked = tokio::task::spawn_blocking(move || wire::call(address, &Call::get("/")));
    within("an answer", asked).await.expect("an answer")
}

#[tokio::test]
async fn what_a_node_says_is_relayed_with_one_reading_or_not_at_all() {
    let mut others = Vec::new();
    for (bytes, is_shut, expected) in CASES.iter().copied() {
        for size in [usize::MAX, 1] {
            let (node, said) = node(bytes, size.min(bytes.len().max(1)), is_shut).await;
            let server = serve(upstream(&node.node(), json!({"retries": 0})));
            let answer = get(&server).await;
            drop(within("the end of what it says", said.acquire()).await);
            let next = get(&server).await;
            let connections = node.connections_count();
            let token = answer.header("proxy-status").unwrap_or_default();
            let is_as_expected = match expected {
                Kept(status, body) | Last(status, body) => {
                    (answer.status, &*answer.text(), answer.complete) == (status, body, true)
                }
                Cut(body) => (&*answer.text(), answer.complete) == (body, false),
                Refused(name) => answer.status == 502 && token.contains(name),
            };
            let is_kept = matches!(expected, Kept(..));
            let is_next = (next.status, &*next.text()) == (200, "next");
            if !is_as_expected || !is_next || (connections == 1) != is_kept {
                let text = answer.text();
                let told = (answer.status, text, answer.complete, token, connections);
                others.push(format!("{bytes:?} by {size}: {told:?}, then {:?}", next.text()));
            }
        }
    }
    assert!(others.is_empty(), "{others:#?}");
}

#[tokio::test]
async fn what_comes_while_nobody_asks_is_no_answer() {
    for said in ["HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", "\r\n", "x"] {
        let node = Upstream::speaking(move |mut stream| async move {
            if !read_head(&mut stream).await {
                return;
            }
            let _ = stream.write_all(NEXT.as_bytes()).await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            let _ = stream.write_all(said.as_bytes()).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
        .await;
        let server = serve(upstream(&node.node(), json!({"retries": 0})));
        for count in 1..=3 {
            assert_eq!(get(&server).await.text(), "next", "{said:?}");
            assert_eq!(node.connections_count(), count, "{said:?}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_the_whole_request_counts() {
    for (close, kept) in [("", true), ("connection: close\r\n", false)] {
        let node = Upstream::speaking(move |mut stream| async move {
            while read_head(&mut stream).await {
                let head = format!("HTTP/1.1 200 OK\r\n{close}content-length: 2\r\n\r\nok");
                let _ = stream.write_all(head.as_bytes()).await;
                if stream.read_exact(&mut [0; 100_000]).await.is_err() {
                    return;
                }
            }
        })
        .await;
        let server = serve(upstream(&node.node(), json!({"retries": 0})));
        for _ in 0..2 {
            let address = server.listen_addr();
            let call = Call::post("/", vec![b'x'; 100_000]);
            let asked = tokio::task::spawn_blocking(move || wire::call(address, &call));
            let answer = within("an answer", asked).await.expect("an answer");
            assert_eq!((answer.status, &*answer.text()), (200, "ok"));
        }
        assert_eq!(node.connections_count() == 1, kept, "{close:?}");
    }
}

#[tokio::test]
async fn a_node_that_refuses_an_upload_and_closes_is_heard() {
    let node = Upstream::speaking(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 413 No\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno")
            .await;
        let _ = stream.shutdown().await;
        // Until the other side gives up; what it sends is not looked at.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    })
    .await;
    let server = serve(upstream(&node.node(), json!({"retries": 0})));
    let address = server.listen_addr();
    let call = Call::post("/", vec![b'x'; 64 * 1024]);
    let asked = tokio::task::spawn_blocking(move || wire::call(address, &call));
    let answer = within("an answer", asked).await.expect("an answer");
    assert_eq!((answer.status, &*answer.text()), (413, "no"));
}
