//! What the Worker writes to its log: one JSON object a line.

use serde::Serialize;
use serde_json::{Value, json};
use splitway_core::coordinator::Refusal;
use splitway_core::exchange::{BrokenResponse, RESPONSE_BROKEN};
use splitway_core::fault::Report;
use splitway_core::refresh::Taken;
use splitway_core::rounds::NodeTold;
use splitway_core::telemetry::{
    Begun, Ending, Fields, NotAShare, Point, Record, Sampler, Share, Telling,
};
use std::time::Duration;
use worker::js_sys::{Array, Object, Reflect};
use worker::wasm_bindgen::JsValue;
use worker::{Env, console_error, console_log, console_warn};

use crate::platform::{EdgeHead, call, setting};

/// What this deployment tells of requests: by `SPLITWAY_LOG`, `SPLITWAY_LOG_SLOW_SECONDS` and
/// `SPLITWAY_ANALYTICS_SAMPLE`. An isolate reads them once.
#[derive(Debug)]
pub(crate) struct Voice {
    telling: Telling,
    points: Sampler,
    /// Whether there is a dataset.
    has_dataset: bool,
}

/// The dataset of Workers Analytics Engine, if one is bound.
const ANALYTICS: &str = "SPLITWAY_ANALYTICS";

impl Voice {
    /// What the variables of `env` say. What makes no sense is told of and taken for nothing; `draw` tells
    /// isolates apart, most of which see little of all the traffic.
    pub(crate) fn new(env: &Env, draw: impl Fn() -> u64) -> Self {
        let sampler = |share| Sampler::new(share, draw());
        let slow = || match setting(env, "SPLITWAY_LOG_SLOW_SECONDS").map(|text| text.parse()) {
            None => Some(SLOW),
            Some(Ok(0)) => None,
            Some(Ok(seconds)) => Some(Duration::from_secs(seconds)),
            Some(Err(_)) => {
                ignored("SPLITWAY_LOG_SLOW_SECONDS", "expected a number of seconds");
                Some(SLOW)
            }
        };
        let sampled = |share| Telling::Sampled(sampler(share), slow());
        let telling = match setting(env, "SPLITWAY_LOG").as_deref() {
            None | Some("remarkable") => Telling::Remarkable,
            Some("off") => Telling::Nothing,
            Some("all") => sampled(Share::WHOLE),
            Some(text) => text.parse().map_or_else(
                |NotAShare| {
                    let expected = "expected off, remarkable, all, or a share such as 0.01";
                    ignored("SPLITWAY_LOG", expected);
                    Telling::Remarkable
                },
                sampled,
            ),
        };
        let share = setting(env, "SPLITWAY_ANALYTICS_SAMPLE").map(|text| text.parse());
        let share = share.unwrap_or(Ok(Share::WHOLE)).unwrap_or_else(|error: NotAShare| {
            ignored("SPLITWAY_ANALYTICS_SAMPLE", &error.to_string());
            Share::WHOLE
        });
        Self { telling, points: sampler(share), has_dataset: dataset(env).is_some() }
    }

    /// Tells of a request. Its line waits for what comes back to be dropped.
    pub(crate) fn record(&self, env: &Env, head: &EdgeHead, record: &Record<'_>) -> Entry {
        if self.has_dataset && self.points.takes() {
            self.point(env, head, record);
        }
        let line = self.telling.takes(record).and_then(|share| {
            let level = if record.problem.is_some() { "warn" } else { "info" };
            let (at_ms, event) = (record.at.as_millis(), record.event());
            let fields = record.fields(Some(head), share);
            Begun::new(&RequestLine { at_ms, level, event, fields })
        });
        Entry { line, is_warning: record.problem.is_some(), ending: Ending::default() }
    }

    /// Writes a point. Nothing waits for that.
    #[inline(never)]
    fn point(&self, env: &Env, head: &EdgeHead, record: &Record<'_>) {
        let Some(dataset) = dataset(env) else { return };
        let Point { index, blobs, doubles } = record.point(head, self.points.share());
        let point = Object::new();
        let set = |name: &str, values: Array| Reflect::set(&point, &name.into(), &values);
        let texts = blobs.iter().map(|text| JsValue::from(&**text)).collect();
        let numbers = doubles.into_iter().map(JsValue::from).collect();
        let written = set("indexes", Array::of1(&index.into()))
            .and_then(|_| set("blobs", texts))
            .and_then(|_| set("doubles", numbers))
            .and_then(|_| call(&dataset, "writeDataPoint", &[point.into()]));
        if let Err(error) = written {
            say(Level::Error, &json!({"event": "point_unwritten", "error": message(&error)}));
        }
    }
}

/// The dataset that is bound, if one is.
fn dataset(env: &Env) -> Option<JsValue> {
    Reflect::get(env, &ANALYTICS.into()).ok().filter(JsValue::is_object)
}

/// From when on an answer is slow, unless something else is said.
const SLOW: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct RequestLine<'l> {
    at_ms: u64,
    level: &'static str,
    event: &'static str,
    #[serde(flatten)]
    fields: Fields<'l>,
}

/// The line about a request, written when this is dropped.
pub(crate) struct Entry {
    line: Option<Begun>,
    is_warning: bool,
    ending: Ending,
}

impl Entry {
    /// Notes how long the body of the answer is to be, if there is a line to say it in.
    pub(crate) fn announce(&mut self, length: impl FnOnce() -> Option<u64>) {
        if self.line.is_some() {
            self.ending.bytes_out = length();
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(line) = self.line.take() else { return };
        let line = line.end(&self.ending);
        if self.is_warning { console_warn!("{line}") } else { console_log!("{line}") }
    }
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

/// How much a line matters.
enum Level {
    Log,
    Warn,
    Error,
}

/// Writes a line, in one place: each macro of these is code of its own.
#[inline(never)]
fn say(level: Level, line: &Value) {
    let line = line.to_string();
    match level {
        Level::Log => console_log!("{line}"),
        Level::Warn => console_warn!("{line}"),
        Level::Error => console_error!("{line}"),
    }
}

/// What the runtime said about a `fetch` that failed.
pub(crate) fn failure(message: &str) {
    say(Level::Warn, &json!({"event": "attempt_failed", "message": message}));
}

/// What became of a document that was read; nothing is said of one that did not change.
pub(crate) fn taken(taken: &Taken) {
    match taken {
        Taken::Unchanged => {}
        Taken::Absent => say(Level::Error, &json!({"event": "configuration_absent"})),
        Taken::Loaded(revision) => {
            say(
                Level::Log,
                &json!({"event": "configuration_loaded", "revision": revision.as_str()}),
            );
        }
        Taken::Older(revision) => {
            let revision = revision.as_str();
            say(Level::Warn, &json!({"event": "configuration_older", "revision": revision}));
        }
        Taken::Refused(revision, report) => {
            let (revision, faults) = (revision.as_str(), faults(report));
            let line =
                json!({"event": "configuration_refused", "revision": revision, "faults": faults});
            say(Level::Error, &line);
        }
    }
}

fn faults(report: &Report) -> Value {
    report.faults.iter().map(|fault| Value::from(fault.to_string())).collect()
}

/// KV could not be read.
pub(crate) fn unread(error: &str) {
    say(Level::Error, &json!({"event": "configuration_unreadable", "error": error}));
}

/// The coordinator did not say whether there is something newer.
pub(crate) fn unchecked(error: &str) {
    say(Level::Warn, &json!({"event": "coordinator_unreachable", "error": error}));
}

/// The coordinator did not take what was counted; it is told later.
pub(crate) fn untold(error: &str) {
    say(Level::Warn, &json!({"event": "counts_not_told", "error": error}));
}

/// Shared limits cannot be asked for.
pub(crate) fn limiter_unreachable(error: &str) {
    say(Level::Warn, &json!({"event": "limits_store_lost", "detail": error}));
}

/// What an object has counted could not be written.
pub(crate) fn limiter_unwritten(error: &str) {
    say(Level::Error, &json!({"event": "limits_not_kept", "detail": error}));
}

/// Why the Admin API is off.
pub(crate) fn admin_off(reasons: &[&str]) {
    say(Level::Warn, &json!({"event": "admin_off", "reasons": reasons}));
}

/// What the ledger holds does not compile any more; the Admin API is where that is put right.
pub(crate) fn ledger_faulty(report: &Report) {
    say(Level::Error, &json!({"event": "ledger_faulty", "faults": faults(report)}));
}

/// The ledger could not be read or written.
pub(crate) fn ledger_unavailable(error: &str) {
    say(Level::Error, &json!({"event": "ledger_unavailable", "error": error}));
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
    say(Level::Error, &json!({"event": "expiry_failed", "error": why}));
}

/// A revision of the ledger is in KV.
pub(crate) fn published(revision: u64, bytes: usize) {
    let line = json!({"event": "published", "revision": revision, "bytes": bytes});
    say(Level::Log, &line);
}

/// A revision of the ledger is not in KV yet.
pub(crate) fn unpublished(error: &str) {
    say(Level::Error, &json!({"event": "publishing_failed", "error": error}));
}

/// A node that came up or went down.
pub(crate) fn turned(node: &NodeTold, is_up: bool) {
    let event = if is_up { "node_up" } else { "node_down" };
    let line = json!({"event": event, "upstream": node.upstream, "node": node.authority});
    say(if is_up { Level::Log } else { Level::Warn }, &line);
}

/// Nodes should be checked and cannot be.
pub(crate) fn unprobed(why: &str) {
    say(Level::Warn, &json!({"event": "checks_off", "why": why}));
}

/// Keys that tokens are checked with could not be got.
pub(crate) fn keys_not_fetched(url: &str, why: &str) {
    say(Level::Warn, &json!({"event": "keys_not_fetched", "url": url, "why": why}));
}

/// What the runtime says about an error.
pub(crate) fn message(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).ok().and_then(|text| text.as_string());
    message.or_else(|| error.as_string()).unwrap_or_default()
}

/// A setting that makes no sense, and what it should have been.
pub(crate) fn ignored(variable: &str, expected: &str) {
    say(Level::Error, &json!({"event": "setting_ignored", "name": variable, "why": expected}));
}
