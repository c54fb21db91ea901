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
