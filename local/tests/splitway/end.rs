//! How a server ends.

use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use crate::http::{everything_to, receive, send, serve_once};
use crate::process::{Files, PATIENCE, Serving};

/// A server with one request under way, whose response is the test's to give.
fn busy() -> (Serving, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let files = Files::new();
    let path = files.write("split.yaml", &everything_to(&format!("http://{address}")));
    let serving = Serving::file(&path, &[]);
    let client = send(serving.traffic, "GET /", &[], "");
    let (upstream, _) = listener.accept().expect("the attempt");
    (serving, client, upstream)
}

/// Waits until nobody is accepted any more.
fn await_closed(serving: &Serving) {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(serving.traffic).is_ok() {
        assert!(Instant::now() < deadline, "it still accepts");
    }
}

#[test]
fn the_first_signal_lets_requests_finish() {
    let (serving, client, mut upstream) = busy();
    serving.signal("TERM");
    await_closed(&serving);
    serve_once(&mut upstream, "late").expect("it still listens");
    assert_eq!(receive(client).body, "late");
    assert_eq!(serving.end().code(), Some(0));
}

#[test]
fn the_second_signal_does_not() {
    let (serving, _client, _upstream) = busy();
    let begin = Instant::now();
    serving.signal("INT");
    await_closed(&serving);
    serving.signal("INT");
    assert_eq!(serving.end().code(), Some(0));
    assert!(begin.elapsed().as_secs() < 9, "it waited for the request");
}
