//! Clients of HTTP/2, and of TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use splitway_tests::document;
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, DEADLINE, Gate, Reply, Script};
use splitway_tests::wire::Connection;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::process::{Files, Serving, origin};

/// A runtime for a client.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// TLS that trusts one certificate and asks for these protocols.
pub(crate) async fn secure(
    to: SocketAddr,
    certificate: &str,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
    roots.add(certificate).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("a.test").expect("a name");
    let stream = TcpStream::connect(to).await?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// A client of HTTP/2 on one connection.
pub(crate) struct Client(SendRequest<Full<Bytes>>);

impl Client {
    pub(crate) async fn plain(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect(to).await.expect("it listens")).await
    }

    pub(crate) async fn over<T>(stream: T) -> Self
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let shaken = handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = shaken.expect("HTTP/2");
        tokio::spawn(connection);
        Self(sender)
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Answered> {
        let answer = timeout(DEADLINE, self.0.send_request(request)).await.expect("in time")?;
        let (head, body) = answer.into_parts();
        let body = timeout(DEADLINE, body.collect()).await.expect("in time")?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    /// Waits until no more requests are taken.
    async fn closed(&mut self) {
        let closing = async {
            while !self.0.is_closed() && self.0.ready().await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, closing).await.expect("in time");
    }
}

type Answered = Response<Bytes>;

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://a.test{path}")).body(Full::default()).expect("a request")
}

fn serving(origin: &Origin, options: &[&str]) -> Serving {
    let files = Files::new();
    let path = files.write("split.yaml", &document::everything_to(origin));
    Serving::file(&path, &[&["--workers", "1"], options].concat())
}

#[test]
fn it_is_spoken_by_whoever_begins_with_it() {
    let upstream = origin("through");
    let serving = serving(&upstream, &[]);
    runtime().block_on(async {
        let mut client = Client::plain(serving.traffic).await;
        for _ in 0..3 {
            let answer = client.ask(get("/x?y")).await.expect("an answer");
            assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::OK, &b"through"[..]));
            assert_eq!(answer.headers()["x-splitway-route"], "all");
        }
        let post = Request::post("http://a.test/").body(Full::from("a body")).expect("a request");
        assert_eq!(client.ask(post).await.expect("an answer").status(), StatusCode::OK);
    });
    let requests = upstream.requests();
    assert_eq!(requests[0].target, "/x?y");
    assert_eq!(requests[0].header("x-forwarded-host").as_deref(), Some("a.test"));
    assert_eq!(requests[0].header("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(requests[3].body, b"a body");
    // And beside it HTTP/1.1.
    assert_eq!(serving.get("/").text(), "through");
}

#[test]
fn a_preface_may_come_byte_by_byte() {
    let upstream = origin("through");
    let serving = serving(&upstream, &[]);
    let mut connection = Connection::open(serving.traffic);
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        connection.send_raw("PRI", &[*byte]);
    }
    // Settings, of which the answer begins with its own.
    connection.send_raw("PRI", &[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    connection.expect_frame(4);
    // What only begins like it is none.
    let mut connection = Connection::open(serving.traffic);
    connection.send_raw("PRI", b"PRI / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(connection.answer().text(), "through");
}

#[test]
fn requests_on_it_have_limits_too() {
    let upstream = origin("through");
    let options = ["--max-uri", "100", "--max-headers", "10", "--max-header-bytes", "4096"];
    let mut serving = serving(&upstream, &options);
    let with = |count: usize, size: usize| {
        let mut request = get("/");
        for number in 0..count {
            let name = http::HeaderName::try_from(format!("x-{number}")).expect("a name");
            let value = http::HeaderValue::try_from("a".repeat(size)).expect("a value");
            request.headers_mut().insert(name, value);
        }
        request
    };
    runtime().block_on(async {
        let mut client = Client::plain(serving.traffic).await;
        for (request, status) in [
            (get("/"), 200),
            (get(&format!("/{}", "a".repeat(100))), 414),
            (with(11, 10), 431),
            (with(2, 3000), 431),
            (get("/"), 200),
        ] {
            let answer = client.ask(request).await.expect("an answer");
            assert_eq!(answer.status(), status);
        }
    });
    for status in [414, 431] {
        serving.line(|line| line.contains(&format!("\"status\":{status}")));
    }
    assert_eq!(upstream.count(), 2);
}

#[test]
fn a_body_on_it_must_go_on() {
    let upstream = origin("");
    let serving = serving(&upstream, &["--body-timeout", "200ms"]);
    runtime().block_on(async {
        let stream = TcpStream::connect(serving.traffic).await.expect("it listens");
        let io = TokioIo::new(stream);
        let (mut sender, connection) = handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        tokio::spawn(connection);
        let (_body_sender, body) = http_body_util::channel::Channel::<Bytes>::new(1);
        let request = Request::post("http://a.test/").body(body).expect("a request");
        let answer = timeout(DEADLINE, sender.send_request(request)).await.expect("in time");
        assert_eq!(answer.expect("an answer").status(), 408);
    });
}

#[test]
fn an_idle_connection_of_it_is_told_to_end() {
    let upstream = origin("");
    let serving = serving(&upstream, &["--idle-timeout", "200ms"]);
    runtime().block_on(async {
        let mut client = Client::plain(serving.traffic).await;
        client.ask(get("/")).await.expect("an answer");
        client.closed().await;
    });
}

/// The first signal lets the requests of a connection finish, and takes no more on it.
#[test]
fn it_ends_with_the_requests_that_it_has() {
    let gate = Gate::default();
    let behind = gate.clone();
    let upstream = Origin::on_loopback(Script::new(move |_| {
        behind.wait();
        Act::Answer(Reply::ok("late"))
    }));
    let serving = serving(&upstream, &[]);
    runtime().block_on(async {
        let mut client = Client::plain(serving.traffic).await;
        let sending = tokio::spawn({
            let mut client = Client(client.0.clone());
            async move { client.ask(get("/")).await }
        });
        let upstream = &upstream;
        let there = || upstream.count() == 1;
        while !there() {
            tokio::task::yield_now().await;
        }
        serving.signal("TERM");
        while TcpStream::connect(serving.traffic).await.is_ok() {}
        gate.open();
        let answer = sending.await.expect("no panic").expect("an answer");
        assert_eq!(&answer.body()[..], b"late");
        client.closed().await;
    });
    assert_eq!(serving.end().code(), Some(0));
}
