//! The Admin API in memory: the core's answers over a ledger that nothing else holds, by a clock that
//! is set.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use splitway_core::access::{Access, Caller, KeyHash};
use splitway_core::admin::answer;
use splitway_core::coordinator::{Command, Coordinator, Done, Refusal};
use splitway_core::fault::Report;
use splitway_core::head::{Head, normalise_target};
use splitway_core::platform;
use splitway_core::seal::Secret;
use splitway_core::storage::Retention;
use splitway_core::time::Timestamp;
use splitway_tests::control::{Control, KEY};
use splitway_tests::message::{Answer, Call, Headers};
use splitway_tests::storage::InMemory;
use splitway_tests::target::{SECRET, Skip};

/// An Admin API with a clock of its own.
pub(crate) struct Memory {
    coordinator: RefCell<Coordinator<InMemory>>,
    now: Cell<Timestamp>,
    prefix: &'static str,
    is_slow: Cell<bool>,
    secret: Secret,
}

impl Memory {
    /// One that keeps so much of the past.
    pub(crate) fn with(retention: Retention) -> Self {
        let networks = vec!["127.0.0.0/8".parse().unwrap()];
        let access = Access::new(KeyHash::of(KEY), networks);
        let storage = InMemory::default();
        let (coordinator, snapshot) =
            Coordinator::start(storage, access, retention, &mut Report::default()).unwrap();
        assert!(snapshot.is_some(), "an empty ledger compiles");
        Self {
            coordinator: RefCell::new(coordinator),
            now: Cell::default(),
            prefix: "",
            is_slow: Cell::default(),
            secret: Secret::new(SECRET).unwrap(),
        }
    }

    /// The same behind a prefix.
    pub(crate) fn behind(self, prefix: &'static str) -> Self {
        Self { prefix, ..self }
    }

    pub(crate) fn set_clock(&self, since_epoch: Duration) {
        self.now.set(Timestamp::default().plus(since_epoch));
    }

    /// Removes what has come to its time.
    pub(crate) fn expire(&self) {
        let outcome = self.coordinator.borrow_mut().expire(self.now.get());
        outcome.answer.unwrap();
    }

    /// Asks, and has something happen between the head and the body.
    pub(crate) fn ask_slowly(&self, call: &Call, meanwhile: impl FnOnce()) -> Answer {
        self.is_slow.set(true);
        let asked = Asked::new(call, Ipv4Addr::LOCALHOST.into());
        let body = call.body.clone().unwrap_or_default();
        let mut answering = pin!(answer(self, self.prefix, &asked, body));
        let mut context = Context::from_waker(Waker::noop());
        assert!(answering.as_mut().poll(&mut context).is_pending(), "the body is waited for");
        meanwhile();
        let Poll::Ready(told) = answering.as_mut().poll(&mut context) else {
            panic!("the body is there");
        };
        answered(call, told)
    }

    /// Asks from another address.
    pub(crate) fn ask_from(&self, client: IpAddr, call: &Call) -> Answer {
        let asked = Asked::new(call, client);
        let body = call.body.clone().unwrap_or_default();
        let mut answering = pin!(answer(self, self.prefix, &asked, body));
        let Poll::Ready(told) = answering.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("nothing here waits");
        };
        self.check_storage();
        answered(call, told)
    }

    /// What is kept is what is known.
    fn check_storage(&self) {
        let mut coordinator = self.coordinator.borrow_mut();
        let known = coordinator.ledger().clone();
        coordinator.reload(&mut Report::default()).unwrap();
        assert_eq!(*coordinator.ledger(), known);
    }
}

fn answered(call: &Call, told: splitway_core::problem::Answer) -> Answer {
    let mut headers = Headers::default();
    told.headers.iter().for_each(|(name, value)| headers.push(&**name, value));
    let body = if call.method == "HEAD" { Vec::new() } else { told.body.into_bytes() };
    Answer { status: told.status, headers, body, complete: true }
}

impl Control for Memory {
    const SKIPS: &'static [Skip] = &[];

    fn new() -> Self {
        Self::with(Retention::default())
    }

    fn ask(&self, call: &Call) -> Answer {
        self.ask_from(Ipv4Addr::LOCALHOST.into(), call)
    }
}

impl platform::Control for Memory {
    type Head = Asked;
    type Body = Vec<u8>;

    fn secret(&self) -> Option<&Secret> {
        Some(&self.secret)
    }

    async fn buffer(&self, body: Vec<u8>, limit: usize) -> Option<Vec<u8>> {
        // A body that is late is there when it is asked for again.
        std::future::poll_fn(|_| match self.is_slow.replace(false) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
        (body.len() <= limit).then_some(body)
    }

    async fn admit(&self, caller: Caller) -> Result<Box<str>, Refusal> {
        self.coordinator.borrow_mut().admit(&caller, self.now.get())
    }

    async fn coordinate(&self, command: Command, by: Box<str>) -> Result<Done, Refusal> {
        self.coordinator.borrow_mut().handle(command, &by, self.now.get()).answer
    }
}

/// The head of a request.
pub(crate) struct Asked {
    method: String,
    target: String,
    host: String,
    lines: Headers,
    client: IpAddr,
}

impl Asked {
    fn new(call: &Call, client: IpAddr) -> Self {
        let target = normalise_target(&call.target).into_owned();
        let lines = call.lines();
        let host = lines.one("host").unwrap_or_default();
        Self { host, lines, target, method: call.method.clone(), client }
    }
}

impl Head for Asked {
    fn method(&self) -> &str {
        &self.method
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
        self.lines.one(name).map(Cow::Owned)
    }

    fn client(&self) -> Option<IpAddr> {
        Some(self.client)
    }

    fn scheme(&self) -> &str {
        "http"
    }

    fn port(&self) -> u16 {
        9180
    }

    fn is_fronted(&self) -> bool {
        false
    }
}
