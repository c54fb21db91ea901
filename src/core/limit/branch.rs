//! What one branch of a split can take.

use std::sync::Arc;

use serde::Deserialize;

#[cfg(feature = "schema")]
use super::conn::CONN_MAX;
#[cfg(feature = "schema")]
use super::count::{COUNT_MAX, WINDOW_SECS_MAX};
use super::hold::Hold;
use super::key::{Key, KeyType};
use super::quota::{Bound, Policy};
#[cfg(feature = "schema")]
use super::rate::RATE_MAX;
use super::wire::{WindowType, conn_bound, count_bound, rate_bound};
use super::{Counters, Mark, Reading};
use crate::facts::Facts;
use crate::fault::{At, Report};
use crate::time::Timestamp;

/// How many keys are kept apart for a branch.
const KEYS: usize = if cfg!(target_arch = "wasm32") { 1_024 } else { 8_192 };

/// What a branch takes, in one of three ways: so many in a window, so many a second, or so many at once.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct BranchLimitWire {
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = COUNT_MAX)))]
    count: Option<u32>,
    /// Seconds.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = WINDOW_SECS_MAX)))]
    time_window: Option<u32>,
    window_type: Option<WindowType>,
    /// Requests a second.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0, "maximum" = RATE_MAX)))]
    rate: Option<f64>,
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    burst: Option<f64>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = CONN_MAX)))]
    conn: Option<u32>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    key: Option<String>,
    key_type: Option<KeyType>,
    policy: Option<Policy>,
}

/// What a branch takes, and what it has taken. A branch that follows another goes on with that.
#[derive(Debug)]
pub(crate) struct BranchLimit {
    bound: Bound,
    /// Of whom, each by himself; of all together, where nothing is said.
    key: Option<Key>,
    counters: Arc<Counters>,
}

impl BranchLimit {
    /// Goes on with what `earlier` has counted, if it is told the same.
    pub(crate) fn follow(&mut self, earlier: &Self) {
        if (self.bound, &self.key) == (earlier.bound, &earlier.key) {
            self.counters = Arc::clone(&earlier.counters);
        }
    }

    /// Whose request it is.
    pub(crate) fn mark(&self, facts: &Facts<'_>, chance: &dyn Fn() -> u64) -> Mark {
        let key = self.key.as_ref().map(|key| key.of(facts)).unwrap_or_default();
        self.counters.mark(0, key.as_bytes(), chance)
    }

    /// What would become of another request; nothing is counted.
    pub(crate) fn look(&self, mark: Mark, now: Timestamp) -> Reading {
        self.bound.step(self.counters.look(mark), now).1
    }

    /// Counts a request, unless there is no room for it.
    pub(crate) fn take(&self, mark: Mark, now: Timestamp) -> Result<Option<Hold>, Reading> {
        let reading = self.counters.change(mark, now, |state| self.bound.step(state, now));
        if !reading.is_admitted {
            return Err(reading);
        }
        let place = reading.place.zip(self.bound.conn());
        Ok(place.map(|(place, conn)| Hold::new(&self.counters, mark, conn, place, (now, None))))
    }
}

impl BranchLimitWire {
    /// Checks what stands at `at`.
    pub(crate) fn compile(&self, at: At<'_>, report: &mut Report) -> Option<BranchLimit> {
        let said = [self.count.is_some(), self.rate.is_some(), self.conn.is_some()];
        if said.into_iter().filter(|is_said| *is_said).count() != 1 {
            report.fault(at, "expected one of `count` with `time_window`, `rate`, and `conn`");
            return None;
        }
        self.check_words(at, report);
        let is_sliding = self.window_type == Some(WindowType::Sliding);
        let bound = if let Some(rate) = self.rate {
            rate_bound(rate, self.burst.unwrap_or_default(), true, at, report)
        } else if let Some(conn) = self.conn {
            conn_bound(conn, 0, at, report)
        } else {
            let Some(secs) = self.time_window else {
                report.fault(at, "`time_window` is missing, which `count` needs");
                return None;
            };
            count_bound(self.count.unwrap_or(1), secs, is_sliding, at, report)
        };
        if self.policy == Some(Policy::Shared) {
            let what = "what a branch takes is counted by each process and isolate, not shared yet: a share of it for each, or `limit-count` for the route";
            report.fault(at.key("policy"), what);
        }
        let has_key = self.key.is_some() || self.key_type.is_some();
        let key = has_key.then(|| Key::compile(self.key.as_deref(), self.key_type, at, report));
        let slots = if has_key { KEYS } else { 1 };
        Some(BranchLimit { bound, key, counters: Arc::new(Counters::with_capacity(slots)) })
    }

    /// Checks that what is said has an effect.
    fn check_words(&self, at: At<'_>, report: &mut Report) {
        let needless = [
            ("time_window", self.time_window.is_some() && self.count.is_none(), "count"),
            ("window_type", self.window_type.is_some() && self.count.is_none(), "count"),
            ("burst", self.burst.is_some() && self.rate.is_none(), "rate"),
        ];
        for (key, is_needless, other) in needless {
            if is_needless {
                report.fault(at.key(key), format!("has no meaning without `{other}`"));
            }
        }
    }
}
