//! What a breaker is told.

use serde::Deserialize;

use crate::fault::{At, Report};
use crate::time::Timestamp;

/// The most of what is counted one by one.
const COUNT_MAX: u16 = 10_000;
/// The most probes at once.
const PROBES_MAX: u8 = 64;
/// The least seconds of what is long at all.
const SECS_MIN: f64 = 0.1;
/// The most seconds of a window and of a slow start: an hour.
const WINDOW_SECS_MAX: f64 = 3600.0;
/// The most seconds for which nothing is let through: a day.
const OPEN_SECS_MAX: f64 = 86_400.0;

/// The member `breaker` of a rule, for each of its branches, or of an upstream, for each of its nodes.
/// Times are in seconds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct BreakerWire {
    /// After so many failures in a row it trips; 0: it does not.
    #[cfg_attr(feature = "schema", schemars(range(max = COUNT_MAX)))]
    failures: Option<u32>,
    /// It trips when so much of what was in `window` has failed, if there was `min_samples` of it.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    percent: Option<u32>,
    #[cfg_attr(feature = "schema", schemars(range(min = SECS_MIN, max = WINDOW_SECS_MAX)))]
    window: Option<f64>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = COUNT_MAX)))]
    min_samples: Option<u32>,
    /// For so long nothing is let through after the first trip, after each further one twice as long.
    #[cfg_attr(feature = "schema", schemars(range(min = SECS_MIN, max = OPEN_SECS_MAX)))]
    open: Option<f64>,
    #[cfg_attr(feature = "schema", schemars(range(min = SECS_MIN, max = OPEN_SECS_MAX)))]
    open_max: Option<f64>,
    /// So many requests at once are let through to see whether they succeed.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = PROBES_MAX)))]
    probes: Option<u32>,
    /// After so many successes of them all are let through.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = COUNT_MAX)))]
    successes: Option<u32>,
    /// For so long the share then grows to the whole.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = WINDOW_SECS_MAX)))]
    slow_start: Option<f64>,
}

/// What a breaker goes by. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Trips after so many failures in a row, 0 for never.
    pub(super) failures: u16,
    /// Trips by so much of a window, 0 for never.
    pub(super) percent: u8,
    pub(super) min_samples: u16,
    half: u32,
    pub(super) open: u32,
    open_max: u32,
    pub(super) probes: u8,
    pub(super) successes: u16,
    pub(super) slow_start: u32,
}

impl BreakerWire {
    /// Checks what stands at `at`; what has faults is as if it were not there.
    pub(crate) fn compile(&self, at: At<'_>, report: &mut Report) -> Policy {
        let mut count = |key: &str, value: Option<u32>, default: u16, least: u16, most: u16| {
            let Some(value) = value else { return default };
            let fits = u16::try_from(value).ok().filter(|it| (least..=most).contains(it));
            fits.unwrap_or_else(|| {
                let what = format!("expected an integer from {least} to {most}, found {value}");
                report.fault(at.key(key), what);
                default
            })
        };
        let failures = count("failures", self.failures, 5, 0, COUNT_MAX);
        let percent = count("percent", self.percent, 0, 1, 100);
        let min_samples = count("min_samples", self.min_samples, 20, 1, COUNT_MAX);
        let probes = count("probes", self.probes, 1, 1, u16::from(PROBES_MAX));
        let successes = count("successes", self.successes, 3, 1, COUNT_MAX);
        let mut millis = |key: &str, secs: Option<f64>, default: u32, least: f64, most: f64| {
            let Some(secs) = secs else { return default };
            if !(least..=most).contains(&secs) {
                let what = format!("expected seconds, from {least} to {most}, found {secs}");
                report.fault(at.key(key), what);
                return default;
            }
            let millis = std::time::Duration::from_secs_f64(secs).as_millis();
            u32::try_from(millis).expect("a day has fewer than 2^32 milliseconds")
        };
        let window = millis("window", self.window, 10_000, SECS_MIN, WINDOW_SECS_MAX);
        let open = millis("open", self.open, 5_000, SECS_MIN, OPEN_SECS_MAX);
        let open_max =
            millis("open_max", self.open_max, open.max(300_000), SECS_MIN, OPEN_SECS_MAX);
        let slow_start = millis("slow_start", self.slow_start, 0, 0.0, WINDOW_SECS_MAX);
        if open_max < open {
            report.fault(at.key("open_max"), "expected at least as many seconds as `open`");
        }
        self.check_words(failures, at, report);
        Policy {
            failures,
            percent: u8::try_from(percent).expect("at most 100"),
            min_samples,
            half: window / 2,
            open,
            open_max,
            probes: u8::try_from(probes).expect("at most PROBES_MAX"),
            successes,
            slow_start,
        }
    }

    /// Checks that what is said has an effect.
    fn check_words(&self, failures: u16, at: At<'_>, report: &mut Report) {
        if self.percent.is_some() {
            return;
        }
        if failures == 0 {
            let what = "it would never trip: expected `failures` above 0, or `percent`";
            report.fault(at, what);
        }
        let of_window =
            [("window", self.window.is_some()), ("min_samples", self.min_samples.is_some())];
        for (key, _) in of_window.into_iter().filter(|(_, is_said)| *is_said) {
            report.warn(at.key(key), "has no effect without `percent`");
        }
    }
}

impl Policy {
    /// For how many milliseconds nothing is let through after so many trips in a row.
    pub(super) fn shut(&self, trips: u8) -> u64 {
        let doubled = u64::from(self.open) << u32::from(trips.saturating_sub(1)).min(31);
        doubled.min(u64::from(self.open_max))
    }

    /// The number of the half window that it is, modulo 2^16.
    pub(super) fn half_window(&self, now: Timestamp) -> u16 {
        let number = now.as_millis() / u64::from(self.half.max(1));
        let [low, high, ..] = number.to_le_bytes();
        u16::from_le_bytes([low, high])
    }
}
