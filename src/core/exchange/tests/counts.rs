//! What is counted of exchanges, and what goes on being counted by another configuration.

use serde_json::{Value, json};
use std::borrow::Cow;

use super::super::*;
use crate::fault::Report;
use crate::meter::{PLACES_MAX, Reason};
use crate::rewrite::fake::Fake;
use crate::snapshot::compile_json;
use crate::status::{BranchStatus, Scope, Status, Totals, census, status};
use crate::time::Timestamp;

/// A response with this status.
struct Answers(u16);

impl ResponseHead for Answers {
    fn status(&self) -> u16 {
        self.0
    }

    fn header(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

fn compiled(document: &Value) -> Snapshot {
    let mut report = Report::default();
    let snapshot = compile_json(&document.to_string(), 0, &mut report);
    snapshot.unwrap_or_else(|| panic!("{:?}", report.faults))
}

/// Route `r` under `/r` whose branches have these names, weights and nodes, and more in its rule.
fn document(branches: &[(&str, u32, &[&str])], more: &Value) -> Snapshot {
    let branch = |(name, weight, nodes): &(&str, u32, &[&str])| {
        let nodes: serde_json::Map<String, Value> =
            nodes.iter().map(|node| ((*node).to_owned(), json!(1))).collect();
        json!({"name": name, "weight": weight, "upstream": {"nodes": nodes}})
    };
    let list: Vec<Value> = branches.iter().map(branch).collect();
    let mut rule = json!({"weighted_upstreams": list});
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let route = json!({
        "id": "r", "name": "the route", "uris": ["/r", "/r/*"],
        "plugins": {"traffic-split": {"rules": [rule]}},
    });
    let own = json!({"id": "own", "uri": "/own", "upstream": {"nodes": {"own:80": 1}}});
    compiled(&json!({"routes": [own, route]}))
}

fn means(now: u64) -> Means<'static> {
    Means { now: Timestamp::from_millis(now), ..Means::NONE }
}

/// One request from its beginning to its end, 20 ms later; what is at `broken` answers 503.
fn send(snapshot: &Snapshot, path: &str, head: &Fake, broken: &[&str]) -> u16 {
    assert_eq!(head.path(), path);
    let inquiry = Inquiry { snapshot: Some(snapshot), head };
    let decided = Exchange::decide(&mut Visit::default(), inquiry, means(1000), Body::Unread);
    let mut exchange = decided.unwrap_or_else(|_| panic!("nothing is needed"));
    let (status, problem) = loop {
        let attempt = match exchange.attempt(head, Body::Whole(b""), means(1000)) {
            Ok(attempt) => attempt,
            Err(problem) => break (problem.status(), Some(problem)),
        };
        let response = match broken.contains(&attempt.node.host()) {
            true => Answers(503),
            false => Answers(200),
        };
        let event = exchange.event(&response);
        let pause = exchange.settle(event.as_ref(), Some(&response), head, true, means(1015));
        if pause.is_none() {
            break (response.0, None);
        }
    };
    let until_head = Duration::from_millis(20);
    let running = exchange.note(Timestamp::from_millis(1000), until_head, status, problem);
    let running = running.expect("there is a configuration");
    running.pass(3, 100);
    running.end(Timestamp::from_millis(1120));
    status
}

fn get(snapshot: &Snapshot, path: &str, broken: &[&str]) -> u16 {
    send(snapshot, path, &Fake::new("GET", path), broken)
}

fn told(snapshot: &Snapshot) -> Status {
    let totals = Totals::of_snapshot(snapshot);
    status(snapshot, &totals, Scope::Process, Timestamp::from_millis(5000))
}

/// The branches of the route `r`.
fn branches(snapshot: &Snapshot) -> Vec<BranchStatus> {
    told(snapshot).routes[1].rules[0].branches.clone()
}

#[test]
fn a_branch_is_counted_by_its_share_its_statuses_and_its_times() {
    let snapshot = document(&[("v1", 9, &["a"]), ("v2", 1, &["b"])], &json!({}));
    for _ in 0..100 {
        get(&snapshot, "/r", &["b"]);
    }
    assert_eq!(get(&snapshot, "/nowhere", &[]), 404);
    assert_eq!(get(&snapshot, "/own", &[]), 200);
    let told = told(&snapshot);
    assert_eq!((told.since_ms, told.at_ms), (1000, 5000));
    assert_eq!(told.problems["destination_not_found"], 1);
    let [own, route] = &told.routes[..] else { panic!("two routes") };
    assert_eq!((own.rules[0].rule, own.rules[0].branches[0].reasons[&Reason::Whole]), (None, 1));
    assert_eq!((&*route.id, route.name.as_deref()), ("r", Some("the route")));
    assert_eq!(
        (&route.uris[..], route.rules[0].rule),
        (&["/r".into(), "/r/*".into()][..], Some(0))
    );
    let [v1, v2] = &route.rules[0].branches[..] else { panic!("two branches") };
    assert_eq!((v1.picked, v2.picked, v1.target, v1.share), (90, 10, 0.9, Some(0.9)));
    assert!(v1.interval.0 < 0.9 && 0.9 < v1.interval.1 && v1.interval.0 > 0.8);
    assert_eq!((v1.requests, v1.errors, v2.requests, v2.errors), (90, 0, 10, 10));
    assert_eq!((v1.statuses[&200], v2.statuses[&503], v1.reasons[&Reason::Turn]), (90, 10, 90));
    assert_eq!(v1.buckets, [(Some(20), 90)]);
    assert!(v1.p50_ms.is_some_and(|it| it > 15.0 && it < 20.0) && v1.p99_ms > v1.p50_ms);
}

#[test]
fn what_a_branch_takes_over_from_another_is_no_part_of_its_share() {
    let more = json!({"on_failure": {"when": [503]}});
    let snapshot = document(&[("v1", 1, &["a"]), ("v2", 1, &["b"])], &more);
    for _ in 0..20 {
        assert_eq!(get(&snapshot, "/r", &["b"]), 200);
    }
    let all = branches(&snapshot);
    let [v1, v2] = &all[..] else { panic!("two branches") };
    assert_eq!((v1.picked, v2.picked, v1.share), (10, 10, Some(0.5)));
    assert_eq!((v1.requests, v2.requests, v1.reasons[&Reason::Failover]), (20, 0, 10));
    let lanes = census(&snapshot).lanes;
    let of = |name: &str| {
        let mut lanes = lanes.iter();
        lanes.find(|lane| lane.place.branch.as_deref() == Some(name)).unwrap().counts.clone()
    };
    assert_eq!((of("v1").attempts, of("v2").attempts, of("v2").left), (20, 10, 10));
}

#[test]
fn retries_are_counted_for_the_branch_and_the_request_for_the_node_that_answered() {
    let snapshot = compiled(&json!({"routes": [{
        "id": "r", "uri": "/r", "upstream": {
            "nodes": [{"host": "a", "port": 80, "weight": 1}, {"host": "b", "port": 80, "weight": 1}],
            "retries": 1, "retry": {"when": [503], "backoff": {"base": 0.0, "max": 0.1}},
        },
    }]}));
    for _ in 0..4 {
        assert_eq!(get(&snapshot, "/r", &["a"]), 200);
    }
    let census = census(&snapshot);
    let counts = &census.lanes[0].counts;
    assert_eq!((counts.attempts, counts.retries, counts.requests()), (6, 2, 4));
    let [flow] = &census.flows[..] else { panic!("one node answered") };
    assert_eq!((&*flow.node, &*flow.branch, flow.counts.statuses[&200]), ("b", "route", 4));
    assert_eq!((flow.counts.received, flow.counts.sent), (12, 400));
    assert_eq!((&*flow.uri, &*flow.host), ("/r", ""));
    // 20 ms until the head, of which one or two attempts had 15 each; 120 in all.
    assert_eq!((flow.counts.whole.sum_ms, flow.counts.own.sum_ms), (480, 2 * 5));
}

#[test]
fn counting_goes_on_by_names_and_what_is_gone_is_gone() {
    let first = document(&[("v1", 1, &["a", "c"]), ("v2", 1, &["b"])], &json!({}));
    for _ in 0..8 {
        get(&first, "/r", &[]);
    }
    get(&first, "/nowhere", &[]);
    // Other weights, another order, a node and a branch less, a branch more.
    let next = document(&[("v3", 5, &["d"]), ("v1", 1, &["c"])], &json!({})).following(&first);
    let all = branches(&next);
    assert_eq!((&*all[0].name, all[0].requests), ("v3", 0));
    assert_eq!((&*all[1].name, all[1].requests, all[1].picked), ("v1", 4, 4));
    let of_nodes = census(&next).flows;
    let node = |name: &str| of_nodes.iter().find(|flow| flow.node == name);
    assert_eq!(node("c").map(|flow| flow.counts.statuses[&200]), Some(2));
    assert!(node("a").is_none() && node("b").is_none());
    assert_eq!((next.meters().requests(), told(&next).problems["destination_not_found"]), (9, 1));
    // A request that began with the first is counted in both.
    get(&first, "/nowhere", &[]);
    assert_eq!(next.meters().requests(), 10);
    let none = compiled(&json!({"routes": []})).following(&next);
    assert_eq!((none.meters().places(), none.meters().requests()), ((1, 1), 10));
}

#[test]
fn totals_of_several_add_up_and_what_was_sent_is_not_sent_again() {
    let (one, other) = (
        document(&[("v1", 3, &["a"]), ("v2", 1, &["b"])], &json!({})),
        document(&[("v1", 3, &["a"]), ("v2", 1, &["b"])], &json!({})),
    );
    let mut sum = Totals::default();
    let mut sent = Totals::default();
    for round in 1..4 {
        for _ in 0..8 {
            get(&one, "/r", &[]);
        }
        let now = Totals::of_snapshot(&one);
        // As it comes over a wire.
        let news = serde_json::to_string(&now.since(&sent)).unwrap();
        sum.add(&serde_json::from_str(&news).unwrap());
        sent = now;
        get(&other, "/r", &["b"]);
        assert_eq!(sum, Totals::of_snapshot(&one), "in round {round}");
    }
    sum.add(&Totals::of_snapshot(&other));
    assert_eq!(sum.requests, 27);
    let told = status(&one, &sum, Scope::Edge, Timestamp::from_millis(9000));
    let branches = &told.routes[1].rules[0].branches;
    assert_eq!((branches[0].picked, branches[1].picked), (20, 7));
    let next = document(&[("v1", 3, &["a"]), ("v9", 1, &["b"])], &json!({}));
    sum.retain(&next);
    assert_eq!(sum.lanes.len(), 1);
    let read: Status = serde_json::from_value(serde_json::to_value(&told).unwrap()).unwrap();
    assert_eq!(read, told);
}

#[test]
fn counting_allocates_nothing_after_the_first_request_of_a_kind() {
    let snapshot = document(&[("v1", 9, &["a"]), ("v2", 1, &["b"])], &json!({}));
    let head = Fake::new("GET", "/r");
    for round in 0..50 {
        let inquiry = Inquiry { snapshot: Some(&snapshot), head: &head };
        let decided = Exchange::decide(&mut Visit::default(), inquiry, means(1000), Body::Unread);
        let mut exchange = decided.unwrap_or_else(|_| panic!("nothing is needed"));
        exchange.attempt(&head, Body::Unread, means(1000)).unwrap();
        exchange.settle(None, Some(&Answers(200)), &head, true, means(1010));
        let counted = allocation_counter::measure(|| {
            let at = Timestamp::from_millis(1000);
            let running = exchange.note(at, Duration::from_millis(20), 200, None).unwrap();
            running.pass(1, 2);
            running.end(Timestamp::from_millis(1050));
        });
        assert!(round < 20 || counted.count_total == 0, "{counted:?} in round {round}");
    }
}

/// What clients send decides nothing of how much is counted apart.
#[test]
fn a_million_paths_hosts_and_keys_leave_what_is_counted_as_small_as_it_was() {
    let more = json!({"sticky": {"by": ["header:x-key"]}});
    let snapshot = document(&[("v1", 1, &["a"]), ("v2", 1, &["b"])], &more);
    get(&snapshot, "/r", &[]);
    get(&snapshot, "/nowhere", &[]);
    let mut request = |number: u32| {
        let (path, key) = (format!("/r/{number}"), format!("k{number}"));
        let head = Fake::new("GET", &path).header("x-key", &key).header("host", &key);
        send(&snapshot, &path, &head, &[]);
        let path = format!("/no-{number}");
        send(&snapshot, &path, &Fake::new("GET", &path), &[]);
    };
    (0..100).for_each(&mut request);
    let before = census(&snapshot);
    let (lanes, flows) = snapshot.meters().places();
    let counted = allocation_counter::measure(|| (100..500_000).for_each(&mut request));
    assert_eq!(snapshot.meters().places(), (lanes, flows));
    assert!(lanes <= 3 && flows <= 3, "{lanes} lanes and {flows} in them");
    assert!(counted.bytes_current.abs() < 1000, "{counted:?}");
    let after = census(&snapshot);
    assert_eq!((after.lanes.len(), after.flows.len()), (before.lanes.len(), before.flows.len()));
    assert_eq!((snapshot.meters().requests(), snapshot.meters().overflow()), (1_000_002, 0));
}

#[test]
fn a_document_that_names_too_much_is_counted_up_to_a_bound() {
    let route = |number: usize| {
        json!({
            "id": format!("r{number}"), "uri": format!("/{number}"),
            "upstream": {"nodes": {"a:80": 1}},
        })
    };
    let routes: Vec<Value> = (0..PLACES_MAX + 100).map(route).collect();
    let snapshot = compiled(&json!({"routes": routes}));
    for number in 0..PLACES_MAX + 100 {
        get(&snapshot, &format!("/{number}"), &[]);
    }
    assert_eq!(snapshot.meters().places(), (PLACES_MAX, PLACES_MAX));
    let census = census(&snapshot);
    let rest = census.lanes.last().unwrap();
    assert_eq!((rest.place.branch.as_deref(), rest.counts.requests()), (Some("other"), 100));
}
