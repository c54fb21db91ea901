//! What happened between two answers of a server, whose counts only grow until it restarts.

use std::collections::BTreeMap;

use serde::Serialize;
use splitway_core::meter::Times;
use splitway_core::status::{BranchStatus, RouteStatus, RuleStatus, Status};

/// Which branch of which rule it is, as all answers name it.
pub(super) type BranchKey<'s> = (RuleKey<'s>, &'s str);

/// Which rule of which route it is.
pub(super) type RuleKey<'s> = (&'s str, Option<usize>, Option<&'s str>);

/// How it goes with a branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Rates {
    /// Requests in a second.
    #[serde(rename = "requests_per_s")]
    pub(super) requests: f64,
    /// Those of them that were answered with a 5xx.
    #[serde(rename = "errors_per_s")]
    pub(super) errors: f64,
    /// The share of the requests that they are; nothing of nothing.
    pub(super) error_share: Option<f64>,
    /// Half of the requests had the head of their response after so many milliseconds.
    pub(super) p50_ms: Option<f64>,
    /// 99 of 100 had.
    pub(super) p99_ms: Option<f64>,
}

/// What was counted before, as far as the same counts went on.
#[derive(Debug)]
pub(super) struct Passed<'s> {
    secs: f64,
    branches: BTreeMap<BranchKey<'s>, &'s BranchStatus>,
    problems: Option<&'s BTreeMap<String, u64>>,
}

impl<'s> Passed<'s> {
    /// The time between two answers; nothing where the later one is no later, or where it is told of
    /// counts that are not the same and began before the earlier one: those of another server.
    pub(super) fn between(before: &'s Status, after: &Status) -> Option<Self> {
        let millis = after.at_ms.checked_sub(before.at_ms).filter(|millis| *millis > 0)?;
        let secs = millis as f64 / 1000.0;
        if after.since_ms == before.since_ms {
            let branches = branches(before).collect();
            return Some(Self { secs, branches, problems: Some(&before.problems) });
        }
        // Counted since a restart, all of it happened in between.
        let is_fresh = after.since_ms >= before.at_ms;
        is_fresh.then(|| Self { secs, branches: BTreeMap::new(), problems: None })
    }

    /// How long it was, in seconds.
    pub(super) fn secs(&self) -> f64 {
        self.secs
    }

    /// How it went with a branch of the later answer.
    pub(super) fn rates(&self, key: &BranchKey<'_>, now: &BranchStatus) -> Rates {
        // A branch that was gone and is back counts from the beginning.
        let before = self.branches.get(key).filter(|before| before.requests <= now.requests);
        let since = |count: fn(&BranchStatus) -> u64| {
            let earlier = before.map_or(0, |before| count(before));
            count(now).saturating_sub(earlier) as f64 / self.secs
        };
        let earlier = before.map(|before| Times::of_buckets(&before.buckets)).unwrap_or_default();
        let times = Times::of_buckets(&now.buckets).since(&earlier);
        let (requests, errors) = (since(|it| it.requests), since(|it| it.errors));
        Rates {
            requests,
            errors,
            error_share: (requests > 0.0).then(|| errors / requests),
            p50_ms: times.quantile(0.5),
            p99_ms: times.quantile(0.99),
        }
    }

    /// How often in a second Splitway answered by itself, by the token of the reason.
    pub(super) fn problems(&self, after: &Status) -> BTreeMap<String, f64> {
        let rate = |(token, count): (&String, &u64)| {
            let earlier = self.problems.and_then(|before| before.get(token)).copied();
            let more = count.saturating_sub(earlier.unwrap_or_default());
            (more > 0).then(|| (token.clone(), more as f64 / self.secs))
        };
        after.problems.iter().filter_map(rate).collect()
    }
}

/// Which rule of a route it is.
pub(super) fn rule_key<'s>(route: &'s RouteStatus, rule: &'s RuleStatus) -> RuleKey<'s> {
    (&route.id, rule.rule, rule.from.as_deref())
}

/// All branches of an answer.
fn branches(status: &Status) -> impl Iterator<Item = (BranchKey<'_>, &BranchStatus)> {
    let rules = status
        .routes
        .iter()
        .flat_map(|route| route.rules.iter().map(move |rule| (rule_key(route, rule), rule)));
    rules.flat_map(|(key, rule)| {
        rule.branches.iter().map(move |branch| ((key, branch.name.as_str()), branch))
    })
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a panic is how tests fail")]
mod tests {
    use super::*;
    use crate::command::top::samples::{branch, status};

    /// The rates of the only branch.
    fn rates(before: &Status, after: &Status) -> Option<Rates> {
        let passed = Passed::between(before, after)?;
        let (key, now) = branches(after).next().expect("there is a branch");
        Some(passed.rates(&key, now))
    }

    #[test]
    fn rates_are_differences_over_the_time_of_the_server() {
        let mut before = status(10_000, vec![branch("v1", 1, 100, 3)]);
        let mut after = status(12_000, vec![branch("v1", 1, 160, 9)]);
        before.routes[0].rules[0].branches[0].buckets = vec![(Some(1), 90), (Some(700), 10)];
        after.routes[0].rules[0].branches[0].buckets = vec![(Some(1), 150), (Some(700), 10)];
        let told = rates(&before, &after).expect("time has passed");
        assert_eq!((told.requests, told.errors, told.error_share), (30.0, 3.0, Some(0.1)));
        // The slow ones were before.
        assert_eq!((told.p50_ms, told.p99_ms), (Some(0.5), Some(0.99)));
        let mut later = before.clone();
        later.at_ms = 11_000;
        assert_eq!(rates(&before, &later), Some(Rates::default()));
    }

    #[test]
    fn counters_that_restarted_give_no_negative_rates() {
        let before = status(10_000, vec![branch("v1", 1, 100, 3)]);
        let mut after = status(12_000, vec![branch("v1", 1, 8, 2)]);
        // Since when it is counted says that the server is another one.
        after.since_ms = 11_500;
        let told = rates(&before, &after).expect("all of it happened in between");
        assert_eq!((told.requests, told.errors), (4.0, 1.0));
        // The route was taken away and is back: only its counts are new.
        after.since_ms = before.since_ms;
        assert_eq!(rates(&before, &after).expect("time has passed").requests, 4.0);
        // One of several servers that answer in turn.
        after.since_ms = 5_000;
        assert_eq!(rates(&before, &after), None);
        // A clock that was put back.
        after.since_ms = before.since_ms;
        for at_ms in [10_000, 9_000] {
            after.at_ms = at_ms;
            assert_eq!(rates(&before, &after), None);
        }
    }

    #[test]
    fn a_server_that_has_not_counted_anything_yet_has_rates_of_zero() {
        let mut before = status(10_000, vec![branch("v1", 1, 0, 0)]);
        let mut after = status(11_000, vec![branch("v1", 1, 0, 0)]);
        // It says the same moment for both.
        (before.since_ms, after.since_ms) = (10_000, 11_000);
        assert_eq!(rates(&before, &after), Some(Rates::default()));
        after.routes[0].rules[0].branches[0].requests = 5;
        after.since_ms = 10_900;
        assert_eq!(rates(&before, &after).expect("time has passed").requests, 5.0);
    }

    #[test]
    fn only_problems_that_came_since_are_told() {
        let mut before = status(1_000, Vec::new());
        let mut after = status(3_000, Vec::new());
        before.problems = [("a".to_owned(), 5), ("b".to_owned(), 5)].into();
        after.problems = [("a".to_owned(), 9), ("b".to_owned(), 5), ("c".to_owned(), 1)].into();
        let passed = Passed::between(&before, &after).expect("time has passed");
        let expected = [("a".to_owned(), 2.0), ("c".to_owned(), 0.5)].into();
        assert_eq!((passed.secs(), passed.problems(&after)), (2.0, expected));
    }
}
