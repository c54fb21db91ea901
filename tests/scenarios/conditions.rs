//! Rules with conditions: which of them takes a request.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::problems::is_problem;
use crate::document::{routes, split, upstream};
use crate::message::{Answer, Call, HOST};
use crate::origin::Origin;
use crate::script::Reply;
use crate::target::Target;

/// A rule that sends everything it takes to one branch.
fn rule(name: &str, vars: &Value, origin: &Origin) -> Value {
    json!({
        "match": [{"vars": vars}],
        "weighted_upstreams": [{"name": name, "upstream": upstream(origin)}],
    })
}

/// A document with one route for every path, which has an upstream of its own.
fn with_own(origin: &Origin, plugin: &Value) -> String {
    routes(&[json!({
        "id": "conditions",
        "uri": "/*",
        "upstream": upstream(origin),
        "plugins": {"traffic-split": plugin},
    })])
}

fn branch(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.branch().expect("the branch is named")
}

/// A condition, requests of which it holds, and requests of which it does not.
type Case = (Value, Vec<Call>, Vec<Call>);

/// Checks each condition on a route of its own, which has a host of its own unless a request names
/// another one.
fn check(target: &mut impl Target, cases: Vec<Case>) {
    let origin = target.origin(Reply::ok(""));
    let host = |number: usize| format!("c{number}.test");
    let route = |(number, (vars, ..)): (usize, &Case)| {
        json!({
            "id": format!("c{number}"),
            "uri": "/*",
            "hosts": [host(number), format!("*.{}", host(number))],
            "upstream": upstream(&origin),
            "plugins": {"traffic-split": {"rules": [rule("holds", vars, &origin)]}},
        })
    };
    target.start(&routes(&cases.iter().enumerate().map(route).collect::<Vec<Value>>()));

    for (number, (vars, holding, others)) in cases.into_iter().enumerate() {
        let all = holding.into_iter().map(|call| (call, "holds"));
        for (call, expected) in all.chain(others.into_iter().map(|call| (call, "route"))) {
            let is_told = call.headers.has("host");
            let call = if is_told { call } else { call.header("Host", host(number)) };
            assert_eq!(branch(&target.call(&call)), expected, "{vars} of {call:?}");
        }
    }
}

fn get(target: &str) -> Call {
    Call::get(target)
}

/// Rules are asked in their order; those behind the first that takes a request are not.
pub(crate) fn the_first_rule_that_takes_a_request_decides(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let rules = json!([
        rule("beta", &json!([["http_x_beta", "==", "1"]]), &origin),
        rule("second", &json!([["arg_v", "==", "2"]]), &origin),
        rule("never", &json!([["arg_v", "==", "2"], ["http_x_beta", "==", "1"]]), &origin),
        {"match": [], "weighted_upstreams": [{"name": "others", "upstream": upstream(&origin)}]},
        rule("unreached", &json!([["arg_v", "==", "3"]]), &origin),
    ]);
    target.start(&with_own(&origin, &json!({"rules": rules})));

    let check = |call: Call, expected: &str| {
        assert_eq!(branch(&target.call(&call)), expected, "{call:?}");
    };
    check(get("/x"), "others");
    check(get("/x?v=3"), "others");
    check(get("/x?v=2"), "second");
    check(get("/x").header("X-Beta", "1"), "beta");
    check(get("/x?v=2").header("X-Beta", "1"), "beta");
    check(get("/x?v=2").header("X-Beta", "2"), "second");
}

/// One group of a rule must hold, and all of it.
pub(crate) fn one_group_must_hold_as_a_whole(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let groups = json!([
        {"vars": [["arg_a", "==", "1"], ["arg_b", "==", "1"]]},
        {"vars": [["arg_c", "==", "1"]]},
    ]);
    let list = json!([{"name": "taken", "upstream": upstream(&origin)}]);
    let rules = json!([{"match": groups, "weighted_upstreams": list}]);
    target.start(&with_own(&origin, &json!({"rules": rules})));

    for (query, expected) in [
        ("a=1&b=1", "taken"),
        ("c=1", "taken"),
        ("a=1&c=1", "taken"),
        ("a=1", "route"),
        ("b=1", "route"),
        ("a=1&b=2&c=2", "route"),
    ] {
        let answer = target.call(&get(&format!("/x?{query}")));
        assert_eq!(branch(&answer), expected, "{query}");
    }
}

/// A request that no rule takes goes to the upstream of the route.
pub(crate) fn what_no_rule_takes_is_the_routes_own(target: &mut impl Target) {
    let (own, beta) = (target.origin(Reply::ok("own")), target.origin(Reply::ok("beta")));
    let rules = json!([rule("beta", &json!([["arg_beta", "==", "1"]]), &beta)]);
    target.start(&with_own(&own, &json!({"rules": rules})));

    let answer = target.call(&get("/x?beta=1"));
    assert_eq!((answer.text(), branch(&answer)), ("beta".to_owned(), "beta".to_owned()));
    let answer = target.call(&get("/x"));
    assert_eq!((answer.text(), branch(&answer)), ("own".to_owned(), "route".to_owned()));
    assert_eq!((own.count(), beta.count()), (1, 1));
}

/// Where the route has no upstream, nobody serves it.
pub(crate) fn without_an_upstream_of_the_route_it_is_a_503_problem(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&split(&[rule("beta", &json!([["arg_beta", "==", "1"]]), &origin)]));

    assert_eq!(branch(&target.call(&get("/x?beta=1"))), "beta");
    for call in [get("/x"), Call::post("/x?beta=2", "a body"), get("/beta=1")] {
        is_problem(&target.call(&call), 503);
    }
    assert_eq!(origin.count(), 1);
}

/// In the rule form, rules with the same condition are the branches of one split, wherever they stand.
pub(crate) fn rules_with_the_same_condition_are_one_split(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let rule = |name: &str, weight: u32, query: Option<&str>| {
        let uri = format!("/{name}");
        let upstream = upstream(&origin);
        let mut rule =
            json!({"name": name, "weight": weight, "upstream": upstream, "rewrite": {"uri": uri}});
        if let Some(value) = query {
            rule["match"] = json!([{"vars": [["arg_tier", "==", value]]}]);
        }
        rule
    };
    target.start(&split(&[
        rule("gold-1", 3, Some("gold")),
        rule("tin-1", 1, Some("tin")),
        rule("gold-2", 1, Some("gold")),
        rule("tin-2", 1, Some("tin")),
        rule("all-1", 1, None),
        rule("all-2", 4, None),
    ]));

    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..20 {
        for sent in ["/x?tier=gold", "/x?tier=tin", "/x"] {
            let branch = branch(&target.call(&get(sent)));
            let received = origin.requests().pop().unwrap().target;
            assert!(received.starts_with(&format!("/{branch}")), "{received} of {branch}");
            *counts.entry(branch).or_default() += 1;
        }
    }
    let expected =
        [("all-1", 4), ("all-2", 16), ("gold-1", 15), ("gold-2", 5), ("tin-1", 10), ("tin-2", 10)];
    assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)).into());
}

/// Each rule walks for itself: its shares are exact whatever the others are asked meanwhile.
pub(crate) fn every_rule_is_exact_by_itself(target: &mut impl Target) {
    let (old, new) = (target.origin(Reply::ok("")), target.origin(Reply::ok("")));
    let rule = |value: &str, weights: [u32; 2]| {
        json!({
            "match": [{"vars": [["http_x_tier", "==", value]]}],
            "weighted_upstreams": [
                {"name": "v1", "weight": weights[0], "upstream": upstream(&old)},
                {"name": "v2", "weight": weights[1], "upstream": upstream(&new)},
            ],
        })
    };
    target.start(&split(&[rule("gold", [1, 1]), rule("tin", [3, 1])]));

    let ask = |tier: &str, count: usize| {
        let call = get("/x").header("X-Tier", tier);
        (0..count).filter(|_| branch(&target.call(&call)) == "v2").count()
    };
    let rounds: Vec<(usize, usize)> = (0..10).map(|_| (ask("gold", 2), ask("tin", 4))).collect();
    assert_eq!(rounds, [(1, 1); 10]);
}

/// A plugin that filters acts on the requests that its filter takes, and on no other.
pub(crate) fn a_filter_says_for_whom_a_split_acts(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let list = json!([{"name": "all", "upstream": upstream(&origin)}]);
    let plugin = |meta: Value| json!({"rules": [{"weighted_upstreams": list}], "_meta": meta});
    let route = |uri: &str, meta: Value| {
        let plugins = json!({"traffic-split": plugin(meta)});
        json!({"uri": uri, "upstream": upstream(&origin), "plugins": plugins})
    };
    target.start(&routes(&[
        route("/filter", json!({"filter": [["http_x_beta", "==", "1"]]})),
        route("/or", json!({"filter": ["OR", ["arg_a", "==", "1"], ["arg_b", "==", "1"]]})),
        route("/disabled", json!({"disable": true})),
        route("/off-and-filter", json!({"disable": true, "filter": [["arg_a", "==", "1"]]})),
        route("/on", json!({"disable": false})),
    ]));

    let check = |call: Call, expected: &str| {
        assert_eq!(branch(&target.call(&call)), expected, "{call:?}");
    };
    check(get("/filter").header("X-Beta", "1"), "all");
    check(get("/filter").header("X-Beta", "0"), "route");
    check(get("/filter"), "route");
    check(get("/or?b=1"), "all");
    check(get("/or?a=2"), "route");
    check(get("/disabled"), "route");
    check(get("/off-and-filter?a=1"), "route");
    check(get("/on"), "all");
}

/// Conditions can ask for every part of the head, under APISIX's names.
pub(crate) fn conditions_ask_for_every_part_of_the_head(target: &mut impl Target) {
    let cookie = |value: &str| get("/x").header("Cookie", value);
    let asked_with = |method: &str| Call::new(method, "/x");
    check(
        target,
        vec![
            (
                json!([["arg_v", "==", "a b"]]),
                vec![get("/x?v=a+b"), get("/x?w=1&v=%61%20b&v=c"), get("/?v=a%20b")],
                vec![get("/x"), get("/x?V=a+b"), get("/x?v=c&v=a+b"), get("/x?v="), get("/v=a+b")],
            ),
            (
                json!([["http_x_api_version", "==", "v2"]]),
                vec![
                    get("/x").header("X-Api-Version", "v2"),
                    get("/").header("x-api-version", "v2"),
                ],
                vec![
                    get("/x"),
                    get("/x").header("X-Api-Version", "V2"),
                    get("/x?x_api_version=v2"),
                ],
            ),
            (
                json!([["cookie_beta", "==", "1"]]),
                vec![cookie("beta=1"), cookie("a=b; beta=1"), cookie("beta=1; a=b")],
                vec![get("/x"), cookie("xbeta=1"), cookie("beta=2"), cookie("a=beta=1")],
            ),
            (
                json!([["uri", "==", "/v2/x"]]),
                vec![get("/v2/x"), get("/v2//x"), get("/%762/x?y=1"), get("/v2/y/../x")],
                vec![get("/v2/x/"), get("/V2/x"), get("/?v2/x"), get("/v2%2Fy")],
            ),
            (
                json!([["request_method", "in", ["PUT", "DELETE"]]]),
                vec![asked_with("PUT").body("a"), asked_with("DELETE")],
                vec![asked_with("GET"), asked_with("POST").body("a")],
            ),
            (
                json!([["host", "==", "c5.test"]]),
                vec![get("/x"), get("/x").header("Host", "C5.Test:81")],
                vec![get("/x").header("Host", "a.c5.test")],
            ),
            (json!([["remote_addr", "==", "127.0.0.1"]]), vec![get("/x")], vec![]),
            (
                json!([["remote_addr", "ipmatch", ["10.0.0.0/8", "127.0.0.0/30"]]]),
                vec![get("/x"), get("/x").header("X-Real-IP", "192.0.2.1")],
                vec![],
            ),
            (
                json!([["remote_addr", "ipmatch", ["10.0.0.0/8", "127.0.0.2"]]]),
                vec![],
                vec![get("/x"), get("/x").header("X-Forwarded-For", "10.0.0.1")],
            ),
            (json!([["scheme", "==", "http"]]), vec![get("/x")], vec![]),
            (json!([["route_id", "==", "c10"]]), vec![get("/x")], vec![]),
            (json!([["route_id", "==", "c1"]]), vec![], vec![get("/x")]),
            (
                json!([["query_string", "==", "a=1&b=%32"]]),
                vec![get("/x?a=1&b=%32")],
                vec![get("/x"), get("/x?a=1&b=2"), get("/x?b=%32&a=1")],
            ),
        ],
    );
}

/// Each operator means what it means in APISIX, also where there is nothing to compare.
pub(crate) fn operators_compare_as_in_apisix(target: &mut impl Target) {
    let of = |values: &[&str]| {
        let call = |value: &&str| match *value {
            "absent" => get("/x"),
            value => get(&format!("/x?v={value}")),
        };
        values.iter().map(call).collect::<Vec<Call>>()
    };
    let case = |vars: Value, holding: &[&str], others: &[&str]| (vars, of(holding), of(others));
    check(
        target,
        vec![
            case(json!([]), &["1", "absent"], &[]),
            case(json!([["arg_v", "==", "2"]]), &["2"], &["2.0", "02", "absent"]),
            case(json!([["arg_v", "==", 2]]), &["2", "2.0", "0x2"], &["3", "two", "absent"]),
            case(json!([["arg_v", "~=", "2"]]), &["3", "absent"], &["2"]),
            case(json!([["arg_v", ">", 2]]), &["10", "2.5"], &["2", "abc", "absent"]),
            case(json!([["arg_v", ">=", "2"]]), &["10", "2"], &["1", "abc", "absent"]),
            case(json!([["arg_v", "<", 10]]), &["9", "-1"], &["10", "abc", "absent"]),
            case(json!([["arg_v", "<=", 10]]), &["9", "10"], &["10.5", "absent"]),
            case(json!([["arg_v", "!", "<", 10]]), &["10", "abc", "absent"], &["9"]),
            case(json!([["arg_v", "~~", "v[0-9]$"]]), &["v2", "av2"], &["V2", "v2x", "absent"]),
            case(json!([["arg_v", "~*", "^v[0-9]$"]]), &["v2", "V2"], &["av2", "absent"]),
            case(json!([["arg_v", "in", ["a", "b"]]]), &["a", "b"], &["c", "ab", "absent"]),
            case(json!([["arg_v", "!", "in", ["a", "b"]]]), &["c", "absent"], &["a"]),
            case(
                json!(["OR", ["arg_v", "==", "1"], ["arg_v", "==", "2"]]),
                &["1", "2"],
                &["3", "absent"],
            ),
            case(
                json!(["!AND", ["arg_v", ">", 1], ["arg_v", "<", 3]]),
                &["1", "3", "absent"],
                &["2"],
            ),
            case(
                json!([["arg_v", "~~", "^a"], ["OR", ["arg_v", "~~", "x$"], ["arg_v", "==", "a"]]]),
                &["a", "abx"],
                &["ab", "bx", "absent"],
            ),
        ],
    );
}

/// A condition that cannot be understood is a fault of the document, which is not taken.
pub(crate) fn a_faulty_condition_is_never_served(target: &mut impl Target) {
    let origin = target.origin(Reply::ok("sound"));
    let document = |vars: &Value| {
        let rules = json!([rule("taken", vars, &origin)]);
        with_own(&origin, &json!({"rules": rules}))
    };
    target.start(&document(&json!([["arg_v", "==", "1"]])));

    let revision = target.call(&get("/x").header("Host", HOST)).revision();
    for vars in [json!([["arg_v", "=", "1"]]), json!([["arg_v"]]), json!([["arg_v", "~~", "("]])] {
        target.replace(&document(&vars));
        target.wait_until_refused();
        assert_eq!(target.call(&get("/x?v=1")).revision(), revision, "{vars}");
    }
}
