//! A leaky bucket: what is in it leaks at a constant rate, and what it does not take does not pass.
//!
//! With several granted at once it is not known when they pass: it may be at once, or when they are just
//! still good. The bucket is kept as full as it could be then. Passing at once needs room for all of them
//! now. Passing at the end of the time for which they are good, they meet what is left then of what is in it
//! now, or nothing; to have at least as much in it as leaks in that time, and them, is the worst of both.
//! One alone passes now.

use serde::{Deserialize, Serialize};

use super::{PART, batch};
use crate::limit::Grant;

/// One request, in millionths. A rate in thousandths of a request a second times milliseconds is of this
/// unit.
const REQUEST: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Leaky {
    /// What is in it, in millionths of a request, at the moment `at_ms`.
    level: u64,
    at_ms: u64,
}

impl Leaky {
    /// What is granted of `rate_milli` and `burst_milli`, and until when this counts.
    pub(super) fn take(
        &mut self,
        (rate_milli, burst_milli): (u64, u64),
        want: u32,
        now_ms: u64,
    ) -> (Grant, u64) {
        let rate = rate_milli.max(1);
        let size = burst_milli.saturating_mul(1000).saturating_add(REQUEST);
        let leaked = rate.saturating_mul(now_ms.saturating_sub(self.at_ms));
        let level = self.level.saturating_sub(leaked);
        let left = size.saturating_sub(level) / REQUEST;
        let granted = batch(want, left);
        let slack = if granted > 1 { left / PART * REQUEST } else { 0 };
        let filled = match granted {
            0 => level,
            _ => level.max(slack) + u64::from(granted) * REQUEST,
        };
        *self = Self { level: filled, at_ms: now_ms };
        let remaining = size.saturating_sub(filled) / REQUEST;
        let lacking = match remaining {
            0 => (filled + REQUEST).saturating_sub(size),
            _ => 0,
        };
        let grant = Grant {
            granted,
            remaining,
            reset_ms: lacking.div_ceil(rate),
            pause_ms: if granted > 0 { level.div_ceil(rate) } else { 0 },
            good_ms: slack / rate,
        };
        (grant, now_ms.saturating_add(filled.div_ceil(rate)))
    }
}
