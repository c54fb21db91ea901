//! Upstreams behind TLS: what is spoken, who is believed, and who says who he is.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};
use splitway_local::Server;
use splitway_tests::message::{Answer, Call};
use splitway_tests::wire;
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use crate::rig::{everything_to, listener, serve_with, upstream};

/// A certificate authority.
pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let (pem, certificate) = (certificate.pem(), certificate.der().clone());
        Self { certificate, pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let params = CertificateParams::new([name.to_owned()]).expect("parameters");
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.issuer).expect("a certificate"), key)
    }
}

/// How a node that this authority vouches for speaks TLS.
pub(crate) fn server_config(
    authority: &Authority,
    protocols: &[&[u8]],
    clients: Option<&Authority>,
) -> ServerConfig {
    let (certificate, key) = authority.sign("127.0.0.1");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.certificate.clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let mut config =
        builder.with_single_cert(vec![certificate.der().clone()], key).expect("a pair");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

/// An upstream that says over what it was asked, and by how many connections.
struct Secured {
    node: String,
    connections: Arc<AtomicUsize>,
}

impl Secured {
    async fn start(
        authority: &Authority,
        protocols: &[&[u8]],
        clients: Option<&Authority>,
    ) -> Self {
        let config = server_config(authority, protocols, clients);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (listener, address) = listener().await;
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    count.fetch_add(1, Ordering::SeqCst);
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let service = service_fn(answer);
                    let stream = TokioIo::new(stream);
                    if is_http2 {
                        let builder =
                            hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        let _ = builder.serve_connection(stream, service).await;
                    } else {
                        let builder = hyper::server::conn::http1::Builder::new();
                        let _ = builder.serve_connection(stream, service).await;
                    }
                });
            }
        });
        Self { node: address.to_string(), connections }
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let host = request.uri().authority().map(ToString::to_string);
    let named = request.headers().get("host").and_then(|host| host.to_str().ok());
    let host = host.or(named.map(str::to_owned)).unwrap_or_default();
    let text = format!("{:?} for {host}", request.version());
    Ok(Response::new(Full::from(text)))
}

/// A file with the authorities to trust.
fn trusted(authority: &Authority) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("root.pem");
    std::fs::write(&path, &authority.pem).expect("a file");
    (dir, path)
}

fn serving(node: &str, more: Value, ca: Option<PathBuf>) -> Server {
    serve_with(&everything_to(upstream(node, more)), |options| options.ca = ca)
}

async fn ask(server: &Server) -> Answer {
    let address = server.listen_addr();
    let call = move || wire::call(address, &Call::get("/"));
    tokio::task::spawn_blocking(call).await.expect("an answer")
}

#[tokio::test]
async fn http2_is_spoken_where_the_node_offers_it() {
    let authority = Authority::new();
    let (_dir, ca) = trusted(&authority);
    for (protocols, version, connections) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], "HTTP/2.0", 1),
        (&[b"http/1.1".as_slice()][..], "HTTP/1.1", 1),
        (&[][..], "HTTP/1.1", 1),
    ] {
        let node = Secured::start(&authority, protocols, None).await;
        let server = serving(&node.node, json!({"scheme": "https"}), Some(ca.clone()));
        for _ in 0..3 {
            let answer = ask(&server).await;
            assert_eq!(answer.text(), format!("{version} for splitway.test"));
        }
        assert_eq!(node.connections.load(Ordering::SeqCst), connections);
    }
}

#[tokio::test]
async fn grpcs_is_http2_over_tls() {
    let authority = Authority::new();
    let (_dir, ca) = trusted(&authority);
    let node = Secured::start(&authority, &[b"h2", b"http/1.1"], None).await;
    let server = serving(&node.node, json!({"scheme": "grpcs"}), Some(ca.clone()));
    assert_eq!(ask(&server).await.text(), "HTTP/2.0 for splitway.test");
    // A node that has nothing but HTTP/1.1 and says so.
    let node = Secured::start(&authority, &[b"http/1.1"], None).await;
    let refused = ask(&serving(&node.node, json!({"scheme": "grpcs"}), Some(ca))).await;
    let status = refused.header("proxy-status");
    assert_eq!(status.as_deref(), Some("splitway; error=tls_protocol_error"));
}

#[tokio::test]
async fn a_client_that_switches_protocols_gets_http1_to_a_node_that_offers_both() {
    use std::io::{Read, Write};
    let authority = Authority::new();
    let (_dir, ca) = trusted(&authority);
    let node = Secured::start(&authority, &[b"h2", b"http/1.1"], None).await;
    let mut document = everything_to(upstream(&node.node, json!({"scheme": "https"})));
    document["routes"][0]["enable_websocket"] = true.into();
    let server = serve_with(&document, |options| options.ca = Some(ca));
    assert!(ask(&server).await.text().starts_with("HTTP/2.0 "));
    let address = server.listen_addr();
    let asking = move || {
        let mut stream = std::net::TcpStream::connect(address).expect("it listens");
        let request = "GET / HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("an open socket");
        stream.set_read_timeout(Some(crate::rig::DEADLINE)).expect("a socket");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an end");
        answer
    };
    let answer = tokio::task::spawn_blocking(asking).await.expect("an answer");
    assert!(answer.ends_with("HTTP/1.1 for a.test"), "{answer}");
}

#[tokio::test]
async fn requests_that_begin_together_share_one_connection_of_http2() {
    let authority = Authority::new();
    let (_dir, ca) = trusted(&authority);
    let node = Secured::start(&authority, &[b"h2", b"http/1.1"], None).await;
    let server = serving(&node.node, json!({"scheme": "https"}), Some(ca));
    let answers = tokio::join!(ask(&server), ask(&server), ask(&server), ask(&server));
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(node.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_node_is_verified_unless_its_upstream_says_otherwise() {
    let authority = Authority::new();
    let node = Secured::start(&authority, &[], None).await;
    let scheme = json!({"scheme": "https"});
    let refused = ask(&serving(&node.node, scheme, None)).await;
    assert_eq!(refused.status, 502);
    let status = refused.header("proxy-status");
    assert_eq!(status.as_deref(), Some("splitway; error=tls_certificate_error"));
    for (verify, status) in [(true, 502), (false, 200)] {
        let scheme = json!({"scheme": "https", "tls": {"verify": verify}});
        assert_eq!(ask(&serving(&node.node, scheme, None)).await.status, status);
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_node_that_asks() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let (_dir, ca) = trusted(&authority);
    let node = Secured::start(&authority, &[b"h2"], Some(&clients)).await;
    let (certificate, key) = clients.sign("client.test");
    let (stranger, strange_key) = authority.sign("client.test");
    for (tls, status) in [
        (json!({"client_cert": certificate.pem(), "client_key": key.serialize_pem()}), 200),
        (json!({"client_cert": stranger.pem(), "client_key": strange_key.serialize_pem()}), 502),
        (json!({}), 502),
    ] {
        let scheme = json!({"scheme": "https", "tls": tls});
        let answer = ask(&serving(&node.node, scheme, Some(ca.clone()))).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == 502 {
            // TLS 1.3 says so after the request was sent.
            let told = answer.header("proxy-status");
            assert_eq!(told.as_deref(), Some("splitway; error=connection_terminated"));
        }
    }
}
