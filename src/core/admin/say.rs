//! How the Admin API puts things: APISIX's bodies for its clients, problem documents (RFC 9457) with
//! all faults for everybody.

use serde_json::{Map, Value, json};

use crate::access::{Denial, Role};
use crate::coordinator::Refusal;
use crate::fault::Fault;
use crate::head::Head;
use crate::kind::Kind;
use crate::plugin::PLUGINS;
use crate::problem::Answer;

/// An answer in JSON.
pub(super) fn json(status: u16, body: &Value) -> Answer {
    text(status, "application/json", body.to_string())
}

/// An answer in another format.
pub(super) fn text(status: u16, content_type: &str, body: String) -> Answer {
    let headers = vec![
        ("content-type".into(), content_type.to_owned()),
        ("x-api-version".into(), "v3".to_owned()),
        // What is answered depends on the key.
        ("cache-control".into(), "no-store".to_owned()),
        // What a configuration says is never a page or a script, whatever it looks like.
        ("x-content-type-options".into(), "nosniff".to_owned()),
    ];
    Answer { status, headers, body }
}

/// An error in APISIX's form.
pub(super) fn error(status: u16, message: &str) -> Answer {
    json(status, &json!({"error_msg": message}))
}

/// An error as a problem document.
pub(super) fn problem(status: u16, token: &str, title: &str, more: Value) -> Answer {
    let mut body = json!({
        "type": format!("urn:splitway:problem:{token}"),
        "title": title,
        "status": status,
        "error_msg": title,
    });
    if let (Some(members), Value::Object(more)) = (body.as_object_mut(), more) {
        members.extend(more);
    }
    text(status, "application/problem+json", body.to_string())
}

/// What is said of a body that is shorter than it was to be.
pub(super) const CUT: &str = "the body broke off, or took too long";

/// Whether a body that is not there as a whole is too short: then its length was said, and is none
/// that is too large.
pub(super) fn is_cut(head: &impl Head, max: usize) -> bool {
    let length = head.header("content-length").and_then(|length| length.parse::<usize>().ok());
    length.is_some_and(|length| length <= max)
}

/// The answer to a body that is not there as a whole. The size is known where the client said it.
pub(super) fn unread(head: &impl Head, max: usize) -> Answer {
    if is_cut(head, max) {
        return error(400, &format!("invalid request body: {CUT}"));
    }
    let length = head.header("content-length");
    let size = length.map(|length| format!("size {length} ")).unwrap_or_default();
    let why = format!("request {size}is greater than the maximum size {max} allowed");
    error(400, &format!("invalid request body: {why}"))
}

/// A body that is no JSON, or not the JSON that is needed here. It is repeated as by APISIX, but for what
/// may be a key or a password in plain: answers end in logs.
pub(super) fn invalid_body(kind: Kind, why: &str, body: &[u8]) -> Answer {
    if matches!(kind, Kind::Consumer | Kind::Credential) {
        return error(400, &format!("invalid request body: {why}"));
    }
    let sent = String::from_utf8_lossy(body);
    json(400, &json!({"error_msg": format!("invalid request body: {why}"), "req_body": sent}))
}

/// Why a command did nothing.
pub(super) fn tell_refusal(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::Denied(denial) => tell_denial(&denial),
        Refusal::NotFound => json(404, &json!({"message": "Key not found"})),
        Refusal::NoConsumer => error(404, "consumer not found"),
        Refusal::InUse(why) | Refusal::Invalid(why) => error(400, &why),
        Refusal::Faulty(faults) => tell_faults(&faults),
        Refusal::Forgotten => {
            problem(410, "revision_forgotten", "The revision is no longer kept", json!({}))
        }
        Refusal::Outdated(revision) => problem(
            412,
            "revision_outdated",
            "The configuration was changed in between",
            json!({"revision": revision}),
        ),
        Refusal::TooLarge(max) => problem(
            413,
            "configuration_too_large",
            "The configuration would be too large",
            json!({"detail": format!("at most {max} bytes of JSON are kept")}),
        ),
        Refusal::Full(why) => problem(
            507,
            "storage_full",
            "There is no room to write the configuration",
            json!({"detail": why}),
        ),
        Refusal::Unavailable(why) => problem(
            503,
            "storage_unavailable",
            "The configuration cannot be reached at the moment",
            json!({"detail": why}),
        ),
    }
}

fn tell_denial(denial: &Denial) -> Answer {
    let unauthorized =
        |why: &str| json(401, &json!({"error_msg": "failed to check token", "description": why}));
    match denial {
        Denial::Address => {
            error(403, "the address is not in the list of those that may use the Admin API")
        }
        Denial::Missing => unauthorized("missing apikey"),
        Denial::Wrong => unauthorized("wrong apikey"),
        Denial::Role(Role::Admin | Role::Viewer) => unauthorized("invalid method for role viewer"),
        Denial::Slow(wait) => {
            let wait = wait.as_millis().div_ceil(1000);
            let title = "Too many wrong keys came from this address";
            let mut answer = problem(429, "wrong_keys", title, json!({}));
            answer.headers.push(("retry-after".into(), wait.to_string()));
            answer
        }
    }
}

/// All faults, and the first in APISIX's words.
pub(super) fn tell_faults(faults: &[Fault]) -> Answer {
    let first = faults.first().map(error_msg).unwrap_or_default();
    let more = json!({"error_msg": first, "errors": listed(faults)});
    problem(400, "invalid_configuration", "The configuration has faults", more)
}

/// Faults with their places.
pub(super) fn listed(faults: &[Fault]) -> Value {
    faults.iter().map(|fault| json!({"pointer": fault.at, "detail": fault.what})).collect()
}

/// The one line that APISIX would say in place of a list; its wording of schema errors is its own.
pub(super) fn error_msg(fault: &Fault) -> String {
    if let Some(missing) = &fault.missing {
        let (kind, id) = (missing.kind.singular(), &missing.id);
        let by = if missing.kind == Kind::Upstream { "upstream" } else { kind };
        return format!("failed to fetch {kind} info by {by} id [{id}], response code: 404");
    }
    let within =
        fault.at.strip_prefix("/plugins/").map(|at| at.split_once('/').unwrap_or((at, "")));
    match within {
        Some((plugin, _)) if !PLUGINS.contains(&plugin) => format!("unknown plugin [{plugin}]"),
        Some((plugin, at)) => {
            let what = &fault.what;
            format!("failed to check the configuration of plugin {plugin} err: /{at}: {what}")
        }
        None => format!("invalid configuration: {fault}"),
    }
}

/// An object from its members, those without a value left out.
pub(super) fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let there = members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(there.collect::<Map<_, _>>())
}
