//! Which pages of other origins may read what is answered.

use serde_json::{Value, json};

use super::problems::is_problem;
use crate::document::{routes, upstream};
use crate::message::{Answer, Call};
use crate::origin::Origin;
use crate::script::Reply;
use crate::target::Target;

const PAGE: &str = "https://page.example";

fn route(uri: &str, origin: &Origin, plugins: &Value) -> Value {
    json!({"uri": uri, "upstream": upstream(origin), "plugins": plugins})
}

/// What the page may do, and nothing that others may.
fn policy() -> Value {
    json!({
        "allow_origins": format!("{PAGE},https://other.example"),
        "allow_methods": "GET,PUT",
        "allow_headers": "X-A",
        "expose_headers": "X-B",
        "max_age": 600,
        "allow_credential": true,
    })
}

fn of(call: Call, page: &str) -> Call {
    call.header("Origin", page)
}

fn may(answer: &Answer) -> Option<String> {
    answer.header("access-control-allow-origin")
}

/// Whether an answer says that it is another one for another origin.
fn varies(answer: &Answer) -> bool {
    let lines = answer.headers.all("vary");
    lines.iter().any(|line| line.to_ascii_lowercase().windows(6).any(|part| part == b"origin"))
}

/// A browser that asks beforehand is answered here, before any guard that would turn it away: it sends no
/// credentials.
pub(crate) fn a_preflight_is_answered_here(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let plugins = json!({"cors": policy(), "ip-restriction": {"blacklist": ["0.0.0.0/0", "::/0"]}});
    target.start(&routes(&[
        route("/x", &origin, &plugins),
        route("/any", &origin, &json!({"cors": {"allow_headers": "**", "allow_methods": "**"}})),
    ]));

    let preflight = |path: &str, page: &str| {
        let call = of(Call::new("OPTIONS", path), page);
        let call = call.header("Access-Control-Request-Method", "PUT");
        target.call(&call.header("Access-Control-Request-Headers", "x-a, x-c"))
    };
    let answer = preflight("/x", PAGE);
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    for (name, value) in [
        ("access-control-allow-origin", PAGE),
        ("access-control-allow-methods", "GET,PUT"),
        ("access-control-allow-headers", "X-A"),
        ("access-control-expose-headers", "X-B"),
        ("access-control-max-age", "600"),
        ("access-control-allow-credentials", "true"),
        ("x-splitway-branch", "none"),
    ] {
        assert_eq!(answer.header(name).as_deref(), Some(value), "{name}");
    }
    assert!(varies(&answer));
    let other = preflight("/x", "https://evil.example");
    assert_eq!((other.status, may(&other), varies(&other)), (200, None, true));
    let any = preflight("/any", PAGE);
    assert_eq!((may(&any).as_deref(), varies(&any)), (Some("*"), false));
    assert_eq!(any.header("access-control-allow-headers").as_deref(), Some("x-a, x-c"));
    assert_eq!(origin.count(), 0);
}

/// Every answer says who may read it, also one that is no.
pub(crate) fn every_answer_says_who_may_read_it(target: &mut impl Target) {
    let reply = Reply::ok("").header("Access-Control-Allow-Origin", "*").header("Vary", "Accept");
    let (origin, gone) = (target.origin(reply), target.refusing_origin());
    let with = |plugins: Value| {
        let mut plugins = plugins;
        plugins["cors"] = policy();
        plugins
    };
    target.start(&routes(&[
        route("/taken", &origin, &with(json!({}))),
        route("/blocked", &origin, &with(json!({"ip-restriction": {"blacklist": ["0.0.0.0/0"]}}))),
        route("/large", &origin, &with(json!({"client-control": {"max_body_size": 1}}))),
        route("/gone", &gone, &with(json!({}))),
    ]));

    let taken = target.call(&of(Call::get("/taken"), PAGE));
    assert_eq!(
        (taken.status, may(&taken).as_deref()),
        (200, Some(PAGE)),
        "in the upstream's place"
    );
    assert!(varies(&taken));
    let vary = taken.headers.all("vary").join(b", ".as_slice());
    assert!(String::from_utf8_lossy(&vary).contains("Accept"), "beside what the upstream says");
    let blocked = target.call(&of(Call::get("/blocked"), PAGE));
    assert_eq!((blocked.status, may(&blocked).as_deref()), (403, Some(PAGE)));
    let large = target.call(&of(Call::post("/large", "xx").in_chunks(), PAGE));
    is_problem(&large, 413);
    assert_eq!(may(&large).as_deref(), Some(PAGE));
    let failed = target.call(&of(Call::get("/gone"), PAGE));
    is_problem(&failed, 502);
    assert_eq!(may(&failed).as_deref(), Some(PAGE));
    for path in ["/blocked", "/gone"] {
        let other = target.call(&of(Call::get(path), "https://evil.example"));
        assert_eq!((may(&other), varies(&other)), (None, true), "{path}");
    }
}

/// An origin is compared whole, whatever it looks like.
pub(crate) fn origins_that_only_look_alike_may_not_read(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let pattern = r"^https://[a-z]+\.example$";
    target.start(&routes(&[
        route("/list", &origin, &json!({"cors": policy()})),
        route("/pattern", &origin, &json!({"cors": {"allow_origins_by_regex": [pattern]}})),
    ]));

    for path in ["/list", "/pattern"] {
        assert_eq!(may(&target.call(&of(Call::get(path), PAGE))).as_deref(), Some(PAGE), "{path}");
        for page in [
            "",
            "null",
            "http://page.example",
            "https://page.example:8443",
            "https://page.example.evil.test",
            "https://evil.test/https://page.example",
            "https://PAGE.example",
            "https://page.example https://page.example",
            "https://page.example, https://page.example",
        ] {
            let answer = target.call(&of(Call::get(path), page));
            assert_eq!((may(&answer), varies(&answer)), (None, true), "{path}: {page}");
        }
        let twice = of(of(Call::get(path), PAGE), PAGE);
        assert_eq!(may(&target.call(&twice)), None, "{path}: two lines");
        assert_eq!(may(&target.call(&Call::get(path))), None, "{path}: no page");
    }
}
