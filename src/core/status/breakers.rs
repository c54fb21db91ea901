//! What breakers let through, and which of them let through something else than before.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::breaker::Phase;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// Whom a breaker guards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum Guarded {
    /// All that a route sends anywhere (`api-breaker`).
    Route {
        /// Its id.
        route: String,
    },
    /// A branch.
    Branch {
        /// The id of its route.
        route: String,
        /// Where its rule stands in its plugin.
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<usize>,
        /// Its name.
        branch: String,
    },
    /// A node.
    Node {
        /// A name that no other upstream has.
        upstream: String,
        /// Its authority.
        node: String,
    },
}

/// A breaker that lets through something else than before, as it is written into a log; the name of the
/// event is `breaker`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BreakerChange {
    /// Whom it guards.
    #[serde(flatten)]
    pub guarded: Guarded,
    /// What it let through.
    pub from: Phase,
    /// What it lets through.
    pub to: Phase,
}

/// What all breakers let through. A breaker that several routes share is told of for each of them.
pub fn breakers(snapshot: &Snapshot, now: Timestamp) -> BTreeMap<Guarded, Phase> {
    let mut phases = BTreeMap::new();
    for route in snapshot.routes() {
        let id = || route.id.to_string();
        if !route.breakers.is_empty() {
            let is_open = route.breakers.iter().any(|breaker| breaker.is_open(now));
            let phase = if is_open { Phase::Open } else { Phase::Closed };
            phases.insert(Guarded::Route { route: id() }, phase);
        }
        for rule in route.split.rules() {
            for branch in rule.branches.list() {
                if let Some(breaker) = &branch.breaker {
                    let (rule, branch) = (rule.number(), branch.name.to_string());
                    let guarded = Guarded::Branch { route: id(), rule, branch };
                    phases.insert(guarded, breaker.phase(now));
                }
            }
        }
    }
    for (name, upstream) in snapshot.upstreams() {
        for (node, vital) in upstream.nodes().zip(upstream.vitals()) {
            if let Some(breaker) = vital.breaker() {
                let (upstream, node) = (name.to_string(), node.authority().to_owned());
                phases.insert(Guarded::Node { upstream, node }, breaker.phase(now));
            }
        }
    }
    phases
}

/// Those of which something else holds than `before`; one that is new was closed.
pub fn breaker_changes(
    before: &BTreeMap<Guarded, Phase>,
    now: &BTreeMap<Guarded, Phase>,
) -> Vec<BreakerChange> {
    let change = |(guarded, to): (&Guarded, &Phase)| {
        let from = before.get(guarded).copied().unwrap_or(Phase::Closed);
        (from != *to).then(|| BreakerChange { guarded: guarded.clone(), from, to: *to })
    };
    now.iter().filter_map(change).collect()
}
