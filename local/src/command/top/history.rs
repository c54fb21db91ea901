//! The answers of a server so far, as far as what is to be seen depends on them.

use std::collections::{BTreeMap, VecDeque};

use splitway_core::status::{BranchStatus, RouteStatus, RuleStatus, Scope, Status, wilson};

use super::rates::{Passed, RuleKey, rule_key};
use super::view::{Group, Line, View};

/// Rates at the edge are of so long at least: isolates tell what they have counted now and then, so that in
/// an instant there is nothing and then much at once.
const EDGE_MS: u64 = 15_000;

/// A rule by what tells it from all others.
type OwnedKey = (String, Option<usize>, Option<String>);

/// What was answered before.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The oldest first; the first one is what the next is compared with.
    answers: VecDeque<Status>,
    baselines: BTreeMap<OwnedKey, Baseline>,
}

/// What shares are counted from. Counts go on when weights change, and would then tell of both for long.
#[derive(Debug)]
struct Baseline {
    /// When the weights were first seen; nothing for since ever.
    since_ms: Option<u64>,
    /// The weight of each branch, and how many requests were picked for it before.
    branches: BTreeMap<String, (u32, u64)>,
}

impl History {
    /// Takes the next answer, and says what there is to see.
    pub(super) fn take(&mut self, status: Status) -> View {
        let is_restart = self.answers.back().is_some_and(|it| it.since_ms != status.since_ms);
        if is_restart {
            self.baselines.clear();
        }
        self.note_weights(&status);
        let view = self.view(&status);
        self.answers.push_back(status);
        self.forget();
        view
    }

    /// Leaves the answer that the next one is compared with, and what came since.
    fn forget(&mut self) {
        let Some(last) = self.answers.back() else { return };
        let window_ms = match last.scope {
            Scope::Process => 0,
            Scope::Edge => EDGE_MS,
        };
        let (at_ms, since_ms) = (last.at_ms, last.since_ms);
        // Counts of before a restart tell nothing any more, and neither do times ahead.
        self.answers.retain(|it| it.since_ms == since_ms && it.at_ms <= at_ms);
        let is_old = |it: &Status| it.at_ms.saturating_add(window_ms) <= at_ms;
        while self.answers.get(1).is_some_and(is_old) {
            self.answers.pop_front();
        }
    }

    /// Begins to count shares anew for the rules whose weights are others.
    fn note_weights(&mut self, status: &Status) {
        let rules = status.routes.iter().flat_map(|route| {
            route.rules.iter().map(move |rule| (owned(rule_key(route, rule)), rule))
        });
        let mut baselines = BTreeMap::new();
        for (key, rule) in rules {
            let baseline = match self.baselines.remove(&key) {
                None => Baseline::new(rule, None),
                Some(known) if known.holds(rule) => known,
                Some(_) => Baseline::new(rule, Some(status.at_ms)),
            };
            baselines.insert(key, baseline);
        }
        self.baselines = baselines;
    }

    fn view(&self, status: &Status) -> View {
        let passed = self.answers.front().and_then(|before| Passed::between(before, status));
        let rules = status.routes.iter().flat_map(|route| {
            let shown = route.rules.iter().filter(|rule| !is_idle_rest(route, rule));
            shown.map(|rule| self.group(route, rule, passed.as_ref()))
        });
        View {
            revision: status.revision.clone(),
            scope: status.scope,
            at_ms: status.at_ms,
            since_ms: status.since_ms,
            seconds: passed.as_ref().map(Passed::secs),
            rules: rules.collect(),
            problems_per_s: passed.map(|it| it.problems(status)).unwrap_or_default(),
        }
    }

    fn group(&self, route: &RouteStatus, rule: &RuleStatus, passed: Option<&Passed<'_>>) -> Group {
        let key = rule_key(route, rule);
        let baseline = self.baselines.get(&owned(key));
        let picked = |branch: &BranchStatus| {
            let earlier = baseline.map_or(0, |it| it.picked_before(&branch.name));
            branch.picked.saturating_sub(earlier)
        };
        let all = rule.branches.iter().map(picked).fold(0, u64::saturating_add);
        let line = |branch: &BranchStatus| {
            let own = picked(branch);
            Line {
                name: branch.name.clone(),
                weight: branch.weight,
                target: branch.target,
                picked: own,
                share: (all > 0).then(|| own as f64 / all as f64),
                interval: wilson(own, all),
                requests: branch.requests,
                errors: branch.errors,
                breaker: branch.breaker,
                rates: passed.map(|it| it.rates(&(key, branch.name.as_str()), branch)),
            }
        };
        Group {
            route: route.id.clone(),
            name: route.name.clone(),
            uris: route.uris.clone(),
            rule: rule.rule,
            from: rule.from.clone(),
            shares_since_ms: baseline.and_then(|it| it.since_ms),
            branches: rule.branches.iter().map(line).collect(),
        }
    }
}

impl Baseline {
    /// Counts from a moment on, or since ever.
    fn new(rule: &RuleStatus, since_ms: Option<u64>) -> Self {
        let branch = |it: &BranchStatus| {
            let before = since_ms.map_or(0, |_| it.picked);
            (it.name.clone(), (it.weight, before))
        };
        Self { since_ms, branches: rule.branches.iter().map(branch).collect() }
    }

    /// Whether a rule still has the same weights, and counts that go on.
    fn holds(&self, rule: &RuleStatus) -> bool {
        let goes_on = |it: &BranchStatus| {
            let known = self.branches.get(&it.name);
            known.is_some_and(|(weight, before)| *weight == it.weight && *before <= it.picked)
        };
        self.branches.len() == rule.branches.len() && rule.branches.iter().all(goes_on)
    }

    fn picked_before(&self, branch: &str) -> u64 {
        self.branches.get(branch).map_or(0, |(_, before)| *before)
    }
}

/// Whether it is what rules leave over, which mostly is nothing.
fn is_idle_rest(route: &RouteStatus, rule: &RuleStatus) -> bool {
    let is_idle = rule.branches.iter().all(|it| it.requests == 0 && it.picked == 0);
    rule.rule.is_none() && route.rules.len() > 1 && is_idle
}

fn owned((route, rule, from): RuleKey<'_>) -> OwnedKey {
    (route.to_owned(), rule, from.map(str::to_owned))
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a panic is how tests fail")]
mod tests {
    use super::*;
    use crate::command::top::samples::{branch, status};

    /// The only rule at some time, with such weights and picks of two branches.
    fn take(history: &mut History, at_ms: u64, both: [(u32, u64); 2]) -> Group {
        let names = ["v1", "v2"].into_iter().zip(both);
        let branches = names.map(|(name, (weight, picked))| branch(name, weight, picked, 0));
        history.take(status(at_ms, branches.collect())).rules.remove(0)
    }

    fn shares(group: &Group) -> Vec<Option<f64>> {
        group.branches.iter().map(|it| it.share).collect()
    }

    #[test]
    fn shares_are_of_the_weights_that_hold() {
        let mut history = History::default();
        let before = take(&mut history, 2000, [(9, 90), (1, 10)]);
        assert_eq!(shares(&before), [Some(0.9), Some(0.1)]);
        assert_eq!((before.shares_since_ms, before.branches[0].target), (None, 0.9));
        let changed = take(&mut history, 3000, [(1, 90), (1, 10)]);
        assert_eq!((shares(&changed), changed.shares_since_ms), (vec![None, None], Some(3000)));
        assert_eq!(changed.branches[0].interval, (0.0, 1.0));
        let after = take(&mut history, 4000, [(1, 140), (1, 60)]);
        assert_eq!((shares(&after), after.shares_since_ms), (vec![Some(0.5); 2], Some(3000)));
        assert_eq!(after.branches[0].interval, wilson(50, 100));
        assert_eq!(after.branches[0].rates.map(|it| it.requests), Some(50.0));
    }

    #[test]
    fn a_restart_begins_all_shares_and_rates_anew() {
        let mut history = History::default();
        take(&mut history, 2000, [(9, 900), (1, 100)]);
        take(&mut history, 3000, [(1, 900), (1, 100)]);
        let mut restarted = status(5000, vec![branch("v1", 1, 3, 0), branch("v2", 1, 1, 0)]);
        restarted.since_ms = 4000;
        let view = history.take(restarted);
        assert_eq!(shares(&view.rules[0]), [Some(0.75), Some(0.25)]);
        assert_eq!((view.rules[0].shares_since_ms, view.totals()), (None, Some((2.0, 0.0))));
    }

    #[test]
    fn the_first_answer_has_no_rates() {
        let view = History::default().take(status(2000, vec![branch("v1", 1, 3, 0)]));
        assert_eq!(
            (view.seconds, view.totals(), view.rules[0].branches[0].rates),
            (None, None, None)
        );
    }

    #[test]
    fn what_rules_leave_over_is_seen_once_there_is_some() {
        let mut told = status(2000, vec![branch("v1", 1, 3, 0)]);
        let rest = |requests| RuleStatus {
            rule: None,
            from: None,
            branches: vec![branch("route", 1, requests, 0)],
        };
        told.routes[0].rules.push(rest(0));
        assert_eq!(History::default().take(told.clone()).rules.len(), 1);
        told.routes[0].rules[1] = rest(1);
        assert_eq!(History::default().take(told.clone()).rules.len(), 2);
        // A route without a split has nothing else to show.
        told.routes[0].rules = vec![rest(0)];
        assert_eq!(History::default().take(told).rules.len(), 1);
    }

    #[test]
    fn rates_of_the_edge_are_of_a_longer_time() {
        let mut history = History::default();
        let mut seconds = Vec::new();
        for second in 2..30 {
            let mut told = status(second * 1000, vec![branch("v1", 1, second, 0)]);
            told.scope = Scope::Edge;
            seconds.extend(history.take(told).seconds);
        }
        assert_eq!((seconds[0], seconds[8], seconds[26]), (1.0, 9.0, 16.0));
        assert!(history.answers.len() < 20);
    }
}
