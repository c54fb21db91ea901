//! Global rules, and what `proxy-rewrite` and `traffic-split` do from wherever a route has them.

use serde_json::{Value, json};

use super::problems::is_problem;
use crate::document::upstream;
use crate::message::Call;
use crate::origin::Origin;
use crate::script::Reply;
use crate::target::Target;

/// A rule of a split.
fn rule(name: &str, vars: &Value, origin: &Origin) -> Value {
    json!({
        "match": [{"vars": vars}],
        "weighted_upstreams": [{"name": name, "upstream": upstream(origin)}],
    })
}

fn with_beta(call: Call) -> Call {
    call.header("X-Beta", "1")
}

/// What the upstream was asked for last.
fn last(origin: &Origin) -> String {
    origin.requests().pop().expect("a request came").target
}

/// Every route is rewritten by global rules first, then by its own plugin, then by its branch.
pub(crate) fn global_rewrites_come_first(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let own = json!({"proxy-rewrite": {
        "regex_uri": ["^/global(.*)$", "/own$1"],
        "headers": {"set": {"X-Last": "own"}},
    }});
    let rules = json!([{"weighted_upstreams": [
        {"upstream": upstream(&origin), "rewrite": {"regex_uri": ["^/own(.*)$", "/branch$1"]}},
    ]}]);
    let mut split = own.clone();
    split["traffic-split"] = json!({"rules": rules});
    let everywhere = json!({"proxy-rewrite": {
        "regex_uri": ["^/(.*)$", "/global/$1"],
        "headers": {"set": {"X-Last": "global", "X-Global": "1"}},
    }});
    target.start(
        &json!({
            "global_rules": [{"id": 1, "plugins": everywhere}],
            "routes": [
                {"uri": "/plain", "upstream": upstream(&origin)},
                {"uri": "/own", "upstream": upstream(&origin), "plugins": own},
                {"uri": "/split", "plugins": split},
            ],
        })
        .to_string(),
    );

    for (sent, expected, by) in [
        ("/plain", "/global/plain", "global"),
        ("/own?a=b", "/own/own?a=b", "own"),
        ("/split?a=b", "/branch/split?a=b", "own"),
    ] {
        assert_eq!(target.call(&Call::get(sent)).status, 200, "{sent}");
        let request = origin.requests().pop().unwrap();
        assert_eq!(request.target, expected);
        assert_eq!(request.header("x-last").as_deref(), Some(by), "{sent}");
        assert_eq!(request.header("x-global").as_deref(), Some("1"), "{sent}");
    }
}

/// The rules of a route come before those of global rules, and these before the route's upstream.
pub(crate) fn global_splits_serve_what_no_rule_of_a_route_takes(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let own = json!({"traffic-split": {
        "rules": [rule("own", &json!([["arg_own", "==", "1"]]), &origin)],
    }});
    let everywhere = json!({"traffic-split": {
        "rules": [rule("global", &json!([["http_x_beta", "==", "1"]]), &origin)],
    }});
    target.start(
        &json!({
            "global_rules": [{"id": "g", "plugins": everywhere}],
            "routes": [
                {"uri": "/plain", "upstream": upstream(&origin)},
                {"uri": "/split", "upstream": upstream(&origin), "plugins": own},
                {"uri": "/alone", "plugins": own},
            ],
        })
        .to_string(),
    );

    let check = |call: Call, expected: &str| {
        let branch = target.call(&call).branch();
        assert_eq!(branch.as_deref(), Some(expected), "{call:?}");
    };
    check(Call::get("/plain"), "route");
    check(with_beta(Call::get("/plain")), "global");
    check(Call::get("/split"), "route");
    check(with_beta(Call::get("/split")), "global");
    check(Call::get("/split?own=1"), "own");
    check(with_beta(Call::get("/split?own=1")), "own");
    check(with_beta(Call::get("/alone")), "global");
    is_problem(&target.call(&Call::get("/alone")), 503);
    is_problem(&target.call(&with_beta(Call::get("/elsewhere"))), 404);
}

/// A global rule acts whatever the route has of the same plugin, switched off or not.
pub(crate) fn global_rules_can_be_switched_off_by_themselves_only(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let adding = |name: &str, meta: Value| json!({"proxy-rewrite": {"headers": {"set": {name: "1"}}, "_meta": meta}});
    let off = adding("X-Own", json!({"disable": true}));
    let filter = json!({"filter": [["http_x_beta", "==", "1"]]});
    target.start(
        &json!({
            "global_rules": [
                {"id": "on", "plugins": adding("X-On", json!({}))},
                {"id": "off", "plugins": adding("X-Off", json!({"disable": true}))},
                {"id": "filter", "plugins": adding("X-Filter", filter)},
            ],
            "routes": [{"uri": "/*", "upstream": upstream(&origin), "plugins": off}],
        })
        .to_string(),
    );

    let seen = |call: Call| {
        assert_eq!(target.call(&call).status, 200);
        let request = origin.requests().pop().unwrap();
        ["x-on", "x-off", "x-filter", "x-own"].map(|name| request.headers.has(name))
    };
    assert_eq!(seen(Call::get("/x")), [true, false, false, false]);
    assert_eq!(seen(with_beta(Call::get("/x"))), [true, false, true, false]);
}

/// Each plugin is taken from the nearest that has it: route, plugin config, service.
pub(crate) fn plugins_are_taken_one_by_one_from_the_nearest(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let rewrite = |uri: &str| json!({"uri": uri});
    let split =
        |name: &str| json!({"rules": [rule(name, &json!([["arg_split", "==", "1"]]), &origin)]});
    let of_service = json!({"proxy-rewrite": rewrite("/service"), "traffic-split": split("s")});
    target.start(
        &json!({
            "services": [{"id": "s", "upstream": upstream(&origin), "plugins": of_service}],
            "plugin_configs": [
                {"id": "rewrites", "plugins": {"proxy-rewrite": rewrite("/config")}},
                {"id": "splits", "plugins": {"traffic-split": split("c")}},
            ],
            "routes": [
                {"uri": "/a", "service_id": "s"},
                {"uri": "/b", "service_id": "s", "plugin_config_id": "rewrites"},
                {"uri": "/c", "service_id": "s", "plugin_config_id": "splits"},
                {"uri": "/d", "service_id": "s", "plugin_config_id": "splits",
                    "plugins": {"traffic-split": split("r")}},
                {"uri": "/e", "service_id": "s", "plugin_config_id": "rewrites",
                    "plugins": {"proxy-rewrite": rewrite("/route")}},
                {"uri": "/f", "upstream": upstream(&origin), "plugin_config_id": "rewrites"},
            ],
        })
        .to_string(),
    );

    for (sent, rewritten, branch) in [
        ("/a", "/service", "s"),
        ("/b", "/config", "s"),
        ("/c", "/service", "c"),
        ("/d", "/service", "r"),
        ("/e", "/route", "s"),
        ("/f", "/config", "route"),
    ] {
        let answer = target.call(&Call::get(&format!("{sent}?split=1")));
        assert_eq!((answer.status, answer.branch().as_deref()), (200, Some(branch)), "{sent}");
        assert_eq!(last(&origin), format!("{rewritten}?split=1"), "{sent}");
    }
}

/// `proxy-rewrite` acts before a split is asked: its conditions see what was made of the request.
pub(crate) fn a_split_sees_the_rewritten_request(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let route = |uri: &str, rewrite: Value, vars: Value| {
        let branch = json!({
            "name": "taken",
            "upstream": upstream(&origin),
            "rewrite": {"regex_uri": ["^/(.*)$", "/v2/$1"]},
        });
        let rules = json!([{"match": [{"vars": vars}], "weighted_upstreams": [branch]}]);
        let plugins = json!({"proxy-rewrite": rewrite, "traffic-split": {"rules": rules}});
        json!({"uri": uri, "upstream": upstream(&origin), "plugins": plugins})
    };
    let headers = json!({"headers": {"set": {"X-Tier": "gold"}, "remove": ["X-Old"]}});
    target.start(
        &json!({"routes": [
            route("/uri", json!({"uri": "/inner"}), json!([["uri", "==", "/inner"]])),
            route("/old", json!({"uri": "/inner"}), json!([["uri", "==", "/old"]])),
            route("/header", headers.clone(), json!([["http_x_tier", "==", "gold"]])),
            route("/gone", headers, json!([["http_x_old", "==", "1"]])),
        ]})
        .to_string(),
    );

    for (sent, expected, branch) in [
        ("/uri?a=b", "/v2/inner?a=b", "taken"),
        ("/old?a=b", "/inner?a=b", "route"),
        ("/header", "/v2/header", "taken"),
        ("/gone", "/gone", "route"),
    ] {
        let call = Call::get(sent).header("X-Tier", "tin").header("X-Old", "1");
        let answer = target.call(&call);
        assert_eq!((answer.status, answer.branch().as_deref()), (200, Some(branch)), "{sent}");
        assert_eq!(last(&origin), expected);
    }
}

/// What `proxy-rewrite` does can depend on the body, wherever the plugin stands.
pub(crate) fn rewrites_can_ask_for_the_body(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let filter = json!([["post_arg.model", "==", "gpt-4"]]);
    let everywhere = json!({"headers": {"set": {"X-Gpt": "1"}}, "_meta": {"filter": filter}});
    let headers = json!({"set": {"X-Model": "${post_arg.model ?? none}"}});
    let own = json!({"uri": "/v1/${post_arg.model ?? none}", "headers": headers});
    let own = json!({"proxy-rewrite": own});
    target.start(
        &json!({
            "settings": {"body_max": 100},
            "global_rules": [{"id": "g", "plugins": {"proxy-rewrite": everywhere}}],
            "routes": [{"uri": "/x", "upstream": upstream(&origin), "plugins": own}],
        })
        .to_string(),
    );

    let json_of = |body: String| Call::post("/x", body).header("Content-Type", "application/json");
    for (sent, model, is_gpt) in [
        (r#"{ "model":"gpt-4" }"#, "gpt-4", true),
        (r#"{ "model":"other" }"#, "other", false),
        ("{", "none", false),
    ] {
        for call in [json_of(sent.to_owned()), json_of(sent.to_owned()).in_chunks()] {
            assert_eq!(target.call(&call).status, 200, "{sent}");
            let request = origin.requests().pop().unwrap();
            assert_eq!(request.target, format!("/v1/{model}"));
            assert_eq!(request.header("x-model").as_deref(), Some(model));
            assert_eq!(request.headers.has("x-gpt"), is_gpt, "{sent}");
            assert_eq!(request.body, sent.as_bytes());
        }
    }
    let seen = origin.count();
    is_problem(&target.call(&json_of(" ".repeat(101))), 413);
    assert_eq!(origin.count(), seen);
}
