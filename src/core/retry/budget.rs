//! How many retries an upstream can bear: a share of its requests, and a few at once.
//!
//! A bucket of tokens that requests fill and retries empty, as gRPC throttles retries (gRFC A6): when an
//! upstream fails as a whole, retries add `percent` to its load instead of multiplying it.

use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fault::{At, Report};

/// Ten retries for each request: with that, nothing is held back.
const PERCENT_MAX: u32 = 1000;
const BURST_MAX: u32 = 1_000_000;

/// What one retry costs: tokens are counted in hundredths.
const TOKEN: u64 = 100;

/// A bucket of tokens, full at first. After any number of requests there were at most
/// `burst + requests * percent / 100` retries. A clone spends of the same bucket.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Hundredths of a token that a request brings.
    percent: u64,
    /// Hundredths of a token that the bucket holds.
    size: u64,
    /// Hundredths of a token in the bucket.
    left: Arc<AtomicU64>,
}

impl PartialEq for Budget {
    /// What is left of it makes no budget another.
    fn eq(&self, other: &Self) -> bool {
        (self.percent, self.size) == (other.percent, other.size)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(20, 10)
    }
}

impl Budget {
    /// A bucket that holds `burst` tokens and into which each request puts `percent` hundredths of one.
    pub fn new(percent: u32, burst: u32) -> Self {
        let size = u64::from(burst) * TOKEN;
        Self { percent: u64::from(percent), size, left: Arc::new(AtomicU64::new(size)) }
    }

    /// One that says the same, with a full bucket of its own.
    pub(crate) fn anew(&self) -> Self {
        Self { left: Arc::new(AtomicU64::new(self.size)), ..*self }
    }

    /// Goes on with the bucket of `earlier`, or a change of configuration would fill it again.
    pub fn follow(&mut self, earlier: &Self) {
        self.left = Arc::clone(&earlier.left);
    }

    /// Notes the first attempt of a request.
    pub fn deposit(&self) {
        // A full bucket, which is the common case, is only read. It orders nothing beside itself.
        let put = |left: u64| (left < self.size).then(|| (left + self.percent).min(self.size));
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, put);
    }

    /// How many retries there may be at once now, and at most.
    pub fn left(&self) -> (u64, u64) {
        (self.left.load(Ordering::Relaxed).min(self.size) / TOKEN, self.size / TOKEN)
    }

    /// Takes a token for a retry; without one there must be no retry.
    pub fn withdraw(&self) -> bool {
        let take = |left: u64| left.checked_sub(TOKEN);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// The member `budget`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct BudgetWire {
    #[cfg_attr(feature = "schema", schemars(range(max = PERCENT_MAX)))]
    percent: Option<u32>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = BURST_MAX)))]
    burst: Option<u32>,
}

impl BudgetWire {
    pub(super) fn compile(self, at: At<'_>, report: &mut Report) -> Budget {
        let (percent, burst) = (self.percent.unwrap_or(20), self.burst.unwrap_or(10));
        if percent > PERCENT_MAX {
            let what = format!("expected a percentage from 0 to {PERCENT_MAX}, found `{percent}`");
            report.fault(at.key("percent"), what);
        }
        // With no token to hold there would never be a retry, which `retries` 0 says.
        if !(1..=BURST_MAX).contains(&burst) {
            let what = format!("expected retries from 1 to {BURST_MAX}, found `{burst}`");
            report.fault(at.key("burst"), what);
        }
        Budget::new(percent, burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next of a sequence of random numbers (Vigna, SplitMix64).
    fn draw(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    #[test]
    fn retries_stay_within_the_share_and_the_burst_at_any_moment() {
        for seed in 0..200 {
            let mut chance = seed;
            let percent = u32::try_from(draw(&mut chance) % 150).expect("small");
            let burst = u32::try_from(draw(&mut chance) % 20 + 1).expect("small");
            let greed = draw(&mut chance) % 10;
            let mut budget = Budget::new(percent, burst);
            let (mut requests, mut retries) = (0, 0);
            for _ in 0..2000 {
                if draw(&mut chance) % 10 < greed {
                    retries += u64::from(budget.withdraw());
                } else {
                    budget.deposit();
                    requests += 1;
                }
                if draw(&mut chance).is_multiple_of(100) {
                    let mut next = Budget::new(percent, burst);
                    next.follow(&budget);
                    budget = next;
                }
                let bound = u64::from(burst) * 100 + u64::from(percent) * requests;
                assert!(retries * 100 <= bound, "seed {seed}: {retries} of {requests}");
            }
        }
    }

    #[test]
    fn a_failing_upstream_gets_exactly_its_share_of_retries() {
        let budget = Budget::new(20, 10);
        let retries: usize = (0..1000)
            .map(|_| {
                budget.deposit();
                (0..3).filter(|_| budget.withdraw()).count()
            })
            .sum();
        // The first deposit finds the bucket full.
        assert_eq!(retries, 10 + (1000 - 1) / 5);
    }

    #[test]
    fn threads_together_stay_within_the_bound() {
        let budget = Budget::new(20, 10);
        let retries: usize = std::thread::scope(|scope| {
            let work = || {
                let each = |_| {
                    budget.deposit();
                    (0..3).filter(|_| budget.withdraw()).count()
                };
                (0..5000).map(each).sum::<usize>()
            };
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            workers.into_iter().map(|worker| worker.join().expect("no panic")).sum()
        });
        assert!(retries <= 10 + 20_000 / 5, "{retries}");
        assert!(retries >= 20_000 / 5 - 10, "{retries}: what is put in can be taken out");
    }

    #[test]
    fn a_clone_and_a_follower_spend_of_the_same_bucket() {
        let budget = Budget::new(0, 2);
        let mut next = Budget::new(0, 5);
        next.follow(&budget);
        assert!(budget.clone().withdraw() && next.withdraw());
        assert!(!budget.withdraw() && !next.withdraw());
    }
}
