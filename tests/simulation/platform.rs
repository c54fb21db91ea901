//! What one simulated request has of a runtime, and what it leaves in the journal.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use splitway_core::auth::Errand;
use splitway_core::exchange::Attempt;
use splitway_core::head::{Head, ResponseHead};
use splitway_core::limit::{Grant, Porter, Toll};
use splitway_core::platform::{Platform, Unread};
use splitway_core::problem::Failure;
use splitway_core::seal::Secret;
use splitway_core::signature::Check;
use splitway_core::snapshot::Snapshot;
use splitway_core::telemetry::Record;
use splitway_core::time::Timestamp;
use splitway_tests::chance::Chance;

use crate::setting::MIRROR;
use crate::weather::{Climate, Weather};
use crate::world::World;

/// All that happens in one seed.
pub(crate) struct Scene {
    pub(crate) world: Rc<World>,
    pub(crate) climates: BTreeMap<String, Climate>,
    /// The configuration, and which of those there have been it is.
    pub(crate) snapshot: RefCell<(usize, Arc<Snapshot>)>,
    /// How far the wall clock is ahead of the world's.
    pub(crate) skew: Cell<Duration>,
    pub(crate) chance: RefCell<Chance>,
    pub(crate) journal: RefCell<Vec<Entry>>,
    /// How many simulated attempts are under way.
    pub(crate) in_flight: Cell<usize>,
    /// How many copies are under way, and may be.
    pub(crate) copies: Cell<usize>,
    pub(crate) copies_max: usize,
}

/// Something that happened to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It was taken; the configuration by number.
    Begun { request: usize, document: usize },
    /// It was sent to a node.
    Sent { request: usize, branch: String, node: String, weather: Weather, body: usize },
    /// A copy of it was sent; the branch by number, if it went to one.
    Copied { request: usize, branch: Option<usize>, body: usize },
    /// It was recorded.
    Recorded { request: usize, status: u16, attempts: u32, branch: Option<String> },
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) number: usize,
    pub(crate) method: &'static str,
    pub(crate) has_key: bool,
    pub(crate) body: usize,
    /// Whether its length is known before it is read.
    pub(crate) is_sized: bool,
}

impl Head for Request {
    fn method(&self) -> &str {
        self.method
    }

    fn path(&self) -> &str {
        "/"
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn host(&self) -> &str {
        "splitway.test"
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let value = match name {
            "idempotency-key" if self.has_key => "k".to_owned(),
            "x-user" => self.number.to_string(),
            _ => return None,
        };
        Some(Cow::Owned(value))
    }

    fn client(&self) -> Option<IpAddr> {
        Some(Ipv4Addr::LOCALHOST.into())
    }

    fn scheme(&self) -> &str {
        "http"
    }

    fn port(&self) -> u16 {
        80
    }

    fn is_fronted(&self) -> bool {
        false
    }
}

/// What a node answers.
pub(crate) struct Response {
    status: u16,
    /// What there is still of a stream, if it is one.
    stream: Option<&'static str>,
    breaks: bool,
}

impl ResponseHead for Response {
    fn status(&self) -> u16 {
        self.status
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let is_stream = self.stream.is_some() && name == "content-type";
        is_stream.then_some(Cow::Borrowed("text/event-stream"))
    }
}

/// The runtime of one request.
pub(crate) struct Effects {
    pub(crate) scene: Rc<Scene>,
    pub(crate) request: usize,
    pub(crate) is_copy: bool,
}

impl Effects {
    /// Notes what is sent where; the number of what is sent at once goes up until this is dropped.
    fn begin(&self, attempt: &Attempt<'_>, weather: Weather, body: usize) -> Under<'_> {
        let Self { scene, request, is_copy } = self;
        let (request, node) = (*request, attempt.node.authority().to_owned());
        let branch = attempt.target.trim_start_matches('/').to_owned();
        if !is_copy {
            self.note(Entry::Sent { request, branch, node, weather, body });
            return Under::new(&scene.in_flight);
        }
        let branch = (node != MIRROR).then(|| branch.trim_start_matches('v').parse().unwrap());
        self.note(Entry::Copied { request, branch, body });
        let under = Under::new(&scene.copies);
        assert!(scene.copies.get() <= scene.copies_max, "{} copies at once", scene.copies.get());
        under
    }

    fn note(&self, entry: Entry) {
        self.scene.journal.borrow_mut().push(entry);
    }
}

/// Counts an attempt for as long as it is under way.
struct Under<'s>(&'s Cell<usize>);

impl<'s> Under<'s> {
    fn new(count: &'s Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Under<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Platform for Effects {
    type Head = Request;
    type Body = usize;
    type Response = Response;
    type Entry = ();

    fn now(&self) -> Timestamp {
        let now = self.scene.world.now() + self.scene.skew.get();
        Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap())
    }

    fn draw(&self) -> u64 {
        self.scene.chance.borrow_mut().draw()
    }

    fn secret(&self) -> Option<&Secret> {
        None
    }

    async fn sleep(&self, duration: Duration) {
        self.scene.world.sleep(duration).await;
    }

    async fn snapshot(&self) -> Option<Arc<Snapshot>> {
        let (document, snapshot) = self.scene.snapshot.borrow().clone();
        self.note(Entry::Begun { request: self.request, document });
        Some(snapshot)
    }

    async fn send(
        &self,
        attempt: &Attempt<'_>,
        _head: &Request,
        body: usize,
    ) -> Result<Response, Failure> {
        let scene = &self.scene;
        let climate = &scene.climates[attempt.node.authority()];
        let weather = climate.at(scene.world.now());
        let _under = self.begin(attempt, weather, body);
        let latency = climate.latency(self.draw());
        scene.world.sleep(latency).await;
        let answer = |status, stream| Response { status, stream, breaks: false };
        Ok(match weather {
            Weather::Fine => answer(200, Some("data: {\"fine\": true}\n\n")),
            Weather::Refuses => return Err(Failure::ConnectionRefused),
            Weather::Resets => return Err(Failure::ConnectionTerminated),
            Weather::Hangs => std::future::pending().await,
            Weather::Status(status) => answer(status, None),
            Weather::EmptyStream => answer(200, Some(": nothing\n\n")),
            Weather::ErrorStream => answer(200, Some("data: {\"error\": {\"code\": 1}}\n\n")),
            Weather::BrokenStream => Response { breaks: true, ..answer(200, Some("data: {\"a")) },
        })
    }

    fn size(&self, head: &Request, body: &usize) -> Option<u64> {
        head.is_sized.then(|| u64::try_from(*body).unwrap())
    }

    async fn buffer(&self, body: usize, limit: usize) -> Result<Vec<u8>, Unread> {
        self.scene.world.sleep(Duration::from_millis(1)).await;
        if body > limit { Err(Unread::TooLong) } else { Ok(vec![b'x'; body]) }
    }

    fn limited(&self, body: usize, max: u64) -> Option<usize> {
        u64::try_from(body).is_ok_and(|size| size <= max).then_some(body)
    }

    fn body(&self, bytes: Vec<u8>) -> usize {
        bytes.len()
    }

    async fn peek(&self, response: &mut Response) -> Result<Option<Vec<u8>>, Failure> {
        self.scene.world.sleep(Duration::from_millis(1)).await;
        let text = response.stream.unwrap_or_default();
        let (first, rest) = text.split_at(text.len().div_ceil(2));
        response.stream = Some(rest);
        match first {
            "" if response.breaks => Err(Failure::ConnectionTerminated),
            "" => Ok(None),
            first => Ok(Some(first.as_bytes().to_vec())),
        }
    }

    fn fetch(&self, errand: Errand) {
        drop(errand);
    }

    async fn verify(&self, _check: &Check) -> bool {
        false
    }

    async fn toll(&self, _toll: &Toll) -> Result<Grant, Failure> {
        Err(Failure::DestinationUnavailable)
    }

    fn porter(&self) -> Arc<dyn Porter> {
        Arc::new(Nobody)
    }

    fn record(&self, _: &Request, record: &Record<'_>) {
        assert_eq!(record.original.is_some(), self.is_copy);
        if self.is_copy {
            return;
        }
        self.note(Entry::Recorded {
            request: self.request,
            status: record.status,
            attempts: record.attempts,
            branch: record.branch.map(str::to_owned),
        });
    }
}

/// There is no store.
#[derive(Debug)]
struct Nobody;

impl Porter for Nobody {
    fn leave(&self, _: Toll) {}
}
