//! What resources may say: their JSON Schemas, the plugins, and checks without writing.

use serde_json::{Value, json};

use crate::config::Resources;
use crate::fault::{Fault, Report};
use crate::json::parse;
use crate::kind::Kind;
use crate::platform::Control;
use crate::problem::Answer;
use crate::schema;
use crate::snapshot::{Revision, check, compile};

use super::say::{self, error, error_msg, invalid_body, listed, tell_faults, unread};
use super::{BODY_MAX, Call};

/// The first segments of the paths that are answered here.
pub(super) const PATHS: [&str; 3] = ["schema", "plugins", "configs"];

/// Answers a request for schemas, plugins or checks.
pub(super) async fn answer<C: Control>(
    control: &C,
    call: Call<'_>,
    head: &C::Head,
    body: C::Body,
) -> Answer {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    match (call.method, path.as_slice()) {
        ("GET", ["schema", "plugins", name]) => plugin_schema(name, call.query.get("schema_type")),
        ("GET", ["schema", name]) => match schema::of(name) {
            Some(schema) => say::text(200, "application/json", schema.to_owned()),
            None => error(400, &format!("not found schema: {name}")),
        },
        ("GET", ["plugins", "list"]) => say::json(200, &json!(schema::PLUGINS)),
        ("PUT", ["plugins", "reload"]) => say::text(200, "text/plain", "done".to_owned()),
        (method, ["plugins", "reload"]) => error(
            405,
            &format!(
                "please use PUT method to reload the plugins, {method} method is not allowed."
            ),
        ),
        ("GET", ["plugins", name]) => match call.query.get("subsystem") {
            Some(other) if other != "http" => {
                error(400, &format!("unsupported subsystem: {other}"))
            }
            _ => match schema::of_plugin(name, None) {
                Some(schema) => say::text(200, "application/json", schema.to_owned()),
                None => error(404, "plugin not found in subsystem http"),
            },
        },
        ("POST", ["schema", "validate", name]) => match control.buffer(body, BODY_MAX).await {
            Some(body) => validate(name, &body),
            None => unread(head, BODY_MAX),
        },
        ("POST", ["configs", "validate"]) => {
            let max = control.document_max();
            match control.buffer(body, max).await {
                Some(body) => validate_all(&body),
                None => unread(head, max),
            }
        }
        _ => error(404, "not found"),
    }
}

fn plugin_schema(name: &str, schema_type: Option<&str>) -> Answer {
    match schema::of_plugin(name, schema_type) {
        Some(schema) => say::text(200, "application/json", schema.to_owned()),
        None => error(400, &format!("not found plugin: {name}")),
    }
}

/// Checks one resource by itself; what it refers to is not looked for.
fn validate(name: &str, body: &[u8]) -> Answer {
    // The list of a document is taken for what is in it, too.
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| kind.plural() == name || kind.singular().replace(' ', "_") == name);
    let Some(kind) = kind else { return error(400, &format!("not found schema: {name}")) };
    if body.is_empty() {
        return error(400, "missing configurations");
    }
    let value = match parse(body) {
        Ok(value) => value,
        Err(why) => return invalid_body(kind, &why.to_string(), body),
    };
    let mut report = Report::default();
    check(kind, &value, &mut report);
    match report.faults.as_slice() {
        [] => say::text(200, "application/json", String::new()),
        faults => tell_faults(faults),
    }
}

/// Checks a whole document, which is not taken over.
fn validate_all(body: &[u8]) -> Answer {
    if body.is_empty() {
        return error(400, "missing configurations");
    }
    let document = match parse(body) {
        Ok(document) => document,
        // Consumers are in it.
        Err(why) => return invalid_body(Kind::Consumer, &why.to_string(), body),
    };
    let mut report = Report::default();
    let resources = Resources::of(&document, &mut report);
    compile(&resources, Revision::of_ledger(0), 0, &mut report);
    if report.faults.is_empty() {
        return say::json(200, &json!({}));
    }
    let errors: Vec<Value> =
        report.faults.iter().map(|fault| of_resource(&document, fault)).collect();
    let more = json!({
        "error_msg": "Configuration validation failed",
        "errors": errors,
        "faults": listed(&report.faults),
    });
    say::problem(400, "invalid_configuration", "The configuration has faults", more)
}

/// A fault in APISIX's form: which resource of which list, and what.
fn of_resource(document: &Value, fault: &Fault) -> Value {
    let mut segments = fault.at.split('/').skip(1);
    let (list, index) = (segments.next(), segments.next());
    let index = index.and_then(|index| index.parse::<usize>().ok());
    let item = list.zip(index).and_then(|(list, index)| document.get(list)?.get(index));
    let id = item.and_then(|item| item.get("id").or_else(|| item.get("username"))).cloned();
    let inner = list.zip(index).map(|(list, index)| format!("/{list}/{index}").len());
    let at = inner.and_then(|length| fault.at.get(length..)).unwrap_or(&fault.at).to_owned();
    let error = error_msg(&Fault { at, ..fault.clone() });
    say::object([
        ("resource_type", list.map(Value::from)),
        ("resource_id", id),
        ("index", index.map(Value::from)),
        ("error", Some(error.into())),
    ])
}
