//! Documents that are nearly sound: one that uses every key there is, and changes to it by chance.

use serde_json::{Map, Value, json};

use crate::chance::Chance;

/// A public key.
const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEALbTP9fG59ekSGlcjm6mFgZSQSp1Sgqv3OXAZU2nqVys=\n\
    -----END PUBLIC KEY-----\n";

/// A document that uses every key there is, which the schemas are asked about (tests/documents).
pub fn sound() -> Value {
    json!({
        "routes": routes(),
        "upstreams": [{
            "id": "provider", "name": "n", "desc": "d", "labels": {"a": "b"}, "create_time": 1, "update_time": 2,
            "type": "chash", "hash_on": "vars_combinations", "key": "$uri", "scheme": "https", "pass_host": "rewrite", "upstream_host": "h:1",
            "nodes": [{"host": "a", "port": 1, "weight": 1, "metadata": {"a": 1}}, {"host": "b", "weight": 2, "priority": 1}],
            "timeout": {"connect": 1, "send": 1, "read": 1, "first_byte": 1, "idle": 1},
            "retries": 1, "retry_timeout": 1.5, "keepalive_pool": {"size": 1, "idle_timeout": 1, "requests": 1},
            "tls": {
                "client_cert": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----",
                "client_key": "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----",
                "verify": true,
            },
            "retry": {
                "when": ["connect", "timeout", "reset", "5xx", "429", 404], "non_idempotent": true,
                "backoff": {"base": 0.1, "max": 2}, "budget": {"percent": 50, "burst": 3},
            },
            "breaker": breaker(), "checks": checks(),
        }],
        "settings": {
            "router": "radixtree_uri", "proof_headers": true, "body_max": 65536, "replay_max": 4096,
        },
        "services": [{
            "id": "s", "name": "n", "desc": "d", "labels": {"a": "b"}, "create_time": 1, "update_time": 2,
            "hosts": ["s.example.com"], "enable_websocket": true, "upstream_id": "provider", "upstream": {"nodes": {"a:1": 1, "b": 2}},
            "plugins": {
                "traffic-split": {"rules": [{
                    "weighted_upstreams": [{"weight": 1}], "mirror": {"upstream": {"nodes": {"m": 1}}},
                }]},
                "proxy-rewrite": {
                    "uri": "/a/$uri", "headers": {"set": {"a": "$1"}, "add": {"c": [1]}, "remove": ["e"]},
                    "use_real_request_uri_unsafe": false, "_meta": {"disable": false},
                },
                "limit-conn": conn(), "limit-count": count(), "limit-req": req(),
                "basic-auth": {
                    "hide_credentials": false, "anonymous_consumer": "jack", "realm": "r",
                    "_meta": {"error_response": "no"},
                },
                "jwt-auth": {
                    "header": "x-token", "query": "t", "cookie": "c", "hide_credentials": true,
                    "key_claim_name": "iss", "claims_to_verify": ["exp", "nbf"], "store_in_ctx": false,
                    "anonymous_consumer": "jack", "realm": "r", "_meta": {"disable": false},
                },
                "key-auth": {
                    "header": "x-key", "query": "key", "hide_credentials": true, "anonymous_consumer": "jack",
                    "realm": "r", "_meta": {"error_response": {"message": "no"}},
                },
            },
        }],
        "plugin_configs": [{
            "id": "p", "name": "n", "desc": "d", "labels": {"a": "b"}, "create_time": 1, "update_time": 2,
            "plugins": {
                "real-ip": {
                    "source": "http_x_forwarded_for", "trusted_addresses": ["10.0.0.0/8"], "recursive": true,
                    "_meta": {"disable": false},
                },
                "client-control": {"max_body_size": 65536, "_meta": {"disable": false}},
                "ip-restriction": {"whitelist": ["10.0.0.0/8"], "message": "no", "response_code": 404},
                "request-id": {
                    "header_name": "x-request-id", "include_in_response": true, "algorithm": "range_id",
                    "range_id": {"length": 16, "char_set": "abcdef"}, "_meta": {"disable": false},
                },
                "cors": {
                    "allow_origins": "https://a.example", "allow_origins_by_regex": ["^https://b"],
                    "allow_methods": "GET", "allow_headers": "x-a", "expose_headers": "x-b", "max_age": 5,
                    "allow_credential": true, "timing_allow_origins": "https://a.example",
                    "timing_allow_origins_by_regex": ["^https://b"], "_meta": {"disable": false},
                },
                "traffic-split": {"rules": [{"weight": 1}]},
                "limit-count": {
                    "count": 2, "time_window": 60, "window_type": "sliding", "key": "$uri $host",
                    "key_type": "var_combination", "group": "h", "rejected_code": 429, "rejected_msg": "m",
                    "policy": "shared", "allow_degradation": true, "show_limit_quota_header": false,
                    "_meta": {"disable": false},
                },
                "limit-req": {
                    "rate": 1.5, "burst": 2, "nodelay": true, "key": "host", "key_type": "var",
                    "rejected_code": 429, "rejected_msg": "m", "policy": "shared",
                    "allow_degradation": false, "_meta": {"disable": false},
                },
                "limit-conn": {
                    "conn": 2, "burst": 1, "default_conn_delay": 0.1, "only_use_default_delay": true,
                    "key": "all", "key_type": "constant", "rejected_code": 503, "rejected_msg": "m",
                    "policy": "local", "allow_degradation": false, "_meta": {"disable": false},
                },
                "api-breaker": {
                    "break_response_code": 503, "break_response_body": "b", "max_breaker_sec": 3,
                    "break_response_headers": [{"key": "a", "value": "$uri"}],
                    "unhealthy": {"http_statuses": [500, 503], "failures": 2},
                    "healthy": {"http_statuses": [200], "successes": 1}, "_meta": {"disable": false},
                },
            },
        }],
        "consumer_groups": [{
            "id": "g", "name": "n", "desc": "d", "labels": {"a": "b"}, "create_time": 1, "update_time": 2,
            "plugins": {
                "ip-restriction": barred(), "limit-conn": conn(), "limit-count": count(), "limit-req": req(),
            },
        }],
        "consumers": [
            {
                "id": "jack", "username": "jack", "desc": "d", "labels": {"a": "b"}, "create_time": 1, "update_time": 2,
                "group_id": "g", "plugins": {
                    "key-auth": {"key": "k"}, "basic-auth": {"username": "j", "password": "p"},
                    "jwt-auth": {
                        "key": "j", "secret": "cw==", "base64_secret": true, "algorithm": "HS256",
                        "lifetime_grace_period": 1, "exp": 86400,
                    },
                    "ip-restriction": barred(), "limit-conn": conn(), "limit-count": count(), "limit-req": req(),
                },
            },
            {
                "id": "jack/credentials/c1", "name": "n", "desc": "d", "labels": {"a": "b"},
                "create_time": 1, "update_time": 2,
                "plugins": {
                    "key-auth": {"key": "l"}, "basic-auth": {"username": "j", "password": "q"},
                    "jwt-auth": {"key": "l", "algorithm": "EdDSA", "public_key": PEM},
                },
            },
            {
                "id": "jack/credentials/c2",
                "plugins": {"jwt-auth": {
                    "key": "m", "algorithm": "RS256", "jwks_uri": "https://a.example/keys",
                }},
            },
        ],
        "global_rules": [{
            "id": 1, "create_time": 1, "update_time": 2,
            "plugins": {
                "proxy-rewrite": {
                    "_meta": {"filter": [["arg_v", "!", "in", ["8", "9"]]], "priority": 7},
                    "regex_uri": ["a", "/b"], "host": "h", "method": "POST", "headers": {"a": "b", "c": ["d", 1]},
                },
                "traffic-split": {
                    "_meta": {"filter": [["http_x_lane", "==", "g"]]},
                    "rules": [{"weighted_upstreams": [{"upstream": "http://g:1"}]}],
                },
            },
        }],
        "plugin_metadata": [{"id": "traffic-split", "create_time": 1, "update_time": 2}],
        "ssls": [],
    })
}

/// Routes: one with a split in the form of APISIX, one without, one that takes over the plugins of others,
/// one in the rule form.
fn routes() -> Value {
    json!([
        {
            "id": "chat", "name": "n", "desc": "d", "labels": {"a": "b"}, "create_time": 1, "update_time": 2,
            "uris": ["/chat/*", "/chat"], "hosts": ["*.example.com", "api.example.com"],
            "methods": ["GET", "POST"], "priority": 3, "status": 1,
            "remote_addrs": ["127.0.0.0/8", "::1"],
            "vars": [["OR", ["arg_v", "==", "2"], ["uri", "~~", "^/chat"]]],
            "timeout": {"connect": 1, "send": 2.5, "read": 3},
            "upstream_id": "provider", "enable_websocket": false,
            "plugins": {"traffic-split": {"_meta": {"disable": false}, "rules": listed()}},
        },
        {"id": "plain", "uri": "/x", "upstream": "http://a:1"},
        {"uri": "/s", "remote_addr": "127.0.0.1", "service_id": "s", "plugin_config_id": "p"},
        {
            "uri": "/*", "host": "api.example.com", "upstream": "https://api.example.com:8443",
            "plugins": {"traffic-split": {"rules": rule_form()}},
        },
    ])
}

/// Rules with lists of branches.
fn listed() -> Value {
    json!([
        {
            "match": [
                {"vars": [["post_arg.model", "==", "x"], ["cookie_beta", "~*", "^(on|yes)$"]]},
                {"vars": [["remote_addr", "ipmatch", ["127.0.0.0/8"]], ["arg_n", ">=", 3]]},
            ],
            "override": {
                "header": "x-version", "cookie": "version", "addresses": ["127.0.0.1", "::/64"], "tokens": true,
            },
            "sticky": {
                "by": ["consumer", "header:x-user", "cookie:sid", "arg:u", "body:/user/id", "ip"], "salt": "s",
                "cookie": {
                    "name": "c", "max_age": 60, "path": "/chat", "domain": "example.com", "same_site": "Lax",
                },
            },
            "weighted_upstreams": branches(),
            "on_failure": {
                "to": "v1", "attempts": 2, "non_idempotent": false,
                "when": ["5xx", "429", "connect", "timeout", "reset", "empty", "first_event_error", 404],
            },
            "breaker": breaker(),
            "mirror": {
                "upstream_id": "provider", "percent": 0.5, "in_flight": 7,
                "rewrite": {"uri": "/shadow"}, "headers": {"set": {"x-copy": "1"}},
            },
        },
        {"weighted_upstreams": [{"weight": 1, "rewrite": {"body": {"model": "y"}}}]},
    ])
}

/// Branches with all that they may change.
fn branches() -> Value {
    json!([
        {"name": "v1", "weight": 95, "rewrite": {"uri": "/v1?x=y"}, "limit": {
            "count": 9, "time_window": 60, "window_type": "fixed", "key": "host", "key_type": "var",
            "policy": "local",
        }},
        {"weight": 5, "upstream": {"nodes": [{"host": "a", "port": 1, "weight": 1}]},
         "headers": {"set": {"a": "b"}, "add": {"c": "d"}, "remove": ["e"]},
         "limit": {"rate": 2.5, "burst": 1, "policy": "shared", "allow_degradation": true}},
        {"upstream_id": "provider", "weight": 0, "rewrite": {
            "regex_uri": ["^/(a|b)/(.*)$", "/$1?rest=$2", "/c", "/${arg_a ?? d}"],
            "host": "h:1", "method": "PUT", "query": {"set": {"a": ["b", 1]}, "remove": ["c"]},
            "body": {"a": {"b": null}},
         }, "response_headers": {"set": {"a": ["b", 2]}, "add": {"c": 0.5}, "remove": ["e"]}},
    ])
}

/// Rules that are branches themselves.
fn rule_form() -> Value {
    json!([
        {
            "match": [{"vars": [["request_method", "==", "POST"]]}],
            "weight": 1, "upstream_id": "provider", "sticky": {"cookie": {}}, "override": {"tokens": true},
            "headers": {"set": {"x-uri": "$uri"}}, "response_headers": {"remove": ["server"]},
        },
        {
            "weight": 50, "rewrite": {"uri": "/v1"}, "upstream": {"type": "least_conn", "nodes": {"[::1]:80": 1}},
            "on_failure": {}, "breaker": {"failures": 3}, "mirror": {"branch": "two"},
        },
        {"weight": 50, "rewrite": {"uri": "/v2"}, "name": "two", "limit": {"conn": 3}},
    ])
}

/// Limits, which stand in consumers as in routes.
fn conn() -> Value {
    json!({
        "conn": 2, "burst": 1, "default_conn_delay": 0.1, "only_use_default_delay": true,
        "key": "$remote_addr $uri", "key_type": "var_combination", "rejected_code": 503,
        "rejected_msg": "no", "policy": "shared", "allow_degradation": true, "_meta": {"disable": false},
    })
}

fn count() -> Value {
    json!({
        "count": 2, "time_window": 60, "window_type": "sliding", "key": "k", "key_type": "constant",
        "group": "g", "rejected_code": 429, "rejected_msg": "no", "policy": "shared",
        "allow_degradation": true, "show_limit_quota_header": false, "_meta": {"disable": false},
    })
}

fn req() -> Value {
    json!({
        "rate": 2, "burst": 1, "nodelay": true, "key": "remote_addr", "key_type": "var",
        "rejected_code": 429, "rejected_msg": "no", "policy": "shared", "allow_degradation": true,
        "_meta": {"disable": false},
    })
}

/// Addresses that may not come in.
fn barred() -> Value {
    json!({"blacklist": ["10.0.0.0/8"], "_meta": {"disable": false}})
}

/// What keeps requests away from who fails.
fn breaker() -> Value {
    json!({
        "failures": 3, "percent": 50, "window": 10, "min_samples": 5, "open": 1.5, "open_max": 60,
        "probes": 2, "successes": 2, "slow_start": 30,
    })
}

/// Checks of nodes.
fn checks() -> Value {
    json!({
        "active": {
            "type": "https", "timeout": 0.5, "concurrency": 2, "host": "h", "port": 1, "http_path": "/health",
            "https_verify_certificate": false, "req_headers": ["A: b"], "http_method": "POST",
            "http_req_body": "{}",
            "healthy": {"interval": 60, "http_statuses": [200], "successes": 1},
            "unhealthy": {
                "interval": 60, "http_statuses": [500, 503],
                "http_failures": 1, "tcp_failures": 2, "timeouts": 3,
            },
        },
        "passive": {
            "type": "http",
            "healthy": {"http_statuses": [200, 302], "successes": 1},
            "unhealthy": {"http_statuses": [500], "http_failures": 1, "tcp_failures": 2, "timeouts": 3},
        },
    })
}

/// Texts that mean something in one place and are odd in all others.
pub const TEXTS: [&str; 34] = [
    "",
    "/",
    "*",
    "a/b",
    "\u{0}",
    "\r\n",
    "é",
    "$a",
    "0",
    "..",
    "[::",
    "a:99999",
    "http://",
    // Of expressions, patterns and templates.
    "OR",
    "!",
    "~~",
    "in",
    "(?=a)",
    "([",
    "a{1001}",
    "/$9",
    "${arg_a ?? b}",
    // Places of keys, and what is read from them.
    "header:",
    "body:/a~2",
    "cookie:c",
    "ip",
    "10.0.0.0/8",
    "v1~99999999999~*~00",
    // Of failures, and where requests go then.
    "5xx",
    "empty",
    "others",
    "two",
    // Of how nodes are picked.
    "chash",
    "header",
];

/// A value that nobody should write here.
fn odd(chance: &mut Chance) -> Value {
    match chance.below(9) {
        0 => Value::Null,
        1 => json!(chance.one_of(&[0i64, -1, 1, 2, 4_294_967_295, i64::MAX, i64::MIN])),
        2 => json!(chance.one_of(&[0.5, 1e308, -0.0, 50.0, 1e-320, 9_007_199_254_740_993.0])),
        3 => json!(chance.one_of(&TEXTS)),
        4 => json!("x".repeat(chance.below(5000))),
        5 => json!([]),
        6 => json!({}),
        7 => json!([chance.one_of(&TEXTS), 1]),
        _ => json!({chance.one_of(&TEXTS): 1}),
    }
}

/// Changes one place somewhere below `value`.
pub fn mutate(value: &mut Value, chance: &mut Chance) {
    let goes_deeper = chance.below(8) != 0;
    match value {
        Value::Array(items) if !items.is_empty() && goes_deeper => {
            let index = chance.below(items.len());
            match chance.below(12) {
                0 => drop(items.remove(index)),
                1 => items.push(items[index].clone()),
                _ => mutate(&mut items[index], chance),
            }
        }
        Value::Object(members) if !members.is_empty() && goes_deeper => {
            let key = members.keys().nth(chance.below(members.len())).unwrap().clone();
            match chance.below(12) {
                0 => drop(members.remove(&key)),
                1 => rename(members, &key, chance),
                _ => mutate(members.get_mut(&key).unwrap(), chance),
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => *value = odd(chance),
    }
}

fn rename(members: &mut Map<String, Value>, key: &str, chance: &mut Chance) {
    let value = members.remove(key).unwrap();
    const KNOWN: [&str; 32] = [
        "rules",
        "weight",
        "upstream",
        "upstream_id",
        "id",
        "vars",
        "nodes",
        "a~b/c",
        "",
        "match",
        "sticky",
        "override",
        "rewrite",
        "headers",
        "response_headers",
        "regex_uri",
        "uri",
        "_meta",
        "filter",
        "by",
        "cookie",
        "set",
        "add",
        "body",
        "when",
        "to",
        "branch",
        "breaker",
        "failures",
        "key",
        "active",
        "timeout",
    ];
    members.insert(chance.one_of(&KNOWN).to_owned(), value);
}
