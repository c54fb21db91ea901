//! What somebody asks who wants to see what a change would do before it is made.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::coordinator::{Command, Condition, Look, Sample, Terms};
use crate::fault::{At, Report};
use crate::id::Id;
use crate::json::parse;
use crate::kind::Kind;
use crate::problem::Answer;
use crate::wire;

use super::say::{self, problem};

/// How many keys are made up where nothing is said of them, and at most.
const KEYS_MADE_UP: u64 = 10_000;
const KEYS_MADE_UP_MAX: u64 = 100_000;
/// How many keys can be named, and how long one may be, in bytes.
const KEYS_NAMED_MAX: usize = 1_000;
const KEY_LENGTH_MAX: usize = 4_096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CandidateWire {
    document: Option<Map<String, Value>>,
    revision: Option<u64>,
    kind: Option<String>,
    id: Option<Id>,
    value: Option<Map<String, Value>>,
    patch: Option<Map<String, Value>>,
    keys: Option<Value>,
}

/// The question that a body asks.
pub(super) fn read(body: &[u8]) -> Result<Command, Answer> {
    let bad_request = |why: &str| problem(400, "bad_request", why, json!({}));
    let value = parse(body).map_err(|why| bad_request(&format!("the body is no JSON: {why}")))?;
    let mut report = Report::default();
    let look = wire::read(&value, At::Root, &mut report, |wire: CandidateWire, report| {
        let sample = sample(wire.keys.as_ref(), report);
        let command = command(wire, report);
        Some(Look::Foresee(Box::new(command?), sample?))
    });
    look.map(Command::Look).ok_or_else(|| {
        let first = report.faults.first().map(ToString::to_string).unwrap_or_default();
        let more = json!({"error_msg": first, "errors": say::listed(&report.faults)});
        problem(400, "bad_request", "The change that is asked about cannot be understood", more)
    })
}

/// The change that is meant, in one of its forms.
fn command(wire: CandidateWire, report: &mut Report) -> Option<Command> {
    let kind = match &wire.kind {
        Some(plural) => {
            let kind = Kind::parse(plural).filter(|kind| *kind != Kind::Credential);
            if kind.is_none() {
                let what =
                    format!("expected a kind of resource such as `routes`, found {plural:?}");
                report.fault(At::Root.key("kind"), what);
            }
            Some(kind?)
        }
        None => None,
    };
    let terms = Terms::default();
    match (wire.document, wire.revision, kind, wire.id, wire.value, wire.patch) {
        (Some(document), None, None, None, None, None) => {
            Some(Command::Replace(Value::Object(document), Condition::default()))
        }
        (None, Some(revision), None, None, None, None) => {
            Some(Command::Rollback(revision, Condition::default()))
        }
        (None, None, Some(kind), Some(id), Some(value), None) => {
            Some(Command::Write(kind, Some(id), value, terms))
        }
        (None, None, Some(kind), Some(id), None, Some(part)) => {
            Some(Command::Patch(kind, id, Vec::new(), Value::Object(part), terms))
        }
        _ => {
            let what = "expected `document`, or `revision`, or `kind`, `id` and one of `value` and `patch`";
            report.fault(At::Root, what);
            None
        }
    }
}

/// The keys to look at: how many are made up, or a list of them.
fn sample(keys: Option<&Value>, report: &mut Report) -> Option<Sample> {
    let count = |count: &u64| (0..=KEYS_MADE_UP_MAX).contains(count);
    let read = match keys {
        None | Some(Value::Null) => Some(Sample::MadeUp(KEYS_MADE_UP)),
        Some(Value::Number(number)) => number.as_u64().filter(count).map(Sample::MadeUp),
        Some(Value::Array(list)) if list.len() <= KEYS_NAMED_MAX => {
            let key = |key: &Value| {
                let key = key.as_str().filter(|key| key.len() <= KEY_LENGTH_MAX);
                key.map(str::to_owned)
            };
            list.iter().map(key).collect::<Option<Vec<String>>>().map(Sample::Named)
        }
        Some(Value::Array(_) | Value::Bool(_) | Value::String(_) | Value::Object(_)) => None,
    };
    if read.is_none() {
        let what = format!(
            "expected a number up to {KEYS_MADE_UP_MAX}, or a list of up to {KEYS_NAMED_MAX} texts \
             of up to {KEY_LENGTH_MAX} bytes"
        );
        report.fault(At::Root.key("keys"), what);
    }
    read
}
