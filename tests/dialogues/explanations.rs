//! What would become of a request.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use splitway_core::seal::{Secret, token};
use splitway_core::time::Timestamp;

use super::{route, with};
use crate::control::{Control, check};
use crate::message::Call;
use crate::target::SECRET;

/// A route whose branch `next` has no share, but may be asked for by name.
fn split() -> Value {
    let rules = json!([{
        "weighted_upstreams": [
            {"name": "now", "rewrite": {"uri": "/v1"}},
            {"name": "next", "weight": 0, "rewrite": {"uri": "/v2", "body": {"model": "b"}}},
        ],
        "override": {"tokens": true, "addresses": ["10.0.0.0/8"]},
    }]);
    with(route("/chat"), "plugins", json!({"traffic-split": {"rules": rules}}))
}

pub(super) fn a_request_is_explained_by_the_document_there_is<T: Control>(admin: &mut T) {
    let asked = json!({"url": "https://api.example.com/chat?a=1", "body": {"model": "a"}});
    let nothing = admin.own("POST /explain", &asked);
    assert_eq!(nothing.status, 200, "{}", nothing.text());
    let nothing = nothing.json();
    assert_eq!((&nothing["route"], &nothing["problem"]["status"]), (&Value::Null, &json!(404)));

    assert_eq!(
        admin.say("PUT /routes/post", &with(route("/chat"), "methods", json!(["PUT"]))).status,
        201
    );
    assert_eq!(admin.say("PUT /routes/chat", &split()).status, 201);
    let told = admin.own("POST /explain", &asked).json();
    assert_eq!((&told["revision"], &told["route"]), (&json!("2"), &json!("chat")));
    let passed = json!([{"route": "post", "why": "its method is PUT"}]);
    assert_eq!(told["passed_over"], passed);
    let pick = json!({
        "branch": "now", "by": "turn", "point": "step 0 of 1",
        "branches": [{"name": "now", "weight": 1}, {"name": "next", "weight": 0}],
    });
    assert_eq!((&told["rule"], &told["pick"]), (&json!(0), &pick));
    let sent = ["method", "url", "host"].map(|key| told["request"][key].clone());
    assert_eq!(sent, ["POST", "http://127.0.0.1/v1?a=1", "127.0.0.1"].map(Value::from));
    assert_eq!(told["response_headers"]["set"]["x-splitway-branch"], "now");

    // In another form of the same, and from an address that may choose.
    let headers = json!([["Host", "api.example.com"], ["X-Splitway-Branch", "next"]]);
    let asked = json!({"url": "/chat", "method": "PUT", "headers": headers, "client": "10.1.2.3", "body": "{}"});
    assert_eq!(admin.own("POST /explain", &asked).json()["route"], "post");
    let asked = with(with(asked, "method", json!("POST")), "at", json!("2026-11-22T19:00:00Z"));
    let told = admin.own("POST /explain", &asked).json();
    assert_eq!(told["pick"]["by"], "override");
    assert_eq!(told["request"]["body"], "{\"model\":\"b\"}");
    let yaml = admin.own("POST /explain?format=yaml", &asked);
    assert!(yaml.text().contains("\nroute: chat\n"), "{}", yaml.text());
    assert_eq!(admin.own("GET /revisions", &Value::Null).json()["current"], 2);
}

pub(super) fn what_cannot_be_understood_is_told_with_its_places<T: Control>(admin: &mut T) {
    let asked = json!({"url": "chat", "headers": {"x": 1}, "methd": "GET", "at": "soon"});
    let told = admin.own("POST /explain", &asked);
    assert_eq!(told.header("content-type").as_deref(), Some("application/problem+json"));
    assert_eq!(told.status, 400);
    let told = told.json();
    let places: Vec<&str> =
        told["errors"].as_array().unwrap().iter().filter_map(|it| it["pointer"].as_str()).collect();
    assert_eq!(places, ["/methd", "/headers/x", "/url", "/at"]);
    assert_eq!(told["error_msg"], "/methd: unknown key; did you mean `method`?");
    for body in ["", "[]", "{", "\"/chat\""] {
        assert_eq!(admin.own("POST /explain", &json!(body)).status, 400, "{body}");
    }
    assert_eq!(admin.own("GET /explain", &Value::Null).status, 405);
    assert_eq!(admin.own("PUT /explain", &asked).status, 405);
    assert_eq!(admin.own("POST /explain/chat", &asked).status, 404);
    assert_eq!(admin.own("POST /explain?dry=1", &asked).status, 400);
}

pub(super) fn a_viewer_may_ask_what_would_become_of_a_request<T: Control>(admin: &mut T) {
    let key = json!({"role": "viewer", "key": "the-key-of-a-viewer"});
    assert_eq!(admin.own("PUT /keys/watcher", &key).status, 201);
    let ask = |key: &str| {
        let call = Call::new("POST", "/splitway/v1/explain").header("x-api-key", key);
        admin.ask(&call.body(json!({"url": "/chat"}).to_string()))
    };
    assert_eq!(ask("the-key-of-a-viewer").status, 200);
    check(
        &ask("another-key-of-nobody"),
        401,
        &json!({"error_msg": "failed to check token", "description": "wrong apikey"}),
    );
}

pub(super) fn tokens_are_checked_with_what_the_server_signs_with<T: Control>(admin: &mut T) {
    assert_eq!(admin.say("PUT /routes/chat", &split()).status, 201);
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let later = Timestamp::default().plus(since_epoch + Duration::from_secs(3600));
    let secret = Secret::new(SECRET).expect("it is long enough");
    let other = Secret::new("what somebody else signs with").expect("it is long enough");
    let pick = |token: &str, at: Timestamp| {
        let headers = json!({"x-splitway-branch": token});
        let asked = json!({"url": "/chat", "headers": headers, "at": at.to_string()});
        let told = admin.own("POST /explain", &asked).json();
        (told["pick"]["branch"].clone(), told["pick"]["denied"].clone())
    };
    let now = Timestamp::default().plus(since_epoch);
    let ours = token(&secret, "next", Some("chat"), later);
    assert_eq!(pick(&ours, now), (json!("next"), Value::Null));
    let denied = |why: &str| (json!("now"), json!(why));
    assert_eq!(pick(&ours, later), denied("the time of the token is over"));
    let theirs = token(&other, "next", Some("chat"), later);
    assert_eq!(pick(&theirs, now), denied("the token was not signed here"));
}
