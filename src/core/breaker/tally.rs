//! What counts up to the next step of a breaker.
//!
//! The window of `percent` is looked at in two halves, the one that it is and the one before, which begin
//! at multiples of half the window: what counts is what happened in the last half to whole window. A half counts
//! to 65535; what is more halves both of its counts, which changes the share of failures by less than
//! 0.01 percent points. Halves are numbered to 2^16: one that nobody counted in for so long, nearly four
//! days for 10 s, may be taken for another's.

use super::Policy;
use super::gate::Epoch;

/// Outcomes in a row: failures while the gate is open to all, successes of probes while it is shut.
/// In one word: from below the count, the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    epoch: Epoch,
    pub(super) count: u16,
}

impl Run {
    /// Unpacks a word.
    pub(super) fn of(word: u64) -> Self {
        let [low, high, .., lower, higher] = word.to_le_bytes();
        let epoch = Epoch(u16::from_le_bytes([lower, higher]));
        Self { epoch, count: u16::from_le_bytes([low, high]) }
    }

    /// Packs it into a word.
    pub(super) fn packed(self) -> u64 {
        u64::from(self.epoch.0) << 48 | u64::from(self.count)
    }

    /// With one more of what is counted, or broken off; nothing where that changes nothing.
    pub(super) fn counted(self, epoch: Epoch, goes_on: bool) -> Option<Self> {
        let count = match epoch == self.epoch {
            true => self.count,
            false if epoch.is_after(self.epoch) => 0,
            false => return None,
        };
        match goes_on {
            true => Some(Self { epoch, count: count.saturating_add(1) }),
            false if count > 0 => Some(Self { epoch, count: 0 }),
            false => None,
        }
    }

    /// Nothing, in an epoch that has come.
    pub(super) fn emptied(self, epoch: Epoch) -> Option<Self> {
        epoch.is_after(self.epoch).then_some(Self { epoch, count: 0 })
    }
}

/// The outcomes of half a window. In one word: from below all of them, the failures, the number of the
/// half, the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Half {
    epoch: Epoch,
    number: u16,
    failures: u16,
    all: u16,
}

impl Half {
    /// Unpacks a word.
    pub(super) fn of(word: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
        Self {
            epoch: Epoch(u16::from_le_bytes([g, h])),
            number: u16::from_le_bytes([e, f]),
            failures: u16::from_le_bytes([c, d]),
            all: u16::from_le_bytes([a, b]),
        }
    }

    /// Packs it into a word.
    pub(super) fn packed(self) -> u64 {
        let Self { epoch, number, failures, all } = self;
        u64::from(epoch.0) << 48
            | u64::from(number) << 32
            | u64::from(failures) << 16
            | u64::from(all)
    }

    /// With one outcome more of the half of this number; nothing where the epoch has passed.
    pub(super) fn counted(self, epoch: Epoch, number: u16, failed: bool) -> Option<Self> {
        let is_own = (self.epoch, self.number) == (epoch, number);
        let (failures, all) = match is_own {
            true if self.all == u16::MAX => (self.failures / 2, self.all / 2),
            true => (self.failures, self.all),
            false if self.epoch.is_after(epoch) => return None,
            false => (0, 0),
        };
        Some(Self { epoch, number, failures: failures + u16::from(failed), all: all + 1 })
    }

    /// Nothing, in an epoch that has come.
    pub(super) fn emptied(self, epoch: Epoch) -> Option<Self> {
        epoch.is_after(self.epoch).then_some(Self { epoch, ..Self::default() })
    }

    /// Whether it is the half before `next`.
    fn is_before(self, next: Self) -> bool {
        (self.epoch, self.number.wrapping_add(1)) == (next.epoch, next.number)
    }
}

/// Whether so much of a window has failed that a breaker trips. `other` counts if it is the half before.
pub(super) fn is_too_much(policy: &Policy, half: Half, other: Half) -> bool {
    let other = if other.is_before(half) { other } else { Half::default() };
    let all = u32::from(half.all) + u32::from(other.all);
    let failures = u32::from(half.failures) + u32::from(other.failures);
    all >= u32::from(policy.min_samples) && failures * 100 >= all * u32::from(policy.percent)
}
