//! The splitter in somebody else's application, on a real socket.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "this program is tests: a panic is how they fail"
)]

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::routing::{any, get};
use http::{Request, Response};
use http_body_util::{BodyExt, Channel, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use splitway_local::{ServeOptions, router_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// No wait of a test is longer.
const DEADLINE: Duration = Duration::from_secs(30);

async fn listen(application: Router) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = application.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(listener, service).await });
    address
}

fn options() -> ServeOptions {
    ServeOptions { is_silent: true, ..ServeOptions::default() }
}

/// The splitter between nodes, with a route of the application beside it.
async fn application(document: &Value) -> SocketAddr {
    let splitter = router_with(&document.to_string(), options()).unwrap();
    listen(Router::new().route("/health", get(async || "well")).merge(splitter)).await
}

async fn connect(to: SocketAddr) -> http1::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(to).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn post(target: &str, body: &'static str) -> Request<Full<Bytes>> {
    let request =
        Request::post(target).header("host", "a.test").header("x-forwarded-for", "9.9.9.9");
    request.body(Full::from(body)).unwrap()
}

async fn text(response: Response<hyper::body::Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
}

/// An origin that says its name, what it was asked for and what it was told of the client.
async fn origin(name: &'static str) -> SocketAddr {
    let tell = async move |request: axum::extract::Request| {
        let (head, body) = request.into_parts();
        let who = |name: &str| head.headers[name].to_str().unwrap_or_default().to_owned();
        let told = [who("x-forwarded-for"), who("x-forwarded-port"), who("host")].join(" ");
        let body = body.collect().await.unwrap().to_bytes();
        format!("{name} {} {told} {}", head.uri, str::from_utf8(&body).unwrap())
    };
    listen(Router::new().fallback(any(tell))).await
}

fn half(to: SocketAddr, target: &str) -> Value {
    let upstream = json!({"nodes": {to.to_string(): 1}});
    json!({"weight": 50, "upstream": upstream, "rewrite": {"uri": target}})
}

fn document(plugins: &Value, upstream: &Value) -> Value {
    json!({"routes": [{
        "id": "all", "uri": "/*", "enable_websocket": true, "plugins": plugins, "upstream": upstream,
    }]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_splits_exactly_beside_other_routes() {
    let (one, two) = (origin("one").await, origin("two").await);
    let branches = [half(one, "/v1/chat"), half(two, "/v2/chat")];
    let plugins = json!({"traffic-split": {"rules": [{"weighted_upstreams": branches}]}});
    let upstream = json!({"nodes": {one.to_string(): 1}});
    let application = application(&document(&plugins, &upstream)).await;
    let clients = (0..8).map(|_| async {
        let mut client = connect(application).await;
        let mut answers = Vec::new();
        for _ in 0..5 {
            client.ready().await.unwrap();
            let response = client.send_request(post("/chat?a=1", "hello")).await.unwrap();
            assert_eq!(response.headers()["x-splitway-route"], "all");
            answers.push(text(response).await);
            client.ready().await.unwrap();
            let health = client.send_request(post("/health", ""));
            assert_eq!(health.await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
        }
        answers
    });
    let mut answers = Vec::new();
    for client in clients.map(|client| async { timeout(DEADLINE, client).await.unwrap() }) {
        answers.extend(client.await);
    }
    let count = |name: &str, version: u8| {
        let expected = format!("{name} /v{version}/chat?a=1 9.9.9.9, 127.0.0.1 9080 a.test hello");
        answers.iter().filter(|answer| **answer == expected).count()
    };
    assert_eq!((count("one", 1), count("two", 2)), (20, 20), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_as_they_are_sent() {
    let turn = Arc::new(Semaphore::new(0));
    let turns = Arc::clone(&turn);
    let tell = async move || {
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
        tokio::spawn(async move {
            for number in 0..3 {
                turns.acquire().await.unwrap().forget();
                sender.send_data(Bytes::from(event(number))).await.unwrap();
            }
        });
        ([("content-type", "text/event-stream")], Body::new(body))
    };
    let origin = listen(Router::new().fallback(any(tell))).await;
    let upstream = json!({"nodes": {origin.to_string(): 1}});
    let application = application(&document(&json!({}), &upstream)).await;
    let mut client = connect(application).await;
    let response = client.send_request(post("/events", "")).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    for number in 0..3 {
        turn.add_permits(1);
        let came = timeout(DEADLINE, body.frame()).await.unwrap().unwrap().unwrap();
        assert_eq!(came.into_data().unwrap(), event(number));
    }
    assert!(body.frame().await.is_none());
}

fn event(number: u32) -> String {
    format!("data: {number}\n\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_can_leave_http() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let node = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let answer = "HTTP/1.1 101 Go\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nfirst";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    });
    let upstream = json!({"nodes": {node.to_string(): 1}});
    let mut client =
        TcpStream::connect(application(&document(&json!({}), &upstream)).await).await.unwrap();
    let ask = "GET /echo HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    client.write_all(ask.as_bytes()).await.unwrap();
    let mut came = Vec::new();
    while !came.ends_with(b"\r\n\r\nfirst") {
        came.push(timeout(DEADLINE, client.read_u8()).await.unwrap().unwrap());
    }
    assert!(came.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&came));
    client.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    timeout(DEADLINE, client.read_exact(&mut echo)).await.unwrap().unwrap();
    assert_eq!(&echo, b"hello");
}

/// A runtime for each test, in each of which the same router has effects of its own.
#[test]
fn one_router_serves_in_several_runtimes() {
    let splitter = {
        let upstream = json!({"nodes": {"127.0.0.1:1": 1}});
        router_with(&document(&json!({}), &upstream).to_string(), options()).unwrap()
    };
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut client = connect(listen(splitter.clone()).await).await;
            let response = client.send_request(post("/", "")).await.unwrap();
            assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
            assert_eq!(response.headers()["x-splitway-route"], "all");
        });
    }
}

#[tokio::test]
async fn documents_with_faults_are_refused() {
    let fault = router_with(r#"{"routes": [{"id": "a", "uri": "/", "nodes": 1}]}"#, options());
    assert!(fault.is_err());
}

/// The application's listener sends trailers on only where the head announces them.
#[tokio::test]
async fn trailers_pass_where_they_are_announced_and_wanted() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let origin = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut space = [0; 1024];
        let count = stream.read(&mut space).await.unwrap();
        assert!(count > 0);
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
        let body = "1\r\na\r\n0\r\nx-sum: 7\r\n\r\n";
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    });
    let upstream = json!({"nodes": {origin.to_string(): 1}});
    let routes = json!({"routes": [{"id": "all", "uri": "/*", "upstream": upstream}]});
    let mut client = TcpStream::connect(application(&routes).await).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: a.test\r\nte: trailers\r\nconnection: close\r\n\r\n";
    client.write_all(request).await.unwrap();
    let mut answer = String::new();
    timeout(DEADLINE, client.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.contains("\r\ntrailer: x-sum\r\n"), "{answer}");
    assert!(answer.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{answer}");
}
