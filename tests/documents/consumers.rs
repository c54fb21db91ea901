//! What is said of consumers, credentials and groups.

use serde_json::json;

use crate::check;

#[test]
fn consumers_have_keys_credentials_and_groups() {
    let key = |key: &str| json!({"key-auth": {"key": key}});
    check(
        &json!({
            "consumers": [
                {"username": "jack", "desc": "d", "labels": {"a": "b"}, "group_id": "g", "plugins": key("k1")},
                {"id": "jack/credentials/c1", "name": "n", "plugins": key("k2")},
                {"id": "jill", "username": "jill", "plugins": {}},
                {"id": "jill/credentials/c1", "plugins": {}},
            ],
            "consumer_groups": [{"id": "g", "plugins": {}}],
        }),
        &[],
        &[],
    );
}

#[test]
fn every_fault_of_a_consumer_has_its_place() {
    check(
        &json!({
            "consumers": [
                {"username": "jack"},
                {"username": "jack", "group_id": "g"},
                {"id": "nobody/credentials/c", "plugins": {"traffic-split": {}}},
                {"username": "a.b"},
                {"id": "jack/credentials/c"},
                {"username": 5},
                {"plugins": {"jwt-auth": {}}},
                {"id": "jim", "username": "joe", "plugins": {"key-auth": {}, "traffic-split": {}}},
                {"username": "jo", "plugins": {"key-auth": {"key": "$ENV://KEY", "header": "h"}}},
                {"username": "jon", "plugins": {"key-auth": {"key": ""}}},
            ],
            "consumer_groups": [{"plugins": {"key-auth": {"key": "k"}, "traffic-split": {}}}],
        }),
        &[
            "/consumer_groups/0/plugins/key-auth: not supported in a consumer group",
            "/consumer_groups/0/plugins/traffic-split: not supported in a consumer group yet",
            "/consumers/1/group_id: there is no consumer group `g`",
            "/consumers/1/username: another consumer has the username `jack`",
            "/consumers/3/username: expected a name: 1 to 64 letters, digits, `-`, `_`",
            "/consumers/5/username: expected a string, found `5`",
            "/consumers/6: `username` is missing",
            "/consumers/7/id: expected the `username`, or no id",
            "/consumers/7/plugins/traffic-split: not supported in a consumer yet",
            "/consumers/7/plugins/key-auth: `key` is missing",
            "/consumers/8/plugins/key-auth/header: unknown key",
            "/consumers/8/plugins/key-auth/key: references to secrets are not supported yet",
            "/consumers/9/plugins/key-auth/key: expected at least one character",
            "/consumers/2/plugins/traffic-split: not supported in a credential yet",
            "/consumers/2/id: there is no consumer `nobody`",
            "/consumers/4: `plugins` is missing",
        ],
        &[],
    );
}

#[test]
fn a_key_belongs_to_one_consumer() {
    let key = json!({"key-auth": {"key": "secret"}});
    check(
        &json!({"consumers": [
            {"id": "jill/credentials/c1", "plugins": key},
            {"username": "jack", "plugins": key},
            {"id": "jack/credentials/c1", "plugins": key},
            {"username": "jill"},
            {"username": "jim", "plugins": key},
        ]}),
        &[
            "/consumers/4/plugins/key-auth/key: the consumer `jack` has this key already",
            "/consumers/0/plugins/key-auth/key: the consumer `jack` has this key already",
        ],
        &[],
    );
}

#[test]
fn a_key_is_the_same_whether_it_is_hashed_or_not() {
    // The SHA-256 of `abc`, from FIPS 180-4's examples.
    let hash = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let key = |key: &str| json!({"key-auth": {"key": key}});
    check(
        &json!({"consumers": [
            {"username": "jack", "plugins": key("abc")},
            {"username": "jill", "plugins": key(hash)},
            {"username": "jim", "plugins": key("sha256:abc")},
            {"username": "joe", "plugins": key("$secret://vault/1")},
        ]}),
        &[
            "/consumers/1/plugins/key-auth/key: the consumer `jack` has this key already",
            "/consumers/2/plugins/key-auth/key: expected 64 hexadecimal digits behind `sha256:`",
            "/consumers/3/plugins/key-auth/key: references to secrets are not supported yet",
        ],
        &[],
    );
}

#[test]
fn names_and_passwords_are_checked_together() {
    let held = |username: &str, password: &str| json!({"basic-auth": {"username": username, "password": password}});
    check(
        &json!({"consumers": [
            {"username": "jack", "plugins": held("j", "p")},
            {"username": "jill", "plugins": held("j", "q")},
            {"username": "jim", "plugins": held("j", "p")},
            {"username": "joe", "plugins": held("a:b", "p")},
            {"username": "jon", "plugins": held("jon", "")},
            {"username": "jan", "plugins": {"basic-auth": {"password": "p"}}},
        ]}),
        &[
            "/consumers/2/plugins/basic-auth/password: the consumer `jack` has this name and password already",
            "/consumers/3/plugins/basic-auth/username: expected a name without `:`, which stands between it and its password",
            "/consumers/4/plugins/basic-auth/password: expected at least one character",
            "/consumers/5/plugins/basic-auth: `username` is missing",
        ],
        &[],
    );
}

#[test]
fn guards_that_ask_who_calls_are_checked() {
    let upstream = json!({"nodes": {"a:1": 1}, "pass_host": "node"});
    check(
        &json!({
            "consumers": [{"username": "guest", "labels": {"custom_id": "g\u{e4}st"}}],
            "routes": [
                {"uri": "/a", "upstream": upstream, "plugins": {
                    "key-auth": {"header": "a b", "query": "", "realm": "\n", "anonymous_consumer": "guest"},
                    "basic-auth": {"anonymous_consumer": "gast", "hide_credential": true},
                }},
                {"uri": "/b", "upstream": upstream, "plugins": {
                    "key-auth": {"anonymous_consumer": "gast", "_meta": {"error_response": 5}},
                }},
            ],
        }),
        &[
            "/routes/0/plugins/basic-auth/hide_credential: unknown key; did you mean `hide_credentials`?",
            "/routes/0/plugins/key-auth/header: expected the name of a header",
            "/routes/0/plugins/key-auth/query: expected the name of an argument",
            "/routes/0/plugins/key-auth/realm: expected visible ASCII, which can be sent in a header",
            "/routes/1/plugins/key-auth/_meta/error_response: expected a text or an object",
        ],
        &[
            "/consumers/0/labels/custom_id: only visible ASCII can be sent as `X-Consumer-Custom-Id`: it is not sent",
            "/routes/0/plugins/basic-auth/anonymous_consumer: there is no consumer `gast`: nobody is let in as that",
            "/routes/1/plugins/key-auth/anonymous_consumer: there is no consumer `gast`: nobody is let in as that",
        ],
    );
}
