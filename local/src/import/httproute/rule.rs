//! A rule of an HTTPRoute: a route for each of its matches.

use std::cmp::Reverse;

use serde_json::{Map, Value, json};
use splitway_core::fault::{At, Fault};

use super::backend::{self, Backend};
use super::matching::{self, Match};
use super::read::{Findings, list, member, members};
use super::{Draft, Owner, duration, filter, retry};
use crate::document;

/// What became of a rule.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) drafts: Vec<Draft>,
    /// What was left out, each with the routes that are missing for it.
    pub(super) losses: Vec<(Fault, Vec<Value>)>,
    pub(super) notes: Vec<Fault>,
}

/// What all routes of a rule have in common.
#[derive(Default)]
struct Common {
    id: String,
    timeout: Option<Value>,
    backends: Vec<Backend>,
}

/// Makes routes of a rule; if none can be had, or not as they should be, the rule is lost.
pub(super) fn import(value: &Value, index: usize, owner: &Owner<'_>, at: At<'_>) -> Outcome {
    let mut findings = Findings::default();
    let common = common(value, index, owner, at, &mut findings);
    let mut drafts = Vec::new();
    let mut failures = Vec::new();
    let mut notes = Vec::new();
    let matches = matches(value, at);
    for (index, (found, mut of_match, place)) in matches.into_iter().enumerate() {
        let suffix = if is_alone(value) { String::new() } else { format!(".{index}") };
        let mut shape = None;
        let draft = found.and_then(|found| {
            let route = route(&found, &format!("{}{suffix}", common.id), &common, owner);
            shape = Some(route.clone());
            check(&route, &place, &mut of_match);
            let is_sound = findings.obstacles.is_empty() && of_match.obstacles.is_empty();
            is_sound.then(|| Draft { rank: rank(&found, owner), route })
        });
        match draft {
            Some(draft) => {
                drafts.push(draft);
                notes.append(&mut of_match.notes);
            }
            None => failures.push((place, of_match, shape)),
        }
    }
    if drafts.is_empty() {
        let base = at.to_string();
        // What a rule lacks is said once, not again for what each match lacks by it.
        if findings.obstacles.is_empty() {
            let obstacles = failures.iter().flat_map(|(_, found, _)| found.obstacles.clone());
            findings.obstacles.extend(obstacles);
        }
        let what = format!("rule left out: {}", findings.reasons(&base));
        let shapes = failures.into_iter().filter_map(|(_, _, shape)| shape).collect();
        let lost = (Fault::new(base, what), shapes);
        return Outcome { losses: vec![lost], ..Outcome::default() };
    }
    let mut losses: Vec<(Fault, Vec<Value>)> =
        findings.losses.into_iter().map(|fault| (fault, Vec::new())).collect();
    for (place, found, shape) in failures {
        let what = format!("match left out: {}", found.reasons(&place));
        losses.push((Fault::new(place, what), shape.into_iter().collect()));
    }
    findings.notes.append(&mut notes);
    Outcome { drafts, losses, notes: findings.notes }
}

/// Reads what does not depend on a match.
fn common(
    value: &Value,
    index: usize,
    owner: &Owner<'_>,
    at: At<'_>,
    findings: &mut Findings,
) -> Common {
    let known =
        ["name", "matches", "filters", "backendRefs", "timeouts", "retry", "sessionPersistence"];
    let Some(map) = members(value, &known, at, findings) else { return Common::default() };
    let name = member(map, "name", at, findings).map_or_else(|| index.to_string(), str::to_owned);
    let _ = list(map, "matches", at, findings);
    let filters = list(map, "filters", at, findings);
    let edits = filter::read(filters, at.key("filters"), findings);
    let backends = list(map, "backendRefs", at, findings);
    let mut backends = backend::read(backends, &edits, owner, at.key("backendRefs"), findings);
    let timeouts = map.get("timeouts").filter(|timeouts| !timeouts.is_null());
    let timeout = timeouts.and_then(|value| duration::timeout(value, at.key("timeouts"), findings));
    if let Some(value) = map.get("retry").filter(|value| !value.is_null()) {
        let mut members = retry::read(value, at.key("retry"), findings);
        if let Some(seconds) = timeouts.and_then(duration::of_all_attempts) {
            members.insert("retry_timeout".to_owned(), seconds);
            let what = "of all attempts: none begins after it";
            findings.note(at.key("timeouts").key("request"), what);
        }
        backends.iter_mut().for_each(|backend| backend.retry.clone_from(&members));
    }
    if map.get("sessionPersistence").is_some_and(|value| !value.is_null()) {
        findings.lose(
            at.key("sessionPersistence"),
            "left out: `sticky` of a rule keeps a client with a branch, not with one pod behind it",
        );
    }
    Common { id: format!("{}.{name}", owner.id), timeout, backends }
}

/// Whether a rule has one match, written or not.
fn is_alone(rule: &Value) -> bool {
    rule.get("matches").and_then(Value::as_array).is_none_or(|matches| matches.len() <= 1)
}

/// The matches of a rule with what was found in each, and their places.
fn matches<'v>(rule: &'v Value, at: At<'_>) -> Vec<(Option<Match<'v>>, Findings, String)> {
    let matches = rule.get("matches").and_then(Value::as_array).map(Vec::as_slice);
    let matches = matches.unwrap_or_default();
    if matches.is_empty() {
        return vec![(Some(Match::everything()), Findings::default(), at.to_string())];
    }
    let list_at = at.key("matches");
    let read = |(index, value)| {
        let mut findings = Findings::default();
        let at = list_at.index(index);
        (matching::read(value, at, &mut findings), findings, at.to_string())
    };
    matches.iter().enumerate().map(read).collect()
}

fn route(found: &Match<'_>, id: &str, common: &Common, owner: &Owner<'_>) -> Value {
    let mut route: Map<String, Value> = backend::targets(&common.backends, &found.path);
    route.insert("id".to_owned(), id.into());
    let mut one_or_list = |one: &str, list: &str, values: &[&str]| match values {
        [] => {}
        [value] => drop(route.insert(one.to_owned(), (*value).into())),
        values => drop(route.insert(list.to_owned(), json!(values))),
    };
    let uris = found.path.uris();
    one_or_list("uri", "uris", &uris.iter().map(String::as_str).collect::<Vec<_>>());
    one_or_list("host", "hosts", &owner.hosts);
    if let Some(method) = found.method {
        route.insert("methods".to_owned(), json!([method]));
    }
    if !found.vars.is_empty() {
        route.insert("vars".to_owned(), found.vars.clone().into());
    }
    if let Some(timeout) = &common.timeout {
        route.insert("timeout".to_owned(), timeout.clone());
    }
    route.into()
}

/// Asks the core for what a route cannot be had. Ids are made later.
fn check(route: &Value, place: &str, findings: &mut Findings) {
    let mut route = route.clone();
    if let Some(members) = route.as_object_mut() {
        members.remove("id");
    }
    let Err(report) = document::judge(&json!({"routes": [route]}), "") else { return };
    for fault in report.faults {
        let ours = fault.at.strip_prefix("/routes/0/").unwrap_or_default();
        let what = format!("as `{ours}` refused: {}", fault.what);
        findings.obstacles.push(Fault::new(place, what));
    }
}

fn rank(found: &Match<'_>, owner: &Owner<'_>) -> super::Rank {
    let is_prefix = matches!(found.path, matching::PathMatch::Prefix(_));
    let (created, name) = &owner.age;
    (
        is_prefix,
        found.method.is_none(),
        Reverse(found.headers_count),
        Reverse(found.queries_count),
        (*created).to_owned(),
        name.clone(),
    )
}
