//! A split divides requests exactly by weight.

use std::collections::BTreeMap;
use std::thread;

use serde_json::json;

use crate::document::{branches, routes, split, upstream};
use crate::message::Call;
use crate::script::Reply;
use crate::target::Target;

/// How often each branch answered `count` calls one after the other.
fn count_branches(target: &impl Target, count: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..count {
        let answer = target.call(&Call::get("/x"));
        assert_eq!(answer.status, 200);
        *counts.entry(answer.branch().expect("the branch is named")).or_default() += 1;
    }
    counts
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.map(|(branch, count)| (branch.to_owned(), count)).into()
}

/// 50:50 sends exactly 50 of 100 requests each way, each rewritten for its version.
pub(crate) fn fifty_fifty_is_exact_and_rewritten(target: &mut impl Target) {
    let origin = target.origin(Reply::ok("pong"));
    let rule =
        |uri: &str| json!({"weight": 50, "upstream": upstream(&origin), "rewrite": {"uri": uri}});
    target.start(&split(&[rule("/v1/chat/completions"), rule("/v2/chat/completions")]));

    for _ in 0..100 {
        let answer = target.call(&Call::post("/chat/completions", r#"{"model":"gpt-4"}"#));
        assert_eq!((answer.status, answer.text()), (200, "pong".to_owned()));
        let version = match answer.branch().as_deref() {
            Some("b0") => "/v1/chat/completions",
            Some("b1") => "/v2/chat/completions",
            other => panic!("branch {other:?}"),
        };
        assert_eq!(origin.requests().last().unwrap().target, version);
    }
    for version in ["/v1/chat/completions", "/v2/chat/completions"] {
        let requests = origin.requests();
        assert_eq!(requests.iter().filter(|request| request.target == version).count(), 50);
    }
}

/// 95:5 sends 5 of 100 the small way, and exactly one in every window of 20.
pub(crate) fn every_window_of_95_to_5_is_exact(target: &mut impl Target) {
    let (stable, canary) = (target.origin(Reply::ok("")), target.origin(Reply::ok("")));
    target.start(&split(&[
        json!({"weight": 95, "upstream": upstream(&stable)}),
        json!({"weight": 5, "upstream": upstream(&canary)}),
    ]));

    let picks: Vec<bool> =
        (0..100).map(|_| target.call(&Call::get("/x")).branch().as_deref() == Some("b1")).collect();
    for window in picks.windows(20) {
        assert_eq!(window.iter().filter(|is_canary| **is_canary).count(), 1, "{picks:?}");
    }
    assert_eq!((stable.count(), canary.count()), (95, 5));
}

/// APISIX's form splits alike, and a branch may have a name.
pub(crate) fn branches_have_the_names_they_are_given(target: &mut impl Target) {
    let (old, new) = (target.origin(Reply::ok("")), target.origin(Reply::ok("")));
    target.start(&branches(&[
        json!({"name": "v1", "weight": 3, "upstream": upstream(&old)}),
        json!({"name": "v2", "weight": 1, "upstream": upstream(&new)}),
    ]));

    assert_eq!(count_branches(target, 40), counts([("v1", 30), ("v2", 10)]));
    assert_eq!((old.count(), new.count()), (30, 10));
}

/// A branch of weight 0 is there and gets nothing.
pub(crate) fn weight_0_gets_nothing(target: &mut impl Target) {
    let (on, off) = (target.origin(Reply::ok("")), target.origin(Reply::ok("")));
    target.start(&branches(&[
        json!({"weight": 0, "upstream": upstream(&off)}),
        json!({"weight": 7, "upstream": upstream(&on)}),
    ]));

    assert_eq!(count_branches(target, 21), counts([("b1", 21)]));
    assert_eq!((on.count(), off.count()), (21, 0));
}

/// A branch may name an upstream of the document, by a number or a string alike.
pub(crate) fn a_branch_may_name_an_upstream(target: &mut impl Target) {
    let (one, two) = (target.origin(Reply::ok("")), target.origin(Reply::ok("")));
    let with_id = |origin, id| {
        let mut upstream = upstream(origin);
        upstream["id"] = id;
        upstream
    };
    let document = json!({
        "upstreams": [with_id(&one, json!(1)), with_id(&two, json!("two"))],
        "routes": [{"id": "split", "uri": "/*", "plugins": {"traffic-split": {"rules": [
            {"weighted_upstreams": [
                {"upstream_id": "1", "weight": 1},
                {"upstream_id": "two", "weight": 4},
            ]},
        ]}}}],
    });
    target.start(&document.to_string());

    assert_eq!(count_branches(target, 20), counts([("b0", 4), ("b1", 16)]));
    assert_eq!((one.count(), two.count()), (4, 16));
}

/// A branch that has only a weight is the route's own upstream.
pub(crate) fn a_branch_without_upstream_is_the_routes_own(target: &mut impl Target) {
    let (own, other) = (target.origin(Reply::ok("")), target.origin(Reply::ok("")));
    let rules = json!([{"weighted_upstreams": [
        {"weight": 1, "upstream": upstream(&other)},
        {"weight": 4},
    ]}]);
    target.start(&routes(&[json!({
        "id": "split",
        "uri": "/*",
        "upstream": upstream(&own),
        "plugins": {"traffic-split": {"rules": rules}},
    })]));

    assert_eq!(count_branches(target, 20), counts([("b0", 4), ("b1", 16)]));
    assert_eq!((own.count(), other.count()), (16, 4));
}

/// The nodes of a branch share what the branch gets, by their own weights.
pub(crate) fn nodes_share_what_their_branch_gets(target: &mut impl Target) {
    let origins = [(); 3].map(|()| target.origin(Reply::ok("")));
    let [a, b, other] = &origins;
    let nodes = json!({a.authority(): 1, b.authority(): 2});
    target.start(&branches(&[
        json!({"weight": 3, "upstream": {"nodes": nodes, "pass_host": "node"}}),
        json!({"weight": 1, "upstream": upstream(other)}),
    ]));

    count_branches(target, 40);
    assert_eq!(origins.map(|origin| origin.count()), [10, 20, 10]);
}

/// However many clients ask at once, the total is exact.
pub(crate) fn a_request_sent_by_many_at_once_is_counted_once(target: &mut impl Target) {
    let (stable, canary) = (target.origin(Reply::ok("")), target.origin(Reply::ok("")));
    target.start(&split(&[
        json!({"weight": 95, "upstream": upstream(&stable)}),
        json!({"weight": 5, "upstream": upstream(&canary)}),
    ]));

    let target = &*target;
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| count_branches(target, 25));
        }
    });
    assert_eq!((stable.count(), canary.count()), (760, 40));
}
