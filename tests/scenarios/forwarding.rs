//! What the upstream is told about the client.

use serde_json::{Value, json};

use crate::document::{everything_to, routes, upstream};
use crate::message::{Call, HOST};
use crate::script::Reply;
use crate::target::Target;

/// `X-Forwarded-*` and `X-Real-IP` are this hop's word; the client's own is kept only in the chain.
pub(crate) fn the_upstream_is_told_who_asked(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&everything_to(&origin));

    for (chain, expected) in [
        (None, "127.0.0.1"),
        (Some("203.0.113.7"), "203.0.113.7, 127.0.0.1"),
        (Some("203.0.113.7, 198.51.100.1"), "203.0.113.7, 198.51.100.1, 127.0.0.1"),
    ] {
        let mut call = Call::get("/x")
            .header("X-Real-IP", "203.0.113.9")
            .header("X-Forwarded-Host", "forged.example")
            .header("X-Forwarded-Port", "1")
            .header("X-Forwarded-Proto", "gopher");
        if let Some(chain) = chain {
            call = call.header("X-Forwarded-For", chain);
        }
        assert_eq!(target.call(&call).status, 200);
        let request = origin.requests().pop().unwrap();
        let told = |name: &str| request.header(name).unwrap_or_default();
        assert_eq!(told("x-forwarded-for"), expected);
        assert_eq!(told("x-real-ip"), "127.0.0.1");
        assert_eq!(told("x-forwarded-host"), HOST);
        assert_eq!(told("x-forwarded-port"), target.port().to_string());
        assert_eq!(told("x-forwarded-proto"), "http");
    }
}

/// Trace context (W3C) goes through as it came, whatever it says: what is no trace of ours is not ours to
/// judge.
pub(crate) fn trace_headers_are_passed_on(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&everything_to(&origin));

    for (parent, state) in [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=b,c@d=e"),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", ""),
        ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", "a=b"),
        ("nonsense", "nonsense"),
    ] {
        let call = Call::get("/x").header("traceparent", parent).header("tracestate", state);
        assert_eq!(target.call(&call).status, 200);
        let request = origin.requests().pop().unwrap();
        assert_eq!(request.header("traceparent").as_deref(), Some(parent));
        assert_eq!(request.header("tracestate").unwrap_or_default(), state);
    }
}

/// With `pass_host` "node" the upstream is called by its own name.
pub(crate) fn the_host_is_the_nodes_name(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&everything_to(&origin));

    assert_eq!(target.call(&Call::get("/x").header("Host", "api.example.com:81")).status, 200);
    assert_eq!(origin.only_request().header("host").as_deref(), Some(origin.authority()));
}

/// With "pass", which is the default, the upstream hears the client's `Host`; with "rewrite" a name
/// that the document gives.
pub(crate) fn the_host_can_be_the_clients_or_fixed(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let route = |uri: &str, policy: Value| {
        let mut upstream = upstream(&origin);
        upstream.as_object_mut().unwrap().remove("pass_host");
        upstream.as_object_mut().unwrap().extend(policy.as_object().unwrap().clone());
        json!({"uri": uri, "upstream": upstream})
    };
    target.start(&routes(&[
        route("/default", json!({})),
        route("/pass", json!({"pass_host": "pass"})),
        route("/rewrite", json!({"pass_host": "rewrite", "upstream_host": "fixed.example:8"})),
    ]));

    for (path, expected) in [
        ("/default", "api.example.com:81"),
        ("/pass", "api.example.com:81"),
        ("/rewrite", "fixed.example:8"),
    ] {
        assert_eq!(target.call(&Call::get(path).header("Host", "api.example.com:81")).status, 200);
        let request = origin.requests().pop().unwrap();
        assert_eq!(request.header("host").as_deref(), Some(expected), "{path}");
    }
}
