//! The resources of a document, composed from the fragments that the policy modules own.
//!
//! One document is a set of lists of APISIX-shaped resources, the shape of APISIX's standalone file.
//! It is the KV value at the edge, a file or a ledger locally, and always data until
//! [`compile`](crate::snapshot::compile) has checked it.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use crate::balance::{TimeoutWire, UpstreamWire};
use crate::fault::{At, Report, did_you_mean};
use crate::id::Id;
use crate::kind::Kind;
use crate::node::is_host;
use crate::route::Conditions;
use crate::wire::{self, Remark, Unsupported};

/// The keys of a document.
const KEYS: [&str; 10] = [
    "consumer_groups",
    "consumers",
    "global_rules",
    "plugin_configs",
    "plugin_metadata",
    "published",
    "routes",
    "services",
    "settings",
    "upstreams",
];

/// Lists that APISIX has and this version does not; harmless while empty.
const LISTS_UNSUPPORTED: [&str; 5] = ["plugins", "protos", "secrets", "ssls", "stream_routes"];

/// The format of `published` that this version writes, and the last one that it reads.
pub const FORMAT: u64 = 1;

/// The resources of one document, as they were written.
#[derive(Clone, Debug, Default)]
pub struct Resources<'d> {
    lists: BTreeMap<Kind, Vec<&'d Value>>,
    /// Where in `consumers` the consumers and the credentials stand, where they stand mixed.
    places: BTreeMap<Kind, Vec<usize>>,
    /// The settings of the whole document.
    pub settings: Option<&'d Value>,
    /// Which ledger published the document, if one did.
    pub published: Option<Published>,
    /// Whether a name that leads nowhere is a warning instead of a fault. What needs it then answers
    /// 503.
    pub is_tolerant: bool,
}

/// The ledger that published a document, and the revision that the document shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The id of the ledger.
    pub ledger: Box<str>,
    /// Its revision.
    pub revision: u64,
}

impl<'d> Resources<'d> {
    /// The resources of a whole document.
    pub fn of(document: &'d Value, report: &mut Report) -> Self {
        let mut resources = Self::default();
        let Some(members) = wire::members(document, At::Root, report) else { return resources };
        for (key, value) in members {
            let at = At::Root;
            let at = at.key(key);
            match (key.as_str(), Kind::parse(key)) {
                ("settings", _) => resources.settings = Some(value),
                ("published", _) => {
                    resources.published = published(value, at, report);
                    resources.is_tolerant = true;
                }
                (_, Some(Kind::Consumer)) => resources.set_mixed(list(value, at, report)),
                ("credentials", _) | (_, None) => check_unused_list(key, value, at, report),
                (_, Some(kind)) => resources.set(kind, list(value, at, report)),
            }
        }
        resources
    }

    /// The resources of a kind, in order of precedence among equals.
    pub fn list(&self, kind: Kind) -> &[&'d Value] {
        self.lists.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// Replaces the resources of a kind.
    pub fn set(&mut self, kind: Kind, values: Vec<&'d Value>) {
        self.places.clear();
        self.lists.insert(kind, values);
    }

    /// The JSON pointer of a resource in the whole document. Credentials stand among the consumers;
    /// behind them, unless the document has them in another order.
    pub fn at(&self, kind: Kind, index: usize) -> String {
        let (list, index) = self.place(kind, index);
        format!("/{list}/{index}")
    }

    /// The list of the document in which a resource stands, and where in it.
    pub(crate) fn place(&self, kind: Kind, index: usize) -> (&'static str, usize) {
        let mixed = self.places.get(&kind).and_then(|places| places.get(index));
        match kind {
            Kind::Consumer => (kind.plural(), mixed.copied().unwrap_or(index)),
            Kind::Credential => {
                let behind = self.list(Kind::Consumer).len() + index;
                (Kind::Consumer.plural(), mixed.copied().unwrap_or(behind))
            }
            Kind::Route
            | Kind::Service
            | Kind::Upstream
            | Kind::ConsumerGroup
            | Kind::GlobalRule
            | Kind::PluginConfig
            | Kind::PluginMetadata => (kind.plural(), index),
        }
    }

    /// Takes the list `consumers`, in which credentials stand too.
    fn set_mixed(&mut self, values: Vec<&'d Value>) {
        for (place, value) in values.into_iter().enumerate() {
            let id = value.get("id").and_then(Value::as_str);
            let kind = match id.and_then(Id::parse_credential) {
                Some(_) => Kind::Credential,
                None => Kind::Consumer,
            };
            self.lists.entry(kind).or_default().push(value);
            self.places.entry(kind).or_default().push(place);
        }
    }
}

fn list<'d>(value: &'d Value, at: At<'_>, report: &mut Report) -> Vec<&'d Value> {
    match value.as_array() {
        Some(items) => items.iter().collect(),
        None => {
            report.fault(at, "expected a list");
            Vec::new()
        }
    }
}

fn check_unused_list(key: &str, value: &Value, at: At<'_>, report: &mut Report) {
    if !LISTS_UNSUPPORTED.contains(&key) {
        report.fault(at, format!("unknown key{}", did_you_mean(key, &KEYS)));
    } else if value.as_array().is_none_or(|items| !items.is_empty()) {
        report.fault(at, "APISIX has this list, Splitway does not support it yet");
    }
}

/// What a ledger writes into the documents that it publishes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedWire {
    format: u64,
    ledger: Box<str>,
    revision: u64,
}

fn published(value: &Value, at: At<'_>, report: &mut Report) -> Option<Published> {
    // Asked first: what else a later format says here is not to be judged.
    if let Some(later) = value.get("format").and_then(Value::as_u64).filter(|it| *it > FORMAT) {
        let what = format!(
            "written by a later Splitway: its format is {later}, this one knows formats up to {FORMAT}"
        );
        report.fault(at.key("format"), what);
        return None;
    }
    wire::read(value, at, report, |wire: PublishedWire, report| {
        if wire.format == 0 {
            report.fault(at.key("format"), "expected an integer from 1");
        }
        if wire.ledger.is_empty() {
            report.fault(at.key("ledger"), "expected the id of a ledger");
        }
        Some(Published { ledger: wire.ledger, revision: wire.revision })
    })
}

/// What a document says about itself as a whole.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsWire {
    pub(crate) proof_headers: Option<bool>,
}

/// A route, as APISIX writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be checked or refused, not to be used")]
pub(crate) struct RouteWire {
    pub(crate) id: Option<Id>,
    name: Option<Remark>,
    desc: Option<Remark>,
    labels: Option<Map<String, Value>>,
    create_time: Option<u64>,
    update_time: Option<u64>,
    host: Option<String>,
    hosts: Option<Vec<String>>,
    uri: Option<String>,
    uris: Option<Vec<String>>,
    methods: Option<Vec<String>>,
    priority: Option<i64>,
    status: Option<u8>,
    pub(crate) timeout: Option<TimeoutWire>,
    pub(crate) upstream: Option<UpstreamWire>,
    pub(crate) upstream_id: Option<Id>,
    pub(crate) plugins: Option<Map<String, Value>>,
    enable_websocket: Option<Unsupported>,
    filter_func: Option<Unsupported>,
    plugin_config_id: Option<Unsupported>,
    remote_addr: Option<Unsupported>,
    remote_addrs: Option<Unsupported>,
    script: Option<Unsupported>,
    script_id: Option<Unsupported>,
    service_id: Option<Unsupported>,
    vars: Option<Unsupported>,
}

impl RouteWire {
    /// Whether the route takes part at all.
    pub(crate) fn is_enabled(&self) -> bool {
        self.status != Some(0)
    }

    /// Checks what decides whether the route takes a request.
    pub(crate) fn conditions(&self, at: At<'_>, report: &mut Report) -> Conditions {
        let uris = one_or_list(&self.uri, &self.uris, ("uri", "uris"), at, report);
        let hosts = one_or_list(&self.host, &self.hosts, ("host", "hosts"), at, report);
        if self.uri.is_none() && self.uris.is_none() {
            report.fault(at, "`uri` or `uris` is missing");
        }
        check_each(&self.uri, &self.uris, ("uri", "uris"), at, report, |uri| {
            let is_path = uri.starts_with('/') || uri == "*";
            let fits = (1..=4096).contains(&uri.len());
            (!(is_path && fits))
                .then_some("expected a path of up to 4096 bytes that starts with `/`")
        });
        warn_of_literals(&uris, at, report);
        check_each(&self.host, &self.hosts, ("host", "hosts"), at, report, |host| {
            (!is_host_pattern(host))
                .then_some("expected a host name without a port, or one with a leading `*`")
        });
        self.check_choices(at, report);
        Conditions {
            hosts,
            uris,
            methods: self.methods.clone().unwrap_or_default(),
            priority: self.priority.unwrap_or(0),
        }
    }

    fn check_choices(&self, at: At<'_>, report: &mut Report) {
        const METHODS: [&str; 10] = [
            "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE",
        ];
        let list_at = at.key("methods");
        for (index, method) in self.methods.iter().flatten().enumerate() {
            if !METHODS.contains(&method.as_str()) {
                let hint = did_you_mean(&method.to_ascii_uppercase(), &METHODS);
                report.fault(list_at.index(index), format!("unknown method{hint}"));
            }
        }
        if self.status.is_some_and(|status| status > 1) {
            report.fault(at.key("status"), "expected 0 or 1");
        }
    }
}

/// `uri` or `uris`, `host` or `hosts`: one of both, and not an empty list.
fn one_or_list(
    one: &Option<String>,
    list: &Option<Vec<String>>,
    (one_key, list_key): (&str, &str),
    at: At<'_>,
    report: &mut Report,
) -> Vec<String> {
    let values: Vec<String> = one.iter().chain(list.iter().flatten()).cloned().collect();
    if one.is_some() && list.is_some() {
        report
            .fault(at.key(list_key), format!("`{one_key}` stands beside it; expected one of both"));
    }
    if list.as_ref().is_some_and(Vec::is_empty) {
        report.fault(at.key(list_key), "expected at least one");
    }
    values
}

/// What other routers would take for a pattern, and this one, like APISIX's default, does not.
fn warn_of_literals(uris: &[String], at: At<'_>, report: &mut Report) {
    for uri in uris {
        let inner = uri.strip_suffix('*').unwrap_or(uri);
        if inner.contains('*') || inner.contains("/:") {
            report.warn(at, format!("in `{uri}` only a `*` at the end is more than itself"));
        }
    }
}

/// Reports what `check` says of each value, at the place where the value stands.
fn check_each(
    one: &Option<String>,
    list: &Option<Vec<String>>,
    (one_key, list_key): (&str, &str),
    at: At<'_>,
    report: &mut Report,
    check: impl Fn(&str) -> Option<&'static str>,
) {
    if let Some(what) = one.as_deref().and_then(&check) {
        report.fault(at.key(one_key), what);
    }
    let list_at = at.key(list_key);
    for (index, value) in list.iter().flatten().enumerate() {
        if let Some(what) = check(value) {
            report.fault(list_at.index(index), what);
        }
    }
}

fn is_host_pattern(host: &str) -> bool {
    let name = host.strip_prefix('*').unwrap_or(host);
    host == "*" || is_host(name.strip_prefix('.').unwrap_or(name))
}
