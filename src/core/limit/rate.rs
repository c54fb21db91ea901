//! So many requests a second: the plugin `limit-req`, a leaky bucket as in nginx.
//!
//! What is kept is when the bucket will be empty: each request that passes moves that by one over `rate`
//! seconds. What is in it beyond the request itself is its excess; up to `burst` of it wait until it has run
//! out, or pass at once under `nodelay`; more is refused. (The Generic Cell Rate Algorithm is the same in
//! other words: ITU-T I.371, annex A.)

use super::state::{FULL, LOAD_MAX, Moment, State, Ticks};
use super::{Reading, Step};
use crate::time::Timestamp;

/// Parts of a tick: about 75 picoseconds each.
const PARTS: u64 = LOAD_MAX as u64 + 1;
/// Parts of a second.
const SECOND: f64 = PARTS as f64 * 100.0;

/// Seconds that it may take until a full bucket is empty: a day.
pub(crate) const DRAIN_SECS_MAX: f64 = 86_400.0;
/// The most requests a second: of more, the parts are too coarse.
pub(crate) const RATE_MAX: f64 = 1e6;

/// The terms of such a limit, in parts of ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// What one request takes.
    gap: u64,
    /// How much may be in the bucket before it.
    room: u64,
    is_nodelay: bool,
    /// The same as it was told, in thousandths, and never more than that.
    told: (u64, u64),
}

impl Rate {
    /// So many requests a second, and so many beyond that for a while. Both fit into the bounds above.
    pub(super) fn new(rate: f64, burst: f64, is_nodelay: bool) -> Self {
        debug_assert!(rate > 0.0 && rate <= RATE_MAX && burst >= 0.0, "checked where it was read");
        // Saturating, as casts of floats are.
        let gap = (SECOND / rate).ceil() as u64;
        let room = (SECOND / rate * burst).floor() as u64;
        let told = (thousandths(rate).max(1), thousandths(burst));
        Self { gap: gap.max(1), room, is_nodelay, told }
    }

    /// Thousandths of a request a second, and of what may be beyond that for a while.
    pub(super) fn milli(&self) -> (u64, u64) {
        self.told
    }

    /// Whether what is beyond the rate passes at once.
    pub(super) fn is_nodelay(&self) -> bool {
        self.is_nodelay
    }

    /// What becomes of another request.
    pub(super) fn step(&self, state: State, now: Timestamp) -> Step {
        let (held, is_ahead) = self.held(state, now);
        let is_admitted = held <= self.room;
        let after = if is_admitted { held + self.gap } else { held };
        let over = held.saturating_sub(self.room);
        let waits = is_admitted && !self.is_nodelay;
        let more = self.room.checked_sub(after).map_or(0, |room| room / self.gap + 1);
        let reading = Reading {
            is_admitted,
            remaining: u32::try_from(more).unwrap_or(u32::MAX),
            reset_ms: millis(if is_admitted { after } else { over }),
            pause_ms: if waits { millis(held) } else { 0 },
            ..Reading::default()
        };
        ((is_admitted || is_ahead).then(|| self.state(after, now)), reading)
    }

    /// What is in the bucket, and whether that seemed to be more than there can be: then the clock was set
    /// back.
    fn held(&self, state: State, now: Timestamp) -> (u64, bool) {
        let held = (state.left(now).0 * PARTS).saturating_sub(state.load.into());
        let held = held.saturating_sub(part_of_tick(now));
        let most = self.room + self.gap;
        (held.min(most), held > most)
    }

    /// The state in which so much is in the bucket.
    fn state(&self, held: u64, now: Timestamp) -> State {
        let end = held + part_of_tick(now);
        let ticks = end.div_ceil(PARTS);
        let load = u32::try_from(ticks * PARTS - end).unwrap_or(0);
        let full = held.saturating_mul(u64::from(FULL)) / (self.room + self.gap).max(1);
        let full = u8::try_from(full).unwrap_or(FULL).min(FULL);
        State { until: Moment::at(now).plus(Ticks(ticks)), full, load }
    }
}

/// So many thousandths fit into it. What is written with three digits is all of them, however it was rounded
/// to a binary fraction.
fn thousandths(number: f64) -> u64 {
    let near = (number * 1000.0).round();
    let fits = near / 1000.0 <= number;
    // Saturating, as casts of floats are.
    if fits { near as u64 } else { (near - 1.0) as u64 }
}

/// How much of its tick is over.
fn part_of_tick(now: Timestamp) -> u64 {
    now.as_millis() % 10 * PARTS / 10
}

/// Parts as milliseconds, rounded up.
fn millis(parts: u64) -> u64 {
    (parts.saturating_mul(10)).div_ceil(PARTS)
}

#[cfg(test)]
mod tests;
