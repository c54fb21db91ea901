//! Upstreams that speak TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::http::{Response, everything_to, get, serve_once};
use crate::process::{Files, Serving};

/// The name in the certificate of the origin.
const NAME: &str = "api.example.com";

/// Starts an origin with a certificate for [`NAME`]; gives its address and the root, in PEM.
fn origin() -> (SocketAddr, String) {
    let root_key = KeyPair::generate().expect("a key");
    let mut root = CertificateParams::new([]).expect("parameters");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = root.self_signed(&root_key).expect("a root").pem();
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new([NAME.to_owned()]).expect("parameters");
    let leaf = leaf.signed_by(&key, &Issuer::new(root, root_key)).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| {
            config.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key)
        });
    let config = Arc::new(config.expect("a configuration"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut stream = StreamOwned::new(connection, stream.expect("a client"));
            // Who does not trust the certificate ends the handshake.
            let _ = serve_once(&mut stream, "over TLS");
            stream.conn.send_close_notify();
            let _ = stream.conn.complete_io(&mut stream.sock);
        }
    });
    (address, pem)
}

/// Asks for `name` on port 8443, sent to `origin`, with `root` among the trusted or not.
fn ask(name: &str, origin: SocketAddr, root: Option<&str>) -> Response {
    let files = Files::new();
    let path = files.write("split.yaml", &everything_to(&format!("https://{name}:8443")));
    let place = format!("{name}:8443:{origin}");
    let mut arguments = vec!["--resolve", &place];
    let ca = files.write("root.pem", root.unwrap_or_default());
    if root.is_some() {
        arguments.extend(["--ca", &ca]);
    }
    get(Serving::file(&path, &arguments).traffic, "/")
}

#[test]
fn a_trusted_certificate_for_the_name_is_served() {
    let (address, root) = origin();
    let response = ask(NAME, address, Some(&root));
    assert_eq!((response.status, &*response.body), (200, "over TLS"));
}

#[test]
fn a_certificate_that_is_not_trusted_is_refused() {
    let (address, _) = origin();
    let response = ask(NAME, address, None);
    assert_eq!(response.status, 502);
    assert_eq!(response.header("proxy-status"), Some("splitway; error=tls_certificate_error"));
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let (address, root) = origin();
    let response = ask("other.example.com", address, Some(&root));
    assert_eq!(response.status, 502);
    assert_eq!(response.header("proxy-status"), Some("splitway; error=tls_certificate_error"));
}

#[test]
fn a_node_that_does_not_speak_tls_is_a_protocol_error() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
        // To the end: a connection with unread bytes would be reset before the answer is read.
        stream.read_to_end(&mut Vec::new())
    });
    let response = ask(NAME, address, None);
    assert_eq!(response.status, 502);
    assert_eq!(response.header("proxy-status"), Some("splitway; error=tls_protocol_error"));
}
