//! Which route takes a request.

use serde_json::{Value, json};

use crate::document::{routes, upstream};
use crate::message::Call;
use crate::script::Reply;
use crate::target::Target;

fn check(target: &impl Target, method: &str, host: &str, path: &str, expected: &str) {
    let answer = target.call(&Call::new(method, path).header("Host", host));
    let route = answer.header("x-splitway-route");
    assert_eq!(route.as_deref(), Some(expected), "{method} {host} {path}");
    assert_eq!(answer.status, if expected == "none" { 404 } else { 200 });
}

/// Hosts come before paths, exact before wildcards, longer before shorter; methods pass over.
pub(crate) fn hosts_methods_and_paths_decide(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let route = |id: &str, conditions: Value| {
        let mut route = conditions;
        route["id"] = json!(id);
        route["upstream"] = upstream(&origin);
        route
    };
    target.start(&routes(&[
        route("exact", json!({"uri": "/a"})),
        route("prefix", json!({"uri": "/a/*"})),
        route("longer", json!({"uri": "/a/b/*"})),
        route("posts", json!({"uri": "/a/b/*", "methods": ["POST", "PUT"], "priority": 1})),
        route("host", json!({"uri": "/a", "host": "api.example.com"})),
        route("below", json!({"uris": ["/a", "/c"], "hosts": ["*.example.com"]})),
    ]));

    check(target, "GET", "splitway.test", "/a", "exact");
    check(target, "GET", "splitway.test", "/a/x", "prefix");
    check(target, "GET", "splitway.test", "/a/b/x", "longer");
    check(target, "POST", "splitway.test", "/a/b/x", "posts");
    check(target, "DELETE", "splitway.test", "/a/b/x", "longer");
    check(target, "GET", "api.example.com", "/a", "host");
    check(target, "GET", "API.Example.com:8080", "/a", "host");
    check(target, "GET", "api.example.com", "/c", "below");
    check(target, "GET", "www.example.com", "/a", "below");
    check(target, "GET", "www.example.com", "/a/x", "prefix");
    check(target, "GET", "example.com", "/c", "none");
    check(target, "GET", "splitway.test", "/b", "none");
}

/// Among routes for the same path the higher priority comes first, then the earlier in the text.
pub(crate) fn priority_decides_among_equals(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let upstream = upstream(&origin);
    let route = |id: &str, priority: i64| {
        let mut route = json!({"id": id, "uri": "/a", "upstream": upstream});
        route["priority"] = json!(priority);
        route
    };
    target.start(&routes(&[route("low", -1), route("first", 5), route("second", 5)]));

    check(target, "GET", "splitway.test", "/a", "first");
}

/// A route with `status` 0 is as good as absent.
pub(crate) fn a_disabled_route_takes_nothing(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&routes(&[
        json!({"id": "off", "uri": "/a", "status": 0, "upstream": upstream(&origin)}),
        json!({"id": "on", "uri": "/b", "status": 1, "upstream": upstream(&origin)}),
    ]));

    check(target, "GET", "splitway.test", "/a", "none");
    check(target, "GET", "splitway.test", "/b", "on");
}

/// A route is found by what a path means; the upstream gets it as it was written.
pub(crate) fn the_path_is_matched_decoded_and_forwarded_as_sent(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&routes(&[
        json!({"id": "cafe", "uri": "/caf\u{e9}/*", "upstream": upstream(&origin)}),
    ]));

    for path in ["/caf%C3%A9/1", "/caf%c3%a9//2", "/%63af%C3%A9/3"] {
        check(target, "GET", "splitway.test", path, "cafe");
        assert_eq!(origin.requests().pop().unwrap().target, path);
    }
}

/// Of the routes for one path, the first whose expression holds takes the request.
pub(crate) fn variables_decide_among_routes(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let route = |id: &str, priority: i64, vars: Value| json!({"id": id, "uri": "/a", "priority": priority, "vars": vars, "upstream": upstream(&origin)});
    target.start(&routes(&[
        json!({"id": "plain", "uri": "/a", "upstream": upstream(&origin)}),
        route("both", 2, json!([["arg_v", "==", "2"], ["http_x_beta", "==", "1"]])),
        route("two", 1, json!([["arg_v", "==", "2"]])),
        route("either", 1, json!(["OR", ["arg_v", "==", "3"], ["arg_w", "==", "3"]])),
        json!({"id": "below", "uri": "/*", "upstream": upstream(&origin)}),
        json!({"id": "never", "uri": "/b", "vars": [["arg_v", "==", "1"]], "upstream": upstream(&origin)}),
    ]));

    check(target, "GET", "splitway.test", "/a", "plain");
    check(target, "GET", "splitway.test", "/a?v=2", "two");
    check(target, "GET", "splitway.test", "/a?w=3", "either");
    check(target, "GET", "splitway.test", "/b?v=1", "never");
    check(target, "GET", "splitway.test", "/b?v=2", "below");
    let answer = target.call(&Call::get("/a?v=2").header("X-Beta", "1"));
    assert_eq!(answer.header("x-splitway-route").as_deref(), Some("both"));
}

/// A route can ask for the body of a request, too, which arrives as it was sent.
pub(crate) fn bodies_decide_among_routes(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let vars = json!([["post_arg.model", "==", "gpt-4"]]);
    target.start(&routes(&[
        json!({"id": "gpt", "uri": "/a", "vars": vars, "priority": 1, "upstream": upstream(&origin)}),
        json!({"id": "other", "uri": "/a", "upstream": upstream(&origin)}),
    ]));

    for (body, expected) in
        [(r#"{"model": "gpt-4"}"#, "gpt"), (r#"{ "model":"gpt-3"}"#, "other"), ("{", "other")]
    {
        let call = Call::post("/a", body).header("Content-Type", "application/json");
        for call in [call.clone(), call.in_chunks()] {
            let answer = target.call(&call);
            let route = answer.header("x-splitway-route");
            assert_eq!((answer.status, route.as_deref()), (200, Some(expected)), "{body}");
            assert_eq!(origin.requests().pop().unwrap().body, body.as_bytes());
        }
    }
}

/// A route can be for clients at some addresses only.
pub(crate) fn addresses_decide_among_routes(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let route = |id: &str, uri: &str, key: &str, addresses: Value| {
        let mut route = json!({"id": id, "uri": uri, "upstream": upstream(&origin)});
        route[key] = addresses;
        route
    };
    target.start(&routes(&[
        route("here", "/a", "remote_addr", json!("127.0.0.1")),
        route("net", "/b", "remote_addrs", json!(["10.0.0.0/8", "127.0.0.0/24"])),
        route("elsewhere", "/c", "remote_addrs", json!(["10.0.0.0/8", "127.0.0.2", "::/0"])),
        route("there", "/d", "remote_addr", json!("192.0.2.0/24")),
        json!({"id": "all", "uri": "/d*", "upstream": upstream(&origin)}),
    ]));

    check(target, "GET", "splitway.test", "/a", "here");
    check(target, "GET", "splitway.test", "/b", "net");
    check(target, "GET", "splitway.test", "/c", "none");
    check(target, "GET", "splitway.test", "/d", "all");
    let forged = Call::get("/c").header("X-Real-IP", "10.0.0.1");
    assert_eq!(target.call(&forged.header("X-Forwarded-For", "10.0.0.1")).status, 404);
}

/// With the router that knows them, segments of a path have names that conditions can ask for.
pub(crate) fn parameters_of_a_path_have_names(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let vars = json!([["uri_param_name", "==", "alice"]]);
    let rules = json!([{
        "match": [{"vars": vars}],
        "weighted_upstreams": [{"name": "alices", "upstream": upstream(&origin)}],
    }]);
    let user = json!({
        "id": "user",
        "uri": "/users/:name/orders",
        "upstream": upstream(&origin),
        "plugins": {"traffic-split": {"rules": rules}},
    });
    let settings = json!({"router": "radixtree_uri_with_parameter"});
    let routes = json!([user, {"id": "rest", "uri": "/users/*", "upstream": upstream(&origin)}]);
    target.start(&json!({"settings": settings, "routes": routes}).to_string());

    for (path, route, branch) in [
        ("/users/alice/orders", "user", "alices"),
        ("/users/%61lice/orders?a=b", "user", "alices"),
        ("/users/bob/orders", "user", "route"),
        ("/users/alice/orders/1", "rest", "route"),
        ("/users/orders", "rest", "route"),
    ] {
        let answer = target.call(&Call::get(path));
        assert_eq!(answer.header("x-splitway-route").as_deref(), Some(route), "{path}");
        assert_eq!(answer.branch().as_deref(), Some(branch), "{path}");
    }
}

/// The segments that have names can make the new path, and stay the segments they were.
pub(crate) fn parameters_of_a_path_make_new_ones(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let user = json!({
        "uri": "/users/:name/*rest",
        "upstream": upstream(&origin),
        "plugins": {"proxy-rewrite": {"uri": "/v2/$uri_param_name?of=$uri_param_rest"}},
    });
    let settings = json!({"router": "radixtree_uri_with_parameter"});
    target.start(&json!({"settings": settings, "routes": [user]}).to_string());

    for (sent, expected) in [
        ("/users/alice/orders?a=b", "/v2/alice?of=orders&a=b"),
        ("/users/a%3Fb%23/1", "/v2/a%3Fb%23?of=1"),
        ("/users/caf%C3%A9/a%26b", "/v2/caf%C3%A9?of=a%26b"),
    ] {
        assert_eq!(target.call(&Call::get(sent)).status, 200, "{sent}");
        assert_eq!(origin.requests().pop().unwrap().target, expected);
    }
}

/// Without that router a colon in a path is a colon.
pub(crate) fn colons_are_plain_without_that_router(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&routes(&[
        json!({"id": "colon", "uri": "/users/:name", "upstream": upstream(&origin)}),
    ]));

    check(target, "GET", "splitway.test", "/users/:name", "colon");
    check(target, "GET", "splitway.test", "/users/alice", "none");
}
