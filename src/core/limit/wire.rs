//! The plugins `limit-count`, `limit-req` and `limit-conn` as APISIX writes them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::conn::{CONN_MAX, Conn};
use super::count::{COUNT_MAX, Count, SLIDING_MAX, WINDOW_SECS_MAX};
use super::key::{Key, KeyType};
use super::quota::{Bound, Holder, Limit, Policy, Quota};
use super::rate::{DRAIN_SECS_MAX, RATE_MAX, Rate};
use super::state::Ticks;
use super::{LIMIT_CONN, LIMIT_COUNT, LIMIT_REQ};
use crate::fault::{At, Report};
use crate::meta::{Meta, MetaWire};
use crate::wire::{self, Unsupported};

/// The fewest requests a second of a shared limit, which stores count in thousandths.
pub(super) const RATE_SHARED_MIN: f64 = 0.001;

/// The longest that each request of `limit-conn` may be expected to take, in seconds.
const DELAY_SECS_MAX: f64 = 60.0;

/// What is told to `limit-count`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be refused by name")]
pub(crate) struct LimitCountWire {
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = COUNT_MAX)))]
    count: u32,
    /// Seconds.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = WINDOW_SECS_MAX)))]
    time_window: u32,
    window_type: Option<WindowType>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    key: Option<String>,
    key_type: Option<KeyType>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    group: Option<String>,
    #[cfg_attr(feature = "schema", schemars(range(min = 200, max = 599)))]
    rejected_code: Option<u32>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    rejected_msg: Option<String>,
    policy: Option<Policy>,
    allow_degradation: Option<bool>,
    show_limit_quota_header: Option<bool>,
    rules: Option<Unsupported>,
    sync_interval: Option<Unsupported>,
    _meta: Option<MetaWire>,
}

/// What is told to `limit-req`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitReqWire {
    /// Requests a second.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0, "maximum" = RATE_MAX)))]
    rate: f64,
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    burst: f64,
    nodelay: Option<bool>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    key: String,
    key_type: Option<KeyType>,
    #[cfg_attr(feature = "schema", schemars(range(min = 200, max = 599)))]
    rejected_code: Option<u32>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    rejected_msg: Option<String>,
    policy: Option<Policy>,
    allow_degradation: Option<bool>,
    _meta: Option<MetaWire>,
}

/// What is told to `limit-conn`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be refused by name")]
pub(crate) struct LimitConnWire {
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = CONN_MAX)))]
    conn: u32,
    #[cfg_attr(feature = "schema", schemars(range(max = CONN_MAX)))]
    burst: u32,
    /// Seconds.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0, "maximum" = DELAY_SECS_MAX)))]
    default_conn_delay: f64,
    only_use_default_delay: Option<bool>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    key: String,
    key_type: Option<KeyType>,
    #[cfg_attr(feature = "schema", schemars(range(min = 200, max = 599)))]
    rejected_code: Option<u32>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    rejected_msg: Option<String>,
    policy: Option<Policy>,
    allow_degradation: Option<bool>,
    rules: Option<Unsupported>,
    key_ttl: Option<Unsupported>,
    _meta: Option<MetaWire>,
}

/// How a window is laid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum WindowType {
    /// From the first request on.
    #[default]
    Fixed,
    /// Behind whatever time it is.
    Sliding,
}

/// What all three are told of what becomes of requests.
struct Common<'w> {
    key: Option<&'w str>,
    key_type: Option<KeyType>,
    rejected_code: Option<u32>,
    rejected_msg: Option<&'w str>,
    policy: Option<Policy>,
    allow_degradation: Option<bool>,
}

impl LimitCountWire {
    /// Checks the plugin of the resource that `salt` stands for.
    pub(crate) fn compile(self, salt: &str, at: At<'_>, report: &mut Report) -> Limit {
        let is_sliding = self.window_type == Some(WindowType::Sliding);
        let count = count_bound(self.count, self.time_window, is_sliding, at, report);
        check_text(self.group.as_deref(), at.key("group"), report);
        let common = Common {
            key: self.key.as_deref(),
            key_type: self.key_type,
            rejected_code: self.rejected_code,
            rejected_msg: self.rejected_msg.as_deref(),
            policy: self.policy,
            allow_degradation: self.allow_degradation,
        };
        let mut quota = common.quota(count, at, report);
        quota.shows_quota = self.show_limit_quota_header.unwrap_or(true);
        let holder = self.group.as_deref().map_or(Holder::Resource(salt), Holder::Group);
        Limit::new(LIMIT_COUNT, holder, Meta::compile(self._meta, at, report), quota)
    }
}

impl LimitReqWire {
    /// Checks the plugin of the resource that `salt` stands for.
    pub(crate) fn compile(self, salt: &str, at: At<'_>, report: &mut Report) -> Limit {
        let is_nodelay = self.nodelay.unwrap_or_default();
        let rate = rate_bound(self.rate, self.burst, is_nodelay, at, report);
        let common = Common {
            key: Some(&self.key),
            key_type: self.key_type,
            rejected_code: self.rejected_code,
            rejected_msg: self.rejected_msg.as_deref(),
            policy: self.policy,
            allow_degradation: self.allow_degradation,
        };
        let quota = common.quota(rate, at, report);
        if quota.policy == Policy::Shared && self.rate < RATE_SHARED_MIN {
            let what = format!("expected at least {RATE_SHARED_MIN} where it is shared");
            report.fault(at.key("rate"), what);
        }
        let meta = Meta::compile(self._meta, at, report);
        Limit::new(LIMIT_REQ, Holder::Resource(salt), meta, quota)
    }
}

impl LimitConnWire {
    /// Checks the plugin of the resource that `salt` stands for.
    pub(crate) fn compile(self, salt: &str, at: At<'_>, report: &mut Report) -> Limit {
        let conn = conn_bound(self.conn, self.burst, at, report);
        let delay = self.default_conn_delay;
        if !(delay > 0.0 && delay <= DELAY_SECS_MAX) {
            let what =
                format!("expected seconds, above 0 and up to {DELAY_SECS_MAX}, found {delay}");
            report.fault(at.key("default_conn_delay"), what);
        }
        let common = Common {
            key: Some(&self.key),
            key_type: self.key_type,
            rejected_code: self.rejected_code,
            rejected_msg: self.rejected_msg.as_deref(),
            policy: self.policy,
            allow_degradation: self.allow_degradation,
        };
        let mut quota = common.quota(conn, at, report);
        let millis = (delay.clamp(0.0, DELAY_SECS_MAX) * 1000.0).round() as u64;
        quota.pace = Some((millis, self.only_use_default_delay.unwrap_or_default()));
        let meta = Meta::compile(self._meta, at, report);
        Limit::new(LIMIT_CONN, Holder::Resource(salt), meta, quota)
    }
}

impl Common<'_> {
    fn quota(self, bound: Bound, at: At<'_>, report: &mut Report) -> Quota {
        check_text(self.key, at.key("key"), report);
        check_text(self.rejected_msg, at.key("rejected_msg"), report);
        let status = self.rejected_code.unwrap_or(503);
        let fits = u16::try_from(status).ok().filter(|it| (200..=599).contains(it));
        if fits.is_none() {
            let what = format!("expected a status from 200 to 599, found {status}");
            report.fault(at.key("rejected_code"), what);
        }
        if fits == Some(204) || fits == Some(304) {
            report
                .warn(at.key("rejected_code"), "clients take this for success, and it has no body");
        }
        let policy = self.policy.unwrap_or_default();
        if self.allow_degradation == Some(true) && policy == Policy::Local {
            report.warn(
                at.key("allow_degradation"),
                "has no effect without `\"policy\": \"shared\"`",
            );
        }
        Quota {
            bound,
            key: Key::compile(self.key, self.key_type, at, report),
            policy,
            status: fits.unwrap_or(503),
            message: self.rejected_msg.map(Into::into),
            may_degrade: self.allow_degradation.unwrap_or_default(),
            shows_quota: false,
            pace: None,
        }
    }
}

/// So many in so many seconds.
pub(super) fn count_bound(
    count: u32,
    secs: u32,
    is_sliding: bool,
    at: At<'_>,
    report: &mut Report,
) -> Bound {
    let most = if is_sliding { SLIDING_MAX } else { COUNT_MAX };
    let count = within("count", count, 1, most, at, report);
    let secs = within("time_window", secs, 1, WINDOW_SECS_MAX, at, report);
    Bound::Count(Count { count, window: Ticks::from_secs(secs.into()), is_sliding })
}

/// So many a second.
pub(super) fn rate_bound(
    rate: f64,
    burst: f64,
    is_nodelay: bool,
    at: At<'_>,
    report: &mut Report,
) -> Bound {
    let mut is_sound = true;
    if !(rate > 0.0 && rate <= RATE_MAX) {
        let what =
            format!("expected requests a second, above 0 and up to {RATE_MAX}, found {rate}");
        report.fault(at.key("rate"), what);
        is_sound = false;
    }
    if burst.is_nan() || burst < 0.0 {
        report.fault(at.key("burst"), format!("expected a number from 0, found {burst}"));
        is_sound = false;
    }
    if is_sound && (burst + 1.0) / rate > DRAIN_SECS_MAX {
        let what = "a burst takes longer than a day at this rate: `limit-count` is for quotas";
        report.fault(at.key("burst"), what);
        is_sound = false;
    }
    Bound::Rate(if is_sound {
        Rate::new(rate, burst, is_nodelay)
    } else {
        Rate::new(1.0, 0.0, false)
    })
}

/// So many at once.
pub(super) fn conn_bound(conn: u32, burst: u32, at: At<'_>, report: &mut Report) -> Bound {
    let conn = within("conn", conn, 1, CONN_MAX, at, report);
    if conn.saturating_add(burst) > CONN_MAX {
        let what = format!("expected at most {CONN_MAX} together with `conn`, found {burst}");
        report.fault(at.key("burst"), what);
    }
    Bound::Conn(Conn { conn, burst: burst.min(CONN_MAX - conn) })
}

/// The number, if it is one of these.
fn within(key: &str, value: u32, least: u32, most: u32, at: At<'_>, report: &mut Report) -> u32 {
    if !(least..=most).contains(&value) {
        let what = format!("expected an integer from {least} to {most}, found {value}");
        report.fault(at.key(key), what);
    }
    value.clamp(least, most)
}

fn check_text(text: Option<&str>, at: At<'_>, report: &mut Report) {
    if text.is_some_and(str::is_empty) {
        report.fault(at, "expected at least one character");
    }
}

/// What APISIX calls the policies for which it has words of its own.
const REDIS: &str = "redis";

/// The plugin at `at` without what only APISIX's Redis policies have, which is reported.
pub(crate) fn without_redis<'v>(
    value: &'v Value,
    at: At<'_>,
    report: &mut Report,
) -> Cow<'v, Value> {
    let is_policy = |key: &str, value: &Value| {
        key == "policy" && value.as_str().is_some_and(|policy| policy.starts_with(REDIS))
    };
    let Some(members) = value.as_object() else { return Cow::Borrowed(value) };
    let mut rest = members.clone();
    rest.retain(|key, value| {
        let is_redis = key.starts_with("redis_") || is_policy(key, value);
        if is_redis {
            let what = "limits are shared by `\"policy\": \"shared\"`; where the store is, the server is told by \
                `--redis`, and the edge has its own";
            report.fault(at.key(key), what);
        }
        !is_redis
    });
    if rest.len() == members.len() { Cow::Borrowed(value) } else { Cow::Owned(Value::Object(rest)) }
}

/// The groups in a document, each with where it was met first and what it is told there.
#[derive(Default)]
pub(crate) struct Groups(BTreeMap<String, (String, Quota)>);

impl Groups {
    /// The same of the plugins of a resource.
    pub(crate) fn check_resource(&mut self, resource: &Value, at: At<'_>, report: &mut Report) {
        if let Some(plugin) = resource.get("plugins").and_then(|it| it.get(LIMIT_COUNT)) {
            self.check(plugin, at.key("plugins").key(LIMIT_COUNT), report);
        }
    }

    /// Reports a plugin [`LIMIT_COUNT`] that is told something else than another of its group.
    pub(crate) fn check(&mut self, plugin: &Value, at: At<'_>, report: &mut Report) {
        let Some(group) = plugin.get("group").and_then(Value::as_str) else { return };
        // What else is wrong with it is reported where it is compiled.
        let mut rest = Report::default();
        let compile =
            |wire: LimitCountWire, report: &mut Report| Some(wire.compile("", at, report));
        let Some(limit) = wire::read(plugin, at, &mut rest, compile) else { return };
        match self.0.get(group) {
            Some((place, quota)) if *quota != limit.quota => {
                let what = format!("the group `{group}` is told something else at {place}");
                report.fault(at.key("group"), what);
            }
            Some(_) => {}
            None => drop(self.0.insert(group.to_owned(), (at.to_string(), limit.quota))),
        }
    }
}

#[cfg(test)]
mod tests;
