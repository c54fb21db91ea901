//! A table of what is counted, by number: of fixed size, without a lock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// The most places of one table. Whatever a document names and clients send, memory ends there.
pub const PLACES_MAX: usize = 20_000;

/// Places by key, in the order of their hashes; the next free slot where that one is taken (open
/// addressing with linear probing; Knuth, volume 3, section 6.4, algorithm L). A key is written once and
/// stays. What is in a place is made when somebody first asks for it, which is the only time that
/// anybody waits, and allocates.
#[derive(Debug)]
pub(super) struct Table<T> {
    /// In pieces, each made when it is first asked for: most configurations serve few requests before the next.
    pieces: Box<[OnceLock<Box<Piece<T>>>]>,
    /// How many keys there are, and how many there may be.
    taken: AtomicUsize,
    most: usize,
    /// For all that has no place.
    rest: Arc<T>,
}

/// How many slots there are in a piece.
const PIECE: usize = 64;

type Piece<T> = [Slot<T>; PIECE];

#[derive(Debug)]
struct Slot<T> {
    /// The key and one more; 0 for none.
    key: AtomicU64,
    place: OnceLock<Arc<T>>,
}

impl<T: Default> Table<T> {
    /// A table for so many places, as far as there may be so many.
    pub(super) fn new(places: usize) -> Self {
        let most = places.clamp(1, PLACES_MAX);
        // At most five of eight slots are taken, so that few are looked at.
        let slots = (most * 8 / 5 + 1).next_power_of_two().max(PIECE);
        let pieces = (0..slots / PIECE).map(|_| OnceLock::new()).collect();
        Self { pieces, taken: AtomicUsize::new(0), most, rest: Arc::default() }
    }

    /// The place of a key, and whether it is its own.
    pub(super) fn place(&self, key: u64) -> (&Arc<T>, bool) {
        match self.slot(key) {
            Some(slot) => (slot.place.get_or_init(Arc::default), true),
            None => (&self.rest, false),
        }
    }

    /// Takes a place over; it is lost where there is no room.
    pub(super) fn put(&self, key: u64, place: Arc<T>) {
        if let Some(slot) = self.slot(key) {
            // Whoever is first counts; a key comes once.
            let _ = slot.place.set(place);
        }
    }

    /// All that have something in them, in no order.
    pub(super) fn places(&self) -> impl Iterator<Item = (u64, &Arc<T>)> {
        let pieces = self.pieces.iter().filter_map(OnceLock::get);
        pieces.flat_map(|piece| piece.iter()).filter_map(|slot| {
            let key = slot.key.load(Ordering::Acquire).checked_sub(1)?;
            Some((key, slot.place.get()?))
        })
    }

    /// What has no place.
    pub(super) fn rest(&self) -> &T {
        &self.rest
    }

    fn slots(&self) -> usize {
        self.pieces.len() * PIECE
    }

    fn slot(&self, key: u64) -> Option<&Slot<T>> {
        let wanted = key.checked_add(1)?;
        let mask = self.slots() - 1;
        let start = usize::try_from(scattered(key) >> 32).unwrap_or_default() & mask;
        for step in 0..=mask {
            let at = (start + step) & mask;
            let piece = self.pieces.get(at / PIECE)?.get_or_init(piece);
            let slot = piece.get(at % PIECE)?;
            let mut found = slot.key.load(Ordering::Acquire);
            if found == 0 {
                found = self.take(slot, wanted)?;
            }
            if found == wanted {
                return Some(slot);
            }
        }
        None
    }

    /// Writes the key into a free slot, if there may be one more; says whose it is then.
    fn take(&self, slot: &Slot<T>, wanted: u64) -> Option<u64> {
        let (relaxed, release) = (Ordering::Relaxed, Ordering::AcqRel);
        let one_more = |taken: usize| (taken < self.most).then_some(taken + 1);
        self.taken.fetch_update(relaxed, relaxed, one_more).ok()?;
        match slot.key.compare_exchange(0, wanted, release, Ordering::Acquire) {
            Ok(_) => Some(wanted),
            Err(other) => {
                self.taken.fetch_sub(1, relaxed);
                Some(other)
            }
        }
    }
}

fn piece<T>() -> Box<Piece<T>> {
    Box::new(std::array::from_fn(|_| Slot { key: AtomicU64::new(0), place: OnceLock::new() }))
}

/// The bits of a key all over a word (Steele and others, "Fast splittable pseudorandom number
/// generators", 2014: the finalizer of SplitMix).
fn scattered(key: u64) -> u64 {
    let mixed = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_place_and_there_are_no_more_than_there_may_be() {
        let table: Table<AtomicU64> = Table::new(100);
        for round in 0..3 {
            for key in 0..1000 {
                let (place, is_own) = table.place(key);
                assert_eq!(is_own, key < 100, "{key} in round {round}");
                place.fetch_add(1, Ordering::Relaxed);
            }
        }
        assert_eq!(table.places().count(), 100);
        assert!(table.places().all(|(_, place)| place.load(Ordering::Relaxed) == 3));
        assert_eq!(table.rest().load(Ordering::Relaxed), 2700);
    }

    #[test]
    fn threads_that_come_first_together_share_the_place() {
        for _ in 0..20 {
            let table: Table<AtomicU64> = Table::new(PLACES_MAX);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for key in 0..5000 {
                            table.place(key * 7).0.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(table.places().count(), 5000);
            assert!(table.places().all(|(_, place)| place.load(Ordering::Relaxed) == 4));
        }
    }

    #[test]
    fn the_largest_table_has_the_size_that_was_thought_of() {
        let table: Table<AtomicU64> = Table::new(usize::MAX);
        assert_eq!((table.most, table.slots()), (PLACES_MAX, 32_768));
    }
}
