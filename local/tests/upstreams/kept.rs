//! Connections of HTTP/1.1 that are kept between requests.

use std::time::Duration;

use serde_json::json;
use socket2::{Domain, Socket, Type};
use splitway_local::Server;
use splitway_tests::message::{Answer, Call};
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, Piece, Reply, Script};
use splitway_tests::wire;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::{listener, serve, upstream, within};

fn ask(server: &Server, call: &Call) -> Answer {
    wire::call(server.listen_addr(), call)
}

/// How many requests came before each on its connection.
fn earlier_counts(origin: &Origin) -> Vec<usize> {
    origin.requests().iter().map(|request| request.earlier_count).collect()
}

#[test]
fn one_connection_serves_one_request_after_the_other() {
    for reply in [
        Reply::ok("whole"),
        Reply::ok(""),
        Reply::status(204),
        Reply::status(304),
        Reply::ok("").pieces([Piece::Send(b"in".to_vec()), Piece::Send(b"pieces".to_vec())]),
    ] {
        let origin = Origin::on_loopback(reply.into());
        let server = serve(upstream(origin.authority(), json!({})));
        for _ in 0..3 {
            ask(&server, &Call::get("/"));
        }
        ask(&server, &Call::post("/", "with a body"));
        assert_eq!(earlier_counts(&origin), [0, 1, 2, 3]);
    }
}

#[test]
fn a_connection_takes_so_many_requests_as_it_may() {
    let origin = Origin::on_loopback(Reply::ok("").into());
    let keepalive = json!({"keepalive_pool": {"size": 1, "idle_timeout": 60, "requests": 2}});
    let server = serve(upstream(origin.authority(), keepalive));
    for _ in 0..5 {
        assert_eq!(ask(&server, &Call::get("/")).status, 200);
    }
    assert_eq!(earlier_counts(&origin), [0, 1, 0, 1, 0]);
}

#[test]
fn a_response_that_is_not_relayed_costs_no_connection() {
    // Of a body the end may still be under way when the response is given up.
    let failed = Reply::status(503).body("").into();
    let origin = Origin::on_loopback(Script::in_turn([failed], Reply::ok("")));
    let more = json!({"retries": 1, "retry": {"when": ["5xx"]}});
    let nodes = json!([{"host": "127.0.0.1", "port": origin.port(), "weight": 1},
        {"host": "localhost", "port": origin.port(), "weight": 1}]);
    let mut two = upstream(origin.authority(), more);
    two["nodes"] = nodes;
    let server = serve(two);
    assert_eq!(ask(&server, &Call::get("/")).status, 200);
    assert_eq!(ask(&server, &Call::get("/")).status, 200);
    assert_eq!(ask(&server, &Call::get("/")).status, 200);
    assert_eq!(origin.connections_count(), 2);
}

/// Reads the head of a request.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole head"));
    }
    String::from_utf8(head).expect("text")
}

async fn get(server: &Server) -> Answer {
    let address = server.listen_addr();
    let asked = tokio::task::spawn_blocking(move || wire::call(address, &Call::get("/")));
    asked.await.expect("an answer")
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_connection_that_rests_too_long_is_closed() {
    let (listener, address) = listener().await;
    let keepalive = json!({"keepalive_pool": {"size": 1, "idle_timeout": 0.02, "requests": 9}});
    let server = serve(upstream(&address.to_string(), keepalive));
    for _ in 0..2 {
        let asked = get(&server);
        let served = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            read_head(&mut stream).await;
            stream.write_all(OK).await.expect("an open socket");
            stream
        };
        let (answer, mut stream) = tokio::join!(asked, served);
        assert_eq!(answer.status, 200);
        let closed = within("the end of the connection", stream.read(&mut [0])).await;
        assert_eq!(closed.expect("no reset"), 0);
    }
}

#[tokio::test]
async fn a_connection_that_the_node_closed_costs_no_request() {
    for last_word in ["", "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"] {
        let (listener, address) = listener().await;
        let more = json!({"retries": 0});
        let server = serve(upstream(&address.to_string(), more));
        for method in ["GET", "POST"] {
            let call = Call::new(method, "/").body("once");
            let address = server.listen_addr();
            let asked = tokio::task::spawn_blocking(move || wire::call(address, &call));
            let served = async {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let head = read_head(&mut stream).await;
                assert!(head.starts_with(method), "{head}");
                stream.read_exact(&mut [0; 4]).await.expect("a body");
                stream.write_all(OK).await.expect("an open socket");
                stream
            };
            let (answer, mut stream) = tokio::join!(asked, served);
            assert_eq!(answer.expect("an answer").status, 200, "{method}");
            // Before the next request is sent.
            stream.write_all(last_word.as_bytes()).await.expect("an open socket");
            drop(stream);
        }
    }
}

#[tokio::test]
async fn a_connection_that_ends_under_a_request_costs_only_what_may_not_be_repeated() {
    for (method, status) in [("GET", 200), ("POST", 502)] {
        let (listener, address) = listener().await;
        let server = serve(upstream(&address.to_string(), json!({"retries": 0})));
        let ask = |method: &'static str| {
            let address = server.listen_addr();
            tokio::task::spawn_blocking(move || wire::call(address, &Call::new(method, "/")))
        };
        let first = ask("GET");
        let (mut stream, _) = listener.accept().await.expect("a connection");
        read_head(&mut stream).await;
        stream.write_all(OK).await.expect("an open socket");
        assert_eq!(first.await.expect("an answer").status, 200);
        let second = ask(method);
        read_head(&mut stream).await;
        drop(stream);
        if status == 200 {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            assert!(read_head(&mut stream).await.starts_with(method));
            stream.write_all(OK).await.expect("an open socket");
        }
        assert_eq!(second.await.expect("an answer").status, status, "{method}");
    }
}

#[test]
fn what_an_upstream_says_unasked_is_no_answer_to_the_next_request() {
    let smuggled = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let first = Act::Garbage(smuggled.to_vec());
    let origin = Origin::on_loopback(Script::in_turn([first], Reply::ok("good")));
    let server = serve(upstream(origin.authority(), json!({})));
    assert_eq!(ask(&server, &Call::get("/")).text(), "ok");
    assert_eq!(ask(&server, &Call::get("/")).text(), "good");
}

#[test]
fn a_node_that_takes_no_connection_is_a_timeout() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    socket.listen(0).expect("a listener");
    let address = socket.local_addr().expect("an address").as_socket().expect("of IP");
    // More than wait in its queue; the last of them does not get in.
    let mut waiting = Vec::new();
    let short = Duration::from_millis(200);
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, short) {
        waiting.push(stream);
        assert!(waiting.len() < 16, "the queue has no end");
    }
    let timeout = json!({"timeout": {"connect": 0.2, "send": 60, "read": 60}, "retries": 0});
    let server = serve(upstream(&address.to_string(), timeout));
    let answer = ask(&server, &Call::get("/"));
    assert_eq!(answer.status, 504);
    let status = answer.header("proxy-status");
    assert_eq!(status.as_deref(), Some("splitway; error=connection_timeout"));
}

#[tokio::test]
async fn an_upload_that_is_answered_early_goes_on_to_its_end() {
    let (listener, address) = listener().await;
    let server = serve(upstream(&address.to_string(), json!({})));
    let mut client = TcpStream::connect(server.listen_addr()).await.expect("the server listens");
    let head = "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4\r\n\r\n";
    client.write_all(head.as_bytes()).await.expect("an open socket");
    let (mut node, _) = listener.accept().await.expect("a connection");
    read_head(&mut node).await;
    node.write_all(OK).await.expect("an open socket");
    let answer = read_head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    client.read_exact(&mut [0; 2]).await.expect("a body");
    client.write_all(b"late").await.expect("an open socket");
    let mut late = [0; 4];
    within("the rest", node.read_exact(&mut late)).await.expect("no end before");
    assert_eq!(&late, b"late");
}
