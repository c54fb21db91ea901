//! The gate of a breaker: which epoch it is, whether requests pass in it, and since when.

use super::{Phase, Policy, WHOLE};
use crate::time::Timestamp;

/// The number of a time between two steps of the gate, modulo 2^16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Epoch(pub(super) u16);

impl Epoch {
    /// Whether this epoch comes after `other`.
    pub(super) fn is_after(self, other: Self) -> bool {
        (1..1 << 15).contains(&self.0.wrapping_sub(other.0))
    }

    fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// How many milliseconds lie between two moments of which the last `BITS` bits are known; `None` if the
/// second was before the first. Half of 2^`BITS` milliseconds counts as before.
pub(super) fn elapsed<const BITS: u32>(since: u64, now: u64) -> Option<u64> {
    let elapsed = now.wrapping_sub(since) & mask(BITS);
    (elapsed < 1 << (BITS - 1)).then_some(elapsed)
}

/// The lowest bits.
pub(super) const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// What holds in an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// Requests pass, and did from the beginning.
    #[default]
    Steady,
    /// Requests pass since a moment.
    Fresh,
    /// Requests do not pass since a moment.
    Shut,
}

/// Bits of a moment in the word: milliseconds come round after 69 years.
const MOMENT: u32 = 41;
/// Bits of the number of trips in a row.
const TRIPS: u32 = 5;

/// The gate, in one word: from below the moment, the trips, the stage, the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gate {
    pub(super) epoch: Epoch,
    pub(super) stage: Stage,
    /// How many trips there were in a row, as far as that makes a difference.
    pub(super) trips: u8,
    /// Since when the stage holds, in milliseconds, the lowest bits.
    pub(super) since: u64,
}

impl Gate {
    /// Unpacks a word.
    pub(super) fn of(word: u64) -> Self {
        let stage = match (word >> (MOMENT + TRIPS)) & 0b11 {
            0 => Stage::Steady,
            1 => Stage::Fresh,
            _ => Stage::Shut,
        };
        let [.., low, high] = word.to_le_bytes();
        let [trips, ..] = ((word >> MOMENT) & mask(TRIPS)).to_le_bytes();
        let epoch = Epoch(u16::from_le_bytes([low, high]));
        Self { epoch, stage, trips, since: word & mask(MOMENT) }
    }

    /// Packs it into a word.
    pub(super) fn packed(self) -> u64 {
        let stage: u64 = match self.stage {
            Stage::Steady => 0,
            Stage::Fresh => 1,
            Stage::Shut => 2,
        };
        let Self { epoch, trips, since, .. } = self;
        debug_assert!(since <= mask(MOMENT) && u64::from(trips) <= mask(TRIPS), "as it is made");
        u64::from(epoch.0) << 48 | stage << (MOMENT + TRIPS) | u64::from(trips) << MOMENT | since
    }

    /// What passes.
    pub(super) fn phase(self, policy: &Policy, now: Timestamp) -> Phase {
        match self.stage {
            Stage::Steady | Stage::Fresh => Phase::Closed,
            Stage::Shut if self.wait(policy, now) > 0 => Phase::Open,
            Stage::Shut => Phase::HalfOpen,
        }
    }

    /// For how many milliseconds more it is shut before probes pass.
    pub(super) fn wait(self, policy: &Policy, now: Timestamp) -> u64 {
        match self.stage {
            Stage::Steady | Stage::Fresh => 0,
            Stage::Shut => {
                let shut = policy.shut(self.trips);
                shut.saturating_sub(self.elapsed(now).unwrap_or_default())
            }
        }
    }

    /// How much passes where requests pass: `SLOWEST` at first, all when the slow start is over.
    pub(super) fn share(self, policy: &Policy, now: Timestamp) -> u32 {
        /// A sixteenth.
        const SLOWEST: u64 = WHOLE as u64 / 16;
        let slow = u64::from(policy.slow_start);
        match (self.stage, self.elapsed(now)) {
            (Stage::Fresh, Some(elapsed)) if elapsed < slow => {
                let share = SLOWEST + (u64::from(WHOLE) - SLOWEST) * elapsed / slow;
                u32::try_from(share).unwrap_or(WHOLE)
            }
            _ => WHOLE,
        }
    }

    /// After another trip, unless this is another epoch.
    pub(super) fn tripped(self, epoch: Epoch, now: Timestamp) -> Option<Self> {
        let trips = self.trips.saturating_add(1).min(31);
        self.turned(epoch, Stage::Shut, trips, now)
    }

    /// After closing, unless this is another epoch.
    pub(super) fn closed(self, epoch: Epoch, now: Timestamp) -> Option<Self> {
        self.turned(epoch, Stage::Fresh, 0, now)
    }

    /// The gate shut from now on, if it seems to be shut from a moment in the future on.
    pub(super) fn rebased(self, now: Timestamp) -> Option<Self> {
        let is_ahead = self.stage == Stage::Shut && self.elapsed(now).is_none();
        is_ahead.then(|| Self { since: now.as_millis() & mask(MOMENT), ..self })
    }

    fn turned(self, epoch: Epoch, stage: Stage, trips: u8, now: Timestamp) -> Option<Self> {
        let since = now.as_millis() & mask(MOMENT);
        (self.epoch == epoch).then(|| Self { epoch: epoch.next(), stage, trips, since })
    }

    fn elapsed(self, now: Timestamp) -> Option<u64> {
        elapsed::<MOMENT>(self.since, now.as_millis())
    }
}
