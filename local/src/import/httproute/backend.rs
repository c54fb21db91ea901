//! The backends of a rule: Services, as nodes by their names in the cluster.

use serde_json::{Map, Value, json};
use splitway_core::fault::At;

use super::Owner;
use super::filter::{self, Edits};
use super::matching::PathMatch;
use super::read::{Findings, list, member, members, required};

/// The most that the specification lets a backend weigh.
const WEIGHT_MAX: u64 = 1_000_000;

/// One backend of a rule.
#[derive(Debug)]
pub(super) struct Backend {
    name: String,
    /// `host:port`
    node: String,
    weight: u64,
    edits: Edits,
    /// What its upstream says about further attempts.
    pub(super) retry: Map<String, Value>,
}

/// Reads the backends of a rule, whose own filters come before theirs.
pub(super) fn read(
    backends: &[Value],
    rule: &Edits,
    owner: &Owner<'_>,
    at: At<'_>,
    findings: &mut Findings,
) -> Vec<Backend> {
    if backends.is_empty() && findings.obstacles.is_empty() {
        findings.obstacle(
            at,
            "there is no backend, and no way to answer 500 as the specification wants",
        );
    }
    let backends = backends.iter().enumerate();
    let read = backends
        .filter_map(|(index, value)| backend(value, rule, owner, at.index(index), findings));
    let read: Vec<Backend> = read.collect();
    if !read.is_empty() && read.iter().all(|backend| backend.weight == 0) {
        findings.obstacle(
            at,
            "all weights are 0, and there is no way to answer 500 as the specification wants",
        );
    }
    with_names(read)
}

fn backend(
    value: &Value,
    rule: &Edits,
    owner: &Owner<'_>,
    at: At<'_>,
    findings: &mut Findings,
) -> Option<Backend> {
    let known = ["group", "kind", "name", "namespace", "port", "weight", "filters"];
    let map = members(value, &known, at, findings)?;
    let group = member(map, "group", at, findings).unwrap_or_default();
    let kind = member(map, "kind", at, findings).unwrap_or("Service");
    if !group.is_empty() || kind != "Service" {
        findings.obstacle(at, format!("{kind} is no Service, and there is no way to answer 500 for its share as the specification wants"));
        return None;
    }
    let name = required(map, "name", at, findings)?;
    let namespace = member(map, "namespace", at, findings);
    if namespace.is_some_and(|namespace| namespace != owner.namespace) {
        findings.note(
            at.key("namespace"),
            "taken over; whether a ReferenceGrant allows it is not looked at",
        );
    }
    let Some(port) = number(map, "port", at, findings) else {
        findings.obstacle(at, "a Service needs a `port`");
        return None;
    };
    let weight = number(map, "weight", at, findings).unwrap_or(1);
    if weight > WEIGHT_MAX {
        findings.obstacle(at.key("weight"), format!("expected at most {WEIGHT_MAX}"));
    }
    if port == 443 {
        findings.note(
            at.key("port"),
            "spoken to by http; a BackendTLSPolicy or `appProtocol` is not looked at",
        );
    }
    let filters = list(map, "filters", at, findings);
    let edits = filter::read(filters, at.key("filters"), findings).after(rule);
    let namespace = namespace.unwrap_or(owner.namespace);
    let node = format!("{name}.{namespace}.{}:{port}", owner.service_domain);
    Some(Backend { name: name.to_owned(), node, weight, edits, retry: Map::new() })
}

fn number(map: &Map<String, Value>, key: &str, at: At<'_>, findings: &mut Findings) -> Option<u64> {
    let value = map.get(key).filter(|value| !value.is_null())?;
    let number = value.as_u64();
    if number.is_none() {
        findings.obstacle(at.key(key), "expected an integer from 0");
    }
    number
}

/// The backends with names that each stand once among them, and mean nothing else in a response.
fn with_names(mut backends: Vec<Backend>) -> Vec<Backend> {
    let mut taken: Vec<String> = ["route", "none"].map(str::to_owned).into();
    for backend in &mut backends {
        // The names of Services have at most 63 characters; a longer one is refused with its route.
        let base: String = backend.name.chars().take(60).collect();
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        let mut candidates = std::iter::once(backend.name.clone()).chain(numbered);
        let name = candidates.find(|name| !taken.contains(name));
        backend.name = name.expect("the numbers do not end");
        taken.push(backend.name.clone());
    }
    backends
}

/// The members of a route that send what `path` takes to the backends.
pub(super) fn targets(backends: &[Backend], path: &PathMatch) -> Map<String, Value> {
    let branches: Vec<Value> = backends.iter().map(|backend| backend.branch(path)).collect();
    let mut route = Map::new();
    match backends {
        [one] if one.edits.members(path).is_empty() => {
            route.insert("upstream".to_owned(), one.upstream(one.weight));
        }
        _ => {
            let split = json!({"traffic-split": {"rules": [{"weighted_upstreams": branches}]}});
            route.insert("plugins".to_owned(), split);
        }
    }
    route
}

impl Backend {
    fn upstream(&self, weight: u64) -> Value {
        let nodes = json!({&self.node: weight});
        let mut upstream = self.retry.clone();
        upstream.insert("nodes".to_owned(), nodes);
        if let Some(host) = &self.edits.hostname {
            upstream.insert("pass_host".to_owned(), "rewrite".into());
            upstream.insert("upstream_host".to_owned(), host.clone().into());
        }
        upstream.into()
    }

    fn branch(&self, path: &PathMatch) -> Value {
        let mut branch = self.edits.members(path);
        branch.insert("name".to_owned(), self.name.clone().into());
        branch.insert("weight".to_owned(), self.weight.into());
        branch.insert("upstream".to_owned(), self.upstream(1));
        branch.into()
    }
}
