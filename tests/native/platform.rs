//! A platform in memory: what a shell does with headers, in plain sight, and no sockets.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use splitway_core::exchange::Attempt;
use splitway_core::head::{Edits, HOP_BY_HOP, Head, ResponseHead, normalise_target};
use splitway_core::platform::{Platform, Unread};
use splitway_core::problem::Failure;
use splitway_core::seal::Secret;
use splitway_core::serve::{Reply as Served, serve};
use splitway_core::snapshot::Snapshot;
use splitway_core::telemetry::Record;
use splitway_core::time::Timestamp;
use splitway_tests::message::{Answer, Call, Headers};
use splitway_tests::origin;
use splitway_tests::script::{Act, Piece, Received, Reply, ReplyBody, Script};

use crate::clock::Clock;

/// The upstreams there are, by authority.
pub(crate) type Nodes = BTreeMap<String, (Script, Arc<origin::Record>)>;

/// The port that clients speak to, as far as they can speak to something in memory.
pub(crate) const PORT: u16 = 8080;

/// What one request needs of a runtime.
pub(crate) struct Memory<'n> {
    pub(crate) nodes: &'n Nodes,
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    pub(crate) clock: Clock,
    pub(crate) records: &'n Mutex<Vec<Noted>>,
    pub(crate) draws: &'n AtomicU64,
    pub(crate) secret: Secret,
}

/// A [`Record`] to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) route: Option<String>,
    pub(crate) branch: Option<String>,
    pub(crate) status: u16,
    pub(crate) problem: Option<&'static str>,
    pub(crate) duration: Duration,
}

/// A client's request as the core sees it.
pub(crate) struct Request {
    call: Call,
    lines: Headers,
    host: String,
    target: String,
}

impl Request {
    fn of(call: &Call) -> Self {
        let lines = call.lines();
        let host = lines.one("host").unwrap_or_default();
        let target = normalise_target(&call.target).into_owned();
        Self { call: call.clone(), lines, host, target }
    }
}

fn joined<'h>(headers: &'h Headers, name: &str) -> Option<Cow<'h, str>> {
    let values = headers.all(name);
    match values[..] {
        [] => None,
        [value] => Some(String::from_utf8_lossy(value)),
        _ => {
            let between = if name == "cookie" { b"; " } else { b", " };
            Some(Cow::Owned(String::from_utf8_lossy(&values.join(between.as_slice())).into_owned()))
        }
    }
}

impl Head for Request {
    fn method(&self) -> &str {
        &self.call.method
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        joined(&self.lines, name)
    }

    fn client(&self) -> Option<IpAddr> {
        Some(Ipv4Addr::LOCALHOST.into())
    }

    fn scheme(&self) -> &str {
        "http"
    }

    fn port(&self) -> u16 {
        PORT
    }

    fn is_fronted(&self) -> bool {
        false
    }
}

/// An upstream's response as the core sees it: its status, its headers as a client would see them.
pub(crate) struct Response(Reply);

impl ResponseHead for Response {
    fn status(&self) -> u16 {
        self.0.status
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        joined(&self.0.headers, name)
    }
}

impl Platform for Memory<'_> {
    type Head = Request;
    type Body = Option<Vec<u8>>;
    type Response = Response;

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(u64::try_from(self.clock.now().as_millis()).unwrap())
    }

    fn draw(&self) -> u64 {
        self.draws.fetch_add(1, Ordering::Relaxed)
    }

    fn secret(&self) -> Option<&Secret> {
        Some(&self.secret)
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }

    async fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    async fn send(
        &self,
        attempt: &Attempt<'_>,
        head: &Request,
        body: Option<Vec<u8>>,
    ) -> Result<Response, Failure> {
        let authority = format!("{}:{}", attempt.node.host(), attempt.node.port());
        let (script, record) = self.nodes.get(&authority).ok_or(Failure::ConnectionRefused)?;
        let mut headers = head.lines.clone();
        headers.remove("host");
        headers.0.insert(0, (b"Host".to_vec(), attempt.host.as_bytes().to_vec()));
        edit(&mut headers, &attempt.edits);
        if headers.has("content-length") {
            headers.remove("content-length");
            headers.push("Content-Length", body.as_ref().map_or(0, Vec::len).to_string());
        }
        let request = Received {
            method: attempt.method.clone().into_owned(),
            target: attempt.target.clone().into_owned(),
            headers,
            body: body.unwrap_or_default(),
            chunked: head.call.chunked && head.call.body.is_some(),
            complete: true,
            ..Received::default()
        };
        let number = record.begin(request.clone());
        match script.act(&request) {
            Act::Answer(reply) => Ok(Response(reply)),
            Act::Close => Err(Failure::ConnectionTerminated),
            Act::Garbage(_) => Err(Failure::HttpProtocolError),
            Act::Silence => {
                let _leaves = Leaves(record, number);
                std::future::pending().await
            }
        }
    }

    async fn buffer(&self, body: Self::Body, limit: usize) -> Result<Vec<u8>, Unread> {
        let body = body.unwrap_or_default();
        if body.len() > limit { Err(Unread::TooLong) } else { Ok(body) }
    }

    fn body(&self, bytes: Vec<u8>) -> Self::Body {
        Some(bytes)
    }

    fn record(&self, record: &Record<'_>) {
        self.records.lock().unwrap().push(Noted {
            route: record.route.map(str::to_owned),
            branch: record.branch.map(str::to_owned),
            status: record.status,
            problem: record.problem,
            duration: record.duration,
        });
    }
}

/// Tells an upstream that waits that nobody waits for it.
struct Leaves<'r>(&'r origin::Record, usize);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.update(self.1, |request| request.gone = true);
    }
}

/// Applies edits the way both shells must.
fn edit(headers: &mut Headers, edits: &Edits) {
    let chunked = headers.has("transfer-encoding");
    HOP_BY_HOP.iter().for_each(|name| headers.remove(name));
    edits.remove.iter().for_each(|name| headers.remove(name));
    for (name, value) in &edits.set {
        headers.remove(name);
        headers.push(name.as_bytes(), value);
    }
    edits.add.iter().for_each(|(name, value)| headers.push(name.as_bytes(), value));
    if chunked {
        headers.push("Transfer-Encoding", "chunked");
    }
}

/// Serves one request.
pub(crate) fn answer(memory: &Memory<'_>, call: &Call) -> Answer {
    let request = Request::of(call);
    let served = memory.clock.run(serve(memory, &request, call.body.clone()));
    let mut answer = match served {
        Served::Relay(Response(reply), edits) => relay(reply, &edits),
        Served::Refuse(own, _) => {
            let mut headers = Headers::default();
            own.headers.iter().for_each(|(name, value)| headers.push(name, value));
            headers.push("content-length", own.body.len().to_string());
            Answer { status: own.status, headers, body: own.body.into_bytes(), complete: true }
        }
    };
    if call.method == "HEAD" {
        answer.body.clear();
    }
    answer
}

fn relay(reply: Reply, edits: &Edits) -> Answer {
    let Reply { status, mut headers, body, .. } = reply;
    edit(&mut headers, edits);
    let (body, complete) = match body {
        ReplyBody::None => (Vec::new(), true),
        ReplyBody::UntilClose(body) => (body, true),
        ReplyBody::Whole(body) => {
            headers.push("Content-Length", body.len().to_string());
            (body, true)
        }
        ReplyBody::Pieces(pieces) => gather(pieces),
    };
    Answer { status, headers, body, complete }
}

fn gather(pieces: Vec<Piece>) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Send(bytes) => body.extend(bytes),
            Piece::Wait(_) => {}
            Piece::Cut | Piece::WaitUntilGone | Piece::RepeatUntilGone(_) => return (body, false),
        }
    }
    (body, true)
}
