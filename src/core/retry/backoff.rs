//! How long to wait before another attempt: a random time below a bound that doubles.
//!
//! Full jitter: of the ways to spread retries it needs the fewest calls, and least time, until all
//! clients are through (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

use serde::Deserialize;
use std::time::Duration;

use crate::fault::{At, Report};

/// The longest that can be configured, in seconds: no client waits longer than an hour.
const SECS_MAX: f64 = 3600.0;

/// A bound that doubles with each retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Microseconds: the bound of the first wait, and the bound of all.
    base: u64,
    max: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(25), Duration::from_secs(1))
    }
}

impl Backoff {
    /// Waits of at most `base` before the first retry, twice that before the second, and so on up to
    /// `max`; to the microsecond.
    pub fn new(base: Duration, max: Duration) -> Self {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self { base: micros(base), max: micros(max) }
    }

    /// The longest wait there is.
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.max)
    }

    /// How long to wait before a retry, the first being number 0: evenly anything from nothing to
    /// `base * 2^retry_number`, but at most `max`, as `draw` (any number, evenly random) has it.
    pub fn delay(&self, retry_number: u32, draw: u64) -> Duration {
        let factor = 1u64.checked_shl(retry_number).unwrap_or(u64::MAX);
        let bound = self.base.saturating_mul(factor).min(self.max);
        // At most 2^64 - 1 times 2^64, of which the upper half is at most `bound`.
        let share = (u128::from(draw) * (u128::from(bound) + 1)) >> 64;
        Duration::from_micros(u64::try_from(share).unwrap_or(bound))
    }
}

/// The member `backoff`: seconds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct BackoffWire {
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = SECS_MAX)))]
    base: Option<f64>,
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = SECS_MAX)))]
    max: Option<f64>,
}

impl BackoffWire {
    pub(super) fn compile(self, at: At<'_>, report: &mut Report) -> Backoff {
        let default = Backoff::default();
        let mut secs = |key, secs: Option<f64>, default: u64| match secs {
            None => Some(Duration::from_micros(default)),
            Some(secs) if (0.0..=SECS_MAX).contains(&secs) => Some(Duration::from_secs_f64(secs)),
            Some(_) => {
                report.fault(at.key(key), format!("expected seconds from 0 to {SECS_MAX}"));
                None
            }
        };
        let (base, max) =
            (secs("base", self.base, default.base), secs("max", self.max, default.max));
        let (Some(base), Some(max)) = (base, max) else { return default };
        if base > max {
            let (base, max) = (base.as_secs_f64(), max.as_secs_f64());
            report.fault(at, format!("`base` ({base} s) is longer than `max` ({max} s)"));
        }
        Backoff::new(base, max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_most_and_never_overflows() {
        let backoff = Backoff::new(Duration::from_millis(25), Duration::from_secs(1));
        for (number, bound) in [
            (0, 25),
            (1, 50),
            (2, 100),
            (5, 800),
            (6, 1000),
            (63, 1000),
            (64, 1000),
            (u32::MAX, 1000),
        ] {
            assert_eq!(backoff.delay(number, 0), Duration::ZERO);
            assert_eq!(backoff.delay(number, u64::MAX), Duration::from_millis(bound), "{number}");
        }
        let longest = Backoff::new(Duration::MAX, Duration::MAX);
        assert_eq!(longest.delay(u32::MAX, u64::MAX), Duration::from_micros(u64::MAX));
        assert_eq!(Backoff::new(Duration::ZERO, Duration::ZERO).delay(3, u64::MAX), Duration::ZERO);
    }

    #[test]
    fn waits_are_spread_evenly_below_the_bound() {
        let backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(10));
        // Every 2^-16 of what can be drawn.
        let mut counts = [0; 10];
        for draw in (0..=u64::MAX).step_by(1 << 48) {
            counts[backoff.delay(7, draw).as_micros() as usize / 1001] += 1;
        }
        assert!(counts.iter().all(|count| (6_500..=6_600).contains(count)), "{counts:?}");
    }
}
