//! The resources that meet a request: routes, and what routes take from services and plugin configs.

use serde::Deserialize;
use std::collections::BTreeSet;

use crate::balance::{TimeoutWire, UpstreamWire};
use crate::fault::{At, Report, did_you_mean};
use crate::id::Id;
use crate::node::is_host;
#[cfg(feature = "schema")]
use crate::plugin::{PLUGINS, TrafficPlugins};
use crate::rewrite::URI_MAX;
use crate::route::Conditions;
use crate::wire::{Labels, Members, Remark, Unsupported};

/// How long the pattern of a host may be: a name, behind `*.`.
#[cfg(feature = "schema")]
const HOST_MAX: usize = crate::node::HOST_MAX + 2;

/// The methods that a route may name, as in APISIX. A route that names none takes every method.
const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE"];

/// A route, as APISIX writes it.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend(
        "oneOf" = serde_json::json!([{"required": ["uri"]}, {"required": ["uris"]}]),
        "not" = serde_json::json!({"required": ["host", "hosts"]}),
    ))
)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be checked or refused, not to be used")]
pub(crate) struct RouteWire {
    pub(crate) id: Option<Id>,
    name: Option<Remark>,
    desc: Option<Remark>,
    labels: Option<Labels>,
    create_time: Option<u64>,
    update_time: Option<u64>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = HOST_MAX)))]
    host: Option<String>,
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1),
            inner(length(min = 1, max = HOST_MAX)),
            extend("uniqueItems" = true),
        )
    )]
    hosts: Option<Vec<String>>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = URI_MAX)))]
    uri: Option<String>,
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1),
            inner(length(min = 1, max = URI_MAX)),
            extend("uniqueItems" = true),
        )
    )]
    uris: Option<Vec<String>>,
    #[cfg_attr(
        feature = "schema",
        schemars(extend(
            "items" = serde_json::json!({"type": "string", "enum": METHODS}),
            "uniqueItems" = true,
        ))
    )]
    methods: Option<Vec<String>>,
    priority: Option<i64>,
    #[cfg_attr(feature = "schema", schemars(range(max = 1)))]
    status: Option<u8>,
    pub(crate) timeout: Option<TimeoutWire>,
    pub(crate) upstream: Option<UpstreamWire>,
    pub(crate) upstream_id: Option<Id>,
    pub(crate) service_id: Option<Id>,
    pub(crate) plugin_config_id: Option<Id>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<TrafficPlugins>"))]
    pub(crate) plugins: Option<Members>,
    enable_websocket: Option<Unsupported>,
    filter_func: Option<Unsupported>,
    remote_addr: Option<Unsupported>,
    remote_addrs: Option<Unsupported>,
    script: Option<Unsupported>,
    script_id: Option<Unsupported>,
    vars: Option<Unsupported>,
}

/// A service: what several routes have in common. A route's own word goes before it.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be checked or refused, not to be used")]
pub(crate) struct ServiceWire {
    id: Option<Id>,
    name: Option<Remark>,
    desc: Option<Remark>,
    labels: Option<Labels>,
    create_time: Option<u64>,
    update_time: Option<u64>,
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1),
            inner(length(min = 1, max = HOST_MAX)),
            extend("uniqueItems" = true),
        )
    )]
    hosts: Option<Vec<String>>,
    pub(crate) upstream: Option<UpstreamWire>,
    pub(crate) upstream_id: Option<Id>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<TrafficPlugins>"))]
    pub(crate) plugins: Option<Members>,
    enable_websocket: Option<Unsupported>,
    script: Option<Unsupported>,
}

/// A plugin config: plugins that several routes have in common.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be checked, not to be used")]
pub(crate) struct PluginConfigWire {
    id: Option<Id>,
    name: Option<Remark>,
    desc: Option<Remark>,
    labels: Option<Labels>,
    create_time: Option<u64>,
    update_time: Option<u64>,
    #[cfg_attr(feature = "schema", schemars(with = "TrafficPlugins"))]
    pub(crate) plugins: Members,
}

/// A global rule: plugins for every request.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be checked, not to be used")]
pub(crate) struct GlobalRuleWire {
    id: Option<Id>,
    create_time: Option<u64>,
    update_time: Option<u64>,
    #[cfg_attr(feature = "schema", schemars(with = "TrafficPlugins"))]
    pub(crate) plugins: Members,
}

/// What a plugin is told once for all its uses. Its id is the plugin's name; the plugins of this
/// version are told nothing.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be checked, not to be used")]
pub(crate) struct PluginMetadataWire {
    #[cfg_attr(feature = "schema", schemars(extend("enum" = PLUGINS)))]
    pub(crate) id: Option<String>,
    create_time: Option<u64>,
    update_time: Option<u64>,
}

impl RouteWire {
    /// The name that expressions know the route by.
    pub(crate) fn name(&self) -> Option<Box<str>> {
        self.name.as_ref().map(|name| name.0.clone())
    }

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
            let fits = (1..=URI_MAX).contains(&uri.len());
            (!(is_path && fits))
                .then(|| format!("expected a path of up to {URI_MAX} bytes that starts with `/`"))
        });
        warn_of_literals(&uris, at, report);
        check_each(&self.host, &self.hosts, ("host", "hosts"), at, report, check_host);
        self.check_choices(at, report);
        Conditions {
            hosts,
            uris,
            methods: self.methods.clone().unwrap_or_default(),
            priority: self.priority.unwrap_or(0),
        }
    }

    fn check_choices(&self, at: At<'_>, report: &mut Report) {
        let list_at = at.key("methods");
        for (index, method) in self.methods.iter().flatten().enumerate() {
            if !METHODS.contains(&method.as_str()) {
                let hint = did_you_mean(&method.to_ascii_uppercase(), &METHODS);
                report.fault(list_at.index(index), format!("unknown method{hint}"));
            }
        }
        check_unique(self.methods.as_deref().unwrap_or_default(), list_at, report);
        if self.status.is_some_and(|status| status > 1) {
            report.fault(at.key("status"), "expected 0 or 1");
        }
    }
}

impl ServiceWire {
    /// The name that expressions know the service by.
    pub(crate) fn name(&self) -> Option<Box<str>> {
        self.name.as_ref().map(|name| name.0.clone())
    }

    /// Checks the hosts of those routes that name none.
    pub(crate) fn hosts(&self, at: At<'_>, report: &mut Report) -> Vec<String> {
        let hosts = one_or_list(&None, &self.hosts, ("host", "hosts"), at, report);
        check_each(&None, &self.hosts, ("host", "hosts"), at, report, check_host);
        hosts
    }
}

/// `uri` or `uris`, `host` or `hosts`: one of both, and a list neither empty nor with anything twice.
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
    check_unique(list.as_deref().unwrap_or_default(), at.key(list_key), report);
    values
}

fn check_unique(list: &[String], at: At<'_>, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for (index, value) in list.iter().enumerate() {
        if !seen.insert(value) {
            report.fault(at.index(index), format!("`{value}` stands here twice"));
        }
    }
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
    check: impl Fn(&str) -> Option<String>,
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

fn check_host(host: &str) -> Option<String> {
    let name = host.strip_prefix('*').unwrap_or(host);
    let is_pattern = host == "*" || is_host(name.strip_prefix('.').unwrap_or(name));
    let what = "expected a host name without a port, or one with a leading `*`";
    (!is_pattern).then(|| what.to_owned())
}
