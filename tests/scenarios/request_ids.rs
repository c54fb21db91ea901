//! Every request has a name, by which it is found again.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::problems::is_problem;
use crate::document::{routes, upstream};
use crate::message::Call;
use crate::origin::Origin;
use crate::script::Reply;
use crate::target::Target;

fn route(uri: &str, origin: &Origin, plugins: &Value) -> Value {
    json!({"uri": uri, "upstream": upstream(origin), "plugins": plugins})
}

fn is_uuid(name: &str) -> bool {
    let lengths: Vec<usize> = name.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && name.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

/// The upstream and the client are told the same name, another one for each request.
pub(crate) fn every_request_has_a_name(target: &mut impl Target) {
    let origin = target.origin(Reply::ok("").header("X-Request-Id", "what the upstream says"));
    let made = |uri: &str, conf: Value| route(uri, &origin, &json!({"request-id": conf}));
    target.start(&routes(&[
        made("/uuid", json!({})),
        made("/uuidv7", json!({"algorithm": "uuidv7"})),
        made("/nanoid", json!({"algorithm": "nanoid"})),
        made("/ksuid", json!({"algorithm": "ksuid"})),
        made(
            "/range",
            json!({"algorithm": "range_id", "range_id": {"length": 40, "char_set": "abcdefghijk"}}),
        ),
    ]));

    let mut names = BTreeSet::new();
    for (path, length) in
        [("/uuid", 36), ("/uuidv7", 36), ("/nanoid", 21), ("/ksuid", 27), ("/range", 40)]
    {
        for _ in 0..10 {
            let name = target.call(&Call::get(path)).header("x-request-id").unwrap();
            assert_eq!(name.len(), length, "{name}");
            assert!(length != 36 || is_uuid(&name), "{name}");
            assert_eq!(origin.requests().pop().unwrap().header("x-request-id"), Some(name.clone()));
            names.insert(name);
        }
    }
    assert_eq!(names.len(), 50, "{names:?}");
}

/// A client may bring its own, if it is one that logs can take.
pub(crate) fn a_name_that_a_client_brings_is_kept_if_it_is_harmless(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let quiet = json!({"request-id": {"header_name": "X-Trace", "include_in_response": false}});
    target.start(&routes(&[
        route("/x", &origin, &json!({"request-id": {}})),
        route("/quiet", &origin, &quiet),
    ]));

    let ask = |given: &[&str]| {
        let call = given.iter().fold(Call::get("/x"), |call, it| call.header("X-Request-ID", it));
        let told = target.call(&call).header("x-request-id").unwrap();
        assert_eq!(origin.requests().pop().unwrap().header("x-request-id"), Some(told.clone()));
        told
    };
    for kept in ["7", "b9b2c0d4-d058-46fa-bafc-dd91a0ccf441", "Root=1-67:abc/def+g=="] {
        assert_eq!(ask(&[kept]), kept);
    }
    let long = "a".repeat(129);
    for replaced in
        ["", "a b", "a\tb", "\"a\"", "a,b", "a;b", "{\"a\":1}", "a\\nb", "<script>", "${a}", &long]
    {
        assert!(is_uuid(&ask(&[replaced])), "{replaced}");
    }
    assert!(is_uuid(&ask(&["one", "two"])), "two lines");

    let answer = target.call(&Call::get("/quiet").header("X-Trace", "mine"));
    assert!(!answer.headers.has("x-trace") && !answer.headers.has("x-request-id"));
    assert_eq!(origin.requests().pop().unwrap().header("x-trace").as_deref(), Some("mine"));
}

/// Who is refused is told the name of what was refused.
pub(crate) fn refusals_have_names_too(target: &mut impl Target) {
    let (origin, gone) = (target.origin(Reply::ok("")), target.refusing_origin());
    let named = |plugins: Value| {
        let mut plugins = plugins;
        plugins["request-id"] = json!({});
        plugins
    };
    target.start(&routes(&[
        route("/blocked", &origin, &named(json!({"ip-restriction": {"blacklist": ["0.0.0.0/0"]}}))),
        route("/gone", &gone, &named(json!({}))),
    ]));

    let blocked = target.call(&Call::get("/blocked").header("X-Request-Id", "mine"));
    assert_eq!((blocked.status, blocked.header("x-request-id").as_deref()), (403, Some("mine")));
    let answer = target.call(&Call::get("/gone").header("X-Request-Id", "mine"));
    is_problem(&answer, 502);
    assert_eq!(answer.header("x-request-id").as_deref(), Some("mine"));
}
