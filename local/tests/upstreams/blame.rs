//! Attempts that fail: whether anything was executed, and whose fault it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use splitway_local::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::rig::{Upstream, serve, upstream, within};
use crate::secure::{Authority, server_config};

/// The start of the answer to a message, whose client sends nothing more.
async fn ask(server: &Server, message: &str) -> String {
    let mut stream = TcpStream::connect(server.listen_addr()).await.expect("the server listens");
    stream.write_all(message.as_bytes()).await.expect("an open socket");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(within("an answer", stream.read_u8()).await.expect("a head"));
    }
    String::from_utf8(answer).expect("ASCII").to_lowercase()
}

fn check(answer: &str, status: u16, token: &str) {
    assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{answer}");
    assert!(answer.contains(&format!("error={token}\r\n")), "{answer}");
}

const POST: &str = "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1\r\n\r\nx";

#[tokio::test]
async fn a_bad_record_of_tls_after_a_post_was_sent_does_not_send_it_again() {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(&Authority::new(), &[], None)));
    let count = Arc::new(AtomicUsize::new(0));
    let executed = Arc::clone(&count);
    let node = Upstream::speaking(move |stream| {
        let (acceptor, executed) = (acceptor.clone(), Arc::clone(&executed));
        async move {
            let mut stream = acceptor.accept(stream).await.expect("a handshake");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\nx") {
                request.push(stream.read_u8().await.expect("a request"));
            }
            executed.fetch_add(1, Ordering::SeqCst);
            let (mut tcp, _) = stream.into_inner();
            tcp.write_all(&[0xff; 64]).await.expect("an open socket");
            // Until the other side has read it.
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        }
    })
    .await;
    let more = json!({"scheme": "https", "tls": {"verify": false}, "retries": 3});
    let server = serve(upstream(&node.node(), more));
    check(&ask(&server, POST).await, 502, "connection_terminated");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

fn impatient(more: Value) -> Value {
    let mut upstream = json!({"timeout": {"connect": 0.5, "send": 0.1, "read": 0.1}});
    let (Some(members), Value::Object(more)) = (upstream.as_object_mut(), more) else {
        panic!("expected objects");
    };
    members.extend(more);
    upstream
}

async fn collecting() -> Upstream {
    Upstream::http2(100, async |request: Request<Incoming>| {
        let body = request.into_body().collect().await;
        Response::new(Full::from(body.map_or(Bytes::new(), |body| body.to_bytes())))
    })
    .await
}

#[tokio::test]
async fn a_client_that_is_slow_does_not_count_against_its_node() {
    let silent = Upstream::speaking(async |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let http2 = collecting().await;
    for (node, scheme) in [(&silent, "http"), (&http2, "grpc")] {
        let server = serve(upstream(&node.node(), impatient(json!({"scheme": scheme}))));
        let head = "POST / HTTP/1.1\r\nhost: a.test\r\n";
        let slow = format!("{head}content-length: 10\r\n\r\nabc");
        check(&ask(&server, &slow).await, 400, "http_request_error");
        let slow = format!("{head}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
        check(&ask(&server, &slow).await, 400, "http_request_error");
    }
    // One that has sent everything waits for the node.
    let server = serve(upstream(&silent.node(), impatient(json!({}))));
    check(&ask(&server, POST).await, 504, "http_response_timeout");
}

#[tokio::test]
async fn an_upload_that_breaks_off_over_http2_is_the_clients_failure() {
    let node = collecting().await;
    let server = serve(upstream(&node.node(), json!({"scheme": "grpc"})));
    let head = "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n";
    for body in ["zz\r\n", "3\r\nabc\r\nzz\r\n", "3\r\nabcdef\r\n"] {
        let answer = ask(&server, &format!("{head}{body}")).await;
        check(&answer, 400, "http_request_error");
    }
}

/// What a node says to the first request of a connection (RFC 9113, sections 6.4 and 6.8).
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// RST_STREAM with REFUSED_STREAM.
    Reset,
    /// GOAWAY with NO_ERROR and no stream at all.
    GoAway,
}

/// Refuses the first requests, each on a connection of its own, and answers all others.
async fn refusing(count: usize, refusal: Refusal) -> Upstream {
    let inner = collecting().await;
    let number = Arc::new(AtomicUsize::new(0));
    Upstream::speaking(move |mut stream| {
        let (target, is_refused) = (inner.address, number.fetch_add(1, Ordering::SeqCst) < count);
        async move {
            if is_refused {
                return refuse(&mut stream, refusal).await;
            }
            let mut behind = TcpStream::connect(target).await.expect("the node listens");
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
        }
    })
    .await
}

async fn refuse(stream: &mut TcpStream, refusal: Refusal) {
    const HEADERS: u8 = 1;
    stream.read_exact(&mut [0; 24]).await.expect("a preface");
    // SETTINGS.
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("an open socket");
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).expect("it fits")];
        stream.read_exact(&mut payload).await.expect("a frame");
        if head[3] == HEADERS {
            let answer: &[u8] = match refusal {
                Refusal::Reset => &[0, 0, 4, 3, 0, 0, 0, 0, head[8], 0, 0, 0, 7],
                Refusal::GoAway => &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            };
            stream.write_all(answer).await.expect("an open socket");
            break;
        }
    }
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn a_request_that_a_node_of_http2_refused_is_sent_on_another_connection() {
    let empty = "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n\r\n";
    for refusal in [Refusal::Reset, Refusal::GoAway] {
        let serving = |node: &Upstream, retries: u32| {
            serve(upstream(&node.node(), json!({"scheme": "grpc", "retries": retries})))
        };
        // With nothing of a body to be had again, or with one that was kept.
        for (message, retries) in [(empty, 0), (POST, 1)] {
            let node = refusing(1, refusal).await;
            let answer = ask(&serving(&node, retries), message).await;
            assert!(answer.starts_with("http/1.1 200 "), "{refusal:?}: {answer}");
            assert_eq!(node.connections_count(), 2, "{refusal:?}");
        }
        // A body that is gone is not sent again; what is told is that nothing was executed.
        for (message, connections) in [(POST, 1), (empty, 2)] {
            let node = refusing(9, refusal).await;
            check(&ask(&serving(&node, 0), message).await, 502, "destination_unavailable");
            assert_eq!(node.connections_count(), connections, "{refusal:?}");
        }
    }
}
