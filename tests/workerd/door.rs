//! Who comes to the Admin API at the edge, and that its requests never go to an upstream.

use serde_json::{Value, json};
use splitway_tests::control::{Control, KEY};
use splitway_tests::document::everything_to;
use splitway_tests::message::{Answer, Call};

use crate::edge::{Edge, answering};

/// Ways to write the paths of the Admin API; each is for it, none for a route.
const PATHS: [&str; 12] = [
    "/apisix/admin",
    "/apisix/admin/",
    "/apisix/admin/routes",
    "/apisix/admin/nonsense?api_key=x",
    "/splitway/v1/config",
    "/%61pisix/admin/routes",
    "/apisix%2Fadmin/routes",
    "//apisix/admin/routes",
    "/apisix//admin///routes",
    "/x/../apisix/./admin/routes",
    "/APISIX/Admin/routes",
    "/Splitway/V1/keys",
];

fn with_key(method: &str, path: &str) -> Call {
    Call::new(method, path).header("x-api-key", KEY)
}

#[track_caller]
fn check_off(answer: &Answer) {
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert_eq!(answer.json()["type"], "urn:splitway:problem:admin_off");
}

/// A Worker that sends everything to an upstream.
fn everything(setup: Value) -> (Edge, splitway_tests::origin::Origin) {
    let origin = answering();
    let mut setup = setup;
    setup["document"] = json!(everything_to(&origin));
    (Edge::start(&setup), origin)
}

fn lines_with(edge: &Edge, mark: &str) -> Vec<String> {
    edge.miniflare.logged().into_iter().filter(|line| line.contains(mark)).collect()
}

/// Without a key, with an empty one, without an object, with settings that make no sense: the Admin
/// API is off, says so, and its requests go nowhere all the same.
#[test]
fn it_is_off_unless_all_is_there() {
    for (setup, reason) in [
        (json!({"coordinator": true, "vars": {"ADMIN_KEY": ""}}), "there is no admin key"),
        (json!({"coordinator": false}), "there is no coordinator"),
        (
            json!({"coordinator": true, "vars": {"SPLITWAY_ADMIN_PREFIX": "ops/"}}),
            "the prefix is not a path such as /ops",
        ),
        (
            json!({"coordinator": true, "vars": {"SPLITWAY_ALLOW_ADMIN": "10.0.0.0/8, me"}}),
            "the allowed addresses are not addresses or networks",
        ),
        // A variable that was to be filled in and was not, and one that is no text.
        (
            json!({"coordinator": true, "vars": {"SPLITWAY_ALLOW_ADMIN": ""}}),
            "the allowed addresses are not addresses or networks",
        ),
        (
            json!({"coordinator": true, "vars": {"SPLITWAY_ALLOW_ADMIN": ["127.0.0.1"]}}),
            "the allowed addresses are not addresses or networks",
        ),
    ] {
        let (edge, origin) = everything(setup);
        for path in PATHS {
            check_off(&edge.call(&with_key("GET", path)));
            check_off(&edge.call(&with_key("PUT", path).body("{}")));
        }
        assert_eq!(edge.call(&Call::get("/x")).text(), "here");
        assert_eq!(origin.count(), 1, "{reason}");
        let told = lines_with(&edge, "admin_off");
        assert_eq!(told.len(), 1, "it is said once: {told:?}");
        assert!(told[0].contains(reason), "{told:?}");
        assert!(!told[0].contains(KEY), "{told:?}");
    }
}

/// Whoever wrote a prefix that is none uses it all the same, and sends the key along.
#[test]
fn behind_a_prefix_that_is_none_nothing_falls_through_either() {
    let vars = json!({"SPLITWAY_ADMIN_PREFIX": "/ops/"});
    let (edge, origin) = everything(json!({"coordinator": true, "vars": vars}));
    for path in ["/ops/apisix/admin/routes", "/ops//splitway/v1/config", "/Ops/%61pisix/admin"] {
        check_off(&edge.call(&with_key("PUT", path).body("{}")));
    }
    assert_eq!(edge.call(&Call::get("/ops/x")).text(), "here");
    assert_eq!(origin.count(), 1);
}

#[test]
fn its_requests_never_fall_through_to_a_route() {
    let (edge, origin) = everything(json!({"coordinator": true}));
    assert_eq!(edge.call(&Call::get("/x")).text(), "here");
    for path in PATHS {
        for call in [with_key("GET", path), with_key("POST", path).body("{}"), Call::get(path)] {
            let answer = edge.call(&call);
            assert!(matches!(answer.status, 200 | 400 | 401 | 404 | 405), "{}", answer.status);
            assert_ne!(answer.text(), "here", "{call:?}");
        }
    }
    assert_eq!(origin.count(), 1);
    // What only begins like it is none of it.
    for path in ["/apisix/administration", "/apisix", "/splitway/v10", "/news"] {
        assert_eq!(edge.call(&with_key("GET", path)).text(), "here", "{path}");
    }
}

#[test]
fn a_prefix_moves_it_and_frees_its_usual_paths() {
    let vars = json!({"SPLITWAY_ADMIN_PREFIX": "/ops"});
    let (edge, origin) = everything(json!({"coordinator": true, "vars": vars}));
    for path in ["/ops/apisix/admin/routes", "/ops/splitway/v1/config"] {
        assert_eq!(edge.call(&with_key("GET", path)).status, 200, "{path}");
        assert_eq!(edge.call(&Call::get(path)).status, 401, "{path}");
    }
    assert_eq!(edge.call(&with_key("GET", "//OPS/apisix/admin/routes")).status, 404);
    assert_eq!(origin.count(), 0);
    for path in ["/apisix/admin/routes", "/ops/x", "/ops"] {
        assert_eq!(edge.call(&Call::get(path)).text(), "here", "{path}");
    }
}

/// The address is the one that Cloudflare vouches for; what a client says of itself counts nothing.
#[test]
fn only_allowed_addresses_come_in() {
    let vars = json!({"SPLITWAY_ALLOW_ADMIN": "192.0.2.0/24, 2001:db8::7"});
    let (edge, origin) = everything(json!({"coordinator": true, "vars": vars}));
    let status = |client: &str| {
        let call = with_key("GET", "/apisix/admin/routes").header("cf-connecting-ip", client);
        edge.call(&call.header("x-splitway-client", "192.0.2.1")).status
    };
    for (client, expected) in [
        ("192.0.2.9", 200),
        ("2001:db8::7", 200),
        ("::ffff:192.0.2.9", 200),
        ("192.0.3.1", 403),
        ("2001:db8::8", 403),
        ("nonsense", 403),
    ] {
        assert_eq!(status(client), expected, "{client}");
    }
    assert_eq!(origin.count(), 0);
}

/// The coordinator slows addresses down one by one, so it must know them.
#[test]
fn wrong_keys_slow_their_address_and_no_other() {
    let edge = Edge::new();
    let ask = |client: &str, key: &str| {
        let call = Call::get("/apisix/admin/routes").header("cf-connecting-ip", client);
        edge.call(&call.header("x-api-key", key)).status
    };
    for _ in 0..6 {
        assert_eq!(ask("192.0.2.1", "wrong"), 401);
    }
    assert_eq!(ask("192.0.2.1", KEY), 429);
    assert_eq!(ask("192.0.2.2", KEY), 200);
}

#[test]
fn a_body_that_is_too_long_is_not_read_to_its_end() {
    let edge = Edge::new();
    let long = vec![b' '; 2 * 1024 * 1024];
    let chunked = with_key("PUT", "/apisix/admin/routes/1").body(long.clone()).in_chunks();
    for call in [chunked, with_key("PUT", "/apisix/admin/routes/1").body(long)] {
        let answer = edge.call(&call);
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains("greater than the maximum size"), "{}", answer.text());
    }
    assert_eq!(edge.say("GET /routes", &Value::Null).json()["total"], 0);
}
