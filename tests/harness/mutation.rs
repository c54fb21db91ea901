//! Documents that are nearly sound: one that uses every key there is, and changes to it by chance.

use serde_json::{Map, Value, json};

use crate::chance::Chance;

/// A document that uses every key there is.
pub fn sound() -> Value {
    json!({
        "routes": [
            {
                "id": "chat", "name": "n", "desc": "d", "labels": {"a": "b"},
                "uris": ["/chat/*", "/chat"], "hosts": ["*.example.com", "api.example.com"],
                "methods": ["GET", "POST"], "priority": 3,
                "remote_addrs": ["10.0.0.0/8", "::1"], "vars": [["arg_v", "==", "2"]], "status": 1,
                "timeout": {"connect": 1, "send": 2.5, "read": 3},
                "upstream_id": "provider",
                "plugins": {"traffic-split": {"_meta": {"disable": false}, "rules": [{"weighted_upstreams": [
                    {"name": "v1", "weight": 95, "rewrite": {"uri": "/v1?x=y"}},
                    {"weight": 5, "upstream": {"nodes": [{"host": "a", "port": 1, "weight": 1}]},
                     "headers": {"set": {"a": "b"}, "add": {"c": "d"}, "remove": ["e"]}},
                    {"upstream_id": "provider", "weight": 0, "rewrite": {
                        "regex_uri": ["^/(a|b)/(.*)$", "/$1?rest=$2", "/c", "/${arg_a ?? d}"],
                        "host": "h:1", "method": "PUT", "query": {"set": {"a": ["b", 1]}, "remove": ["c"]},
                        "body": {"a": {"b": null}},
                     }, "response_headers": {"set": {"a": ["b", 2]}, "add": {"c": 0.5}, "remove": ["e"]}},
                ]}]}},
            },
            {"uri": "/s", "remote_addr": "192.0.2.1", "service_id": "s", "plugin_config_id": "p"},
            {
                "uri": "/*", "upstream": "https://api.example.com:8443",
                "plugins": {"traffic-split": {"rules": [
                    {"weight": 50, "rewrite": {"uri": "/v1"}, "upstream": {"nodes": {"[::1]:80": 1}}},
                    {"weight": 50, "rewrite": {"uri": "/v2"}, "name": "two"},
                ]}},
            },
        ],
        "upstreams": [{
            "id": "provider", "type": "roundrobin", "scheme": "https", "pass_host": "rewrite",
            "upstream_host": "h:1", "nodes": {"a:1": 1, "b": 2}, "timeout": {"connect": 1, "send": 1, "read": 1},
        }],
        "settings": {"router": "radixtree_uri", "proof_headers": true},
        "services": [{
            "id": "s", "name": "n", "labels": {"a": "b"}, "hosts": ["s.example.com"], "upstream_id": "provider",
            "plugins": {
                "traffic-split": {"rules": [{"weighted_upstreams": [{"weight": 1}]}]},
                "proxy-rewrite": {
                    "uri": "/a/$uri", "headers": {"set": {"a": "$1"}, "add": {"c": [1]}, "remove": ["e"]},
                    "use_real_request_uri_unsafe": false, "_meta": {"disable": false},
                },
            },
        }],
        "plugin_configs": [{"id": "p", "plugins": {"traffic-split": {"rules": [{"weight": 1}]}}}],
        "consumer_groups": [{"id": "g", "plugins": {}}],
        "consumers": [
            {"username": "jack", "group_id": "g", "plugins": {"key-auth": {"key": "k"}}},
            {"id": "jack/credentials/c1", "name": "n", "plugins": {"key-auth": {"key": "l"}}},
        ],
        "global_rules": [{"id": 1, "plugins": {"proxy-rewrite": {
            "regex_uri": ["a", "/b"], "host": "h", "method": "GET", "headers": {"a": "b", "c": ["d", 1]},
        }}}],
        "plugin_metadata": [{"id": "traffic-split"}],
        "ssls": [],
    })
}

/// A value that nobody should write here.
fn odd(chance: &mut Chance) -> Value {
    let texts =
        ["", "/", "*", "a/b", "\u{0}", "\r\n", "é", "$a", "0", "..", "[::", "a:99999", "http://"];
    match chance.below(9) {
        0 => Value::Null,
        1 => json!(chance.one_of(&[0i64, -1, 1, 2, 4_294_967_295, i64::MAX, i64::MIN])),
        2 => json!(chance.one_of(&[0.5, 1e308, -0.0, 50.0, 1e-320, 9_007_199_254_740_993.0])),
        3 => json!(chance.one_of(&texts)),
        4 => json!("x".repeat(chance.below(5000))),
        5 => json!([]),
        6 => json!({}),
        7 => json!([chance.one_of(&texts), 1]),
        _ => json!({chance.one_of(&texts): 1}),
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
    let known = ["rules", "weight", "upstream", "upstream_id", "id", "vars", "nodes", "a~b/c", ""];
    members.insert(chance.one_of(&known).to_owned(), value);
}
