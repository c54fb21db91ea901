//! The effects that a thread lends the core.

mod naps;

use std::borrow::Cow;
use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderValue, Version};
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::Body as _;
use splitway_core::auth::Errand;
use splitway_core::exchange::Attempt;
use splitway_core::head::{Head, Place, ResponseHead, normalise_target};
use splitway_core::limit::{Grant, Porter, Toll};
use splitway_core::platform::{Platform, Unread};
use splitway_core::problem::{Failure, Problem};
use splitway_core::seal::Secret;
use splitway_core::signature::Check;
use splitway_core::snapshot::Snapshot;
use splitway_core::telemetry::Record;
use splitway_core::time::Timestamp;

pub(crate) use self::naps::Naps;
use crate::access::{AccessLog, Entry};
use crate::door::Door;
use crate::front::{self, Fronts};
use crate::limiter::{Doorman, Limiter};
use crate::listen::{ClientBody, Progress, TooLong};
use crate::message::{self, joined};
use crate::store::Store;
use crate::telemetry::{self, Log};
use crate::trace::{Trace, Tracer};
use crate::upstream::{Received, Upload, Upstreams};
use crate::{fetch, spare, verify};

/// The effects of one thread.
#[derive(Debug)]
pub(crate) struct Effects {
    pub(crate) store: Arc<Store>,
    pub(crate) upstreams: Upstreams,
    pub(crate) log: Log,
    pub(crate) access: AccessLog,
    pub(crate) tracer: Option<Arc<Tracer>>,
    pub(crate) fronts: Arc<Fronts>,
    pub(crate) secret: Option<Secret>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) naps: Naps,
}

impl Platform for Effects {
    type Head = RequestHead;
    type Body = Upload;
    type Response = Received;
    type Entry = Entry;

    fn now(&self) -> Timestamp {
        telemetry::now()
    }

    fn draw(&self) -> u64 {
        // Without entropy, which a running system has, time is what is left to tell clients apart.
        drawn().unwrap_or_else(|| telemetry::now().as_millis())
    }

    fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    async fn sleep(&self, duration: Duration) {
        self.naps.nap(duration).await;
    }

    async fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.store.snapshot()
    }

    fn awaits_client(&self, head: &RequestHead) -> bool {
        head.progress.as_ref().is_some_and(|progress| progress.is_awaited())
    }

    async fn send(
        &self,
        attempt: &Attempt<'_>,
        head: &RequestHead,
        body: Upload,
    ) -> Result<Received, Failure> {
        let Some(trace) = &head.trace else {
            return self.upstreams.send(attempt, head, body, None).await;
        };
        let going = trace.attempt(attempt);
        let came = self.upstreams.send(attempt, head, body, Some(&going)).await;
        going.end(&came);
        came
    }

    fn size(&self, _: &RequestHead, body: &Upload) -> Option<u64> {
        body.size_hint().exact()
    }

    async fn peek(&self, received: &mut Received) -> Result<Option<Vec<u8>>, Failure> {
        received.response.body_mut().peek().await
    }

    async fn buffer(&self, body: Upload, limit: usize) -> Result<Vec<u8>, Unread> {
        match Limited::new(body, limit).collect().await {
            Ok(whole) => Ok(whole.to_bytes().into()),
            Err(error) if error.is::<LengthLimitError>() || error.is::<TooLong>() => {
                Err(Unread::TooLong)
            }
            Err(_) => Err(Unread::BrokenOff),
        }
    }

    fn limited(&self, body: Upload, max: u64) -> Option<Upload> {
        match body.size_hint().lower() <= max {
            true => Some(match body {
                Either::Left(client) => Either::Left(client.limited(max)),
                whole @ Either::Right(_) => whole,
            }),
            false => None,
        }
    }

    fn body(&self, bytes: Vec<u8>) -> Upload {
        Either::Right(Full::from(bytes))
    }

    fn fetch(&self, errand: Errand) {
        fetch::begin(errand, self.upstreams.connector(), self.log.clone());
    }

    async fn verify(&self, check: &Check) -> bool {
        verify::verify(check)
    }

    async fn toll(&self, toll: &Toll) -> Result<Grant, Failure> {
        self.limiter.toll(toll).await
    }

    fn porter(&self) -> Arc<dyn Porter> {
        Arc::new(Doorman(Arc::clone(&self.limiter)))
    }

    fn record(&self, head: &RequestHead, record: &Record<'_>) -> Entry {
        let trace = head.trace.as_ref().filter(|_| record.original.is_none());
        let span = trace.and_then(|trace| trace.answered(record));
        Entry::new(record.at, self.access.begin(record, Some(head)), span)
    }
}

/// How many numbers are asked of the system at once.
const DRAWN: usize = 32;

thread_local! {
    /// Numbers of the system that nobody had yet, and how many of them there are.
    static STOCK: Cell<([u64; DRAWN], usize)> = const { Cell::new(([0; DRAWN], 0)) };
}

/// A random number of the system, which each has once: some are keys.
fn drawn() -> Option<u64> {
    let (mut numbers, mut left) = STOCK.take();
    if left == 0 {
        let mut bytes = [0; DRAWN * size_of::<u64>()];
        getrandom::fill(&mut bytes).ok()?;
        let (chunks, _) = bytes.as_chunks();
        let filled = numbers.iter_mut().zip(chunks);
        filled.for_each(|(number, bytes)| *number = u64::from_ne_bytes(*bytes));
        left = DRAWN;
    }
    left -= 1;
    let number = numbers.get_mut(left).map(std::mem::take);
    STOCK.set((numbers, left));
    number
}

/// The head of a client's request.
#[derive(Clone, Debug)]
pub(crate) struct RequestHead {
    parts: Box<Parts>,
    /// The target after normalisation, where that changed it.
    folded: Option<Box<str>>,
    /// Where in the target the path ends.
    path_end: usize,
    fault: Option<Problem>,
    client: Option<IpAddr>,
    /// Who the connection is from, if it is a proxy that is trusted to say who asks.
    front: Option<IpAddr>,
    door: Door,
    /// How far the body has come, if there is one.
    progress: Option<Progress>,
    /// What is traced of it, if it is.
    trace: Option<Arc<Trace>>,
}

impl RequestHead {
    /// A request that came from `peer`, if that is known, through `door`.
    pub(crate) fn new(
        mut parts: Box<Parts>,
        peer: Option<IpAddr>,
        door: Door,
        fronts: &Fronts,
    ) -> Self {
        let fault = door.fault(&parts).or_else(|| message::fault(&parts));
        if parts.version == Version::HTTP_2 {
            join_cookies(&mut parts);
        }
        let client = peer.map(|peer| fronts.client(peer, &parts.headers));
        let front = peer.filter(|peer| fronts.trust(*peer));
        let received = received_target(&parts);
        let normal = normalise_target(received);
        let path_end = normal.bytes().position(|byte| byte == b'?').unwrap_or(normal.len());
        let folded = (normal != received).then(|| normal.into());
        Self { parts, folded, path_end, fault, client, front, door, progress: None, trace: None }
    }

    /// Notes the body that follows.
    pub(crate) fn precede(&mut self, body: &ClientBody) {
        self.progress = body.progress();
        self.frame(!body.is_end_stream());
    }

    /// Begins the trace of it, if it is one that is traced.
    pub(crate) fn trace(&mut self, tracer: &Tracer) {
        let trace = tracer.begin(self, &self.parts.headers, self.parts.version);
        self.trace = trace.map(Arc::new);
    }

    /// Notes that there is a body of whose length nothing is said. Where HTTP/2 does without a word,
    /// HTTP/1.1 does not.
    fn frame(&mut self, has_body: bool) {
        if has_body
            && self.parts.version == Version::HTTP_2
            && !self.parts.headers.contains_key(CONTENT_LENGTH)
        {
            let chunked = HeaderValue::from_static("chunked");
            self.parts.headers.insert(TRANSFER_ENCODING, chunked);
        }
    }

    /// How far the body has come, if there is one.
    pub(crate) fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    /// The head as it came.
    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Leaves to others what room it has for headers.
    pub(crate) fn leave(self) {
        let mut parts = self.parts;
        spare::put(std::mem::take(&mut parts.headers));
    }

    fn target(&self) -> &str {
        self.folded.as_deref().unwrap_or_else(|| received_target(&self.parts))
    }
}

/// Makes one line of many, in which HTTP/2 lets a client send its cookies and HTTP/1.1 does not
/// (RFC 9113, section 8.2.3).
fn join_cookies(parts: &mut Parts) {
    if parts.headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let cookies: Vec<&[u8]> =
        parts.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(cookies) = HeaderValue::from_bytes(&cookies.join(b"; ".as_slice())) {
        parts.headers.insert(COOKIE, cookies);
    }
}

/// The target of a request, of an absolute one what follows the authority.
fn received_target(parts: &Parts) -> &str {
    parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
}

impl Head for RequestHead {
    fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    fn path(&self) -> &str {
        let target = self.target();
        target.get(..self.path_end).unwrap_or(target)
    }

    fn query(&self) -> Option<&str> {
        self.target().get(self.path_end + 1..)
    }

    fn host(&self) -> &str {
        // That of the target comes first (RFC 9112, section 3.2.2).
        let absolute = self.parts.uri.authority().map(http::uri::Authority::as_str);
        // There is one, and near the beginning, so that it is found before its name could be hashed.
        let named = || {
            let host = self.parts.headers.iter().find(|(name, _)| **name == HOST);
            host.and_then(|(_, host)| host.to_str().ok())
        };
        absolute.or_else(named).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        joined(&self.parts.headers, name)
    }

    fn client(&self) -> Option<IpAddr> {
        self.client
    }

    fn hop(&self) -> Option<IpAddr> {
        self.front.or(self.client)
    }

    fn scheme(&self) -> &str {
        if self.door.is_secure { "https" } else { "http" }
    }

    fn port(&self) -> u16 {
        self.door.port
    }

    fn place(&self, what: Place) -> Option<Cow<'_, str>> {
        let headers = self.front.map(|_| &self.parts.headers)?;
        match what {
            Place::Country => front::country(headers),
            Place::Colo => front::colo(headers),
            Place::Asn => front::asn(headers),
        }
    }

    fn fault(&self) -> Option<Problem> {
        self.fault
    }

    fn is_fronted(&self) -> bool {
        false
    }
}

impl ResponseHead for Received {
    fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        joined(self.response.headers(), name)
    }
}
