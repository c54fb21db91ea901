//! Whole documents.

use serde_json::{Value, json};

use super::{route, with};
use crate::control::{Control, with_key};
use crate::message::Answer;

fn named(id: &str, uri: &str) -> Value {
    with(route(uri), "id", json!(id))
}

fn put<T: Control>(admin: &T, document: &Value, expected: Option<&str>) -> Answer {
    let call = with_key("PUT /config", "/splitway/v1", document);
    admin.ask(&match expected {
        Some(revision) => call.header("if-match", revision),
        None => call,
    })
}

/// What was changed: operation, kind and id of each.
fn changes(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let changes = answer.json()["changes"].as_array().unwrap().clone();
    let told =
        changes.iter().map(|change| ["op", "kind", "id"].map(|key| text(&change[key])).join(" "));
    told.collect()
}

/// The SHA-256 of `k`, as which it is kept.
const HASH: &str = "sha256:8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a";

pub(super) fn a_document_is_replaced_as_a_whole<T: Control>(admin: &mut T) {
    let empty = admin.own("GET /config", &Value::Null);
    assert_eq!((empty.json(), empty.header("etag").as_deref()), (json!({}), Some("\"0\"")));
    let first = json!({
        "routes": [named("a", "/a"), named("b", "/b")],
        "consumers": [
            {"username": "jack"},
            {"id": "jack/credentials/c1", "plugins": {"key-auth": {"key": HASH}}},
        ],
        "settings": {"proof_headers": false},
    });
    let done = put(admin, &first, None);
    assert_eq!(
        changes(&done),
        [
            "add routes a",
            "add routes b",
            "add consumers jack",
            "add credentials jack/credentials/c1",
            "add settings settings",
        ]
    );
    assert_eq!(
        (&done.json()["revision"], done.header("etag").as_deref()),
        (&json!(1), Some("\"1\""))
    );
    assert_eq!(admin.own("GET /config", &Value::Null).json(), first);
    assert_eq!(admin.say("GET /consumers/jack/credentials/c1", &Value::Null).status, 200);

    assert_eq!(changes(&put(admin, &first, Some("\"1\""))), Vec::<String>::new());
    let second = json!({"routes": [named("b", "/other"), named("c", "/c")]});
    let done = put(admin, &second, Some("\"1\""));
    assert_eq!(
        changes(&done),
        [
            "change routes b",
            "add routes c",
            "remove routes a",
            "remove consumers jack",
            "remove credentials jack/credentials/c1",
            "remove settings settings",
        ]
    );
    let changed = &done.json()["changes"][0];
    assert_eq!((&changed["before"], &changed["after"]), (&named("b", "/b"), &named("b", "/other")));
    assert_eq!(admin.own("GET /config", &Value::Null).json(), second);
    assert_eq!(changes(&put(admin, &json!({}), Some("*"))).len(), 2);
}

pub(super) fn of_two_writers_that_expect_one_revision_one_wins<T: Control>(admin: &mut T) {
    assert_eq!(put(admin, &json!({"routes": [named("a", "/a")]}), Some("\"0\"")).status, 200);
    let late = put(admin, &json!({}), Some("\"0\""));
    assert_eq!((late.status, &late.json()["revision"]), (412, &json!(1)));
    assert_eq!(late.json()["type"], "urn:splitway:problem:revision_outdated");
    for garbage in ["\"x\"", "-1", "\"1", "\"1\", \"2\""] {
        assert_eq!(put(admin, &json!({}), Some(garbage)).status, 400, "{garbage}");
    }
    assert_eq!(admin.say("GET /routes", &Value::Null).json()["total"], 1);
    assert_eq!(put(admin, &json!({}), Some("1")).status, 200);
}

pub(super) fn a_trial_changes_nothing<T: Control>(admin: &mut T) {
    assert_eq!(admin.say("PUT /routes/a", &route("/a")).status, 201);
    let trial = admin.own("PUT /config?dry_run=true", &json!({"routes": [named("b", "/b")]}));
    assert_eq!(changes(&trial), ["add routes b", "remove routes a"]);
    assert_eq!((&trial.json()["revision"], &trial.json()["dry_run"]), (&json!(1), &json!(true)));
    assert_eq!(admin.own("GET /revisions", &Value::Null).json()["current"], 1);
    assert_eq!(admin.say("GET /routes/a", &Value::Null).status, 200);
}

pub(super) fn a_faulty_document_changes_nothing_and_is_told_whole<T: Control>(admin: &mut T) {
    assert_eq!(admin.say("PUT /routes/a", &route("/a")).status, 201);
    let faulty = json!({
        "routes": [named("b", "b"), {"id": "c", "uri": "/c", "upstream_id": "nope"}],
        "rotes": [],
    });
    let refused = put(admin, &faulty, None);
    assert_eq!(refused.status, 400);
    let told = refused.json();
    let faults = told["errors"].as_array().unwrap().iter();
    let mut places: Vec<_> = faults.map(|fault| fault["pointer"].as_str().unwrap()).collect();
    places.sort_unstable();
    assert_eq!(places, ["/rotes", "/routes/0/uri", "/routes/1/upstream_id"]);
    for body in
        [json!("{"), json!("[]"), json!("routes: []"), json!("{\"a\":1,\"a\":2}"), json!("")]
    {
        assert_eq!(put(admin, &body, None).status, 400, "{body}");
    }
    let yaml = with_key("PUT /config", "/splitway/v1", &json!("routes: []"));
    assert_eq!(admin.ask(&yaml.header("content-type", "application/yaml")).status, 415);
    assert_eq!(admin.own("DELETE /config", &Value::Null).status, 405);
    // What was meant as a trial is not done for real.
    let mistyped = admin.own("PUT /config?dry-run=true", &json!({}));
    let told = "unknown argument `dry-run`; did you mean `dry_run`?";
    assert_eq!((mistyped.status, &mistyped.json()["title"]), (400, &json!(told)));
    assert_eq!(admin.own("GET /nonsense", &Value::Null).status, 404);
    assert_eq!(admin.own("GET /revisions", &Value::Null).json()["current"], 1);
}

/// An id is the same however it is written: `7`, `"7"` and, as YAML readers may have it, `7.0`.
pub(super) fn a_number_is_the_same_id_however_it_is_written<T: Control>(admin: &mut T) {
    let upstream = json!({"id": 7.0, "nodes": {"127.0.0.1:80": 1}, "pass_host": "node"});
    let route = json!({"id": 1e1, "uri": "/a", "upstream_id": 7.0});
    let done = put(admin, &json!({"routes": [route], "upstreams": [upstream]}), None);
    assert_eq!(changes(&done), ["add routes 10", "add upstreams 7"]);
    let used = admin.say("DELETE /upstreams/7", &Value::Null);
    assert_eq!(used.status, 400, "{}", used.text());
    let read = admin.say("GET /routes/10", &Value::Null);
    assert_eq!((read.status, &read.json()["value"]["id"]), (200, &json!("10")));
    assert_eq!(admin.say("PATCH /routes/10", &json!({"id": 10.0})).status, 200);
    assert_eq!(admin.say("GET /routes/10", &Value::Null).json()["value"]["id"], "10");
}

/// What a document names is there to stay, also if it was to go by itself.
pub(super) fn a_document_makes_stay_what_was_to_go<T: Control>(admin: &mut T) {
    assert_eq!(admin.say("PUT /routes/t?ttl=3600", &route("/t")).status, 201);
    let read = admin.say("GET /routes/t", &Value::Null).json();
    assert!(read["expiresAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{read}");
    let document = json!({"routes": [named("t", "/t")]});
    assert_eq!(changes(&put(admin, &document, None)), ["change routes t"]);
    assert_eq!(changes(&put(admin, &document, None)), Vec::<String>::new());
}

/// Among routes that match alike the first one wins, so the order is part of what is written.
pub(super) fn the_order_of_a_document_is_kept<T: Control>(admin: &mut T) {
    let in_order = |order: &[&str]| json!({"routes": order.iter().map(|id| named(id, "/same")).collect::<Vec<_>>()});
    for order in [["c", "a", "b"], ["a", "b", "c"], ["b", "a", "c"], ["b", "c", "a"]] {
        let document = in_order(&order);
        assert_eq!(put(admin, &document, None).status, 200);
        assert_eq!(admin.own("GET /config", &Value::Null).json(), document);
        assert_eq!(changes(&put(admin, &document, None)), Vec::<String>::new());
    }
}

pub(super) fn a_document_is_written_as_yaml_too<T: Control>(admin: &mut T) {
    assert_eq!(admin.say("PUT /routes/a", &route("/a")).status, 201);
    let expected = concat!(
        "routes:\n",
        "  - id: a\n",
        "    upstream:\n",
        "      nodes:\n",
        "        \"127.0.0.1:80\": 1\n",
        "      pass_host: node\n",
        "    uri: /a\n",
    );
    let asked = admin.own("GET /config?format=yaml", &Value::Null);
    assert_eq!((asked.text().as_str(), asked.header("etag").as_deref()), (expected, Some("\"1\"")));
    let call = with_key("GET /config", "/splitway/v1", &Value::Null);
    let accepted = admin.ask(&call.header("accept", "application/yaml"));
    assert_eq!(accepted.header("content-type").as_deref(), Some("application/yaml"));
    assert_eq!(accepted.text(), expected);
}
