//! One process takes over from another on the same port, and no client notices.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use splitway_tests::at_end::AtEnd;
use splitway_tests::document;
use splitway_tests::script::DEADLINE;

use crate::http2::{Client, get, runtime};
use crate::process::{Files, Serving, origin, splitway};

/// How often a process takes over, and how many requests it answers before.
const TIMES: usize = 6;
const REQUESTS: usize = 300;

/// What the clients count.
#[derive(Default)]
struct Count {
    answered: AtomicUsize,
    ends: AtomicBool,
}

impl Count {
    fn goes_on(&self) -> bool {
        !self.ends.load(Ordering::Relaxed)
    }

    fn wait_for_more(&self) {
        let until = self.answered.load(Ordering::Relaxed) + REQUESTS;
        while self.goes_on() && self.answered.load(Ordering::Relaxed) < until {
            thread::yield_now();
        }
    }
}

/// Sends one request and reads its answer, which must be whole; returns whether the connection goes on.
fn exchange(stream: &mut TcpStream) -> bool {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").expect("a request is taken");
    let mut answer = Vec::new();
    let mut space = [0; 4096];
    while !answer.ends_with(b"through") {
        let count = match stream.read(&mut space) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.expect("an answer"),
        };
        let text = String::from_utf8_lossy(&answer);
        assert_ne!(count, 0, "no whole answer: {text:?}");
        answer.extend_from_slice(&space[..count]);
    }
    let answer = String::from_utf8(answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    !answer.to_ascii_lowercase().contains("connection: close")
}

fn dial(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("somebody listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("it is open");
    stream.set_nodelay(true).expect("it is open");
    stream
}

/// A connection for each request, or one for as many as it takes.
fn ask(to: SocketAddr, keeps: bool, count: &Count) {
    let mut kept = None;
    while count.goes_on() {
        let mut stream = kept.take().unwrap_or_else(|| dial(to));
        let goes_on = exchange(&mut stream);
        kept = (keeps && goes_on).then_some(stream);
        count.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// The same over HTTP/2. A request that the server has not looked at, as it says when it ends a
/// connection, is asked again.
fn ask_http2(to: SocketAddr, count: &Count) {
    runtime().block_on(async {
        let mut client = Client::plain(to).await;
        while count.goes_on() {
            match client.ask(get("/")).await {
                Ok(answer) => {
                    assert_eq!(
                        (answer.status().as_u16(), &answer.body()[..]),
                        (200, &b"through"[..])
                    );
                    count.answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if error.is_canceled() || error.is_closed() => {
                    client = Client::plain(to).await;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    });
}

#[test]
fn no_request_is_lost() {
    let upstream = origin("through");
    let files = Files::new();
    let path = files.write("split.yaml", &document::everything_to(&upstream));
    let start = |listen: &str| {
        let options = ["--config", &path, "--reuse-port", "--workers", "2", "--listen", listen];
        Serving::start_at(splitway(), &options)
    };
    let mut current = start("127.0.0.1:0");
    let address = current.traffic;
    let count = Count::default();
    thread::scope(|scope| {
        let _end = AtEnd(|| count.ends.store(true, Ordering::Relaxed));
        let count = &count;
        let spoiled = || AtEnd(|| count.ends.store(true, Ordering::Relaxed));
        let clients = [
            scope.spawn(move || {
                let _end = spoiled();
                ask(address, true, count);
            }),
            scope.spawn(move || {
                let _end = spoiled();
                ask(address, false, count);
            }),
            scope.spawn(move || {
                let _end = spoiled();
                ask_http2(address, count);
            }),
        ];
        for _ in 0..TIMES {
            count.wait_for_more();
            let next = start(&address.to_string());
            current.signal("TERM");
            assert_eq!(std::mem::replace(&mut current, next).end().code(), Some(0));
        }
        count.wait_for_more();
        assert!(clients.iter().all(|client| !client.is_finished()), "a client gave up");
    });
    let answered = count.answered.load(Ordering::Relaxed);
    assert!(answered > TIMES * REQUESTS, "{answered}");
    assert_eq!(upstream.count(), answered);
}

/// Who is not told to share a port takes none that another has.
#[test]
fn a_port_is_shared_on_purpose_only() {
    let upstream = origin("through");
    let files = Files::new();
    let path = files.write("split.yaml", &document::everything_to(&upstream));
    for options in [&[][..], &["--reuse-port"]] {
        let first = Serving::file(&path, options);
        let address = first.traffic.to_string();
        for workers in ["1", "2"] {
            let mut second = splitway();
            second.args(["serve", "--config", &path, "--listen", &address, "--workers", workers]);
            let output = second.output().expect("splitway runs");
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{told}");
            assert!(told.contains("cannot listen on"), "{told}");
        }
    }
}
