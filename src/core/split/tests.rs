//! Splits of many rules, and splits of many routes.

use serde_json::{Value, json};

use crate::facts::Facts;
use crate::facts::fake::Asked;
use crate::fault::Report;
use crate::snapshot::{Snapshot, compile_json};

fn compile(document: &Value, phase: u64) -> Snapshot {
    let mut report = Report::default();
    let snapshot = compile_json(&document.to_string(), phase, &mut report);
    snapshot.unwrap_or_else(|| panic!("{:?}", report.faults))
}

/// The branch whose turn it is on the route of this number.
fn turn(snapshot: &Snapshot, route: usize) -> String {
    let next = |facts: Facts<'_>| {
        let rule = snapshot.routes()[route].split.rule(&facts, &mut |_, _| {});
        rule.expect("a rule takes it").branches.next().name.to_string()
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
        assert_eq!(rule.number, Some(number));
        assert!(rule.branches.names().eq(["v1", "v2"]));
    }
}

#[test]
fn rules_that_move_are_followed_and_new_ones_begin() {
    const COUNT: usize = 2_000;
    let earlier = compile(&rules_for(0..COUNT), 0);
    for (user, rule) in earlier.routes()[0].split.rules().take(COUNT).enumerate() {
        (0..user % 20).for_each(|_| drop(rule.branches.next()));
    }
    // Backwards, with a new one at both ends and without the first ten.
    let users = std::iter::once(COUNT).chain((10..COUNT).rev()).chain([COUNT + 1]);
    let later = compile(&rules_for(users.clone()), 0).following(&earlier);
    for (user, rule) in users.zip(later.routes()[0].split.rules()) {
        let step = if user < COUNT { user % 20 } else { 0 };
        assert_eq!(rule.branches.point(), format!("step {step} of 20"), "{user}");
    }
}
