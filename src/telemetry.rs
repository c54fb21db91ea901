//! What the Worker writes to its log: one JSON object a line.

use serde_json::{Value, json};
use splitway_core::refresh::Taken;
use splitway_core::telemetry::Record;
use worker::{console_error, console_log, console_warn};

/// A request that Splitway answered by itself; what upstreams answer is not logged here.
pub(crate) fn record(record: &Record<'_>) {
    let Some(problem) = record.problem else { return };
    let line = json!({
        "event": "request",
        "problem": problem,
        "status": record.status,
        "route": record.route,
        "branch": record.branch,
        "revision": record.revision,
        "duration_ms": record.duration.as_millis() as u64,
    });
    console_warn!("{line}");
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
        Taken::Refused(revision, report) => {
            let faults: Vec<Value> =
                report.faults.iter().map(|fault| fault.to_string().into()).collect();
            let revision = revision.as_str();
            let line =
                json!({"event": "configuration_refused", "revision": revision, "faults": faults});
            console_error!("{line}");
        }
    }
}

/// KV could not be read.
pub(crate) fn unread(error: &str) {
    console_error!("{}", json!({"event": "configuration_unreadable", "error": error}));
}

/// A setting that makes no sense, and what it should have been.
pub(crate) fn ignored(variable: &str, expected: &str) {
    console_error!("{}", json!({"event": "setting_ignored", "name": variable, "why": expected}));
}
