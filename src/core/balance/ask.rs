//! What a node is picked from, beside the upstream.

use crate::facts::Facts;
use crate::time::Timestamp;

/// What a node is picked from.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// The request, of which consistent hashing takes its key.
    pub(crate) facts: &'a Facts<'a>,
    /// What time it is.
    pub(crate) now: Timestamp,
    /// Where random numbers come from.
    pub(crate) chance: &'a dyn Fn() -> u64,
    /// The nodes that were tried for this request; none of them is picked.
    pub(crate) tried: &'a Tried,
    /// Whether this is only to see what would happen: then nothing moves.
    pub(crate) is_trial: bool,
}

/// Some nodes of an upstream, by their positions. Nothing is allocated for the first 64 of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tried {
    low: u64,
    high: Vec<usize>,
}

impl Tried {
    /// Adds one.
    pub(crate) fn add(&mut self, index: usize) {
        match 1_u64.checked_shl(u32::try_from(index).unwrap_or(u32::MAX)) {
            Some(bit) => self.low |= bit,
            None if !self.high.contains(&index) => self.high.push(index),
            None => {}
        }
    }

    /// Whether it is one of them.
    pub(crate) fn has(&self, index: usize) -> bool {
        match 1_u64.checked_shl(u32::try_from(index).unwrap_or(u32::MAX)) {
            Some(bit) => self.low & bit != 0,
            None => self.high.contains(&index),
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.low == 0 && self.high.is_empty()
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.low.count_ones() as usize + self.high.len()
    }

    /// A number by which two sets mostly differ, the same for the same set.
    pub(super) fn mark(&self) -> usize {
        let low = self.low.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let sum: usize = self.high.iter().fold(0, |sum, index| sum.wrapping_add(*index));
        sum.wrapping_add(low as usize)
    }
}
