//! Splits of many rules, and splits of many routes.

use serde_json::{Value, json};

use super::{Snapshot, compile_json};
use crate::balance::{Ask, Balancer, Tried};
use crate::facts::Facts;
use crate::facts::fake::Asked;
use crate::fault::Report;
use crate::split::Full;
use crate::split::Means;
use crate::time::Timestamp;

fn compile(document: &Value, phase: u64) -> Snapshot {
    let mut report = Report::default();
    let snapshot = compile_json(&document.to_string(), phase, &mut report);
    snapshot.unwrap_or_else(|| panic!("{:?}", report.faults))
}

/// The branch whose turn it is on the route of this number.
fn turn(snapshot: &Snapshot, route: usize) -> String {
    let next = |facts: Facts<'_>| {
        let rule = snapshot.routes()[route].split.rule(&facts, &mut |_, _| {});
        rule.expect("a rule takes it")
            .branches
            .next(&Full::default(), Means::NONE.now)
            .expect("all have room")
            .name
            .to_string()
    };
    Asked::default().with(crate::facts::Body::Unread, next)
}

/// The node whose turn it is.
fn node(balancer: &Balancer) -> String {
    let next = |facts: Facts<'_>| {
        let (now, tried) = (Timestamp::default(), Tried::default());
        let ask = Ask { facts: &facts, now, chance: &|| 0, tried: &tried, is_trial: false };
        balancer.node(balancer.pick(&ask).expect("a node")).host().to_owned()
    };
    Asked::default().with(crate::facts::Body::Unread, next)
}

/// A route whose rules each take one user, in this order.
fn rules_for(users: impl Iterator<Item = usize>) -> Value {
    let rule = |user| {
        let vars = json!([["http_user", "==", format!("u{user}")]]);
        let list = json!([{"name": "v1", "weight": 95}, {"name": "v2", "weight": 5}]);
        json!({"match": [{"vars": vars}], "weighted_upstreams": list})
    };
    let rules: Vec<Value> = users.map(rule).collect();
    let plugins = json!({"traffic-split": {"rules": rules}});
    json!({"routes": [{"id": "r", "uri": "/", "upstream": "http://a.test", "plugins": plugins}]})
}

#[test]
fn too_many_branches_are_refused_before_they_are_compared() {
    let list = vec![json!({}); 20_000];
    let plugins = json!({"traffic-split": {"rules": [{"weighted_upstreams": list}]}});
    let route = json!({"uri": "/", "upstream": "http://a.test", "plugins": plugins});
    let mut report = Report::default();
    assert!(compile_json(&json!({"routes": [route]}).to_string(), 0, &mut report).is_none());
    assert_eq!(report.faults.len(), 1, "{:?}", report.faults);
    assert!(report.faults[0].what.contains("expected 1 to 20 branches, found 20000"));
    let of_targets = report.warnings.iter().filter(|it| it.what.contains("same target"));
    assert_eq!(of_targets.count(), 0);
}

#[test]
fn rules_of_one_match_are_one_split_wherever_they_stand() {
    let rule = |user: usize, name: &str| {
        let vars = json!([["http_user", "==", format!("u{user}")]]);
        json!({"match": [{"vars": vars}], "name": name, "upstream": "http://b.test"})
    };
    let rules: Vec<Value> =
        ["v1", "v2"].iter().flat_map(|name| (0..2_000).map(|user| rule(user, name))).collect();
    let plugins = json!({"traffic-split": {"rules": rules}});
    let route = json!({"uri": "/", "upstream": "http://a.test", "plugins": plugins});
    let snapshot = compile(&json!({"routes": [route]}), 0);
    let rules: Vec<_> = snapshot.routes()[0].split.rules().collect();
    assert_eq!(rules.len(), 2_001);
    for (number, rule) in rules.iter().take(2_000).enumerate() {
        assert_eq!(rule.number(), Some(number));
        assert!(rule.branches.names().eq(["v1", "v2"]));
    }
}

#[test]
fn rules_that_move_are_followed_and_new_ones_begin() {
    const COUNT: usize = 2_000;
    let earlier = compile(&rules_for(0..COUNT), 0);
    for (user, rule) in earlier.routes()[0].split.rules().take(COUNT).enumerate() {
        (0..user % 20).for_each(|_| _ = rule.branches.next(&Full::default(), Means::NONE.now));
    }
    // Backwards, with a new one at both ends and without the first ten.
    let users = std::iter::once(COUNT).chain((10..COUNT).rev()).chain([COUNT + 1]);
    let later = compile(&rules_for(users.clone()), 0).following(&earlier);
    for (user, rule) in users.zip(later.routes()[0].split.rules()) {
        let step = if user < COUNT { user % 20 } else { 0 };
        assert_eq!(rule.branches.point(), format!("step {step} of 20"), "{user}");
    }
}

/// Routes with upstreams of their own that take a split of 95:5 over from a service.
fn routes_of_a_service(names: std::ops::Range<usize>, uses_own: bool) -> Value {
    let v1 = if uses_own { json!({}) } else { json!({"upstream": "http://v1.test"}) };
    let mut list = json!([v1, {"upstream": "http://v2.test"}]);
    (list[0]["name"], list[0]["weight"]) = (json!("v1"), json!(95));
    (list[1]["name"], list[1]["weight"]) = (json!("v2"), json!(5));
    let plugins = json!({
        "traffic-split": {"rules": [{"weighted_upstreams": list}]},
        "proxy-rewrite": {"regex_uri": ["^/a", "/b"]},
    });
    let route = |number| {
        let nodes = json!({"c.test:80": 1, "d.test:80": 1});
        let upstream = json!({"nodes": nodes});
        json!({"id": format!("r{number}"), "uri": format!("/{number}"), "service_id": "s", "upstream": upstream})
    };
    let routes: Vec<Value> = names.map(route).collect();
    json!({"routes": routes, "services": [{"id": "s", "plugins": plugins}]})
}

#[test]
fn routes_that_share_a_split_share_its_walk() {
    for (uses_own, phase) in [(false, 0), (true, 0), (false, 0xdead_beef), (true, 0xdead_beef)] {
        let snapshot = compile(&routes_of_a_service(0..100, uses_own), phase);
        for window in 0..5 {
            let picks = (window * 20..(window + 1) * 20).map(|route| turn(&snapshot, route));
            assert_eq!(picks.filter(|name| name == "v2").count(), 1, "{uses_own} {phase}");
        }
    }
}

#[test]
fn routes_share_a_walk_with_those_that_come_later() {
    for uses_own in [false, true] {
        let mut picks = Vec::new();
        let mut current = compile(&routes_of_a_service(0..10, uses_own), 7);
        for first in 0..20 {
            // The first of them is new each time.
            let document = routes_of_a_service(20 - first..30 - first, uses_own);
            current = compile(&document, 7).following(&current);
            picks.extend((0..2).map(|route| turn(&current, route)));
        }
        assert_eq!(picks.iter().filter(|name| *name == "v2").count(), 2, "{uses_own}");
    }
}

#[test]
fn nodes_of_routes_that_share_a_split_are_walked_by_each() {
    let earlier = compile(&routes_of_a_service(0..2, true), 0);
    let snapshot = compile(&routes_of_a_service(0..3, true), 0).following(&earlier);
    for route in snapshot.routes() {
        let rule = route.split.rules().next().expect("the rule of the service");
        let balancer = &rule.branches.list()[0].balancer;
        assert_eq!([node(balancer), node(balancer)], ["c.test", "d.test"]);
    }
}

#[test]
fn what_no_route_changes_is_compiled_once() {
    let snapshot = compile(&routes_of_a_service(0..2, false), 0);
    let [first, second] = snapshot.routes() else { panic!("two routes") };
    assert!(std::sync::Arc::ptr_eq(&first.rewrites[0], &second.rewrites[0]));
    assert!(std::sync::Arc::ptr_eq(&first.split.sections[0], &second.split.sections[0]));
}

#[test]
fn keys_of_routes_without_an_id_are_warned_of() {
    let warned = |id: Value, sticky: Value| {
        let list = json!([{"name": "v1"}, {"name": "v2", "upstream": "http://b.test"}]);
        let rule = json!({"weighted_upstreams": list, "sticky": sticky});
        let plugins = json!({"traffic-split": {"rules": [rule]}});
        let mut route = json!({"uri": "/", "upstream": "http://a.test", "plugins": plugins});
        if !id.is_null() {
            route["id"] = id;
        }
        let mut report = Report::default();
        compile_json(&json!({"routes": [route]}).to_string(), 0, &mut report).expect("sound");
        report.warnings.iter().any(|it| it.what.contains("without an `id`"))
    };
    assert!(warned(Value::Null, json!({"by": ["ip"]})));
    assert!(!warned(Value::Null, json!({"by": ["ip"], "salt": "s"})));
    assert!(!warned(json!("r"), json!({"by": ["ip"]})));
}

/// What is known of the only node of the upstream of this name.
fn in_flight(snapshot: &Snapshot, name: &str) -> Option<u32> {
    let found = snapshot.upstreams().find(|(own, _)| own == name);
    found.map(|(_, upstream)| upstream.vitals()[0].in_flight())
}

#[test]
fn what_is_known_of_nodes_outlives_changes_of_rules_and_of_other_upstreams() {
    let document = |weight: u32, id: &str, moved: &str, inline: &str| {
        let list = json!([
            {"name": "v1", "upstream_id": id},
            {"name": "v2", "weight": weight, "upstream": inline},
        ]);
        let plugins = json!({"traffic-split": {"rules": [{"weighted_upstreams": list}]}});
        let upstream = |id: &str, node: &str| json!({"id": id, "nodes": {node: 1}});
        json!({
            "routes": [{"id": "r", "uri": "/", "upstream_id": "a", "plugins": plugins}],
            "upstreams": [upstream("a", "a.test:80"), upstream("b", "a.test:80"), upstream("c", moved)],
        })
    };
    let earlier = compile(&document(1, "a", "c.test:80", "http://i.test"), 0);
    let names: Vec<String> = earlier.upstreams().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names, ["a", "b", "c", "r/v2"]);
    let rule = |snapshot: &Snapshot, branch: usize| {
        let rule = snapshot.routes()[0].split.rules().next().expect("a rule");
        rule.branches.list()[branch].balancer.start(0)
    };
    let guards = [rule(&earlier, 0), rule(&earlier, 1)];
    let counts = |snapshot: &Snapshot| {
        ["a", "b", "c", "r/v2"].map(|name| in_flight(snapshot, name).expect("it is there"))
    };
    assert_eq!(counts(&earlier), [1, 0, 0, 1]);

    let later = compile(&document(7, "b", "d.test:80", "http://i.test"), 0).following(&earlier);
    assert_eq!(counts(&later), [1, 0, 0, 1], "`b` has the node of `a` and is another upstream");
    let last = compile(&document(7, "b", "a.test:80", "http://j.test"), 0).following(&later);
    assert_eq!(counts(&last), [1, 0, 0, 0]);
    drop(guards);
    assert_eq!([counts(&earlier), counts(&later), counts(&last)], [[0; 4]; 3]);
}
