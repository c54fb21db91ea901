//! A place for one probe at a time.

use super::gate::{Epoch, elapsed, mask};
use crate::time::Timestamp;

/// Bits of the moment in the word: milliseconds come round after 198 days, of which the longest time of a
/// probe is a small part.
const MOMENT: u32 = 34;
/// Bits of the number of a tenure.
const TENURE: u32 = 13;

/// A slot, in one word: from below the moment, the tenure, whether it is held, the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    epoch: Epoch,
    is_held: bool,
    /// Which one of its probes holds it, or held it last; comes round after 2^13.
    pub(super) tenure: u16,
    /// Since when it is held, in milliseconds, the lowest bits.
    since: u64,
}

impl Slot {
    /// Unpacks a word.
    pub(super) fn of(word: u64) -> Self {
        let [.., low, high] = word.to_le_bytes();
        let [lower, higher, ..] = ((word >> MOMENT) & mask(TENURE)).to_le_bytes();
        Self {
            epoch: Epoch(u16::from_le_bytes([low, high])),
            is_held: word & 1 << 47 != 0,
            tenure: u16::from_le_bytes([lower, higher]),
            since: word & mask(MOMENT),
        }
    }

    /// Packs it into a word.
    pub(super) fn packed(self) -> u64 {
        let Self { epoch, is_held, tenure, since } = self;
        let (epoch, tenure) = (u64::from(epoch.0), u64::from(tenure));
        debug_assert!(since <= mask(MOMENT) && tenure <= mask(TENURE), "as it is made");
        epoch << 48 | u64::from(is_held) << 47 | tenure << MOMENT | since
    }

    /// Held by another probe for at most `open` milliseconds, if it is free.
    pub(super) fn taken(self, epoch: Epoch, open: u32, now: Timestamp) -> Option<Self> {
        let is_ours = self.epoch == epoch || epoch.is_after(self.epoch);
        let is_free = is_ours && self.wait(epoch, open, now) == 0;
        let tenure = self.tenure.wrapping_add(1) & 0x1fff;
        let since = now.as_millis() & mask(MOMENT);
        is_free.then_some(Self { epoch, is_held: true, tenure, since })
    }

    /// Free again, if it is held under this number.
    pub(super) fn vacated(self, epoch: Epoch, tenure: u16) -> Option<Self> {
        let is_own = self.is_held && (self.epoch, self.tenure) == (epoch, tenure);
        is_own.then_some(Self { is_held: false, ..self })
    }

    /// Free in an epoch that has come.
    pub(super) fn emptied(self, epoch: Epoch) -> Option<Self> {
        epoch.is_after(self.epoch).then_some(Self { epoch, is_held: false, ..self })
    }

    /// Held from now on, if it seems to be held from a moment in the future on.
    pub(super) fn rebased(self, now: Timestamp) -> Option<Self> {
        let is_ahead = self.is_held && self.elapsed(now).is_none();
        is_ahead.then(|| Self { since: now.as_millis() & mask(MOMENT), ..self })
    }

    /// In how many milliseconds it is free in this epoch.
    pub(super) fn wait(self, epoch: Epoch, open: u32, now: Timestamp) -> u64 {
        if !self.is_held || self.epoch != epoch {
            return 0;
        }
        u64::from(open).saturating_sub(self.elapsed(now).unwrap_or_default())
    }

    fn elapsed(self, now: Timestamp) -> Option<u64> {
        elapsed::<MOMENT>(self.since, now.as_millis())
    }
}
