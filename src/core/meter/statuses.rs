//! Statuses as counts, of which one place has few and there are many.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::gather::Gather as _;

/// How many kinds are told apart in one place. An upstream that makes up more of them is counted under
/// [`OTHER`] with the rest.
const KINDS: usize = 24;

/// Stands for statuses beyond those that are told apart.
pub const OTHER: u16 = 0;

/// The lower bits of a word are the count, the upper ones the status.
const COUNT_BITS: u32 = 48;

/// Counts that threads add to, each in one word with the status that it is of.
#[derive(Debug, Default)]
pub(super) struct Statuses {
    kinds: [AtomicU64; KINDS],
    other: AtomicU64,
}

impl Statuses {
    /// Counts a status.
    pub(super) fn note(&self, status: u16) {
        for kind in &self.kinds {
            let mut word = kind.load(Ordering::Relaxed);
            if word == 0 {
                let first = u64::from(status) << COUNT_BITS | 1;
                let order = Ordering::Relaxed;
                match kind.compare_exchange(0, first, order, order) {
                    Ok(_) => return,
                    Err(taken) => word = taken,
                }
            }
            if word >> COUNT_BITS == u64::from(status) {
                kind.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        self.other.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted.
    pub(super) fn counts(&self) -> BTreeMap<u16, u64> {
        let words = self.kinds.iter().map(|kind| kind.load(Ordering::Relaxed));
        let counts = words.filter(|word| *word != 0).map(|word| {
            let status = u16::try_from(word >> COUNT_BITS).unwrap_or(OTHER);
            (status, word & ((1 << COUNT_BITS) - 1))
        });
        let other = Some(self.other.load(Ordering::Relaxed)).filter(|count| *count > 0);
        counts.chain(other.map(|count| (OTHER, count))).gather()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_a_count_and_what_is_made_up_beyond_has_one_together() {
        let statuses = Statuses::default();
        for status in 200..600 {
            statuses.note(status);
            statuses.note(200);
        }
        let counts = statuses.counts();
        assert_eq!((counts.len(), counts[&200], counts[&201]), (KINDS + 1, 401, 1));
        assert_eq!(counts[&OTHER], 400 - u64::try_from(KINDS).expect("small"));
    }

    #[test]
    fn threads_lose_no_count() {
        let statuses = Statuses::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20_000_u16).for_each(|n| statuses.note(200 + n % 5)));
            }
        });
        assert!(statuses.counts().values().all(|count| *count == 16_000));
    }
}
