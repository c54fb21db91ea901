//! What isolates keep out of what they find in KV.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use splitway_tests::control::Control;
use splitway_tests::document::{everything_to, upstream};
use splitway_tests::message::Call;
use splitway_tests::script::DEADLINE;

use crate::edge::{Edge, answering};

/// Serves until the Worker has said something about what it found.
fn wait_until_logged(edge: &Edge, mark: &str) {
    let begin = Instant::now();
    while !edge.miniflare.logged().iter().any(|line| line.contains(mark)) {
        assert!(begin.elapsed() < DEADLINE, "nothing is said of `{mark}`");
        assert_eq!(edge.call(&Call::get("/x")).text(), "here", "{mark}");
    }
}

fn published(document: &str, ledger: &str, revision: u64) -> String {
    let mut document: Value = serde_json::from_str(document).unwrap();
    document["published"] = json!({"format": 1, "ledger": ledger, "revision": revision});
    document.to_string()
}

/// Whatever is wrong with the value in KV, the last good one goes on serving; the next good one takes
/// over.
#[test]
fn a_value_that_is_no_good_changes_nothing() {
    let origin = answering();
    let elsewhere = json!({"routes": [{"uri": "/elsewhere", "upstream": upstream(&origin)}]});
    let good = published(&everything_to(&origin), "a", 7);
    let mut edge = Edge::start(&json!({"document": good}));
    assert_eq!(edge.call(&Call::get("/x")).revision().as_deref(), Some("7"));

    let mut later = elsewhere.clone();
    later["published"] = json!({"format": 2, "shape": "of things to come"});
    let mut long = elsewhere.clone();
    long["routes"][0]["desc"] = json!("x".repeat(20_000_000));
    let truncated = elsewhere.to_string()[..60].to_owned();
    for (broken, mark) in [
        ("garbage".to_owned(), "configuration_refused"),
        (truncated, "configuration_refused"),
        (later.to_string(), "written by a later Splitway"),
        (published(&elsewhere.to_string(), "a", 6), "configuration_older"),
        (long.to_string(), "at most 9437184 are read"),
    ] {
        edge.miniflare.put(&broken);
        wait_until_logged(&edge, mark);
        assert_eq!(edge.call(&Call::get("/x")).revision().as_deref(), Some("7"), "{mark}");
    }
    edge.miniflare.put(&published(&elsewhere.to_string(), "a", 8));
    edge.wait_until_served("/elsewhere", 200);
    edge.wait_until_served("/x", 404);
    // Another ledger may be at any revision.
    edge.miniflare.put(&published(&everything_to(&origin), "b", 1));
    edge.wait_until_served("/x", 200);
}

#[test]
fn without_a_coordinator_the_check_time_is_ignored() {
    let origin = answering();
    let vars = json!({"SPLITWAY_CHECK_SECONDS": 1});
    let edge = Edge::start(&json!({"document": everything_to(&origin), "vars": vars}));
    wait_until_logged(&edge, "there is no coordinator to ask");
    assert_eq!(edge.call(&Call::get("/x")).text(), "here");
}

/// One that fails costs nothing but news; one that hangs costs the first request of an isolate a
/// second, and no other. What is in KV serves, and what is new there is taken as ever.
#[test]
fn a_coordinator_that_is_away_changes_nothing() {
    let origin = answering();
    let vars = json!({"SPLITWAY_CHECK_SECONDS": "1"});
    for coordinator in ["throws", "hangs"] {
        let first = published(&everything_to(&origin), "a", 7);
        let setup = json!({"coordinator": coordinator, "document": first, "vars": vars});
        let mut edge = Edge::start(&setup);
        assert_eq!(edge.call(&Call::get("/x")).text(), "here");
        let mut longest = Duration::ZERO;
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(3500) {
            let before = Instant::now();
            assert_eq!(edge.call(&Call::get("/x")).text(), "here");
            longest = longest.max(before.elapsed());
        }
        assert!(longest < Duration::from_millis(900), "{coordinator}: {longest:?}");
        let log = edge.miniflare.logged();
        let told = log.iter().filter(|line| line.contains("coordinator_unreachable")).count();
        assert_eq!(told, 1, "it is said once: {log:?}");

        edge.miniflare.put(&published(&everything_to(&origin), "a", 8));
        let begin = Instant::now();
        while edge.call(&Call::get("/x")).revision().as_deref() != Some("8") {
            assert!(begin.elapsed() < DEADLINE, "what is new in KV is not taken");
        }
        if coordinator == "throws" {
            let answer = edge.say("GET /routes", &Value::Null);
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert_eq!(answer.json()["type"], "urn:splitway:problem:coordinator_unreachable");
        }
    }
}
