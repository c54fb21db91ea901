//! What is said of consumers, credentials and groups.

use serde_json::json;

use crate::check;

const NO_EFFECT: &str = "kept and checked, without effect yet: no plugin here asks who calls";

#[test]
fn consumers_are_kept_without_effect() {
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
        &[&format!("/consumers: {NO_EFFECT}"), &format!("/consumer_groups: {NO_EFFECT}")],
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
            "/consumer_groups/0/plugins/key-auth: APISIX has this plugin, Splitway does not support it yet",
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
        &[&format!("/consumers: {NO_EFFECT}"), &format!("/consumer_groups: {NO_EFFECT}")],
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
        &[&format!("/consumers: {NO_EFFECT}")],
    );
}
