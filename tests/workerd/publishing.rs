//! From the Admin API to what is served: publication to KV, its coalescing, and how long it takes.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use splitway_tests::control::{Control, KEY};
use splitway_tests::document::upstream;
use splitway_tests::message::Call;
use splitway_tests::script::DEADLINE;

use crate::edge::{Edge, answering};

/// The refresh time of these tests, and the check time where there is one.
const SETTING: Duration = Duration::from_secs(1);

/// What the steps between take on a busy machine: the alarm, the write, the read.
const STEPS: Duration = Duration::from_secs(2);

/// The lines that the object has logged about writes to KV.
fn writes(edge: &Edge) -> usize {
    edge.miniflare.logged().iter().filter(|line| line.contains(r#""event":"published""#)).count()
}

#[test]
fn what_is_put_is_published_and_served() {
    let mut edge = Edge::new();
    let origin = answering();
    assert_eq!(edge.published(), (0, Value::Null));
    edge.put_route("r", "/x", &origin);
    let document = edge.wait_until_published();
    assert_eq!(document["published"]["format"], 1);
    assert_eq!(
        document["routes"],
        json!([
            {"id": "r", "uri": "/x", "upstream": upstream(&origin)},
        ])
    );
    edge.wait_until_served("/x", 200);
    let answer = edge.call(&Call::get("/x"));
    assert_eq!((answer.text().as_str(), answer.revision().as_deref()), ("here", Some("1")));
    assert_eq!(edge.say("DELETE /routes/r", &Value::Null).status, 200);
    edge.wait_until_served("/x", 404);
}

/// What was in KV before stays until something is put through the Admin API.
#[test]
fn an_empty_ledger_does_not_touch_what_is_in_kv() {
    let origin = answering();
    let document = splitway_tests::document::everything_to(&origin);
    let vars = json!({"SPLITWAY_CHECK_SECONDS": "1"});
    let setup = json!({"coordinator": true, "document": document, "vars": vars});
    let mut edge = Edge::start(&setup);
    assert_eq!(edge.say("GET /routes", &Value::Null).json()["total"], 0);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(1500) {
        assert_eq!(edge.call(&Call::get("/x")).text(), "here");
    }
    assert_eq!(edge.miniflare.kv(), document);
}

/// KV takes one write a second of a key: a hundred changes are a few writes, the last of which is of
/// the newest revision.
#[test]
fn a_hundred_changes_are_a_few_writes_of_which_the_last_is_the_newest() {
    const CHANGES: usize = 100;
    let mut edge = Edge::new();
    let origin = answering();
    let begin = Instant::now();
    for number in 0..CHANGES {
        edge.put_route("r", &format!("/{number}"), &origin);
    }
    let puts = begin.elapsed();
    let document = edge.wait_until_published();
    let whole = begin.elapsed();
    assert_eq!(document["published"]["revision"], CHANGES);
    assert_eq!(document["routes"][0]["uri"], format!("/{}", CHANGES - 1));
    let writes = writes(&edge);
    let most = whole.as_secs() + 2;
    drop(writeln!(
        io::stderr(),
        "{CHANGES} changes in {puts:.2?}: {writes} writes to KV, the last within {whole:.2?}"
    ));
    assert!((1..=most).contains(&(writes as u64)), "{writes} writes in {whole:?}");
    // Nothing more is written afterwards.
    let begin = Instant::now();
    while begin.elapsed() < SETTING + Duration::from_millis(500) {
        assert_eq!(edge.published().0, CHANGES as u64);
    }
    assert_eq!(self::writes(&edge), 0);
}

/// How long it takes from the answer to a change until a busy isolate serves it; the changes come at
/// any point between two reads.
fn delays(edge: &Edge) -> Vec<Duration> {
    let origin = answering();
    edge.put_route("r", "/0", &origin);
    edge.wait_until_served("/0", 200);
    let delay = |number: u32| {
        let begin = Instant::now();
        while begin.elapsed() < SETTING * (number * 3 % 10) / 10 {
            assert_eq!(edge.call(&Call::get(&format!("/{}", number - 1))).status, 200);
        }
        edge.put_route("r", &format!("/{number}"), &origin);
        edge.wait_until_served(&format!("/{number}"), 200)
    };
    (1..=10).map(delay).collect()
}

/// Prints delays, and checks them against a bound.
fn check(what: &str, bound: Duration, mut delays: Vec<Duration>) {
    delays.sort_unstable();
    let (median, most) = (delays[delays.len() / 2], delays[delays.len() - 1]);
    let line = format!("from PUT to served, {what}: median {median:.2?}, at most {most:.2?}");
    drop(writeln!(io::stderr(), "{line}; the bound is {bound:.2?}"));
    assert!(most <= bound, "{delays:?}");
}

/// A write may have to wait for a second, then what serves is no older than twice the refresh time.
#[test]
fn with_kv_alone_a_change_serves_within_twice_the_refresh_time_after_it_is_written() {
    let edge = Edge::new();
    let between_writes = Duration::from_secs(1);
    check("refresh of 1 s", between_writes + 2 * SETTING + STEPS, delays(&edge));
}

/// With a long refresh time and the coordinator asked each second, KV plays no part.
#[test]
fn with_a_check_time_a_change_serves_within_twice_of_it() {
    let vars = json!({"SPLITWAY_REFRESH_SECONDS": "3600", "SPLITWAY_CHECK_SECONDS": "1"});
    let edge = Edge::with(&vars);
    check("check of 1 s", 2 * SETTING + STEPS, delays(&edge));
}

/// An isolate that was idle asks before it serves.
#[test]
fn with_a_check_time_an_idle_isolate_serves_the_newest_at_once() {
    let vars = json!({"SPLITWAY_REFRESH_SECONDS": "3600", "SPLITWAY_CHECK_SECONDS": "1"});
    let mut edge = Edge::with(&vars);
    let origin = answering();
    edge.put_route("r", "/0", &origin);
    edge.wait_until_served("/0", 200);
    let begin = Instant::now();
    while begin.elapsed() < 2 * SETTING + Duration::from_millis(200) {
        // This is none of the isolate's business.
        edge.published();
    }
    edge.put_route("r", "/1", &origin);
    assert_eq!(edge.call(&Call::get("/1")).status, 200);
}

#[test]
fn what_has_a_time_goes_from_what_is_served_when_it_is_up() {
    let mut edge = Edge::new();
    let origin = answering();
    edge.put_route("stays", "/stays", &origin);
    let body = json!({"uri": "/goes", "upstream": upstream(&origin)});
    assert_eq!(edge.say("PUT /routes/goes?ttl=3", &body).status, 201);
    edge.wait_until_served("/goes", 200);
    edge.wait_until_served("/goes", 404);
    assert_eq!(edge.say("GET /routes/goes", &Value::Null).status, 404);
    assert_eq!(edge.call(&Call::get("/stays")).status, 200);
    let latest = edge.own("GET /revisions?limit=1", &Value::Null).json();
    assert_eq!(latest["revisions"][0]["by"], "ttl");
    assert_eq!(edge.wait_until_published()["routes"].as_array().unwrap().len(), 1);
}

/// Without KV the Admin API works, and isolates that ask the coordinator serve; it is said once.
#[test]
fn without_kv_nothing_breaks() {
    let vars = json!({"SPLITWAY_CHECK_SECONDS": "1"});
    let edge = Edge::start(&json!({"coordinator": true, "kv": false, "vars": vars}));
    let origin = answering();
    for number in 0..3 {
        edge.put_route("r", &format!("/{number}"), &origin);
    }
    edge.wait_until_served("/2", 200);
    let begin = Instant::now();
    let mut told = Vec::new();
    while told.is_empty() {
        assert!(begin.elapsed() < DEADLINE, "nothing is said");
        let is_about = |line: &String| line.contains("publishing_failed");
        told.extend(edge.miniflare.logged().into_iter().filter(is_about));
    }
    edge.put_route("r", "/3", &origin);
    edge.wait_until_served("/3", 200);
    told.extend(edge.miniflare.logged().into_iter().filter(|it| it.contains("publishing_failed")));
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(edge.call(&Call::get("/apisix/admin/routes").header("x-api-key", KEY)).status, 200);
}
