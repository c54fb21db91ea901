//! Times as counts between fixed boundaries.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The upper boundaries of all buckets but the last, which has none, in milliseconds. Those of APISIX's
/// plugin `prometheus` are among them; with those between, each is at most twice the one before it, so
/// that a quantile from 1 ms to 60 s is off by less than that, and mostly by much less.
pub const BOUNDS_MS: [u32; 30] = [
    1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 70, 100, 150, 200, 300, 400, 500, 700, 1000, 1500, 2000,
    3000, 5000, 7000, 10_000, 15_000, 20_000, 30_000, 60_000,
];

/// How many buckets there are.
pub const BUCKETS: usize = BOUNDS_MS.len() + 1;

/// Counts that threads add to.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_ms: AtomicU64,
}

impl Histogram {
    /// Counts a time; what is shorter than a millisecond is none.
    pub(super) fn note(&self, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MS.partition_point(|bound| u64::from(*bound) < millis);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
            // Most of our own times are none, and to add one to memory that all threads share costs a while.
            if millis > 0 {
                self.sum_ms.fetch_add(millis, Ordering::Relaxed);
            }
        }
    }

    /// What was counted.
    pub(super) fn times(&self) -> Times {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        Times { counts: counts.collect(), sum_ms: self.sum_ms.load(Ordering::Relaxed) }
    }
}

/// Counted times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// How many fell into each bucket: longer than the boundary before, not longer than its own.
    pub counts: Vec<u64>,
    /// All of them together, in milliseconds.
    pub sum_ms: u64,
}

impl Times {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// How many each bucket holds, with its upper boundary, which the last has none of.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u32>, u64)> {
        let bounds = BOUNDS_MS.into_iter().map(Some).chain([None]);
        bounds.zip(self.counts.iter().copied().chain(std::iter::repeat(0)))
    }

    /// Times by their buckets, with upper boundaries as [`buckets`](Self::buckets) tells them; how long they
    /// were together is not known. What ends at a boundary that is none here counts to the next one.
    pub fn of_buckets(buckets: &[(Option<u32>, u64)]) -> Self {
        let mut counts = vec![0; BUCKETS];
        for (bound, held) in buckets {
            let place = bound
                .map_or(BOUNDS_MS.len(), |bound| BOUNDS_MS.partition_point(|known| *known < bound));
            if let Some(count) = counts.get_mut(place) {
                *count = u64::saturating_add(*count, *held);
            }
        }
        Self { counts, sum_ms: 0 }
    }

    /// The time that a share of all took at most, in milliseconds: between the boundaries of its bucket
    /// as if those in it were spread evenly. Beyond the last boundary, that. Nothing of nothing.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = share.clamp(0.0, 1.0) * count as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (bound, held) in self.buckets() {
            let Some(bound) = bound.map(f64::from) else { break };
            let held = held as f64;
            if held > 0.0 && below + held >= rank {
                return Some(lower + (bound - lower) * ((rank - below) / held).clamp(0.0, 1.0));
            }
            below += held;
            lower = bound;
        }
        Some(lower)
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        combine(&mut self.counts, &other.counts, u64::saturating_add);
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
    }

    /// What came since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut left = self.clone();
        combine(&mut left.counts, &earlier.counts, u64::saturating_sub);
        left.sum_ms = left.sum_ms.saturating_sub(earlier.sum_ms);
        left
    }
}

/// Combines each count with the other in its place; what is not there is 0.
fn combine(own: &mut Vec<u64>, other: &[u64], how: fn(u64, u64) -> u64) {
    let length = own.len().max(other.len()).min(BUCKETS);
    own.resize(length, 0);
    own.iter_mut().zip(other).for_each(|(own, other)| *own = how(*own, *other));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// APISIX's own (APISIX.md, section 7).
    const OF_APISIX: [u32; 15] =
        [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000];

    #[test]
    fn the_boundaries_of_apisix_are_among_those_here_and_none_is_over_twice_the_one_before() {
        assert!(OF_APISIX.iter().all(|bound| BOUNDS_MS.contains(bound)));
        assert!(BOUNDS_MS.windows(2).all(|two| two[0] < two[1] && two[1] <= 2 * two[0]));
    }

    #[test]
    fn a_time_falls_into_the_bucket_whose_boundary_it_does_not_exceed() {
        let histogram = Histogram::default();
        for millis in [0, 1, 2, 60_000, 60_001] {
            histogram.note(Duration::from_millis(millis));
        }
        histogram.note(Duration::from_micros(1999));
        let times = histogram.times();
        assert_eq!((times.counts[0], times.counts[1]), (3, 1));
        assert_eq!((times.counts[BUCKETS - 2], times.counts[BUCKETS - 1]), (1, 1));
        assert_eq!((times.count(), times.sum_ms), (6, 120_005));
    }

    #[test]
    fn quantiles_are_within_the_bucket_of_the_exact_value() {
        // Any amount of times of any shape, against the sorted list.
        let mut seed = 7_u64;
        for shape in 1..40_u64 {
            let histogram = Histogram::default();
            let mut all = Vec::new();
            for _ in 0..shape * 13 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let millis = (seed >> 33) % (1 << (shape % 16)) + 1;
                all.push(millis);
                histogram.note(Duration::from_millis(millis));
            }
            all.sort_unstable();
            for share in [0.01, 0.5, 0.9, 0.99, 1.0] {
                let rank = ((share * all.len() as f64).ceil() as usize).clamp(1, all.len());
                let exact = all[rank - 1];
                let told = histogram.times().quantile(share).expect("something was counted");
                let place = BOUNDS_MS.partition_point(|bound| u64::from(*bound) < exact);
                let lower = place.checked_sub(1).map_or(0, |below| BOUNDS_MS[below]);
                assert!(
                    f64::from(lower) <= told && told <= f64::from(BOUNDS_MS[place]),
                    "{share} of {shape}: {told} is not {exact}"
                );
            }
        }
        assert_eq!(Histogram::default().times().quantile(0.5), None);
    }

    #[test]
    fn times_can_be_told_by_their_buckets() {
        let histogram = Histogram::default();
        for millis in [0, 3, 3, 800, 70_000] {
            histogram.note(Duration::from_millis(millis));
        }
        let times = histogram.times();
        let told: Vec<_> = times.buckets().filter(|(_, held)| *held > 0).collect();
        assert_eq!(Times::of_buckets(&told).counts, times.counts);
        assert_eq!(Times::of_buckets(&[(Some(4), 1), (Some(90_000), 2)]).counts[3], 1);
        assert_eq!(Times::of_buckets(&[(Some(4), 1), (Some(90_000), 2)]).counts[BUCKETS - 1], 2);
        assert_eq!(Times::of_buckets(&[]).quantile(0.5), None);
    }

    #[test]
    fn what_is_added_can_be_told_apart_again() {
        let (one, other) = (Histogram::default(), Histogram::default());
        one.note(Duration::from_millis(3));
        other.note(Duration::from_millis(900));
        let mut both = one.times();
        both.add(&other.times());
        assert_eq!(both.count(), 2);
        assert_eq!(both.since(&one.times()), other.times());
        let mut empty = Times::default();
        empty.add(&both);
        assert_eq!(empty, both);
    }
}
