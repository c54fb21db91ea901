//! The resources that meet a request: routes, and what routes take from services and plugin configs.

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

use crate::address;
use crate::balance::{TimeoutWire, UpstreamWire};
use crate::expr::{self, Expr};
use crate::fault::{At, Report, did_you_mean};
use crate::id::Id;
use crate::node::is_host;
#[cfg(feature = "schema")]
use crate::plugin::{PLUGINS, TrafficPlugins};
use crate::rewrite::URI_MAX;
use crate::route::{Conditions, METHODS, Pattern, RouterKind, is_mute};
use crate::wire::{Labels, Lua, Object, Remark};

/// How long the pattern of a host may be: a name, behind `*.` and before a port.
#[cfg(feature = "schema")]
const HOST_MAX: usize = crate::node::HOST_MAX + 2 + ":65535".len();

/// A route, as APISIX writes it.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend(
        "oneOf" = serde_json::json!([{"required": ["uri"]}, {"required": ["uris"]}]),
        "not" = serde_json::json!({"anyOf": [
            {"required": ["host", "hosts"]},
            {"required": ["remote_addr", "remote_addrs"]},
        ]}),
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
    plugins: Option<Object>,
    enable_websocket: Option<bool>,
    filter_func: Option<Lua>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    remote_addr: Option<String>,
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1), inner(length(min = 1)), extend("uniqueItems" = true))
    )]
    remote_addrs: Option<Vec<String>>,
    script: Option<Lua>,
    script_id: Option<Lua>,
    vars: Option<Vec<Value>>,
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
    plugins: Option<Object>,
    pub(crate) enable_websocket: Option<bool>,
    script: Option<Lua>,
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
    plugins: Object,
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
    plugins: Object,
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

    /// Whether clients may ask it to speak another protocol, if it says so.
    pub(crate) fn upgrades(&self) -> Option<bool> {
        self.enable_websocket
    }

    /// Whether the route takes part at all.
    pub(crate) fn is_enabled(&self) -> bool {
        self.status != Some(0)
    }

    /// Checks what decides whether the route takes a request. Where the route is looked at by itself it
    /// is not known which router will do that.
    pub(crate) fn conditions(
        &self,
        router: Option<RouterKind>,
        at: At<'_>,
        report: &mut Report,
    ) -> Conditions {
        let uris = self.paths(router, at, report);
        let hosts = one_or_list(&self.host, &self.hosts, HOSTS, at, report);
        check_each(&self.host, &self.hosts, HOSTS, at, report, check_host);
        self.check_choices(at, report);
        Conditions {
            hosts: hosts.into(),
            uris: uris.into(),
            methods: self.methods.clone().unwrap_or_default().into(),
            addresses: self.addresses(at, report).into(),
            vars: self.vars(at.key("vars"), report).map(Box::new),
            priority: self.priority.unwrap_or(0),
            is_disabled: !self.is_enabled(),
        }
    }

    fn paths(&self, router: Option<RouterKind>, at: At<'_>, report: &mut Report) -> Vec<String> {
        let uris = one_or_list(&self.uri, &self.uris, URIS, at, report);
        if self.uri.is_none() && self.uris.is_none() {
            report.fault(at, "`uri` or `uris` is missing");
        }
        let has_parameters = router == Some(RouterKind::UriWithParameter);
        check_each(&self.uri, &self.uris, URIS, at, report, |uri| {
            let is_path = uri.starts_with('/') || uri == "*";
            let fits = (1..=URI_MAX).contains(&uri.len());
            if !(is_path && fits) {
                let what = "bytes that starts with `/`";
                return Some(format!("expected a path of up to {URI_MAX} {what}"));
            }
            if has_parameters { Pattern::fault(uri) } else { None }
        });
        match router {
            Some(RouterKind::HostUri | RouterKind::Uri) => warn_of_literals(&uris, at, report),
            Some(RouterKind::UriWithParameter) => warn_of_stars(&uris, at, report),
            None => {}
        }
        uris
    }

    fn addresses(&self, at: At<'_>, report: &mut Report) -> Vec<IpNet> {
        let texts = one_or_list(&self.remote_addr, &self.remote_addrs, ADDRESSES, at, report);
        check_each(&self.remote_addr, &self.remote_addrs, ADDRESSES, at, report, |text| {
            let what = "expected an address, or a network such as `10.0.0.0/8`";
            address::network(text).is_none().then(|| what.to_owned())
        });
        texts.iter().filter_map(|text| address::network(text)).collect()
    }

    /// The expression over variables; one without conditions is none.
    fn vars(&self, at: At<'_>, report: &mut Report) -> Option<Expr> {
        let written = Value::Array(self.vars.clone().filter(|list| !list.is_empty())?);
        expr::compile(&written, at, report)
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
        let hosts = one_or_list(&None, &self.hosts, HOSTS, at, report);
        check_each(&None, &self.hosts, HOSTS, at, report, check_host);
        hosts
    }
}

/// The keys of what can be said once or as a list.
const ADDRESSES: (&str, &str) = ("remote_addr", "remote_addrs");
const HOSTS: (&str, &str) = ("host", "hosts");
const URIS: (&str, &str) = ("uri", "uris");

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
            report.warn(
                at,
                format!("in `{uri}` only a `*` at the end is more than itself: parameters need `settings.router: radixtree_uri_with_parameter`"),
            );
        }
    }
}

/// What looks like a parameter and is none.
fn warn_of_stars(uris: &[String], at: At<'_>, report: &mut Report) {
    for uri in uris {
        let inner = uri.strip_suffix('*').unwrap_or(uri);
        if inner.split('/').any(|segment| segment.get(1..).is_some_and(|rest| rest.contains('*'))) {
            report.warn(at, format!("in `{uri}` a `*` inside of a segment is only itself"));
        }
    }
}

/// How many places a route may have in the index: one for each host under which its paths stand.
const PLACES_MAX: usize = 100_000;

/// Checks what a route has with its hosts, which may be a service's.
pub(crate) fn check_reach(
    conditions: &Conditions,
    router: Option<RouterKind>,
    at: At<'_>,
    report: &mut Report,
) {
    let Conditions { hosts, uris, .. } = conditions;
    if hosts.len().saturating_mul(uris.len()) > PLACES_MAX {
        report.fault(at, format!("expected at most {PLACES_MAX} combinations of host and path"));
    }
    let is_by_host = router == Some(RouterKind::HostUri);
    for host in hosts.iter().filter(|host| is_by_host && is_mute(host)) {
        let what = "compares hosts in lower case and without ports";
        report.warn(at, format!("`{host}` takes nothing: the router `radixtree_host_uri` {what}"));
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
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let name = match name.rsplit_once(':') {
        Some((name, port)) if is_port(port) && !name.contains(':') => name,
        Some(_) | None => name,
    };
    let is_pattern = host == "*" || is_host(name.strip_prefix('.').unwrap_or(name));
    let what = "expected a host name, or one with a leading `*`";
    (!is_pattern).then(|| what.to_owned())
}
