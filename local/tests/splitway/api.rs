//! A server with a ledger and a known key, and a client of its Admin API.

use std::path::Path;

use serde_json::{Value, json};
use splitway_tests::message::{Answer, Call};

use crate::process::{Serving, splitway};

/// The key of the servers that are started here.
pub(crate) const KEY: &str = "a-key-that-must-never-be-printed";

/// Starts a server with a ledger in `dir`.
pub(crate) fn serving(dir: &Path) -> Serving {
    let mut command = splitway();
    command.env("SPLITWAY_ADMIN_KEY", KEY);
    Serving::ledger(dir, command)
}

/// A request with the key.
pub(crate) fn call(method: &str, path: &str) -> Call {
    Call::new(method, path).header("X-API-KEY", KEY)
}

impl Serving {
    /// Asks the Admin API with the key.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Answer {
        self.ask_admin(&call(method, path))
    }

    /// Sends JSON to the Admin API with the key.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.ask_admin(&call(method, path).body(body.to_string()))
    }

    /// The whole document, and its revision.
    pub(crate) fn config(&self) -> (Value, u64) {
        let answer = self.ask("GET", "/splitway/v1/config");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let tag = answer.header("etag").expect("a tag");
        (answer.json(), tag.trim_matches('"').parse().expect("a number"))
    }
}

/// A route that sends everything to one place.
pub(crate) fn route(uri: &str, authority: &str) -> Value {
    json!({"uri": uri, "upstream": {"nodes": {authority: 1}, "pass_host": "node"}})
}

/// Labels that take some more bytes than `size`: their names may be as long as they like.
pub(crate) fn labels(size: usize) -> Value {
    json!({format!("x{}", "y".repeat(size)): "z"})
}
