//! A Worker with a coordinator, for the dialogues and for what only the edge has.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use splitway_tests::control::{Control, KEY};
use splitway_tests::document::upstream;
use splitway_tests::message::{Answer, Call};
use splitway_tests::origin::Origin;
use splitway_tests::script::{DEADLINE, Reply};
use splitway_tests::target::{SECRET, Skip};
use splitway_tests::wire;

use crate::miniflare::Miniflare;

/// A Worker whose ledger is empty at first.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) miniflare: Miniflare,
}

impl Edge {
    /// One with more variables, or others.
    pub(crate) fn with(vars: &Value) -> Self {
        Self::start(&json!({"coordinator": true, "vars": vars}))
    }

    /// One that is set up as `miniflare.mjs` tells; the key is among its secrets unless another is.
    pub(crate) fn start(setup: &Value) -> Self {
        let mut setup = setup.clone();
        if setup["vars"]["ADMIN_KEY"].is_null() {
            setup["vars"]["ADMIN_KEY"] = json!(KEY);
        }
        if setup["vars"]["SPLITWAY_SECRET"].is_null() {
            setup["vars"]["SPLITWAY_SECRET"] = json!(SECRET);
        }
        Self { miniflare: Miniflare::start(&setup) }
    }

    /// A request to the data plane, or any other.
    pub(crate) fn call(&self, call: &Call) -> Answer {
        wire::call(self.miniflare.address(), call)
    }

    /// Puts a route through the Admin API; everything goes to `origin` then.
    #[track_caller]
    pub(crate) fn put_route(&self, id: &str, uri: &str, origin: &Origin) -> Answer {
        let body = json!({"uri": uri, "upstream": upstream(origin)});
        let answer = self.say(&format!("PUT /routes/{id}"), &body);
        assert!(matches!(answer.status, 200 | 201), "{}: {}", answer.status, answer.text());
        answer
    }

    /// The revision of the ledger.
    pub(crate) fn revision(&self) -> u64 {
        let told = self.own("GET /revisions?limit=1", &Value::Null).json();
        told["current"].as_u64().unwrap()
    }

    /// What is published, and at which revision; 0 and nothing, where that is nothing.
    pub(crate) fn published(&mut self) -> (u64, Value) {
        let text = self.miniflare.kv();
        let document = serde_json::from_str(&text).unwrap_or(Value::Null);
        (document["published"]["revision"].as_u64().unwrap_or_default(), document)
    }

    /// Waits until the newest revision is published.
    pub(crate) fn wait_until_published(&mut self) -> Value {
        let revision = self.revision();
        let begin = Instant::now();
        loop {
            let (published, document) = self.published();
            if published == revision {
                return document;
            }
            assert!(published < revision, "{published} of {revision}");
            assert!(begin.elapsed() < DEADLINE, "{published} of {revision} is published");
        }
    }

    /// Asks the data plane for a path until it answers with a status; how long that took.
    #[track_caller]
    pub(crate) fn wait_until_served(&self, path: &str, status: u16) -> Duration {
        let begin = Instant::now();
        while self.call(&Call::get(path)).status != status {
            assert!(begin.elapsed() < DEADLINE, "{path} does not answer {status}");
        }
        begin.elapsed()
    }
}

impl Control for Edge {
    const SKIPS: &'static [Skip] = &[];

    fn new() -> Self {
        Self::with(&json!({}))
    }

    fn ask(&self, call: &Call) -> Answer {
        self.call(call)
    }
}

/// An upstream that answers.
pub(crate) fn answering() -> Origin {
    Origin::on_loopback(Reply::ok("here").into())
}
