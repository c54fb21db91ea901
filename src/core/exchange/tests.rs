mod counts;
mod limits;
mod shares;

use serde_json::{Value, json};

use super::*;
use crate::fault::Report;
use crate::rewrite::fake::Fake;
use crate::snapshot::compile_json;
use crate::telemetry::proof;

/// Some hundred routes by exact path, each split by turns between two branches that rewrite the path.
fn snapshot() -> Snapshot {
    let rule = |weight: u32, uri: &str| json!({"weight": weight, "rewrite": {"uri": uri}});
    let rules = [rule(95, "/v1/chat/completions"), rule(5, "/v2/chat/completions")];
    let route = |number: usize| {
        json!({
            "id": format!("r{number}"),
            "uri": format!("/tenant-{number}/chat/completions"),
            "upstream_id": "provider",
            "plugins": {"traffic-split": {"rules": rules}},
        })
    };
    let upstream = json!({"id": "provider", "nodes": {"api.example.com:80": 1}});
    let routes: Vec<Value> = (0..300).map(route).collect();
    let document = json!({"routes": routes, "upstreams": [upstream]}).to_string();
    compile_json(&document, 0, &mut Report::default()).unwrap()
}

#[test]
fn nothing_is_allocated_for_a_request_that_goes_by_turns_and_has_its_path_replaced() {
    let snapshot = snapshot();
    let head = Fake::new("POST", "/tenant-150/chat/completions");
    let mut counts = [0; 2];
    for _ in 0..20 {
        let allocations = allocation_counter::measure(|| {
            let inquiry = Inquiry { snapshot: Some(&snapshot), head: &head };
            let decided =
                Exchange::decide(&mut Visit::default(), inquiry, Means::NONE, Body::Unread);
            let mut exchange = decided.unwrap_or_else(|_| panic!("nothing looks at a body"));
            assert_eq!(exchange.route(), Some("r150"));
            let draft = exchange.rewritten(&head, Body::Unread).unwrap();
            assert_eq!(draft.path.get(3..), Some("/chat/completions"));
            counts[usize::from(draft.path.starts_with("/v2"))] += 1;
        });
        assert_eq!(allocations.count_total, 0);
    }
    assert_eq!(counts, [19, 1]);
}

/// A document that has this route only.
fn document(route: &Value) -> Snapshot {
    let document = json!({"routes": [route]}).to_string();
    let mut report = Report::default();
    let snapshot = compile_json(&document, 0, &mut report);
    snapshot.unwrap_or_else(|| panic!("{:?}", report.faults))
}

fn decided<'a>(snapshot: &'a Snapshot, head: &'a Fake) -> Exchange<'a> {
    let inquiry = Inquiry { snapshot: Some(snapshot), head };
    let decided = Exchange::decide(&mut Visit::default(), inquiry, Means::NONE, Body::Unread);
    decided.unwrap_or_else(|_| panic!("nothing looks at a body"))
}

/// The changes to the headers of a request on this route.
fn sent(route: &Value, head: &Fake) -> Changes {
    decided(&document(route), head).attempt(head, Body::Unread, Means::NONE).unwrap().edits
}

#[test]
fn no_branch_proves_to_be_another_by_what_it_adds_to_a_response() {
    let route = json!({"id": "r", "uri": "/*", "upstream": {"nodes": {"a.example:80": 1}}});
    let (snapshot, head) = (document(&route), Fake::new("GET", "/"));
    let mut exchange = decided(&snapshot, &head);
    let fake = || (proof::BRANCH.into(), "fake".into());
    let response = &mut exchange.decision.as_mut().unwrap().response;
    response.add.push(fake());
    response.set.push(fake());
    let changes = exchange.response_changes();
    assert_eq!(changes.added().count(), 0);
    let branches = changes.set().filter(|(name, _)| *name == proof::BRANCH);
    assert_eq!(branches.map(|(_, value)| &**value).collect::<Vec<_>>(), ["route"]);
}

#[test]
fn what_opens_a_branch_goes_no_further_whichever_rule_takes_the_request() {
    let rule = |by: &str, header: &str, cookie: &str| {
        json!({
            "match": [{"vars": [["http_x-by", "==", by]]}],
            "override": {"header": header, "cookie": cookie, "tokens": true},
            "weighted_upstreams": [{"weight": 1}],
        })
    };
    let route = json!({
        "id": "r", "uri": "/*", "upstream": {"nodes": {"a.example:80": 1}},
        "plugins": {
            "proxy-rewrite": {"headers": {"set": {"x-two": "v2~1~*~0"}}},
            "traffic-split": {"rules": [rule("1", "X-One", "one"), rule("2", "X-Two", "two")]},
        },
    });
    for by in ["1", "2", "nobody"] {
        let head = Fake::new("GET", "/")
            .header("x-by", by)
            .header("x-one", "v2~1~*~0")
            .header("x-two", "v2")
            .header("cookie", "a=1; two=v2~1~*~0; one=v2; b=~");
        let edits = sent(&route, &head);
        assert_eq!(head.sent_by("x-one", &edits), [""; 0], "{by}");
        assert_eq!(head.sent_by("x-two", &edits), [""; 0], "{by}");
        assert_eq!(head.sent_by("cookie", &edits), ["a=1; one=v2; b=~"], "{by}");
        let head = Fake::new("GET", "/").header("x-by", by).header("cookie", "one=v2~1~*~0");
        assert_eq!(head.sent_by("cookie", &sent(&route, &head)), [""; 0], "{by}");
    }
}

mod checks;

/// The outcome of an attempt that was made: what is done next, and by which branch.
fn settled<'a>(exchange: &mut Exchange<'a>, head: &'a Fake, event: Event) -> Option<Duration> {
    exchange.settle(Some(&event), None::<&NoResponse>, head, true, Means::NONE)
}

/// Never made.
enum NoResponse {}

impl ResponseHead for NoResponse {
    fn status(&self) -> u16 {
        match *self {}
    }

    fn header(&self, _: &str) -> Option<Cow<'_, str>> {
        match *self {}
    }
}

#[test]
fn a_node_of_weight_0_is_no_other_node_to_try() {
    let upstream = json!({
        "nodes": {"a.test": 1, "idle.test": 0}, "retries": 5, "retry": {"when": ["5xx"]},
    });
    let snapshot = document(&json!({"id": "r", "uri": "/*", "upstream": upstream}));
    let head = Fake::new("GET", "/");
    let mut exchange = decided(&snapshot, &head);
    // The only node there is may be tried again.
    for _ in 0..3 {
        let attempt = exchange.attempt(&head, Body::Whole(b""), Means::NONE).unwrap();
        assert_eq!(attempt.node.host(), "a.test");
        assert!(settled(&mut exchange, &head, Event::Status(503)).is_some());
    }
    let upstream = json!({"nodes": {"a.test": 1, "b.test": 1, "idle.test": 0}, "retries": 5});
    let snapshot = document(&json!({"id": "r", "uri": "/*", "upstream": upstream}));
    let mut exchange = decided(&snapshot, &head);
    let refused = Event::Failed(Failure::ConnectionRefused);
    drop(exchange.attempt(&head, Body::Whole(b""), Means::NONE).unwrap());
    assert!(settled(&mut exchange, &head, refused).is_some());
    drop(exchange.attempt(&head, Body::Whole(b""), Means::NONE).unwrap());
    assert!(settled(&mut exchange, &head, refused).is_none(), "both were tried");
}

/// A rule with these weights, of which copies go where `mirror` says and failures to others.
fn split_of(weights: &[(&str, u32)], more: &Value) -> Snapshot {
    let branch = |(name, weight): &(&str, u32)| json!({"name": name, "weight": weight, "upstream": format!("http://{name}.test")});
    let mut rule = json!({"weighted_upstreams": weights.iter().map(branch).collect::<Vec<_>>()});
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document(&json!({"id": "r", "uri": "/*", "plugins": {"traffic-split": {"rules": [rule]}}}))
}

#[test]
fn copies_are_an_exact_share_of_what_each_branch_serves() {
    let more = json!({"mirror": {"branch": "v2", "percent": 50, "in_flight": 1000}});
    let snapshot = split_of(&[("v1", 50), ("v2", 50)], &more);
    let head = Fake::new("GET", "/");
    let mut copies = Vec::new();
    for _ in 0..40 {
        let mut exchange = decided(&snapshot, &head);
        drop(exchange.attempt(&head, Body::Whole(b""), Means::NONE).unwrap());
        copies.extend(exchange.shadow(&head, b"", (200, Duration::ZERO), Means::NONE));
    }
    assert_eq!(copies.len(), 10, "half of the 20 that went to v1");
}

#[test]
fn a_copy_does_not_go_where_the_request_failed() {
    let more = json!({"mirror": {"branch": "v2"}, "on_failure": {}});
    let snapshot = split_of(&[("v1", 1), ("v2", 1)], &more);
    let head = Fake::new("GET", "/");
    for _ in 0..4 {
        let mut exchange = decided(&snapshot, &head);
        drop(exchange.attempt(&head, Body::Whole(b""), Means::NONE).unwrap());
        let picked = exchange.branch().unwrap();
        assert!(settled(&mut exchange, &head, Event::Status(503)).is_some());
        drop(exchange.attempt(&head, Body::Whole(b""), Means::NONE).unwrap());
        assert_ne!(exchange.branch(), Some(picked));
        // It was at both.
        assert!(exchange.shadow(&head, b"", (200, Duration::ZERO), Means::NONE).is_none());
    }
}

#[test]
fn those_that_one_branch_failed_share_the_others_exactly() {
    let more = json!({"on_failure": {}});
    let snapshot = split_of(&[("v1", 1), ("v2", 1), ("v3", 1)], &more);
    let head = Fake::new("GET", "/");
    let mut went = std::collections::BTreeMap::new();
    for _ in 0..60 {
        let mut exchange = decided(&snapshot, &head);
        drop(exchange.attempt(&head, Body::Whole(b""), Means::NONE).unwrap());
        let from = exchange.branch().unwrap();
        if from != "v3" {
            assert!(settled(&mut exchange, &head, Event::Status(503)).is_some());
            drop(exchange.attempt(&head, Body::Whole(b""), Means::NONE).unwrap());
            *went.entry((from, exchange.branch().unwrap())).or_insert(0) += 1;
        }
    }
    let expected = [("v1", "v2"), ("v1", "v3"), ("v2", "v1"), ("v2", "v3")];
    assert_eq!(went, expected.map(|pair| (pair, 10)).into());
}

#[test]
fn a_node_that_was_down_is_asked_where_all_others_failed_the_request() {
    let branch = |name: &str, nodes: [&str; 2]| {
        let breaker = json!({"failures": 3, "open": 60});
        json!({"name": name, "upstream": {"nodes": {nodes[0]: 1, nodes[1]: 1}, "breaker": breaker}})
    };
    let branches = [branch("v1", ["a.test", "b.test"]), branch("v2", ["c.test", "d.test"])];
    let rule = json!({"weighted_upstreams": branches, "on_failure": {}});
    let plugins = json!({"traffic-split": {"rules": [rule]}});
    let snapshot = document(&json!({"id": "r", "uri": "/*", "plugins": plugins}));
    let head = Fake::new("GET", "/");
    // A request that these nodes fail, and where it went.
    let visited = |dead: &[&str]| {
        let mut exchange = decided(&snapshot, &head);
        let mut visited = Vec::new();
        loop {
            let attempt = exchange.attempt(&head, Body::Whole(b""), Means::NONE).unwrap();
            let host = attempt.node.host().to_owned();
            let refused = Event::Failed(Failure::ConnectionRefused);
            let event = dead.contains(&&*host).then_some(&refused);
            visited.push(host);
            let none = None::<&NoResponse>;
            if exchange.settle(event, none, &head, true, Means::NONE).is_none() {
                return visited;
            }
        }
    };
    for _ in 0..20 {
        visited(&["b.test", "d.test"]);
    }
    let mut roads: Vec<_> = (0..2).map(|_| visited(&["a.test", "c.test"])).collect();
    roads.sort();
    // Both left out: the other branch is asked before a node that is down.
    let expected = [["a.test", "c.test", "d.test"], ["c.test", "a.test", "b.test"]];
    assert_eq!(roads, expected);
}

#[test]
fn only_what_found_nobody_takes_no_budget() {
    let retry = json!({"budget": {"percent": 0, "burst": 1}});
    let upstream = json!({"nodes": {"a.test": 1, "b.test": 1}, "retry": retry});
    let route = json!({"id": "r", "uri": "/*", "upstream": upstream});
    let head = Fake::new("GET", "/");
    let nobody = [Failure::ConnectionRefused, Failure::ConnectionTimeout, Failure::DnsError];
    let somebody = [
        Failure::ConnectionTerminated,
        Failure::DestinationUnavailable,
        Failure::HttpProtocolError,
        Failure::HttpResponseTimeout,
        Failure::TlsCertificateError,
        Failure::TlsProtocolError,
    ];
    let expected = nobody.map(|failure| (failure, 5)).into_iter();
    for (failure, count) in expected.chain(somebody.map(|failure| (failure, 1))) {
        let snapshot = document(&route);
        let retried = (0..5).filter(|_| {
            let mut exchange = decided(&snapshot, &head);
            drop(exchange.attempt(&head, Body::Whole(b""), Means::NONE).unwrap());
            settled(&mut exchange, &head, Event::Failed(failure)).is_some()
        });
        assert_eq!(retried.count(), count, "{failure:?}");
    }
}

#[test]
fn attempts_that_others_make_good_are_none_of_a_branchs_breaker() {
    let nodes = json!({"a.test": 1, "b.test": 1});
    let branch = json!({"name": "v1", "upstream": {"nodes": nodes, "pass_host": "node"}});
    let other = json!({"name": "v2", "upstream": "http://v2.test"});
    let rule = json!({"weighted_upstreams": [branch, other], "breaker": {"failures": 1}});
    let plugins = json!({"traffic-split": {"rules": [rule]}});
    let snapshot = document(&json!({"id": "r", "uri": "/*", "plugins": plugins}));
    let head = Fake::new("GET", "/");
    let refused = Event::Failed(Failure::ConnectionRefused);
    let mut served = Vec::new();
    for _ in 0..8 {
        let mut exchange = decided(&snapshot, &head);
        drop(exchange.attempt(&head, Body::Whole(b""), Means::NONE).unwrap());
        if exchange.branch() == Some("v1") {
            assert!(settled(&mut exchange, &head, refused).is_some());
            drop(exchange.attempt(&head, Body::Whole(b""), Means::NONE).unwrap());
        }
        let none = None::<&NoResponse>;
        assert!(exchange.settle(None, none, &head, true, Means::NONE).is_none());
        served.push(exchange.branch().unwrap());
    }
    assert_eq!(served.iter().filter(|branch| **branch == "v1").count(), 4);
}

#[test]
fn a_request_that_waited_does_not_pass_a_breaker_that_opened_meanwhile() {
    let more = json!({"breaker": {"failures": 1, "open": 60}});
    let snapshot = split_of(&[("v1", 1), ("v2", 1)], &more);
    let head = Fake::new("GET", "/");
    // All are picked before any is sent, as where their bodies are waited for.
    let mut waiting: Vec<_> = (0..4).map(|_| decided(&snapshot, &head)).collect();
    let picked: Vec<_> = waiting.iter().map(|it| it.branch().unwrap()).collect();
    assert_eq!(picked.iter().filter(|branch| **branch == "v2").count(), 2);
    let mut first = true;
    for exchange in &mut waiting {
        let was_v2 = exchange.branch() == Some("v2");
        drop(exchange.attempt(&head, Body::Whole(b""), Means::NONE).unwrap());
        if was_v2 && first {
            first = false;
            assert_eq!(exchange.branch(), Some("v2"));
            assert!(settled(exchange, &head, Event::Status(500)).is_none());
        } else {
            assert_eq!(exchange.branch(), Some("v1"));
            assert_eq!(exchange.picked(), None);
        }
    }
}

#[test]
fn a_head_has_no_stream_to_look_into() {
    struct Stream;
    impl ResponseHead for Stream {
        fn status(&self) -> u16 {
            200
        }
        fn header(&self, name: &str) -> Option<Cow<'_, str>> {
            (name == "content-type").then_some("text/event-stream".into())
        }
    }
    let snapshot = split_of(&[("v1", 1), ("v2", 1)], &json!({"on_failure": {}}));
    for (method, is_kept, asks) in
        [("GET", true, true), ("HEAD", true, false), ("POST", false, false)]
    {
        let head = Fake::new(method, "/");
        let mut exchange = decided(&snapshot, &head);
        drop(exchange.attempt(&head, Body::Whole(b""), Means::NONE).unwrap());
        assert_eq!(exchange.asks_opening(&Stream, is_kept), asks, "{method}");
    }
}

#[test]
fn no_farewell_is_said_where_a_length_was_promised() {
    struct Stream(&'static [&'static str]);
    impl ResponseHead for Stream {
        fn status(&self) -> u16 {
            200
        }
        fn header(&self, name: &str) -> Option<Cow<'_, str>> {
            let is_there = name == "content-type" || self.0.contains(&name);
            is_there.then_some("text/event-stream".into())
        }
    }
    let snapshot = split_of(&[("v1", 1)], &json!({}));
    let head = Fake::new("GET", "/");
    let lengths: [(&[&str], bool); 3] = [
        (&[], true),
        (&["content-length"], false),
        (&["content-length", "transfer-encoding"], true),
    ];
    for (headers, is_told) in lengths {
        let tail = decided(&snapshot, &head).relay(&Stream(headers)).tail;
        let farewell = tail.farewell(Failure::ConnectionTerminated);
        assert_eq!(farewell.is_some(), is_told, "{headers:?}");
        let broken = serde_json::to_value(tail.broken(Failure::HttpResponseTimeout)).unwrap();
        let expected = json!({"route": "r", "branch": "v1", "problem": "http_response_timeout"});
        assert_eq!(broken, expected);
    }
}

#[test]
fn a_copy_takes_no_longer_than_where_it_runs_lets_it() {
    let snapshot = split_of(&[("v1", 1), ("v2", 0)], &json!({"mirror": {"branch": "v2"}}));
    let head = Fake::new("GET", "/");
    let mut exchange = decided(&snapshot, &head);
    drop(exchange.attempt(&head, Body::Whole(b""), Means::NONE).unwrap());
    let copy = exchange.shadow(&head, b"", (200, Duration::ZERO), Means::NONE).unwrap();
    assert_eq!(copy.deadline(), Timeouts::default().until_head());
    let short = Duration::from_secs(25);
    assert!(copy.deadline() > short);
    assert_eq!(copy.at_most(short).deadline(), short);
}
