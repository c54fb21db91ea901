//! What all local limits have counted: one table of bounded size, without a lock.
//!
//! A slot is two words: the fingerprint of a key, and its [`State`]. A key may be in any of the slots of one
//! set, so that it is found by a look at a few neighbours. Fingerprints are keyed with a seed that is drawn
//! when the table is first used: nobody outside can choose keys that fall into one set.
//!
//! ## Exact, whatever threads do
//!
//! A state changes by one atomic exchange, so that of two requests of one key one counts after the other. What
//! is left to see to is that a key never has two slots, and that none is taken from it while it counts:
//!
//! - A slot is first claimed, with a fingerprint that says so. Whoever has claimed one looks through the set:
//!   where another has the key already, he gives his own up; where another has only claimed one, one of both
//!   does, or has it taken away. Only then the claim is made good. As each claims before he looks, the
//!   later of two sees the earlier.
//! - A slot is shut before another key gets it: by an exchange of the very state that was judged to be worth
//!   nothing. A request that counts there at that moment either comes first, and it is not shut, or finds
//!   it shut and looks for another slot. The mark says whose slot was shut, as does that of one in which
//!   nothing was counted yet: no two keys mistake one for the other.
//!
//! Where all slots of a set are in use, the one is given up that loses least: the emptiest, and of those the
//! one that would be worth nothing first. A key that is refused is given up last. Only then may a key pass more
//! often than it should.
//!
//! That holds within a limit. From others it takes slots only of the one that has most of the set, if that
//! has more than itself, and rather than its own while it has few: whatever keys anybody makes up for one
//! limit, they free nobody whom one with fewer slots refuses. A fingerprint says for that of which limit it is, in
//! a few bits: limits that have them in common are as one.

use std::hash::Hasher as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::state::{FULL, State, Ticks};
use crate::time::Timestamp;

/// How many slots there are for a key.
const WAYS: usize = 16;

/// A limit with fewer slots of a set takes others' rather than its own.
const FEW: usize = WAYS / 4;

/// How many slots there are in all, each of 16 bytes: a megabyte natively, a part of that in an isolate, which
/// has little memory and sees a small part of all clients.
const CAPACITY: usize = if cfg!(target_arch = "wasm32") { 8_192 } else { 65_536 };

/// After so many failed attempts at a slot, which others take and shut meanwhile, it is not worth counting.
const ATTEMPTS: usize = 10_000;

/// For so many attempts who comes later waits for who has claimed a slot for the same key.
const PATIENCE: usize = 16;

/// What local limits have counted. Nothing is allocated before the first of them counts.
#[derive(Debug)]
pub(crate) struct Counters {
    table: OnceLock<Table>,
    capacity: usize,
    /// While the store of shared limits is away: when it may be asked again, in milliseconds; else 0. A key has
    /// the word that its mark says: the store may be an object for each key, and one that is overloaded
    /// says nothing of others.
    away: [AtomicU64; AWAYS],
}

/// How many parts of the keys find the store away each for itself.
const AWAYS: usize = 64;

/// While the store is away it is asked so often.
pub(super) const AWAY_MS: u64 = 1000;

/// A key under a limit, as the table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    set: u64,
    /// The highest bits are those of the limit, the two lowest those of a slot that is its own.
    print: u64,
}

#[derive(Debug)]
struct Table {
    seed: [u64; 2],
    /// As many sets as a power of two, of [`WAYS`] each.
    slots: Box<[Slot]>,
}

#[derive(Debug, Default)]
struct Slot {
    /// 0 where it is free.
    print: AtomicU64,
    /// A packed [`State`], or a mark.
    state: AtomicU64,
}

/// The slot is somebody else's by now.
struct Lost;

impl Default for Counters {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Counters {
    /// For so many keys at most.
    pub(crate) const fn with_capacity(capacity: usize) -> Self {
        Self { table: OnceLock::new(), capacity, away: [const { AtomicU64::new(0) }; AWAYS] }
    }

    /// What `key` is under the limit that `salt` stands for.
    pub(crate) fn mark(&self, salt: u128, key: &[u8], chance: &dyn Fn() -> u64) -> Mark {
        let table = self.table.get_or_init(|| Table::new(self.capacity, [chance(), chance()]));
        let [low, high] = table.seed;
        let mut hasher = SipHasher24::new_with_keys(low, high);
        hasher.write(&salt.to_le_bytes());
        hasher.write(key);
        let hash = hasher.finish128();
        Mark { set: hash.h1, print: limit_bits(salt) | hash.h2 >> LIMIT_BITS | OWN }
    }

    /// Changes the state of a key; nothing to change it to leaves it as it is.
    pub(crate) fn change<T>(
        &self,
        mark: Mark,
        now: Timestamp,
        mut step: impl FnMut(State) -> (Option<State>, T),
    ) -> T {
        let attempts =
            self.table.get().into_iter().flat_map(|table| (0..ATTEMPTS).map(move |it| (table, it)));
        for (table, attempt) in attempts {
            let slots = table.set(mark);
            let slot = find(slots, mark).or_else(|| claim(slots, mark, attempt, now));
            if let Some(Ok(done)) = slot.map(|slot| slot.change(mark, &mut step)) {
                return done;
            }
            std::hint::spin_loop();
        }
        step(State::default()).1
    }

    /// The same for a key that has a slot; another gets none.
    pub(super) fn amend(&self, mark: Mark, step: impl Fn(State) -> Option<State>) {
        let Some(table) = self.table.get() else { return };
        for _ in 0..ATTEMPTS {
            let Some(slot) = find(table.set(mark), mark) else { return };
            if slot.change(mark, &mut |state| (step(state), ())).is_ok() {
                return;
            }
        }
    }

    /// Whether the store of shared limits may be asked about a key: while it is away, by one request a second.
    pub(crate) fn may_ask(&self, mark: Mark, now: Timestamp) -> bool {
        let Some(away) = self.away(mark) else { return true };
        let (now, again) = (now.as_millis(), away.load(SeqCst));
        if again == 0 {
            return true;
        }
        // A moment that is further away is from before the clock was set back.
        let is_time = now >= again || again - now > AWAY_MS;
        let next = now.saturating_add(AWAY_MS);
        is_time && away.compare_exchange(again, next, SeqCst, SeqCst).is_ok()
    }

    /// Whether a request would be let ask it now.
    pub(super) fn could_ask(&self, mark: Mark, now: Timestamp) -> bool {
        let Some(away) = self.away(mark) else { return true };
        let (now, again) = (now.as_millis(), away.load(SeqCst));
        again == 0 || now >= again || again - now > AWAY_MS
    }

    /// Notes whether the store has answered about a key.
    pub(crate) fn note_store(&self, mark: Mark, has_answered: bool, now: Timestamp) {
        let Some(away) = self.away(mark) else { return };
        let again = if has_answered { 0 } else { now.as_millis().saturating_add(AWAY_MS) };
        if away.load(SeqCst) != again {
            away.store(again, SeqCst);
        }
    }

    /// The word of a key; there is always one.
    fn away(&self, mark: Mark) -> Option<&AtomicU64> {
        // Not by the bits that say which set it is in.
        let [.., part] = mark.set.to_le_bytes();
        self.away.get(usize::from(part) % AWAYS)
    }

    /// The state of a key.
    pub(crate) fn look(&self, mark: Mark) -> State {
        let slot = self.table.get().and_then(|table| find(table.set(mark), mark));
        slot.and_then(|slot| slot.read(mark).ok()).map(|(_, state)| state).unwrap_or_default()
    }

    /// How many slots are in use.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        let slots = self.table.get().map(|table| &*table.slots).unwrap_or_default();
        slots.iter().filter(|slot| slot.print.load(SeqCst) != FREE).count()
    }
}

/// The fingerprint of a free slot.
const FREE: u64 = 0;
/// The bits of a fingerprint in a slot that is its own.
const OWN: u64 = 0b11;
/// The bit that is missing while it is only claimed.
const MADE_GOOD: u64 = 0b01;

/// How many bits of a fingerprint say of which limit it is.
const LIMIT_BITS: u32 = 12;

/// The bits of a fingerprint that say of which limit it is. What differs in low bits of its salt is of one.
fn limit_bits(salt: u128) -> u64 {
    let [.., a, b] = salt.to_le_bytes();
    u64::from(u16::from_le_bytes([a, b])) >> (16 - LIMIT_BITS) << (64 - LIMIT_BITS)
}

/// Whether both fingerprints are of one limit.
fn is_same_limit(one: u64, other: u64) -> bool {
    (one ^ other) >> (64 - LIMIT_BITS) == 0
}

impl Mark {
    fn claimed(self) -> u64 {
        self.print & !MADE_GOOD
    }
}

impl Table {
    fn new(capacity: usize, seed: [u64; 2]) -> Self {
        let sets = (capacity / WAYS).max(1).next_power_of_two();
        Self { seed, slots: (0..sets * WAYS).map(|_| Slot::default()).collect() }
    }

    /// The slots that are there for a key.
    fn set(&self, mark: Mark) -> &[Slot] {
        let sets = u64::try_from(self.slots.len() / WAYS).unwrap_or_default().max(1);
        let first = usize::try_from(mark.set % sets).unwrap_or_default() * WAYS;
        self.slots.get(first..first + WAYS).unwrap_or_default()
    }
}

/// The slot that a key has.
fn find(slots: &[Slot], mark: Mark) -> Option<&Slot> {
    slots.iter().find(|slot| slot.print.load(SeqCst) == mark.print)
}

/// A slot for a key that has none, unless others come in between.
fn claim(slots: &[Slot], mark: Mark, attempt: usize, now: Timestamp) -> Option<&Slot> {
    let own =
        slots.iter().find(|slot| slot.take(FREE, mark)).or_else(|| evict(slots, mark, now))?;
    own.freshen(mark);
    let mut is_behind = false;
    for other in slots {
        if std::ptr::eq(own, other) {
            is_behind = true;
            continue;
        }
        let print = other.print.load(SeqCst);
        if print == mark.claimed() && (is_behind || attempt > PATIENCE) {
            // If that fails, it was made good or given up.
            let _ = other.print.compare_exchange(print, FREE, SeqCst, SeqCst);
            if other.print.load(SeqCst) == mark.print {
                own.give_up(mark);
                return Some(other);
            }
        } else if print | MADE_GOOD == mark.print {
            own.give_up(mark);
            return (print == mark.print).then_some(other);
        }
    }
    let made = own.print.compare_exchange(mark.claimed(), mark.print, SeqCst, SeqCst);
    made.is_ok().then_some(own)
}

/// A slot that another key had, claimed for this one, unless others come in between.
fn evict(slots: &[Slot], mark: Mark, now: Timestamp) -> Option<&Slot> {
    let slots_of = |print: u64| {
        let prints = slots.iter().map(|slot| slot.print.load(SeqCst));
        prints.filter(|other| *other != FREE && is_same_limit(*other, print)).count()
    };
    let own = slots_of(mark.print);
    let all = slots.iter().map(|slot| slot.print.load(SeqCst)).filter(|print| *print != FREE);
    let most = all.map(slots_of).max().unwrap_or_default();
    let turn = |print: u64| match is_same_limit(print, mark.print) {
        true => u8::from(own < FEW && own + 1 < most),
        false if slots_of(print) == most && most > own => 0,
        false => 2,
    };
    let worth = |slot: &Slot| {
        let print = slot.print.load(SeqCst);
        let (word, state) = slot.read(Mark { print, ..mark }).ok()?;
        let left = state.left(now);
        if left == Ticks(0) {
            return Some(((0, 0, left), print, word));
        }
        Some(((turn(print), state.full.min(FULL), left), print, word))
    };
    let candidates = slots.iter().filter_map(|slot| Some((worth(slot)?, slot)));
    let ((_, print, word), slot) = candidates.min_by_key(|((worth, ..), _)| *worth)?;
    let shut = State::mark(print, true);
    slot.state.compare_exchange(word, shut, SeqCst, SeqCst).ok()?;
    slot.take(print, mark).then_some(slot)
}

impl Slot {
    /// Claims it, if it has this fingerprint.
    fn take(&self, print: u64, mark: Mark) -> bool {
        self.print.compare_exchange(print, mark.claimed(), SeqCst, SeqCst).is_ok()
    }

    /// Gives a claim up, unless somebody took it away.
    fn give_up(&self, mark: Mark) {
        let _ = self.print.compare_exchange(mark.claimed(), FREE, SeqCst, SeqCst);
    }

    /// Marks it as one in which nothing was counted yet for the key that has claimed it.
    fn freshen(&self, mark: Mark) {
        let fresh = State::mark(mark.print, false);
        for _ in 0..ATTEMPTS {
            let word = self.state.load(SeqCst);
            let is_claimed = self.print.load(SeqCst) == mark.claimed();
            if !is_claimed || self.state.compare_exchange(word, fresh, SeqCst, SeqCst).is_ok() {
                return;
            }
        }
    }

    /// Its word and what that says, if it belongs to this key and is not shut.
    fn read(&self, mark: Mark) -> Result<(u64, State), Lost> {
        let word = self.state.load(SeqCst);
        // Read in between: so the word is of the time in which the slot was of this key.
        let is_own = mark.print & OWN == OWN && self.print.load(SeqCst) == mark.print;
        if !is_own || word == State::mark(mark.print, true) {
            return Err(Lost);
        }
        let is_counted = word != 0 && !State::is_mark(word);
        Ok((word, if is_counted { State::of(word) } else { State::default() }))
    }

    fn change<T>(
        &self,
        mark: Mark,
        step: &mut impl FnMut(State) -> (Option<State>, T),
    ) -> Result<T, Lost> {
        for _ in 0..ATTEMPTS {
            let (word, state) = match self.read(mark) {
                Ok(read) => read,
                Err(Lost) => {
                    self.free_if_shut(mark);
                    return Err(Lost);
                }
            };
            let (next, done) = step(state);
            let Some(next) = next else { return Ok(done) };
            let next = match next == State::default() {
                true => State::mark(mark.print, false),
                false => next.packed(),
            };
            if self.state.compare_exchange(word, next, SeqCst, SeqCst).is_ok() {
                return Ok(done);
            }
        }
        Err(Lost)
    }

    /// Goes on with what whoever has shut it began, so that nobody has to wait for him.
    fn free_if_shut(&self, mark: Mark) {
        if self.state.load(SeqCst) == State::mark(mark.print, true) {
            let _ = self.print.compare_exchange(mark.print, FREE, SeqCst, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests;
