//! Upstreams over HTTP/2: gRPC, many requests on one connection, and connections that come to an end.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::rig::{Upstream, http1, http2, serve, upstream, within};

const GRPC: &str = "application/grpc";

fn request<B>(target: &str, body: B) -> Request<B> {
    let uri = format!("http://a.test{target}");
    let builder = Request::post(uri).header("content-type", GRPC).header("te", "trailers");
    builder.body(body).expect("a request")
}

/// Answers with the body of the request as it comes, then with its trailers and `grpc-status`.
async fn echo(request: Request<Incoming>) -> Response<Channel<Bytes>> {
    let (mut sender, body) = Channel::new(1);
    let te = request.headers().get("te").cloned();
    let mut incoming = request.into_body();
    tokio::spawn(async move {
        while let Some(Ok(frame)) = incoming.frame().await {
            let frame = frame.map_frame();
            if sender.send(frame).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static(GRPC));
    if let Some(te) = te {
        response.headers_mut().insert("x-te", te);
    }
    response
}

/// Trailers are given back with `grpc-status` beside them.
trait MapFrame {
    fn map_frame(self) -> Frame<Bytes>;
}

impl MapFrame for Frame<Bytes> {
    fn map_frame(self) -> Frame<Bytes> {
        match self.into_trailers() {
            Ok(mut trailers) => {
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        }
    }
}

#[tokio::test]
async fn grpc_passes_in_both_directions_with_its_trailers() {
    let node = Upstream::http2(100, echo).await;
    let server = serve(upstream(&node.node(), json!({"scheme": "grpc"})));
    let mut client = http2(&server).await;
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
    let asked = client.send_request(request("/pkg.Echo/Say", body));
    let response = within("a response", asked).await.expect("a response");
    assert_eq!(response.headers()["x-te"], "trailers");
    let mut incoming = response.into_body();
    // One after the other: nothing is held back.
    for message in ["one", "two"] {
        sender.send_data(Bytes::from(message)).await.expect("an open stream");
        let frame = within("a message", incoming.frame()).await.expect("a frame");
        assert_eq!(frame.expect("no end").into_data().expect("data"), message);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-client", HeaderValue::from_static("done"));
    sender.send_trailers(trailers).await.expect("an open stream");
    let frame = within("the trailers", incoming.frame()).await.expect("a frame");
    let trailers = frame.expect("no end").into_trailers().expect("trailers");
    assert_eq!(trailers["x-client"], "done");
    assert_eq!(trailers["grpc-status"], "0");
    assert!(within("the end", incoming.frame()).await.is_none());
}

#[tokio::test]
async fn a_call_that_fails_without_a_message_has_its_status() {
    let node = Upstream::http2(100, async |_| {
        let mut response = Response::new(Empty::<Bytes>::new());
        response.headers_mut().insert("content-type", HeaderValue::from_static(GRPC));
        response.headers_mut().insert("grpc-status", HeaderValue::from_static("12"));
        response
    })
    .await;
    let server = serve(upstream(&node.node(), json!({"scheme": "grpc"})));
    let mut client = http2(&server).await;
    let asked = client.send_request(request("/pkg.Echo/Say", Full::<Bytes>::from("x")));
    let response = within("a response", asked).await.expect("a response");
    assert_eq!(response.headers()["grpc-status"], "12");
    assert!(response.into_body().frame().await.is_none());
}

#[tokio::test]
async fn clients_of_http1_are_served_over_http2_too() {
    let node = Upstream::http2(100, async |request: Request<Incoming>| {
        let headers = format!("{:?} {:?}", request.uri(), request.headers().get("host"));
        let body = request.into_body().collect().await.expect("a body").to_bytes();
        Response::new(Full::from(format!("{headers} {}", String::from_utf8_lossy(&body))))
    })
    .await;
    let server = serve(upstream(&node.node(), json!({"scheme": "grpc"})));
    let mut client = http1(&server).await;
    for _ in 0..2 {
        let request = Request::post("/path?query").header("host", "a.test");
        let request = request.body(Full::<Bytes>::from("body")).expect("a request");
        let response = within("a response", client.send_request(request)).await;
        let body = response.expect("a response").into_body().collect().await.expect("a body");
        assert_eq!(body.to_bytes(), "http://a.test/path?query None body");
    }
    assert_eq!(node.connections_count(), 1);
}

#[tokio::test]
async fn more_streams_than_a_connection_takes_go_to_another() {
    let (gate, arrived) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (held, came) = (Arc::clone(&gate), Arc::clone(&arrived));
    let node = Upstream::http2(1, move |request: Request<Incoming>| {
        let (held, came) = (Arc::clone(&held), Arc::clone(&came));
        async move {
            if request.uri().path() == "/held" {
                came.notify_one();
                held.notified().await;
            }
            Response::new(Empty::<Bytes>::new())
        }
    })
    .await;
    let server = serve(upstream(&node.node(), json!({"scheme": "grpc"})));
    let mut client = http2(&server).await;
    let warm = client.send_request(request("/", Empty::<Bytes>::new()));
    assert_eq!(within("a response", warm).await.expect("a response").status(), StatusCode::OK);
    let slow = client.send_request(request("/held", Empty::new()));
    within("the first request", arrived.notified()).await;
    let fast = client.send_request(request("/", Empty::new()));
    assert_eq!(within("a response", fast).await.expect("a response").status(), StatusCode::OK);
    gate.notify_one();
    assert_eq!(within("a response", slow).await.expect("a response").status(), StatusCode::OK);
    assert_eq!(node.connections_count(), 2);
}

#[tokio::test]
async fn a_node_that_says_goodbye_gets_the_next_request_on_another_connection() {
    let (farewell, parted) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (leave, left) = (Arc::clone(&farewell), Arc::clone(&parted));
    let node = Upstream::speaking(move |stream| {
        let (leave, left) = (Arc::clone(&leave), Arc::clone(&left));
        async move {
            let service =
                service_fn(async |_| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let mut connection =
                std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
            tokio::select! {
                _ = connection.as_mut() => return,
                () = leave.notified() => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
            left.notify_one();
        }
    })
    .await;
    let more = json!({"scheme": "grpc", "retries": 0});
    let server = serve(upstream(&node.node(), more));
    let mut client = http2(&server).await;
    for round in 1..=3 {
        let asked = client.send_request(request("/", Full::<Bytes>::from("x")));
        let response = within("a response", asked).await.expect("a response");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(node.connections_count(), round);
        farewell.notify_one();
        within("the end of the connection", parted.notified()).await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_resets_its_stream_only() {
    let (told, mut streams) = mpsc::unbounded_channel();
    let told = Arc::new(Mutex::new(told));
    let node = Upstream::http2(100, move |_| {
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
        let (gone, is_gone) = oneshot::channel();
        told.lock().expect("no panic").send(is_gone).expect("the test listens");
        tokio::spawn(async move {
            while sender.send_data(Bytes::from("more")).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let _ = gone.send(());
        });
        async { Response::new(body) }
    })
    .await;
    let server = serve(upstream(&node.node(), json!({"scheme": "grpc"})));
    for _ in 0..2 {
        let mut client = http1(&server).await;
        let asking = Request::get("/").header("host", "a.test").body(Empty::<Bytes>::new());
        let asked = client.send_request(asking.expect("a request"));
        let response = within("a response", asked).await.expect("a response");
        let is_gone = within("the stream", streams.recv()).await.expect("a stream");
        drop((client, response));
        within("the end of the stream", is_gone).await.expect("it ended");
    }
    assert_eq!(node.connections_count(), 1);
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_heard_any_more_is_left() {
    // Speaks HTTP/2 with the first request, and then is silent without a word.
    let (relay, served) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let inner = Upstream::http2(100, async |_| Response::new(Empty::<Bytes>::new())).await;
    let target = inner.address;
    let (hush, told) = (Arc::clone(&relay), Arc::clone(&served));
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let node = Upstream::speaking(move |mut stream| {
        let (hush, told) = (Arc::clone(&hush), Arc::clone(&told));
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            let mut behind =
                tokio::net::TcpStream::connect(target).await.expect("the node listens");
            if number > 0 {
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
                return;
            }
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut stream, &mut behind) => {}
                () = hush.notified() => {
                    told.notify_one();
                    std::future::pending::<()>().await;
                }
            }
        }
    })
    .await;
    let timeout = json!({"connect": 1, "send": 0.1, "read": 0.1});
    let more = json!({"scheme": "grpc", "retries": 0, "timeout": timeout});
    let server = serve(upstream(&node.node(), more));
    let mut client = http2(&server).await;
    let mut statuses = Vec::new();
    for number in 0..3 {
        let asked = client.send_request(request("/", Empty::<Bytes>::new()));
        statuses.push(within("a response", asked).await.expect("a response").status().as_u16());
        if number == 0 {
            relay.notify_one();
            within("silence", served.notified()).await;
        }
    }
    assert_eq!(statuses, [200, 504, 200]);
}
