//! Limits: how many requests may pass, counted by whoever is told to be one by a key.
//!
//! What is kept of a key is one word (`state`), from which and the time follows what becomes of another request:
//! of so many in a window (`count`), so many a second (`rate`) or so many at once (`conn`). The words stand
//! in one table of bounded size (`counters`). A limit as a document has it (`wire`) is a `quota`, of whoever a
//! `key` says; a branch has its own (`branch`).
//!
//! A shared limit is counted by a store (`account`), of which a process holds a part at a time (`lease`).

pub mod account;
mod branch;
mod conn;
mod count;
mod counters;
mod hold;
mod key;
mod lease;
mod leaving;
mod quota;
mod rate;
mod state;
mod toll;
mod wire;

pub(crate) use branch::{BranchLimit, BranchLimitWire, Taken, Whose};
use conn::Place;
pub(crate) use counters::Counters;
use counters::Mark;
pub(crate) use hold::Hold;
pub(crate) use lease::Draw;
pub use leaving::{Leaving, Porter};
pub(crate) use quota::{Bound, Limit, Policy};
use state::{State, TICK_MS};
pub use toll::{Grant, PLACES_MAX, Terms, Toll};
pub(crate) use wire::{Groups, LimitConnWire, LimitCountWire, LimitReqWire, without_redis};

/// The names of the plugins in documents.
pub(crate) const LIMIT_CONN: &str = "limit-conn";
pub(crate) const LIMIT_COUNT: &str = "limit-count";
pub(crate) const LIMIT_REQ: &str = "limit-req";

/// What becomes of one more request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Whether it passes.
    pub(crate) is_admitted: bool,
    /// How many more would pass at once.
    pub(crate) remaining: u32,
    /// After how many milliseconds more would: all of them, or where it is refused, one.
    pub(crate) reset_ms: u64,
    /// How many milliseconds it waits before it goes on.
    pub(crate) pause_ms: u64,
    /// The place that it takes up, where places are counted.
    pub(crate) place: Option<Place>,
}

impl Reading {
    /// It passes; no more is known.
    const ADMITTED: Self =
        Self { is_admitted: true, remaining: 0, reset_ms: 0, pause_ms: 0, place: None };

    /// The same, unless it does not pass.
    fn passed(self) -> Result<Self, Self> {
        if self.is_admitted { Ok(self) } else { Err(self) }
    }
}

/// The state that follows, if it is another, and what becomes of the request.
type Step = (Option<State>, Reading);

/// What tests of limits are made from.
/// How many seconds a client is told to wait, rounded up. Moments are kept in ticks, and rounded so that nothing
/// ends too early: what that adds makes no second more.
pub(crate) fn seconds(millis: u64) -> u64 {
    let least = u64::from(millis > 0);
    millis.saturating_sub(2 * TICK_MS).div_ceil(1000).max(least)
}

#[cfg(test)]
mod trial {
    use crate::time::Timestamp;

    pub(super) fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// A number below `end`, from a generator that is good enough to mix things (Steele and others,
    /// SplitMix64).
    pub(super) fn draw(seed: &mut u64, end: u32) -> u32 {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let drawn = (mixed ^ (mixed >> 31)) % u64::from(end.max(1));
        u32::try_from(drawn).expect("it is below `end`")
    }

    /// A clock that goes on by fits and starts.
    pub(super) struct Clock {
        now: u64,
        seed: u64,
    }

    impl Clock {
        pub(super) fn new(seed: u64) -> Self {
            Self { now: 1_795_377_599_999, seed }
        }

        /// The time, after nothing, a few milliseconds, or up to `long`.
        pub(super) fn tick(&mut self, long: u64) -> u64 {
            let long = u32::try_from(long).expect("not that long");
            self.now += u64::from(match draw(&mut self.seed, 4) {
                0 => 0,
                1 => draw(&mut self.seed, 25),
                2 => draw(&mut self.seed, long.div_ceil(20)),
                _ => draw(&mut self.seed, long),
            });
            self.now
        }
    }
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn nobody_is_told_to_wait_longer_than_a_window() {
        for (millis, told) in
            [(0, 0), (1, 1), (1_000, 1), (1_021, 2), (2_000, 2), (2_010, 2), (2_020, 2)]
        {
            assert_eq!(seconds(millis), told, "{millis}");
        }
    }
}
