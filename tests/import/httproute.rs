//! HTTPRoutes of the Gateway API.

use serde_json::{Value, json};
use splitway_local::document::Format;
use splitway_local::import::httproute::{self, SERVICE_DOMAIN};

#[track_caller]
fn check(text: &str, document: &Value, losses: &[&str], notes: &[&str]) {
    let imported = httproute::import(text, Format::Yaml, SERVICE_DOMAIN).unwrap();
    crate::check(text, &imported, document, losses, notes);
}

/// An HTTPRoute with the rest of its `spec`.
fn shop(spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: shop, namespace: store}}\nspec:\n{spec}"
    )
}

/// A rule with a backend and the rest of it.
fn rule(rest: &str) -> String {
    shop(&format!("  rules:\n    - backendRefs: [{{name: web, port: 80}}]\n{rest}"))
}

fn web() -> Value {
    json!({"nodes": {"web.store.svc.cluster.local:80": 1}})
}

#[test]
fn a_rule_without_matches_takes_everything() {
    check(
        &rule(""),
        &json!({"routes": [{"id": "store.shop.0", "uri": "/*", "upstream": web()}]}),
        &[],
        &[],
    );
}

#[test]
fn traffic_is_split_by_weight_and_a_weight_of_0_stays() {
    check(
        &shop(
            r#"
  parentRefs: [{name: gateway}]
  hostnames: [shop.example.com]
  rules:
    - name: cart
      matches: [{path: {type: PathPrefix, value: /cart/}, method: POST}]
      backendRefs:
        - {name: cart, port: 8080, weight: 95}
        - {name: cart, port: 8081}
        - {group: "", kind: Service, name: canary, namespace: trial, port: 443, weight: 0}
"#,
        ),
        &json!({"routes": [{
            "id": "store.shop.cart", "host": "shop.example.com",
            "uris": ["/cart", "/cart/*"], "methods": ["POST"],
            "plugins": {"traffic-split": {"rules": [{"weighted_upstreams": [
                {"name": "cart", "weight": 95, "upstream": {"nodes": {"cart.store.svc.cluster.local:8080": 1}}},
                {"name": "cart-2", "weight": 1, "upstream": {"nodes": {"cart.store.svc.cluster.local:8081": 1}}},
                {"name": "canary", "weight": 0, "upstream": {"nodes": {"canary.trial.svc.cluster.local:443": 1}}},
            ]}]}},
        }]}),
        &[],
        &[
            "/spec/parentRefs: not looked at: what its listeners limit (host names, ports, TLS) is no limit here",
            "/spec/rules/0/backendRefs/2/namespace: taken over; whether a ReferenceGrant allows it is not looked at",
            "/spec/rules/0/backendRefs/2/port: spoken to by http; a BackendTLSPolicy or `appProtocol` is not looked at",
        ],
    );
}

#[test]
fn the_filters_of_a_backend_come_after_those_of_its_rule() {
    check(
        &shop(
            r#"
  rules:
    - matches: [{path: {type: Exact, value: /pay}}]
      filters:
        - type: RequestHeaderModifier
          requestHeaderModifier:
            set: [{name: X-Env, value: live}, {name: X-Old, value: "1"}, {name: x-env, value: twice}]
            add: [{name: X-Tag, value: a}]
            remove: [X-Debug]
        - {type: URLRewrite, urlRewrite: {hostname: pay.internal, path: {type: ReplaceFullPath, replaceFullPath: /v1/pay}}}
      backendRefs:
        - {name: pay-v1, port: 80}
        - name: pay-v2
          port: 80
          filters:
            - type: RequestHeaderModifier
              requestHeaderModifier: {set: [{name: x-env, value: trial}], add: [{name: x-tag, value: b}], remove: [x-old]}
            - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /v2/$pay}}}
"#,
        ),
        &json!({"routes": [{
            "id": "store.shop.0", "uri": "/pay",
            "plugins": {"traffic-split": {"rules": [{"weighted_upstreams": [
                {
                    "name": "pay-v1", "weight": 1, "rewrite": {"uri": "/v1/pay"},
                    "headers": {
                        "set": {"X-Env": "live", "X-Old": "1"}, "add": {"X-Tag": "a"}, "remove": ["X-Debug"],
                    },
                    "upstream": {
                        "nodes": {"pay-v1.store.svc.cluster.local:80": 1},
                        "pass_host": "rewrite", "upstream_host": "pay.internal",
                    },
                },
                {
                    "name": "pay-v2", "weight": 1, "rewrite": {"uri": "/v2/%24pay"},
                    "headers": {"set": {"x-env": "trial"}, "add": {"X-Tag": ["a", "b"]}, "remove": ["X-Debug", "x-old"]},
                    "upstream": {
                        "nodes": {"pay-v2.store.svc.cluster.local:80": 1},
                        "pass_host": "rewrite", "upstream_host": "pay.internal",
                    },
                },
            ]}]}},
        }]}),
        &[],
        &[
            "/spec/rules/0/filters/0/requestHeaderModifier/set/2: left out: of several with this name the first counts",
            "/spec/rules/0/backendRefs/1/filters/1/urlRewrite/path: a `$` is written as %24, or it would begin a variable",
        ],
    );
}

/// Only a host to send needs no branch.
#[test]
fn a_host_to_send_is_one_of_the_upstream() {
    check(
        &rule("      filters: [{type: URLRewrite, urlRewrite: {hostname: web.internal}}]\n"),
        &json!({"routes": [{"id": "store.shop.0", "uri": "/*", "upstream": {
            "nodes": {"web.store.svc.cluster.local:80": 1}, "pass_host": "rewrite", "upstream_host": "web.internal",
        }}]}),
        &[],
        &[],
    );
}

/// Exact before prefix, a method before none, older before younger, then by name: where the router
/// sees one path, the order of the document decides.
#[test]
fn precedence_is_that_of_the_specification() {
    let route = |name: &str, more: &str, matches: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: n{more}}}\nspec: {{rules: [{{matches: [{matches}], backendRefs: [{{name: s, port: 80}}]}}]}}\n"
        )
    };
    let text = [
        route(
            "b",
            "",
            "{path: {value: /a}}, {path: {value: /a}, method: GET}, {path: {type: Exact, value: /a}}",
        ),
        route("a", "", "{path: {value: /a}}"),
        route(
            "y",
            ", creationTimestamp: '2025-02-01T00:00:00Z'",
            "{path: {type: Exact, value: /a}}",
        ),
        route(
            "z",
            ", creationTimestamp: '2025-01-01T00:00:00Z'",
            "{path: {type: Exact, value: /a}}",
        ),
    ];
    let imported = httproute::import(&text.join("---\n"), Format::Yaml, SERVICE_DOMAIN).unwrap();
    let routes = imported.document["routes"].as_array().unwrap();
    let ids: Vec<&str> = routes.iter().map(|route| route["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["n.b.0.2", "n.z.0", "n.y.0", "n.b.0.1", "n.a.0", "n.b.0.0"]);
}

#[test]
fn timeouts_are_the_sum_of_three() {
    for (timeouts, timeout, notes) in [
        ("{request: 10s}", json!({"connect": 2.5, "send": 2.5, "read": 5}), &["request"][..]),
        (
            "{backendRequest: 100ms}",
            json!({"connect": 0.025, "send": 0.025, "read": 0.05}),
            &["backendRequest"],
        ),
        ("{request: 0s}", json!({"connect": 86400, "send": 86400, "read": 86400}), &["request"]),
        (
            "{request: 1m, backendRequest: 4s}",
            json!({"connect": 1, "send": 1, "read": 2}),
            &["request", "backendRequest"],
        ),
        (
            "{request: 4s, backendRequest: 0s}",
            json!({"connect": 1, "send": 1, "read": 2}),
            &["backendRequest", "request"],
        ),
    ] {
        let text = rule(&format!("      timeouts: {timeouts}\n"));
        let imported = httproute::import(&text, Format::Yaml, SERVICE_DOMAIN).unwrap();
        assert_eq!(imported.document["routes"][0]["timeout"], timeout, "{timeouts}");
        let places: Vec<&str> =
            imported.notes.iter().map(|note| note.at.rsplit('/').next().unwrap()).collect();
        assert_eq!(places, notes, "{timeouts}");
        crate::check_sound(&text, &imported);
        crate::check_complete(&text, &imported);
    }
}

/// What a rule can do without is lost alone.
#[test]
fn what_only_adds_to_a_rule_goes_alone() {
    check(
        &rule(
            r#"      filters:
        - {type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 80}}}
        - {type: CORS, cors: {allowOrigins: ["*"]}}
      sessionPersistence: {sessionName: sticky}
"#,
        ),
        &json!({"routes": [{"id": "store.shop.0", "uri": "/*", "upstream": web()}]}),
        &[
            "/spec/rules/0/filters/0: left out: not taken over yet; `mirror` of a rule copies requests",
            "/spec/rules/0/filters/1: left out: Splitway does not answer for CORS",
            "/spec/rules/0/sessionPersistence: left out: `sticky` of a rule keeps a client with a branch, not with one pod behind it",
        ],
        &[],
    );
}

#[test]
fn retries_are_those_of_the_upstream() {
    let failed = ["connect", "timeout", "reset"];
    for (retry, upstream, losses, notes) in [
        (
            "{attempts: 2, codes: [503, 429]}",
            json!({"retries": 2, "retry": {"when": ["connect", "timeout", "reset", 503, 429]}}),
            &[][..],
            &[][..],
        ),
        (
            "{attempts: 0, backoff: 100ms}",
            json!({"retries": 0, "retry": {"when": failed, "backoff": {"base": 0.1, "max": 1}}}),
            &[],
            &["backoff"],
        ),
        (
            "{codes: [302], backoff: 1m}",
            json!({"retries": 1, "retry": {"when": failed, "backoff": {"base": 60, "max": 60}}}),
            &["0"],
            &["retry", "backoff"],
        ),
    ] {
        let text = rule(&format!("      retry: {retry}\n"));
        let imported = httproute::import(&text, Format::Yaml, SERVICE_DOMAIN).unwrap();
        let mut expected = upstream;
        expected["nodes"] = web()["nodes"].clone();
        assert_eq!(imported.document["routes"][0]["upstream"], expected, "{retry}");
        let ends = |list: &[splitway_local::import::Loss]| {
            let end = |loss: &splitway_local::import::Loss| {
                loss.at.rsplit('/').next().unwrap().to_owned()
            };
            list.iter().map(end).collect::<Vec<_>>()
        };
        assert_eq!(ends(&imported.losses), losses, "{retry}");
        assert_eq!(ends(&imported.notes), notes, "{retry}");
        crate::check_sound(&text, &imported);
        crate::check_complete(&text, &imported);
    }
}

/// `request` is for all attempts together, `backendRequest` for each.
#[test]
fn no_attempt_begins_when_the_time_of_the_request_is_over() {
    check(
        &rule("      retry: {attempts: 1}\n      timeouts: {request: 1m, backendRequest: 4s}\n"),
        &json!({"routes": [{
            "id": "store.shop.0", "uri": "/*", "timeout": {"connect": 1, "send": 1, "read": 2},
            "upstream": {
                "nodes": {"web.store.svc.cluster.local:80": 1}, "retries": 1, "retry_timeout": 60,
                "retry": {"when": ["connect", "timeout", "reset"]},
            },
        }]}),
        &[],
        &[
            "/spec/rules/0/timeouts/request: not taken over: `backendRequest` is not longer",
            "/spec/rules/0/timeouts/backendRequest: ends when the head of the response is there, not when its body is",
            "/spec/rules/0/timeouts/request: of all attempts: none begins after it",
        ],
    );
}

const GONE: &str = "(document): left out: no rule of `store/shop` could be taken over";

/// What decides who passes, who answers or where to takes the rule along.
#[test]
fn a_rule_that_cannot_be_had_as_it_is_is_left_out() {
    for (rest, reason) in [
        (
            "filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]",
            "`filters/0`: Splitway does not redirect",
        ),
        (
            "filters: [{type: ExtensionRef, extensionRef: {group: a, kind: B, name: c}}]",
            "`filters/0`: what an extension does is not known here, and it must not be skipped",
        ),
        (
            "filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP}}]",
            "`filters/0`: Splitway does not ask anyone who may pass",
        ),
        (
            "matches: [{queryParams: [{type: RegularExpression, name: v, value: '2.*'}]}]",
            "`matches/0/queryParams/0/type`: regular expressions differ from gateway to gateway; `vars` can say them, with `~~`",
        ),
        (
            "matches: [{path: {type: RegularExpression, value: '/a.*'}}]",
            "`matches/0/path`: regular expressions differ from gateway to gateway; `vars` can say them, with `~~`",
        ),
        (
            "matches: [{path: {type: Exact, value: '/a*'}}]",
            "`matches/0/path/value`: a `*` at the end would make a prefix of it",
        ),
        (
            "matches: [{path: {value: '/a*/'}}]",
            "`matches/0/path/value`: a `*` at the end would make a prefix of it",
        ),
        (
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: Host, value: a}]}}]",
            "as `plugins/traffic-split/rules/0/weighted_upstreams/0/headers/set/Host` refused: this header belongs to the connection and cannot be edited",
        ),
        (
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: $b}], remove: [A]}}]",
            "`filters/0/requestHeaderModifier/set/0/value`: a `$` would begin a variable; `filters/0/requestHeaderModifier/remove/0`: another action has this header too",
        ),
        (
            "filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [Connection]}}]",
            "as `plugins/traffic-split/rules/0/weighted_upstreams/0/response_headers/remove/0` refused: this header belongs to the connection and cannot be edited",
        ),
        (
            "filters: [{type: URLRewrite, urlRewrite: {hostname: a}}, {type: URLRewrite, urlRewrite: {hostname: b}}]",
            "`filters/1`: a filter of this type stands here twice",
        ),
        (
            "timeouts: {request: soon}",
            "`timeouts/request`: expected a duration such as 10s, 1m30s or 500ms",
        ),
        ("retry: {attempts: many}", "`retry/attempts`: expected an integer from 0"),
        (
            "retry: {backoff: soon}",
            "`retry/backoff`: expected a duration such as 10s, 1m30s or 500ms",
        ),
        ("future: true", "`future`: a field that is not known here"),
        ("matches: [{cookies: [a]}]", "`matches/0/cookies`: a field that is not known here"),
    ] {
        let text = rule(&format!("      {rest}\n"));
        check(
            &text,
            &json!({"routes": []}),
            &[&format!("/spec/rules/0: rule left out: {reason}"), GONE],
            &[],
        );
    }
}

/// The members of the only branch of the only route.
fn branch(rest: &str) -> Value {
    let text = rule(&format!("      {rest}\n"));
    let imported = httproute::import(&text, Format::Yaml, SERVICE_DOMAIN).unwrap();
    crate::check_sound(&text, &imported);
    crate::check_complete(&text, &imported);
    assert_eq!(imported.losses, [], "{rest}");
    let route = &imported.document["routes"][0];
    route.pointer("/plugins/traffic-split/rules/0/weighted_upstreams/0").unwrap().clone()
}

#[test]
fn headers_and_arguments_are_conditions() {
    check(
        &rule(
            r#"      matches:
        - headers: [{name: X-Version, value: v2}, {name: x-version, value: v3}, {type: Exact, name: x_lane, value: ""}]
          queryParams: [{name: V, value: "2"}, {name: v, value: "3"}, {name: v, value: "4"}]
        - path: {value: /a}
"#,
        ),
        &json!({"routes": [
            {
                "id": "store.shop.0.0", "uri": "/*", "upstream": web(), "vars": [
                    ["http_x_version", "==", "v2"], ["http_x_lane", "==", ""],
                    ["arg_V", "==", "2"], ["arg_v", "==", "3"],
                ],
            },
            {"id": "store.shop.0.1", "uris": ["/a", "/a/*"], "upstream": web()},
        ]}),
        &[],
        &[
            "/spec/rules/0/matches/0/headers/1: left out: of several with this name the first counts",
            "/spec/rules/0/matches/0/queryParams/2: left out: of several with this name the first counts",
        ],
    );
}

#[test]
fn a_new_prefix_is_put_before_whatever_lies_below_it() {
    for (from, to, pairs) in [
        ("/a.b/", "/c/", json!(["^/a\\.b/", "/c/", "^/a\\.b$", "/c/"])),
        ("/a", "/c", json!(["^/a/", "/c/", "^/a$", "/c"])),
        ("/a", "", json!(["^/a/", "/", "^/a$", "/"])),
        ("/", "/c", json!(["^/", "/c/"])),
    ] {
        let path = format!("{{type: ReplacePrefixMatch, replacePrefixMatch: '{to}'}}");
        let branch = branch(&format!(
            "filters: [{{type: URLRewrite, urlRewrite: {{path: {path}}}}}]\n      matches: [{{path: {{value: {from}}}}}]"
        ));
        assert_eq!(branch["rewrite"], json!({"regex_uri": pairs}), "{from} {to}");
    }
}

#[test]
fn headers_of_responses_are_changed_by_the_branch() {
    let branch = branch(
        "filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-a, value: b}], add: [{name: x-c, value: d}], remove: [server]}}]",
    );
    let headers = json!({"set": {"x-a": "b"}, "add": {"x-c": "d"}, "remove": ["server"]});
    assert_eq!((&branch["response_headers"], &branch["headers"]), (&headers, &Value::Null));
}

/// The core sets behind what it adds, and removes behind both.
#[test]
fn what_a_backend_adds_to_what_its_rule_sets_or_removes_is_not_lost() {
    let modifier = |edits: &str| {
        format!("filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{{edits}}}}}]")
    };
    let of_rule = modifier("set: [{name: X-A, value: '1'}], remove: [X-B]");
    let of_backend = modifier(
        "add: [{name: x-a, value: '2'}, {name: x-b, value: '3'}, {name: x-c, value: '4'}]",
    );
    let text = shop(&format!(
        "  rules:\n    - {of_rule}\n      backendRefs: [{{name: web, port: 80, {of_backend}}}]\n"
    ));
    let imported = httproute::import(&text, Format::Yaml, SERVICE_DOMAIN).unwrap();
    crate::check_sound(&text, &imported);
    crate::check_complete(&text, &imported);
    let headers = "/routes/0/plugins/traffic-split/rules/0/weighted_upstreams/0/headers";
    assert_eq!(
        imported.document.pointer(headers),
        Some(&json!({"set": {"X-A": ["1", "2"], "x-b": "3"}, "add": {"x-c": "4"}})),
    );
}

/// A prefix that takes its own place is no rewrite.
#[test]
fn a_prefix_may_take_its_own_place() {
    check(
        &rule(
            "      filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /a}}}]\n      matches: [{path: {value: /a}}]\n",
        ),
        &json!({"routes": [{"id": "store.shop.0", "uris": ["/a", "/a/*"], "upstream": web()}]}),
        &[],
        &[],
    );
}

#[test]
fn backends_that_would_answer_500_are_told() {
    const NO_500: &str = "no way to answer 500 as the specification wants";
    for (backends, reason) in [
        ("[]", format!("`backendRefs`: there is no backend, and {NO_500}")),
        ("[{name: a, port: 80, weight: 0}]", format!("`backendRefs`: all weights are 0, and there is {NO_500}")),
        ("[{name: a}]", "`backendRefs/0`: a Service needs a `port`".to_owned()),
        (
            "[{name: a, port: 80}, {group: example.com, kind: Bucket, name: b}]",
            "`backendRefs/1`: Bucket is no Service, and there is no way to answer 500 for its share as the specification wants".to_owned(),
        ),
        ("[{name: a, port: 80, weight: 1000001}]", "`backendRefs/0/weight`: expected at most 1000000".to_owned()),
    ] {
        let text = shop(&format!("  rules: [{{backendRefs: {backends}}}]\n"));
        let imported = httproute::import(&text, Format::Yaml, SERVICE_DOMAIN).unwrap();
        let told: Vec<String> = imported.losses.iter().map(ToString::to_string).collect();
        assert_eq!((told.len(), told[1].as_str()), (2, GONE), "{told:?}");
        assert!(told[0].starts_with(&format!("/spec/rules/0: rule left out: {reason}")), "{told:?}");
        crate::check_complete(&text, &imported);
        assert!(!imported.is_usable());
    }
}

/// One match that cannot be had leaves the others, and who gets its requests is told.
#[test]
fn a_match_is_left_out_alone() {
    check(
        &rule("      matches: [{path: {value: /a}, method: SUBSCRIBE}, {path: {value: /}}]\n"),
        &json!({"routes": [{"id": "store.shop.0.1", "uri": "/*", "upstream": web()}]}),
        &[
            "/spec/rules/0/matches/0: match left out: as `methods/0` refused: unknown method; its requests may now go to route `store.shop.0.1`",
        ],
        &[],
    );
}

#[test]
fn several_documents_lists_and_other_kinds() {
    check(
        EVERYTHING,
        &json!({"routes": [
            {"id": "web.0", "uri": "/*", "upstream": {"nodes": {"web.default.svc.cluster.local:80": 2}}},
            {"id": "store.shop.0", "uri": "/*", "upstream": web(), "timeout": {"connect": 1, "send": 1, "read": 2}},
        ]}),
        &[
            "document 2, (document): left out: Gateway is no HTTPRoute of the Gateway API",
            "document 3, /items/1: left out: of HTTPRoutes the versions v1 and v1beta1 are known",
            "document 3, /items/2: left out: `spec`: without a rule there is no backend, and no way to answer 500 as the specification wants",
            "document 4, (document): left out: a resource without `kind`",
        ],
        &[
            "document 1, /status: not looked at",
            "document 1, /metadata/annotations: not looked at",
            "document 1, /spec/parentRefs: not looked at: what its listeners limit (host names, ports, TLS) is no limit here",
            "document 1, /spec/rules/0/timeouts/request: ends when the head of the response is there, not when its body is",
            "document 3, /items/0/metadata: `namespace` is missing, taken for `default`",
            "document 3, /items/2/metadata: `namespace` is missing, taken for `default`",
            "document 3, /metadata: not looked at",
        ],
    );
}

pub(crate) const EVERYTHING: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: shop
  namespace: store
  annotations: {a/b: c}
spec:
  parentRefs: [{name: gateway}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /}}]
      timeouts: {request: 4s}
      backendRefs:
        - {name: web, port: 80}
status: {parents: []}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway}
---
apiVersion: v1
kind: List
metadata: {resourceVersion: "7"}
items:
  - apiVersion: gateway.networking.k8s.io/v1beta1
    kind: HTTPRoute
    metadata: {name: web}
    spec: {rules: [{backendRefs: [{name: web, port: 80, weight: 2}]}]}
  - apiVersion: gateway.networking.k8s.io/v1alpha2
    kind: HTTPRoute
    metadata: {name: old}
    spec: {rules: []}
  - apiVersion: gateway.networking.k8s.io/v1
    kind: HTTPRoute
    metadata: {name: empty}
    spec: {hostnames: [e.example.com]}
---
a: 1
"#;

/// Names that are too long for an id, or the same, give ids all the same; the name is kept.
#[test]
fn ids_are_made_of_names_and_stand_once() {
    let long = "a".repeat(80);
    let text = format!(
        "kind: HTTPRoute\napiVersion: gateway.networking.k8s.io/v1\nmetadata: {{name: {long}, namespace: n}}\nspec:\n  rules:\n    - backendRefs: [{{name: s, port: 1}}]\n    - backendRefs: [{{name: s, port: 2}}]\n"
    );
    let imported = httproute::import(&text, Format::Yaml, "cluster.example").unwrap();
    let routes = imported.document["routes"].as_array().unwrap();
    let base = format!("n.{}", "a".repeat(54));
    assert_eq!(routes[0]["id"], json!(base));
    assert_eq!(routes[1]["id"], json!(format!("{base}-2")));
    assert_eq!(routes[1]["name"], json!(format!("n.{long}.1")));
    assert_eq!(routes[1]["upstream"], json!({"nodes": {"s.n.cluster.example:2": 1}}));
    crate::check_sound(&text, &imported);
    crate::check_complete(&text, &imported);
}

#[test]
fn what_is_no_resource_is_refused() {
    for (text, what) in [
        ("a: [", "line 1, column 4: unclosed bracket '['"),
        ("- 1\n", "expected resources of Kubernetes"),
        ("", "expected resources of Kubernetes"),
    ] {
        let error = httproute::import(text, Format::Yaml, SERVICE_DOMAIN).unwrap_err();
        assert_eq!(error.to_string(), what);
    }
}
