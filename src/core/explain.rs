//! What would become of a request, and why: by the same decisions as on the road, with somebody who
//! looks on. No turn is taken and nothing is sent.

use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

use crate::exchange::{Attempt, Exchange, Inquiry, Watched};
use crate::facts::{Body, Facts};
use crate::head::{Edits, Head};
use crate::problem::Problem;
use crate::route::{Passed, Refusal, Witness};
use crate::snapshot::Snapshot;
use crate::split::{How, Means, Rule};

/// So many routes that were not asked are told of.
const OTHERS_MAX: usize = 20;
/// So many bytes of a body are told.
const BODY_TOLD_MAX: usize = 64 * 1024;

/// What would become of a request.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The configuration that decided.
    pub revision: String,
    /// The route that takes the request, if one does.
    pub route: Option<String>,
    /// The routes that were asked before it and did not take it, in this order.
    pub passed_over: Vec<Other>,
    /// Those that were not asked, up to [`OTHERS_MAX`].
    pub not_asked: Vec<Other>,
    /// How many more there are.
    pub not_asked_more: usize,
    /// The rules of the route that were asked before the one that decided.
    pub rules_passed_over: Vec<PassedRule>,
    /// The number of the rule that decided; nothing where the route's own upstream serves.
    pub rule: Option<usize>,
    /// What was picked, and from what.
    pub pick: Option<Pick>,
    /// What would be sent.
    pub request: Option<Request>,
    /// What would be changed in the response.
    pub response_headers: Option<Headers>,
    /// Why nothing would be sent.
    pub problem: Option<Refused>,
}

/// A route that did not take the request.
#[derive(Debug, Serialize)]
pub struct Other {
    /// Its id.
    pub route: String,
    /// Why it did not.
    pub why: String,
}

/// A rule that did not take the request.
#[derive(Debug, Serialize)]
pub struct PassedRule {
    /// Its number in its plugin.
    pub rule: Option<usize>,
    /// Why it did not.
    pub why: String,
}

/// What was picked.
#[derive(Debug, Serialize)]
pub struct Pick {
    /// The name of the branch.
    pub branch: String,
    /// `turn`, `key`, `issued`, `override`, or `whole` where nothing is split.
    pub by: &'static str,
    /// Where the key was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_in: Option<String>,
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where on the circle of this split the request lies: the hash of its key, or the step of the walk
    /// and after how many steps that begins again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub point: Option<String>,
    /// Why a branch that was asked for by name was not picked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied: Option<String>,
    /// All branches with their weights.
    pub branches: Vec<Share>,
}

/// A branch and its weight.
#[derive(Debug, Serialize)]
pub struct Share {
    /// Its name.
    pub name: String,
    /// Its weight.
    pub weight: u32,
}

/// A request as it would be sent.
#[derive(Debug, Serialize)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Where to, node and target.
    pub url: String,
    /// The header `Host`.
    pub host: String,
    /// The changes to the client's headers.
    pub headers: Headers,
    /// The body in place of the client's, as text, up to [`BODY_TOLD_MAX`] bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Changes to headers.
#[derive(Debug, Default, Serialize)]
pub struct Headers {
    /// All values of these go.
    pub remove: Vec<String>,
    /// These are set.
    pub set: BTreeMap<String, String>,
    /// These are added.
    pub add: Vec<(String, String)>,
}

/// Why nothing would be sent.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// The status of the answer.
    pub status: u16,
    /// The error type (RFC 9209).
    pub error: &'static str,
    /// In words.
    pub title: &'static str,
}

/// Explains a request with its whole body.
pub fn explain(snapshot: &Snapshot, head: &dyn Head, means: Means<'_>, body: &[u8]) -> Explanation {
    let means = Means { is_trial: true, ..means };
    let mut looker = Looker { snapshot, told: Explanation::of(snapshot), passed: Vec::new() };
    let inquiry = Inquiry { snapshot: Some(snapshot), head };
    let exchange = Exchange::decide_watched(inquiry, means, Body::Whole(body), &mut looker);
    let Looker { mut told, .. } = looker;
    let Ok(mut exchange) = exchange else { unreachable!("a body that is known is not asked for") };
    told.route = exchange.route().map(str::to_owned);
    match exchange.attempt(head, Body::Whole(body)) {
        Ok(attempt) => {
            told.request = Some(Request::of(&attempt));
            told.response_headers = exchange.response_edits().map(Headers::of);
        }
        Err(problem) => told.problem = Some(Refused::of(problem)),
    }
    told
}

impl Explanation {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            revision: snapshot.revision().to_string(),
            route: None,
            passed_over: Vec::new(),
            not_asked: Vec::new(),
            not_asked_more: 0,
            rules_passed_over: Vec::new(),
            rule: None,
            pick: None,
            request: None,
            response_headers: None,
            problem: None,
        }
    }
}

/// Notes what it sees.
struct Looker<'s> {
    snapshot: &'s Snapshot,
    told: Explanation,
    /// The numbers of the routes that were passed over.
    passed: Vec<usize>,
}

impl Looker<'_> {
    fn id(&self, route: usize) -> String {
        self.snapshot.routes().get(route).map_or_else(String::new, |route| route.id.to_string())
    }
}

impl Witness for Looker<'_> {
    fn passed_over(&mut self, route: usize, why: Passed<'_>) {
        self.passed.push(route);
        let other = Other { route: self.id(route), why: self.why(route, why) };
        self.told.passed_over.push(other);
    }
}

impl Watched for Looker<'_> {
    fn searched(&mut self, taken: Option<usize>, facts: &Facts<'_>) {
        for (number, told) in self.told.passed_over.iter_mut().enumerate() {
            let route = self.passed.get(number).copied().unwrap_or_default();
            let vars = self.snapshot.conditions().get(route).and_then(|it| it.vars.as_ref());
            // Only now are the values there that it was compared with.
            if let Some(vars) = vars.filter(|_| told.why.starts_with(VARS)) {
                let why = vars.expr.why_not(&|variable| variable.value(facts));
                told.why = format!("{VARS}: {}", why.unwrap_or_default());
            }
        }
        for route in 0..self.snapshot.routes().len() {
            if Some(route) == taken || self.passed.contains(&route) {
                continue;
            }
            if self.told.not_asked.len() == OTHERS_MAX {
                self.told.not_asked_more += 1;
                continue;
            }
            let why = match self.snapshot.refusal(route, facts) {
                Refusal::Status => "it is switched off",
                Refusal::Path => "its paths are others",
                Refusal::Host => "its hosts are others",
                Refusal::Behind => "the route that takes the request comes before it",
            };
            let other = Other { route: self.id(route), why: why.to_owned() };
            self.told.not_asked.push(other);
        }
    }

    fn rule_passed_over(&mut self, rule: &Rule, facts: &Facts<'_>) {
        let why = rule.why_not(facts);
        self.told.rules_passed_over.push(PassedRule { rule: rule.number, why });
    }

    fn picked(&mut self, rule: &Rule, picked: &crate::split::Picked<'_>) {
        self.told.rule = rule.number;
        let (by, found_in, key) = match &picked.how {
            How::Whole => ("whole", None, None),
            How::Turn => ("turn", None, None),
            How::Key { by, key } => ("key", Some(by.clone()), Some(key.clone())),
            How::Issued { .. } => ("issued", None, None),
            How::Forced => ("override", None, None),
        };
        let point = match &key {
            Some(key) => rule.keyed.as_ref().map(|keyed| keyed.point(key.as_bytes())),
            None if by == "turn" => Some(rule.branches.point()),
            None => None,
        };
        let share = |branch: &crate::split::Branch| Share {
            name: branch.name.to_string(),
            weight: branch.weight.0,
        };
        self.told.pick = Some(Pick {
            branch: picked.branch.name.to_string(),
            by,
            found_in,
            key,
            point,
            denied: picked.denied.clone(),
            branches: rule.branches.list().iter().map(share).collect(),
        });
    }
}

/// How the reason of a route begins whose expression does not hold.
const VARS: &str = "its `vars` do not hold";

impl Looker<'_> {
    fn why(&self, route: usize, why: Passed<'_>) -> String {
        let conditions = self.snapshot.conditions().get(route);
        let listed = |list: &[String]| list.join(", ");
        match (why, conditions) {
            (Passed::Method, Some(it)) => format!("its methods are {}", listed(&it.methods)),
            (Passed::Host, Some(it)) => format!("its hosts are {}", listed(&it.hosts)),
            (Passed::Address, Some(it)) => {
                let networks: Vec<String> = it.addresses.iter().map(ToString::to_string).collect();
                format!("the client is not in {}", listed(&networks))
            }
            (Passed::Vars(_), _) => VARS.to_owned(),
            (_, None) => String::new(),
        }
    }
}

impl Request {
    fn of(attempt: &Attempt<'_>) -> Self {
        let authority = attempt.node.authority();
        let told = |body: &Vec<u8>| {
            let head = body.get(..BODY_TOLD_MAX).unwrap_or(body);
            String::from_utf8_lossy(head).into_owned()
        };
        Self {
            method: attempt.method.to_string(),
            url: format!("{}://{authority}{}", attempt.scheme.as_str(), attempt.target),
            host: attempt.host.to_string(),
            headers: Headers::of(&attempt.edits),
            body: attempt.body.as_ref().map(told),
        }
    }
}

impl Headers {
    fn of(edits: &Edits) -> Self {
        let Edits { remove, set, add } = edits;
        let pair = |(name, value): &(std::borrow::Cow<'static, str>, String)| {
            (name.to_string(), value.clone())
        };
        Self {
            remove: remove.iter().map(ToString::to_string).collect(),
            set: set.iter().map(pair).collect(),
            add: add.iter().map(pair).collect(),
        }
    }
}

impl Refused {
    fn of(problem: Problem) -> Self {
        Self { status: problem.status(), error: problem.token(), title: problem.title() }
    }
}

/// The explanation as JSON.
pub fn to_json(explanation: &Explanation) -> Value {
    serde_json::to_value(explanation).unwrap_or_default()
}
