//! Who may ask, and with which key.

use serde_json::{Value, json};

use super::route;
use crate::control::{Control, KEY, check};
use crate::message::{Answer, Call};

const VIEWER: &str = "the-key-of-a-viewer";
const SECOND: &str = "another-key-of-an-admin";

fn with_key(method: &str, target: &str, key: &str) -> Call {
    Call::new(method, target).header("x-api-key", key)
}

fn refusal(why: &str) -> Value {
    json!({"error_msg": "failed to check token", "description": why})
}

fn add_key<T: Control>(admin: &T, name: &str, role: &str, key: &str) -> Answer {
    admin.own(&format!("PUT /keys/{name}"), &json!({"role": role, "key": key}))
}

pub(super) fn the_key_is_in_the_header_the_query_or_a_cookie<T: Control>(admin: &mut T) {
    let call = |target: &str| Call::get(&format!("/apisix/admin/routes{target}"));
    let cookie = format!("a=b; x_api_key={KEY}; c=d");
    let escaped: String = KEY.bytes().map(|b| format!("%{b:02X}")).collect();
    for allowed in [
        call("").header("X-API-KEY", KEY),
        call(&format!("?api_key={KEY}")),
        call(&format!("?page=1&api_key={KEY}&x=y")),
        call(&format!("?api_key={escaped}")),
        call("").header("Cookie", &cookie),
        call("?api_key=wrong").header("X-API-KEY", KEY),
        call(&format!("?api_key={KEY}")).header("Cookie", "x_api_key=wrong"),
    ] {
        assert_eq!(admin.ask(&allowed).status, 200, "{allowed:?}");
    }
    for (refused, why) in [
        (call(""), "missing apikey"),
        (call("?api=x").header("Cookie", "a=b"), "missing apikey"),
        (call("").header("X-API-KEY", "wrong"), "wrong apikey"),
        (call("?api_key=wrong"), "wrong apikey"),
        (call("").header("Cookie", "x_api_key=wrong"), "wrong apikey"),
        (call("").header("X-API-KEY", "wrong").header("Cookie", &cookie), "wrong apikey"),
    ] {
        check(&admin.ask(&refused), 401, &refusal(why));
    }
}

pub(super) fn a_viewer_only_looks<T: Control>(admin: &mut T) {
    assert_eq!(admin.say("PUT /routes/1", &route("/a")).status, 201);
    assert_eq!(add_key(admin, "looker", "viewer", VIEWER).status, 201);
    for target in [
        "/apisix/admin/routes",
        "/apisix/admin/routes/1",
        "/apisix/admin/plugins/list",
        "/splitway/v1/config",
        "/splitway/v1/revisions",
        "/splitway/v1/keys",
    ] {
        let answer = admin.ask(&with_key("GET", target, VIEWER));
        assert_eq!(answer.status, 200, "{target}");
        assert!(!answer.text().contains(VIEWER), "{target}");
    }
    for (method, target) in [
        ("PUT", "/splitway/v1/config?dry_run=true"),
        ("POST", "/splitway/v1/revisions/1/rollback?dry_run=1"),
    ] {
        let trial = admin.ask(&with_key(method, target, VIEWER).body("{}"));
        assert_eq!(trial.status, 200, "{target}: {}", trial.text());
    }
    let body = route("/b").to_string();
    for (method, target) in [
        ("PUT", "/apisix/admin/routes/1"),
        ("POST", "/apisix/admin/routes"),
        ("PATCH", "/apisix/admin/routes/1"),
        ("DELETE", "/apisix/admin/routes/1"),
        ("POST", "/apisix/admin/schema/validate/route"),
        ("PUT", "/splitway/v1/config"),
        ("PUT", "/splitway/v1/config?dry_run=false"),
        ("POST", "/splitway/v1/revisions/1/rollback"),
        ("PUT", "/splitway/v1/keys/mine?dry_run=true"),
        ("DELETE", "/splitway/v1/keys/looker?dry_run=true"),
        ("PUT", "/apisix/admin/routes/1?dry_run=true"),
        ("DELETE", "/splitway/v1/config?dry_run=true"),
        ("PUT", "/splitway/v1/keys/mine"),
        ("DELETE", "/splitway/v1/keys/looker"),
    ] {
        let call = with_key(method, target, VIEWER).body(body.clone());
        check(&admin.ask(&call), 401, &refusal("invalid method for role viewer"));
    }
    assert_eq!(admin.say("GET /routes", &Value::Null).json()["total"], 1);
}

/// The new key is there before the old one goes; neither is ever told.
pub(super) fn keys_rotate_without_a_gap<T: Control>(admin: &mut T) {
    let first = "the-first-key-of-a-robot";
    let looks = |key: &str| admin.ask(&with_key("GET", "/apisix/admin/routes", key)).status;
    let added = add_key(admin, "robot", "admin", first);
    check(&added, 201, &json!({"name": "robot", "role": "admin"}));
    assert_eq!(add_key(admin, "robot-2", "admin", SECOND).status, 201);
    assert_eq!((looks(first), looks(SECOND), looks(KEY)), (200, 200, 200));
    let keys = admin.own("GET /keys", &Value::Null);
    let names: Vec<Value> =
        keys.json()["keys"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, [json!("robot"), json!("robot-2")]);
    assert!(!keys.text().contains(first) && !keys.text().contains("sha256"), "{}", keys.text());
    let gone = admin.ask(&with_key("DELETE", "/splitway/v1/keys/robot", SECOND));
    check(&gone, 200, &json!({"deleted": "robot"}));
    assert_eq!((looks(SECOND), looks(first)), (200, 401));
    assert_eq!(admin.own("DELETE /keys/robot", &Value::Null).status, 404);
    for (name, body) in [
        ("short", json!({"role": "admin", "key": "short"})),
        ("norole", json!({"key": SECOND})),
        ("what", json!({"role": "owner", "key": SECOND})),
        ("more", json!({"role": "admin", "key": SECOND, "x": 1})),
        ("number", json!({"role": "admin", "key": 1_234_567_890_123_456_789_u64})),
        ("admin", json!({"role": "admin", "key": SECOND})),
        ("a%2Fb", json!({"role": "admin", "key": SECOND})),
        ("text", json!("{\"role\": \"admin\", \"key\": \"another-key-of-an-admin\"")),
    ] {
        let refused = admin.own(&format!("PUT /keys/{name}"), &body);
        assert_eq!(refused.status, 400, "{name}: {}", refused.text());
        assert!(!refused.text().contains("another-key"), "{}", refused.text());
        assert!(!refused.text().contains("123456"), "{}", refused.text());
    }
    let document = admin.own("GET /config", &Value::Null).text();
    assert!(!document.contains("robot"), "{document}");
}

pub(super) fn wrong_keys_have_to_wait<T: Control>(admin: &mut T) {
    let with = |key: &str| admin.ask(&with_key("GET", "/apisix/admin/routes", key));
    for _ in 0..5 {
        check(&with("wrong"), 401, &refusal("wrong apikey"));
        // A request without a key is no try.
        let without = admin.ask(&Call::get("/apisix/admin/routes"));
        check(&without, 401, &refusal("missing apikey"));
    }
    check(&with("wrong"), 401, &refusal("wrong apikey"));
    // The wait is a second now; who knows the key has to wait, too, or waiting would tell it.
    let slow = with(KEY);
    assert_eq!((slow.status, slow.header("retry-after").as_deref()), (429, Some("1")));
    assert_eq!(slow.json()["type"], "urn:splitway:problem:wrong_keys");
}

/// A browser says for which page it asks, and adds the cookie with the key by itself.
pub(super) fn pages_of_other_origins_change_nothing<T: Control>(admin: &mut T) {
    assert_eq!(admin.say("PUT /routes/1", &route("/a")).status, 201);
    let cookie = format!("x_api_key={KEY}");
    let put = |headers: &[(&str, &str)]| {
        let call = Call::new("PUT", "/apisix/admin/routes/2").header("Host", "gw.example.com");
        let call = call.header("Cookie", &cookie).header("Content-Type", "text/plain");
        let call = headers.iter().fold(call, |call, (name, value)| call.header(name, value));
        admin.ask(&call.body(route("/b").to_string()))
    };
    for forged in [
        &[("Sec-Fetch-Site", "cross-site")][..],
        &[("Sec-Fetch-Site", "same-site"), ("Origin", "https://gw.example.com")],
        &[("Sec-Fetch-Site", "")],
        &[("Sec-Fetch-Site", "cross-site"), ("X-API-KEY", KEY)],
        &[("Origin", "https://evil.test")],
        &[("Origin", "null")],
        &[("Origin", "https://gw.example.com.evil.test")],
        &[("Origin", "https://gw.example.com:8443")],
    ] {
        let refused = put(forged);
        let told = json!({"error_msg": "a page of another origin may change nothing here"});
        check(&refused, 403, &told);
    }
    for line in ["DELETE /apisix/admin/routes/1", "POST /splitway/v1/revisions/1/rollback"] {
        let (method, target) = line.split_once(' ').unwrap();
        let forged = Call::new(method, target).header("Cookie", &cookie);
        assert_eq!(admin.ask(&forged.header("Sec-Fetch-Site", "cross-site")).status, 403, "{line}");
    }
    assert_eq!(admin.say("GET /routes", &Value::Null).json()["total"], 1);
    // A page of its own may, and whoever is no page.
    for own in [
        &[("Sec-Fetch-Site", "same-origin"), ("Origin", "https://gw.example.com")][..],
        &[("Sec-Fetch-Site", "none")],
        &[("Origin", "https://gw.example.com")],
        &[],
    ] {
        assert!(matches!(put(own).status, 200 | 201), "{own:?}");
    }
    // To look is no change, and what is seen no other page may read.
    let look = Call::get("/apisix/admin/routes").header("Cookie", &cookie);
    let seen = admin.ask(&look.header("Sec-Fetch-Site", "cross-site"));
    assert_eq!(seen.status, 200);
    assert!(!seen.headers.has("access-control-allow-origin"));
    assert_eq!(seen.header("x-content-type-options").as_deref(), Some("nosniff"));
}
