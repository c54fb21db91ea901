//! The part of a shared limit that this process holds: taken from the store at once, used up without asking.
//!
//! | what is kept        | a request                    | what the store grants to it                       |
//! |---------------------|------------------------------|---------------------------------------------------|
//! | some may pass yet   | passes, one fewer is left    | the rest is added; both end with the first of them |
//! | none any more       | asks for twice as many       | the rest is kept for as long as it is good        |
//! | none may            | is refused, until that ends  | as above                                          |
//! | nothing that counts | asks for as many as before   | as above; of nothing is kept that none may        |
//!
//! Never more pass than the store has granted, and none after what was granted is no longer good by the
//! clock of who asked: the store has counted with as much from a later moment on. What is not used up by
//! then is lost to all, which is why a lease is as small as use makes it, and the store gives less the less
//! there is.

use super::quota::{Bound, Limit};
use super::state::{FULL, LOAD_MAX, Moment, State, Ticks};
use super::{Counters, Grant, Mark, Reading, Toll};
use crate::time::Timestamp;

/// The most that is asked for at once, as a power of 2.
const SIZE_MAX: u32 = 15;
/// The most that is held.
const HELD_MAX: u32 = (1 << 20) - 1;

/// What is held of a shared limit, for one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lease {
    until: Moment,
    /// How many may pass without asking.
    held: u32,
    /// As which power of 2 so many are asked for.
    size: u32,
    /// Whether the store gives nothing until then.
    is_spent: bool,
}

/// What becomes of a request under a shared limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    /// This, without asking.
    Known(Reading),
    /// That is for the store to say, which is asked for so many.
    Asks(u32),
}

/// The lease of a key, and what is known of the rest: where both are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'c> {
    counters: &'c Counters,
    lease: Mark,
    rest: Option<Mark>,
}

impl Lease {
    fn of(state: State) -> Self {
        Self {
            until: state.until,
            held: state.load & HELD_MAX,
            size: state.load >> 20 & 0xf,
            is_spent: state.load >> 24 & 1 == 1,
        }
    }

    fn state(self) -> State {
        let load = self.held.min(HELD_MAX)
            | self.size.min(SIZE_MAX) << 20
            | u32::from(self.is_spent) << 24;
        // A refusal that is forgotten costs a question, what is held and forgotten is lost.
        let full = if self.held > 0 { FULL / 2 } else { 1 };
        State { until: self.until, full, load }
    }

    fn is_live(self, now: Timestamp) -> bool {
        self.left(now) > Ticks(0)
    }

    fn left(self, now: Timestamp) -> Ticks {
        self.until.after(Moment::at(now))
    }

    /// Takes one of those that are held, or says what else there is to do. How many are left then.
    fn draw(self, now: Timestamp) -> (Option<Self>, Drawn) {
        let is_live = self.is_live(now);
        if is_live && self.is_spent {
            return (None, Drawn::Refused(self.left(now).as_millis()));
        }
        if is_live && let Some(held) = self.held.checked_sub(1) {
            return (Some(Self { held, ..self }), Drawn::Passes(held));
        }
        let size = if self.held > 0 { self.size.saturating_sub(1) } else { self.size };
        (None, Drawn::Asks(1 << size.min(SIZE_MAX)))
    }

    /// With what was granted to a request that asked at `asked`, which takes one of it.
    fn funded(self, grant: &Grant, asked: Timestamp, now: Timestamp) -> (Self, Drawn) {
        let is_live = self.is_live(now);
        if let Some(more) = grant.granted.checked_sub(1) {
            let until = end(asked, grant.good_ms);
            let held = if is_live && !self.is_spent { self.held } else { 0 };
            // Of two leases the one that ends first says when both do.
            let is_first = held == 0 || until.after(self.until) == Ticks(0);
            let size = match (is_live && !self.is_spent, self.held) {
                (true, 0) => (self.size + 1).min(SIZE_MAX),
                (false, 1..) => self.size.saturating_sub(1),
                (true, _) | (false, _) => self.size,
            };
            let until = if is_first { until } else { self.until };
            let held = held.saturating_add(more).min(HELD_MAX);
            return (Self { until, held, size, is_spent: false }, Drawn::Passes(held));
        }
        if let (Some(lease), drawn) = self.draw(now) {
            return (lease, drawn);
        }
        let until = end(asked, grant.reset_ms);
        let lease = Self { until, held: 0, size: self.size / 2, is_spent: true };
        (lease, Drawn::Refused(lease.left(now).as_millis().max(1)))
    }
}

/// What becomes of a request, before more is known of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drawn {
    /// It passes; so many are held for others.
    Passes(u32),
    /// It does not, for so many milliseconds.
    Refused(u64),
    /// So many are to be asked for.
    Asks(u32),
}

/// The end of so many milliseconds, not later than that.
fn end(from: Timestamp, millis: u64) -> Moment {
    let most = super::state::AHEAD_MAX;
    Moment::at(from).plus(Ticks((millis / 10).min(most.0)))
}

impl Limit {
    /// Where the lease of a key is kept.
    pub(crate) fn spot<'c>(
        &self,
        counters: &'c Counters,
        key: &str,
        chance: &dyn Fn() -> u64,
    ) -> Spot<'c> {
        let [lease, rest] = self.marks(counters, key, chance);
        Spot { counters, lease, rest: Some(rest) }
    }

    /// How many milliseconds a request waits that was granted this.
    pub(crate) fn pause_ms(&self, grant: &Grant) -> u64 {
        match &self.quota.bound {
            Bound::Rate(rate) if rate.is_nodelay() => 0,
            Bound::Rate(_) | Bound::Count(_) | Bound::Conn(_) => grant.pause_ms,
        }
    }

    /// What the store is asked for, or nothing where it cannot be.
    pub(crate) fn toll(&self, key: &str, want: u32) -> Option<Toll> {
        let terms = self.quota.bound.terms()?;
        // Those that wait do so one behind the other, which only the store knows.
        let is_one = matches!(&self.quota.bound, Bound::Rate(rate) if !rate.is_nodelay());
        Some(Toll { key: self.account(key), terms, want: if is_one { 1 } else { want } })
    }
}

impl<'c> Spot<'c> {
    /// A lease of which nobody is told how many more there are.
    pub(super) fn plain(counters: &'c Counters, lease: Mark) -> Self {
        Self { counters, lease, rest: None }
    }
}

impl Spot<'_> {
    /// What becomes of a request, as far as that is known here.
    pub(crate) fn draw(&self, now: Timestamp, is_trial: bool) -> Draw {
        let step = |state| {
            let (next, drawn) = Lease::of(state).draw(now);
            (next.map(Lease::state), drawn)
        };
        let drawn = match is_trial {
            true => step(self.counters.look(self.lease)).1,
            false => self.counters.change(self.lease, now, step),
        };
        match drawn {
            Drawn::Asks(want) => Draw::Asks(want),
            Drawn::Passes(_) | Drawn::Refused(_) => Draw::Known(self.reading(drawn, 0, now)),
        }
    }

    /// The mark of the key.
    pub(crate) fn mark(&self) -> Mark {
        self.lease
    }

    /// What becomes of the request that asked at `asked` and was granted this.
    pub(crate) fn fund(&self, grant: &Grant, asked: Timestamp, now: Timestamp) -> Reading {
        let load = u32::try_from(grant.remaining).unwrap_or(LOAD_MAX).min(LOAD_MAX);
        let rest = State { until: end(asked, grant.reset_ms), full: 0, load };
        if let Some(mark) = self.rest {
            self.counters.change(mark, now, |_| (Some(rest), ()));
        }
        let drawn = self.counters.change(self.lease, now, |state| {
            let (lease, drawn) = Lease::of(state).funded(grant, asked, now);
            (Some(lease.state()), drawn)
        });
        self.reading(drawn, grant.pause_ms, now)
    }

    fn reading(&self, drawn: Drawn, pause_ms: u64, now: Timestamp) -> Reading {
        let rest = self.rest.map(|mark| self.counters.look(mark)).unwrap_or_default();
        match drawn {
            Drawn::Passes(held) => Reading {
                is_admitted: true,
                remaining: rest.load.saturating_add(held),
                reset_ms: rest.left(now).as_millis(),
                pause_ms,
                place: None,
            },
            Drawn::Refused(reset_ms) => Reading { reset_ms, ..Reading::default() },
            Drawn::Asks(_) => Reading::default(),
        }
    }
}

#[cfg(test)]
mod tests;
