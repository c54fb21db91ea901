//! What is known of a node while it serves: how busy it is, how slow, whether it is up.
//!
//! All of it is atomics and nothing is locked. One [`Vital`] outlives the configurations that name its
//! node (`Upstream::follow`), so that a change of something else forgets nothing.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::breaker::{self, Breaker, WHOLE};
use crate::checks::{Checks, Health, Passive};
use crate::retry::Budget;
use crate::time::Timestamp;

/// The cost of a node that has requests and has answered none: beyond all that was measured. As in
/// Finagle, so that a new node gets one request and not all of them until it answers.
const UNKNOWN: u64 = 1 << 40;

/// What is known of one node. A clone knows the same.
#[derive(Clone, Debug)]
pub(crate) struct Vital {
    pulse: Arc<Pulse>,
    /// What checks find; healthy where there are none.
    pub(crate) health: Health,
    breaker: Option<Breaker>,
}

/// How busy a node is, and how slow.
#[derive(Debug, Default)]
struct Pulse {
    in_flight: AtomicU32,
    latency: AtomicU64,
}

/// What an upstream says about the health of its nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Care {
    pub(crate) checks: Option<Checks>,
    pub(crate) breaker: Option<breaker::Policy>,
}

impl Care {
    /// What is made of the answers that clients get.
    pub(crate) fn passive(&self) -> Option<&Passive> {
        self.checks.as_ref()?.passive.as_ref()
    }
}

impl Vital {
    /// What is known of a node that is looked after so, of which `earlier` was known.
    fn new(care: &Care, earlier: Option<&Self>) -> Self {
        let mut health = Health::default();
        let mut breaker = care.breaker.map(Breaker::new);
        let Some(earlier) = earlier else {
            return Self { pulse: Arc::default(), health, breaker };
        };
        if care.checks.is_some() {
            health.follow(&earlier.health);
        }
        if let (Some(own), Some(earlier)) = (&mut breaker, &earlier.breaker) {
            own.follow(earlier);
        }
        Self { pulse: Arc::clone(&earlier.pulse), health, breaker }
    }

    /// How many attempts it has that did not end.
    pub(crate) fn in_flight(&self) -> u32 {
        self.pulse.in_flight.load(Ordering::Relaxed)
    }

    /// What keeps requests away while it fails.
    pub(crate) fn breaker(&self) -> Option<&Breaker> {
        self.breaker.as_ref()
    }

    /// How much of what falls to it the node takes, of [`WHOLE`]: the one place where its health is
    /// judged.
    pub(crate) fn share(&self, now: Timestamp) -> u32 {
        match &self.breaker {
            _ if !self.health.is_up() => 0,
            Some(breaker) => breaker.share(now),
            None => WHOLE,
        }
    }

    /// Notes how long it took to answer.
    pub(crate) fn observe(&self, latency: Duration, now: Timestamp) {
        let sample = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX).max(1);
        let update = |packed| Some(Latency::of(packed).with(sample, now).packed());
        // The closure always gives a value, so that there is no error.
        _ = self.pulse.latency.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// The average time it takes to answer, in microseconds; 0 where nothing is known.
    pub(crate) fn latency_us(&self, now: Timestamp) -> u32 {
        Latency::of(self.pulse.latency.load(Ordering::Relaxed)).at(now)
    }

    /// What it costs to send one more request to it: the average times the requests that it would have.
    pub(crate) fn cost(&self, now: Timestamp) -> u64 {
        let (latency, in_flight) = (u64::from(self.latency_us(now)), u64::from(self.in_flight()));
        match (latency, in_flight) {
            (0, 0) => 0,
            // Below 2^32 requests: no overflow.
            (0, _) => UNKNOWN + in_flight,
            _ => latency * (in_flight + 1),
        }
    }
}

/// An average of latencies that is peak-sensitive, as Finagle's "peak EWMA" load metric: with `dt` since
/// the last sample, `tau` = 10 s (APISIX's) and `w` = exp(-dt / tau),
///
/// - a sample above the decayed average replaces it at once,
/// - any other gives `average * w + sample * (1 - w)`,
/// - whoever asks is told `average * w`: a node that was slow is forgiven in time and tried again.
///
/// Both parts are in one word, so that no reader sees one without the other. In integers, so that
/// all platforms agree.
#[derive(Clone, Copy)]
struct Latency {
    average_us: u32,
    /// The low half of the milliseconds of the last sample: times up to 24 days apart are in order.
    at_ms: u32,
}

impl Latency {
    const fn of(packed: u64) -> Self {
        Self { average_us: (packed >> 32) as u32, at_ms: packed as u32 }
    }

    fn packed(self) -> u64 {
        u64::from(self.average_us) << 32 | u64::from(self.at_ms)
    }

    /// exp(-dt / tau) in 2^-32.
    fn weight(self, now: Timestamp) -> u64 {
        let elapsed = (now.as_millis() as u32).wrapping_sub(self.at_ms);
        // A clock that steps back takes no time.
        if elapsed > u32::MAX / 2 { 1 << 32 } else { decay(elapsed) }
    }

    fn at(self, now: Timestamp) -> u32 {
        scaled(self.average_us, self.weight(now))
    }

    fn with(self, sample: u32, now: Timestamp) -> Self {
        let weight = self.weight(now);
        let kept = scaled(self.average_us, weight);
        let average_us = match sample >= kept {
            true => sample,
            // Both addends are rounded down and their weights are one together: at most `average_us`.
            false => (kept + scaled(sample, (1 << 32) - weight)).max(1),
        };
        // A clock that steps back leaves the later moment.
        let at_ms = if weight == 1 << 32 { self.at_ms } else { now.as_millis() as u32 };
        let at_ms = if self.average_us == 0 { now.as_millis() as u32 } else { at_ms };
        Self { average_us, at_ms }
    }
}

/// `value` times `weight`, which is at most one, in 2^-32.
fn scaled(value: u32, weight: u64) -> u32 {
    u32::try_from((u64::from(value) * weight) >> 32).unwrap_or(value)
}

/// exp(-`millis` / 10 s) in 2^-32: the product of the powers for each bit of `millis`.
fn decay(millis: u32) -> u64 {
    // exp(-2^k / 10000) * 2^32 for k = 0, 1, ... 17.
    const POWERS: [u64; 18] = [
        4_294_537_821,
        4_294_108_388,
        4_293_249_653,
        4_291_532_696,
        4_288_100_843,
        4_281_245_367,
        4_267_567_279,
        4_240_342_062,
        4_186_411_575,
        4_080_599_610,
        3_876_931_309,
        3_499_583_428,
        2_851_496_491,
        1_893_153_469,
        834_472_025,
        162_130_120,
        6_120_227,
        8_721,
    ];
    if millis >> POWERS.len() != 0 {
        return 0;
    }
    let (mut product, mut left) = (1 << 32, millis);
    while left != 0 {
        let power = POWERS.get(left.trailing_zeros() as usize).copied().unwrap_or_default();
        product = (product * power) >> 32;
        left &= left - 1;
    }
    product
}

/// An attempt that did not end. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Pulse>);

impl InFlight {
    /// Notes that an attempt goes to the node.
    pub(crate) fn start(vital: &Vital) -> Self {
        vital.pulse.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&vital.pulse))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is known of an upstream while it serves. Laid out when it is first asked for, or before that from
/// what an earlier upstream knows.
#[derive(Debug, Default)]
pub(super) struct Vitals(OnceLock<Box<Live>>);

/// What is known of an upstream.
#[derive(Debug)]
pub(super) struct Live {
    /// Of each node, in their order.
    pub(super) nodes: Box<[Vital]>,
    /// What is left of its retries.
    pub(super) budget: Budget,
}

impl Vitals {
    /// What is known of `count` nodes that are looked after so, each new where `known` says nothing; and
    /// the budget, of which `spent` has been spent.
    pub(super) fn get<'v>(
        &self,
        (count, care): (usize, &Care),
        known: impl Fn(usize) -> Option<&'v Vital>,
        (budget, spent): (&Budget, Option<&Budget>),
    ) -> &Live {
        self.0.get_or_init(|| {
            let mut budget = budget.anew();
            if let Some(spent) = spent {
                budget.follow(spent);
            }
            let nodes = (0..count).map(|index| Vital::new(care, known(index))).collect();
            Box::new(Live { nodes, budget })
        })
    }

    /// Whether they are laid out.
    pub(super) fn is_settled(&self) -> bool {
        self.0.get().is_some()
    }
}
