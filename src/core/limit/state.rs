//! What is kept of one key under one limit: a word that says by itself when nothing of it counts any more,
//! and how much would be lost with it.

use crate::time::Timestamp;

/// Milliseconds of a tick.
pub(super) const TICK_MS: u64 = 10;
/// Bits of a moment: ticks come round after five years, and what lies within the half of that is ahead.
const UNTIL: u32 = 34;
/// Bits of what is counted.
const LOAD: u32 = 27;
/// The most that can be counted.
pub(super) const LOAD_MAX: u32 = (1 << LOAD) - 1;
/// How full a limit is at most, in parts of [`FULL`].
pub(super) const FULL: u8 = 6;
/// The longest that something may lie ahead: two years, for two windows of one.
pub(super) const AHEAD_MAX: Ticks = Ticks(2 * 366 * 86_400 * (1000 / TICK_MS));

/// A length of time, in hundredths of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticks(pub(super) u64);

/// A moment, in ticks that come round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment(u64);

/// What is kept; the default is of a key that nobody has come with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// From then on nothing of it counts.
    pub(super) until: Moment,
    /// How full it is, up to [`FULL`]: what is emptier is given up first, where there is no room for all.
    pub(super) full: u8,
    /// What was counted, as the limit has it.
    pub(super) load: u32,
}

impl Ticks {
    /// So many seconds.
    pub(super) const fn from_secs(secs: u64) -> Self {
        Self(secs * (1000 / TICK_MS))
    }

    pub(super) const fn as_millis(self) -> u64 {
        self.0 * TICK_MS
    }
}

impl Moment {
    /// The moment that it is, or just was.
    pub(super) fn at(now: Timestamp) -> Self {
        Self((now.as_millis() / TICK_MS) & mask(UNTIL))
    }

    /// The moment that it is, or is just coming: what is measured from there never ends too early.
    pub(super) fn coming(now: Timestamp) -> Self {
        Self(now.as_millis().div_ceil(TICK_MS) & mask(UNTIL))
    }

    pub(super) fn plus(self, ticks: Ticks) -> Self {
        Self(self.0.wrapping_add(ticks.0) & mask(UNTIL))
    }

    pub(super) fn minus(self, ticks: Ticks) -> Self {
        Self(self.0.wrapping_sub(ticks.0) & mask(UNTIL))
    }

    /// How far it is from `now`; nothing, if it is not ahead.
    pub(super) fn after(self, now: Self) -> Ticks {
        let distance = self.0.wrapping_sub(now.0) & mask(UNTIL);
        Ticks(if distance >> (UNTIL - 1) == 0 { distance } else { 0 })
    }
}

impl State {
    /// Unpacks a word.
    pub(super) fn of(word: u64) -> Self {
        let [full, ..] = (word >> LOAD & mask(3)).to_le_bytes();
        let [a, b, c, d, ..] = (word & mask(LOAD)).to_le_bytes();
        let load = u32::from_le_bytes([a, b, c, d]);
        Self { until: Moment(word >> (LOAD + 3)), full, load }
    }

    /// Packs it into a word. None is [`Self::is_mark`].
    pub(super) fn packed(self) -> u64 {
        let Self { until: Moment(until), full, load } = self;
        debug_assert!(full <= FULL && load <= LOAD_MAX && until <= mask(UNTIL), "as it is made");
        until << (LOAD + 3) | u64::from(full.min(FULL)) << LOAD | u64::from(load.min(LOAD_MAX))
    }

    /// Whether a word is no state, but what a table marks its slots with.
    pub(super) fn is_mark(word: u64) -> bool {
        word >> LOAD & mask(3) == mask(3)
    }

    /// A mark with this in its other bits, of which the lowest is `is_shut`.
    pub(super) fn mark(tag: u64, is_shut: bool) -> u64 {
        let tag = tag & !1 | u64::from(is_shut);
        tag | mask(3) << LOAD
    }

    /// For how long it counts yet.
    pub(super) fn left(self, now: Timestamp) -> Ticks {
        self.until.after(Moment::at(now))
    }
}

/// How full something is that holds `load` of `most`.
pub(super) fn fullness(load: u64, most: u64) -> u8 {
    let part = load.saturating_mul(u64::from(FULL)) / most.max(1);
    u8::try_from(part).unwrap_or(FULL).min(FULL)
}

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_state_is_what_its_word_says() {
        for until in [0, 1, mask(UNTIL)] {
            for (full, load) in [(0, 0), (1, 1), (FULL, LOAD_MAX)] {
                let state = State { until: Moment(until), full, load };
                assert_eq!(State::of(state.packed()), state);
                assert!(!State::is_mark(state.packed()));
            }
        }
        for tag in [0, 1, u64::MAX] {
            for is_shut in [true, false] {
                assert!(State::is_mark(State::mark(tag, is_shut)), "{tag}");
            }
            assert_ne!(State::mark(tag, true), State::mark(tag, false));
        }
    }

    #[test]
    fn moments_come_round() {
        for now in [0, 9, 1_795_377_599_999, mask(UNTIL) * TICK_MS, u64::MAX - 100_000] {
            let now = at(now);
            let until = Moment::coming(now).plus(Ticks::from_secs(60));
            let state = |until| State { until, ..State::default() };
            assert!(state(until).left(now) >= Ticks(6_000));
            assert!(state(until).left(now) <= Ticks(6_001));
            assert_eq!(state(Moment::at(now)).left(now), Ticks(0));
            assert_eq!(state(Moment::at(now).minus(Ticks(1))).left(now), Ticks(0));
            assert_eq!(state(Moment::at(now).plus(AHEAD_MAX)).left(now), AHEAD_MAX);
        }
    }

    #[test]
    fn how_full_something_is_is_never_more_than_full() {
        assert_eq!([0, 1, 5, 6, 7].map(|load| fullness(load, 6)), [0, 1, 5, 6, 6]);
        assert_eq!(fullness(u64::MAX, 0), FULL);
        assert_eq!(fullness(0, 0), 0);
    }
}
