//! Upstreams that speak TLS.

use std::io::{Read, Write};

use splitway_tests::line::Line;
use splitway_tests::message::Answer;
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, Reply};
use splitway_tests::tls;

use crate::process::{Files, Serving, argument, everything_to, problem};

/// The name in the certificate of the origin.
const NAME: &str = "api.example.com";

/// An origin with a certificate for [`NAME`]; its root is in the file `root.pem`.
fn origin(files: &Files) -> Origin {
    tls::origin(NAME, &files.path("root.pem"), Reply::ok("over TLS").into())
}

/// Asks for `name` on port 8443, which is sent to `origin`, with `root.pem` trusted or not.
fn ask(name: &str, origin: &Origin, files: &Files, trusts: bool) -> Answer {
    let path = files.write("split.yaml", &everything_to(&format!("https://{name}:8443")));
    let place = format!("{name}:8443:{}", origin.authority());
    let root = argument(&files.path("root.pem"));
    let trusting = ["--resolve", &place, "--ca", &root];
    let arguments = if trusts { &trusting[..] } else { &trusting[..2] };
    Serving::file(&path, arguments).get("/")
}

#[test]
fn a_trusted_certificate_for_the_name_is_served() {
    let files = Files::new();
    let answer = ask(NAME, &origin(&files), &files, true);
    assert_eq!((answer.status, &*answer.text()), (200, "over TLS"));
}

#[test]
fn a_certificate_that_is_not_trusted_is_refused() {
    let files = Files::new();
    let answer = ask(NAME, &origin(&files), &files, false);
    assert_eq!(problem(&answer), (502, Some("tls_certificate_error".to_owned())));
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let files = Files::new();
    let answer = ask("other.example.com", &origin(&files), &files, true);
    assert_eq!(problem(&answer), (502, Some("tls_certificate_error".to_owned())));
}

#[test]
fn a_node_that_does_not_speak_tls_is_a_protocol_error() {
    let files = Files::new();
    let plain = Origin::listening(Act::Close.into(), |mut stream: Line| {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
        // To the end: a connection with unread bytes would be reset before the answer is read.
        stream.read_to_end(&mut Vec::new())?;
        Ok(stream)
    });
    let answer = ask(NAME, &plain, &files, false);
    assert_eq!(problem(&answer), (502, Some("tls_protocol_error".to_owned())));
}
