//! What is said about splits: branches that cannot be picked, rules that leave nothing to others, and
//! what APISIX would make of them.

use serde_json::{Value, json};
use splitway_core::fault::{Fault, Report};
use splitway_core::snapshot::compile_json;

use crate::{AT, check, route_with_split, upstream};

/// What a rule says of its branches together.
const WORDS: &str = "`sticky`, `override`, `on_failure`, `breaker` and `mirror`";

#[test]
fn the_rule_form_compiles_with_a_warning() {
    let rule = |uri: &str| json!({"weight": 50, "upstream": upstream(), "rewrite": {"uri": uri}});
    check(
        &route_with_split(&json!({"rules": [rule("/v1/chat"), rule("/v2/chat")]})),
        &[],
        &[&format!(
            "{AT}/rules: APISIX ignores `weight`, `upstream` and `rewrite` of a rule and sends 100 % to the route's upstream, unrewritten"
        )],
    );
}

#[test]
fn splits_that_cannot_work_are_refused() {
    let mixed = json!({"rules": [{"weight": 1}, {"weighted_upstreams": [{}]}]});
    check(
        &route_with_split(&mixed),
        &[&format!(
            "{AT}/rules: rules with `weighted_upstreams` and rules that are branches themselves cannot be mixed"
        )],
        &[],
    );
    let idle = json!({"rules": [{"weighted_upstreams": [{"weight": 0}]}]});
    check(
        &route_with_split(&idle),
        &[&format!("{AT}/rules/0/weighted_upstreams: all weights are 0: no branch can be picked")],
        &[],
    );
    let twins =
        json!({"rules": [{"weighted_upstreams": [{"name": "b1"}, {"upstream": upstream()}]}]});
    check(
        &route_with_split(&twins),
        &[&format!(
            "{AT}/rules/0/weighted_upstreams/1: another branch of this split is named `b1`"
        )],
        &[
            &format!(
                "{AT}/rules/0/weighted_upstreams/0: APISIX ignores `name`, `rewrite` and `headers` of a branch"
            ),
            &format!(
                "{AT}/rules/0/weighted_upstreams: all branches are the same: they have one target and one rewrite"
            ),
        ],
    );
    let several = json!({"rules": [
        {"weight": "1", "rewrite": {"uri": "x"}},
        {"wieght": 1, "upstream": {"nodes": {"a b": 1}, "pass_host": "node"}},
    ]});
    check(
        &route_with_split(&several),
        &[
            &format!("{AT}/rules/0/weight: expected an integer from 0, found \"1\""),
            &format!("{AT}/rules/1/wieght: unknown key; did you mean `weight`?"),
            &format!("{AT}/rules/0/rewrite/uri: expected a path that starts with `/`"),
            &format!(
                "{AT}/rules/1/upstream/nodes/a b: expected a host name or address and a port from 1 to 65535"
            ),
        ],
        &[&format!(
            "{AT}/rules: APISIX ignores `weight`, `upstream` and `rewrite` of a rule and sends 100 % to the route's upstream, unrewritten"
        )],
    );
    let matching = json!({"rules": [{"match": [{"vars": [["arg_v", "=", "2"]]}], "weight": 1}]});
    check(
        &route_with_split(&matching),
        &[&format!("{AT}/rules/0/match/0/vars/0/1: invalid operator '='; did you mean `==`?")],
        &[&format!(
            "{AT}/rules: APISIX ignores `weight`, `upstream` and `rewrite` of a rule and sends 100 % to the route's upstream, unrewritten"
        )],
    );
}

#[test]
fn branches_may_not_edit_what_frames_a_message() {
    let branch = json!({
        "headers": {"set": {"Host": "a", "x-v": "2\r\n", "x-w": "$arg_a"}, "remove": ["te", "x y"]},
        "rewrite": {"uri": "v1", "regex_uri": []},
    });
    let split = json!({"rules": [{"weighted_upstreams": [branch]}]});
    let at = format!("{AT}/rules/0/weighted_upstreams/0");
    check(
        &route_with_split(&split),
        &[
            &format!("{at}/rewrite/regex_uri: expected pairs of a pattern and a replacement"),
            &format!("{at}/rewrite/uri: expected a path that starts with `/`"),
            &format!(
                "{at}/headers/set/Host: this header belongs to the connection and cannot be edited"
            ),
            &format!("{at}/headers/set/x-v: expected visible ASCII as header value"),
            &format!(
                "{at}/headers/remove/0: this header belongs to the connection and cannot be edited"
            ),
            &format!("{at}/headers/remove/1: expected a header name"),
        ],
        &[
            &format!("{at}: APISIX ignores `name`, `rewrite` and `headers` of a branch"),
            &format!("{at}/rewrite/regex_uri: never asked: `uri` is there and wins"),
        ],
    );
}

#[test]
fn lists_have_1_to_20_branches_and_the_rule_form_up_to_256() {
    for count in [0, 21] {
        let list = vec![json!({"weight": 1}); count];
        let mut report = Report::default();
        let document = route_with_split(&json!({"rules": [{"weighted_upstreams": list}]}));
        assert!(compile_json(&document.to_string(), 0, &mut report).is_none());
        let fault =
            format!("{AT}/rules/0/weighted_upstreams: expected 1 to 20 branches, found {count}");
        assert_eq!(report.faults.iter().map(Fault::to_string).collect::<Vec<_>>(), [fault]);
    }
    for (count, is_taken) in [(256, true), (257, false)] {
        let mut report = Report::default();
        let document = route_with_split(&json!({"rules": vec![json!({"weight": 1}); count]}));
        let compiled = compile_json(&document.to_string(), 0, &mut report);
        assert_eq!(compiled.is_some(), is_taken, "{count}: {:?}", report.faults);
    }
}

#[test]
fn rules_that_leave_nothing_to_others_are_warned_of() {
    let list = json!([{"weight": 1}]);
    let rule = |extra: Value| {
        let mut rule = json!({"weighted_upstreams": list});
        rule.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        rule
    };
    let some = json!({"match": [{"vars": [["arg_v", "==", "2"]]}]});
    check(
        &route_with_split(&json!({"rules": [rule(some.clone()), rule(json!({})), rule(some)]})),
        &[],
        &[&format!(
            "{AT}/rules/2: never reached: a rule before it has no `match` and takes everything"
        )],
    );
    check(
        &route_with_split(&json!({"rules": [rule(json!({"match": []}))]})),
        &[],
        &[&format!(
            "{AT}/rules/0/match: no groups: the rule takes every request; in APISIX it does so only as long as no rule before it was passed over"
        )],
    );
}

#[test]
fn who_asks_is_said_once_for_all_branches_of_a_split() {
    let rule = json!({"weight": 1, "sticky": {"by": ["header:x-user"]}});
    let forced = json!({"weight": 1, "override": {"tokens": true}, "rewrite": {"uri": "/v2"}});
    check(
        &route_with_split(&json!({"rules": [rule, forced]})),
        &[&format!(
            "{AT}/rules/1: {WORDS} are for all rules with this `match` together: they stand on one of them"
        )],
        &[&format!(
            "{AT}/rules: APISIX ignores `weight`, `upstream` and `rewrite` of a rule and sends 100 % to the route's upstream, unrewritten"
        )],
    );
}

#[test]
fn keys_and_choices_need_branches() {
    for (key, value) in [
        ("sticky", json!({"by": ["ip"]})),
        ("override", json!({"tokens": true})),
        ("on_failure", json!({})),
        ("breaker", json!({})),
        ("mirror", json!({"upstream": "http://a.test"})),
    ] {
        let mut report = Report::default();
        let document = route_with_split(&json!({"rules": [{key: value}]}));
        assert!(compile_json(&document.to_string(), 0, &mut report).is_none());
        let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            faults,
            [format!("{AT}/rules/0: {WORDS} stand here without branches to choose among")]
        );
    }
}

/// What is said of a rule with these branches beside what APISIX ignores.
fn said(branches: &Value, extra: &Value) -> Vec<String> {
    let mut rule = json!({"weighted_upstreams": branches});
    rule.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let mut report = Report::default();
    let document = route_with_split(&json!({"rules": [rule]}));
    assert!(compile_json(&document.to_string(), 0, &mut report).is_some(), "{report:?}");
    let said = report.warnings.iter().filter(|it| !it.what.starts_with("APISIX"));
    said.map(|it| it.to_string().replace(&format!("{AT}/rules/0"), "")).collect()
}

#[test]
fn what_has_nowhere_to_go_is_warned_of() {
    const NOWHERE: &str = "no other branch has a weight: failures go nowhere";
    const ANYWAY: &str = "no other branch has a weight: requests go to this one whatever it says";
    let one = json!([{"name": "v1"}, {"name": "v2", "weight": 0, "upstream": "http://b.test"}]);
    let two = json!([{"name": "v1"}, {"name": "v2", "upstream": "http://b.test"}]);
    for (branches, extra, expected) in [
        (&one, json!({"on_failure": {}}), Some(format!("/on_failure/to: {NOWHERE}"))),
        (&one, json!({"on_failure": {"to": "v1"}}), Some(format!("/on_failure/to: {NOWHERE}"))),
        (&one, json!({"on_failure": {"to": "v2"}}), None),
        (&one, json!({"breaker": {}}), Some(format!("/breaker: {ANYWAY}"))),
        (&two, json!({"on_failure": {"to": "v1"}, "breaker": {}}), None),
        (
            &two,
            json!({"on_failure": {"non_idempotent": true}}),
            Some("/on_failure/non_idempotent: what may have been executed is sent again, a POST too: it may be executed twice".to_owned()),
        ),
    ] {
        assert_eq!(said(branches, &extra), Vec::from_iter(expected), "{extra}");
    }
}

#[test]
fn retries_that_do_nothing_or_too_much_are_warned_of() {
    let said = |retry: Value, retries: Value| {
        let mut upstream = upstream();
        upstream["retry"] = retry;
        if !retries.is_null() {
            upstream["retries"] = retries;
        }
        let mut report = Report::default();
        let document = json!({"routes": [{"uri": "/", "upstream": upstream}]});
        compile_json(&document.to_string(), 0, &mut report).unwrap();
        report.warnings.iter().map(|it| it.at.clone()).collect::<Vec<_>>()
    };
    assert_eq!(said(json!({}), json!(1)), [""; 0]);
    assert_eq!(said(json!({}), Value::Null), ["/routes/0/upstream/retry"]);
    assert_eq!(said(json!({}), json!(0)), ["/routes/0/upstream/retry"]);
    let twice = json!({"non_idempotent": true});
    assert_eq!(said(twice, json!(2)), ["/routes/0/upstream/retry/non_idempotent"]);
}

#[track_caller]
fn check_same(branches: Value, is_warned: bool) {
    let rules = json!([{"weighted_upstreams": branches}]);
    let route = json!({"uri": "/r", "upstream": "http://a.test",
        "plugins": {"traffic-split": {"rules": rules}}});
    let upstreams = json!([{"id": "u", "nodes": {"a.test:80": 1}, "pass_host": "node"}]);
    let mut report = Report::default();
    let text = json!({"routes": [route], "upstreams": upstreams}).to_string();
    assert!(compile_json(&text, 0, &mut report).is_some(), "{report:?}");
    let at = "/routes/0/plugins/traffic-split/rules/0/weighted_upstreams";
    let found = report.warnings.iter().any(|it| it.at == at && it.what.contains("the same"));
    assert_eq!(found, is_warned, "{branches}: {report:?}");
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
