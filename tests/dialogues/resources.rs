//! Resources one by one.

use serde_json::{Value, json};

use super::{route, with};
use crate::control::{Control, check, check_error, without_times};
use crate::message::Call;

/// The most bytes of a body.
const BODY_MAX: usize = 1_572_864;

const MISSING: &str = r#"{"message":"Key not found"}"#;

/// From an empty ledger to an empty ledger; each write makes a revision.
pub(super) fn a_route_is_made_replaced_read_listed_and_deleted<T: Control>(admin: &mut T) {
    let nothing = Value::Null;
    let missing: Value = serde_json::from_str(MISSING).unwrap();
    check(&admin.say("GET /routes", &nothing), 200, &json!({"total": 0, "list": []}));
    check(&admin.say("GET /routes/1", &nothing), 404, &missing);

    let made = admin.say("PUT /routes/1", &route("/a"));
    assert_eq!((made.status, &made.json()["key"]), (201, &json!("/apisix/routes/1")));
    let made = made.json()["value"].clone();
    assert_eq!(without_times(made.clone()), with(route("/a"), "id", json!("1")));
    assert_eq!(made["create_time"], made["update_time"]);

    let replaced = admin.say("PUT /routes/1", &route("/b"));
    assert_eq!((replaced.status, &replaced.json()["key"]), (200, &json!("/apisix/routes/1")));
    let value = replaced.json()["value"].clone();
    assert_eq!(value["create_time"], made["create_time"]);
    let first = json!({
        "key": "/apisix/routes/1", "value": value, "createdIndex": 1, "modifiedIndex": 2,
    });
    check(&admin.say("GET /routes/1", &nothing), 200, &first);
    assert_eq!(admin.say("PUT /routes/0", &route("/c")).status, 201);
    let second = admin.say("GET /routes/0", &nothing).json();
    assert_eq!((&second["createdIndex"], &second["modifiedIndex"]), (&json!(3), &json!(3)));
    let list = json!({"total": 2, "list": [second, first]});
    check(&admin.say("GET /routes", &nothing), 200, &list);

    let deleted = json!({"deleted": "1", "key": "/apisix/routes/1"});
    check(&admin.say("DELETE /routes/1", &nothing), 200, &deleted);
    check(&admin.say("DELETE /routes/1", &nothing), 404, &missing);
    check(&admin.say("GET /routes/1", &nothing), 404, &missing);
    assert_eq!(admin.say("DELETE /routes/0", &nothing).status, 200);
    check(&admin.say("GET /routes", &nothing), 200, &json!({"total": 0, "list": []}));
}

pub(super) fn every_kind_is_kept_and_listed<T: Control>(admin: &mut T) {
    let nodes = json!({"127.0.0.1:80": 1});
    for (plural, id, value) in [
        ("upstreams", "1", json!({"nodes": nodes, "pass_host": "node"})),
        ("services", "1", json!({"upstream_id": "1"})),
        ("plugin_configs", "1", json!({"plugins": {}})),
        ("consumer_groups", "1", json!({"plugins": {}})),
        ("global_rules", "1", json!({"plugins": {}})),
        ("plugin_metadata", "traffic-split", json!({})),
        ("consumers", "jack", json!({"username": "jack", "group_id": "1"})),
        ("routes", "1", json!({"uri": "/", "service_id": "1", "plugin_config_id": "1"})),
    ] {
        let key = json!(format!("/apisix/{plural}/{id}"));
        let line = format!("PUT /{plural}/{id}");
        let made = admin.say(&line, &value);
        assert_eq!((made.status, &made.json()["key"]), (201, &key), "{line}: {}", made.text());
        assert_eq!(admin.say(&line, &value).status, 200, "{line}");
        let read = admin.say(&format!("GET /{plural}/{id}"), &Value::Null);
        assert_eq!((read.status, &read.json()["key"]), (200, &key), "{plural}");
        for (member, expected) in value.as_object().unwrap() {
            assert_eq!(read.json()["value"][member], *expected, "{plural}");
        }
        let list = admin.say(&format!("GET /{plural}"), &Value::Null).json();
        assert_eq!((&list["total"], &list["list"][0]), (&json!(1), &read.json()), "{plural}");
    }
}

pub(super) fn an_id_is_in_the_path_in_the_body_or_the_same_in_both<T: Control>(admin: &mut T) {
    let with_id = |id: Value| with(route("/a"), "id", id);
    for (line, body, key) in [
        ("PUT /routes/a.b-c_1", route("/a"), "/apisix/routes/a.b-c_1"),
        ("PUT /routes/1", with_id(json!(1)), "/apisix/routes/1"),
        ("PUT /routes/2", with_id(json!("2")), "/apisix/routes/2"),
        ("PUT /routes", with_id(json!(3)), "/apisix/routes/3"),
        ("PUT /routes/", with_id(json!("4")), "/apisix/routes/4"),
        ("PUT /routes/%35", route("/a"), "/apisix/routes/5"),
    ] {
        let answer = admin.say(line, &body);
        assert_eq!((answer.status, &answer.json()["key"]), (201, &json!(key)), "{line}");
    }
    for (line, body, error_msg) in [
        ("PUT /routes", route("/a"), "missing route id"),
        ("PUT /routes/", route("/a"), "missing route id"),
        ("PUT /routes", with_id(json!(null)), "missing route id"),
        ("DELETE /routes", Value::Null, "missing route id"),
        ("PATCH /routes", json!({}), "missing route id"),
        ("PUT /routes/1", with_id(json!("2")), "wrong route id"),
        ("PUT /routes/1", with_id(json!(2)), "wrong route id"),
        ("PUT /routes/1", with_id(json!(1.5)), "wrong route id"),
        ("POST /routes/1", route("/a"), "wrong route id, do not need it"),
        ("POST /routes", with_id(json!(9)), "wrong route id, do not need it"),
    ] {
        check_error(&admin.say(line, &body), 400, error_msg);
    }
    let long = format!("PUT /routes/{}", "a".repeat(65));
    for line in
        ["PUT /routes/a/b", "GET /routes/a%2Fb", "PUT /routes/a%00", "GET /routes/%FF", &long]
    {
        let answer = admin.say(line, &route("/a"));
        assert_eq!(answer.status, 400, "{line}: {}", answer.text());
    }
    assert_eq!(admin.say("GET /routes", &Value::Null).json()["total"], 6);
}

pub(super) fn a_posted_resource_gets_a_number<T: Control>(admin: &mut T) {
    for (number, uri) in [(1, "/a"), (2, "/b")] {
        let made = admin.say("POST /routes", &route(uri));
        assert_eq!(made.status, 201);
        let id = format!("{number:020}");
        assert_eq!(made.json()["key"], format!("/apisix/routes/{id}"));
        assert_eq!(made.json()["value"]["id"], id);
    }
    for (kind, singular) in [("plugin_configs", "plugin config"), ("global_rules", "global rule")] {
        let error_msg = format!("not supported `POST` method for {singular}");
        check_error(&admin.say(&format!("POST /{kind}"), &json!({"plugins": {}})), 405, &error_msg);
    }
}

/// Who asks to try it must not find it written.
pub(super) fn a_trial_of_one_resource_is_refused<T: Control>(admin: &mut T) {
    let refused = admin.say("PUT /routes/1?dry_run=true", &route("/a"));
    let error_msg = "`dry_run` is for /splitway/v1/config: resources are written or they are not";
    check_error(&refused, 400, error_msg);
    assert_eq!(admin.say("GET /routes/1", &json!(null)).status, 404);
}

pub(super) fn consumers_go_by_their_names_and_have_credentials<T: Control>(admin: &mut T) {
    let jack = json!({"username": "jack"});
    check_error(&admin.say("PUT /consumers", &json!({})), 400, "missing consumer name");
    check_error(&admin.say("PUT /consumers/jill", &jack), 400, "wrong username");
    let credential = json!({"plugins": {"key-auth": {"key": "the-key"}}});
    let early = admin.say("PUT /consumers/jack/credentials/c1", &credential);
    check_error(&early, 404, "consumer not found");
    assert_eq!(admin.say("PUT /consumers", &jack).status, 201);
    let made = admin.say("PUT /consumers/jack/credentials/c1", &credential);
    assert_eq!(made.status, 201, "{}", made.text());
    let key = "/apisix/consumers/jack/credentials/c1";
    assert_eq!((&made.json()["key"], &made.json()["value"]["id"]), (&json!(key), &json!("c1")));
    let list = admin.say("GET /consumers/jack/credentials", &Value::Null).json();
    assert_eq!((&list["total"], &list["list"][0]["key"]), (&json!(1), &json!(key)));
    assert_eq!(admin.say("GET /consumers", &Value::Null).json()["total"], 1);
    for method in ["POST", "PATCH"] {
        let error_msg = format!("not supported `{method}` method for credential");
        let line = format!("{method} /consumers/jack/credentials/c1");
        check_error(&admin.say(&line, &credential), 405, &error_msg);
    }
}

pub(super) fn a_body_must_be_there_and_be_an_object_that_fits<T: Control>(admin: &mut T) {
    check_error(&admin.say("PUT /routes/1", &json!("")), 400, "missing configurations");
    check_error(&admin.say("PATCH /routes/1", &json!("")), 400, "missing new configuration");
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    for sent in [
        "{\"uri\":",
        "[]",
        "null",
        "1",
        "{\"uri\":\"/a\",\"uri\":\"/b\"}",
        "\u{e9}",
        "1e999",
        &deep,
    ] {
        let answer = admin.say("PUT /routes/1", &json!(sent));
        let body = answer.json();
        assert_eq!((answer.status, &body["req_body"]), (400, &json!(sent)));
        let error_msg = body["error_msg"].as_str().unwrap();
        assert!(error_msg.starts_with("invalid request body: "), "{error_msg}");
    }
    for time in ["create_time", "update_time"] {
        let route = with(route("/a"), time, json!(1));
        let error_msg = format!("the property is forbidden:  {time}");
        check_error(&admin.say("PUT /routes/1", &route), 400, &error_msg);
    }
    let long = |size: usize| {
        let rest = size - route("/a").to_string().len() - r#","desc":"""#.len();
        with(route("/a"), "desc", json!("x".repeat(rest)))
    };
    // So long a description has a fault of its own, which is found when the body is read.
    let fits = admin.say("PUT /routes/1", &long(BODY_MAX)).json()["error_msg"].clone();
    assert!(!fits.to_string().contains("maximum size"), "{fits}");
    let size = BODY_MAX + 1;
    let error_msg = format!(
        "invalid request body: request size {size} is greater than the maximum size {BODY_MAX} allowed"
    );
    check_error(&admin.say("PUT /routes/1", &long(size)), 400, &error_msg);
}

/// Answers end in logs: what may be a key in plain is not in them, though the body is no JSON.
pub(super) fn a_broken_body_with_a_key_is_not_repeated<T: Control>(admin: &mut T) {
    assert_eq!(admin.say("PUT /consumers", &json!({"username": "jack"})).status, 201);
    let key = "jacks-secret";
    let cut = format!("{{\"plugins\":{{\"key-auth\":{{\"key\":\"{key}\"}}");
    let bare = format!("\"{key}\"");
    let listed = format!("[{{\"username\":\"jack\",\"password\":\"{key}\"}}]");
    let unquoted = format!("{{\"key\":{key}}}");
    let twice = format!("{{\"key\":\"{key}\",\"key\":\"{key}\"}}");
    for sent in [&cut, &bare, &listed, &unquoted, &twice] {
        for call in [
            "PUT /consumers",
            "PUT /consumers/jack",
            "PUT /consumers/jack/credentials/c1",
            "POST /schema/validate/consumers",
            "POST /schema/validate/credentials",
            "POST /configs/validate",
        ] {
            // JSON that does not fit is told of by its faults there.
            if call.starts_with("POST") && [&bare, &listed].contains(&sent) {
                continue;
            }
            let answer = admin.say(call, &json!(sent));
            assert_eq!(answer.status, 400, "{call}: {sent}");
            let is_repeated =
                answer.text().contains(key) || answer.json().get("req_body").is_some();
            assert!(!is_repeated, "{call}: {sent}: {}", answer.text());
        }
    }
    // Elsewhere it is, as by APISIX.
    let answer = admin.say("PUT /routes/1", &json!("{\"uri\":"));
    assert_eq!(answer.json()["req_body"], json!("{\"uri\":"));
}

pub(super) fn what_there_is_none_of_is_not_found<T: Control>(admin: &mut T) {
    for (line, error_msg) in [
        ("GET /nonsense", "Unsupported resource type: nonsense"),
        ("PUT /nonsense/1", "Unsupported resource type: nonsense"),
        ("GET /route", "Unsupported resource type: route"),
        ("GET /credentials", "Unsupported resource type: credentials"),
        ("GET /", "not found"),
        ("OPTIONS /routes", "not found"),
        ("OPTIONS /routes/1", "not found"),
    ] {
        check_error(&admin.say(line, &Value::Null), 404, error_msg);
    }
    for path in ["/apisix/admin", "/apisix/admin/"] {
        let root = admin.ask(&Call::new("HEAD", path));
        assert_eq!((root.status, root.body.len()), (200, 0), "{path}");
    }
    let root = admin.ask(&Call::new("HEAD", "/apisix/admin"));
    assert!(!root.headers.has("access-control-allow-origin"), "CORS is off");
}

/// A route that cannot be served changes nothing, and is answered with one line for those who know
/// APISIX and with all faults and their places inside the route.
pub(super) fn faults_are_told_in_one_line_and_all_of_them_in_a_list<T: Control>(admin: &mut T) {
    assert_eq!(admin.say("PUT /routes/0", &route("/0")).status, 201);
    let nodes = json!({"nodes": {"127.0.0.1:80": 1}, "pass_host": "node"});
    let plugins = |plugins: Value| json!({"uri": "/a", "upstream": nodes, "plugins": plugins});
    let branch = |branch: Value| {
        plugins(json!({"traffic-split": {"rules": [{"weighted_upstreams": [branch]}]}}))
    };
    let plugin = "failed to check the configuration of plugin traffic-split err: ";
    let branches = "/plugins/traffic-split/rules/0/weighted_upstreams";
    for (value, error_msg, pointers) in [
        (
            json!({"uri": "a", "upstream": nodes}),
            "invalid configuration: /uri: expected a path of up to 4096 bytes that starts with `/`",
            vec!["/uri".to_owned()],
        ),
        (
            json!({"uri": "/a", "upstraem": nodes}),
            "invalid configuration: ",
            vec!["/upstraem".to_owned()],
        ),
        (json!({"uri": "/a"}), "invalid configuration: ", vec![String::new()]),
        (
            json!({"uri": "a", "methods": ["GTE"], "upstream": {"nodes": {"a b": 1}}}),
            "invalid configuration: ",
            ["/methods/0", "/upstream/nodes/a b", "/uri"].map(str::to_owned).to_vec(),
        ),
        (
            plugins(json!({"no-such": {}})),
            "unknown plugin [no-such]",
            vec!["/plugins/no-such".to_owned()],
        ),
        (branch(json!({"weight": "1"})), plugin, vec![format!("{branches}/0/weight")]),
        (branch(json!({"weight": 0})), plugin, vec![branches.to_owned()]),
        (plugins(json!({"traffic-split": 1})), plugin, vec!["/plugins/traffic-split".to_owned()]),
        (
            json!({"uri": "/a", "upstream_id": "x"}),
            "failed to fetch upstream info by upstream id [x], response code: 404",
            vec!["/upstream_id".to_owned()],
        ),
        (
            json!({"uri": "/a", "service_id": "x"}),
            "failed to fetch service info by service id [x], response code: 404",
            vec!["/service_id".to_owned()],
        ),
    ] {
        let answer = admin.say("PUT /routes/1", &value);
        let content_type = answer.header("content-type").unwrap();
        assert_eq!((answer.status, &*content_type), (400, "application/problem+json"), "{value}");
        let body = answer.json();
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
    assert_eq!(admin.say("GET /routes", &Value::Null).json()["total"], 1);
}
