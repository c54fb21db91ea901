//! What there is to see: the rules of all routes with how their branches fare, in an order and by a
//! filter of the viewer's choice.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;
use splitway_core::status::{BreakerStatus, Scope};

use super::rates::Rates;

/// How all branches fare; what `--json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct View {
    /// Which configuration serves.
    pub(super) revision: String,
    /// Whose counts they are.
    pub(super) scope: Scope,
    /// When the server told it.
    pub(super) at_ms: u64,
    /// Since when it counts.
    pub(super) since_ms: u64,
    /// The time that all rates are of; nothing before there is one.
    pub(super) seconds: Option<f64>,
    pub(super) rules: Vec<Group>,
    /// How often in a second Splitway answered by itself, by the token of the reason.
    pub(super) problems_per_s: BTreeMap<String, f64>,
}

/// A rule of a route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Group {
    pub(super) route: String,
    pub(super) name: Option<String>,
    pub(super) uris: Vec<String>,
    /// Where it stands in its plugin; nothing for the route's own upstream.
    pub(super) rule: Option<usize>,
    /// Where the plugin is from, if that is not the route.
    pub(super) from: Option<String>,
    /// Since when shares are counted, if that is later than `since_ms`: its weights changed then.
    pub(super) shares_since_ms: Option<u64>,
    pub(super) branches: Vec<Line>,
}

/// A branch of a rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) weight: u32,
    /// The share that its weight stands for.
    pub(super) target: f64,
    /// How many requests were picked for it by weight.
    pub(super) picked: u64,
    /// The share of those of the rule that they are; nothing of nothing.
    pub(super) share: Option<f64>,
    /// Where the share lies with 95 % confidence.
    pub(super) interval: (f64, f64),
    /// All requests since the server counts.
    pub(super) requests: u64,
    /// Those of them that were answered with a 5xx.
    pub(super) errors: u64,
    pub(super) breaker: BreakerStatus,
    /// What happened in the last interval; nothing before there is one.
    pub(super) rates: Option<Rates>,
}

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sort {
    /// The most requests a second.
    #[default]
    Requests,
    /// The most errors a second.
    Errors,
    /// The longest p99.
    P99,
    /// Routes by their ids.
    Name,
}

impl Sort {
    /// The one after it, in a circle.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Requests => Self::Errors,
            Self::Errors => Self::P99,
            Self::P99 => Self::Name,
            Self::Name => Self::Requests,
        }
    }

    /// As the command line writes it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Errors => "errors",
            Self::P99 => "p99",
            Self::Name => "name",
        }
    }
}

impl View {
    /// Requests and errors in a second, of all branches; nothing before there is an interval.
    pub(super) fn totals(&self) -> Option<(f64, f64)> {
        self.seconds?;
        let sum = |rate: fn(&Rates) -> f64| self.rules.iter().map(|rule| rule.sum(rate)).sum();
        Some((sum(|it| it.requests), sum(|it| it.errors)))
    }

    /// What a filter leaves, in order. Branches keep that of the document, so that nobody has to look for
    /// them.
    pub(super) fn chosen(&self, sort: Sort, filter: &str) -> Vec<Group> {
        let filter = filter.to_lowercase();
        let mut chosen: Vec<Group> =
            self.rules.iter().filter_map(|rule| rule.filtered(&filter)).collect();
        chosen.sort_by(|one, other| one.against(other, sort));
        chosen
    }
}

impl Group {
    /// Where two of them stand by their own figures: rates, else counts.
    fn against(&self, other: &Self, sort: Sort) -> Ordering {
        let most = |figure: fn(&Self) -> f64| figure(other).total_cmp(&figure(self));
        let by_id = || self.route.cmp(&other.route).then(self.rule.cmp(&other.rule));
        match sort {
            Sort::Requests => most(|it| it.sum(|it| it.requests))
                .then(other.count(|it| it.requests).cmp(&self.count(|it| it.requests))),
            Sort::Errors => most(|it| it.sum(|it| it.errors))
                .then(other.count(|it| it.errors).cmp(&self.count(|it| it.errors))),
            Sort::P99 => most(Self::p99_ms),
            Sort::Name => by_id(),
        }
    }

    fn sum(&self, rate: fn(&Rates) -> f64) -> f64 {
        self.branches.iter().filter_map(|it| it.rates.as_ref()).map(rate).sum()
    }

    fn count(&self, count: fn(&Line) -> u64) -> u64 {
        self.branches.iter().map(count).fold(0, u64::saturating_add)
    }

    fn p99_ms(&self) -> f64 {
        let known = self.branches.iter().filter_map(|it| it.rates?.p99_ms);
        known.fold(0.0, f64::max)
    }

    /// All of it if the filter is in what says which route it is, else the branches that have it in their
    /// names.
    fn filtered(&self, filter: &str) -> Option<Self> {
        let has = |text: &String| text.to_lowercase().contains(filter);
        if has(&self.route) || self.name.as_ref().is_some_and(has) || self.uris.iter().any(has) {
            return Some(self.clone());
        }
        let branches: Vec<Line> =
            self.branches.iter().filter(|line| has(&line.name)).cloned().collect();
        (!branches.is_empty()).then(|| Self { branches, ..self.clone() })
    }
}

impl Line {
    /// Whether its target is not where its share lies with 95 % confidence.
    pub(super) fn is_off(&self) -> bool {
        !(self.interval.0..=self.interval.1).contains(&self.target)
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a panic is how tests fail")]
mod tests {
    use super::*;
    use crate::command::top::history::History;
    use crate::command::top::samples::{branch, route, status};

    /// Three routes whose figures are each the greatest in one way.
    fn view() -> View {
        let at = |at_ms, counts: [(u64, u64); 3]| {
            let mut told = status(at_ms, Vec::new());
            let routes = ["b", "a", "c"].into_iter().zip(counts);
            let route = |(id, (requests, errors))| {
                route(id, vec![branch(&format!("{id}-v1"), 1, requests, errors)])
            };
            told.routes = routes.map(route).collect();
            told
        };
        let mut history = History::default();
        history.take(at(2000, [(1000, 10), (10, 0), (10, 0)]));
        let mut later = at(3000, [(1010, 10), (30, 0), (15, 5)]);
        later.routes[2].rules[0].branches[0].buckets = vec![(Some(2), 10), (Some(700), 5)];
        history.take(later)
    }

    fn ids(groups: &[Group]) -> Vec<&str> {
        groups.iter().map(|it| it.route.as_str()).collect()
    }

    #[test]
    fn routes_are_sorted_by_the_last_interval() {
        for (sort, expected) in [
            (Sort::Requests, ["a", "b", "c"]),
            (Sort::Errors, ["c", "b", "a"]),
            (Sort::P99, ["c", "b", "a"]),
            (Sort::Name, ["a", "b", "c"]),
        ] {
            assert_eq!(ids(&view().chosen(sort, "")), expected, "{sort:?}");
            assert_eq!(sort.next().next().next().next(), sort);
        }
    }

    #[test]
    fn a_filter_is_for_routes_and_for_branches() {
        for (filter, expected) in [
            ("", &["a", "b", "c"][..]),
            ("/C", &["c"]),
            ("B-V", &["b"]),
            ("v1", &["a", "b", "c"]),
            ("v2", &[]),
        ] {
            assert_eq!(ids(&view().chosen(Sort::Name, filter)), expected, "{filter}");
        }
        let mut view = view();
        let line = view.rules[0].branches[0].clone();
        view.rules[0].branches.push(Line { name: "v2".to_owned(), ..line });
        let names = |filter| -> Vec<String> {
            view.chosen(Sort::Name, filter)[0].branches.iter().map(|it| it.name.clone()).collect()
        };
        assert_eq!(
            (names("v2"), names("/b")),
            (vec!["v2".to_owned()], vec!["b-v1".to_owned(), "v2".to_owned()])
        );
    }
}
