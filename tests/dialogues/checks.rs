//! Schemas, plugins, and checks that write nothing.

use serde_json::{Value, json};

use super::route;
use crate::control::{Control, check, check_error};

pub(super) fn schemas_and_plugins_are_told<T: Control>(admin: &mut T) {
    for name in [
        "route",
        "service",
        "upstream",
        "consumer",
        "consumer_group",
        "global_rule",
        "plugin_config",
        "plugin_metadata",
    ] {
        let schema = admin.say(&format!("GET /schema/{name}"), &Value::Null);
        assert_eq!((schema.status, &schema.json()["type"]), (200, &json!("object")), "{name}");
    }
    let uri = &admin.say("GET /schema/route", &Value::Null).json()["properties"]["uri"];
    let told = ["type", "minLength", "maxLength"].map(|key| uri[key].clone());
    assert_eq!(told, [json!("string"), json!(1), json!(4096)]);
    let split = admin.say("GET /schema/plugins/traffic-split", &Value::Null);
    assert_eq!(split.json()["properties"]["rules"]["type"], "array");
    check_error(&admin.say("GET /schema/nope", &Value::Null), 400, "not found schema: nope");
    let plugins = admin.say("GET /plugins/list", &Value::Null).json();
    assert!(plugins.as_array().unwrap().contains(&json!("traffic-split")), "{plugins}");
    assert_eq!(admin.say("GET /plugins/traffic-split", &Value::Null).status, 200);
    let nope = admin.say("GET /plugins/nope", &Value::Null);
    check_error(&nope, 404, "plugin not found in subsystem http");
    assert_eq!(admin.say("PUT /plugins/reload", &Value::Null).text(), "done");
    assert_eq!(admin.say("POST /plugins/reload", &Value::Null).status, 405);
}

pub(super) fn resources_and_documents_are_checked_without_writing<T: Control>(admin: &mut T) {
    for (kind, value, status) in [
        ("route", route("/a"), 200),
        ("routes", route("/a"), 200),
        ("route", json!({"uri": "/a", "upstream_id": "nobody-knows"}), 200),
        ("route", json!({"uri": "a"}), 400),
        ("upstream", json!({"nodes": {}}), 400),
        ("service", json!({"plugins": {}}), 200),
        ("consumer", json!({"username": "a b"}), 400),
        ("plugin_config", json!({}), 400),
        ("nonsense", json!({}), 400),
    ] {
        let checked = admin.say(&format!("POST /schema/validate/{kind}"), &value);
        assert_eq!(checked.status, status, "{kind} {value}: {}", checked.text());
    }
    let good = json!({"routes": [route("/a")]});
    check(&admin.say("POST /configs/validate", &good), 200, &json!({}));
    let faulty =
        json!({"routes": [route("/a"), {"id": "x", "uri": "b"}], "upstreams": [{"id": "u"}]});
    let told = admin.say("POST /configs/validate", &faulty);
    assert_eq!(told.status, 400);
    let told = told.json();
    assert_eq!(told["error_msg"], "Configuration validation failed");
    let errors = told["errors"].as_array().unwrap();
    let of = |error: &Value| {
        let member = |key: &str| error[key].clone();
        [member("resource_type"), member("resource_id"), member("index")]
    };
    let places: Vec<_> = errors.iter().map(of).collect();
    assert!(places.contains(&[json!("routes"), json!("x"), json!(1)]), "{told}");
    assert!(places.contains(&[json!("upstreams"), json!("u"), json!(0)]), "{told}");
    assert_eq!(admin.say("GET /routes", &Value::Null).json()["total"], 0);
    assert_eq!(admin.own("GET /revisions", &Value::Null).json()["current"], 0);
}
