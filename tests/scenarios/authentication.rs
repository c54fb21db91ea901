//! Who calls: known by a key, or by a name and a password, or not let in.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::sticky;
use crate::document::upstream;
use crate::message::{Answer, Call};
use crate::origin::Origin;
use crate::script::Reply;
use crate::target::Target;

/// The SHA-256 of `jacks-key`, by which jack is known as well.
const HASH: &str = "sha256:2b816e0ce7d627cc54cf3af263e77474f56469fe2dc002b777b399c62b6d55a0";

/// `j:jills-password` in base 64.
const JILLS: &str = "Basic ajpqaWxscy1wYXNzd29yZA==";

/// Three consumers: one with a key and a credential, one with a password, one with nothing.
fn consumers() -> Value {
    json!([
        {
            "username": "jack", "group_id": "gold", "labels": {"custom_id": "17"},
            "plugins": {"key-auth": {"key": "jacks-key"}},
        },
        {"id": "jack/credentials/c1", "plugins": {"key-auth": {"key": "jacks-other-key"}}},
        {
            "username": "jill",
            "plugins": {"basic-auth": {"username": "j", "password": "jills-password"}},
        },
        {"username": "guest"},
    ])
}

/// Starts with one route with these plugins.
fn start(target: &mut impl Target, plugins: &Value) -> Origin {
    let origin = target.origin(Reply::ok(""));
    start_with(target, &origin, plugins, &consumers());
    origin
}

fn start_with(target: &mut impl Target, origin: &Origin, plugins: &Value, consumers: &Value) {
    let route = json!({"id": "r", "uri": "/*", "upstream": upstream(origin), "plugins": plugins});
    let document = json!({
        "routes": [route],
        "consumers": consumers,
        "consumer_groups": [{"id": "gold", "plugins": {}}],
    });
    target.start(&document.to_string());
}

fn with_key(key: &str) -> Call {
    Call::get("/x").header("apikey", key)
}

fn with_password(value: &str) -> Call {
    Call::get("/x").header("Authorization", value)
}

/// What upstreams were told of who called last.
fn told(origin: &Origin) -> [Option<String>; 3] {
    let request = origin.requests().pop().expect("it was sent");
    ["x-consumer-username", "x-credential-identifier", "x-consumer-custom-id"]
        .map(|name| request.header(name))
}

#[track_caller]
fn check_told(origin: &Origin, expected: [Option<&str>; 3]) {
    assert_eq!(told(origin), expected.map(|value| value.map(str::to_owned)));
}

#[track_caller]
fn check_in(target: &impl Target, call: &Call) {
    let answer = target.call(call);
    assert_eq!(answer.status, 200, "{call:?}: {}", answer.text());
}

#[track_caller]
fn check_out(answer: &Answer, message: &str) {
    assert_eq!((answer.status, answer.json()), (401, json!({"message": message})));
}

const NO_KEY: &str = "Missing API key in request";
const WRONG_KEY: &str = "Invalid API key in request";

/// A key in the header or the query is its consumer's; without one nobody comes in.
pub(crate) fn a_key_lets_its_consumer_in(target: &mut impl Target) {
    let origin = start(target, &json!({"key-auth": {}}));

    check_in(target, &with_key("jacks-key"));
    check_told(&origin, [Some("jack"), None, Some("17")]);
    check_in(target, &with_key("jacks-other-key"));
    check_told(&origin, [Some("jack"), Some("c1"), Some("17")]);
    check_in(target, &Call::get("/x?a=b&apikey=jacks%2Dkey"));
    check_told(&origin, [Some("jack"), None, Some("17")]);
    assert_eq!(origin.count(), 3);

    check_out(&target.call(&Call::get("/x")), NO_KEY);
    for key in ["wrong", "", "Jacks-Key", "jacks-ke", "jacks-key2", "jack", "\u{fc}"] {
        check_out(&target.call(&with_key(key)), WRONG_KEY);
    }
    for query in ["apikey=", "apikey", "apikey=wrong", "apikey=jacks-key&apikey=jacks-key"] {
        check_out(&target.call(&Call::get(&format!("/x?{query}"))), WRONG_KEY);
    }
    check_out(&target.call(&Call::get("/x?APIKEY=jacks-key")), NO_KEY);
    // The header goes before the query.
    let both = Call::get("/x?apikey=jacks-key").header("apikey", "wrong");
    check_out(&target.call(&both), WRONG_KEY);
    assert_eq!(origin.count(), 3, "nothing of it was sent");
}

/// A hidden key does not reach the upstream; what was not taken for a key is passed on.
pub(crate) fn a_key_is_hidden_where_it_was_read(target: &mut impl Target) {
    let named = json!({"header": "X-Key", "query": "k", "hide_credentials": true});
    let origin = start(target, &json!({"key-auth": named}));

    let sent = |target: &_, call: &Call| {
        check_in(target, call);
        let request = origin.requests().pop().unwrap();
        (request.target.clone(), request.header("x-key"))
    };
    let with = |target: &str| Call::get(target).header("x-KEY", "jacks-key");
    assert_eq!(sent(target, &with("/x?a=1")), ("/x?a=1".to_owned(), None));
    assert_eq!(sent(target, &Call::get("/x?k=jacks-key")), ("/x".to_owned(), None));
    let between = Call::get("/x?a=%31&k=jacks-key&b&a=2");
    assert_eq!(sent(target, &between), ("/x?a=%31&b&a=2".to_owned(), None));
    let both = sent(target, &with("/x?k=jacks-key"));
    assert_eq!(both, ("/x?k=jacks-key".to_owned(), None), "as by APISIX");

    start_with(target, &origin, &json!({"key-auth": {}}), &consumers());
    check_in(target, &with_key("jacks-key"));
    let request = origin.requests().pop().unwrap();
    assert_eq!(request.header("apikey").as_deref(), Some("jacks-key"), "not hidden");
}

/// With an anonymous consumer everybody comes in, and whoever shows something right as themselves.
pub(crate) fn whoever_shows_nothing_right_can_be_somebody(target: &mut impl Target) {
    let anonymous = json!({"anonymous_consumer": "guest", "hide_credentials": true});
    let origin = start(target, &json!({"key-auth": anonymous}));

    for call in [Call::get("/x"), with_key("wrong")] {
        check_in(target, &call);
        check_told(&origin, [Some("guest"), None, None]);
    }
    assert_eq!(origin.requests().pop().unwrap().header("apikey").as_deref(), Some("wrong"));
    check_in(target, &with_key("jacks-key"));
    check_told(&origin, [Some("jack"), None, Some("17")]);

    start_with(target, &origin, &json!({"basic-auth": anonymous}), &consumers());
    for call in [Call::get("/x"), with_password("Basic Og=="), with_password("nonsense")] {
        check_in(target, &call);
        check_told(&origin, [Some("guest"), None, None]);
        assert_eq!(origin.requests().pop().unwrap().header("authorization"), None);
    }

    let nobody = json!({"key-auth": {"anonymous_consumer": "nobody"}});
    start_with(target, &origin, &nobody, &consumers());
    check_out(&target.call(&Call::get("/x")), "Invalid user authorization");
    check_in(target, &with_key("jacks-key"));
}

/// A name is let in with its own password.
pub(crate) fn a_name_and_its_password_let_in(target: &mut impl Target) {
    let origin = start(target, &json!({"basic-auth": {}}));

    for value in [JILLS, "basic ajpqaWxscy1wYXNzd29yZA==", "BASIC  ajpqaWxscy1wYXNzd29yZA"] {
        check_in(target, &with_password(value));
        check_told(&origin, [Some("jill"), None, None]);
    }
    let request = origin.requests().pop().unwrap();
    assert!(request.header("authorization").is_some(), "it is not hidden");
    check_out(&target.call(&Call::get("/x")), "Missing authorization in request");
    for value in ["Bearer abc", "Basic", "Basic %", "Basic Zm9v", "ajpqaWxscy1wYXNzd29yZA=="] {
        check_out(&target.call(&with_password(value)), "Invalid authorization in request");
    }
    // `j:`, `j:jills-password2`, `jill:jills-password`, `:jills-password`.
    for value in
        ["ajo=", "ajpqaWxscy1wYXNzd29yZDI=", "amlsbDpqaWxscy1wYXNzd29yZA==", "OmppbGxzLXBhc3N3b3Jk"]
    {
        let answer = target.call(&with_password(&format!("Basic {value}")));
        check_out(&answer, "Invalid user authorization");
    }
    assert_eq!(origin.count(), 3);

    start_with(target, &origin, &json!({"basic-auth": {"hide_credentials": true}}), &consumers());
    check_in(target, &with_password(JILLS));
    assert_eq!(origin.requests().pop().unwrap().header("authorization"), None);
}

/// A document may have hashes in the place of keys and passwords; a hash itself lets nobody in.
pub(crate) fn hashes_let_in_whoever_has_what_was_hashed(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let password = "sha256:ab08a6e1c5fffede0dbea7552cdda1b89fcde8221cd7aa87ce255db785d34a57";
    let hashed = json!([
        {"username": "jack", "plugins": {"key-auth": {"key": HASH}}},
        {"username": "jill", "plugins": {"basic-auth": {"username": "j", "password": password}}},
    ]);
    start_with(target, &origin, &json!({"key-auth": {}}), &hashed);
    check_in(target, &with_key("jacks-key"));
    check_told(&origin, [Some("jack"), None, None]);
    for key in [HASH, &HASH["sha256:".len()..]] {
        check_out(&target.call(&with_key(key)), WRONG_KEY);
    }

    start_with(target, &origin, &json!({"basic-auth": {}}), &hashed);
    check_in(target, &with_password(JILLS));
    check_told(&origin, [Some("jill"), None, None]);
}

/// What a client says of who it is does not count where somebody asks, not even where a plugin has been
/// told to leave its request alone.
pub(crate) fn upstreams_are_told_who_calls_and_never_by_clients(target: &mut impl Target) {
    let origin = start(target, &json!({"key-auth": {"anonymous_consumer": "guest"}}));
    let spoofed = |call: Call| {
        call.header("X-Consumer-Username", "root")
            .header("x-consumer-username", "admin")
            .header("X-CREDENTIAL-IDENTIFIER", "c9")
            .header("X-Consumer-Custom-ID", "0")
            .header("X-Consumer-Custom-Id", "1")
    };

    check_in(target, &spoofed(with_key("jacks-key")));
    check_told(&origin, [Some("jack"), None, Some("17")]);
    check_in(target, &spoofed(Call::get("/x")));
    check_told(&origin, [Some("guest"), None, None]);

    for meta in [json!({"disable": true}), json!({"filter": [["arg_locked", "==", "1"]]})] {
        start_with(target, &origin, &json!({"key-auth": {"_meta": meta}}), &consumers());
        check_in(target, &spoofed(Call::get("/x")));
        check_told(&origin, [None, None, None]);
    }
}

/// Whoever shows several keys shows none: which of them counts is for nobody to guess.
pub(crate) fn several_keys_are_none(target: &mut impl Target) {
    let origin = start(target, &json!({"key-auth": {}}));
    for keys in [["jacks-key", "jacks-key"], ["jacks-key", "wrong"], ["wrong", "jacks-key"]] {
        let call = with_key(keys[0]).header("ApiKey", keys[1]);
        check_out(&target.call(&call), WRONG_KEY);
    }
    start_with(target, &origin, &json!({"basic-auth": {}}), &consumers());
    let call = with_password(JILLS).header("authorization", JILLS);
    check_out(&target.call(&call), "Invalid authorization in request");
    assert_eq!(origin.count(), 0);
}

/// Ten thousand guesses learn nothing but that they are wrong.
pub(crate) fn guesses_are_all_told_the_same(target: &mut impl Target) {
    let origin = start(target, &json!({"key-auth": {}}));
    let key = "jacks-key";
    let mut told = BTreeSet::new();
    for number in 0..10_000 {
        // Nearer and nearer to the key, and anything.
        let near = &key[..number % key.len()];
        let answer = target.call(&with_key(&format!("{near}{number}")));
        told.insert((answer.status, answer.text(), answer.header("www-authenticate")));
    }
    let body = format!("{}\n", json!({"message": WRONG_KEY}));
    let all = [(401, body, Some("apikey realm=\"key\"".to_owned()))];
    assert_eq!(told, all.into());
    assert_eq!(origin.count(), 0);
    check_in(target, &with_key(key));
}

/// A route's own limits come behind the question who calls. Those of a global rule come before it, so that
/// whoever guesses keys is stopped by them, and with the right key, too, until the window is over.
pub(crate) fn a_global_limit_stops_guesses(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let limit = json!({"count": 5, "time_window": 4, "key": "remote_addr", "rejected_code": 429});
    let real_ip = json!({"source": "http_x_guest", "trusted_addresses": ["127.0.0.0/8", "::1"]});
    let global = json!({"id": "1", "plugins": {"real-ip": real_ip, "limit-count": limit}});
    let own = json!({"count": 1, "time_window": 3600, "key": "all", "key_type": "constant"});
    let plugins = json!({"key-auth": {}, "limit-count": own});
    let route = json!({"id": "r", "uri": "/*", "upstream": upstream(&origin), "plugins": plugins});
    let consumers = json!([{"username": "jack", "plugins": {"key-auth": {"key": "jacks-key"}}}]);
    let document = json!({"routes": [route], "global_rules": [global], "consumers": consumers});
    target.start(&document.to_string());

    let from =
        |address: &str, key: &str| target.call(&with_key(key).header("X-Guest", address)).status;
    let guess = |number: usize| from("192.0.2.7", &format!("wrong-{number}"));
    let guesses: Vec<u16> = (0..8).map(guess).collect();
    assert_eq!(guesses, [401, 401, 401, 401, 401, 429, 429, 429]);
    assert_eq!(from("192.0.2.7", "jacks-key"), 429, "the right one is not told apart");
    assert_eq!(origin.count(), 0);

    // Guesses have not used up what the route has.
    assert_eq!(from("192.0.2.8", "jacks-key"), 200);
    target.pass(Duration::from_millis(4_100));
    assert_eq!(guess(0), 401, "the window is over");
    assert_eq!(
        from("192.0.2.7", "jacks-key"),
        503,
        "the only one of its route was from another address"
    );
    assert_eq!(origin.count(), 1);
}

/// Rules, and what branches send, can ask who calls, by name and by group.
pub(crate) fn consumers_decide_between_rules(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let rule = |name: &str, vars: Value| {
        let headers = json!({"set": {"x-who": "$consumer_name/$consumer_group_id"}});
        let branch = json!({
            "name": name, "weight": 1, "upstream": upstream(&origin), "headers": headers,
        });
        json!({"match": [{"vars": vars}], "weighted_upstreams": [branch]})
    };
    let rules = json!([
        rule("of-jill", json!([["consumer_name", "==", "jill"]])),
        rule("of-gold", json!([["consumer_group_id", "==", "gold"]])),
        rule("of-others", json!([])),
    ]);
    let plugins = json!({
        "basic-auth": {"anonymous_consumer": "guest"},
        "traffic-split": {"rules": rules},
    });
    start_with(target, &origin, &plugins, &consumers());
    let check = |target: &_, call: &Call, branch: &str, who: &str| {
        assert_eq!(sticky::ask(target, call), branch);
        assert_eq!(origin.requests().pop().unwrap().header("x-who").as_deref(), Some(who));
    };
    check(target, &with_password(JILLS), "of-jill", "jill/");
    check(target, &Call::get("/x"), "of-others", "guest/");

    let mut plugins = plugins;
    plugins["key-auth"] = json!({});
    plugins.as_object_mut().unwrap().remove("basic-auth");
    start_with(target, &origin, &plugins, &consumers());
    check(target, &with_key("jacks-key"), "of-gold", "jack/gold");
    check(target, &with_key("jacks-other-key"), "of-gold", "jack/gold");
}

/// A consumer stays on its branch, whichever of its keys it shows, and not by what it says of itself.
pub(crate) fn consumers_stay_on_their_branches(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let holders: Vec<Value> = (0..20)
        .flat_map(|number| {
            let held = |key: String| json!({"key-auth": {"key": key}});
            let name = format!("user-{number}");
            let id = format!("{name}/credentials/other");
            let (one, other) = (held(format!("one-{number}")), held(format!("other-{number}")));
            [json!({"username": name, "plugins": one}), json!({"id": id, "plugins": other})]
        })
        .collect();
    let by = json!({"by": ["consumer", "header:x-user-id"], "salt": "s"});
    let rule = sticky::rule(&origin, [1, 1], &by);
    let plugins = json!({"key-auth": {}, "traffic-split": {"rules": [rule]}});
    start_with(target, &origin, &plugins, &json!(holders));

    let mut branches = BTreeSet::new();
    for number in 0..20 {
        let one = with_key(&format!("one-{number}"));
        let branch = sticky::ask(target, &one);
        let other = with_key(&format!("other-{number}"));
        let spoofed = other.clone().header("X-User-Id", "7").header("X-Consumer-Username", "8");
        for call in [one, other, spoofed] {
            assert_eq!(sticky::ask(target, &call), branch, "{number}");
        }
        branches.insert(branch);
    }
    assert_eq!(branches.len(), 2, "both have some");
}

/// The anonymous consumer is many clients: the next place has their keys, and where there is none they are
/// divided like all others. Whoever shows the key of that consumer is that consumer.
pub(crate) fn anonymous_requests_are_not_all_of_one_branch(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let consumers = json!([
        {"username": "jack", "plugins": {"key-auth": {"key": "jacks-key"}}},
        {"username": "guest", "plugins": {"key-auth": {"key": "guests-key"}}},
    ]);
    let by = json!({"by": ["consumer", "header:x-user-id"], "salt": "s"});
    let mut rule = sticky::rule(&origin, [1, 1], &by);
    for branch in rule["weighted_upstreams"].as_array_mut().unwrap() {
        branch["headers"] = json!({"set": {"x-who": "$consumer_name"}});
    }
    let plugins = json!({
        "key-auth": {"anonymous_consumer": "guest"}, "traffic-split": {"rules": [rule]},
    });
    start_with(target, &origin, &plugins, &consumers);
    let target = &*target;

    for anonymous in [Call::get("/x"), with_key("wrong")] {
        let branches: Vec<String> = (0..20).map(|_| sticky::ask(target, &anonymous)).collect();
        let ones = branches.iter().filter(|branch| *branch == "v1").count();
        assert_eq!(ones, 10, "{branches:?}");
        let request = origin.requests().pop().unwrap();
        assert_eq!(request.header("x-who").as_deref(), Some("guest"), "it has its name");
    }
    let of_user = |number| {
        let ask = |call: Call| sticky::ask(target, &call.header("X-User-Id", sticky::user(number)));
        let branch = ask(Call::get("/x"));
        assert_eq!(
            [ask(Call::get("/x")), ask(with_key("wrong"))],
            [branch.clone(), branch.clone()]
        );
        branch
    };
    let branches: BTreeSet<String> = (0..20).map(of_user).collect();
    assert_eq!(branches.len(), 2, "both have some");

    for key in ["jacks-key", "guests-key"] {
        let branch = sticky::ask(target, &with_key(key));
        for number in 0..10 {
            let call = with_key(key).header("X-User-Id", sticky::user(number));
            assert_eq!(sticky::ask(target, &call), branch, "{key}");
        }
    }
}

/// A limit of a consumer, or of its group, stands in for the route's.
pub(crate) fn consumers_bring_limits_of_their_own(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let limit = |count: u32| json!({"count": count, "time_window": 600, "rejected_code": 429});
    let consumer = |name: &str, group: Option<&str>, own: Option<Value>| {
        let mut plugins = json!({"key-auth": {"key": format!("{name}s-key")}});
        if let Some(own) = own {
            plugins["limit-count"] = own;
        }
        let mut consumer = json!({"username": name, "plugins": plugins});
        if let Some(group) = group {
            consumer["group_id"] = json!(group);
        }
        consumer
    };
    let document = json!({
        "routes": [{
            "id": "r", "uri": "/*", "upstream": upstream(&origin),
            "plugins": {"key-auth": {}, "limit-count": limit(1)},
        }],
        "consumers": [
            consumer("jack", Some("gold"), Some(limit(3))),
            consumer("jill", Some("gold"), None),
            consumer("joe", None, None),
        ],
        "consumer_groups": [{"id": "gold", "plugins": {"limit-count": limit(2)}}],
    });
    target.start(&document.to_string());
    // Whoever is not known is not counted.
    (0..5).for_each(|_| check_out(&target.call(&Call::get("/x")), NO_KEY));
    for (name, passing) in [("jack", 3), ("jill", 2), ("joe", 1)] {
        let call = with_key(&format!("{name}s-key"));
        let statuses: Vec<u16> = (0..5).map(|_| target.call(&call).status).collect();
        let mut expected = vec![200; passing];
        expected.resize(5, 429);
        assert_eq!(statuses, expected, "{name}");
    }
    assert_eq!(origin.count(), 6);
}

/// They act from services, plugin configs and global rules, too.
pub(crate) fn plugins_that_ask_stand_where_others_do(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let (key, password) = (json!({"key-auth": {}}), json!({"basic-auth": {}}));
    let upstream = upstream(&origin);
    let mut document = json!({
        "consumers": consumers(),
        "consumer_groups": [{"id": "gold", "plugins": {}}],
        "services": [{"id": "s", "plugins": key, "upstream": upstream}],
        "plugin_configs": [{"id": "p", "plugins": password}],
        "routes": [
            {"uri": "/service", "service_id": "s"},
            {"uri": "/config", "plugin_config_id": "p", "upstream": upstream},
            {"uri": "/both", "service_id": "s", "plugin_config_id": "p"},
            {"uri": "/open", "upstream": upstream},
        ],
    });
    target.start(&document.to_string());
    let status = |target: &_, path: &str, key: bool, password: bool| {
        let call = Call::get(path);
        let call = if key { call.header("apikey", "jacks-key") } else { call };
        let call = if password { call.header("Authorization", JILLS) } else { call };
        Target::call(target, &call).status
    };
    for (path, key, password, expected) in [
        ("/service", false, true, 401),
        ("/service", true, false, 200),
        ("/config", true, false, 401),
        ("/config", false, true, 200),
        // Both have to be shown.
        ("/both", true, false, 401),
        ("/both", false, true, 401),
        ("/both", true, true, 200),
        ("/open", false, false, 200),
    ] {
        assert_eq!(status(target, path, key, password), expected, "{path} {key} {password}");
    }
    check_told(&origin, [None, None, None]);

    document["global_rules"] = json!([{"id": 1, "plugins": {"key-auth": {}}}]);
    target.start(&document.to_string());
    assert_eq!(status(target, "/open", false, false), 401);
    assert_eq!(status(target, "/open", true, false), 200);
    assert_eq!(status(target, "/nowhere", false, false), 404);
}

/// A refusal is a 401 that says what is asked for, and by whom it was refused.
pub(crate) fn refusals_say_what_is_asked_for(target: &mut impl Target) {
    let origin = start(target, &json!({"key-auth": {}}));
    let check = |target: &_, challenge: &str| {
        let answer = Target::call(target, &Call::get("/x"));
        assert_eq!(answer.status, 401);
        let header = |name| answer.header(name);
        assert_eq!(header("www-authenticate").as_deref(), Some(challenge));
        assert_eq!(header("content-type").as_deref(), Some("text/plain; charset=utf-8"));
        let status = "splitway; error=http_request_denied";
        assert_eq!(header("proxy-status").as_deref(), Some(status));
        assert_eq!(header("x-splitway-route").as_deref(), Some("r"));
        answer.text()
    };
    assert_eq!(check(target, "apikey realm=\"key\""), format!("{{\"message\":\"{NO_KEY}\"}}\n"));
    for (plugins, challenge) in [
        (json!({"key-auth": {"realm": "a \"b\" \\c"}}), r#"apikey realm="a \"b\" \\c""#),
        (json!({"basic-auth": {}}), r#"Basic realm="basic""#),
        (json!({"basic-auth": {"realm": "shop"}}), r#"Basic realm="shop""#),
        // The first that is asked.
        (json!({"key-auth": {}, "basic-auth": {}}), r#"Basic realm="basic""#),
    ] {
        start_with(target, &origin, &plugins, &consumers());
        check(target, challenge);
    }
    for (response, expected) in [
        (json!("go away"), "go away".to_owned()),
        (json!({"message": "go away"}), "{\"message\":\"go away\"}\n".to_owned()),
    ] {
        let plugins = json!({"key-auth": {"_meta": {"error_response": response}}});
        start_with(target, &origin, &plugins, &consumers());
        assert_eq!(check(target, "apikey realm=\"key\""), expected);
    }
    // To HEAD the same, without a body.
    let head = target.call(&Call::new("HEAD", "/x"));
    assert_eq!((head.status, head.text()), (401, String::new()));
    assert_eq!(origin.count(), 0);
}
