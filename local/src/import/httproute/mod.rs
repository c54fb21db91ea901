//! HTTPRoutes of the Gateway API (`gateway.networking.k8s.io`, v1 and v1beta1).
//!
//! Each match of each rule becomes a route; backends become the branches of a split, or a plain
//! upstream where there is one and nothing to edit. The core says whether a route can be had: what it
//! refuses is told and left out, so that what it learns later is taken over without a change here.
//!
//! Precedence (HTTPRouteRule, `matches`): the router of the core prefers exact paths and longer
//! prefixes itself; for the rest of the list, method, number of headers, of query parameters, age and
//! name, the routes are put in that order.

mod backend;
mod duration;
mod filter;
mod headers;
mod matching;
mod read;
mod retry;
mod rule;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde_json::{Value, json};
use splitway_core::fault::{At, Fault};
use splitway_core::id::Id;

use crate::document::{self, Format};
use crate::import::httproute::read::{Findings, list, members, text};
use crate::import::successor::Successors;
use crate::import::{ImportError, Imported, Loss};

/// The domain of a cluster's services where nobody says otherwise.
pub const SERVICE_DOMAIN: &str = "svc.cluster.local";

/// Makes a document of the HTTPRoutes in a text. Services become nodes
/// `name.namespace.service_domain:port`.
pub fn import(text: &str, format: Format, service_domain: &str) -> Result<Imported, ImportError> {
    let documents = document::parse_all(text, format).map_err(ImportError::Syntax)?;
    if !documents.iter().any(Value::is_object) {
        return Err(ImportError::Foreign("expected resources of Kubernetes"));
    }
    let mut import = Import::new(service_domain);
    let is_one = documents.len() == 1;
    for (index, resource) in documents.iter().enumerate() {
        import.document = if is_one { 0 } else { index + 1 };
        import.resource(resource, At::Root);
    }
    Ok(import.finish())
}

/// What is said of what is named twice and counts once.
const FIRST_COUNTS: &str = "left out: of several with this name the first counts";

/// A route, and what decides where it stands among the others with the same path.
struct Draft {
    rank: Rank,
    route: Value,
}

/// The order of the specification, the first first. Exact paths come before prefixes because the
/// prefix `/a` takes the exact path `/a` too.
type Rank = (bool, bool, Reverse<usize>, Reverse<usize>, String, String);

/// What a rule needs to know about its HTTPRoute.
struct Owner<'o> {
    namespace: &'o str,
    /// The ids of its routes begin so.
    id: String,
    hosts: Vec<&'o str>,
    service_domain: &'o str,
    /// When it was created, and its full name: what precedes others with the same path.
    age: (&'o str, String),
}

struct Import<'o> {
    service_domain: &'o str,
    document: usize,
    drafts: Vec<Draft>,
    losses: Vec<(Loss, Vec<Value>)>,
    notes: Vec<Loss>,
}

impl<'o> Import<'o> {
    fn new(service_domain: &'o str) -> Self {
        Self {
            service_domain,
            document: 0,
            drafts: Vec::new(),
            losses: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Takes one resource over, or each of a list of them.
    fn resource(&mut self, resource: &Value, at: At<'_>) {
        let of = |key| resource.get(key).and_then(Value::as_str).unwrap_or_default();
        let (group, version) = of("apiVersion").split_once('/').unwrap_or_default();
        match (of("kind"), resource.get("items").and_then(Value::as_array)) {
            (kind, Some(items)) if kind.ends_with("List") => {
                for (index, item) in items.iter().enumerate() {
                    self.resource(item, at.key("items").index(index));
                }
                self.remark_others(resource, &["apiVersion", "kind", "items"], at);
            }
            ("HTTPRoute", _) if group == "gateway.networking.k8s.io" => match version {
                "v1" | "v1beta1" => self.route(resource, at),
                _ => self.lose(at, "left out: of HTTPRoutes the versions v1 and v1beta1 are known"),
            },
            ("", _) => self.lose(at, "left out: a resource without `kind`"),
            (kind, _) => {
                self.lose(at, format!("left out: {kind} is no HTTPRoute of the Gateway API"))
            }
        }
    }

    fn route(&mut self, resource: &Value, at: At<'_>) {
        self.remark_others(resource, &["apiVersion", "kind", "metadata", "spec"], at);
        let empty = json!({});
        let metadata = resource.get("metadata").unwrap_or(&empty);
        self.remark_others(
            metadata,
            &["name", "namespace", "creationTimestamp"],
            at.key("metadata"),
        );
        let of = |key| metadata.get(key).and_then(Value::as_str);
        let name = of("name").unwrap_or("route");
        let namespace = of("namespace").unwrap_or("default");
        if of("namespace").is_none() {
            self.note(at.key("metadata"), "`namespace` is missing, taken for `default`");
        }
        let spec_at = at.key("spec");
        let spec = resource.get("spec").unwrap_or(&empty);
        let (hosts, rules) = match hosts_and_rules(spec, spec_at) {
            Ok(read) => read,
            Err(findings) => {
                let reasons = findings.reasons(&at.to_string());
                return self.lose(at, format!("left out: {reasons}"));
            }
        };
        if spec.get("parentRefs").is_some() {
            self.note(
                spec_at.key("parentRefs"),
                "not looked at: what its listeners limit (host names, ports, TLS) is no limit here",
            );
        }
        let owner = Owner {
            namespace,
            id: of("namespace").map_or_else(|| name.to_owned(), |space| format!("{space}.{name}")),
            hosts,
            service_domain: self.service_domain,
            age: (of("creationTimestamp").unwrap_or_default(), format!("{namespace}/{name}")),
        };
        let count_before = self.drafts.len();
        for (index, rule) in rules.iter().enumerate() {
            self.rule(rule, index, &owner, spec_at.key("rules").index(index));
        }
        if self.drafts.len() == count_before {
            self.lose(at, format!("left out: no rule of `{}` could be taken over", owner.age.1));
        }
    }

    fn rule(&mut self, value: &Value, index: usize, owner: &Owner<'_>, at: At<'_>) {
        let outcome = rule::import(value, index, owner, at);
        self.drafts.extend(outcome.drafts);
        let document = self.document;
        let losses = outcome.losses.into_iter();
        self.losses.extend(losses.map(|(fault, shapes)| (Loss::new(document, fault), shapes)));
        self.notes.extend(outcome.notes.into_iter().map(|fault| Loss::new(document, fault)));
    }

    /// Remarks the members that say nothing about traffic.
    fn remark_others(&mut self, value: &Value, known: &[&str], at: At<'_>) {
        let keys = value.as_object().into_iter().flat_map(|members| members.keys());
        let others: Vec<&String> = keys.filter(|key| !known.contains(&key.as_str())).collect();
        for key in others {
            self.note(at.key(key), "not looked at");
        }
    }

    fn lose(&mut self, at: At<'_>, what: impl Into<String>) {
        let loss = Loss::new(self.document, Fault::new(at.to_string(), what));
        self.losses.push((loss, Vec::new()));
    }

    fn note(&mut self, at: At<'_>, what: impl Into<String>) {
        self.notes.push(Loss::new(self.document, Fault::new(at.to_string(), what)));
    }

    fn finish(mut self) -> Imported {
        self.drafts.sort_by(|a, b| a.rank.cmp(&b.rank));
        let mut routes: Vec<Value> = self.drafts.into_iter().map(|draft| draft.route).collect();
        make_ids_unique(&mut routes);
        let successors = Successors::new(&routes);
        let losses = self.losses.into_iter().map(|(mut loss, shapes)| {
            if let Some(id) = shapes.iter().find_map(|shape| successors.of(shape)) {
                loss.what.push_str(&format!("; its requests may now go to route `{id}`"));
            }
            loss
        });
        let losses: Vec<Loss> = losses.collect();
        Imported { document: json!({"routes": routes}), losses, notes: self.notes }
    }
}

/// The host names and the rules of a `spec`, or what hinders all of them.
fn hosts_and_rules<'v>(
    spec: &'v Value,
    at: At<'_>,
) -> Result<(Vec<&'v str>, &'v [Value]), Findings> {
    let mut findings = Findings::default();
    let known = ["hostnames", "parentRefs", "rules"];
    let Some(spec) = members(spec, &known, at, &mut findings) else { return Err(findings) };
    let hosts_at = at.key("hostnames");
    let hosts = list(spec, "hostnames", at, &mut findings).iter().enumerate();
    let hosts: Vec<&str> = hosts
        .filter_map(|(index, host)| text(host, hosts_at.index(index), &mut findings))
        .collect();
    let rules = list(spec, "rules", at, &mut findings);
    if rules.is_empty() && findings.obstacles.is_empty() {
        findings.obstacle(at, "without a rule there is no backend, and no way to answer 500 as the specification wants");
    }
    if findings.obstacles.is_empty() { Ok((hosts, rules)) } else { Err(findings) }
}

/// The length of an id that leaves room for a number behind it.
const ID_LENGTH: usize = 56;

/// Makes ids of the names that the routes have: short enough, without odd characters, each once.
fn make_ids_unique(routes: &mut [Value]) {
    let mut taken = BTreeSet::new();
    for route in routes.iter_mut().filter_map(Value::as_object_mut) {
        let name = route.get("id").and_then(Value::as_str).unwrap_or_default();
        let is_fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let characters = name.chars().map(|c| if is_fine(c) { c } else { '-' });
        let base: String = characters.take(ID_LENGTH).collect();
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        let mut candidates = std::iter::once(base.clone()).chain(numbered);
        let id = candidates.find(|id| Id::parse(id).is_some() && !taken.contains(id));
        let id = id.expect("the numbers do not end");
        if *name != id {
            let name: String = name.chars().take(256).collect();
            route.insert("name".to_owned(), name.into());
        }
        taken.insert(id.clone());
        route.insert("id".to_owned(), id.into());
    }
}
