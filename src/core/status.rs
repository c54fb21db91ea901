//! How branches fare, as `GET /splitway/v1/status` tells it: shares against targets, statuses, times.
//!
//! What was counted ([`Totals`]) is told by names, so that the counts of several processes or isolates can
//! be added up, and is joined with the configuration ([`status`]) by whoever tells it. Counts only grow;
//! who wants to know what happens now takes the difference of two.

mod breakers;
mod census;
mod interval;
mod totals;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::breakers::{BreakerChange, Guarded, breaker_changes, breakers};
pub use self::census::{Census, FlowRow, LaneRow, OTHER_BRANCH, budgets, census, guard_name};
pub use self::interval::wilson;
pub use self::totals::{Place, Totals};
use crate::breaker::Phase;
use crate::meter::{LaneCounts, Reason};
use crate::snapshot::{Route, Snapshot};
use crate::split::{Branch, Placed};
use crate::time::Timestamp;

/// Whose counts they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Those of the one process that was asked.
    Process,
    /// Those of all isolates that have told theirs.
    Edge,
}

/// How all branches fare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Which configuration serves.
    pub revision: String,
    /// When this was told.
    pub at_ms: u64,
    /// Since when it is counted; the same moment where nothing was.
    pub since_ms: u64,
    /// Whose counts they are.
    pub scope: Scope,
    /// All enabled routes, in the order of the document.
    pub routes: Vec<RouteStatus>,
    /// How often Splitway answered by itself, by the token of the reason.
    pub problems: BTreeMap<String, u64>,
}

/// How the branches of a route fare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// Its id.
    pub id: String,
    /// Its name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The paths that it takes.
    pub uris: Vec<String>,
    /// Its rules, in the order in which they are asked.
    pub rules: Vec<RuleStatus>,
}

/// How the branches of a rule fare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleStatus {
    /// Where it stands in its plugin; nothing for the route's own upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// Where the plugin is from, if that is not the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its branches.
    pub branches: Vec<BranchStatus>,
}

/// How a branch fares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchStatus {
    /// Its name.
    pub name: String,
    /// Its weight.
    pub weight: u32,
    /// The share of the rule's requests that its weight stands for.
    pub target: f64,
    /// How many requests were picked for it by weight: in turn, or by a key.
    pub picked: u64,
    /// The share of those of the rule that they are; nothing of nothing.
    pub share: Option<f64>,
    /// Where the share lies with 95 % confidence, if each request was one by chance (Wilson).
    pub interval: (f64, f64),
    /// How many requests it answered, or none did in its place.
    pub requests: u64,
    /// Those of them that were answered with a 5xx.
    pub errors: u64,
    /// The requests by status; 0 stands for those beyond the kinds that are told apart.
    pub statuses: BTreeMap<u16, u64>,
    /// Why it got requests.
    pub reasons: BTreeMap<Reason, u64>,
    /// Attempts after the first at one branch.
    #[serde(default)]
    pub retries: u64,
    /// Half of the requests had the head of their response after so long.
    pub p50_ms: Option<f64>,
    /// 99 of 100 had.
    pub p99_ms: Option<f64>,
    /// How many requests had it after how long: longer than the bound before, at most their own in
    /// milliseconds, which the last has none of. Those without requests are left out.
    pub buckets: Vec<(Option<u32>, u64)>,
    /// What its breaker lets through. Isolates each have their own, of which nobody tells: where the counts
    /// are those of all of them, there is none.
    pub breaker: BreakerStatus,
}

/// What the breaker of a branch lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerStatus {
    /// It has none.
    None,
    /// Everything.
    Closed,
    /// Nothing.
    Open,
    /// A few probes.
    HalfOpen,
}

impl BreakerStatus {
    /// As documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

impl From<Option<Phase>> for BreakerStatus {
    fn from(phase: Option<Phase>) -> Self {
        match phase {
            None => Self::None,
            Some(Phase::Closed) => Self::Closed,
            Some(Phase::Open) => Self::Open,
            Some(Phase::HalfOpen) => Self::HalfOpen,
        }
    }
}

/// So many branches are told of although nothing was counted of them. One plugin of ten thousand rules may
/// stand in each of ten thousand routes.
const SILENT_MAX: usize = 20_000;

/// How all branches of a configuration fare by what was counted.
pub fn status(snapshot: &Snapshot, totals: &Totals, scope: Scope, now: Timestamp) -> Status {
    let phase = |branch: &Branch| match scope {
        Scope::Process => branch.breaker.as_ref().map(|breaker| breaker.phase(now)).into(),
        Scope::Edge => BreakerStatus::None,
    };
    let mut silent_left = SILENT_MAX;
    let both = snapshot.routes().iter().zip(snapshot.conditions());
    let routes = both.map(|(route, conditions)| RouteStatus {
        id: route.id.to_string(),
        name: route.name().map(str::to_owned),
        uris: conditions.uris.to_vec(),
        rules: rules(route, totals, phase, &mut silent_left),
    });
    Status {
        revision: snapshot.revision().to_string(),
        at_ms: now.as_millis(),
        since_ms: totals.since_ms.unwrap_or(now.as_millis()),
        scope,
        routes: routes.collect(),
        problems: totals.problems.clone(),
    }
}

fn rules(
    route: &Route,
    totals: &Totals,
    phase: impl Fn(&Branch) -> BreakerStatus,
    silent_left: &mut usize,
) -> Vec<RuleStatus> {
    let is_known = totals.knows(&route.id);
    if !is_known && *silent_left == 0 {
        return Vec::new();
    }
    let mut rules = Vec::new();
    let mut placed = route.split.placed().map(|(_, placed)| placed).peekable();
    while let Some(first) = placed.next() {
        let mut branches = vec![first];
        let is_next = |next: &Placed<'_>| std::ptr::eq(next.rule, first.rule);
        branches.extend(std::iter::from_fn(|| placed.next_if(is_next)));
        let counts = |placed: &Placed<'_>| is_known.then(|| totals.of(route, placed)).flatten();
        let counted: Vec<Option<&LaneCounts>> = branches.iter().map(counts).collect();
        if counted.iter().all(Option::is_none) {
            if branches.len() > *silent_left {
                continue;
            }
            *silent_left -= branches.len();
        }
        rules.push(RuleStatus {
            rule: first.rule.number(),
            from: first.holder().map(str::to_owned),
            branches: told(&branches, &counted, &phase),
        });
    }
    rules
}

fn told(
    branches: &[Placed<'_>],
    counted: &[Option<&LaneCounts>],
    phase: impl Fn(&Branch) -> BreakerStatus,
) -> Vec<BranchStatus> {
    let weights: u64 = branches.iter().map(|placed| u64::from(placed.branch.weight.0)).sum();
    let picked: u64 = counted.iter().flatten().map(|counts| counts.picked()).sum();
    let none = LaneCounts::default();
    let both = branches.iter().zip(counted);
    both.map(|(placed, counts)| {
        let (branch, counts) = (placed.branch, counts.unwrap_or(&none));
        let own = counts.picked();
        let buckets = counts.until_head.buckets().filter(|(_, count)| *count > 0);
        BranchStatus {
            name: branch.name.to_string(),
            weight: branch.weight.0,
            target: f64::from(branch.weight.0) / weights.max(1) as f64,
            picked: own,
            share: (picked > 0).then(|| own as f64 / picked as f64),
            interval: wilson(own, picked),
            requests: counts.requests(),
            errors: counts.errors(),
            statuses: counts.statuses.clone(),
            reasons: counts.picks.clone(),
            retries: counts.retries,
            p50_ms: counts.until_head.quantile(0.5),
            p99_ms: counts.until_head.quantile(0.99),
            buckets: buckets.collect(),
            breaker: phase(branch),
        }
    })
    .collect()
}
