//! What a change would do, before it is made.

use serde_json::{Value, json};

use super::{route, with};
use crate::control::{Control, with_key};
use crate::message::Call;

/// Rules that send `next` so many of 100 requests, the same client to the same branch.
fn rules(next: u32) -> Value {
    let branches = json!([{"name": "now", "weight": 100 - next}, {"name": "next", "weight": next}]);
    json!({"traffic-split": {"rules": [{"weighted_upstreams": branches, "sticky": {"by": ["header:x-user"]}}]}})
}

fn chat(next: u32) -> Value {
    with(route("/chat"), "plugins", rules(next))
}

fn patch(next: u32) -> Value {
    json!({"kind": "routes", "id": "chat", "patch": {"plugins": rules(next)}})
}

pub(super) fn who_would_move_is_told_and_nobody_moves<T: Control>(admin: &mut T) {
    assert_eq!(admin.say("PUT /routes/chat", &chat(5)).status, 201);
    let told = admin.own("POST /impact", &patch(10));
    assert_eq!(told.status, 200, "{}", told.text());
    let told = told.json();
    assert_eq!(told["revision"], json!(1));
    let change = &told["changes"][0];
    let names = ["op", "kind", "id"].map(|key| change[key].clone());
    assert_eq!(names, ["change", "routes", "chat"].map(Value::from));
    let split = &told["traffic"]["splits"][0];
    assert_eq!((&split["route"], &split["rule"]), (&json!("chat"), &json!(0)));
    let percents = split["branches"].as_array().unwrap().iter();
    let percents: Vec<_> = percents
        .map(|it| (it["before"]["percent"].clone(), it["after"]["percent"].clone()))
        .collect();
    assert_eq!(percents, [(json!(95.0), json!(90.0)), (json!(5.0), json!(10.0))]);
    // Keys that are made up move to the branch that grew, and none moves back.
    assert_eq!((&split["keys_decide"], &split["keys"]["count"]), (&json!("still"), &json!(10_000)));
    let moves = split["keys"]["moves"].as_array().unwrap();
    assert_eq!(moves.len(), 1, "{moves:?}");
    assert_eq!((&moves[0]["from"], &moves[0]["to"]), (&json!("now"), &json!("next")));
    let moved = moves[0]["count"].as_u64().unwrap();
    assert!((400..620).contains(&moved), "{moved}");

    let same = admin.own("POST /impact", &patch(5)).json();
    assert_eq!((&same["changes"], &same["traffic"]["splits"]), (&json!([]), &json!([])));
    assert_eq!(admin.own("GET /revisions", &Value::Null).json()["current"], json!(1));
    let value = admin.say("GET /routes/chat", &Value::Null).json()["value"]["plugins"].clone();
    assert_eq!(value, rules(5));
}

pub(super) fn keys_that_are_named_are_told_of_one_by_one<T: Control>(admin: &mut T) {
    assert_eq!(admin.say("PUT /routes/chat", &chat(5)).status, 201);
    let keys: Vec<String> = (0..300).map(|number| format!("u-{number}")).collect();
    let told = admin.own("POST /impact", &with(patch(60), "keys", json!(keys))).json();
    let split = &told["traffic"]["splits"][0];
    assert_eq!(split["keys"]["count"], json!(300));
    let moved = told["traffic"]["moved"].as_array().unwrap();
    assert_eq!(json!(moved.len()), split["keys"]["moves"][0]["count"]);
    // Each goes where it is said to go, and the others stay where they are.
    let explained = |key: &str| {
        let asked = json!({"url": "/chat", "headers": {"x-user": key}});
        admin.own("POST /explain", &asked).json()["pick"]["branch"].clone()
    };
    let sample: Vec<&str> = keys.iter().step_by(29).map(String::as_str).collect();
    let before: Vec<Value> = sample.iter().map(|key| explained(key)).collect();
    assert_eq!(admin.say("PATCH /routes/chat", &patch(60)["patch"]).status, 200);
    for (key, before) in sample.iter().zip(before) {
        let told = moved.iter().find(|it| it["key"] == **key);
        let expected = told.map_or(before.clone(), |it| it["to"].clone());
        assert_eq!(explained(key), expected, "{key}");
        assert_eq!(told.is_some(), explained(key) != before, "{key}");
    }
}

pub(super) fn a_change_is_told_in_any_of_its_forms<T: Control>(admin: &mut T) {
    assert_eq!(admin.say("PUT /routes/chat", &chat(5)).status, 201);
    assert_eq!(admin.say("PUT /routes/chat", &chat(20)).status, 200);
    let named = with(chat(5), "id", json!("chat"));
    for (asked, shares) in [
        (json!({"kind": "routes", "id": "chat", "value": chat(5)}), (20.0, 5.0)),
        (json!({"document": {"routes": [named]}}), (20.0, 5.0)),
        (json!({"revision": 1, "keys": 0}), (20.0, 5.0)),
    ] {
        let told = admin.own("POST /impact", &asked);
        assert_eq!(told.status, 200, "{asked}: {}", told.text());
        let next = told.json()["traffic"]["splits"][0]["branches"][1].clone();
        let percents = (&next["before"]["percent"], &next["after"]["percent"]);
        assert_eq!(percents, (&json!(shares.0), &json!(shares.1)), "{asked}");
    }
    let gone = admin.own("POST /impact", &json!({"document": {}})).json();
    assert_eq!(gone["traffic"]["removed"], json!(["chat"]));
    let new = json!({"kind": "routes", "id": "new", "value": route("/new")});
    assert_eq!(admin.own("POST /impact", &new).json()["traffic"]["added"], json!(["new"]));
    assert_eq!(admin.own("GET /revisions", &Value::Null).json()["current"], json!(2));
}

pub(super) fn what_could_not_be_changed_is_refused_as_the_change_would_be<T: Control>(
    admin: &mut T,
) {
    assert_eq!(admin.say("PUT /routes/chat", &chat(5)).status, 201);
    let long = "k".repeat(5000);
    for (asked, status, pointer) in [
        (json!({}), 400, ""),
        (json!({"kind": "routes", "id": "chat"}), 400, ""),
        (json!({"revision": 1, "document": {}}), 400, ""),
        (json!({"kind": "route", "id": "chat", "value": {}}), 400, "/kind"),
        (json!({"kind": "credentials", "id": "c", "value": {}}), 400, "/kind"),
        (json!({"revison": 1}), 400, "/revison"),
        (with(patch(10), "keys", json!("u-1")), 400, "/keys"),
        (with(patch(10), "keys", json!([1])), 400, "/keys"),
        (with(patch(10), "keys", json!([long])), 400, "/keys"),
        (with(patch(10), "keys", json!(100_001)), 400, "/keys"),
        (with(patch(10), "id", json!("nobody")), 404, ""),
        (json!({"revision": 9}), 404, ""),
        (json!({"kind": "routes", "id": "chat", "patch": {"upstraem": 1}}), 400, "/upstraem"),
        (json!({"document": {"routes": [{"id": "x"}]}}), 400, "/routes/0"),
    ] {
        let refused = admin.own("POST /impact", &asked);
        assert_eq!(refused.status, status, "{asked}: {}", refused.text());
        let told = refused.json();
        let has = |it: &Value| it["pointer"] == pointer;
        let is_told = told["errors"].as_array().is_some_and(|errors| errors.iter().any(has));
        assert!(status == 404 || is_told, "{asked}: {told}");
    }
    assert_eq!(admin.own("POST /impact", &json!("no JSON")).status, 400);
    assert_eq!(admin.own("PUT /impact", &json!({})).status, 405);
    assert_eq!(admin.ask(&Call::post("/splitway/v1/impact", "{}")).status, 401);
    // Whoever may look may ask.
    let viewer = json!({"role": "viewer", "key": "the-key-of-a-viewer"});
    assert_eq!(admin.own("PUT /keys/looker", &viewer).status, 201);
    let call = Call::post("/splitway/v1/impact", patch(10).to_string());
    assert_eq!(admin.ask(&call.header("x-api-key", "the-key-of-a-viewer")).status, 200);
    let now = admin.say("GET /routes/chat", &Value::Null).json()["value"]["plugins"].clone();
    assert_eq!(now, rules(5));
}

/// A resource is written only at the revision that somebody looked at.
pub(super) fn resources_are_written_at_one_revision_only<T: Control>(admin: &mut T) {
    assert_eq!(admin.say("PUT /routes/chat", &chat(5)).status, 201);
    let at = |line: &str, body: &Value, revision: &str| {
        let call = with_key(line, "/apisix/admin", body).header("If-Match", revision);
        admin.ask(&call)
    };
    let part = &patch(10)["patch"];
    for (line, body) in [
        ("PATCH /routes/chat", part),
        ("PUT /routes/chat", &chat(10)),
        ("POST /routes", &route("/new")),
        ("DELETE /routes/chat", &Value::Null),
    ] {
        for outdated in ["\"0\"", "\"2\""] {
            let refused = at(line, body, outdated);
            assert_eq!(refused.status, 412, "{line}: {}", refused.text());
            assert_eq!(refused.json()["revision"], json!(1));
        }
        assert_eq!(at(line, body, "\"one\"").status, 400, "{line}");
    }
    assert_eq!(at("PATCH /routes/chat", part, "\"1\"").status, 200);
    assert_eq!(at("PATCH /routes/chat", part, "\"1\"").status, 412);
    assert_eq!(at("PUT /routes/chat", &chat(20), "W/\"2\"").status, 200);
    assert_eq!(at("POST /routes", &route("/new"), "*").status, 201);
    assert_eq!(at("DELETE /routes/chat", &Value::Null, "4").status, 200);
}
