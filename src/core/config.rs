//! The resources of a document, composed from the fragments that the policy modules own.
//!
//! One document is a set of lists of APISIX-shaped resources, the shape of APISIX's standalone file.
//! It is the KV value at the edge, a file or a ledger locally, and always data until
//! [`compile`](crate::snapshot::compile) has checked it.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::balance::{TimeoutWire, UpstreamWire};
use crate::fault::{At, Report, did_you_mean};
use crate::id::Id;
use crate::node::is_host;
use crate::route::Conditions;
use crate::wire::{self, Remark, Unsupported};

/// The lists of a document that this version has behaviour for.
const LISTS: [&str; 3] = ["routes", "upstreams", "settings"];

/// Lists that APISIX has and this version does not; harmless while empty.
const LISTS_UNSUPPORTED: [&str; 11] = [
    "consumer_groups",
    "consumers",
    "global_rules",
    "plugin_configs",
    "plugin_metadata",
    "plugins",
    "protos",
    "secrets",
    "services",
    "ssls",
    "stream_routes",
];

/// The resources of one document, as they were written.
#[derive(Clone, Debug, Default)]
pub struct Resources<'d> {
    /// The routes, in order of precedence among equals.
    pub routes: Vec<&'d Value>,
    /// The upstreams that routes and branches name.
    pub upstreams: Vec<&'d Value>,
    /// The settings of the whole document.
    pub settings: Option<&'d Value>,
}

impl<'d> Resources<'d> {
    /// The resources of a whole document.
    pub fn of(document: &'d Value, report: &mut Report) -> Self {
        let mut resources = Self::default();
        let Some(members) = wire::members(document, At::Root, report) else { return resources };
        for (key, value) in members {
            let at = At::Root;
            let at = at.key(key);
            match key.as_str() {
                "routes" => resources.routes = list(value, at, report),
                "upstreams" => resources.upstreams = list(value, at, report),
                "settings" => resources.settings = Some(value),
                other => check_unused_list(other, value, at, report),
            }
        }
        resources
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
        report.fault(at, format!("unknown key{}", did_you_mean(key, &LISTS)));
    } else if value.as_array().is_none_or(|items| !items.is_empty()) {
        report.fault(at, "APISIX has this list, Splitway does not support it yet");
    }
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
