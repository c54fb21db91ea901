//! Connections that leave HTTP for another protocol.

use serde_json::{Value, json};
use splitway_local::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::rig::{everything_to, listener, serve_with, upstream, within};

const ASK: &str = "GET /chat HTTP/1.1\r\nhost: a.test\r\nconnection: keep-alive, Upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AQIDBAUGBwgJCgsMDQ4PEC==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-accept: x\r\n\r\n";

fn serving(node: &str, is_on: bool, more: Value) -> Server {
    let mut document = everything_to(upstream(node, more));
    document["routes"][0]["enable_websocket"] = is_on.into();
    serve_with(&document, |_| {})
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("a head", stream.read_u8()).await.expect("a whole head"));
    }
    String::from_utf8(head).expect("text").to_ascii_lowercase()
}

async fn expect(stream: &mut TcpStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    within("bytes", stream.read_exact(&mut bytes)).await.expect("no end");
    assert_eq!(bytes, expected);
}

/// Asks to switch; what the node got, and both ends.
async fn switch(listener: &TcpListener, server: &Server) -> (String, TcpStream, TcpStream) {
    let mut client = TcpStream::connect(server.listen_addr()).await.expect("it listens");
    // What is sent along is not for HTTP.
    client.write_all(format!("{ASK}early").as_bytes()).await.expect("an open socket");
    let (mut node, _) = within("a connection", listener.accept()).await.expect("a connection");
    let asked = head(&mut node).await;
    (asked, client, node)
}

#[tokio::test]
async fn a_websocket_is_joined_with_the_upstream() {
    let (listener, address) = listener().await;
    let server = serving(&address.to_string(), true, json!({}));
    let (asked, mut client, mut node) = switch(&listener, &server).await;
    for line in
        ["connection: upgrade\r\n", "upgrade: websocket\r\n", "sec-websocket-version: 13\r\n"]
    {
        assert!(asked.contains(line), "{asked}");
    }
    node.write_all(format!("{SWITCH}hello").as_bytes()).await.expect("an open socket");
    let answer = head(&mut client).await;
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    for line in [
        "connection: upgrade\r\n",
        "upgrade: websocket\r\n",
        "sec-websocket-accept: x\r\n",
        "x-splitway-route: r\r\n",
    ] {
        assert!(answer.contains(line), "{answer}");
    }
    expect(&mut client, b"hello").await;
    expect(&mut node, b"early").await;
    client.write_all(b"ping").await.expect("an open socket");
    expect(&mut node, b"ping").await;
    node.write_all(b"pong").await.expect("an open socket");
    expect(&mut client, b"pong").await;

    // While the server drains, it goes on.
    server.drain();
    client.write_all(b"last").await.expect("an open socket");
    expect(&mut node, b"last").await;
    node.shutdown().await.expect("an open socket");
    assert_eq!(within("the end", client.read(&mut [0])).await.expect("no reset"), 0);
    drop(client);
    within("the end of the server", server.drained()).await;
}

#[tokio::test]
async fn a_switched_connection_ends_with_the_server() {
    let (listener, address) = listener().await;
    let server = serving(&address.to_string(), true, json!({}));
    let (_, mut client, mut node) = switch(&listener, &server).await;
    node.write_all(SWITCH.as_bytes()).await.expect("an open socket");
    head(&mut client).await;
    expect(&mut node, b"early").await;
    tokio::task::spawn_blocking(move || server.stop()).await.expect("it stops");
    for side in [&mut client, &mut node] {
        assert!(!within("the end", side.read(&mut [0])).await.is_ok_and(|count| count > 0));
    }
}

#[tokio::test]
async fn a_switched_connection_on_which_nothing_moves_is_closed() {
    let (listener, address) = listener().await;
    let timeout = json!({"timeout": {"connect": 60, "send": 60, "read": 60, "idle": 0.1}});
    let server = serving(&address.to_string(), true, timeout);
    let (_, mut client, mut node) = switch(&listener, &server).await;
    node.write_all(SWITCH.as_bytes()).await.expect("an open socket");
    head(&mut client).await;
    expect(&mut node, b"early").await;
    for side in [&mut client, &mut node] {
        assert!(!within("the end", side.read(&mut [0])).await.is_ok_and(|count| count > 0));
    }
}

#[tokio::test]
async fn where_it_is_off_nothing_is_said_of_another_protocol() {
    let (listener, address) = listener().await;
    let server = serving(&address.to_string(), false, json!({}));
    let (asked, mut client, mut node) = switch(&listener, &server).await;
    assert!(!asked.contains("upgrade:"), "{asked}");
    // And one who switches all the same does not speak HTTP.
    node.write_all(SWITCH.as_bytes()).await.expect("an open socket");
    let answer = head(&mut client).await;
    assert!(answer.starts_with("http/1.1 502 "), "{answer}");
    assert!(answer.contains("error=http_protocol_error"), "{answer}");
}

#[tokio::test]
async fn an_upstream_that_does_not_switch_answers_as_usual() {
    let (listener, address) = listener().await;
    let server = serving(&address.to_string(), true, json!({}));
    let mut client = TcpStream::connect(server.listen_addr()).await.expect("it listens");
    client.write_all(ASK.as_bytes()).await.expect("an open socket");
    let (mut node, _) = within("a connection", listener.accept()).await.expect("a connection");
    for ask in [ASK, "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n"] {
        head(&mut node).await;
        node.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno").await.expect("open");
        assert!(head(&mut client).await.starts_with("http/1.1 200 "), "{ask}");
        expect(&mut client, b"no").await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await.expect("open");
    }
}

#[tokio::test]
async fn http2_in_the_clear_is_no_protocol_to_switch_to() {
    let (listener, address) = listener().await;
    let server = serving(&address.to_string(), true, json!({}));
    let mut client = TcpStream::connect(server.listen_addr()).await.expect("it listens");
    let ask = ASK.replace("upgrade: websocket", "upgrade: h2c");
    client.write_all(ask.as_bytes()).await.expect("an open socket");
    let (mut node, _) = within("a connection", listener.accept()).await.expect("a connection");
    let asked = head(&mut node).await;
    assert!(!asked.contains("upgrade:"), "{asked}");
}
