//! What the Worker writes to its log: one JSON object a line.

use serde::Serialize;
use serde_json::{Value, json};
use splitway_core::coordinator::Refusal;
use splitway_core::exchange::{BrokenResponse, RESPONSE_BROKEN};
use splitway_core::fault::Report;
use splitway_core::refresh::Taken;
use splitway_core::rounds::NodeTold;
use splitway_core::telemetry::Record;
use worker::js_sys::Reflect;
use worker::wasm_bindgen::JsValue;
use worker::{console_error, console_log, console_warn};

/// A request of which there is something to tell.
pub(crate) fn record(record: &Record<'_>) {
    if !record.is_remarkable() {
        return;
    }
    let line = Line { event: record.event(), fields: record.fields() };
    let Ok(line) = serde_json::to_string(&line) else { return };
    if record.problem.is_some() { console_warn!("{line}") } else { console_log!("{line}") }
}

#[derive(Serialize)]
struct Line<F> {
    event: &'static str,
    #[serde(flatten)]
    fields: F,
}

/// The line for a response that broke off after its head was relayed; written where its body is moved.
pub(crate) fn broken(broken: &BrokenResponse<'_>) -> String {
    serde_json::to_string(&Line { event: RESPONSE_BROKEN, fields: broken }).unwrap_or_default()
}

/// What the runtime said about a `fetch` that failed.
pub(crate) fn failure(message: &str) {
    console_warn!("{}", json!({"event": "attempt_failed", "message": message}));
}

/// What became of a document that was read; nothing is said of one that did not change.
pub(crate) fn taken(taken: &Taken) {
    match taken {
        Taken::Unchanged => {}
        Taken::Absent => console_error!("{}", json!({"event": "configuration_absent"})),
        Taken::Loaded(revision) => {
            console_log!(
                "{}",
                json!({"event": "configuration_loaded", "revision": revision.as_str()})
            );
        }
        Taken::Older(revision) => {
            let revision = revision.as_str();
            console_warn!("{}", json!({"event": "configuration_older", "revision": revision}));
        }
        Taken::Refused(revision, report) => {
            let (revision, faults) = (revision.as_str(), faults(report));
            let line =
                json!({"event": "configuration_refused", "revision": revision, "faults": faults});
            console_error!("{line}");
        }
    }
}

fn faults(report: &Report) -> Value {
    report.faults.iter().map(|fault| Value::from(fault.to_string())).collect()
}

/// KV could not be read.
pub(crate) fn unread(error: &str) {
    console_error!("{}", json!({"event": "configuration_unreadable", "error": error}));
}

/// The coordinator did not say whether there is something newer.
pub(crate) fn unchecked(error: &str) {
    console_warn!("{}", json!({"event": "coordinator_unreachable", "error": error}));
}

/// Shared limits cannot be asked for.
pub(crate) fn limiter_unreachable(error: &str) {
    console_warn!("{}", json!({"event": "limits_store_lost", "detail": error}));
}

/// What an object has counted could not be written.
pub(crate) fn limiter_unwritten(error: &str) {
    console_error!("{}", json!({"event": "limits_not_kept", "detail": error}));
}

/// Why the Admin API is off.
pub(crate) fn admin_off(reasons: &[&str]) {
    console_warn!("{}", json!({"event": "admin_off", "reasons": reasons}));
}

/// What the ledger holds does not compile any more; the Admin API is where that is put right.
pub(crate) fn ledger_faulty(report: &Report) {
    console_error!("{}", json!({"event": "ledger_faulty", "faults": faults(report)}));
}

/// The ledger could not be read or written.
pub(crate) fn ledger_unavailable(error: &str) {
    console_error!("{}", json!({"event": "ledger_unavailable", "error": error}));
}

/// What has come to its time could not be removed.
pub(crate) fn unexpired(refusal: Refusal) {
    let why = match refusal {
        Refusal::Full(why) | Refusal::Unavailable(why) => why,
        Refusal::Denied(_)
        | Refusal::NotFound
        | Refusal::NoConsumer
        | Refusal::Forgotten
        | Refusal::Outdated(_)
        | Refusal::InUse(_)
        | Refusal::Invalid(_)
        | Refusal::Faulty(_)
        | Refusal::TooLarge(_) => "the rest would not compile".to_owned(),
    };
    console_error!("{}", json!({"event": "expiry_failed", "error": why}));
}

/// A revision of the ledger is in KV.
pub(crate) fn published(revision: u64, bytes: usize) {
    let line = json!({"event": "published", "revision": revision, "bytes": bytes});
    console_log!("{line}");
}

/// A revision of the ledger is not in KV yet.
pub(crate) fn unpublished(error: &str) {
    console_error!("{}", json!({"event": "publishing_failed", "error": error}));
}

/// A node that came up or went down.
pub(crate) fn turned(node: &NodeTold, is_up: bool) {
    let event = if is_up { "node_up" } else { "node_down" };
    let line = json!({"event": event, "upstream": node.upstream, "node": node.authority});
    if is_up { console_log!("{line}") } else { console_warn!("{line}") }
}

/// Nodes should be checked and cannot be.
pub(crate) fn unprobed(why: &str) {
    console_warn!("{}", json!({"event": "checks_off", "why": why}));
}

/// What the runtime says about an error.
pub(crate) fn message(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).ok().and_then(|text| text.as_string());
    message.or_else(|| error.as_string()).unwrap_or_default()
}

/// A setting that makes no sense, and what it should have been.
pub(crate) fn ignored(variable: &str, expected: &str) {
    console_error!("{}", json!({"event": "setting_ignored", "name": variable, "why": expected}));
}
