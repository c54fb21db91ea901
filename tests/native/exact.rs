//! What only a clock that stands still can show to the millisecond.

use std::time::Duration;

use serde_json::{Value, json};
use splitway_tests::document::{routes, split, upstream};
use splitway_tests::message::Call;
use splitway_tests::script::{Act, Reply, Script};
use splitway_tests::target::Target;

use crate::Native;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A retry begins while its time lasts, to the millisecond.
#[test]
fn retries_end_with_their_time() {
    for (retry_timeout, count) in [
        (json!(0.399), 1),
        (json!(0.4), 2),
        (json!(0.799), 2),
        (json!(0.8), 3),
        (json!(100), 11),
        (json!(0), 11),
        (Value::Null, 11),
    ] {
        let mut target = Native::new();
        let slow = Act::from(Reply::status(503).body("no")).late(millis(400));
        let origin = target.origin(slow);
        let mut upstream = upstream(&origin);
        upstream["retries"] = json!(10);
        upstream["retry"] = json!({"when": [503], "backoff": {"base": 0.0, "max": 0.1}});
        if !retry_timeout.is_null() {
            upstream["retry_timeout"] = retry_timeout.clone();
        }
        target.start(&routes(&[json!({"id": "r", "uri": "/*", "upstream": upstream})]));
        let begin = target.time();
        assert_eq!(target.call(&Call::get("/x")).status, 503);
        assert_eq!(origin.count(), count, "{retry_timeout}");
        let took = millis(400) * u32::try_from(count).unwrap();
        assert_eq!(target.time() - begin, took, "{retry_timeout}");
    }
}

/// The time to the first byte and that of the whole way up to it, whoever says so.
#[test]
fn times_up_to_the_head_are_exact() {
    let phases = json!({"connect": 1, "send": 2, "read": 60});
    let first = json!({"connect": 1, "send": 2, "read": 60, "first_byte": 0.25});
    let none = Value::Null;
    for (of_route, of_upstream, expected) in [
        (&none, &none, 180_000),
        (&none, &phases, 63_000),
        (&phases, &first, 63_000),
        (&first, &phases, 250),
        (&none, &first, 250),
    ] {
        let mut target = Native::new();
        let origin = target.origin(Act::Silence);
        let mut upstream = upstream(&origin);
        let mut route = json!({"id": "r", "uri": "/*"});
        if !of_upstream.is_null() {
            upstream["timeout"] = of_upstream.clone();
        }
        if !of_route.is_null() {
            route["timeout"] = of_route.clone();
        }
        route["upstream"] = upstream;
        target.start(&routes(&[route]));
        let begin = target.time();
        assert_eq!(target.call(&Call::post("/x", "a body")).status, 504);
        assert_eq!(target.time() - begin, millis(expected));
    }
}

/// Two branches of the same weight, of which the first one fails as `script` says, and its breaker.
fn guarded(script: Script, breaker: &Value) -> (Native, splitway_tests::origin::Origin) {
    let mut target = Native::new();
    let (bad, good) = (target.origin(script), target.origin(Reply::ok("")));
    target.start(&split(&[json!({
        "weighted_upstreams": [
            {"name": "bad", "weight": 1, "upstream": upstream(&bad)},
            {"name": "good", "weight": 1, "upstream": upstream(&good)},
        ],
        "breaker": breaker,
    })]));
    (target, bad)
}

fn calls(target: &Native, count: usize) {
    (0..count).for_each(|_| drop(target.call(&Call::get("/x"))));
}

/// Each trip in a row lasts twice as long as the one before, up to the longest.
#[test]
fn trips_in_a_row_double_their_time() {
    let unavailable = Reply::status(503).body("no");
    let policy = json!({"failures": 2, "open": 1, "open_max": 5, "successes": 1});
    let (target, bad) = guarded(unavailable.into(), &policy);
    calls(&target, 8);
    assert_eq!(bad.count(), 2);
    for (number, open) in [1_000, 2_000, 4_000, 5_000, 5_000].into_iter().enumerate() {
        target.pass(millis(open - 1));
        calls(&target, 8);
        assert_eq!(bad.count(), 2 + number, "{open} ms are not over");
        target.pass(millis(1));
        calls(&target, 8);
        assert_eq!(bad.count(), 3 + number, "{open} ms are over: one probe");
    }
}

/// The share of a branch that comes back grows from a sixteenth to the whole, evenly.
#[test]
fn a_slow_start_is_even() {
    let script = Script::in_turn(vec![Act::from(Reply::status(503).body("no")); 2], Reply::ok(""));
    let policy = json!({"failures": 2, "open": 1, "successes": 1, "slow_start": 100});
    let (target, bad) = guarded(script, &policy);
    while bad.count() < 2 {
        calls(&target, 1);
    }
    target.pass(millis(1_000));
    while bad.count() < 3 {
        calls(&target, 1);
    }
    // Of 256: 16 and 120 more for each half of its time.
    for (share, pass) in [(16, 50_000), (136, 49_999), (255, 1), (256, 100_000), (256, 0)] {
        let before = bad.count();
        calls(&target, share + 256);
        assert_eq!(bad.count() - before, share);
        target.pass(millis(pass));
    }
}

/// Failures count for at least half a window and at most a whole one.
#[test]
fn failures_count_for_a_window() {
    let policy = json!({"failures": 0, "percent": 100, "min_samples": 6, "window": 10, "open": 60});
    for (pass, tripped) in [(0, true), (4_999, true), (5_000, true), (10_000, false)] {
        let (target, bad) = guarded(Reply::status(503).body("no").into(), &policy);
        // Halves begin at multiples of five seconds.
        calls(&target, 10);
        assert_eq!(bad.count(), 5);
        target.pass(millis(pass));
        calls(&target, 8);
        assert_eq!(bad.count(), if tripped { 6 } else { 9 }, "after {pass} ms");
    }
}
