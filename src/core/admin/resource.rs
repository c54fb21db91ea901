//! Resources one by one, and the list of a kind, as APISIX's clients know them.

use serde_json::{Map, Value, json};
use std::sync::Arc;

use crate::coordinator::{Command, Done, Look, Terms};
use crate::id::Id;
use crate::json::parse;
use crate::kind::Kind;
use crate::ledger::Entry;
use crate::platform::Control;
use crate::problem::Answer;
use crate::wire;

use super::listing::Listing;
use super::say::{self, error, invalid_body, tell_refusal, unread};
use super::{BODY_MAX, Call, whole};

/// A place in the paths: a kind, whose credentials, which one, and what of it.
struct Target {
    kind: Kind,
    consumer: Option<Id>,
    id: Option<Id>,
    within: Vec<String>,
}

/// Answers a request for resources.
pub(super) async fn answer<C: Control>(
    control: &C,
    call: Call<'_>,
    head: &C::Head,
    body: C::Body,
) -> Answer {
    let target = match locate(&call.path) {
        Ok(target) => target,
        Err(refused) => return refused,
    };
    // The revision is that of the whole configuration: a resource has none of its own.
    let revision = match call.method {
        "GET" => None,
        _ => match whole::if_match(head) {
            Ok(revision) => revision,
            Err(refused) => return refused,
        },
    };
    if call.method != "GET" && call.query.get("dry_run").is_some() {
        // Whoever asks for it must not find it written.
        return error(
            400,
            "`dry_run` is for /splitway/v1/config: resources are written or they are not",
        );
    }
    let body = match call.method {
        "PUT" | "POST" | "PATCH" => control.buffer(body, BODY_MAX).await,
        _ => Some(Vec::new()),
    };
    let Some(body) = body else { return unread(head, BODY_MAX) };
    let listing = match (call.method, &target.id) {
        ("GET", None) => match Listing::parse(&call.query) {
            Ok(listing) => Some(listing),
            Err(refused) => return refused,
        },
        _ => None,
    };
    let command = match command(&call, &target, &body, revision) {
        Ok(command) => command,
        Err(refused) => return refused,
    };
    match control.coordinate(command, call.by).await {
        Ok(done) => tell(&target, done, listing),
        Err(refusal) => tell_refusal(refusal),
    }
}

fn locate(path: &[String]) -> Result<Target, Answer> {
    let (plural, rest) = path.split_first().ok_or_else(|| error(404, "not found"))?;
    let unsupported = || error(404, &format!("Unsupported resource type: {plural}"));
    let kind = Kind::parse(plural).filter(|kind| *kind != Kind::Credential);
    let kind = kind.ok_or_else(unsupported)?;
    let Some((first, rest)) = rest.split_first() else {
        return Ok(Target { kind, consumer: None, id: None, within: Vec::new() });
    };
    let id = parse_id(first)?;
    match rest.split_first() {
        Some((credentials, rest)) if kind == Kind::Consumer && credentials == "credentials" => {
            let (within, kind) = (rest.get(1..).unwrap_or_default().to_vec(), Kind::Credential);
            let own = rest.first().map(|own| parse_id(own)).transpose()?;
            let credential = own.map(|own| Id::credential(&id, &own));
            Ok(Target { kind, consumer: Some(id), id: credential, within })
        }
        _ => Ok(Target { kind, consumer: None, id: Some(id), within: rest.to_vec() }),
    }
}

fn parse_id(text: &str) -> Result<Id, Answer> {
    let wrong = || error(400, "invalid id: expected 1 to 64 letters, digits, `-`, `_`, `.`");
    Id::parse(text).ok_or_else(wrong)
}

impl Target {
    fn missing_id(&self) -> Answer {
        error(400, &format!("missing {} id", self.kind.singular()))
    }

    fn wrong_id(&self, more: &str) -> Answer {
        error(400, &format!("wrong {} id{more}", self.kind.singular()))
    }

    /// The id as clients know it: that of a credential without its consumer.
    fn told(&self, id: &Id) -> String {
        id.as_credential().map_or_else(|| id.to_string(), |(_, own)| own.to_string())
    }

    /// The key under which APISIX keeps it.
    fn key(&self, id: &Id) -> String {
        match id.as_credential() {
            Some(_) => format!("/apisix/consumers/{id}"),
            None => format!("/apisix/{}/{id}", self.kind.plural()),
        }
    }
}

/// Which methods a kind has no use for, as in APISIX.
fn is_unsupported(kind: Kind, method: &str) -> bool {
    match kind {
        Kind::Consumer | Kind::Credential | Kind::PluginMetadata => {
            matches!(method, "POST" | "PATCH")
        }
        Kind::ConsumerGroup | Kind::GlobalRule | Kind::PluginConfig => method == "POST",
        Kind::Route | Kind::Service | Kind::Upstream => false,
    }
}

fn command(
    call: &Call<'_>,
    target: &Target,
    body: &[u8],
    revision: Option<u64>,
) -> Result<Command, Answer> {
    let (kind, id) = (target.kind, target.id.clone());
    if is_unsupported(kind, call.method) {
        let (method, kind) = (call.method, kind.singular());
        return Err(error(405, &format!("not supported `{method}` method for {kind}")));
    }
    if !target.within.is_empty() && call.method != "PATCH" {
        return Err(error(400, "invalid id: it must not contain `/`"));
    }
    let ttl = call.query.ttl().map_err(|why| error(400, &why))?;
    let terms = Terms { ttl, revision };
    match (call.method, id) {
        ("GET", None) => Ok(Command::Look(Look::List(kind, target.consumer.clone()))),
        ("GET", Some(id)) => Ok(Command::Look(Look::Resource(kind, id))),
        ("PUT", id) => {
            let value = read_object(kind, body, "missing configurations")?;
            check_times(&value)?;
            let id = settle_id(target, id, &value)?;
            Ok(Command::Write(kind, Some(id), value, terms))
        }
        ("POST", id) => {
            let value = read_object(kind, body, "missing configurations")?;
            check_times(&value)?;
            if id.is_some() || value.contains_key("id") {
                return Err(target.wrong_id(", do not need it"));
            }
            Ok(Command::Write(kind, None, value, terms))
        }
        ("PATCH", Some(id)) => {
            let part = read(kind, body, "missing new configuration")?;
            if target.within.is_empty() && !part.is_object() {
                return Err(invalid_body(kind, "expected an object", body));
            }
            Ok(Command::Patch(kind, id, target.within.clone(), part, terms))
        }
        ("DELETE", Some(id)) => {
            let is_forced = call.query.get("force") == Some("true");
            Ok(Command::Delete(kind, id, is_forced, terms))
        }
        ("PATCH" | "DELETE", None) => Err(target.missing_id()),
        _ => Err(error(404, "not found")),
    }
}

fn read(kind: Kind, body: &[u8], missing: &str) -> Result<Value, Answer> {
    if body.is_empty() {
        return Err(error(400, missing));
    }
    parse(body).map_err(|why| invalid_body(kind, &why.to_string(), body))
}

fn read_object(kind: Kind, body: &[u8], missing: &str) -> Result<Map<String, Value>, Answer> {
    let Value::Object(value) = read(kind, body, missing)? else {
        return Err(invalid_body(kind, "expected an object", body));
    };
    Ok(value)
}

fn check_times(value: &Map<String, Value>) -> Result<(), Answer> {
    let times = ["create_time", "update_time"];
    match times.into_iter().find(|time| value.contains_key(*time)) {
        // With two blanks, as APISIX says it.
        Some(time) => Err(error(400, &format!("the property is forbidden:  {time}"))),
        None => Ok(()),
    }
}

/// The id of a resource that is put: in the path, in the body, or the same in both.
fn settle_id(target: &Target, id: Option<Id>, value: &Map<String, Value>) -> Result<Id, Answer> {
    if target.kind == Kind::Consumer {
        let username = value.get("username").and_then(Value::as_str);
        return match (id, username) {
            (Some(id), Some(username)) if id.as_str() != username => {
                Err(error(400, "wrong username"))
            }
            (_, Some(username)) => parse_id(username),
            (Some(id), None) => Ok(id),
            (None, None) => Err(error(400, "missing consumer name")),
        };
    }
    let within = value.get("id").map(wire::id);
    match (id, within) {
        (Some(id), Some(within))
            if within.as_ref().is_none_or(|own| own.as_str() != target.told(&id)) =>
        {
            Err(target.wrong_id(""))
        }
        (Some(id), _) => Ok(id),
        (None, within) => {
            let own = within.flatten().ok_or_else(|| target.missing_id())?;
            Ok(target.consumer.as_ref().map_or(own.clone(), |of| Id::credential(of, &own)))
        }
    }
}

fn tell(target: &Target, done: Done, listing: Option<Listing>) -> Answer {
    let told = |id: &Id, mut value: Value| {
        if let (Some(own), Some(_)) = (value.get_mut("id"), id.as_credential()) {
            *own = json!(target.told(id));
        }
        value
    };
    let whole = |(id, entry): (Id, Entry)| {
        let Entry { value, created, modified, expires_at } = entry;
        let value = told(&id, Arc::unwrap_or_clone(value));
        let key = target.key(&id);
        let expires_at = expires_at.map(|at| at.to_string().into());
        say::object([
            ("key", Some(key.into())),
            ("value", Some(value)),
            ("createdIndex", Some(created.into())),
            ("modifiedIndex", Some(modified.into())),
            // Only of what goes by itself, which APISIX does not tell.
            ("expiresAt", expires_at),
        ])
    };
    match done {
        Done::Found(id, entry) => say::json(200, &whole((id, entry))),
        Done::Written(id, value, is_new) => {
            let status = if is_new { 201 } else { 200 };
            let key = target.key(&id);
            say::json(status, &json!({"key": key, "value": told(&id, value)}))
        }
        Done::Deleted(id) => {
            let key = target.key(&id);
            say::json(200, &json!({"deleted": "1", "key": key}))
        }
        Done::Listed(mut entries) => {
            if let Some(listing) = &listing {
                entries.retain(|(_, entry)| listing.wants(&entry.value));
            }
            let total = entries.len();
            let (skip, take) = listing.as_ref().map_or((0, total), Listing::page);
            let page = entries.into_iter().skip(skip).take(take);
            let list: Vec<Value> = page.map(whole).collect();
            say::json(200, &json!({"total": total, "list": list}))
        }
        Done::Document(..)
        | Done::Replaced(..)
        | Done::Revisions(..)
        | Done::Revision(..)
        | Done::Compared(..)
        | Done::Keys(..)
        | Done::Explained(_)
        | Done::Foreseen(..) => error(404, "not found"),
    }
}
