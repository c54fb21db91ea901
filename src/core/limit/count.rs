//! So many requests in a window: the plugin `limit-count`.
//!
//! A fixed window begins with the first request after the last one: never more than `count` pass in any of
//! them, but twice as many may in a moment around the end of one.
//!
//! Sliding windows follow each other without a gap. What passed in the last one counts in the proportion in
//! which it would still be in a window that ends now, as if it had been spread evenly. In a stretch of x
//! windows, where x is at most 1, never more than `count` * (1 + x) pass, be they spread as they may: what
//! passed before the border within it is p at most, so that not more than `count` - p * (1 - x) pass behind.

use super::state::{FULL, LOAD_MAX, Moment, State, Ticks, fullness};
use super::{Reading, Step};
use crate::time::Timestamp;

/// The most requests of a fixed window.
pub(crate) const COUNT_MAX: u32 = LOAD_MAX;
/// The most requests of a sliding one, of which two have to fit into what one of a fixed window takes.
pub(crate) const SLIDING_MAX: u32 = 1_000_000;
/// The longest window, a leap year.
pub(crate) const WINDOW_SECS_MAX: u32 = 366 * 86_400;

/// Bits of what was counted in both windows.
const BITS: u32 = 27;

/// The terms of such a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(super) count: u32,
    pub(super) window: Ticks,
    pub(super) is_sliding: bool,
}

/// Two windows that follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pair {
    /// When the later of them begins.
    since: Moment,
    earlier: u32,
    later: u32,
}

impl Count {
    /// How many may pass in a window.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// What becomes of another request.
    pub(super) fn step(&self, state: State, now: Timestamp) -> Step {
        match self.is_sliding {
            false => self.step_fixed(state, now),
            true => self.step_sliding(state, now),
        }
    }

    fn step_fixed(&self, state: State, now: Timestamp) -> Step {
        let whole = Moment::coming(now).plus(self.window);
        let left = state.left(now);
        let (until, load) = match left {
            Ticks(0) => (whole, 0),
            // The clock was set back: it ends within its time from now on.
            left if left > whole.after(Moment::at(now)) => (whole, state.load),
            _ => (state.until, state.load),
        };
        let is_admitted = load < self.count;
        let load = load + u32::from(is_admitted);
        let full = fullness(load.into(), self.count.into());
        let next = State { until, full, load };
        let reading = Reading {
            is_admitted,
            remaining: self.count.saturating_sub(load),
            reset_ms: next.left(now).as_millis(),
            ..Reading::default()
        };
        ((next != state).then_some(next), reading)
    }

    fn step_sliding(&self, state: State, now: Timestamp) -> Step {
        let mut pair = self.pair(state, now);
        let at = self.elapsed(pair, now);
        let carried = self.carried(pair.earlier, at);
        let is_admitted = carried + pair.later < self.count;
        pair.later += u32::from(is_admitted);
        let left = self.window.0.saturating_sub(at.0);
        let reading = Reading {
            is_admitted,
            remaining: self.count.saturating_sub(carried + pair.later),
            reset_ms: match is_admitted {
                true => Ticks(left).as_millis(),
                false => self.wait(pair, at).as_millis(),
            },
            ..Reading::default()
        };
        let full = if is_admitted { fullness(pair.later.into(), self.count.into()) } else { FULL };
        let next = State {
            until: pair.since.plus(Ticks(self.window.0 * 2)),
            full,
            load: self.packed(pair),
        };
        let is_same = (next.until, next.load) == (state.until, state.load);
        ((!is_same).then_some(next), reading)
    }

    /// The windows that it is: those of the state, or those that follow them.
    fn pair(&self, state: State, now: Timestamp) -> Pair {
        let begun = Pair { since: Moment::at(now), earlier: 0, later: 0 };
        let Ticks(left) = state.left(now);
        let Ticks(window) = self.window;
        if left == 0 {
            return begun;
        }
        let since = state.until.minus(Ticks(window * 2));
        let (earlier, later) = self.unpacked(state.load);
        if left > window * 2 {
            // The clock was set back.
            Pair { earlier, later, ..begun }
        } else if left > window {
            Pair { since, earlier, later }
        } else {
            Pair { since: since.plus(self.window), earlier: later, later: 0 }
        }
    }

    /// How long the later window lasts already.
    fn elapsed(&self, pair: Pair, now: Timestamp) -> Ticks {
        Moment::at(now).after(pair.since)
    }

    /// How much of the earlier window counts when the later one lasts for so long, rounded up.
    fn carried(&self, earlier: u32, at: Ticks) -> u32 {
        let Ticks(window) = self.window;
        let part = u64::from(earlier) * window.saturating_sub(at.0);
        u32::try_from(part.div_ceil(window.max(1))).unwrap_or(u32::MAX / 2)
    }

    /// After how long one more will pass, if nothing else does meanwhile.
    fn wait(&self, pair: Pair, at: Ticks) -> Ticks {
        let Ticks(window) = self.window;
        // How far into a window so much of the `earlier` one is forgotten that `room` is left for others.
        let until_room = |earlier: u32, room: u32| {
            let kept = u64::from(room) * window / u64::from(earlier.max(1));
            window.saturating_sub(kept)
        };
        match self.count.checked_sub(pair.later + 1) {
            Some(room) => Ticks(until_room(pair.earlier, room).saturating_sub(at.0).max(1)),
            None => {
                // As it will be remembered.
                let (kept, _) = self.unpacked(self.packed(Pair { earlier: pair.later, ..pair }));
                let then = until_room(kept, self.count.saturating_sub(1));
                Ticks((window + then).saturating_sub(at.0).max(1))
            }
        }
    }

    /// How many bits the later window takes, and by how many the earlier one is cut: what is cut off counts
    /// as whole, so that it is never too much that passes.
    fn layout(&self) -> (u32, u32) {
        let later = u32::BITS - self.count.leading_zeros();
        (later, (2 * later).saturating_sub(BITS))
    }

    fn packed(&self, pair: Pair) -> u32 {
        let (bits, cut) = self.layout();
        let most = (1_u32 << (BITS - bits)) - 1;
        let earlier = pair.earlier.div_ceil(1 << cut).min(most);
        earlier << bits | pair.later.min(self.count)
    }

    fn unpacked(&self, load: u32) -> (u32, u32) {
        let (bits, cut) = self.layout();
        let most = (1_u32 << (BITS - bits)) - 1;
        let earlier = match load >> bits {
            // More than that does not fit.
            kept if kept == most => self.count,
            kept => (kept << cut).min(self.count),
        };
        (earlier, load & ((1 << bits) - 1))
    }
}

#[cfg(test)]
mod tests;
