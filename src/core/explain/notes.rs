//! Who looks on while a request is decided, and puts into words what there is to be seen.

use std::collections::BTreeSet;

use super::{By, Explanation, Guarded, PassedRoute, PassedRule, Pick, Share};
use crate::exchange::Observer;
use crate::facts::Facts;
use crate::guard::{Guard, Verdict};
use crate::route::{Conditions, Passed, Refusal, Witness};
use crate::snapshot::Snapshot;
use crate::split::{Branch, How, Picked, Rule, Section};

/// So many routes or rules that were asked are told of.
const PASSED_MAX: usize = 100;
/// So many routes that were not asked are told of.
const NOT_ASKED_MAX: usize = 20;
/// So many characters of a reason are told: it may repeat a header or a body.
const WHY_MAX: usize = 512;

/// What was seen.
pub(super) struct Notes<'s> {
    snapshot: &'s Snapshot,
    told: Explanation,
    /// The routes that were passed over, by their numbers, in the order in which they were asked.
    passed: Vec<(usize, Passed)>,
    /// The same: of its paths several may take a request.
    is_passed: BTreeSet<usize>,
}

impl<'s> Notes<'s> {
    pub(super) fn new(snapshot: &'s Snapshot) -> Self {
        let told = Explanation::of(snapshot);
        Self { snapshot, told, passed: Vec::new(), is_passed: BTreeSet::new() }
    }

    pub(super) fn into_told(self) -> Explanation {
        self.told
    }

    fn id(&self, route: usize) -> String {
        self.snapshot.routes().get(route).map_or_else(String::new, |route| route.id.to_string())
    }

    fn conditions(&self, route: usize) -> Option<&'s Conditions> {
        self.snapshot.conditions().get(route)
    }

    fn tell_passed(&mut self, facts: &Facts<'_>) {
        for (route, passed) in self.passed.iter().take(PASSED_MAX) {
            let why = self.conditions(*route).map(|it| why_passed(*passed, it, facts));
            let why = clipped(why.unwrap_or_default());
            self.told.passed_over.push(PassedRoute { route: self.id(*route), why });
        }
        self.told.passed_over_more = self.passed.len().saturating_sub(PASSED_MAX);
    }

    /// Of many routes those are told of that come nearest to the request.
    fn tell_not_asked(&mut self, taken: Option<usize>, facts: &Facts<'_>) {
        let others = 0..self.snapshot.routes().len();
        let others = others.filter(|it| Some(*it) != taken && !self.is_passed.contains(it));
        let mut others: Vec<(Refusal, usize)> =
            others.map(|route| (self.snapshot.refusal(route, facts), route)).collect();
        others.sort_by_key(|(refusal, _)| match refusal {
            Refusal::Behind => 0,
            Refusal::Host => 1,
            Refusal::Status => 2,
            Refusal::Path => 3,
        });
        for (refusal, route) in others.iter().take(NOT_ASKED_MAX) {
            let why = self.conditions(*route).map(|it| why_not_asked(*refusal, it));
            let why = clipped(why.unwrap_or_default());
            self.told.not_asked.push(PassedRoute { route: self.id(*route), why });
        }
        self.told.not_asked_more = others.len().saturating_sub(NOT_ASKED_MAX);
    }
}

impl Witness for Notes<'_> {
    fn passed_over(&mut self, route: usize, why: Passed) {
        if self.is_passed.insert(route) {
            self.passed.push((route, why));
        }
    }
}

impl Observer for Notes<'_> {
    fn searched(&mut self, taken: Option<usize>, facts: &Facts<'_>) {
        self.told.route = taken.map(|route| self.id(route));
        self.tell_passed(facts);
        self.tell_not_asked(taken, facts);
    }

    fn guarded(&mut self, guard: &Guard, verdict: &Verdict<'_>) {
        let answers = match verdict {
            Verdict::Passes(passage) => {
                let name = passage.known.map(|known| known.name.to_owned());
                self.told.consumer = name.or(self.told.consumer.take());
                None
            }
            Verdict::Answers(answer, _) => Some(answer.status),
            // It will be asked again.
            Verdict::Needs(_) => return,
        };
        self.told.guards.push(Guarded { plugin: guard.name().to_owned(), answers });
    }

    fn rule_passed_over(&mut self, section: &Section, rule: &Rule, facts: &Facts<'_>) {
        // The route's own upstream takes whatever comes to it.
        let Some(number) = rule.number() else { return };
        if self.told.rules_passed_over.len() == PASSED_MAX {
            self.told.rules_passed_over_more += 1;
            return;
        }
        let why = clipped(section.why_not(rule, facts));
        self.told.rules_passed_over.push(PassedRule { rule: number, why });
    }

    fn picked(&mut self, rule: &Rule, picked: &Picked<'_>) {
        self.told.rule = rule.number();
        self.told.pick = Some(Pick::of(rule, picked));
    }
}

impl Pick {
    fn of(rule: &Rule, picked: &Picked<'_>) -> Self {
        let (by, found) = match &picked.how {
            How::Whole => (By::Whole, None),
            How::Turn => (By::Turn, None),
            How::Key { by, key } => (By::Key, Some((by.to_string(), key.to_string()))),
            How::Issued { .. } => (By::Issued, None),
            How::Forced => (By::Override, None),
        };
        let (found_in, key) = found.unzip();
        let hash = |key: &String| rule.keyed().map(|keyed| keyed.point(key.as_bytes()));
        let on_failure = rule.on_failure().filter(|_| picked.how != How::Forced);
        let upstream = &picked.branch.balancer.upstream;
        let step = (by == By::Turn).then(|| rule.branches.point());
        let share =
            |branch: &Branch| Share { name: branch.name.to_string(), weight: branch.weight.0 };
        Self {
            branch: picked.branch.name.to_string(),
            by,
            point: key.as_ref().and_then(hash).or(step),
            found_in,
            key,
            denied: picked.denied.as_deref().map(str::to_owned),
            branches: rule.branches.list().iter().map(share).collect(),
            upstream_type: upstream.method().map(str::to_owned),
            retries: upstream.retries(),
            on_failure: on_failure.map(|it| it.target(&rule.branches).to_owned()),
        }
    }
}

/// Why a route that was asked did not take a request.
fn why_passed(passed: Passed, conditions: &Conditions, facts: &Facts<'_>) -> String {
    match passed {
        Passed::Method => listed("its method is", "its methods are", &conditions.methods),
        Passed::Host => listed("its host is", "its hosts are", &conditions.hosts),
        Passed::Address => {
            let client = facts.client();
            let client = client.map_or_else(String::new, |client| format!(" {client}"));
            let networks: Vec<String> =
                conditions.addresses.iter().map(ToString::to_string).collect();
            format!("the client{client} is not in {}", networks.join(", "))
        }
        Passed::Vars => {
            let vars = conditions.vars.as_ref();
            let why = vars.and_then(|vars| vars.why_not(&|variable| variable.value(facts)));
            format!("its `vars` do not hold: {}", why.unwrap_or_default())
        }
    }
}

/// Why a route was not asked whether it takes a request.
fn why_not_asked(refusal: Refusal, conditions: &Conditions) -> String {
    match refusal {
        Refusal::Status => "it is switched off".to_owned(),
        Refusal::Path => listed("its path is", "its paths are", &conditions.uris),
        Refusal::Host => listed("its host is", "its hosts are", &conditions.hosts),
        Refusal::Behind => "it comes behind the one that takes the request".to_owned(),
    }
}

fn listed(one: &str, several: &str, list: &[String]) -> String {
    let are = if list.len() == 1 { one } else { several };
    format!("{are} {}", list.join(", "))
}

fn clipped(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(WHY_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}
