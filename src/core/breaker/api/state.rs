//! What `api-breaker` counts, and when that means that it is open.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::breaker::update;
use crate::time::Timestamp;

/// How much is counted, and for how long it is open at most, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) failures: u32,
    pub(super) successes: u32,
    pub(super) longest: u32,
}

/// What was counted. The two words are changed one after the other, as in APISIX: between both another
/// request may pass, or not.
#[derive(Debug, Default)]
pub(super) struct State {
    /// [`Counts`].
    counts: AtomicU64,
    /// When the last multiple of `failures` was reached: one more than its milliseconds; 0 for never.
    last: AtomicU64,
}

/// Unhealthy statuses since all was forgotten, and healthy ones since the last of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    unhealthy: u32,
    healthy: u32,
}

impl Counts {
    fn of(word: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
        let healthy = u32::from_le_bytes([a, b, c, d]);
        Self { unhealthy: u32::from_le_bytes([e, f, g, h]), healthy }
    }

    fn packed(self) -> u64 {
        u64::from(self.unhealthy) << 32 | u64::from(self.healthy)
    }

    /// With one more unhealthy status. A count that is full goes on at one with the same remainder.
    fn after_unhealthy(self, failures: u32) -> Self {
        let full = || self.unhealthy - (failures - 1);
        Self { unhealthy: self.unhealthy.checked_add(1).unwrap_or_else(full), healthy: 0 }
    }

    /// With one more healthy status, or nothing if that is enough of them; no change where nothing was
    /// unhealthy.
    fn after_healthy(self, successes: u32) -> Option<Self> {
        let healthy = self.healthy.saturating_add(1);
        let counts = if healthy >= successes { Self::default() } else { Self { healthy, ..self } };
        (self.unhealthy > 0).then_some(counts)
    }
}

impl State {
    /// Whether the time is not over that the counts make.
    pub(super) fn is_open(&self, limits: Limits, now: Timestamp) -> bool {
        let counts = Counts::of(self.counts.load(Ordering::Relaxed));
        if counts.unhealthy == 0 {
            return false;
        }
        let Some(last) = self.last(now) else { return false };
        // The memory of the moment is lost to the millisecond, what is compared are whole seconds.
        let is_lost = now.since(last).as_millis() > u128::from(limits.longest) * 1000;
        let doublings = (counts.unhealthy / limits.failures).clamp(1, 32);
        let secs = (1 << doublings).min(u64::from(limits.longest));
        !is_lost && last.as_secs() + secs >= now.as_secs()
    }

    /// Counts a status that is unhealthy.
    pub(super) fn note_unhealthy(&self, limits: Limits, now: Timestamp) {
        let next = |word| Some(Counts::of(word).after_unhealthy(limits.failures).packed());
        let counts = update(&self.counts, next).map(Counts::of).unwrap_or_default();
        if counts.unhealthy.is_multiple_of(limits.failures) {
            self.last.store(now.as_millis().saturating_add(1), Ordering::Relaxed);
        }
    }

    /// Counts a status that is healthy.
    pub(super) fn note_healthy(&self, limits: Limits) {
        let next = |word| Counts::of(word).after_healthy(limits.successes).map(Counts::packed);
        if update(&self.counts, next) == Some(Counts::default().packed()) {
            self.last.store(0, Ordering::Relaxed);
        }
    }

    /// When the last multiple was reached. A moment in the future is this one, or a clock that was set
    /// back would leave it open for as long.
    fn last(&self, now: Timestamp) -> Option<Timestamp> {
        let latest = now.as_millis().saturating_add(1);
        let last = update(&self.last, |last| (last > latest).then_some(latest));
        let last = last.unwrap_or_else(|| self.last.load(Ordering::Relaxed));
        last.checked_sub(1).map(Timestamp::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_counts_go_on_with_the_same_remainder() {
        let full = Counts { unhealthy: u32::MAX, healthy: u32::MAX };
        assert_eq!(Counts::of(full.packed()), full);
        for failures in [1, 2, 3, 7, 1_000_000, u32::MAX] {
            let Counts { unhealthy, healthy } = full.after_unhealthy(failures);
            assert_eq!(u64::from(unhealthy % failures), (1 << 32) % u64::from(failures));
            assert_eq!(healthy, 0);
        }
        let healthy = full.after_healthy(1_000).expect("something was unhealthy");
        assert_eq!(healthy, Counts::default());
    }
}
