//! A server in this process, and upstreams that do what a closure says.

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use splitway_local::{ServeOptions, Server};
use tokio::net::{TcpListener, TcpStream};

/// No wait of a test is longer; a net for what would hang, never a way to be in time.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A document that sends everything to this upstream.
pub(crate) fn everything_to(upstream: Value) -> Value {
    json!({"routes": [{"id": "r", "uri": "/*", "upstream": upstream}]})
}

/// An upstream of one node with more members.
pub(crate) fn upstream(node: &str, more: Value) -> Value {
    let mut upstream = json!({"nodes": {node: 1}});
    let (Some(members), Value::Object(more)) = (upstream.as_object_mut(), more) else {
        panic!("expected objects");
    };
    members.extend(more);
    upstream
}

/// A server that sends everything to this upstream, on one thread.
pub(crate) fn serve(upstream: Value) -> Server {
    serve_with(&everything_to(upstream), |_| {})
}

pub(crate) fn serve_with(document: &Value, options: impl FnOnce(&mut ServeOptions)) -> Server {
    let mut chosen = ServeOptions {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        workers: NonZeroUsize::new(1),
        is_silent: true,
        ..ServeOptions::default()
    };
    options(&mut chosen);
    Server::start_with(&document.to_string(), chosen).expect("the server starts")
}

/// Waits for what has to come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(DEADLINE, future).await;
    came.unwrap_or_else(|_| panic!("{what} did not come"))
}

/// A listener on a free port of loopback.
pub(crate) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// An upstream that speaks HTTP/1.1 or HTTP/2 in the clear, and how many connections it had.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    pub(crate) fn node(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn connections_count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Speaks as `speak` does with each connection.
    pub(crate) async fn speaking<F>(speak: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (listener, address) = listener().await;
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).expect("an open socket");
                tokio::spawn(speak(stream));
            }
        });
        Self { address, connections }
    }

    /// Answers requests over HTTP/2 in the clear.
    pub(crate) async fn http2<A, F, B>(streams_max: u32, answer: A) -> Self
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
            + Send
            + 'static,
    {
        Self::speaking(move |stream| {
            let answer = answer.clone();
            async move {
                let service = service_fn(move |request| {
                    let answering = answer(request);
                    async { Ok::<_, Infallible>(answering.await) }
                });
                let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                builder.max_concurrent_streams(streams_max);
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            }
        })
        .await
    }
}

/// A client's connection of HTTP/1.1.
pub(crate) async fn http1<B>(server: &Server) -> http1::SendRequest<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let stream = TcpStream::connect(server.listen_addr()).await.expect("the server listens");
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    sender
}

/// A client's connection of HTTP/2 with prior knowledge.
pub(crate) async fn http2<B>(server: &Server) -> http2::SendRequest<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static,
{
    let stream = TcpStream::connect(server.listen_addr()).await.expect("the server listens");
    let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = shaken.expect("a connection");
    tokio::spawn(connection);
    sender
}
