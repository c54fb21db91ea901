//! What routes take from services and plugin configs, and what is said where they cannot.

use serde_json::{Value, json};

use crate::{check, upstream};

fn split(uri: &str) -> Value {
    json!({"traffic-split": {"rules": [{"weighted_upstreams": [{"rewrite": {"uri": uri}}]}]}})
}

const IGNORED: &str = "APISIX ignores `name`, `rewrite` and `headers` of a branch";

#[test]
fn a_route_may_have_everything_from_elsewhere() {
    check(
        &json!({
            "services": [{
                "id": "s", "name": "n", "desc": "d", "labels": {"a": "b"}, "create_time": 1, "update_time": 2,
                "hosts": ["a.example.com", "*.b.example.com"], "upstream": upstream(), "plugins": {},
            }],
            "plugin_configs": [{"id": "p", "name": "n", "plugins": split("/v1")}],
            "routes": [{"uri": "/*", "service_id": "s", "plugin_config_id": "p"}],
        }),
        &[],
        &[&format!(
            "/plugin_configs/0/plugins/traffic-split/rules/0/weighted_upstreams/0: {IGNORED}"
        )],
    );
}

#[test]
fn names_that_lead_nowhere_are_faults() {
    check(
        &json!({
            "services": [{"id": "shop", "upstream_id": "u"}],
            "plugin_configs": [{"plugins": {"traffic-split": {"rules": [{"upstream_id": "v"}]}}}],
            "routes": [
                {"uri": "/a", "service_id": "shap", "plugin_config_id": "p"},
                {"uri": "/b", "service_id": "shop"},
                {"uri": "/c", "plugin_config_id": "arr_1"},
            ],
        }),
        &[
            "/services/0/upstream_id: there is no upstream `u`",
            "/plugin_configs/0/plugins/traffic-split/rules/0/upstream_id: there is no upstream `v`",
            "/routes/0/plugin_config_id: there is no plugin config `p`",
            "/routes/0/service_id: there is no service `shap`; did you mean `shop`?",
        ],
        &[
            "/plugin_configs/0/plugins/traffic-split/rules: APISIX ignores `weight`, `upstream` and `rewrite` of a rule and sends 100 % to the route's upstream, unrewritten",
        ],
    );
}

#[test]
fn what_is_gone_is_tolerated_in_a_published_document() {
    check(
        &json!({
            "published": {"format": 1, "ledger": "l", "revision": 1},
            "consumers": [
                {"username": "jack", "group_id": "g"},
                {"id": "jill/credentials/c", "plugins": {}},
            ],
            "routes": [{"uri": "/a", "service_id": "s", "plugin_config_id": "p"}],
        }),
        &[],
        &[
            "/consumers/0/group_id: there is no consumer group `g`",
            "/consumers/1/id: there is no consumer `jill`",
            "/routes/0/plugin_config_id: there is no plugin config `p`",
            "/routes/0/service_id: there is no service `s`",
        ],
    );
}

#[test]
fn a_split_from_elsewhere_needs_an_upstream_of_the_route() {
    let at = "/services/0/plugins/traffic-split/rules/0/weighted_upstreams/0";
    let route = |extra: Value| {
        let mut route = json!({"uri": "/a", "service_id": "s"});
        route.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"services": [{"id": "s", "plugins": split("/v1")}], "routes": [route]})
    };
    let warnings: &[&str] = &[&format!("{at}: {IGNORED}")];
    check(&route(json!({"upstream": upstream()})), &[], warnings);
    check(
        &route(json!({})),
        &[&format!(
            "/routes/0/service_id: there is no upstream here, and the route has none either ({at})"
        )],
        warnings,
    );
    // One that does not use the split does not need it, but something.
    check(
        &route(json!({"plugins": {"traffic-split": {"_meta": {"disable": true}}}})),
        &["/routes/0: the route has neither `upstream`, `upstream_id` nor a split"],
        warnings,
    );
}

#[test]
fn faults_of_services_are_said_once() {
    check(
        &json!({
            "services": [
                {"id": "s", "hosts": [], "enable_websocket": true, "script": "return"},
                {"id": "s", "hosts": ["a:x", "b", "b"], "upstream": {"nodes": {}, "pass_host": "node"}},
                {"id": "t", "plugins": {"traffic-split": {"rules": [{"weighted_upstreams": []}]}}},
            ],
            "plugin_configs": [{"id": "p"}],
            "routes": [
                {"uri": "/a", "service_id": "s"},
                {"uri": "/b", "service_id": "t"},
                {"uri": "/c", "service_id": "t", "plugin_config_id": "p"},
            ],
        }),
        &[
            "/services/0/script: APISIX runs Lua here, which Splitway does not: `vars` can say much of it",
            "/services/0/hosts: expected at least one",
            "/services/1/upstream/nodes: expected at least one node",
            "/services/1/hosts/2: `b` stands here twice",
            "/services/1/hosts/0: expected a host name, or one with a leading `*`",
            "/services/1/id: another service has the id `s`",
            "/services/2/plugins/traffic-split/rules/0/weighted_upstreams: expected 1 to 20 branches, found 0",
            "/plugin_configs/0: `plugins` is missing",
        ],
        &[],
    );
}

#[test]
fn plugins_stand_where_they_can() {
    let missing = "APISIX has this plugin, Splitway does not support it yet";
    check(
        &json!({
            "services": [{"id": "s", "plugins": {"hmac-auth": {}, "key-auth": {}}}],
            "global_rules": [
                {"id": 1, "plugins": {
                    "traffic-split": {}, "proxy-rewrite": {}, "key-auth": {}, "trafic-split": {},
                }},
                {"id": 1, "plugins": {}},
                {},
            ],
            "plugin_metadata": [
                {"id": "traffic-split"},
                {"id": "key-auth", "log_format": {}},
                {"id": "http-logger"},
                {"id": "x"},
                {},
            ],
        }),
        &[
            &format!("/services/0/plugins/hmac-auth: {missing}"),
            "/global_rules/0/plugins/trafic-split: unknown plugin [trafic-split]; did you mean `traffic-split`?",
            "/global_rules/1/id: another global rule has the id `1`",
            "/global_rules/2: `plugins` is missing",
            "/plugin_metadata/1/log_format: unknown key",
            &format!("/plugin_metadata/2/id: {missing}"),
            "/plugin_metadata/3/id: unknown plugin [x]",
            "/plugin_metadata/4: `id` is missing, the name of a plugin",
        ],
        &[],
    );
}
