//! Clients that speak TLS.

use std::net::SocketAddr;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use splitway_tests::document;
use splitway_tests::origin::Origin;
use splitway_tests::script::DEADLINE;
use splitway_tests::wire::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::http2::{Client, get, runtime, secure};
use crate::process::{Files, Serving, origin, splitway};

/// A certificate for `a.test`, and its key.
fn pair() -> (String, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["a.test".to_owned()]).expect("a certificate");
    (cert.pem(), signing_key.serialize_pem())
}

/// Puts a file in the place of another at once.
fn replace(files: &Files, name: &str, text: &str) {
    let beside = files.write("beside", text);
    std::fs::rename(beside, files.path(name)).expect("it can be renamed");
}

/// A server that shows a certificate from `cert.pem` and `key.pem`.
fn serving(files: &Files, upstream: &Origin, more: &[&str]) -> (Serving, String) {
    let (certificate, key) = pair();
    let path = files.write("split.yaml", &document::everything_to(upstream));
    let certificate_path = files.write("cert.pem", &certificate);
    let key_path = files.write("key.pem", &key);
    let options = ["--tls-cert", &certificate_path, "--tls-key", &key_path, "--workers", "2"];
    (Serving::file(&path, &[&options, more].concat()), certificate)
}

/// All that is answered over HTTP/1.1 on a connection that trusts this certificate.
async fn ask(to: SocketAddr, certificate: &str, protocols: &[&str]) -> std::io::Result<String> {
    let mut stream = timeout(DEADLINE, secure(to, certificate, protocols)).await??;
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = String::new();
    timeout(DEADLINE, stream.read_to_string(&mut answer)).await??;
    Ok(answer)
}

#[test]
fn both_versions_of_http_are_spoken() {
    let (files, upstream) = (Files::new(), origin("through"));
    let (serving, certificate) = serving(&files, &upstream, &[]);
    runtime().block_on(async {
        for protocols in [&[][..], &["http/1.1"]] {
            let answer = ask(serving.traffic, &certificate, protocols).await.expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(answer.ends_with("through"), "{answer}");
        }
        let protocols = ["h2", "http/1.1"];
        let stream = secure(serving.traffic, &certificate, &protocols).await.expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let answer = Client::over(stream).await.ask(get("/")).await.expect("an answer");
        assert_eq!(&answer.body()[..], b"through");
        // A protocol that is none of these.
        assert!(secure(serving.traffic, &certificate, &["spdy/3"]).await.is_err());
    });
    for request in upstream.requests() {
        let port = serving.traffic.port().to_string();
        assert_eq!(request.header("x-forwarded-proto").as_deref(), Some("https"));
        assert_eq!(request.header("x-forwarded-port"), Some(port));
    }
    assert_eq!(upstream.count(), 3);
}

#[test]
fn a_new_pair_takes_the_place_of_the_old() {
    let (files, upstream) = (Files::new(), origin("through"));
    let (mut serving, first) = serving(&files, &upstream, &[]);
    let (second, key) = pair();
    runtime().block_on(async {
        let kept = secure(serving.traffic, &first, &["h2"]).await.expect("TLS");
        let mut kept = Client::over(kept).await;
        replace(&files, "key.pem", &key);
        replace(&files, "cert.pem", &second);
        serving.line(|line| line.contains("certificate_loaded"));
        let answer = ask(serving.traffic, &second, &[]).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(ask(serving.traffic, &first, &[]).await.is_err());
        assert_eq!(kept.ask(get("/")).await.expect("an answer").status(), 200);
    });
}

#[test]
fn a_bad_pair_does_not() {
    let (files, upstream) = (Files::new(), origin("through"));
    let (mut serving, certificate) = serving(&files, &upstream, &[]);
    let (other, other_key) = pair();
    for (name, text) in [
        ("cert.pem", other.as_str()),
        ("cert.pem", ""),
        ("cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("key.pem", "no key"),
    ] {
        replace(&files, name, text);
        let line = serving.line(|line| line.contains("certificate_fault"));
        assert!(line.contains("\"level\":\"error\"") && line.contains(name), "{line}");
        let answer = runtime().block_on(ask(serving.traffic, &certificate, &[]));
        assert!(answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")), "{text}");
    }
    std::fs::remove_file(files.path("cert.pem")).expect("it is there");
    serving.line(|line| line.contains("certificate_fault"));
    replace(&files, "key.pem", &other_key);
    replace(&files, "cert.pem", &other);
    serving.line(|line| line.contains("certificate_loaded"));
    assert!(runtime().block_on(ask(serving.traffic, &other, &[])).is_ok());
}

#[test]
fn a_hangup_has_it_read_again() {
    let (files, upstream) = (Files::new(), origin("through"));
    let (mut serving, certificate) = serving(&files, &upstream, &[]);
    for _ in 0..2 {
        serving.signal("HUP");
        serving.line(|line| line.contains("certificate_loaded"));
        assert!(runtime().block_on(ask(serving.traffic, &certificate, &[])).is_ok());
    }
    serving.signal("TERM");
    assert_eq!(serving.end().code(), Some(0));
}

#[test]
fn a_handshake_must_come_in_time() {
    let (files, upstream) = (Files::new(), origin("through"));
    let (serving, certificate) = serving(&files, &upstream, &["--tls-timeout", "200ms"]);
    let mut silent = Connection::open(serving.traffic);
    assert!(silent.next_answer().is_none(), "it was told something");
    assert!(runtime().block_on(ask(serving.traffic, &certificate, &[])).is_ok());
}

#[test]
fn who_speaks_no_tls_is_not_served() {
    let (files, upstream) = (Files::new(), origin("through"));
    let (serving, certificate) = serving(&files, &upstream, &[]);
    for bytes in
        [&b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut plain = Connection::open(serving.traffic);
        plain.send_raw("GET", bytes);
        plain.expect_end();
    }
    assert_eq!(upstream.count(), 0);
    assert!(runtime().block_on(ask(serving.traffic, &certificate, &[])).is_ok());
}

/// What the server says that is started with these files.
fn refusal(files: &Files, certificate: &str, key: &str) -> String {
    let path = files.write("split.yaml", "routes: []\n");
    let mut command = splitway();
    command.args(["serve", "--listen", "127.0.0.1:0", "--config", &path]);
    command.args(["--tls-cert", certificate, "--tls-key", key]);
    let output = command.output().expect("splitway runs");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn it_does_not_start_without_a_sound_pair() {
    let files = Files::new();
    let ((one, key), (_, other_key)) = (pair(), pair());
    let one = files.write("one.pem", &one);
    let key = files.write("key.pem", &key);
    let other = files.write("other.pem", &other_key);
    let nothing = files.write("nothing.pem", "nothing");
    let missing = format!("{nothing}.missing");
    for (certificate, key, words) in [
        (&one, &other, "do not make a pair"),
        (&nothing, &key, "holds no certificate"),
        (&missing, &key, "cannot be read as certificates"),
        (&one, &nothing, "cannot be read as a private key"),
        (&one, &missing, "cannot be read as a private key"),
    ] {
        let told = refusal(&files, certificate, key);
        assert!(told.contains(words), "{told}");
    }
}
