//! The whole document, its past, the keys, how nodes are, and what would become of a request: what
//! APISIX's Admin API has no words for.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::{KEY_MIN, KeyHash, OWN_KEY, Role, is_sendable};
use crate::coordinator::{Command, Condition, Done, Look, Refusal};
use crate::document::without_times;
use crate::explain::Question;
use crate::fault::{At, Report};
use crate::head::Head;
use crate::id::Id;
use crate::json::parse;
use crate::ledger::Edit;
use crate::platform::Control;
use crate::problem::Answer;
use crate::seal::Secret;
use crate::storage::{Op, Summary};
use crate::wire;
use crate::yaml;

use super::impact;
use super::query::whole_number;
use super::say::{self, problem, tell_faults, tell_refusal};
use super::{BODY_MAX, Call};

/// How many revisions are listed where nothing else is asked for, and at most.
const REVISIONS_SHOWN: u64 = 50;
const REVISIONS_MAX: u64 = 500;

/// The arguments that there are.
const ARGUMENTS: [&str; 5] = ["api_key", "before", "dry_run", "format", "limit"];

/// How an answer is written, and what it is about.
struct Form {
    is_yaml: bool,
    is_trial: bool,
    /// The revisions of a comparison.
    compared: Option<(u64, u64)>,
}

/// Answers a request for the whole document, its past, the keys, or an explanation.
pub(super) async fn answer<C: Control>(
    control: &C,
    call: Call<'_>,
    head: &C::Head,
    body: C::Body,
) -> Answer {
    // What is mistyped must not be done for real.
    if let Some(why) = call.query.unknown(&ARGUMENTS) {
        return bad_request(&why);
    }
    let max = match call.path.first().map(String::as_str) {
        Some("config" | "impact") => control.document_max(),
        Some(_) | None => BODY_MAX,
    };
    let body = match call.method {
        "PUT" | "POST" => control.buffer(body, max).await,
        _ => Some(Vec::new()),
    };
    let Some(body) = body else { return unread(head, max) };
    let is_yaml = match wants_yaml(&call, head) {
        Ok(is_yaml) => is_yaml,
        Err(refused) => return refused,
    };
    if is_about_health(&call) {
        return health(control, &call, is_yaml);
    }
    if matches!(call.path.as_slice(), [only] if only == "status") {
        return status(control, &call, is_yaml).await;
    }
    let subject = call.path.first().map_or("", String::as_str).to_owned();
    let mut form = Form { is_yaml, is_trial: call.query.is_set("dry_run"), compared: None };
    let command = match command(&call, head, &body, &form, control.secret()) {
        Ok(command) => command,
        Err(refused) => return refused,
    };
    if let Command::Look(Look::Compare(from, to)) = command {
        form.compared = Some((from, to));
    }
    match control.coordinate(command, call.by).await {
        Ok(done) => tell(done, &form),
        Err(Refusal::NotFound) => {
            let title = match &*subject {
                "keys" => "There is no such key",
                "impact" => "There is no such resource or revision",
                _ => "There is no such revision",
            };
            problem(404, "not_found", title, json!({}))
        }
        Err(refusal) => tell_refusal(refusal),
    }
}

fn is_about_health(call: &Call<'_>) -> bool {
    matches!(call.path.as_slice(), [only] if only == "health")
}

/// How the nodes are that whoever is asked sends requests to.
fn health<C: Control>(control: &C, call: &Call<'_>, is_yaml: bool) -> Answer {
    if call.method != "GET" {
        return method_not_allowed();
    }
    let Some(upstreams) = control.health() else {
        let title = "How nodes are is not known here";
        let detail = "Every isolate that serves knows it for itself, and none of them can be asked";
        return problem(501, "health_unknown", title, json!({"detail": detail}));
    };
    told(&json!({"upstreams": upstreams}), is_yaml)
}

/// How branches fare, as far as that is known to whoever is asked.
async fn status<C: Control>(control: &C, call: &Call<'_>, is_yaml: bool) -> Answer {
    if call.method != "GET" {
        return method_not_allowed();
    }
    match control.status().await.map(serde_json::to_value) {
        Some(Ok(status)) => told(&status, is_yaml),
        Some(Err(_)) | None => {
            let title = "How branches fare is not known here";
            let detail = "Nothing serves here, or none of those that do has told what it counted";
            problem(503, "status_unknown", title, json!({"detail": detail}))
        }
    }
}

/// An answer as it is wanted.
fn told(value: &Value, is_yaml: bool) -> Answer {
    match is_yaml {
        true => say::text(200, "application/yaml", yaml::write(value)),
        false => say::json(200, value),
    }
}

fn method_not_allowed() -> Answer {
    problem(405, "method_not_allowed", "This method is not for here", json!({}))
}

fn command(
    call: &Call<'_>,
    head: &impl Head,
    body: &[u8],
    form: &Form,
    secret: Option<&Secret>,
) -> Result<Command, Answer> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let condition = || {
        let revision = if_match(head)?;
        Ok(Condition { revision, is_trial: form.is_trial })
    };
    match (call.method, path.as_slice()) {
        ("GET", ["config"]) => Ok(Command::Look(Look::Document)),
        ("PUT", ["config"]) => Ok(Command::Replace(read_document(head, body)?, condition()?)),
        ("GET", ["revisions"]) => {
            let number = |name| call.query.number(name).map_err(|why| bad_request(&why));
            let limit = number("limit")?.unwrap_or(REVISIONS_SHOWN).min(REVISIONS_MAX);
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            Ok(Command::Look(Look::Revisions(number("before")?.unwrap_or(u64::MAX), limit)))
        }
        ("GET", ["revisions", revision]) => Ok(Command::Look(Look::Revision(number(revision)?))),
        ("GET", ["revisions", from, "diff", to]) => {
            Ok(Command::Look(Look::Compare(number(from)?, number(to)?)))
        }
        ("POST", ["revisions", revision, "rollback"]) => {
            Ok(Command::Rollback(number(revision)?, condition()?))
        }
        ("GET", ["keys"]) => Ok(Command::Look(Look::Keys)),
        ("PUT" | "DELETE", ["keys", _]) if form.is_trial => {
            Err(bad_request("invalid argument dry_run: keys are written or they are not"))
        }
        ("PUT", ["keys", name]) => read_key(&key_name(name)?, body),
        ("DELETE", ["keys", name]) => Ok(Command::DeleteKey(key_name(name)?)),
        ("POST", ["explain"]) => {
            let question = Box::new(read_question(body)?);
            Ok(Command::Look(Look::Explain(question, secret.cloned())))
        }
        ("POST", ["impact"]) => impact::read(body),
        (_, ["config" | "explain" | "impact"] | ["revisions", ..] | ["keys", ..]) => {
            Err(method_not_allowed())
        }
        _ => Err(problem(404, "not_found", "There is nothing here", json!({}))),
    }
}

fn number(text: &str) -> Result<u64, Answer> {
    let what = || bad_request(&format!("expected the number of a revision, found {text:?}"));
    whole_number(text).ok_or_else(what)
}

fn bad_request(why: &str) -> Answer {
    problem(400, "bad_request", why, json!({}))
}

/// The answer to a body that is not there as a whole.
fn unread(head: &impl Head, max: usize) -> Answer {
    if say::is_cut(head, max) {
        return bad_request(say::CUT);
    }
    let detail = format!("at most {max} bytes are taken");
    problem(413, "body_too_large", "The body is too large", json!({"detail": detail}))
}

/// The revision that `If-Match` names (RFC 9110, section 13.1.1); `*` is any.
pub(super) fn if_match(head: &impl Head) -> Result<Option<u64>, Answer> {
    let Some(tag) = head.header("if-match") else { return Ok(None) };
    let tag = tag.trim();
    if tag == "*" {
        return Ok(None);
    }
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let revision = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
    let wrong = "expected the number of a revision in `If-Match`, as `ETag` gave it";
    whole_number(revision).map(Some).ok_or_else(|| bad_request(wrong))
}

fn wants_yaml(call: &Call<'_>, head: &impl Head) -> Result<bool, Answer> {
    match call.query.get("format") {
        Some("yaml") => Ok(true),
        Some("json") => Ok(false),
        Some(_) => Err(bad_request("invalid argument format: expected `json` or `yaml`")),
        None => Ok(head.header("accept").is_some_and(|accept| accept.contains("yaml"))),
    }
}

fn read_document(head: &impl Head, body: &[u8]) -> Result<Value, Answer> {
    if head.header("content-type").is_some_and(|content_type| content_type.contains("yaml")) {
        let title = "Documents are taken as JSON; `splitway push` reads YAML";
        return Err(problem(415, "unsupported_media_type", title, json!({})));
    }
    match parse(body) {
        Ok(document @ Value::Object(_)) => Ok(document),
        Ok(_) => Err(bad_request("expected a document: an object of lists")),
        Err(why) => Err(bad_request(&format!("the body is no JSON: {why}"))),
    }
}

/// The request that a body tells of.
fn read_question(body: &[u8]) -> Result<Question, Answer> {
    let value = parse(body).map_err(|why| bad_request(&format!("the body is no JSON: {why}")))?;
    let mut report = Report::default();
    Question::read(&value, &mut report).ok_or_else(|| {
        let first = report.faults.first().map(ToString::to_string).unwrap_or_default();
        let more = json!({"error_msg": first, "errors": say::listed(&report.faults)});
        problem(400, "bad_request", "The request that is asked about cannot be understood", more)
    })
}

fn key_name(text: &str) -> Result<Id, Answer> {
    let name = Id::parse(text).filter(|name| name.as_str() != OWN_KEY);
    name.ok_or_else(|| {
        let own = format!("`{OWN_KEY}` is the one it was started with");
        bad_request(&format!("expected the name of a key: letters, digits, `-`, `_`, `.`; {own}"))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyWire {
    role: Role,
    key: String,
}

fn read_key(name: &Id, body: &[u8]) -> Result<Command, Answer> {
    // Neither what is wrong with a key nor the body it came in is repeated.
    let value = parse(body).map_err(|_| bad_request("the body is no JSON"))?;
    if !value.is_object() {
        return Err(bad_request("expected an object with `role` and `key`"));
    }
    let mut report = Report::default();
    let read = wire::read(&value, At::Root, &mut report, |wire: KeyWire, report| {
        let is_long = wire.key.len() >= KEY_MIN && is_sendable(&wire.key);
        if !is_long {
            let at = At::Root;
            report.fault(
                at.key("key"),
                format!(
                    "expected at least {KEY_MIN} characters, letters, digits and marks of ASCII"
                ),
            );
        }
        is_long.then_some(wire)
    });
    match read {
        Some(wire) => Ok(Command::WriteKey(name.clone(), wire.role, KeyHash::of(&wire.key))),
        None => {
            let silent = |fault: &mut crate::fault::Fault| {
                if fault.at == "/key" {
                    fault.what = format!(
                        "expected a text of at least {KEY_MIN} letters, digits and marks of ASCII"
                    );
                }
            };
            report.faults.iter_mut().for_each(silent);
            Err(tell_faults(&report.faults))
        }
    }
}

fn tell(done: Done, form: &Form) -> Answer {
    match done {
        Done::Document(document, revision) => {
            let mut answer = match form.is_yaml {
                true => say::text(200, "application/yaml", yaml::write(&document)),
                false => say::text(200, "application/json", format!("{document:#}\n")),
            };
            answer.headers.push(("etag".into(), format!("\"{revision}\"")));
            answer
        }
        Done::Replaced(revision, edits) => {
            // As text, one by one: together, as values, they would be many times as large.
            let changes: Vec<String> =
                edits.iter().map(|edit| told_edit(edit).to_string()).collect();
            let (changes, is_trial) = (changes.join(","), form.is_trial);
            let body =
                format!(r#"{{"changes":[{changes}],"dry_run":{is_trial},"revision":{revision}}}"#);
            let mut answer = say::text(200, "application/json", body);
            answer.headers.push(("etag".into(), format!("\"{revision}\"")));
            answer
        }
        Done::Revisions(current, list) => {
            let list: Vec<Value> = list.iter().map(told_summary).collect();
            say::json(200, &json!({"current": current, "revisions": list}))
        }
        Done::Revision(summary, document) => {
            let mut told = told_summary(&summary);
            if let Some(members) = told.as_object_mut() {
                members.insert("document".to_owned(), document);
            }
            say::json(200, &told)
        }
        Done::Compared(edits) => {
            let changes: Vec<Value> = edits.iter().map(told_edit).collect();
            let (from, to) = form.compared.unzip();
            say::json(200, &json!({"from": from, "to": to, "changes": changes}))
        }
        Done::Keys(keys) => {
            let told = |(name, role, made_at): &(Id, Role, crate::time::Timestamp)| {
                let made_at = made_at.to_string();
                json!({"name": name.as_str(), "role": role.as_str(), "created_at": made_at})
            };
            say::json(200, &json!({"keys": keys.iter().map(told).collect::<Vec<_>>()}))
        }
        Done::Written(name, value, is_new) => {
            let status = if is_new { 201 } else { 200 };
            let role = value.get("role").cloned();
            let name = Some(name.as_str().into());
            say::json(status, &say::object([("name", name), ("role", role)]))
        }
        Done::Deleted(name) => say::json(200, &json!({"deleted": name.as_str()})),
        Done::Explained(explanation) => {
            told(&serde_json::to_value(explanation).unwrap_or_default(), form.is_yaml)
        }
        Done::Foreseen(revision, edits, traffic) => {
            let changes = edits.iter().map(told_edit);
            // Of what would be written as it is only the time would be another.
            let changes = changes.filter(|change| change.get("before") != change.get("after"));
            let changes: Vec<Value> = changes.collect();
            let told_all = json!({"revision": revision, "changes": changes, "traffic": traffic});
            told(&told_all, form.is_yaml)
        }
        Done::Found(..) | Done::Listed(..) => say::error(404, "not found"),
    }
}

fn told_edit(edit: &Edit) -> Value {
    let (section, id) = &edit.place;
    let plain = |entry: &crate::ledger::Entry| without_times(&entry.value);
    let (before, after) = (edit.before.as_ref().map(plain), edit.after.as_ref().map(plain));
    json!({
        "op": Op::between(edit.before.as_ref(), edit.after.as_ref()).as_str(),
        "kind": section.name(),
        "id": id.as_str(),
        "before": before,
        "after": after,
    })
}

fn told_summary(summary: &Summary) -> Value {
    let changes = summary.edits.iter().map(
        |((section, id), op)| json!({"op": op.as_str(), "kind": section.name(), "id": id.as_str()}),
    );
    json!({
        "revision": summary.revision,
        "at": summary.at.to_string(),
        "by": summary.by,
        "cause": summary.cause,
        "changes": changes.collect::<Vec<_>>(),
    })
}
