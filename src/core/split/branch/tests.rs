use super::*;
use crate::fault::Dangling;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The branches of a route whose upstream, also named `u`, is `http://a.test`.
#[track_caller]
fn check_same(branches: Value, is_warned: bool) {
    let mut report = Report::default();
    let wire: UpstreamWire = serde_json::from_value(json!("http://a.test")).expect("a URL");
    let pool = Pool::new();
    let own = Spec::compile(&wire, At::Root, &mut report).map(|spec| pool.upstream(spec));
    let id = Id::restore("u").expect("an id");
    let upstreams = BTreeMap::from([(id, own.clone())]);
    let (own, dangling) = (Some(&own), Dangling::Refused);
    let scope = Scope {
        upstreams: &upstreams,
        own,
        phase: 0,
        dangling,
        salt: "",
        methods: &[],
        pool: &pool,
    };
    let wires: Vec<BranchWire> = serde_json::from_value(branches.clone()).expect("branches");
    let placed = wires.into_iter().map(|wire| (wire, At::Root)).collect();
    let at = At::Root;
    assert!(Branches::compile(placed, scope, at.key("list"), &mut report).is_some());
    let found = report.warnings.iter().filter(|it| it.what.contains("the same"));
    let places: Vec<&str> = found.map(|it| it.at.as_str()).collect();
    let expected: &[&str] = if is_warned { &["/list"] } else { &[] };
    assert_eq!(places, expected, "{branches}: {report:?}");
}

#[test]
fn branches_that_are_all_the_same_are_warned_of() {
    let v1 = json!({"weight": 95, "rewrite": {"uri": "/1"}});
    check_same(json!([v1, {"weight": 0, "name": "v2", "rewrite": {"uri": "/1"}}]), true);
    // The same target in three ways.
    check_same(json!([{}, {"upstream": "http://a.test"}, {"upstream_id": "u"}]), true);
    check_same(json!([v1]), false);
    check_same(json!([v1, {"rewrite": {"uri": "/2"}}]), false);
    check_same(json!([v1, {"rewrite": {"uri": "/1"}, "headers": {"set": {"x-v": "2"}}}]), false);
    check_same(json!([{}, {"upstream": "http://b.test"}]), false);
    check_same(json!([{}, {}, {"rewrite": {"uri": "/2"}}]), false);
    check_same(json!([v1, {"weight": 0, "rewrite": {"uri": "/2"}}]), false);
}

#[test]
fn what_refers_to_branches_is_looked_at_also_where_their_upstreams_are_not_found() {
    let branches = json!([
        {"name": "v1", "upstream_id": "missing"},
        {"name": "v2", "upstream_id": "missing"},
    ]);
    let rule = json!({
        "weighted_upstreams": branches,
        "on_failure": {"to": "v9"},
        "mirror": {"branch": "v8"},
    });
    let route = json!({"id": "r", "uri": "/*", "plugins": {"traffic-split": {"rules": [rule]}}});
    let document = json!({"routes": [route]}).to_string();
    let mut report = Report::default();
    assert!(crate::snapshot::compile_json(&document, 0, &mut report).is_none());
    let rule = "/routes/0/plugins/traffic-split/rules/0";
    let expected = [
        "/weighted_upstreams/0/upstream_id",
        "/weighted_upstreams/1/upstream_id",
        "/on_failure/to",
        "/mirror/branch",
    ];
    let places: Vec<&str> = report.faults.iter().map(|fault| fault.at.as_str()).collect();
    assert_eq!(places, expected.map(|inner| format!("{rule}{inner}")), "{:?}", report.faults);
    let same = report.warnings.iter().filter(|it| it.what.starts_with("all branches are the same"));
    assert_eq!(same.count(), 0, "nobody knows where they would go");
}
