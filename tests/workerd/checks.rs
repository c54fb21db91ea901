//! Active health checks at the edge: rounds begun by a cron trigger, what they find out in the
//! coordinator, and isolates that hear of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};
use splitway_tests::control::Control;
use splitway_tests::message::Call;
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, DEADLINE, Reply, Script};
use tempfile::TempDir;

use crate::edge::{Edge, answering};

const MINUTE_MS: u64 = 60_000;

fn asking() -> Value {
    json!({"SPLITWAY_CHECK_SECONDS": "1"})
}

/// A node that answers probes with a status that can be changed, and all else with 200.
fn node() -> (Origin, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let told = Arc::clone(&status);
    let script = Script::new(move |request| match request.target.as_str() {
        "/up" => Reply::status(told.load(Ordering::SeqCst)).body("").into(),
        _ => Reply::ok("checked").into(),
    });
    (Origin::on_loopback(script), status)
}

/// A route to nodes of which each is down after two probes that fail in whatever way, and up after two
/// that do not.
fn route(nodes: &[&Origin], more: &Value) -> Value {
    let nodes: Value = nodes.iter().map(|node| (node.authority().to_owned(), json!(1))).collect();
    let mut active = json!({
        "http_path": "/up", "healthy": {"interval": 60, "successes": 2},
        "unhealthy": {"interval": 60, "http_failures": 2, "tcp_failures": 2, "timeouts": 2},
    });
    active.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    json!({"uri": "/*", "upstream": {"nodes": nodes, "checks": {"active": active}}})
}

fn put(edge: &Edge, route: &Value) {
    let answer = edge.say("PUT /routes/r", route);
    assert!(matches!(answer.status, 200 | 201), "{}: {}", answer.status, answer.text());
    edge.wait_until_served("/x", 200);
}

/// A timer that rings once a minute, by its own reckoning.
struct Timer(u64);

impl Timer {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        Self(u64::try_from(now).unwrap())
    }

    fn ring(&mut self, edge: &mut Edge) {
        self.0 += MINUTE_MS;
        edge.miniflare.ring(self.0);
    }
}

/// Asks until the answers of a while are these and no others, in whatever order.
#[track_caller]
fn wait_until_answered(edge: &Edge, expected: &[&str]) {
    let begin = Instant::now();
    let mut found = Vec::new();
    while found != expected {
        assert!(begin.elapsed() < DEADLINE, "{found:?} instead of {expected:?}");
        found = (0..8).map(|_| edge.call(&Call::get("/x")).text()).collect();
        found.sort_unstable();
        found.dedup();
    }
}

fn lines(edge: &Edge, mark: &str) -> usize {
    edge.miniflare.logged().iter().filter(|line| line.contains(mark)).count()
}

#[test]
fn a_node_that_fails_its_probes_gets_nothing_until_it_is_well() {
    let folder = TempDir::new().unwrap();
    let setup = json!({"coordinator": true, "folder": folder.path(), "vars": asking()});
    let mut edge = Edge::start(&setup);
    let ((origin, status), other, mut timer) = (node(), answering(), Timer::new());
    put(&edge, &route(&[&origin, &other], &json!({})));
    timer.ring(&mut edge);
    wait_until_answered(&edge, &["checked", "here"]);

    status.store(503, Ordering::SeqCst);
    timer.ring(&mut edge);
    wait_until_answered(&edge, &["checked", "here"]);
    assert_eq!(lines(&edge, "node_down"), 0);
    timer.ring(&mut edge);
    assert_eq!(lines(&edge, "node_down"), 1);
    wait_until_answered(&edge, &["here"]);

    // Whoever comes later is told, too.
    drop(edge);
    let mut edge = Edge::start(&setup);
    edge.wait_until_served("/x", 200);
    wait_until_answered(&edge, &["here"]);
    // It has no revision.
    assert_eq!(edge.revision(), 1);

    status.store(200, Ordering::SeqCst);
    timer.ring(&mut edge);
    wait_until_answered(&edge, &["here"]);
    timer.ring(&mut edge);
    assert_eq!(lines(&edge, "node_up"), 1);
    wait_until_answered(&edge, &["checked", "here"]);
}

#[test]
fn nodes_that_do_not_answer_are_down_as_well() {
    let silent = Origin::on_loopback(Script::new(|request| match request.target.as_str() {
        "/up" => Act::Silence,
        _ => Reply::ok("silent").into(),
    }));
    let closing = Origin::on_loopback(Script::new(|request| match request.target.as_str() {
        "/up" => Act::Close,
        _ => Reply::ok("closing").into(),
    }));
    let (mut edge, other, mut timer) = (Edge::with(&asking()), answering(), Timer::new());
    let nodes = [&silent, &closing, &other];
    put(&edge, &route(&nodes, &json!({"timeout": 0.3})));
    wait_until_answered(&edge, &["closing", "here", "silent"]);
    timer.ring(&mut edge);
    timer.ring(&mut edge);
    wait_until_answered(&edge, &["here"]);
}

#[test]
fn probes_are_what_the_document_says() {
    let (mut edge, (origin, _), mut timer) = (Edge::with(&asking()), node(), Timer::new());
    let more = json!({"http_method": "POST", "http_req_body": "how?", "req_headers": ["X-A: 1"],
        "healthy": {"interval": 61}});
    put(&edge, &route(&[&origin], &more));
    let probes = || {
        let requests = origin.requests().into_iter();
        requests.filter(|request| request.target == "/up").collect::<Vec<_>>()
    };
    timer.ring(&mut edge);
    let [probe] = <[_; 1]>::try_from(probes()).unwrap();
    assert_eq!((probe.method.as_str(), probe.header("x-a").as_deref()), ("POST", Some("1")));
    assert_eq!(probe.body, b"how?");
    timer.ring(&mut edge);
    assert_eq!(probes().len(), 1, "61 seconds are two minutes");
    timer.ring(&mut edge);
    assert_eq!(probes().len(), 2);
}

/// A round has fifty probes: of sixty nodes, those that had to wait come first in the next.
#[test]
fn a_round_has_an_end() {
    let (mut edge, (origin, _), mut timer) = (Edge::with(&asking()), node(), Timer::new());
    let host = |number: usize| format!("127.0.0.{number}:{}", origin.port());
    let mut body = route(&[&origin], &json!({}));
    // Only the first of them is there.
    body["upstream"]["nodes"] = (1..=60).map(|it| (host(it), json!(1))).collect();
    let answer = edge.say("PUT /routes/r", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    timer.ring(&mut edge);
    assert_eq!(lines(&edge, "node_down"), 0);
    timer.ring(&mut edge);
    let down = lines(&edge, "node_down");
    assert!((39..=40).contains(&down), "{down}");
    timer.ring(&mut edge);
    timer.ring(&mut edge);
    assert_eq!(down + lines(&edge, "node_down"), 59);
}

/// It is served, and no ledger knows of it.
#[test]
fn a_document_that_was_put_into_kv_by_hand_is_checked_as_well() {
    let ((origin, status), other, mut timer) = (node(), answering(), Timer::new());
    let document = json!({"routes": [route(&[&origin, &other], &json!({}))]}).to_string();
    let setup = json!({"coordinator": true, "document": document, "vars": asking()});
    let mut edge = Edge::start(&setup);
    status.store(503, Ordering::SeqCst);
    wait_until_answered(&edge, &["checked", "here"]);
    timer.ring(&mut edge);
    timer.ring(&mut edge);
    wait_until_answered(&edge, &["here"]);
}

#[test]
fn a_round_that_would_help_nobody_is_none() {
    let (origin, _) = node();
    let document = json!({"routes": [route(&[&origin], &json!({}))]}).to_string();
    let plain = splitway_tests::document::everything_to(&origin);
    for (setup, marks) in [
        (json!({"document": document, "vars": {}}), 1),
        (json!({"coordinator": true, "document": document, "vars": {}}), 1),
        (json!({"coordinator": true, "document": plain, "vars": asking()}), 0),
        (json!({"coordinator": true, "vars": asking()}), 0),
    ] {
        let mut edge = Edge::start(&setup);
        Timer::new().ring(&mut edge);
        assert_eq!(lines(&edge, "checks_off"), marks, "{setup}");
        assert_eq!(origin.count(), 0, "{setup}");
    }
    // Nor is one that cannot be told.
    let setup = json!({"coordinator": "throws", "document": document, "vars": asking()});
    let mut edge = Edge::start(&setup);
    Timer::new().ring(&mut edge);
    assert_eq!(origin.count(), 0);
    assert_eq!(edge.call(&Call::get("/x")).text(), "checked");
}
