//! APISIX's standalone file.

use serde_json::{Value, json};
use splitway_local::document::Format;
use splitway_local::import::{ImportError, Imported, apisix};

const EDGE: &str =
    "at the edge `Host` is always the node's name (\"node\"): a Worker cannot send another";

/// The same of a `Host` that a rewrite names.
const AT_THE_EDGE: &str =
    "at the edge `Host` is always the node's name: a Worker cannot send another";

fn variable(name: &str) -> Option<String> {
    let value = match name {
        "HOST" => "api.example.com",
        "WEIGHT" => "3",
        "HALF" => "0.5",
        "HEX" => "0x10",
        "ON" => "true",
        "EMPTY" => "",
        _ => return None,
    };
    Some(value.to_owned())
}

fn import(text: &str) -> Result<Imported, ImportError> {
    apisix::import(text, Format::Yaml, &variable)
}

#[track_caller]
fn check(text: &str, document: &Value, losses: &[&str], notes: &[&str]) {
    crate::check(text, &import(text).unwrap(), document, losses, notes);
}

#[test]
fn what_splitway_understands_is_taken_over_as_it_is() {
    check(
        r#"
routes:
  - uri: /hello
    upstream:
      type: roundrobin
      nodes: {"127.0.0.1:1980": 1}
      pass_host: node
  - id: chat
    uris: [/chat, /chat/*]
    hosts: ["*.example.com"]
    methods: [POST]
    priority: 5
    upstream_id: 1
    timeout: {connect: 1, send: 2, read: 3.5}
    plugins:
      traffic-split:
        rules:
          - weighted_upstreams:
              - {upstream_id: 2, weight: 5}
              - weight: 95
upstreams:
  - {id: 1, scheme: https, pass_host: node, nodes: [{host: a.example.com, port: 443, weight: 1}]}
  - {id: "2", scheme: https, pass_host: node, nodes: {"b.example.com:443": 1}}
#END
"#,
        &json!({
            "routes": [
                {
                    "id": "arr_1", "uri": "/hello",
                    "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}, "pass_host": "node"},
                },
                {
                    "id": "chat", "uris": ["/chat", "/chat/*"], "hosts": ["*.example.com"],
                    "methods": ["POST"], "priority": 5, "upstream_id": 1,
                    "timeout": {"connect": 1, "send": 2, "read": 3.5},
                    "plugins": {"traffic-split": {"rules": [{"weighted_upstreams": [
                        {"upstream_id": 2, "weight": 5}, {"weight": 95},
                    ]}]}},
                },
            ],
            "upstreams": [
                {
                    "id": 1, "scheme": "https", "pass_host": "node",
                    "nodes": [{"host": "a.example.com", "port": 443, "weight": 1}],
                },
                {"id": "2", "scheme": "https", "pass_host": "node", "nodes": {"b.example.com:443": 1}},
            ],
        }),
        &[],
        &[],
    );
}

#[test]
fn a_part_that_may_be_missed_goes_alone() {
    check(
        r#"
routes:
  - id: r
    uri: /r
    plugins:
      datadog: {prefer_name: true}
      ldap-auth: {_meta: {disable: true}}
    upstream:
      keepalive_pool: {size: 0}
      pass_host: node
      nodes: [{host: a, port: 80, weight: 1}]
#END
"#,
        &json!({"routes": [{
            "id": "r", "uri": "/r", "plugins": {},
            "upstream": {"pass_host": "node", "nodes": [{"host": "a", "port": 80, "weight": 1}]},
        }]}),
        &[
            "/routes/0/upstream/keepalive_pool: left out: expected an integer from 1",
            "/routes/0/plugins/datadog: left out: APISIX has this plugin, Splitway does not support it yet",
        ],
        &["/routes/0/plugins/ldap-auth: left out: without it the same holds"],
    );
}

/// Where its requests go, what follows a failure, and what keeps them away from who fails.
#[test]
fn upstreams_are_taken_over_as_they_are() {
    let text = r#"
routes:
  - id: r
    uri: /r
    enable_websocket: true
    upstream_id: u
    plugins:
      api-breaker:
        break_response_code: 503
        unhealthy: {http_statuses: [500, 502], failures: 3}
        healthy: {http_statuses: [200], successes: 2}
upstreams:
  - id: u
    type: chash
    hash_on: header
    key: x-user
    scheme: grpcs
    pass_host: node
    nodes: [{host: a, port: 443, weight: 1, priority: 1}, {host: b, port: 443, weight: 2}]
    retries: 2
    retry_timeout: 3
    timeout: {connect: 1, send: 2, read: 3}
    keepalive_pool: {size: 320, idle_timeout: 60, requests: 1000}
    tls: {verify: true}
    checks:
      active: {http_path: /health, healthy: {interval: 60}, unhealthy: {interval: 60, http_failures: 2}}
      passive: {healthy: {http_statuses: [200]}, unhealthy: {tcp_failures: 3}}
#END
"#;
    let document = splitway_local::document::parse(text, Format::Yaml).unwrap();
    let no_grpc =
        "at the edge there is no gRPC: a Worker cannot speak HTTP/2 with trailers to a node";
    check(text, &document, &[], &[&format!("/upstreams/0/scheme: {no_grpc}")]);
}

const ALL: &str = "{id: all, uri: /*, upstream: {pass_host: node, nodes: {a: 1}}}";

/// A file with a route for `/x` that has the key, and another one for everything.
fn with_key(key: &str) -> String {
    let upstream = "upstream: {pass_host: node, nodes: {a: 1}}";
    format!("routes:\n  - {{id: x, uri: /x, {upstream}, {key}}}\n  - {ALL}\n#END\n")
}

/// What guards or narrows a route takes it along, and who gets its requests is told.
#[test]
fn a_route_without_its_guard_is_left_out() {
    for (key, reason) in [
        (
            "filter_func: 'function(vars) return true end'",
            "`filter_func`: APISIX runs Lua here, which Splitway does not: `vars` can say much of it",
        ),
        (
            "script: x",
            "`script`: APISIX runs Lua here, which Splitway does not: `vars` can say much of it",
        ),
        (
            "plugins: {ldap-auth: {}, datadog: {}}",
            "`plugins/ldap-auth`: APISIX has this plugin, Splitway does not support it yet",
        ),
        ("plugins: {my-own: {}}", "`plugins/my-own`: unknown plugin [my-own]"),
        ("upstream_id: gone", "`upstream_id`: there is no upstream `gone`"),
    ] {
        check(
            &with_key(key),
            &json!({"routes": [{"id": "all", "uri": "/*", "upstream": {"pass_host": "node", "nodes": {"a": 1}}}]}),
            &[&format!(
                "/routes/0: route `x` left out: {reason}; its requests may now go to route `all`"
            )],
            &[],
        );
    }
}

/// Whatever the core knows and will know: a route is there with all that narrows it, or not at all.
#[test]
fn no_route_is_there_without_what_narrows_it() {
    for (key, at) in [
        ("vars: [[arg_v, ==, '2']]", "/vars"),
        ("remote_addrs: [10.0.0.0/8]", "/remote_addrs"),
        ("plugins: {ip-restriction: {whitelist: [10.0.0.0/8]}}", "/plugins/ip-restriction"),
        ("plugins: {key-auth: {}}", "/plugins/key-auth"),
        ("plugins: {limit-count: {count: 1, time_window: 1}}", "/plugins/limit-count"),
        ("plugins: {proxy-rewrite: {uri: /y}}", "/plugins/proxy-rewrite"),
        ("plugin_config_id: 1", "/plugin_config_id"),
        ("service_id: 1", "/service_id"),
        (
            "plugins: {traffic-split: {rules: [{match: [{vars: [[arg_v, ==, '2']]}], weighted_upstreams: [{}]}]}}",
            "/plugins/traffic-split/rules/0/match",
        ),
    ] {
        let text = with_key(key);
        let imported = import(&text).unwrap();
        crate::check_sound(&text, &imported);
        crate::check_complete(&text, &imported);
        let routes = imported.document["routes"].as_array().unwrap();
        let kept = routes.iter().find(|route| route["id"] == "x");
        assert!(kept.is_none_or(|route| route.pointer(at).is_some()), "{key}");
    }
}

/// What narrows, rewrites and splits is all there, and nothing is lost.
#[test]
fn conditions_and_rewrites_are_taken_over_as_they_are() {
    let text = r#"
routes:
  - id: canary
    uri: /api/*
    remote_addrs: [10.0.0.0/8, "::1"]
    vars: [[http_x_canary, ==, "yes"], [OR, [arg_v, in, ["2", "3"]], [cookie_beta, "~~", "^on"]]]
    upstream_id: api
    plugins:
      proxy-rewrite:
        regex_uri: ["^/api/(.*)", "/$1"]
        headers: {set: {X-Forwarded-Prefix: /api, X-Client: $remote_addr}, remove: [X-Debug]}
      traffic-split:
        _meta: {filter: [[request_method, "~=", OPTIONS]]}
        rules:
          - match: [{vars: [[http_user_agent, "~*", "(mobile|tablet)"]]}, {vars: [[arg_m, ==, "1"]]}]
            weighted_upstreams: [{upstream_id: next, weight: 1}, {weight: 9}]
  - {id: one, uri: /one, remote_addr: 192.0.2.1, upstream_id: api, plugin_config_id: p}
  - {id: two, uri: /two, service_id: s}
services: [{id: s, upstream_id: api, plugins: {proxy-rewrite: {uri: "/v1/${arg_v ?? none}"}}}]
plugin_configs: [{id: p, plugins: {proxy-rewrite: {method: POST, host: a.example.com}}}]
global_rules: [{id: g, plugins: {proxy-rewrite: {headers: {x-gateway: splitway}}}}]
upstreams:
  - {id: api, scheme: https, pass_host: node, nodes: {"api.example.com:443": 1}}
  - {id: next, scheme: https, pass_host: node, nodes: {"next.example.com:443": 1}}
#END
"#;
    let document = splitway_local::document::parse(text, Format::Yaml).unwrap();
    check(
        text,
        &document,
        &[],
        &[&format!("/plugin_configs/0/plugins/proxy-rewrite/host: {AT_THE_EDGE}")],
    );
}

#[test]
fn every_kind_of_resource_is_taken_over_or_told() {
    let text = r#"
routes:
  - {id: r, uri: /r, service_id: s, plugin_config_id: p}
services: [{id: s, upstream_id: u, plugins: {key-auth: {}}}]
upstreams: [{id: u, pass_host: node, nodes: {"api.example.com:443": 1}}]
consumers:
  - {username: jack, group_id: g, plugins: {key-auth: {key: jacks-key}}}
  - {id: jack/credentials/c1, name: c1, plugins: {key-auth: {key: another}}}
consumer_groups: [{id: g, plugins: {limit-count: {count: 9, time_window: 60}}}]
plugin_configs: [{id: p, plugins: {ip-restriction: {whitelist: [127.0.0.1]}}}]
plugin_metadata: [{id: http-logger, log_format: {host: $host}}]
#END
"#;
    let imported = import(text).unwrap();
    crate::check_sound(text, &imported);
    crate::check_complete(text, &imported);
}

#[test]
fn whatever_names_what_is_left_out_follows() {
    check(
        r#"
upstreams:
  - {id: logs, nodes: {"a:9092": 1}, scheme: kafka}
  - {id: found, service_name: s, discovery_type: dns}
  - {id: fine, pass_host: node, nodes: {a: 1}}
routes:
  - {id: a, uri: /a, upstream_id: logs}
  - {id: b, uri: /b, upstream_id: fine, plugins: {traffic-split: {rules: [{weighted_upstreams: [{upstream_id: found}]}]}}}
  - {id: c, uri: /c, upstream_id: fine}
#END
"#,
        &json!({
            "upstreams": [{"id": "fine", "pass_host": "node", "nodes": {"a": 1}}],
            "routes": [{"id": "c", "uri": "/c", "upstream_id": "fine"}],
        }),
        &[
            "/upstreams/0: upstream `logs` left out: `scheme`: APISIX has this scheme, Splitway splits HTTP only",
            "/upstreams/1: upstream `found` left out: `discovery_type`: APISIX has this key, Splitway does not support it yet; `service_name`: APISIX has this key, Splitway does not support it yet",
            "/routes/0: route `a` left out: `upstream_id`: there is no upstream `logs`",
            "/routes/1: route `b` left out: `plugins/traffic-split/rules/0/weighted_upstreams/0/upstream_id`: there is no upstream `found`",
        ],
        &[],
    );
}

#[test]
fn lists_and_marks_without_an_equivalent_are_told() {
    check(
        "routes: [{id: r, uri: /r, upstream: {pass_host: node, nodes: {a: 1}}}]\nroutes_conf_version: 7\nssls: [{id: 1, cert: c, key: k, snis: [x]}]\nstream_routes: [{id: 1, server_port: 9100}]\nprotos: [{id: 1, content: c}]\nsecrets: [{id: vault/1, uri: u}]\nplugins: [{name: key-auth}]\nrouts: []\n",
        &json!({"routes": [{"id": "r", "uri": "/r", "upstream": {"pass_host": "node", "nodes": {"a": 1}}}]}),
        &[
            "/protos: 1 item left out: APISIX has this list, Splitway does not support it yet",
            "/routs: 0 items left out: unknown key; did you mean `routes`?",
            "/secrets: 1 item left out: APISIX has this list, Splitway does not support it yet",
            "/ssls: 1 item left out: APISIX has this list, Splitway does not support it yet",
            "/stream_routes: 1 item left out: APISIX has this list, Splitway does not support it yet",
        ],
        &[
            "(document): `#END` is missing at the end: APISIX itself would not load this file",
            "/routes_conf_version: left out: it numbers the writes to APISIX",
            "/plugins: 1 item left out: APISIX has this list, Splitway does not support it yet",
        ],
    );
}

#[test]
fn the_mark_is_looked_for_where_apisix_looks() {
    for (end, is_marked) in [
        ("#END", true),
        ("#END\n", true),
        ("#END\n\n\n\n\n\n", true),
        ("#END\n\n\n\n\n\n\n", false),
        ("# END\n", false),
        ("", false),
    ] {
        let imported = import(&format!("routes: []\n{end}")).unwrap();
        assert_eq!(imported.notes.is_empty(), is_marked, "{end:?}");
    }
    let json = apisix::import("{\"routes\": []}", Format::Json, &variable).unwrap();
    assert_eq!(json.notes, []);
}

/// A global rule holds for every route, so without its guard none can be served.
#[test]
fn a_global_guard_takes_all_routes_along() {
    let route = "routes: [{id: r, uri: /r, upstream: {pass_host: node, nodes: {a: 1}}}]";
    let guarded = format!("{route}\nglobal_rules: [{{id: 1, plugins: {{my-own: {{}}}}}}]\n#END\n");
    let imported = import(&guarded).unwrap();
    assert_eq!(imported.document, json!({}));
    assert_eq!(
        imported.losses.last().map(ToString::to_string).unwrap(),
        "/routes: 1 item left out: /global_rules/0 holds for all of them and cannot be taken over",
    );
    crate::check_complete(&guarded, &imported);
    assert!(!imported.is_usable());
    let watched = format!("{route}\nglobal_rules: [{{id: 1, plugins: {{datadog: {{}}}}}}]\n#END\n");
    let imported = import(&watched).unwrap();
    assert!(imported.is_usable());
    assert_eq!(imported.losses.len(), 1);
}

/// A reference taken at its word would be a key that everyone can read in the documentation.
#[test]
fn references_to_secrets_are_not_taken_for_the_secrets() {
    check(
        "routes:\n  - id: r\n    uri: /r\n    upstream: {pass_host: node, nodes: {a: 1}}\n    plugins: {traffic-split: {x: [$secret://vault/1/key]}}\n#END\n",
        &json!({}),
        &[
            "/routes/0: route `r` left out: a plugin names a secret by reference (`$env://`, `$secret://`), which Splitway would take for the secret itself",
        ],
        &[],
    );
}

#[test]
fn variables_are_replaced_as_apisix_does() {
    let text = r#"
# ${{NOWHERE}} is no variable here
routes:
  - id: "${{NAME:= r }}"
    uri: /${{PATH_OF_IT:=a}}/${{PATH_OF_IT:=a}}
    status: "${{STATUS:=1}}"
    desc: "${{EMPTY}}${{ HOST }} $host ${x} ${{}} ${{-}} ${{"
    upstream: {pass_host: node, nodes: {"${{HOST}}:80": "${{WEIGHT}}", b: "${{HEX}}"}}
    timeout: {connect: "${{HALF}}", send: 1, read: 1}
settings: {proof_headers: "${{ON}}"}
#END
"#;
    let imported = import(text).unwrap();
    let document = json!({
        "routes": [{
            "id": "r", "uri": "/a/a", "status": 1,
            "desc": "api.example.com $host ${x} ${{}} ${{-}} ${{",
            "upstream": {"pass_host": "node", "nodes": {"api.example.com:80": 3, "b": 16}},
            "timeout": {"connect": 0.5, "send": 1, "read": 1},
        }],
        "settings": {"proof_headers": true},
    });
    assert_eq!(imported, Imported { document, ..Imported::default() });
}

#[test]
fn a_variable_that_is_not_set_is_named_with_its_line() {
    let text = "# ${{GONE}}\nroutes:\n  - id: ${{GONE}}\n    uri: /${{ LOST }}/${{GONE}}\n#END\n";
    let error = import(text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3: the environment variable `GONE` is not set and has no default here\nline 4: the environment variable `LOST` is not set and has no default here"
    );
}

#[test]
fn what_is_no_standalone_file_is_refused() {
    for (text, what) in [
        ("routes: [", "line 1, column 9: unclosed bracket '['"),
        ("[]", "expected the lists of APISIX's standalone file"),
        ("# nothing\n", "the document is empty"),
    ] {
        assert_eq!(import(text).unwrap_err().to_string(), what);
    }
}

/// The form of the published guide: taken over, and what APISIX makes of it is told.
#[test]
fn what_apisix_does_differently_is_told_once() {
    let text = r#"{"routes": [
        {"id": "a", "uri": "/a", "upstream": {"nodes": {"a": 1}}, "plugins": {"traffic-split": {"rules": [
            {"weight": 50, "rewrite": {"uri": "/v1/a"}}, {"weight": 50, "rewrite": {"uri": "/v2/a"}}
        ]}}},
        {"id": "gone", "uri": "/gone", "script": "s"},
        {"id": "b", "uri": "/b", "upstream": {"nodes": {"b": 1}}}
    ]}"#;
    let imported = apisix::import(text, Format::Json, &variable).unwrap();
    let notes: Vec<String> = imported.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "/routes/0/plugins/traffic-split/rules: APISIX ignores `weight`, `upstream` and `rewrite` of a rule and sends 100 % to the route's upstream, unrewritten",
            &format!("/routes/0/upstream/pass_host: {EDGE} (and 1 more place)"),
        ]
    );
    crate::check_sound(text, &imported);
    crate::check_complete(text, &imported);
}
