//! A branch that fails is left out for a while, and comes back when it is well.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::document::{routes, split, upstream};
use crate::message::Call;
use crate::origin::Origin;
use crate::script::{Act, Gate, Reply, Script};
use crate::target::Target;

/// For how long a breaker stays open.
const OPEN: Duration = Duration::from_secs(1);

/// A document with these branches, guarded by such breakers.
fn guarded(branches: &[(&str, u32, &Origin)], breaker: &Value) -> String {
    let branch = |(name, weight, origin): &(&str, u32, &Origin)| json!({"name": name, "weight": weight, "upstream": upstream(origin)});
    let list: Vec<Value> = branches.iter().map(branch).collect();
    split(&[json!({"weighted_upstreams": list, "breaker": breaker})])
}

/// Trips after three failures in a row, and closes after two successes.
fn breaker() -> Value {
    json!({"failures": 3, "open": OPEN.as_secs_f64(), "probes": 1, "successes": 2})
}

/// How often each branch was there, in so many calls.
fn count_branches(target: &impl Target, calls: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..calls {
        let branch = target.call(&Call::get("/x")).branch().expect("the branch is named");
        *counts.entry(branch).or_default() += 1;
    }
    counts
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.map(|(branch, count)| (branch.to_owned(), count)).into()
}

fn unavailable() -> Act {
    Reply::status(503).body("no").into()
}

/// After so many failures its share goes to the others, by their weights.
pub(crate) fn a_branch_that_fails_is_left_out(target: &mut impl Target) {
    let bad = target.origin(unavailable());
    let (one, two) = (target.origin(Reply::ok("")), target.origin(Reply::ok("")));
    let branches = [("bad", 2, &bad), ("one", 1, &one), ("two", 1, &two)];
    let mut policy = breaker();
    policy["open"] = json!(60);
    target.start(&guarded(&branches, &policy));

    while bad.count() < 3 {
        target.call(&Call::get("/x"));
    }
    assert_eq!(count_branches(target, 40), counts([("one", 20), ("two", 20)]));
    assert_eq!(bad.count(), 3);
}

/// So does one that brings no answers.
pub(crate) fn a_branch_that_does_not_answer_is_left_out(target: &mut impl Target) {
    let (bad, good) = (target.refusing_origin(), target.origin(Reply::ok("")));
    let mut policy = breaker();
    policy["open"] = json!(60);
    target.start(&guarded(&[("bad", 1, &bad), ("good", 1, &good)], &policy));

    assert_eq!(count_branches(target, 26), counts([("bad", 3), ("good", 23)]));
}

/// What a client got wrong says nothing against a branch, and successes between make no row.
pub(crate) fn only_failures_in_a_row_count(target: &mut impl Target) {
    let odd = target.origin(Reply::status(404).body("no"));
    let moody = target.origin(Script::statuses(&[500, 500, 200, 500, 500, 200, 500, 500]));
    target.start(&guarded(&[("odd", 1, &odd), ("moody", 1, &moody)], &breaker()));

    assert_eq!(count_branches(target, 24), counts([("odd", 12), ("moody", 12)]));
}

/// When its time has passed it is probed, and has its share again once that went well.
pub(crate) fn a_branch_that_is_well_again_comes_back(target: &mut impl Target) {
    let bad = target.origin(Script::in_turn(vec![unavailable(); 3], Reply::ok("")));
    let good = target.origin(Reply::ok(""));
    target.start(&guarded(&[("bad", 1, &bad), ("good", 1, &good)], &breaker()));

    while bad.count() < 3 {
        target.call(&Call::get("/x"));
    }
    assert_eq!(count_branches(target, 4), counts([("good", 4)]));
    target.pass(OPEN + OPEN / 5);
    // By now it is probed, in its turn, by one request at a time.
    while bad.count() < 5 {
        assert_eq!(target.call(&Call::get("/x")).status, 200);
        assert!(good.count() < 40, "it is not probed");
    }
    assert_eq!(count_branches(target, 20), counts([("bad", 10), ("good", 10)]));
}

/// A probe that fails leaves it out again, for longer.
pub(crate) fn a_probe_that_fails_leaves_it_out(target: &mut impl Target) {
    let bad = target.origin(unavailable());
    let good = target.origin(Reply::ok(""));
    let mut policy = breaker();
    policy["open_max"] = json!(60);
    target.start(&guarded(&[("bad", 1, &bad), ("good", 1, &good)], &policy));

    count_branches(target, 10);
    assert_eq!(bad.count(), 3);
    target.pass(OPEN + OPEN / 5);
    count_branches(target, 10);
    assert_eq!(bad.count(), 4);
    target.pass(OPEN + OPEN / 5);
    count_branches(target, 10);
    assert_eq!(bad.count(), 4, "twice as long");
    target.pass(OPEN + OPEN / 5);
    count_branches(target, 10);
    assert_eq!(bad.count(), 5);
}

/// While a probe is under way nobody else goes there.
pub(crate) fn one_probe_is_under_way_at_a_time(target: &mut impl Target) {
    let gate = Gate::default();
    let (door, count) = (gate.clone(), AtomicUsize::new(0));
    let bad = target.origin(Script::new(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0..3 => unavailable(),
        _ => {
            door.wait();
            Reply::ok("").into()
        }
    }));
    let good = target.origin(Reply::ok(""));
    target.start(&guarded(&[("bad", 1, &bad), ("good", 1, &good)], &breaker()));

    while bad.count() < 3 {
        target.call(&Call::get("/x"));
    }
    target.pass(OPEN + OPEN / 5);
    let target = &*target;
    thread::scope(|scope| {
        scope.spawn(|| {
            while bad.count() < 4 {
                target.call(&Call::get("/x"));
            }
        });
        bad.wait_until("a probe", |requests| requests.len() == 4);
        assert_eq!(count_branches(target, 6), counts([("good", 6)]));
        gate.open();
    });
    assert_eq!(bad.count(), 4);
}

/// A branch without a weight takes nobody's share.
pub(crate) fn weight_0_stays_without_a_share(target: &mut impl Target) {
    let (bad, idle) = (target.origin(unavailable()), target.origin(Reply::ok("")));
    let mut policy = breaker();
    policy["open"] = json!(60);
    target.start(&guarded(&[("bad", 1, &bad), ("idle", 0, &idle)], &policy));

    // With all of them out, those that have a share are tried all the same.
    assert_eq!(count_branches(target, 12), counts([("bad", 12)]));
    assert_eq!((bad.count(), idle.count()), (12, 0));
}

/// Where a failure leads to another branch, the client notices nothing of all this.
pub(crate) fn failures_that_were_made_good_count(target: &mut impl Target) {
    let (bad, good) = (target.origin(unavailable()), target.origin(Reply::ok("")));
    let branch = |name: &str, origin: &Origin| json!({"name": name, "weight": 1, "upstream": upstream(origin)});
    let list = [branch("bad", &bad), branch("good", &good)];
    let mut policy = breaker();
    policy["open"] = json!(60);
    let rule = json!({"weighted_upstreams": list, "breaker": policy, "on_failure": {}});
    target.start(&split(&[rule]));

    for _ in 0..20 {
        let answer = target.call(&Call::get("/x"));
        assert_eq!((answer.status, answer.branch().as_deref()), (200, Some("good")));
    }
    assert_eq!((bad.count(), good.count()), (3, 20));
}

/// Some failures among many successes trip it as well, if there are enough of both.
pub(crate) fn a_share_of_failures_is_enough(target: &mut impl Target) {
    let failing = |of: usize| {
        let count = AtomicUsize::new(0);
        Script::new(move |_| match count.fetch_add(1, Ordering::SeqCst) % of {
            0 => unavailable(),
            _ => Reply::ok("").into(),
        })
    };
    let policy = json!({"failures": 0, "percent": 50, "min_samples": 10, "window": 60, "open": 60});
    for (of, expected) in [(2, 10), (3, 20)] {
        let (bad, good) = (target.origin(failing(of)), target.origin(Reply::ok("")));
        target.start(&guarded(&[("bad", 1, &bad), ("good", 1, &good)], &policy));
        count_branches(target, 40);
        assert_eq!((bad.count(), good.count()), (expected, 40 - expected), "one of {of} fails");
    }
}

/// Failures of before the window do not count.
pub(crate) fn failures_of_long_ago_do_not_count(target: &mut impl Target) {
    let (bad, good) = (target.origin(unavailable()), target.origin(Reply::ok("")));
    let policy = json!({"failures": 0, "percent": 50, "min_samples": 8, "window": 2, "open": 60});
    target.start(&guarded(&[("bad", 1, &bad), ("good", 1, &good)], &policy));
    for _ in 0..2 {
        assert_eq!(count_branches(target, 12), counts([("bad", 6), ("good", 6)]));
        target.pass(Duration::from_millis(2_100));
    }
}

/// A branch that is well again has a small share at first.
pub(crate) fn a_branch_can_come_back_slowly(target: &mut impl Target) {
    let bad = target.origin(Script::in_turn(vec![unavailable(); 3], Reply::ok("")));
    let good = target.origin(Reply::ok(""));
    let mut policy = breaker();
    policy["slow_start"] = json!(3600);
    target.start(&guarded(&[("bad", 1, &bad), ("good", 1, &good)], &policy));

    while bad.count() < 3 {
        target.call(&Call::get("/x"));
    }
    target.pass(OPEN + OPEN / 5);
    while bad.count() < 5 {
        target.call(&Call::get("/x"));
        assert!(good.count() < 40, "it is not probed");
    }
    // A sixteenth of its weight.
    assert_eq!(count_branches(target, 34), counts([("bad", 2), ("good", 32)]));
}

/// With all branches left out, all are tried, by their weights.
pub(crate) fn with_all_branches_out_all_are_tried(target: &mut impl Target) {
    let (one, two) = (target.origin(unavailable()), target.origin(unavailable()));
    let mut policy = breaker();
    policy["open"] = json!(60);
    target.start(&guarded(&[("one", 1, &one), ("two", 1, &two)], &policy));

    while one.count() < 3 || two.count() < 3 {
        target.call(&Call::get("/x"));
    }
    assert_eq!(count_branches(target, 20), counts([("one", 10), ("two", 10)]));
    assert_eq!(target.call(&Call::get("/x")).text(), "no");
}

/// A node that fails is left out by its own breaker, and comes back when it is well.
pub(crate) fn a_node_that_fails_is_left_out(target: &mut impl Target) {
    let bad = target.origin(Script::in_turn(vec![unavailable(); 3], Reply::ok("back")));
    let good = target.origin(Reply::ok("good"));
    let node = |origin: &Origin| json!({"host": "127.0.0.1", "port": origin.port(), "weight": 1});
    let upstream = json!({
        "nodes": [node(&bad), node(&good)],
        "pass_host": "node",
        "retries": 0,
        "breaker": breaker(),
    });
    target.start(&routes(&[json!({"id": "r", "uri": "/*", "upstream": upstream})]));

    while bad.count() < 3 {
        target.call(&Call::get("/x"));
    }
    for _ in 0..6 {
        assert_eq!(target.call(&Call::get("/x")).text(), "good");
    }
    target.pass(OPEN + OPEN / 5);
    let before = good.count();
    while bad.count() < 5 {
        assert_eq!(target.call(&Call::get("/x")).status, 200);
        assert!(good.count() < before + 40, "it is not probed");
    }
    let back = (0..20).filter(|_| target.call(&Call::get("/x")).text() == "back").count();
    assert_eq!(back, 10);
}
