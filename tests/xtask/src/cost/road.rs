//! The road that is measured: a document with a route for each guard, what clients send, an origin.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// How many consumers have a key.
const CONSUMERS: usize = 1_000;

/// The road without guards, and the same once more: how far two figures of one road are apart.
pub(crate) const BARE: &str = "bare";
pub(crate) const AGAIN: &str = "the same again";

/// The road with all guards.
pub(crate) const ALL: &str = "all of these";

/// The guards, each on a road of its own, and how they are told to let everybody pass who sends `load`.
pub(crate) const GUARDS: [(&str, &str); 11] = [
    (
        "real-ip",
        r#"{"source": "http_x_forwarded_for", "trusted_addresses": ["127.0.0.0/8"], "recursive": true}"#,
    ),
    ("client-control", r#"{"max_body_size": 1048576}"#),
    ("request-id", "{}"),
    ("cors", r#"{"allow_origins": "https://app.example.com", "allow_methods": "GET,POST"}"#),
    (
        "ip-restriction",
        r#"{"whitelist": ["127.0.0.0/8", "192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32"]}"#,
    ),
    ("basic-auth", "{}"),
    ("jwt-auth", r#"{"header": "x-token"}"#),
    ("key-auth", "{}"),
    (
        "limit-conn",
        r#"{"conn": 5000, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr"}"#,
    ),
    ("limit-count", r#"{"count": 100000000, "time_window": 86400}"#),
    ("limit-req", r#"{"rate": 1000000, "burst": 1000000, "key": "remote_addr", "nodelay": true}"#),
];

/// What every client sends on every road, so that nothing but what is done with it differs: the script of
/// `wrk`, which ends by saying how many requests were answered and how many were not answered well.
pub(crate) const LOAD: &str = r#"
wrk.method = "POST"
wrk.body = '{"model":"gpt-4","messages":[{"role":"user","content":"ping"}]}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Origin"] = "https://app.example.com"
wrk.headers["X-Forwarded-For"] = "192.0.2.7"
wrk.headers["CF-Connecting-IP"] = "127.0.0.1"
wrk.headers["Authorization"] = "Basic amFjazpqYWNrcy1wYXNzd29yZA=="
wrk.headers["X-Token"] = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqYWNrIn0.OsIMI-HWHkT79msNB1cyvNpxHeVNSeLzXYiyHOjp3dU"
wrk.headers["apikey"] = "the-key-of-consumer-500"
function done(summary)
  local errors = summary.errors
  local bad = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("done %d %d\n", summary.requests, bad))
end
"#;

/// The path of a road.
pub(crate) fn path(road: &str) -> String {
    format!("/{}/chat/completions", road.replace(' ', "-"))
}

/// A document with all roads, each split in two halves that are rewritten, as the guide's.
pub(crate) fn document(origin: SocketAddr) -> String {
    let guard = |(name, told): &(&str, &str)| format!(r#", "{name}": {told}"#);
    let mut routes = vec![route(BARE, ""), route(AGAIN, "")];
    routes.extend(GUARDS.iter().map(|it| route(it.0, &guard(it))));
    routes.push(route(ALL, &GUARDS.iter().map(guard).collect::<String>()));
    let mut consumers = String::from(
        r#"{"username": "jack", "plugins": {
            "basic-auth": {"username": "jack", "password": "jacks-password"},
            "jwt-auth": {"key": "jack", "secret": "a-secret-of-32-bytes-for-figures"}}}"#,
    );
    for number in 1..=CONSUMERS {
        let key = format!(r#"{{"key-auth": {{"key": "the-key-of-consumer-{number}"}}}}"#);
        // A string takes whatever is written to it.
        let _ = write!(consumers, r#", {{"username": "c{number}", "plugins": {key}}}"#);
    }
    let routes = routes.join(", ");
    let upstream =
        format!(r#"{{"id": "origin", "nodes": {{"{origin}": 1}}, "pass_host": "node"}}"#);
    format!(r#"{{"routes": [{routes}], "upstreams": [{upstream}], "consumers": [{consumers}]}}"#)
}

fn route(road: &str, guards: &str) -> String {
    let (id, path) = (road.replace(' ', "-"), path(road));
    let rule = |version| {
        let uri = format!("/{version}/chat/completions");
        format!(r#"{{"weight": 50, "rewrite": {{"uri": "{uri}"}}}}"#)
    };
    let split = format!(r#""traffic-split": {{"rules": [{}, {}]}}"#, rule("v1"), rule("v2"));
    format!(
        r#"{{"id": "{id}", "uri": "{path}", "upstream_id": "origin", "plugins": {{{split}{guards}}}}}"#
    )
}

/// Starts an origin that answers whatever it is asked at once, and a collector of traces as well.
pub(crate) fn origin() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever broke off has its answer nowhere.
            thread::spawn(move || drop(converse(&stream)));
        }
    });
    Ok(address)
}

/// What is said of a request in its head: how long its body is, and how many bytes are wanted in place of the
/// usual answer (`X-Wants`).
#[derive(Default)]
struct Asked {
    length: u64,
    wanted: Option<u64>,
}

/// Answers request after request, until there is none.
fn converse(mut stream: &TcpStream) -> io::Result<()> {
    let text = format!("{{\"object\": \"chat.completion\", \"content\": \"{}\"}}", "x".repeat(250));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
    let answer = format!("{head}: {}\r\n\r\n{text}", text.len());
    stream.set_nodelay(true)?;
    let mut requests = BufReader::with_capacity(64 * 1024, stream);
    while let Some(Asked { length, wanted }) = asked(&mut requests)? {
        io::copy(&mut requests.by_ref().take(length), &mut io::sink())?;
        match wanted {
            None => stream.write_all(answer.as_bytes())?,
            Some(wanted) => {
                stream.write_all(format!("{head}: {wanted}\r\n\r\n").as_bytes())?;
                io::copy(&mut io::repeat(b'x').take(wanted), &mut stream)?;
            }
        }
    }
    Ok(())
}

/// Reads the head of a request; nothing if there is no more of them.
fn asked(requests: &mut impl BufRead) -> io::Result<Option<Asked>> {
    let (mut line, mut asked) = (String::new(), Asked::default());
    loop {
        line.clear();
        if requests.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let number = |value: &str| value.trim().parse().map_err(io::Error::other);
        match line.trim_end().split_once(':') {
            None if line.trim_end().is_empty() => return Ok(Some(asked)),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                asked.length = number(value)?;
            }
            Some((name, value)) if name.eq_ignore_ascii_case("x-wants") => {
                asked.wanted = Some(number(value)?);
            }
            Some(_) | None => {}
        }
    }
}
