//! So many requests at once: the plugin `limit-conn`.
//!
//! Requests are counted by the ten minutes in which they came, those of these ten and of the ten before. A
//! request gives its place back when it ends; one of which nobody says that it has ended, because its isolate
//! is gone, holds it for ten to twenty minutes.

use super::state::{FULL, Moment, State, Ticks, fullness};
use super::{Reading, Step};
use crate::time::Timestamp;

/// The most requests at once, those that wait included.
pub(crate) const CONN_MAX: u32 = (1 << BITS) - 1;

/// Bits of each of both counts.
const BITS: u32 = 13;

/// How long an epoch is.
const EPOCH_MS: u64 = 600_000;
const EPOCH: Ticks = Ticks::from_secs(EPOCH_MS / 1000);

/// The terms of such a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conn {
    /// So many go on at once.
    pub(super) conn: u32,
    /// So many more wait before they do.
    pub(super) burst: u32,
}

/// Which ten minutes it is, as far as two can be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch(Moment);

/// The place of a request among those that are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// When it came.
    pub(super) epoch: Epoch,
    /// How often the time is to be waited that a request takes.
    pub(super) delays: u32,
}

/// How many there are of the last two epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    earlier: u32,
    later: u32,
}

impl Epoch {
    fn at(now: Timestamp) -> Self {
        let begin = now.as_millis() / EPOCH_MS * EPOCH_MS;
        Self(Moment::at(Timestamp::from_millis(begin)))
    }

    /// The one that a state was left in.
    fn of(state: State) -> Self {
        Self(state.until.minus(EPOCH).minus(EPOCH))
    }
}

impl Conn {
    /// What becomes of another request.
    pub(super) fn enter(&self, state: State, now: Timestamp) -> Step {
        let epoch = Epoch::at(now);
        let mut counts = counts(state, now);
        let before = counts.earlier + counts.later;
        let most = self.conn + self.burst;
        if before >= most {
            return (None, Reading::default());
        }
        counts.later += 1;
        let reading = Reading {
            is_admitted: true,
            remaining: most - before - 1,
            place: Some(Place { epoch, delays: before / self.conn.max(1) }),
            ..Reading::default()
        };
        (Some(self.state(counts, epoch)), reading)
    }

    /// Gives the place of a request back that came in `epoch`.
    pub(super) fn leave(&self, state: State, epoch: Epoch) -> Option<State> {
        let mut counts = unpacked(state);
        let own = Epoch::of(state);
        if state == State::default() {
            return None;
        } else if own == epoch {
            counts.later = counts.later.checked_sub(1)?;
        } else if own.0 == epoch.0.plus(EPOCH) {
            counts.earlier = counts.earlier.checked_sub(1)?;
        } else {
            return None;
        }
        Some(self.state(counts, own))
    }

    fn state(&self, counts: Counts, epoch: Epoch) -> State {
        let Counts { earlier, later } = counts;
        if counts == Counts::default() {
            return State::default();
        }
        let most = u64::from(self.conn + self.burst);
        let full = fullness(u64::from(earlier + later), most).min(FULL);
        let until = epoch.0.plus(EPOCH).plus(EPOCH);
        State { until, full, load: earlier << BITS | later }
    }
}

/// What a state says of now. Where the clock was set back, all are of this epoch or the one before.
fn counts(state: State, now: Timestamp) -> Counts {
    let all = unpacked(state);
    let own = Epoch::of(state);
    if state.left(now) == Ticks(0) {
        Counts::default()
    } else if Epoch::at(now).0 == own.0.plus(EPOCH) {
        Counts { earlier: all.later, later: 0 }
    } else {
        all
    }
}

fn unpacked(state: State) -> Counts {
    Counts { earlier: state.load >> BITS, later: state.load & CONN_MAX }
}

#[cfg(test)]
mod tests;
