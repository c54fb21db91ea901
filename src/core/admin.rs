//! The Admin API: APISIX's dialogue (APISIX.md section 6) in front of the ledger.
//!
//! It is given a request's head and body and turns them into one [`Command`]; it never stores
//! anything and never looks at the data plane.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

use crate::coordinator::{Command, Done, Entry, Refusal};
use crate::fault::{Fault, Missing};
use crate::head::Head;
use crate::id::Id;
use crate::json::parse;
use crate::kind::Kind;
use crate::platform::Control;
use crate::problem::Answer;
use crate::split::PLUGIN;

/// The prefix of every path of the Admin API.
pub const PREFIX: &str = "/apisix/admin";

/// The most bytes a request body may have, as in APISIX: 1.5 MiB.
pub const BODY_MAX: usize = 1_572_864;

/// Who may use the Admin API.
pub trait Gate {
    /// Whether this address may talk to it at all.
    fn allows(&self, client: Option<IpAddr>) -> bool;

    /// Whether this is a key that may write; compared in constant time.
    fn opens(&self, key: &str) -> bool;
}

/// Answers one request to the Admin API.
pub async fn answer<C: Control>(
    control: &C,
    gate: &impl Gate,
    head: &C::Head,
    body: C::Body,
) -> Answer {
    if !gate.allows(head.client()) {
        return error(403, "the address is not in the list of those that may use the Admin API");
    }
    if let Err(refused) = authenticate(gate, head) {
        return refused;
    }
    let (kind, id) = match locate(head.path()) {
        Ok(place) => place,
        Err(refused) => return refused,
    };
    if head.query().and_then(|query| argument(query, "ttl")).is_some() {
        return error(400, "`ttl` is not supported yet: the resource would never expire");
    }
    let command = match (head.method(), id) {
        ("GET", None) => Command::List(kind),
        ("GET", Some(id)) => Command::Read(kind, id),
        ("DELETE", Some(id)) => Command::Delete(kind, id),
        ("PUT", id) => match read_put(control, head, kind, id, body).await {
            Ok(command) => command,
            Err(refused) => return refused,
        },
        ("DELETE", None) => return error(400, &format!("missing {} id", kind.singular())),
        _ => return error(404, "not found"),
    };
    match control.coordinate(command).await {
        Ok(done) => tell(kind, done),
        Err(refusal) => tell_refusal(refusal),
    }
}

/// The key is in the header, the query or a cookie, the first of them that is there.
fn authenticate(gate: &impl Gate, head: &impl Head) -> Result<(), Answer> {
    let header = head.header("x-api-key").map(std::borrow::Cow::into_owned);
    let key = header.or_else(|| argument(head.query()?, "api_key")).or_else(|| {
        let cookies = head.header("cookie")?;
        let pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.into_iter().find(|(name, _)| *name == "x_api_key").map(|(_, key)| key.to_owned())
    });
    let why = match key {
        None => "missing apikey",
        Some(key) if gate.opens(&key) => return Ok(()),
        Some(_) => "wrong apikey",
    };
    Err(json_answer(401, &json!({"error_msg": "failed to check token", "description": why})))
}

/// The first value of an argument, decoded as forms are.
fn argument(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.find(|(key, _)| *key == name).map(|(_, value)| value.replace('+', " "))?;
    Some(percent_decode_str(&value).decode_utf8_lossy().into_owned())
}

/// The kind and id that a path names.
fn locate(path: &str) -> Result<(Kind, Option<Id>), Answer> {
    let rest = path.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('/'));
    let rest = rest.ok_or_else(|| error(404, "not found"))?;
    let (plural, id) = rest.split_once('/').unwrap_or((rest, ""));
    let unsupported = || error(404, &format!("Unsupported resource type: {plural}"));
    let kind = Kind::parse(plural).ok_or_else(unsupported)?;
    if id.is_empty() {
        return Ok((kind, None));
    }
    let wrong = || error(400, "invalid id: expected 1 to 64 letters, digits, `-`, `_`, `.`");
    Id::parse(id).map(|id| (kind, Some(id))).ok_or_else(wrong)
}

async fn read_put<C: Control>(
    control: &C,
    head: &C::Head,
    kind: Kind,
    id: Option<Id>,
    body: C::Body,
) -> Result<Command, Answer> {
    let Some(body) = control.buffer(body, BODY_MAX).await else {
        return Err(too_large(head));
    };
    if body.is_empty() {
        return Err(error(400, "missing configurations"));
    }
    let value = parse_object(&body)?;
    for key in ["create_time", "update_time"] {
        if value.contains_key(key) {
            return Err(error(400, &format!("the property is forbidden:  {key}")));
        }
    }
    let within = value.get("id").map(id_text);
    let id = match (id, within) {
        (Some(id), Some(within)) if within.as_deref() != Some(id.as_str()) => {
            return Err(error(400, &format!("wrong {} id", kind.singular())));
        }
        (Some(id), _) => id,
        (None, within) => within
            .flatten()
            .and_then(|text| Id::parse(&text))
            .ok_or_else(|| error(400, &format!("missing {} id", kind.singular())))?,
    };
    Ok(Command::Put(kind, id, value))
}

/// The size is known where the client said it.
fn too_large(head: &impl Head) -> Answer {
    let length = head.header("content-length");
    let size = length.map(|length| format!("size {length} ")).unwrap_or_default();
    let why = format!("request {size}is greater than the maximum size {BODY_MAX} allowed");
    error(400, &format!("invalid request body: {why}"))
}

fn parse_object(body: &[u8]) -> Result<Map<String, Value>, Answer> {
    let why = match parse(body) {
        Ok(Value::Object(value)) => return Ok(value),
        Ok(_) => "expected an object".to_owned(),
        Err(error) => error.to_string(),
    };
    let sent = String::from_utf8_lossy(body);
    let body = json!({"error_msg": format!("invalid request body: {why}"), "req_body": sent});
    Err(json_answer(400, &body))
}

/// An id as text, whether it was written as a string or as a number.
fn id_text(id: &Value) -> Option<String> {
    id.as_str().map(str::to_owned).or_else(|| id.as_u64().map(|number| number.to_string()))
}

fn tell(kind: Kind, done: Done) -> Answer {
    let key = |id: &Id| format!("/apisix/{}/{}", kind.plural(), id.as_str());
    let whole = |id: &Id, entry: Entry| {
        let Entry { value, created, modified } = entry;
        json!({"key": key(id), "value": value, "createdIndex": created, "modifiedIndex": modified})
    };
    match done {
        Done::Found(id, entry) => json_answer(200, &whole(&id, entry)),
        Done::Written(id, value, is_new) => {
            let status = if is_new { 201 } else { 200 };
            json_answer(status, &json!({"key": key(&id), "value": value}))
        }
        Done::Deleted(id) => json_answer(200, &json!({"deleted": "1", "key": key(&id)})),
        Done::Listed(entries) => {
            let list: Vec<Value> =
                entries.into_iter().map(|(id, entry)| whole(&id, entry)).collect();
            json_answer(200, &json!({"total": list.len(), "list": list}))
        }
    }
}

fn tell_refusal(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::NotFound => json_answer(404, &json!({"message": "Key not found"})),
        Refusal::Unavailable => error(503, "the configuration cannot be written at the moment"),
        Refusal::Faulty(faults) => {
            let first = faults.first().map(error_msg).unwrap_or_default();
            let faults: Vec<Value> = faults
                .iter()
                .map(|fault| json!({"pointer": fault.at, "detail": fault.what}))
                .collect();
            let body = json!({
                "type": "urn:splitway:problem:invalid_configuration",
                "title": "The configuration has faults",
                "status": 400,
                "error_msg": first,
                "errors": faults,
            });
            Answer { headers: headers("application/problem+json"), ..json_answer(400, &body) }
        }
    }
}

/// The one line that APISIX would say in place of a list; its wording of schema errors is its own.
fn error_msg(fault: &Fault) -> String {
    if let Some(Missing { kind, id }) = &fault.missing {
        let kind = kind.singular();
        return format!("failed to fetch {kind} info by {kind} id [{id}], response code: 404");
    }
    let within =
        fault.at.strip_prefix("/plugins/").map(|at| at.split_once('/').unwrap_or((at, "")));
    match within {
        Some((plugin, "")) if plugin != PLUGIN => format!("unknown plugin [{plugin}]"),
        Some((plugin, at)) => {
            let what = &fault.what;
            format!("failed to check the configuration of plugin {plugin} err: /{at}: {what}")
        }
        None => format!("invalid configuration: {fault}"),
    }
}

fn error(status: u16, message: &str) -> Answer {
    json_answer(status, &json!({"error_msg": message}))
}

fn json_answer(status: u16, body: &Value) -> Answer {
    Answer { status, headers: headers("application/json"), body: body.to_string() }
}

fn headers(content_type: &str) -> Vec<(&'static str, String)> {
    vec![("content-type", content_type.to_owned()), ("x-api-version", "v3".to_owned())]
}
