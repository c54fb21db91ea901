//! Revisions: who changed what, and how it was before.

use serde_json::{Value, json};

use super::{route, with};
use crate::control::Control;

/// Three changes: two routes are made, one is changed.
fn three_changes<T: Control>(admin: &T) {
    for (line, uri) in [("PUT /routes/a", "/1"), ("PUT /routes/b", "/2"), ("PUT /routes/a", "/3")] {
        assert!(matches!(admin.say(line, &route(uri)).status, 200 | 201));
    }
}

fn named(id: &str, uri: &str) -> Value {
    with(route(uri), "id", json!(id))
}

pub(super) fn every_change_is_a_revision<T: Control>(admin: &mut T) {
    three_changes(admin);
    let told = admin.own("GET /revisions", &Value::Null).json();
    assert_eq!(told["current"], 3);
    let list = told["revisions"].as_array().unwrap();
    let causes: Vec<_> = list.iter().map(|it| (&it["revision"], &it["cause"], &it["by"])).collect();
    let admin_key = json!("admin");
    assert_eq!(
        causes,
        [
            (&json!(3), &json!("put route a"), &admin_key),
            (&json!(2), &json!("add route b"), &admin_key),
            (&json!(1), &json!("add route a"), &admin_key),
        ]
    );
    let changes = json!([{"op": "change", "kind": "routes", "id": "a"}]);
    assert_eq!(list[0]["changes"], changes);
    let at = list[0]["at"].as_str().unwrap();
    assert!(at.ends_with('Z') && at.len() == 24, "{at}");
    let page = admin.own("GET /revisions?before=3&limit=1", &Value::Null).json();
    assert_eq!(page["revisions"], json!([list[1]]));

    for (revision, routes) in [
        (1, json!([named("a", "/1")])),
        (2, json!([named("a", "/1"), named("b", "/2")])),
        (3, json!([named("a", "/3"), named("b", "/2")])),
    ] {
        let told = admin.own(&format!("GET /revisions/{revision}"), &Value::Null);
        assert_eq!(told.status, 200, "{}", told.text());
        assert_eq!(told.json()["document"], json!({"routes": routes}), "{revision}");
    }
    for (revision, status) in
        [("0", 404), ("4", 404), ("x", 400), ("-1", 400), ("99999999999999999999", 400)]
    {
        let told = admin.own(&format!("GET /revisions/{revision}"), &Value::Null);
        assert_eq!(told.status, status, "{revision}: {}", told.text());
    }
}

pub(super) fn two_revisions_are_compared<T: Control>(admin: &mut T) {
    three_changes(admin);
    let diff = |from: u64, to: u64| {
        let told = admin.own(&format!("GET /revisions/{from}/diff/{to}"), &Value::Null);
        assert_eq!(told.status, 200, "{}", told.text());
        told.json()["changes"].clone()
    };
    let changed = |op: &str, id: &str, before: Value, after: Value| json!({"op": op, "kind": "routes", "id": id, "before": before, "after": after});
    assert_eq!(
        diff(1, 3),
        json!([
            changed("change", "a", named("a", "/1"), named("a", "/3")),
            changed("add", "b", Value::Null, named("b", "/2")),
        ])
    );
    assert_eq!(diff(2, 1), json!([changed("remove", "b", named("b", "/2"), Value::Null)]));
    assert_eq!(diff(2, 2), json!([]));
    assert_eq!(admin.own("GET /revisions/1/diff/9", &Value::Null).status, 404);
}

pub(super) fn a_rollback_is_a_change_of_its_own<T: Control>(admin: &mut T) {
    three_changes(admin);
    let key = json!({"role": "viewer", "key": "the-key-of-a-viewer"});
    assert_eq!(admin.own("PUT /keys/looker", &key).status, 201);
    let trial = admin.own("POST /revisions/1/rollback?dry_run=true", &Value::Null);
    assert_eq!(trial.json()["changes"].as_array().unwrap().len(), 2);
    assert_eq!(trial.json()["revision"], 4);
    let done = admin.own("POST /revisions/1/rollback", &Value::Null);
    assert_eq!((done.status, &done.json()["revision"]), (200, &json!(5)), "{}", done.text());
    let document = admin.own("GET /config", &Value::Null).json();
    assert_eq!(document, json!({"routes": [named("a", "/1")]}));
    let latest = admin.own("GET /revisions?limit=1", &Value::Null).json();
    assert_eq!(latest["revisions"][0]["cause"], "roll back to revision 1");
    // Keys are not rolled back.
    assert_eq!(admin.own("GET /keys", &Value::Null).json()["keys"][0]["name"], "looker");
    assert_eq!(admin.own("POST /revisions/3/rollback", &Value::Null).json()["revision"], 6);
    assert_eq!(admin.own("POST /revisions/9/rollback", &Value::Null).status, 404);
}
