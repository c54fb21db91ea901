//! Changes to a part of a resource.

use serde_json::{Value, json};

use super::{route, with};
use crate::control::{Control, check_error};

pub(super) fn a_patch_merges_or_sets_what_is_at_a_path<T: Control>(admin: &mut T) {
    let made = with(with(route("/a"), "desc", json!("old")), "methods", json!(["GET", "POST"]));
    assert_eq!(admin.say("PUT /routes/1", &made).status, 201);
    for (line, part, pointer, expected) in [
        ("PATCH /routes/1", json!({"desc": null}), "/desc", Value::Null),
        ("PATCH /routes/1", json!({"methods": ["PUT"]}), "/methods", json!(["PUT"])),
        (
            "PATCH /routes/1",
            json!({"upstream": {"nodes": {"127.0.0.1:80": null, "127.0.0.2:80": 3}}}),
            "/upstream/nodes",
            json!({"127.0.0.2:80": 3}),
        ),
        ("PATCH /routes/1/labels/env", json!("\"prod\""), "/labels", json!({"env": "prod"})),
        (
            "PATCH /routes/1/upstream/nodes",
            json!({"127.0.0.1:81": 1}),
            "/upstream/nodes",
            json!({"127.0.0.1:81": 1}),
        ),
        ("PATCH /routes/1", json!({"create_time": 7}), "/create_time", json!(7)),
        ("PATCH /routes/1", json!({"update_time": 8}), "/update_time", json!(8)),
    ] {
        let patched = admin.say(line, &part);
        assert_eq!(patched.status, 200, "{line} {part}: {}", patched.text());
        let value = patched.json()["value"].clone();
        let found = value.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(found, expected, "{line} {part}");
        assert_eq!(admin.say("GET /routes/1", &Value::Null).json()["value"], value);
    }
}

pub(super) fn a_patch_is_checked_as_a_whole<T: Control>(admin: &mut T) {
    let missing = json!({"message": "Key not found"});
    assert_eq!(admin.say("PATCH /routes/1", &json!({})).json(), missing);
    assert_eq!(admin.say("PUT /routes/1", &route("/a")).status, 201);
    let before = admin.say("GET /routes/1", &Value::Null).json();
    for (line, part) in [
        ("PATCH /routes/1", json!({"status": 5})),
        ("PATCH /routes/1", json!({"uri": null})),
        ("PATCH /routes/1", json!({"id": "2"})),
        ("PATCH /routes/1", json!([])),
        ("PATCH /routes/1/uri", json!("1")),
        ("PATCH /routes/1/uri/x", json!("1")),
        ("PATCH /routes/1/upstream/nodes/127.0.0.1:80/x", json!("1")),
        ("PATCH /routes/1/nonsense", json!("1")),
    ] {
        let refused = admin.say(line, &part);
        assert_eq!(refused.status, 400, "{line} {part}: {}", refused.text());
    }
    assert_eq!(admin.say("GET /routes/1", &Value::Null).json(), before);
    check_error(&admin.say("PATCH /routes/1", &json!({"id": "2"})), 400, "wrong route id");
}
