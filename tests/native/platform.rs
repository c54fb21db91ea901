//! A platform in memory: what a shell does with headers, in plain sight, and no sockets.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use splitway_core::auth::Errand;
use splitway_core::exchange::Attempt;
use splitway_core::head::{Changes, HOP_BY_HOP, Head, normalise_target};
use splitway_core::limit::account::Account;
use splitway_core::limit::{Grant, Porter, Toll};
use splitway_core::node::Scheme;
use splitway_core::platform::{Platform, Unread};
use splitway_core::problem::Failure;
use splitway_core::seal::Secret;
use splitway_core::serve::{Reply as Served, serve, shadow};
use splitway_core::signature::Check;
use splitway_core::snapshot::Snapshot;
use splitway_core::telemetry::Record;
use splitway_core::time::Timestamp;
use splitway_tests::message::{Answer, Call, Headers};
use splitway_tests::origin;
use splitway_tests::plan::steps;
use splitway_tests::script::{Act, Door, Received, Reply, ReplyBody, Script};
use splitway_tests::sign::is_right;
use splitway_tests::tls::Certificate;

use crate::clock::Clock;
use crate::response::{Incoming, Response};

/// The upstreams there are, by authority.
pub(crate) type Nodes = BTreeMap<String, Node>;

/// An upstream.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) script: Script,
    pub(crate) record: Arc<origin::Record>,
    pub(crate) speech: Speech,
}

/// What an upstream speaks.
#[derive(Clone, Copy)]
pub(crate) enum Speech {
    /// What it is asked in: several addresses, as it were, behind one name.
    AsAsked,
    /// HTTP.
    Plain,
    /// HTTP over TLS, and what it shows there.
    Tls(Certificate),
}

/// The port that clients speak to, as far as they can speak to something in memory.
pub(crate) const PORT: u16 = 8080;

/// What shared limits have counted.
#[derive(Debug, Default)]
pub(crate) struct Accounts(Mutex<BTreeMap<String, Account>>);

impl Accounts {
    fn take(&self, toll: &Toll, now: Timestamp) -> Grant {
        self.0.lock().unwrap().entry(toll.key.clone()).or_default().take(toll, now)
    }
}

impl Porter for Accounts {
    /// The time is of no matter to those that leave.
    fn leave(&self, toll: Toll) {
        self.take(&toll, Timestamp::from_millis(0));
    }
}

/// What one request needs of a runtime.
pub(crate) struct Memory<'n> {
    pub(crate) nodes: &'n Nodes,
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    pub(crate) clock: Clock,
    pub(crate) records: &'n Mutex<Vec<Noted>>,
    /// What shared limits have counted.
    pub(crate) accounts: Arc<Accounts>,
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

/// The value of a header as the core reads it.
pub(crate) fn joined<'h>(headers: &'h Headers, name: &str) -> Option<Cow<'h, str>> {
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

impl Memory<'_> {
    /// What is at a URL.
    fn get(&self, url: &str) -> Result<Vec<u8>, Failure> {
        let (_, rest) = url.split_once("://").ok_or(Failure::HttpRequestError)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let node = self.nodes.get(authority).ok_or(Failure::ConnectionRefused)?;
        let (method, target) = ("GET".to_owned(), format!("/{path}"));
        let request = Received { method, target, complete: true, ..Received::default() };
        node.record.begin(request.clone());
        let mut act = node.script.act(&request);
        while let Act::Late(_, then) = act {
            act = *then;
        }
        let Act::Answer(Reply { status: 200, body: ReplyBody::Whole(body), .. }) = act else {
            return Err(Failure::DestinationUnavailable);
        };
        Ok(body)
    }
}

impl Platform for Memory<'_> {
    type Head = Request;
    type Body = Option<Vec<u8>>;
    type Response = Response;
    type Entry = ();

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
        let node = self.nodes.get(&authority).ok_or(Failure::ConnectionRefused)?;
        let Node { script, record, .. } = node;
        let connection = record.connect();
        match script.door(connection) {
            Door::Open => {}
            Door::Closed if attempt.scheme.is_tls() => return Err(Failure::DestinationUnavailable),
            Door::Closed | Door::ResetAfter(_) => return Err(Failure::ConnectionTerminated),
        }
        shake_hands(attempt.scheme, node.speech)?;
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
            ..Received::default()
        };
        let number = record.begin(request.clone());
        let request = match script.is_early {
            true => Received { body: Vec::new(), ..request },
            false => record.update(number, |request| request.complete = true),
        };
        let steps = steps(&script.act(&request), request.method == "HEAD");
        let leaving = Leaving { record: Arc::clone(record), number, is_gone: true };
        let mut response = Incoming::new(steps, leaving).head(&self.clock).await?;
        response.is_bodiless |= request.method == "HEAD";
        Ok(response)
    }

    async fn buffer(&self, body: Self::Body, limit: usize) -> Result<Vec<u8>, Unread> {
        let body = body.unwrap_or_default();
        if body.len() > limit { Err(Unread::TooLong) } else { Ok(body) }
    }

    fn size(&self, head: &Request, body: &Self::Body) -> Option<u64> {
        let size = u64::try_from(body.as_ref().map_or(0, Vec::len)).ok();
        size.filter(|size| *size == 0 || !head.call.chunked)
    }

    async fn peek(&self, response: &mut Response) -> Result<Option<Vec<u8>>, Failure> {
        response.peek(&self.clock).await
    }

    fn limited(&self, body: Self::Body, max: u64) -> Option<Self::Body> {
        let size = body.as_ref().map_or(0, Vec::len);
        u64::try_from(size).is_ok_and(|size| size <= max).then_some(body)
    }

    fn body(&self, bytes: Vec<u8>) -> Self::Body {
        Some(bytes)
    }

    /// At once: what an upstream does in time of its own, it does not do here.
    fn fetch(&self, errand: Errand) {
        let came = self.get(errand.url());
        // What comes of it is seen by who asks for it next.
        let _ = errand.deliver(came, self.now());
    }

    async fn verify(&self, check: &Check) -> bool {
        is_right(check)
    }

    async fn toll(&self, toll: &Toll) -> Result<Grant, Failure> {
        Ok(self.accounts.take(toll, self.now()))
    }

    fn porter(&self) -> Arc<dyn Porter> {
        Arc::clone(&self.accounts) as _
    }

    fn record(&self, _: &Request, record: &Record<'_>) {
        self.records.lock().unwrap().push(Noted {
            route: record.route.map(str::to_owned),
            branch: record.branch.map(str::to_owned),
            status: record.status,
            problem: record.problem,
            duration: record.duration,
        });
    }
}

/// What comes before HTTP, in the words that RFC 9209 has for its failures.
fn shake_hands(scheme: Scheme, speech: Speech) -> Result<(), Failure> {
    if scheme.is_grpc() {
        // All that there is in memory speaks HTTP/1.1.
        return Err(Failure::HttpProtocolError);
    }
    match (scheme.is_tls(), speech) {
        (_, Speech::AsAsked) | (false, Speech::Plain) | (true, Speech::Tls(Certificate::Sound)) => {
            Ok(())
        }
        (false, Speech::Tls(_)) => Err(Failure::HttpProtocolError),
        (true, Speech::Plain) => Err(Failure::TlsProtocolError),
        (true, Speech::Tls(_)) => Err(Failure::TlsCertificateError),
    }
}

/// Tells an upstream that nobody waits for it, unless the exchange is over when this is dropped.
pub(crate) struct Leaving {
    record: Arc<origin::Record>,
    number: usize,
    is_gone: bool,
}

impl Leaving {
    /// The upstream has said what it had to say, and whether it closes the connection.
    pub(crate) fn over(mut self, closed: bool) {
        self.is_gone = false;
        self.record.update(self.number, |request| {
            request.complete = true;
            request.closed = closed;
        });
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if self.is_gone {
            self.record.update(self.number, |request| request.gone = true);
        }
    }
}

/// Applies edits the way both shells must.
pub(crate) fn edit(headers: &mut Headers, edits: &Changes) {
    let chunked = headers.has("transfer-encoding");
    HOP_BY_HOP.iter().for_each(|name| headers.remove(name));
    edits.removed().for_each(|name| headers.remove(name));
    for (name, value) in edits.set() {
        headers.remove(name);
        headers.push(name.as_bytes(), value.as_bytes());
    }
    edits.added().for_each(|(name, value)| headers.push(name.as_bytes(), value.as_bytes()));
    if chunked {
        headers.push("Transfer-Encoding", "chunked");
    }
}

/// Serves one request.
pub(crate) fn answer(memory: &Memory<'_>, call: &Call) -> Answer {
    let request = Request::of(call);
    let served = memory.clock.run(serve(memory, &request, call.body.clone()));
    if let Some(copy) = served.shadow {
        memory.clock.run(shadow(memory, &request, copy));
    }
    let mut answer = match served.reply {
        Served::Relay(response, relay) => memory.clock.run(response.relay(&memory.clock, relay)),
        Served::Own(own, _) => {
            let mut headers = Headers::default();
            own.headers
                .iter()
                .for_each(|(name, value)| headers.push(name.as_bytes(), value.as_bytes()));
            headers.push("content-length", own.body.len().to_string());
            Answer { status: own.status, headers, body: own.body.into_bytes(), complete: true }
        }
    };
    if call.method == "HEAD" {
        answer.body.clear();
    }
    answer
}
