//! What may go, and what goes with it.

use serde_json::{Value, json};

use super::route;
use crate::control::{Control, check_error};

pub(super) fn what_is_used_stays_unless_it_is_forced<T: Control>(admin: &mut T) {
    let upstream = json!({"nodes": {"127.0.0.1:80": 1}, "pass_host": "node"});
    let split =
        json!({"traffic-split": {"rules": [{"weighted_upstreams": [{"upstream_id": "b"}]}]}});
    for (line, value) in [
        ("PUT /upstreams/a", upstream.clone()),
        ("PUT /upstreams/b", upstream),
        ("PUT /services/s", json!({"upstream_id": "a"})),
        ("PUT /plugin_configs/p", json!({"plugins": {}})),
        ("PUT /consumer_groups/g", json!({"plugins": {}})),
        ("PUT /consumers/jack", json!({"username": "jack", "group_id": "g"})),
        ("PUT /routes/1", json!({"uri": "/a", "service_id": "s", "plugin_config_id": "p"})),
        ("PUT /routes/2", json!({"uri": "/b", "upstream_id": "a", "plugins": split})),
    ] {
        let made = admin.say(line, &value);
        assert_eq!(made.status, 201, "{line}: {}", made.text());
    }
    let still = "is still using it now";
    for (line, error_msg) in [
        ("DELETE /upstreams/a", format!("can not delete this upstream, route [2] {still}")),
        (
            "DELETE /upstreams/b",
            format!("can not delete this upstream, plugin in route [2] {still}"),
        ),
        ("DELETE /services/s", format!("can not delete this service directly, route [1] {still}")),
        (
            "DELETE /plugin_configs/p",
            format!("can not delete this plugin config, route [1] {still}"),
        ),
        (
            "DELETE /consumer_groups/g",
            format!("can not delete this consumer group, consumer [jack] {still}"),
        ),
    ] {
        check_error(&admin.say(line, &Value::Null), 400, &error_msg);
    }
    // Nothing but the word itself forces anything.
    for force in ["", "False", "no", "0", "1", "TRUE"] {
        let refused = admin.say(&format!("DELETE /upstreams/a?force={force}"), &Value::Null);
        assert_eq!(refused.status, 400, "{force}");
    }
    let forced = admin.say("DELETE /upstreams/a?force=true", &Value::Null);
    assert_eq!(forced.status, 200, "{}", forced.text());
    // All else can be changed on, but for what still refers to it.
    assert_eq!(admin.say("PUT /routes/3", &route("/c")).status, 201);
    let again = json!({"uri": "/b", "upstream_id": "a"});
    let error_msg = "failed to fetch upstream info by upstream id [a], response code: 404";
    assert_eq!(admin.say("PUT /routes/2", &again).json()["error_msg"], error_msg);
    assert_eq!(admin.say("DELETE /routes/2", &Value::Null).status, 200);
}

pub(super) fn a_consumer_takes_its_credentials_along<T: Control>(admin: &mut T) {
    for name in ["jack", "jackson"] {
        assert_eq!(admin.say("PUT /consumers", &json!({"username": name})).status, 201);
        let credential = json!({"plugins": {"key-auth": {"key": format!("key-of-{name}")}}});
        let made = admin.say(&format!("PUT /consumers/{name}/credentials/c"), &credential);
        assert_eq!(made.status, 201, "{}", made.text());
    }
    let gone = json!({"deleted": "1", "key": "/apisix/consumers/jack"});
    assert_eq!(admin.say("DELETE /consumers/jack", &Value::Null).json(), gone);
    assert_eq!(admin.say("PUT /consumers", &json!({"username": "jack"})).status, 201);
    assert_eq!(admin.say("GET /consumers/jack/credentials", &Value::Null).json()["total"], 0);
    assert_eq!(admin.say("GET /consumers/jackson/credentials", &Value::Null).json()["total"], 1);
}
