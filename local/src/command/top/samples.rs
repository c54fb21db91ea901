//! Answers as tests need them.

use std::collections::BTreeMap;

use splitway_core::status::{
    BranchStatus, BreakerStatus, RouteStatus, RuleStatus, Scope, Status, wilson,
};

/// A branch with so many requests, all of them picked for it, of which some were errors.
pub(super) fn branch(name: &str, weight: u32, requests: u64, errors: u64) -> BranchStatus {
    BranchStatus {
        name: name.to_owned(),
        weight,
        target: 0.0,
        picked: requests,
        share: None,
        interval: (0.0, 1.0),
        requests,
        errors,
        statuses: BTreeMap::new(),
        reasons: BTreeMap::new(),
        retries: 0,
        p50_ms: None,
        p99_ms: None,
        buckets: vec![(Some(2), requests)],
        breaker: BreakerStatus::Closed,
    }
}

/// The answer of a server that counts since the first second, with one route of one rule.
pub(super) fn status(at_ms: u64, branches: Vec<BranchStatus>) -> Status {
    Status {
        revision: "7".to_owned(),
        at_ms,
        since_ms: 1000,
        scope: Scope::Process,
        routes: vec![route("chat", branches)],
        problems: BTreeMap::new(),
    }
}

/// A route of one rule. Shares and targets are those that the counts and weights make.
pub(super) fn route(id: &str, mut branches: Vec<BranchStatus>) -> RouteStatus {
    let picked: u64 = branches.iter().map(|it| it.picked).sum();
    let weights: u32 = branches.iter().map(|it| it.weight).sum();
    for branch in &mut branches {
        branch.target = f64::from(branch.weight) / f64::from(weights.max(1));
        branch.share = (picked > 0).then(|| branch.picked as f64 / picked as f64);
        branch.interval = wilson(branch.picked, picked);
    }
    RouteStatus {
        id: id.to_owned(),
        name: None,
        uris: vec![format!("/{id}")],
        rules: vec![RuleStatus { rule: Some(0), from: None, branches }],
    }
}
