//! What every environment with an Admin API lends to the dialogues.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::message::{Answer, Call};
use crate::target::Skip;

/// The key that the environment is started with.
pub const KEY: &str = "ADMINKEY";

/// An environment with an Admin API, its ledger empty.
pub trait Control {
    /// The dialogues it cannot hold, and why.
    const SKIPS: &'static [Skip];

    /// Starts it.
    fn new() -> Self;

    /// Asks the Admin API.
    fn ask(&self, call: &Call) -> Answer;

    /// Asks with the key: a method and a path behind `/apisix/admin`, and a body if it is not null;
    /// a text is sent as it is, all else as JSON.
    fn say(&self, line: &str, body: &Value) -> Answer {
        self.ask(&with_key(line, "/apisix/admin", body))
    }

    /// The same for a path behind `/splitway/v1`.
    fn own(&self, line: &str, body: &Value) -> Answer {
        self.ask(&with_key(line, "/splitway/v1", body))
    }
}

/// A call with the key.
pub fn with_key(line: &str, prefix: &str, body: &Value) -> Call {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let call = Call::new(method, &format!("{prefix}{path}")).header("x-api-key", KEY);
    match body.as_str() {
        Some(text) => call.body(text.as_bytes()),
        None if body.is_null() => call,
        None => call.body(body.to_string()),
    }
}

/// Checks an answer in JSON.
#[track_caller]
pub fn check(answer: &Answer, status: u16, body: &Value) {
    let content_type = answer.header("content-type").unwrap_or_default();
    let told = (answer.status, answer.json(), content_type.as_str());
    assert_eq!(told, (status, body.clone(), "application/json"));
}

/// Checks an answer that is an error in APISIX's form.
#[track_caller]
pub fn check_error(answer: &Answer, status: u16, error_msg: &str) {
    check(answer, status, &json!({"error_msg": error_msg}));
}

/// Takes times off a resource, after a look that they are there.
#[track_caller]
pub fn without_times(mut value: Value) -> Value {
    for time in ["create_time", "update_time"] {
        let taken = value.as_object_mut().and_then(|members| members.remove(time));
        assert!(taken.is_some_and(|time| time.is_u64()), "no {time}: {value}");
    }
    value
}

/// A dialogue, by name.
pub type Dialogue<T> = (&'static str, fn(&mut T));

/// Holds one dialogue, or tells why not.
pub fn run<T: Control>(all: &[Dialogue<T>], name: &str) {
    let (_, dialogue) = all.iter().find(|(known, _)| *known == name).expect("it is listed");
    match T::SKIPS.iter().find(|skip| skip.scenario == name) {
        // Straight to the stream: what a passing test prints is not shown otherwise.
        Some(skip) => drop(writeln!(io::stderr(), "skipped {name}: {}", skip.reason)),
        None => dialogue(&mut T::new()),
    }
}
