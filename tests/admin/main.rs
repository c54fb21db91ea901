//! The dialogues of the Admin API over a ledger in memory, and what only such a ledger shows.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this program is tests: a panic is how they fail"
)]

mod memory;

use std::time::Duration;

use serde_json::{Value, json};
use splitway_core::storage::Retention;
use splitway_tests::control::{Control, KEY, check, check_error};
use splitway_tests::message::Call;

use memory::Memory;

splitway_tests::dialogues!(held Memory);

fn route(uri: &str) -> Value {
    json!({"uri": uri, "upstream": {"nodes": {"127.0.0.1:80": 1}, "pass_host": "node"}})
}

#[test]
fn times_are_when_it_was_made_and_when_it_was_last_changed() {
    let admin = Memory::new();
    let times = |at_s: u64| {
        admin.set_clock(Duration::from_secs(at_s));
        let value = admin.say("PUT /routes/1", &route("/a")).json()["value"].clone();
        (value["create_time"].clone(), value["update_time"].clone())
    };
    assert_eq!(times(10), (json!(10), json!(10)));
    assert_eq!(times(20), (json!(10), json!(20)));
    admin.set_clock(Duration::from_secs(30));
    let patched = admin.say("PATCH /routes/1", &json!({"desc": "x"})).json()["value"].clone();
    assert_eq!((&patched["create_time"], &patched["update_time"]), (&json!(10), &json!(30)));
}

#[test]
fn what_has_a_time_goes_when_it_is_up() {
    let admin = Memory::new();
    admin.set_clock(Duration::from_secs(100));
    assert_eq!(admin.say("PUT /routes/1?ttl=5", &route("/a")).status, 201);
    assert_eq!(admin.say("PUT /routes/2?ttl=50", &route("/b")).status, 201);
    assert_eq!(admin.say("PUT /routes/2", &route("/b")).status, 200);
    for (at_s, left) in [(104, 2), (105, 1), (1000, 1)] {
        admin.set_clock(Duration::from_secs(at_s));
        admin.expire();
        assert_eq!(admin.say("GET /routes", &Value::Null).json()["total"], left, "{at_s}");
    }
    let latest = admin.own("GET /revisions?limit=1", &Value::Null).json();
    assert_eq!(latest["revisions"][0]["cause"], "the time of route 1 is up");
    assert_eq!(latest["revisions"][0]["by"], "ttl");
    for ttl in ["abc", "0", "-1", "NaN", "inf", "1e99", ""] {
        let refused = admin.say(&format!("PUT /routes/3?ttl={ttl}"), &route("/c"));
        assert_eq!(refused.status, 400, "{ttl}");
        let told = refused.json()["error_msg"].as_str().unwrap().to_owned();
        assert!(told.starts_with("invalid argument ttl: "), "{told}");
    }
}

/// As when it is deleted.
#[test]
fn a_consumer_whose_time_is_up_takes_its_credentials_along() {
    let admin = Memory::new();
    admin.set_clock(Duration::from_secs(100));
    let credential = json!({"plugins": {"key-auth": {"key": "the-key"}}});
    assert_eq!(admin.say("PUT /consumers/jack?ttl=5", &json!({"username": "jack"})).status, 201);
    let made = admin.say("PUT /consumers/jack/credentials/c?ttl=5", &credential);
    assert_eq!(made.status, 201, "{}", made.text());
    let other = json!({"plugins": {"key-auth": {"key": "another-key"}}});
    assert_eq!(admin.say("PUT /consumers/jack/credentials/d", &other).status, 201);
    admin.set_clock(Duration::from_secs(105));
    admin.expire();
    assert_eq!(admin.say("PUT /consumers/jack", &json!({"username": "jack"})).status, 201);
    assert_eq!(admin.say("GET /consumers/jack/credentials", &Value::Null).json()["total"], 0);
}

/// The body may come long after the head in which the key was.
#[test]
fn a_key_that_is_removed_meanwhile_writes_nothing() {
    let admin = Memory::new();
    let key = json!({"role": "admin", "key": "the-key-of-a-robot"});
    assert_eq!(admin.own("PUT /keys/robot", &key).status, 201);
    let call = Call::new("PUT", "/apisix/admin/routes/1").header("x-api-key", "the-key-of-a-robot");
    let call = call.body(route("/a").to_string());
    let late = admin.ask_slowly(&call, || {
        assert_eq!(admin.own("DELETE /keys/robot", &Value::Null).status, 200);
    });
    check(
        &late,
        401,
        &json!({"error_msg": "failed to check token", "description": "wrong apikey"}),
    );
    assert_eq!(admin.say("GET /routes", &Value::Null).json()["total"], 0);
}

#[test]
fn the_past_is_kept_by_count_and_age() {
    let retention = Retention { revisions: 3, age: Duration::from_secs(100) };
    let admin = Memory::with(retention);
    for second in [0, 1, 2, 3, 200] {
        admin.set_clock(Duration::from_secs(second));
        admin.say("PUT /routes/1", &route(&format!("/{second}")));
    }
    let told = admin.own("GET /revisions", &Value::Null).json();
    assert_eq!(told["revisions"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(admin.own("GET /revisions/5", &Value::Null).status, 200);
    for line in ["GET /revisions/4", "GET /revisions/1/diff/5", "POST /revisions/2/rollback"] {
        assert_eq!(admin.own(line, &Value::Null).status, 410, "{line}");
    }
}

#[test]
fn an_address_that_is_not_allowed_learns_nothing_more() {
    let admin = Memory::new();
    for line in ["GET /routes", "PUT /routes/1", "GET /nonsense"] {
        let (method, path) = line.split_once(' ').unwrap();
        let call = Call::new(method, &format!("/apisix/admin{path}")).header("x-api-key", KEY);
        let refused = admin.ask_from([10, 0, 0, 1].into(), &call);
        let told = "the address is not in the list of those that may use the Admin API";
        check_error(&refused, 403, told);
    }
    let root = admin.ask_from([10, 0, 0, 1].into(), &Call::new("HEAD", "/apisix/admin"));
    assert_eq!(root.status, 403);
    assert_eq!(admin.say("GET /routes", &Value::Null).json()["total"], 0);
}

#[test]
fn wrong_keys_make_their_address_wait_longer_each_time_and_no_other() {
    let admin = Memory::new();
    let mut now = Duration::from_secs(1000);
    let ask = |from: [u8; 4], key: &str, now: Duration| {
        admin.set_clock(now);
        let call = Call::get("/apisix/admin/routes").header("x-api-key", key);
        let answer = admin.ask_from(from.into(), &call);
        (answer.status, answer.header("retry-after"))
    };
    let (here, there) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    for _ in 0..5 {
        assert_eq!(ask(here, "wrong", now).0, 401);
    }
    for wait_s in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        assert_eq!(ask(here, "wrong", now).0, 401, "{wait_s}");
        assert_eq!(ask(here, KEY, now), (429, Some(wait_s.to_string())));
        assert_eq!(ask(there, KEY, now).0, 200);
        now += Duration::from_secs(wait_s);
    }
    assert_eq!(ask(here, KEY, now).0, 200);
    assert_eq!(ask(here, "wrong", now).0, 401);
    assert_eq!(ask(here, KEY, now).0, 200);
}

#[test]
fn how_nodes_are_is_not_known_where_nobody_serves() {
    let admin = Memory::new();
    let told = admin.own("GET /health", &Value::Null);
    assert_eq!(told.header("content-type").as_deref(), Some("application/problem+json"));
    let told = told.json();
    assert_eq!(
        (&told["status"], &told["type"]),
        (&json!(501), &json!("urn:splitway:problem:health_unknown"))
    );
    for (line, status) in [("PUT /health", 405), ("DELETE /health", 405), ("GET /health/x", 404)] {
        assert_eq!(admin.own(line, &json!({})).status, status, "{line}");
    }
    let nobody = admin.ask(&Call::get("/splitway/v1/health"));
    assert_eq!(nobody.status, 401);
}

#[test]
fn a_prefix_stands_before_all_paths() {
    let admin = Memory::new().behind("/ops");
    let ask = |target: &str| admin.ask(&Call::get(target).header("x-api-key", KEY)).status;
    assert_eq!(ask("/ops/apisix/admin/routes"), 200);
    assert_eq!(ask("/ops/splitway/v1/config"), 200);
    assert_eq!(ask("/apisix/admin/routes"), 404);
    assert_eq!(ask("/opsapisix/admin/routes"), 404);
    check(
        &admin.ask(&Call::get("/ops/apisix/admin/routes")),
        401,
        &json!({"error_msg": "failed to check token", "description": "missing apikey"}),
    );
}
