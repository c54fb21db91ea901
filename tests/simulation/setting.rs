//! The documents of one seed, and what they allow.

use serde_json::{Value, json};
use splitway_tests::chance::Chance;

/// One branch: its weight, and how many nodes and retries its upstream has.
#[derive(Clone, Debug)]
pub(crate) struct BranchSetting {
    pub(crate) weight: u32,
    pub(crate) nodes_count: usize,
    /// The node without a weight, if there is one beside others.
    idle: Option<usize>,
    pub(crate) retries: u32,
    kind: &'static str,
    has_breaker: bool,
    /// Whether an answer of 5xx is reason to ask another node.
    retries_statuses: bool,
}

impl BranchSetting {
    /// The nodes that have a weight.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes_count).filter(|node| self.idle != Some(*node))
    }

    /// Those of them that serve before the others.
    pub(crate) fn first_tier(&self) -> Vec<usize> {
        let highest = self.candidates().map(priority).max();
        self.candidates().filter(|node| Some(priority(*node)) == highest).collect()
    }
}

/// The priority of a node.
fn priority(node: usize) -> usize {
    node % 2
}

/// Where copies go, and how many.
#[derive(Clone, Debug)]
pub(crate) struct MirrorSetting {
    /// The branch by number, or an upstream of its own.
    to: Option<usize>,
    percent: u32,
    pub(crate) in_flight: usize,
}

/// What a rule says of failures.
#[derive(Clone, Debug)]
pub(crate) struct FailureSetting {
    /// The branch by number, or all others.
    pub(crate) to: Option<usize>,
    pub(crate) attempts: u32,
}

/// One document.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) branches: Vec<BranchSetting>,
    pub(crate) on_failure: Option<FailureSetting>,
    pub(crate) mirror: Option<MirrorSetting>,
    has_breaker: bool,
    pub(crate) is_sticky: bool,
}

/// The node that copies go to where they go to no branch.
pub(crate) const MIRROR: &str = "mirror.test";

/// How many retries every upstream has beside a share of its requests.
pub(crate) const BURST: u64 = 4;

/// How many retries every upstream has for 100 requests.
pub(crate) const PERCENT: u64 = 25;

/// The most bytes of a body that are kept.
pub(crate) const REPLAY_MAX: usize = 100;

impl Setting {
    /// Any document.
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        let branches = (0..2 + chance.below(3)).map(|_| {
            let nodes_count = 1 + chance.below(3);
            BranchSetting {
                weight: chance.one_of(&[0, 1, 5, 50, 95]),
                nodes_count,
                idle: (nodes_count > 1 && chance.one_in(3)).then(|| chance.below(nodes_count)),
                retries: chance.one_of(&[0, 1, 2, 5]),
                kind: chance.one_of(&["roundrobin", "least_conn", "ewma", "chash"]),
                has_breaker: chance.one_in(2),
                retries_statuses: chance.one_in(2),
            }
        });
        let mut branches: Vec<BranchSetting> = branches.collect();
        branches[0].weight = branches[0].weight.max(1);
        let to = chance.one_in(2).then(|| chance.below(branches.len()));
        let attempts = u32::try_from(1 + chance.below(3)).unwrap();
        let on_failure = (!chance.one_in(4)).then_some(FailureSetting { to, attempts });
        let mirror = chance.one_in(2).then(|| MirrorSetting {
            to: chance.one_in(2).then(|| chance.below(branches.len())),
            percent: chance.one_of(&[10, 50, 100]),
            in_flight: 1 + chance.below(3),
        });
        let (has_breaker, is_sticky) = (chance.one_in(2), chance.one_in(3));
        Self { branches, on_failure, mirror, has_breaker, is_sticky }
    }

    /// The same with other weights.
    pub(crate) fn reweighed(&self, chance: &mut Chance) -> Self {
        let mut changed = self.clone();
        for branch in changed.branches.iter_mut().skip(1) {
            branch.weight = chance.one_of(&[0, 1, 5, 50, 95]);
        }
        changed
    }

    /// The most attempts that a request may be made.
    pub(crate) fn attempts_max(&self) -> u32 {
        let retries_max = self.branches.iter().map(|branch| branch.retries).max().unwrap();
        (1 + retries_max) * (1 + self.on_failure.as_ref().map_or(0, |it| it.attempts))
    }

    /// The name of a node.
    pub(crate) fn node(branch: usize, node: usize) -> String {
        format!("n{node}.b{branch}.test")
    }

    /// As a document.
    pub(crate) fn document(&self) -> String {
        let branches = self.branches.iter().enumerate();
        let branches: Vec<Value> = branches.map(|(number, it)| branch(number, it)).collect();
        let mut rule = json!({"weighted_upstreams": branches});
        if let Some(FailureSetting { to, attempts }) = &self.on_failure {
            let to = to.map_or("others".to_owned(), |to| format!("v{to}"));
            rule["on_failure"] = json!({"to": to, "attempts": attempts});
        }
        if let Some(MirrorSetting { to, percent, in_flight }) = &self.mirror {
            rule["mirror"] = json!({"percent": percent, "in_flight": in_flight});
            let (name, value) = match to {
                Some(to) => ("branch", json!(format!("v{to}"))),
                None => ("upstream", json!({"nodes": {MIRROR: 1}, "timeout": timeout()})),
            };
            rule["mirror"][name] = value;
        }
        if self.has_breaker {
            rule["breaker"] = json!({"failures": 5, "open": 1, "open_max": 4, "slow_start": 1});
        }
        if self.is_sticky {
            rule["sticky"] = json!({"by": ["header:x-user"]});
        }
        let plugins = json!({"traffic-split": {"rules": [rule]}});
        let route = json!({"id": "r", "uri": "/*", "plugins": plugins});
        json!({"settings": {"replay_max": REPLAY_MAX}, "routes": [route]}).to_string()
    }
}

fn timeout() -> Value {
    json!({"connect": 0.1, "send": 0.1, "read": 0.3})
}

fn branch(number: usize, setting: &BranchSetting) -> Value {
    let BranchSetting { weight, nodes_count, idle, retries, kind, has_breaker, retries_statuses } =
        setting;
    let node = |node: usize| {
        let weight = if *idle == Some(node) { 0 } else { 1 + node };
        json!({"host": Setting::node(number, node), "weight": weight, "priority": priority(node)})
    };
    let nodes: Vec<Value> = (0..*nodes_count).map(node).collect();
    let mut upstream = json!({
        "type": kind, "nodes": nodes, "retries": retries, "pass_host": "node",
        "timeout": timeout(),
        "retry": {"budget": {"percent": PERCENT, "burst": BURST}, "backoff": {"base": 0.01, "max": 0.1}},
    });
    if *retries_statuses {
        upstream["retry"]["when"] = json!(["connect", "timeout", "reset", "5xx"]);
    }
    if *kind == "chash" {
        upstream["hash_on"] = json!("header");
        upstream["key"] = json!("x-user");
    }
    if *has_breaker {
        upstream["breaker"] = json!({"failures": 3, "open": 0.5, "open_max": 2});
    }
    let rewrite = json!({"uri": format!("/v{number}")});
    json!({"name": format!("v{number}"), "weight": weight, "upstream": upstream, "rewrite": rewrite})
}
