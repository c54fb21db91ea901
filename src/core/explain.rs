//! What would become of a request, and why: by the same decisions as on the road, before the eyes of
//! somebody who takes notes. No turn is taken and nothing is sent.

mod notes;
mod question;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use self::question::{CLIENT, Question};

use self::notes::Notes;
use crate::exchange::{Attempt, Exchange, Inquiry, Observer, Visit};
use crate::facts::Body;
use crate::guard::Needs;
use crate::head::{Changes, Head, Text};
use crate::problem::Problem;
use crate::route::Nobody;
use crate::snapshot::Snapshot;
use crate::split::Means;

/// So many bytes of a body are told.
const BODY_TOLD_MAX: usize = 64 * 1024;

/// What would become of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The configuration that decided.
    pub revision: String,
    /// The route that takes the request, if one does.
    pub route: Option<String>,
    /// The routes that were asked before it and did not take it, in this order; the first 100.
    pub passed_over: Vec<PassedRoute>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub passed_over_more: usize,
    /// Those that were not asked: 20 of them, first those that have more in common with the request.
    pub not_asked: Vec<PassedRoute>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_asked_more: usize,
    /// The guards that it passes before it is split, in their order, and what they say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<Guarded>,
    /// The consumer that was recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// The number of the rule that decided in its plugin; nothing where the route's own upstream serves.
    pub rule: Option<usize>,
    /// The rules of the route that were asked before it and did not take the request; the first 100.
    pub rules_passed_over: Vec<PassedRule>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rules_passed_over_more: usize,
    /// What was picked, and from what.
    pub pick: Option<Pick>,
    /// Whether the body is read before anything is sent, because something looks at it or changes it.
    pub reads_body: bool,
    /// What would be sent.
    pub request: Option<Request>,
    /// What would be changed in the headers of the response.
    pub response_headers: Option<Headers>,
    /// What would be answered in place of a response, where nothing would be sent.
    pub problem: Option<Refused>,
}

/// A route that does not take the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedRoute {
    /// Its id.
    pub route: String,
    /// Why it does not.
    pub why: String,
}

/// A guard that a request came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarded {
    /// The name of the plugin.
    pub plugin: String,
    /// The status that it answers with; nothing if the request passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<u16>,
}

/// A rule that does not take the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedRule {
    /// Its number in its plugin.
    pub rule: usize,
    /// Why it does not.
    pub why: String,
}

/// What was picked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    /// The name of the branch.
    pub branch: String,
    /// What it was picked by.
    pub by: By,
    /// Where the key was found, as the document writes it; or the name of the cookie that was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_in: Option<String>,
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where the request lies among all of this rule: the hash of its key in hexadecimal digits, or
    /// the step of the walk by turns and after how many steps that begins again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<String>,
    /// Why a branch that was asked for by name was not picked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied: Option<String>,
    /// All branches with their weights.
    pub branches: Vec<Share>,
    /// How a node of its upstream is picked, where it is not by turns: the `type` of the upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_type: Option<String>,
    /// How many attempts at other nodes of its upstream may follow one that fails.
    #[serde(default, skip_serializing_if = "is_none")]
    pub retries: u32,
    /// Where the request goes if the branch fails: a branch by its name, or `others`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<String>,
}

/// What a branch is picked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Nothing is split: the route's own upstream serves.
    Whole,
    /// It was its turn.
    Turn,
    /// The key that the request brings along.
    Key,
    /// A key that is drawn for whoever asks, and issued in a cookie. Another draw may pick another branch.
    Issued,
    /// The request asks for it by name, and may.
    Override,
}

/// A branch and its weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Its name.
    pub name: String,
    /// Its weight.
    pub weight: u32,
}

/// A request as it would be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Where to: scheme and node, path and query.
    pub url: String,
    /// The header `Host`.
    pub host: String,
    /// How long it may take until the head of the response is there.
    pub timeout_ms: u64,
    /// The changes to the client's headers. Those that concern one connection go anyway.
    pub headers: Headers,
    /// The body in place of the client's, as text; the first 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// How many bytes that body has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<usize>,
}

/// Changes to headers, made in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headers {
    /// All values of these go; of a request's those that it has.
    pub remove: Vec<String>,
    /// These are set, in place of what is there.
    pub set: BTreeMap<String, String>,
    /// These values are added to what is there.
    pub add: Vec<(String, String)>,
}

/// Why nothing would be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The status of the answer.
    pub status: u16,
    /// The error type (RFC 9209).
    pub error: String,
    /// In words.
    pub title: String,
}

/// Explains a request with its whole body, whatever of it the decisions would look at.
pub fn explain(snapshot: &Snapshot, head: &dyn Head, means: Means<'_>, body: &[u8]) -> Explanation {
    let means = Means { is_trial: true, ..means };
    let inquiry = Inquiry { snapshot: Some(snapshot), head };
    let whole = Body::Whole(body);
    let is_long = body.len() > snapshot.body_max();
    // As on the road: a body is read where something asks for it, and not otherwise.
    let is_asked_for = decided(&mut Nobody, inquiry, means, Body::Unread).is_none();
    let known = if is_asked_for { whole } else { Body::Unread };
    let mut notes = Notes::new(snapshot);
    let exchange = match is_asked_for && is_long {
        true => Some(Exchange::failed(Some(snapshot), Problem::BodyTooLarge)),
        false => decided(&mut notes, inquiry, means, known),
    };
    let mut exchange = exchange.expect("a body that is known is not asked for");
    let mut told = notes.into_told();
    let is_changed = exchange.changes_body();
    told.reads_body = is_asked_for || is_changed;
    if let Some((answer, problem)) = exchange.own_answer() {
        told.problem = problem.map(|problem| Refused::with(problem, answer.status));
        return told;
    }
    let size = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let is_over = exchange.upload_max().is_some_and(|max| size > max);
    let attempt = match (told.reads_body && is_long) || is_over {
        true => Err(Problem::BodyTooLarge),
        false => exchange.attempt(head, if is_changed { whole } else { known }, means),
    };
    match attempt {
        Ok(attempt) => {
            told.request = Some(Request::of(&attempt, head));
            told.response_headers = Some(Headers::of(&exchange.response_changes()));
        }
        Err(problem) => told.problem = Some(Refused::of(problem)),
    }
    told
}

/// What is decided where nothing is done for it but imagined; nothing if the body has to be there.
fn decided<'a>(
    observer: &mut dyn Observer,
    inquiry: Inquiry<'a>,
    means: Means<'_>,
    body: Body<'_>,
) -> Option<Exchange<'a>> {
    let mut visit = Visit::default();
    loop {
        match Exchange::decide_before(observer, &mut visit, inquiry, means, body) {
            Ok(exchange) => return Some(exchange),
            Err(Needs::Body) => return None,
            Err(Needs::Effect(effect)) => visit.bring(effect.imagined()),
        }
    }
}

impl Explanation {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            revision: snapshot.revision().to_string(),
            route: None,
            passed_over: Vec::new(),
            passed_over_more: 0,
            not_asked: Vec::new(),
            not_asked_more: 0,
            guards: Vec::new(),
            consumer: None,
            rule: None,
            rules_passed_over: Vec::new(),
            rules_passed_over_more: 0,
            pick: None,
            reads_body: false,
            request: None,
            response_headers: None,
            problem: None,
        }
    }
}

impl Request {
    fn of(attempt: &Attempt<'_>, head: &dyn Head) -> Self {
        let authority = attempt.node.authority();
        let told = |body: &Vec<u8>| {
            let head = body.get(..BODY_TOLD_MAX).unwrap_or(body);
            String::from_utf8_lossy(head).into_owned()
        };
        let mut headers = Headers::of(&attempt.edits);
        headers.remove.retain(|name| head.header(name).is_some());
        Self {
            method: attempt.method.to_string(),
            url: format!("{}://{authority}{}", attempt.scheme.as_str(), attempt.target),
            host: attempt.host.to_string(),
            timeout_ms: u64::try_from(attempt.timeouts.until_head().as_millis())
                .unwrap_or(u64::MAX),
            headers,
            body: attempt.body.as_ref().map(told),
            body_bytes: attempt.body.as_ref().map(Vec::len),
        }
    }
}

impl Headers {
    fn of(changes: &Changes) -> Self {
        let pair = |(name, value): (&str, &Text)| (name.to_owned(), value.to_string());
        let mut names: Vec<String> = Vec::new();
        for name in changes.removed() {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        // Where one is set twice the later value is the one that is sent.
        let set = changes.set().map(pair).collect();
        Self { remove: names, set, add: changes.added().map(pair).collect() }
    }
}

impl Refused {
    fn of(problem: Problem) -> Self {
        Self::with(problem, problem.status())
    }

    fn with(problem: Problem, status: u16) -> Self {
        let (error, title) = (problem.token().to_owned(), problem.title().to_owned());
        Self { status, error, title }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests;
