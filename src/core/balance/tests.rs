//! What upstreams say and where their requests go.

mod documents;
mod picks;
mod vectors;

use serde_json::Value;
use std::sync::Arc;

use super::*;
use crate::facts::Body;
use crate::facts::fake::Asked;
use crate::fault::Fault;
use crate::time::Timestamp;
use crate::wire;

/// The upstream of an object, and what is said of it.
fn compile(object: &Value) -> (Option<Upstream>, Report) {
    let mut report = Report::default();
    let compile = |wire: UpstreamWire, report: &mut Report| {
        Spec::compile(&wire, At::Root, report).map(|spec| Upstream::from(Arc::new(spec)))
    };
    let upstream = wire::read(object, At::Root, &mut report, compile);
    (upstream, report)
}

fn sound(object: &Value) -> Arc<Upstream> {
    let (upstream, report) = compile(object);
    Arc::new(upstream.unwrap_or_else(|| panic!("{object}: {:?}", report.faults)))
}

fn balancer(object: &Value) -> Balancer {
    Balancer::new(sound(object), 0).expect("the nodes have weight")
}

fn told(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(Fault::to_string).collect()
}

/// The node for a request, by its position.
fn pick(balancer: &Balancer, tried: &Tried) -> Option<usize> {
    pick_for(balancer, &Asked::default(), tried, 0, &|| 0)
}

fn pick_for(
    balancer: &Balancer,
    asked: &Asked,
    tried: &Tried,
    now: u64,
    chance: &dyn Fn() -> u64,
) -> Option<usize> {
    let now = Timestamp::from_millis(now);
    asked.with(Body::Unread, |facts| {
        let ask = Ask { facts: &facts, now, chance, tried, is_trial: false };
        let trial = Ask { is_trial: true, ..ask };
        let peeked = balancer.pick(&trial);
        let picked = balancer.pick(&ask);
        assert_eq!(peeked, picked, "who only looks sees what comes next");
        picked
    })
}

fn tried(indices: &[usize]) -> Tried {
    let mut tried = Tried::default();
    indices.iter().for_each(|index| tried.add(*index));
    tried
}
