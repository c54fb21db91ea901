//! The Admin API in memory: the core's answers over a ledger that nothing else holds.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use serde_json::Value;
use splitway_core::admin::{Gate, answer};
use splitway_core::coordinator::{Command, Done, Ledger, Refusal, Verdict};
use splitway_core::head::Head;
use splitway_core::platform::Control;
use splitway_core::time::Timestamp;

/// The key that may write.
pub(crate) const KEY: &str = "ADMINKEY";

/// A request to the Admin API.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    client: IpAddr,
    body: Vec<u8>,
}

impl Request {
    /// A request from an address that may ask, without a key.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            client: [127, 0, 0, 1].into(),
            body: Vec::new(),
        }
    }

    /// A request with the key: method and the path behind the prefix.
    pub(crate) fn with_key(line: &str) -> Self {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        Self::new(method, &format!("/apisix/admin{path}")).header("x-api-key", KEY)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    pub(crate) fn from(mut self, client: [u8; 4]) -> Self {
        self.client = client.into();
        self
    }

    /// Gives it a body: a text as it is, everything else as JSON.
    pub(crate) fn body(mut self, body: &Value) -> Self {
        let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        self.body = text.into_bytes();
        self
    }
}

impl Head for Request {
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
        "127.0.0.1:9180"
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| Cow::Borrowed(value.as_str()))
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

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) text: String,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// The Admin API of a ledger that starts empty, and a clock that goes on by a second with each
/// command.
#[derive(Debug, Default)]
pub(crate) struct Api {
    ledger: RefCell<Ledger>,
    seconds: Cell<u64>,
}

impl Api {
    pub(crate) fn ask(&self, request: &Request) -> Response {
        let mut answering = pin!(answer(self, &Loopback, request, request.body.clone()));
        let Poll::Ready(answer) = answering.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("nothing here waits");
        };
        let header = |name: &str| {
            let found = answer.headers.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        assert_eq!(header("x-api-version"), "v3", "{request:?}");
        let content_type = header("content-type");
        Response { status: answer.status, content_type, text: answer.body }
    }
}

impl Control for Api {
    type Head = Request;
    type Body = Vec<u8>;

    async fn buffer(&self, body: Vec<u8>, limit: usize) -> Option<Vec<u8>> {
        (body.len() <= limit).then_some(body)
    }

    async fn coordinate(&self, command: Command) -> Result<Done, Refusal> {
        self.seconds.update(|seconds| seconds + 1);
        let now = Timestamp::from_millis(self.seconds.get() * 1000);
        let verdict = self.ledger.borrow().handle(command, now)?;
        match verdict {
            Verdict::Answer(done) => Ok(done),
            Verdict::Commit(change, _, done) => {
                self.ledger.borrow_mut().apply(*change);
                Ok(done)
            }
        }
    }
}

/// Lets loopback in, with the one key.
struct Loopback;

impl Gate for Loopback {
    fn allows(&self, client: Option<IpAddr>) -> bool {
        client.is_some_and(|client| client.is_loopback())
    }

    fn opens(&self, key: &str) -> bool {
        key == KEY
    }
}
