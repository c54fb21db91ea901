//! Reading the values of an HTTPRoute, noting what hinders its rule.

use serde_json::{Map, Value};
use splitway_core::fault::{At, Fault};

/// What was found while a rule was read.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Why the rule, or the match, cannot be taken over.
    pub(super) obstacles: Vec<Fault>,
    /// What the rule loses and can do without.
    pub(super) losses: Vec<Fault>,
    /// What is to be known about what was taken over.
    pub(super) notes: Vec<Fault>,
}

impl Findings {
    pub(super) fn obstacle(&mut self, at: At<'_>, what: impl Into<String>) {
        self.obstacles.push(Fault::new(at.to_string(), what));
    }

    pub(super) fn lose(&mut self, at: At<'_>, what: impl Into<String>) {
        self.losses.push(Fault::new(at.to_string(), what));
    }

    pub(super) fn note(&mut self, at: At<'_>, what: impl Into<String>) {
        self.notes.push(Fault::new(at.to_string(), what));
    }

    /// The obstacles in one line, with their places as seen from `base`.
    pub(super) fn reasons(&self, base: &str) -> String {
        let reason = |fault: &Fault| {
            let inner = fault.at.strip_prefix(base).unwrap_or(&fault.at);
            match inner.trim_start_matches('/') {
                "" => fault.what.clone(),
                inner => format!("`{inner}`: {}", fault.what),
            }
        };
        let mut reasons: Vec<String> = self.obstacles.iter().map(reason).collect();
        reasons.dedup();
        reasons.join("; ")
    }
}

/// The members of an object. One that is not known is an obstacle: it may limit what is taken.
pub(super) fn members<'v>(
    value: &'v Value,
    known: &[&str],
    at: At<'_>,
    findings: &mut Findings,
) -> Option<&'v Map<String, Value>> {
    let members = value.as_object();
    if members.is_none() {
        findings.obstacle(at, "expected an object");
    }
    for key in members.into_iter().flat_map(|members| members.keys()) {
        if !known.contains(&key.as_str()) {
            findings.obstacle(at.key(key), "a field that is not known here");
        }
    }
    members
}

/// The text that a value must be.
pub(super) fn text<'v>(value: &'v Value, at: At<'_>, findings: &mut Findings) -> Option<&'v str> {
    let text = value.as_str();
    if text.is_none() {
        findings.obstacle(at, "expected a string");
    }
    text
}

/// The text of a member that need not be there.
pub(super) fn member<'v>(
    members: &'v Map<String, Value>,
    key: &str,
    at: At<'_>,
    findings: &mut Findings,
) -> Option<&'v str> {
    let value = members.get(key).filter(|value| !value.is_null())?;
    text(value, at.key(key), findings)
}

/// The text of a member that must be there.
pub(super) fn required<'v>(
    members: &'v Map<String, Value>,
    key: &str,
    at: At<'_>,
    findings: &mut Findings,
) -> Option<&'v str> {
    if members.get(key).is_none_or(Value::is_null) {
        findings.obstacle(at, format!("`{key}` is missing"));
        return None;
    }
    member(members, key, at, findings)
}

/// The list of a member; empty where it is not there.
pub(super) fn list<'v>(
    members: &'v Map<String, Value>,
    key: &str,
    at: At<'_>,
    findings: &mut Findings,
) -> &'v [Value] {
    match members.get(key) {
        None | Some(Value::Null) => &[],
        Some(Value::Array(items)) => items,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            findings.obstacle(at.key(key), "expected a list");
            &[]
        }
    }
}
