//! The member `checks` of an upstream.
//!
//! Fields, ranges and defaults are those of APISIX's schema, which fills in what is absent inside of
//! `healthy` and `unhealthy`, but not these objects themselves. Where one of them is absent the defaults
//! of lua-resty-healthcheck hold. They are the same, except that the interval is 0, which means never;
//! and of requests APISIX (`healthcheck_passive`) then reports no status to it, only failures without
//! one.

#[cfg(test)]
mod tests;

use serde::Deserialize;
use std::time::Duration;

use super::{Active, Checks, Limits, Method, Passive, Protocol};
use crate::fault::{At, Report};
#[cfg(feature = "schema")]
use crate::node::HOST_MAX;
use crate::node::is_host;
use crate::statuses::Statuses;

/// The most seconds of a timeout or an interval: a day.
const SECS_MAX: u32 = 86_400;

/// The most that a counter counts to, as in APISIX.
const COUNT_MAX: u8 = 254;

/// The most nodes that are probed at once.
const CONCURRENCY_MAX: u32 = 1000;

/// The statuses that can count, as in APISIX.
#[cfg(feature = "schema")]
const STATUS_MIN: u16 = 200;
#[cfg(feature = "schema")]
const STATUS_MAX: u16 = 599;

/// How often the edge can probe, in seconds: its timer rings once a minute.
const EDGE_INTERVAL: u32 = 60;

/// The member `checks`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct ChecksWire {
    /// Without it a node that is down would never be up again.
    active: ActiveWire,
    passive: Option<PassiveWire>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct ActiveWire {
    r#type: Option<Protocol>,
    #[cfg_attr(
        feature = "schema",
        schemars(range(max = SECS_MAX), extend("exclusiveMinimum" = 0))
    )]
    timeout: Option<f64>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = CONCURRENCY_MAX)))]
    concurrency: Option<u32>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = HOST_MAX)))]
    host: Option<String>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    port: Option<u16>,
    #[cfg_attr(feature = "schema", schemars(regex(pattern = r"^/[!-~]*$")))]
    http_path: Option<String>,
    https_verify_certificate: Option<bool>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    req_headers: Option<Vec<String>>,
    http_method: Option<Method>,
    http_req_body: Option<String>,
    healthy: Option<ActiveHealthyWire>,
    unhealthy: Option<ActiveUnhealthyWire>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct ActiveHealthyWire {
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = SECS_MAX)))]
    interval: Option<u32>,
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1), inner(range(min = STATUS_MIN, max = STATUS_MAX)))
    )]
    http_statuses: Option<Vec<u16>>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = COUNT_MAX)))]
    successes: Option<u8>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct ActiveUnhealthyWire {
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = SECS_MAX)))]
    interval: Option<u32>,
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1), inner(range(min = STATUS_MIN, max = STATUS_MAX)))
    )]
    http_statuses: Option<Vec<u16>>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = COUNT_MAX)))]
    http_failures: Option<u8>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = COUNT_MAX)))]
    tcp_failures: Option<u8>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = COUNT_MAX)))]
    timeouts: Option<u8>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct PassiveWire {
    r#type: Option<Protocol>,
    healthy: Option<PassiveHealthyWire>,
    unhealthy: Option<PassiveUnhealthyWire>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct PassiveHealthyWire {
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1), inner(range(min = STATUS_MIN, max = STATUS_MAX)))
    )]
    http_statuses: Option<Vec<u16>>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = COUNT_MAX)))]
    successes: Option<u8>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct PassiveUnhealthyWire {
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1), inner(range(min = STATUS_MIN, max = STATUS_MAX)))
    )]
    http_statuses: Option<Vec<u16>>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = COUNT_MAX)))]
    http_failures: Option<u8>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = COUNT_MAX)))]
    tcp_failures: Option<u8>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = COUNT_MAX)))]
    timeouts: Option<u8>,
}

impl ChecksWire {
    /// Checks the member; warns of what the edge cannot do.
    pub(crate) fn compile(&self, at: At<'_>, report: &mut Report) -> Checks {
        let passive = self.passive.as_ref();
        Checks {
            active: self.active.compile(at.key("active"), report),
            passive: passive.map(|wire| wire.compile(at.key("passive"), report)),
        }
    }
}

impl ActiveWire {
    fn compile(&self, at: At<'_>, report: &mut Report) -> Active {
        let up = self.healthy.as_ref().map(|wire| wire.interval.unwrap_or(1));
        let down = self.unhealthy.as_ref().map(|wire| wire.interval.unwrap_or(1));
        let active = Active {
            protocol: self.r#type.unwrap_or_default(),
            timeout: self.timeout(at.key("timeout"), report),
            concurrency: self.concurrency(at.key("concurrency"), report),
            host: self.host(at.key("host"), report),
            port: self.port(at.key("port"), report),
            method: self.http_method.unwrap_or_default(),
            path: self.path(at.key("http_path"), report),
            headers: self.headers(at.key("req_headers"), report),
            body: self.http_req_body.clone().unwrap_or_default(),
            verify: self.https_verify_certificate.unwrap_or(true),
            interval_up: interval(up, at.key("healthy"), report),
            interval_down: interval(down, at.key("unhealthy"), report),
            limits: self.limits(at, report),
        };
        self.warn(at, report);
        active
    }

    /// Says what is remarkable: where nothing is probed, and what the edge cannot do.
    fn warn(&self, at: At<'_>, report: &mut Report) {
        let up = self.healthy.as_ref().map(|wire| wire.interval.unwrap_or(1));
        let down = self.unhealthy.as_ref().map(|wire| wire.interval.unwrap_or(1));
        if up.is_none() && down.is_none() {
            let what = "without `healthy` or `unhealthy` no node is probed, as in APISIX";
            report.warn(at, what);
        }
        if [up, down].into_iter().flatten().any(|secs| secs < EDGE_INTERVAL) {
            report.warn(at, "at the edge nodes are probed once a minute at best");
        }
        if self.r#type == Some(Protocol::Tcp) {
            report.warn(at.key("type"), "at the edge no node is probed by `tcp`");
        }
        if self.host.is_some() && self.r#type != Some(Protocol::Tcp) {
            let what = "at the edge a probe asks for the node's own name";
            report.warn(at.key("host"), what);
        }
        if self.r#type == Some(Protocol::Https) && self.https_verify_certificate == Some(false) {
            let what = "at the edge the certificates of nodes are always verified";
            report.warn(at.key("https_verify_certificate"), what);
        }
    }

    fn timeout(&self, at: At<'_>, report: &mut Report) -> Duration {
        let secs = self.timeout.unwrap_or(1.0);
        if secs > 0.0 && secs <= f64::from(SECS_MAX) {
            return Duration::from_secs_f64(secs);
        }
        report.fault(at, format!("expected seconds, more than 0 and at most {SECS_MAX}"));
        Duration::ZERO
    }

    fn concurrency(&self, at: At<'_>, report: &mut Report) -> usize {
        let concurrency = self.concurrency.unwrap_or(10);
        if !(1..=CONCURRENCY_MAX).contains(&concurrency) {
            let what = format!("expected nodes from 1 to {CONCURRENCY_MAX}, found `{concurrency}`");
            report.fault(at, what);
        }
        usize::try_from(concurrency).unwrap_or(usize::MAX)
    }

    fn host(&self, at: At<'_>, report: &mut Report) -> Option<String> {
        let host = self.host.as_deref()?;
        if !is_host(host) || host.starts_with('[') {
            report.fault(at, "expected a host name or an IPv4 address");
        }
        Some(host.to_ascii_lowercase())
    }

    fn port(&self, at: At<'_>, report: &mut Report) -> Option<u16> {
        if self.port == Some(0) {
            report.fault(at, "expected a port from 1 to 65535");
        }
        self.port
    }

    fn path(&self, at: At<'_>, report: &mut Report) -> String {
        let path = self.http_path.as_deref().unwrap_or("/");
        if !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic()) {
            let what = "expected a path from `/` on, of printable ASCII without blanks";
            report.fault(at, what);
        }
        path.to_owned()
    }

    fn headers(&self, at: At<'_>, report: &mut Report) -> Vec<(String, String)> {
        let Some(lines) = &self.req_headers else { return Vec::new() };
        if lines.is_empty() {
            report.fault(at, "expected at least one header");
        }
        let headers = lines.iter().enumerate();
        headers.filter_map(|(index, line)| header(line, at.index(index), report)).collect()
    }

    fn limits(&self, at: At<'_>, report: &mut Report) -> Limits {
        let (up, down) = (at.key("healthy"), at.key("unhealthy"));
        let healthy = &ActiveHealthyWire::default();
        let healthy = self.healthy.as_ref().unwrap_or(healthy);
        let unhealthy = &ActiveUnhealthyWire::default();
        let unhealthy = self.unhealthy.as_ref().unwrap_or(unhealthy);
        let codes = [429, 404, 500, 501, 502, 503, 504, 505];
        Limits {
            healthy: statuses(&healthy.http_statuses, [200, 302], up, report),
            successes: count(healthy.successes, 2, up.key("successes"), report),
            unhealthy: statuses(&unhealthy.http_statuses, codes, down, report),
            http_failures: count(unhealthy.http_failures, 5, down.key("http_failures"), report),
            tcp_failures: count(unhealthy.tcp_failures, 2, down.key("tcp_failures"), report),
            timeouts: count(unhealthy.timeouts, 3, down.key("timeouts"), report),
        }
    }
}

impl PassiveWire {
    fn compile(&self, at: At<'_>, report: &mut Report) -> Passive {
        let (up, down) = (at.key("healthy"), at.key("unhealthy"));
        let healthy = &PassiveHealthyWire::default();
        let healthy = self.healthy.as_ref().unwrap_or(healthy);
        let unhealthy = &PassiveUnhealthyWire::default();
        let unhealthy = self.unhealthy.as_ref().unwrap_or(unhealthy);
        if self.r#type == Some(Protocol::Tcp) {
            report.warn(at.key("type"), "requests are HTTP: as in APISIX this changes nothing");
        }
        let good = (200..=208).chain([226]).chain(300..=308);
        let good = good.filter(|_| self.healthy.is_some());
        let bad = [429, 500, 503].into_iter().filter(|_| self.unhealthy.is_some());
        let limits = Limits {
            healthy: statuses(&healthy.http_statuses, good, up, report),
            successes: count(healthy.successes, 5, up.key("successes"), report),
            unhealthy: statuses(&unhealthy.http_statuses, bad, down, report),
            http_failures: count(unhealthy.http_failures, 5, down.key("http_failures"), report),
            tcp_failures: count(unhealthy.tcp_failures, 2, down.key("tcp_failures"), report),
            timeouts: count(unhealthy.timeouts, 7, down.key("timeouts"), report),
        };
        Passive { limits }
    }
}

fn interval(secs: Option<u32>, at: At<'_>, report: &mut Report) -> Option<Duration> {
    let secs = secs?;
    if !(1..=SECS_MAX).contains(&secs) {
        let what = format!("expected seconds from 1 to {SECS_MAX}, found `{secs}`");
        report.fault(at.key("interval"), what);
    }
    Some(Duration::from_secs(secs.into()))
}

fn statuses(
    list: &Option<Vec<u16>>,
    default: impl IntoIterator<Item = u16>,
    at: At<'_>,
    report: &mut Report,
) -> Statuses {
    match list {
        Some(list) => Statuses::compile(list, at.key("http_statuses"), report),
        None => default.into_iter().collect(),
    }
}

fn count(count: Option<u8>, default: u8, at: At<'_>, report: &mut Report) -> u8 {
    let count = count.unwrap_or(default);
    if !(1..=COUNT_MAX).contains(&count) {
        report.fault(at, format!("expected a number from 1 to {COUNT_MAX}, found `{count}`"));
    }
    count
}

/// A line of a head (RFC 9110, section 5): a token, a colon, and anything but control characters.
fn header(line: &str, at: At<'_>, report: &mut Report) -> Option<(String, String)> {
    let parts = line.split_once(':').filter(|(name, value)| {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let is_value = value.chars().all(|c| c == '\t' || !c.is_control());
        !name.is_empty() && name.bytes().all(is_token) && is_value
    });
    let Some((name, value)) = parts else {
        report.fault(at, "expected a header as `Name: value`");
        return None;
    };
    let name = name.to_ascii_lowercase();
    if name == "host" {
        report.fault(at, "what a probe asks for as `Host` stands in `host`");
    }
    Some((name, value.trim().to_owned()))
}
