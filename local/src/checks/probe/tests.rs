//! Probes of nodes on loopback. The clock stands still unless nothing else is to be done, so that what
//! takes too long does at once.

use std::net::SocketAddr;
use std::time::Duration;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use splitway_core::checkup::checkups;
use splitway_core::fault::Report;
use splitway_core::snapshot::compile_json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::resolve::Dns;

/// One upstream with one node, probed so.
fn subject(node: &str, active: &Value) -> Arc<Subject> {
    let checks = json!({"active": active});
    let document = json!({"upstreams": [{"id": "u", "nodes": {node: 1}, "checks": checks}]});
    let mut report = Report::default();
    let snapshot = compile_json(&document.to_string(), 0, &mut report);
    let snapshot = snapshot.unwrap_or_else(|| panic!("{:?}", report.faults));
    Arc::new(Subject::new(checkups(&snapshot).remove(0)))
}

fn prober(overrides: &[&str]) -> Prober {
    let overrides = overrides.iter().map(|text| text.parse().expect("an override")).collect();
    let trust = Trust::new(None).expect("authorities");
    Prober::new(Connector::new(trust, overrides, Dns::new(None)))
}

/// What is found at a node.
async fn found(node: SocketAddr, active: &Value) -> Finding {
    prober(&[]).probe(subject(&node.to_string(), active), 0).await
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// A node that gives this answer to one connection, and what it was sent up to the end of the head and
/// of a body of so many bytes.
async fn node(answer: &'static str, body: usize) -> (SocketAddr, JoinHandle<String>) {
    let (listener, address) = listener().await;
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut sent = Vec::new();
        while !sent.windows(4).rev().skip(body).any(|end| end == b"\r\n\r\n") {
            match stream.read_buf(&mut sent).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        stream.write_all(answer.as_bytes()).await.expect("it is taken");
        stream.shutdown().await.expect("it is told");
        // Until the other side has read it.
        let _ = stream.read(&mut [0]).await;
        String::from_utf8(sent).expect("text")
    });
    (address, asked)
}

#[tokio::test(start_paused = true)]
async fn any_status_is_an_answer() {
    for status in [200, 302, 404, 503, 999] {
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n").leak();
        let (address, _) = node(answer, 0).await;
        let finding = found(address, &json!({})).await;
        assert_eq!(finding.probe, Probe::Status(status));
        assert_eq!(finding.why, format!("status {status}"));
    }
    // What comes before the answer is none.
    let early = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 X\r\n\r\n";
    let (address, _) = node(early, 0).await;
    assert_eq!(found(address, &json!({})).await.probe, Probe::Status(204));
}

#[tokio::test(start_paused = true)]
async fn a_request_is_the_one_that_is_described() {
    let (address, asked) = node("HTTP/1.1 200 OK\r\n\r\n", 0).await;
    found(address, &json!({})).await;
    let expected = format!("GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    assert_eq!(asked.await.expect("it was asked"), expected);

    let (address, asked) = node("HTTP/1.1 200 OK\r\n\r\n", 4).await;
    let active = json!({
        "host": "Health.example.com", "http_path": "/up?a=<1>&b=%41{}", "http_method": "POST",
        "http_req_body": "ping",
        "req_headers": ["User-Agent: probe", "X-A: 1", "X-A: 2", "Content-Length: 99"],
    });
    found(address, &active).await;
    let expected = [
        "POST /up?a=%3C1%3E&b=%41%7B%7D HTTP/1.1",
        "host: health.example.com",
        "connection: close",
        "user-agent: probe",
        "x-a: 1",
        "x-a: 2",
        "content-length: 4",
        "",
        "ping",
    ];
    assert_eq!(asked.await.expect("it was asked").lines().collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_http_is_a_status_of_its_own() {
    for answer in ["SSH-2.0-OpenSSH_9.6\r\n\r\n", "HTTP/1.1 abc\r\n\r\n"] {
        let (address, _) = node(answer, 0).await;
        let finding = found(address, &json!({})).await;
        assert_eq!((finding.probe, &*finding.why), (Probe::Status(0), "http_protocol_error"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_refuses_or_hangs_up_has_failed() {
    // Bound, so that nobody else gets the port, and not listening.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = socket.local_addr().expect("an address");
    for protocol in ["http", "https", "tcp"] {
        let finding = found(address, &json!({"type": protocol})).await;
        assert_eq!((finding.probe, &*finding.why), (Probe::TcpFailure, "connection_refused"));
    }
    let (address, _) = node("", 0).await;
    let finding = found(address, &json!({})).await;
    assert_eq!(finding.probe, Probe::TcpFailure, "{}", finding.why);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_says_nothing_is_too_late() {
    let (listener, address) = listener().await;
    for (protocol, probe) in
        [("http", Probe::Timeout), ("https", Probe::Timeout), ("tcp", Probe::Connected)]
    {
        let began = tokio::time::Instant::now();
        let finding = found(address, &json!({"type": protocol, "timeout": 2.5})).await;
        assert_eq!(finding.probe, probe, "{protocol}");
        let took = if probe == Probe::Timeout { 2500 } else { 0 };
        assert_eq!(began.elapsed(), Duration::from_millis(took), "{protocol}");
    }
    drop(listener);
}

#[tokio::test(start_paused = true)]
async fn another_port_and_another_address_are_asked_where_that_is_said() {
    let (address, asked) = node("HTTP/1.1 200 OK\r\n\r\n", 0).await;
    let to = format!("node.example:8081:{address}");
    let subject = subject("node.example:80", &json!({"port": 8081}));
    let finding = prober(&[&to]).probe(subject, 0).await;
    assert_eq!(finding.probe, Probe::Status(200));
    assert!(asked.await.expect("it was asked").contains("\r\nhost: node.example:8081\r\n"));
}

/// A node with a certificate for this name of an authority that nobody trusts.
async fn tls_node(name: &str) -> (SocketAddr, JoinHandle<()>) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(issuer.key().serialize_der()));
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![issuer.der().clone()], key)
            .expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, address) = listener().await;
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    (address, serving)
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_looked_at_unless_that_is_not_wanted() {
    let (address, _serving) = tls_node("node.example").await;
    let finding = found(address, &json!({"type": "https", "timeout": 60})).await;
    let expected = (Probe::TcpFailure, "tls_certificate_error");
    assert_eq!((finding.probe, &*finding.why), expected);
    let active = json!({"type": "https", "timeout": 60, "https_verify_certificate": false});
    assert_eq!(found(address, &active).await.probe, Probe::Status(200));
    // One that does not speak TLS.
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("it is taken");
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let finding = found(address, &json!({"type": "https", "timeout": 60})).await;
    assert_eq!((finding.probe, &*finding.why), (Probe::TcpFailure, "tls_protocol_error"));
}
