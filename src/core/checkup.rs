//! The nodes of a configuration as those see them who send probes, and those who want to know how they are.
//!
//! What is known of a node is known to the process that serves: another, or another isolate, knows its own.

use serde::{Deserialize, Serialize};

use crate::balance::{Tls, Upstream, Vital};
use crate::checks::{Checks, Counts, Health, Phase, Protocol};
use crate::node::{Node, Scheme};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

pub use crate::breaker::Phase as BreakerPhase;

/// An upstream whose nodes are checked.
#[derive(Clone, Debug)]
pub struct Checkup {
    /// A name that no other upstream of the configuration has: its id, or the first route and branch that
    /// send to it.
    pub upstream: Box<str>,
    /// What its nodes speak to clients; what probes speak is in `checks`.
    pub scheme: Scheme,
    /// How TLS is spoken with its nodes.
    pub tls: Tls,
    /// How its nodes are checked.
    pub checks: Checks,
    /// Its nodes.
    pub nodes: Vec<CheckedNode>,
}

/// A node that is checked.
#[derive(Clone, Debug)]
pub struct CheckedNode {
    /// Its name or address; an IPv6 address in brackets.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
    /// Both as `Host` writes them.
    pub authority: Box<str>,
    /// What is known of it: what is noted here decides where requests go.
    pub health: Health,
}

impl CheckedNode {
    fn new((node, vital): (&Node, &Vital)) -> Self {
        Self {
            host: node.host().into(),
            port: node.port(),
            authority: node.authority().into(),
            health: vital.health.clone(),
        }
    }
}

/// Every upstream whose nodes are checked, once.
pub fn checkups(snapshot: &Snapshot) -> Vec<Checkup> {
    let checked = snapshot.upstreams().filter_map(|(name, upstream)| {
        let checks = upstream.care.checks.clone()?;
        let nodes = upstream.nodes().zip(upstream.vitals()).map(CheckedNode::new).collect();
        let (scheme, tls) = (upstream.scheme, upstream.tls.clone());
        Some(Checkup { upstream: (&*name).into(), scheme, tls, checks, nodes })
    });
    checked.collect()
}

/// How the nodes of an upstream are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamHealth {
    /// A name that no other upstream of the configuration has: its id, or the first route and branch that
    /// send to it.
    pub name: String,
    /// What probes speak, if its nodes are checked.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Its nodes.
    pub nodes: Vec<NodeHealth>,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHealth {
    /// Its name or address; an IPv6 address in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What checks have found, where there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Phase>,
    /// What counts towards another status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<Counts>,
    /// How many requests it has that did not end.
    pub in_flight: u32,
    /// What its breaker lets through, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerPhase>,
}

/// How the nodes of every upstream are, each upstream once.
pub fn health(snapshot: &Snapshot, now: Timestamp) -> Vec<UpstreamHealth> {
    let told = |name: &str, upstream: &Upstream| {
        let checks = upstream.care.checks.as_ref();
        let nodes = upstream.nodes().zip(upstream.vitals());
        UpstreamHealth {
            name: name.to_owned(),
            protocol: checks.map(|checks| checks.active.protocol),
            nodes: nodes.map(|(node, it)| node_health(node, it, checks.is_some(), now)).collect(),
        }
    };
    snapshot.upstreams().map(|(name, upstream)| told(&name, upstream)).collect()
}

fn node_health(node: &Node, vital: &Vital, is_checked: bool, now: Timestamp) -> NodeHealth {
    let health = Some(&vital.health).filter(|_| is_checked);
    NodeHealth {
        host: node.host().to_owned(),
        port: node.port(),
        status: health.map(Health::phase),
        counter: health.map(Health::counts),
        in_flight: vital.in_flight(),
        breaker: vital.breaker().map(|breaker| breaker.phase(now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Probe;
    use crate::fault::Report;
    use crate::snapshot::compile_json;
    use serde_json::{Value, json};

    fn compiled(document: &Value) -> Snapshot {
        let mut report = Report::default();
        let snapshot = compile_json(&document.to_string(), 0, &mut report);
        snapshot.unwrap_or_else(|| panic!("{:?}", report.faults))
    }

    /// Upstream `u`, checked, with these nodes; and one of a route, which is not.
    fn document(nodes: &Value, failures: u8) -> Snapshot {
        let checks = json!({"active": {"unhealthy": {"tcp_failures": failures}}});
        compiled(&json!({
            "upstreams": [{"id": "u", "nodes": nodes, "checks": checks}],
            "routes": [
                {"id": "a", "uri": "/a", "upstream_id": "u"},
                {"id": "b", "uri": "/b", "upstream": {
                    "scheme": "https", "nodes": {"[::1]:443": 1}, "breaker": {"failures": 1},
                }},
            ],
        }))
    }

    #[test]
    fn checked_upstreams_are_listed_once_and_share_what_is_known() {
        let snapshot = document(&json!({"a.example:80": 1, "b.example:8080": 1}), 1);
        let checkups = checkups(&snapshot);
        let [checkup] = checkups.as_slice() else { panic!("{checkups:?}") };
        assert_eq!((&*checkup.upstream, checkup.scheme), ("u", Scheme::Http));
        let [a, b] = checkup.nodes.as_slice() else { panic!("two nodes") };
        assert_eq!((&*a.host, a.port, &*a.authority), ("a.example", 80, "a.example"));
        assert_eq!((&*b.host, b.port, &*b.authority), ("b.example", 8080, "b.example:8080"));
        assert!(a.health.mark() != b.health.mark());
        assert!(a.health.note_active(&checkup.checks.active, Probe::TcpFailure).is_some());
        let status = |node: usize| {
            health(&snapshot, Timestamp::default())[0].nodes[node].status.map(Phase::as_str)
        };
        assert_eq!((status(0), status(1)), (Some("unhealthy"), Some("healthy")));
    }

    #[test]
    fn upstreams_of_branches_are_checked_too() {
        let branch = |host: &str| {
            let checks = json!({"active": {"healthy": {}}});
            json!({"weight": 1, "upstream": {"nodes": {host: 1}, "checks": checks}})
        };
        let snapshot = compiled(&json!({"routes": [{
            "id": "r", "uri": "/*", "upstream": {"nodes": {"own:80": 1}},
            "plugins": {"traffic-split": {"rules": [
                {"weighted_upstreams": [branch("a:80"), branch("b:80")]},
            ]}},
        }]}));
        let nodes = |checkup: &Checkup| checkup.nodes[0].host.clone();
        let hosts: Vec<_> = checkups(&snapshot).iter().map(nodes).collect();
        assert_eq!(hosts, ["a".into(), "b".into()]);
    }

    #[test]
    fn what_is_known_of_a_node_goes_over_to_the_next_configuration() {
        let first = document(&json!({"a.example:80": 1, "b.example:80": 1}), 1);
        let before = &checkups(&first)[0];
        before.nodes[1].health.note_active(&before.checks.active, Probe::TcpFailure);
        let next = document(&json!({"b.example:80": 5, "c.example:80": 1}), 3).following(&first);
        let after = &checkups(&next)[0];
        assert_eq!(after.checks.active.limits.tcp_failures, 3);
        assert_eq!(after.nodes[0].health.mark(), before.nodes[1].health.mark());
        assert!(!after.nodes[0].health.is_up() && after.nodes[1].health.is_up());
    }

    #[test]
    fn health_is_told_in_the_words_of_apisix() {
        let snapshot = document(&json!({"a.example:80": 1}), 2);
        let checkup = &checkups(&snapshot)[0];
        checkup.nodes[0].health.note_active(&checkup.checks.active, Probe::TcpFailure);
        let told = health(&snapshot, Timestamp::default());
        let told = serde_json::to_value(&told).unwrap_or_default();
        let counter =
            json!({"success": 0, "http_failure": 0, "tcp_failure": 1, "timeout_failure": 0});
        let expected = json!([
            {"name": "u", "type": "http", "nodes": [{
                "host": "a.example", "port": 80, "status": "mostly_healthy", "counter": counter,
                "in_flight": 0,
            }]},
            {"name": "b/route", "nodes": [{
                "host": "[::1]", "port": 443, "in_flight": 0, "breaker": "closed",
            }]},
        ]);
        assert_eq!(told, expected);
    }
}
