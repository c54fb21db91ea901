//! The plugin `api-breaker`, as APISIX has it.
//!
//! It counts the statuses that upstreams answer with. At each multiple of `failures` it opens, for
//! 2, 4, 8 and so on seconds, up to `max_breaker_sec`; what is counted is forgotten only after
//! `successes` of the healthy statuses since the last unhealthy one. See `state`.
//!
//! APISIX keeps one state for each host and path, whichever routes they belong to. Here each route has one
//! for each of its plugins: what is counted for one path counts for all that the route takes, and the
//! memory does not grow with the paths that clients think of.

mod state;

use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::facts::Facts;
use crate::fault::{At, Report};
use crate::head::{is_header_value, sendable, why_fixed};
use crate::meta::{Meta, MetaWire};
use crate::telemetry::proof;
use crate::template::{Dialect, Template};
use crate::time::Timestamp;
use state::{Limits, State};

/// The name of the plugin in documents.
pub(crate) const PLUGIN: &str = "api-breaker";

/// The configuration of the plugin, as APISIX writes it.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiBreakerWire {
    #[cfg_attr(feature = "schema", schemars(range(min = 200, max = 599)))]
    break_response_code: u32,
    break_response_body: Option<String>,
    break_response_headers: Option<Vec<HeaderWire>>,
    #[cfg_attr(feature = "schema", schemars(range(min = 3)))]
    max_breaker_sec: Option<u32>,
    unhealthy: Option<UnhealthyWire>,
    healthy: Option<HealthyWire>,
    _meta: Option<MetaWire>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct HeaderWire {
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    key: String,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct UnhealthyWire {
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1), inner(range(min = 500, max = 599)), extend("uniqueItems" = true))
    )]
    http_statuses: Option<Vec<u32>>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    failures: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct HealthyWire {
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1), inner(range(min = 200, max = 499)), extend("uniqueItems" = true))
    )]
    http_statuses: Option<Vec<u32>>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    successes: Option<u32>,
}

/// What the plugin is told.
#[derive(Debug, PartialEq)]
struct Terms {
    meta: Meta,
    status: u16,
    body: Option<Box<str>>,
    headers: Box<[(Box<str>, Template)]>,
    limits: Limits,
    unhealthy: BTreeSet<u16>,
    healthy: BTreeSet<u16>,
}

/// The plugin of a route, and what it has counted. A clone counts together with it.
#[derive(Clone, Debug)]
pub(crate) struct ApiBreaker {
    terms: Arc<Terms>,
    state: Arc<State>,
}

/// The answer to a request that is not let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken<'t> {
    pub(crate) status: u16,
    pub(crate) body: Option<&'t str>,
    /// To be added; the names are lower case. None without a body, as in APISIX.
    pub(crate) headers: Vec<(&'t str, String)>,
}

impl ApiBreaker {
    /// Whether the plugin acts on a request. For one that it does not act on, nothing below is asked.
    pub(crate) fn acts_on(&self, facts: &Facts<'_>) -> bool {
        self.terms.meta.acts_on(facts)
    }

    /// Whether requests are not let through.
    pub(crate) fn is_open(&self, now: Timestamp) -> bool {
        self.state.is_open(self.terms.limits, now)
    }

    /// What is answered in place of the upstream.
    pub(crate) fn answer(&self, facts: &Facts<'_>) -> Broken<'_> {
        let Terms { status, body, headers, .. } = &*self.terms;
        let sent = headers.iter().filter(|_| body.is_some());
        let fill = |value: &Template| sendable(value.fill_with(facts, &[])).into_owned();
        let headers = sent.map(|(name, value)| (&**name, fill(value))).collect();
        Broken { status: *status, body: body.as_deref(), headers }
    }

    /// Notes the status that the upstream has answered with; of several attempts, the last one's.
    pub(crate) fn note(&self, upstream_status: u16, now: Timestamp) {
        let Terms { limits, unhealthy, healthy, .. } = &*self.terms;
        if unhealthy.contains(&upstream_status) {
            self.state.note_unhealthy(*limits, now);
        } else if healthy.contains(&upstream_status) {
            self.state.note_healthy(*limits);
        }
    }

    /// The same plugin for another route, which has counted nothing.
    pub(crate) fn for_route(&self) -> Self {
        Self { terms: Arc::clone(&self.terms), state: Arc::default() }
    }

    /// Goes on with what `earlier` has counted, if it is told the same; says whether it does.
    pub(crate) fn follow(&mut self, earlier: &Self) -> bool {
        let is_same = self.terms == earlier.terms;
        if is_same {
            self.state = Arc::clone(&earlier.state);
        }
        is_same
    }

    /// Has the plugins of a route go on, each with one of those that it had earlier.
    pub(crate) fn follow_all(breakers: &mut [Self], earlier: &[Self]) {
        let mut earlier: Vec<&Self> = earlier.iter().collect();
        for breaker in breakers {
            if let Some(found) = earlier.iter().position(|it| breaker.follow(it)) {
                earlier.remove(found);
            }
        }
    }
}

impl ApiBreakerWire {
    /// Checks the plugin.
    pub(crate) fn compile(self, at: At<'_>, report: &mut Report) -> ApiBreaker {
        let meta = Meta::compile_mute(self._meta, at, report);
        let status = check_status(self.break_response_code, 200, 599, at.key(CODE), report);
        let longest = at_least(3, self.max_breaker_sec, 300, at.key("max_breaker_sec"), report);
        let (unhealthy, healthy) =
            (self.unhealthy.unwrap_or_default(), self.healthy.unwrap_or_default());
        let (of_unhealthy, of_healthy) = (at.key("unhealthy"), at.key("healthy"));
        let failures = at_least(1, unhealthy.failures, 3, of_unhealthy.key("failures"), report);
        let successes = at_least(1, healthy.successes, 3, of_healthy.key("successes"), report);
        let mut statuses = |list: Option<Vec<u32>>, (least, most), default, at: At<'_>| match list {
            Some(list) => check_statuses(&list, least, most, at.key("http_statuses"), report),
            None => BTreeSet::from([default]),
        };
        let unhealthy = statuses(unhealthy.http_statuses, (500, 599), 500, of_unhealthy);
        let healthy = statuses(healthy.http_statuses, (200, 499), 200, of_healthy);
        let headers = self.break_response_headers.unwrap_or_default();
        if !headers.is_empty() && self.break_response_body.is_none() {
            let what = "sent only together with `break_response_body`";
            report.warn(at.key(HEADERS), what);
        }
        let headers = compile_headers(&headers, at.key(HEADERS), report);
        let body = self.break_response_body.map(Into::into);
        let limits = Limits { failures, successes, longest };
        let terms = Terms { meta, status, body, headers, limits, unhealthy, healthy };
        ApiBreaker { terms: Arc::new(terms), state: Arc::default() }
    }
}

const CODE: &str = "break_response_code";
const HEADERS: &str = "break_response_headers";

fn compile_headers(
    wire: &[HeaderWire],
    at: At<'_>,
    report: &mut Report,
) -> Box<[(Box<str>, Template)]> {
    let headers = wire.iter().enumerate().map(|(index, HeaderWire { key, value })| {
        let at = at.index(index);
        let name = key.to_ascii_lowercase();
        if let Some(why) = why_fixed(&name) {
            report.fault(at.key("key"), why);
        } else if proof::ALL.contains(&&*name) {
            report.fault(at.key("key"), "this header proves who served and cannot be edited");
        }
        if value.is_empty() || !is_header_value(value) {
            report.fault(at.key("value"), "expected visible ASCII as header value");
        }
        let value = Template::compile(Dialect::Plain, value, at.key("value"), report);
        (name.into(), value)
    });
    headers.collect()
}

fn at_least(least: u32, value: Option<u32>, default: u32, at: At<'_>, report: &mut Report) -> u32 {
    match value {
        Some(value) if value < least => {
            report.fault(at, format!("expected an integer from {least}, found {value}"));
            default
        }
        value => value.unwrap_or(default),
    }
}

fn check_statuses(
    list: &[u32],
    least: u16,
    most: u16,
    at: At<'_>,
    report: &mut Report,
) -> BTreeSet<u16> {
    if list.is_empty() {
        report.fault(at, "expected at least one status");
    }
    let mut statuses = BTreeSet::new();
    for (index, status) in list.iter().enumerate() {
        let at = at.index(index);
        if !statuses.insert(check_status(*status, least, most, at, report)) {
            report.fault(at, format!("{status} stands here twice"));
        }
    }
    statuses
}

fn check_status(status: u32, least: u16, most: u16, at: At<'_>, report: &mut Report) -> u16 {
    let fits = u16::try_from(status).ok().filter(|it| (least..=most).contains(it));
    fits.unwrap_or_else(|| {
        report.fault(at, format!("expected a status from {least} to {most}, found {status}"));
        u16::try_from(status).unwrap_or(most)
    })
}

#[cfg(test)]
mod tests;
