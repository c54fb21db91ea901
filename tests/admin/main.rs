//! The dialogues of the Admin API, as APISIX holds them, over a ledger in memory.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this program is tests: a panic is how they fail"
)]

mod api;
mod vectors;

use serde_json::{Value, json};
use splitway_core::admin::BODY_MAX;

use api::{Api, KEY, Request, Response};

/// A route without faults.
fn route(uri: &str) -> Value {
    json!({"uri": uri, "upstream": {"nodes": {"127.0.0.1:80": 1}, "pass_host": "node"}})
}

/// The route as stored: with its id and its times.
fn stored(uri: &str, id: &str, created_s: u64, updated_s: u64) -> Value {
    let mut value = route(uri);
    value["id"] = json!(id);
    value["create_time"] = json!(created_s);
    value["update_time"] = json!(updated_s);
    value
}

fn ask(api: &Api, line: &str, body: &Value) -> Response {
    api.ask(&Request::with_key(line).body(body))
}

#[track_caller]
fn check(response: &Response, status: u16, body: &Value) {
    let told = (response.status, response.json(), response.content_type.as_str());
    assert_eq!(told, (status, body.clone(), "application/json"));
}

#[track_caller]
fn check_error(response: &Response, status: u16, error_msg: &str) {
    check(response, status, &json!({"error_msg": error_msg}));
}

/// A dialogue from an empty ledger to an empty ledger; each command takes a second and each write
/// makes a revision.
#[test]
fn a_route_is_made_replaced_read_listed_and_deleted() {
    let api = Api::default();
    let nothing = json!("");
    let missing = json!({"message": "Key not found"});
    check(&ask(&api, "GET /routes", &nothing), 200, &json!({"total": 0, "list": []}));
    check(&ask(&api, "GET /routes/1", &nothing), 404, &missing);
    check(
        &ask(&api, "PUT /routes/1", &route("/a")),
        201,
        &json!({"key": "/apisix/routes/1", "value": stored("/a", "1", 3, 3)}),
    );
    check(
        &ask(&api, "PUT /routes/1", &route("/b")),
        200,
        &json!({"key": "/apisix/routes/1", "value": stored("/b", "1", 3, 4)}),
    );
    let first = json!({
        "key": "/apisix/routes/1", "value": stored("/b", "1", 3, 4),
        "createdIndex": 1, "modifiedIndex": 2,
    });
    check(&ask(&api, "GET /routes/1", &nothing), 200, &first);
    assert_eq!(ask(&api, "PUT /routes/0", &route("/c")).status, 201);
    let second = json!({
        "key": "/apisix/routes/0", "value": stored("/c", "0", 6, 6),
        "createdIndex": 3, "modifiedIndex": 3,
    });
    check(&ask(&api, "GET /routes", &nothing), 200, &json!({"total": 2, "list": [second, first]}));
    let deleted = json!({"deleted": "1", "key": "/apisix/routes/1"});
    check(&ask(&api, "DELETE /routes/1", &nothing), 200, &deleted);
    check(&ask(&api, "DELETE /routes/1", &nothing), 404, &missing);
    check(&ask(&api, "GET /routes/1", &nothing), 404, &missing);
    assert_eq!(ask(&api, "DELETE /routes/0", &nothing).status, 200);
    check(&ask(&api, "GET /routes", &nothing), 200, &json!({"total": 0, "list": []}));
}

#[test]
fn the_key_is_in_the_header_the_query_or_a_cookie() {
    let api = Api::default();
    let request = |target: &str| Request::new("GET", &format!("/apisix/admin/routes{target}"));
    let cookie = format!("a=b; x_api_key={KEY}; c=d");
    let escaped: String = KEY.bytes().map(|b| format!("%{b:02X}")).collect();
    for allowed in [
        request("").header("X-API-KEY", KEY),
        request(&format!("?api_key={KEY}")),
        request(&format!("?page=1&api_key={KEY}&x=y")),
        request(&format!("?api_key={escaped}")),
        request("").header("Cookie", &cookie),
        request("?api_key=wrong").header("X-API-KEY", KEY),
        request(&format!("?api_key={KEY}")).header("Cookie", "x_api_key=wrong"),
    ] {
        assert_eq!(api.ask(&allowed).status, 200, "{allowed:?}");
    }
    for (refused, why) in [
        (request(""), "missing apikey"),
        (request("?api=x").header("Cookie", "a=b"), "missing apikey"),
        (request("").header("X-API-KEY", "wrong"), "wrong apikey"),
        (request("").header("X-API-KEY", ""), "wrong apikey"),
        (request("?api_key=wrong"), "wrong apikey"),
        (request("").header("Cookie", "x_api_key=wrong"), "wrong apikey"),
        (request("").header("X-API-KEY", "wrong").header("Cookie", &cookie), "wrong apikey"),
    ] {
        let expected = json!({"error_msg": "failed to check token", "description": why});
        check(&api.ask(&refused), 401, &expected);
    }
}

#[test]
fn an_address_that_is_not_allowed_learns_nothing_more() {
    let api = Api::default();
    for line in ["GET /routes", "PUT /routes/1", "GET /nonsense"] {
        let refused = api.ask(&Request::with_key(line).from([10, 0, 0, 1]).body(&route("/a")));
        assert_eq!(refused.status, 403, "{line}");
    }
    assert_eq!(ask(&api, "GET /routes", &json!("")).json()["total"], 0);
}

#[test]
fn an_id_is_in_the_path_in_the_body_or_the_same_in_both() {
    let api = Api::default();
    let with_id = |id: Value| {
        let mut route = route("/a");
        route["id"] = id;
        route
    };
    for (line, body, key) in [
        ("PUT /routes/a.b-c_1", route("/a"), "/apisix/routes/a.b-c_1"),
        ("PUT /routes/1", with_id(json!(1)), "/apisix/routes/1"),
        ("PUT /routes/2", with_id(json!("2")), "/apisix/routes/2"),
        ("PUT /routes", with_id(json!(3)), "/apisix/routes/3"),
        ("PUT /routes/", with_id(json!("4")), "/apisix/routes/4"),
    ] {
        let response = ask(&api, line, &body);
        assert_eq!((response.status, &response.json()["key"]), (201, &json!(key)), "{line}");
    }
    for (line, body, error_msg) in [
        ("PUT /routes", route("/a"), "missing route id"),
        ("PUT /routes/", route("/a"), "missing route id"),
        ("PUT /routes", with_id(json!(null)), "missing route id"),
        ("DELETE /routes", json!(""), "missing route id"),
        ("PUT /routes/1", with_id(json!("2")), "wrong route id"),
        ("PUT /routes/1", with_id(json!(2)), "wrong route id"),
        ("PUT /routes/1", with_id(json!(1.5)), "wrong route id"),
    ] {
        check_error(&ask(&api, line, &body), 400, error_msg);
    }
    for line in ["PUT /routes/a/b", "GET /routes/%61", "GET /routes/a%2Fb"] {
        let response = ask(&api, line, &route("/a"));
        assert_eq!(response.status, 400, "{line}: {}", response.text);
    }
    assert_eq!(ask(&api, "GET /routes", &json!("")).json()["total"], 5);
}

#[test]
fn a_body_must_be_there_and_be_an_object_that_fits() {
    let api = Api::default();
    check_error(&ask(&api, "PUT /routes/1", &json!("")), 400, "missing configurations");
    for sent in ["{\"uri\":", "[]", "null", "1", "{\"uri\":\"/a\",\"uri\":\"/b\"}", "\u{e9}"] {
        let response = ask(&api, "PUT /routes/1", &json!(sent));
        let body = response.json();
        assert_eq!((response.status, &body["req_body"]), (400, &json!(sent)));
        let error_msg = body["error_msg"].as_str().unwrap();
        assert!(error_msg.starts_with("invalid request body: "), "{error_msg}");
    }
    for time in ["create_time", "update_time"] {
        let mut route = route("/a");
        route[time] = json!(1);
        let error_msg = format!("the property is forbidden:  {time}");
        check_error(&ask(&api, "PUT /routes/1", &route), 400, &error_msg);
    }
    let long = |size: usize| {
        let mut route = route("/a");
        let rest = size - route.to_string().len() - r#","desc":"""#.len();
        route["desc"] = json!("x".repeat(rest));
        route
    };
    // So long a description has a fault of its own, which is found when the body is read.
    let fits = ask(&api, "PUT /routes/1", &long(BODY_MAX)).json()["error_msg"].clone();
    assert!(!fits.to_string().contains("maximum size"), "{fits}");
    let size = BODY_MAX + 1;
    let request = Request::with_key("PUT /routes/1").body(&long(size));
    for (request, told) in [
        (request.clone().header("Content-Length", &size.to_string()), format!("size {size} ")),
        (request, String::new()),
    ] {
        let error_msg = format!(
            "invalid request body: request {told}is greater than the maximum size {BODY_MAX} allowed"
        );
        check_error(&api.ask(&request), 400, &error_msg);
    }
}

#[test]
fn what_there_is_none_of_is_not_found() {
    let api = Api::default();
    for (line, error_msg) in [
        ("GET /nonsense", "Unsupported resource type: nonsense"),
        ("PUT /nonsense/1", "Unsupported resource type: nonsense"),
        ("GET /route", "Unsupported resource type: route"),
        ("GET ", "not found"),
        ("GET x/routes", "not found"),
        ("OPTIONS /routes", "not found"),
        ("BREW /routes/1", "not found"),
    ] {
        check_error(&ask(&api, line, &route("/a")), 404, error_msg);
    }
}

/// A route that cannot be served changes nothing, and is answered with one line for those who know
/// APISIX and with all faults and their places inside the route.
#[test]
fn faults_are_told_in_one_line_and_all_of_them_in_a_list() {
    let api = Api::default();
    assert_eq!(ask(&api, "PUT /routes/0", &route("/0")).status, 201);
    let nodes = json!({"nodes": {"127.0.0.1:80": 1}, "pass_host": "node"});
    let plugins = |plugins: Value| json!({"uri": "/a", "upstream": nodes, "plugins": plugins});
    let plugin = "failed to check the configuration of plugin traffic-split err: ";
    for (value, error_msg, pointers) in [
        (
            json!({"uri": "a", "upstream": nodes}),
            "invalid configuration: /uri: expected a path of up to 4096 bytes that starts with `/`",
            vec!["/uri"],
        ),
        (json!({"uri": "/a", "upstraem": nodes}), "invalid configuration: ", vec!["/upstraem"]),
        (json!({"uri": "/a"}), "invalid configuration: ", vec![""]),
        (
            json!({"uri": "a", "methods": ["GTE"], "upstream": {"nodes": {"a b": 1}}}),
            "invalid configuration: ",
            vec!["/methods/0", "/upstream/nodes/a b", "/uri"],
        ),
        (plugins(json!({"key-auth": {}})), "unknown plugin [key-auth]", vec!["/plugins/key-auth"]),
        (
            plugins(
                json!({"traffic-split": {"rules": [{"weighted_upstreams": [{"weight": "1"}]}]}}),
            ),
            plugin,
            vec!["/plugins/traffic-split/rules/0/weighted_upstreams/0/weight"],
        ),
        (
            plugins(json!({"traffic-split": {"rules": [{"weighted_upstreams": [{"weight": 0}]}]}})),
            plugin,
            vec!["/plugins/traffic-split/rules/0/weighted_upstreams"],
        ),
        (plugins(json!({"traffic-split": 1})), plugin, vec!["/plugins/traffic-split"]),
        (
            json!({"uri": "/a", "upstream_id": "x"}),
            "failed to fetch upstream info by upstream id [x], response code: 404",
            vec!["/upstream_id"],
        ),
    ] {
        let response = ask(&api, "PUT /routes/1", &value);
        assert_eq!((response.status, &*response.content_type), (400, "application/problem+json"));
        let body = response.json();
        assert_eq!(body["status"], 400, "{value}");
        assert_eq!(body["type"], "urn:splitway:problem:invalid_configuration", "{value}");
        let told = body["error_msg"].as_str().unwrap();
        match error_msg.ends_with(' ') {
            true => assert!(told.starts_with(error_msg), "{value}: {told}"),
            false => assert_eq!(told, error_msg, "{value}"),
        }
        let faults = body["errors"].as_array().unwrap();
        let mut places: Vec<_> = faults.iter().map(|it| it["pointer"].as_str().unwrap()).collect();
        places.sort_unstable();
        assert_eq!(places, pointers, "{value}");
        assert!(faults.iter().all(|it| !it["detail"].as_str().unwrap().is_empty()), "{value}");
    }
    assert_eq!(ask(&api, "GET /routes", &json!("")).json()["total"], 1);
}
