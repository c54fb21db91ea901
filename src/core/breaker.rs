//! Circuit breakers: who fails is left alone for a while, and is then tried with a few requests first.
//!
//! [`Breaker`] is one machine for the branches of a rule and for the nodes of an upstream (Nygard,
//! "Release It!", 2nd edition, section 5.2):
//!
//! | phase     | event                                                    | next      |
//! |-----------|----------------------------------------------------------|-----------|
//! | closed    | `failures` in a row, or `percent` of the window's        | open      |
//! | open      | its time is over: `open`, twice that after another trip  | half-open |
//! | half-open | a probe fails                                            | open      |
//! | half-open | `successes` probes have succeeded                        | closed    |
//!
//! The phase is a function of what is kept and of the time, so that going half-open writes nothing.
//! Everything is kept in single words that are changed by one atomic exchange each: the gate (`gate`), what
//! counts up to the next step (`tally`) and the places of probes (`slot`). They are tied together by the
//! number of the gate's epoch, which each trip and each closing moves on: a word of an earlier epoch is
//! read as an empty one, and an outcome of a request of an earlier epoch does not count. Epochs are numbered
//! to 2^16 and then anew; a request would have to outlast all of them to be taken for another's.
//!
//! The clock may jump. Forwards, what would have ended ends. Backwards, what seems to begin in the future
//! begins when it is next looked at, so that it ends within its time from then on.
//!
//! [`ApiBreaker`] is another machine: that of APISIX's plugin `api-breaker`.

mod api;
mod gate;
mod policy;
mod slot;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(test)]
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
pub(crate) use api::{ApiBreaker, ApiBreakerWire, Broken, PLUGIN};
use gate::{Epoch, Gate};
pub(crate) use policy::{BreakerWire, Policy};
use slot::Slot;
use tally::{Half, Run};

/// The share of somebody who takes all that is meant for him.
pub(crate) const WHOLE: u32 = 256;

/// What became of a request, for a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered.
    Success,
    /// It failed, or the answer says that it did.
    Failure,
    /// It says nothing of whom it was sent to, such as one whose client has left.
    Neither,
}

/// What a breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Everything.
    Closed,
    /// Nothing.
    Open,
    /// A few probes.
    HalfOpen,
}

/// A request on its way to somebody who has a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    epoch: Epoch,
    way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Like everybody.
    Free,
    /// As a probe, in the slot of this number, under the number of its tenure.
    Probe { slot: usize, tenure: u16 },
    /// Although the breaker lets nothing through.
    Forced,
}

impl Pass {
    /// Whether the breaker let the request through. One that is sent all the same does not count.
    pub(crate) fn is_admitted(self) -> bool {
        self.way != Way::Forced
    }

    /// Whether the request is a probe.
    #[cfg(test)]
    pub(crate) fn is_probe(self) -> bool {
        matches!(self.way, Way::Probe { .. })
    }
}

/// The breaker of one branch or node. A clone is the same breaker.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    policy: Policy,
    state: Arc<State>,
}

/// What outlives a request, and a configuration. All of it is packed, see the types.
#[derive(Debug)]
struct State {
    /// A [`Gate`].
    gate: AtomicU64,
    /// A [`Run`].
    run: AtomicU64,
    /// Each a [`Half`] of the window: the even and the odd ones.
    halves: [AtomicU64; 2],
    /// Each a [`Slot`]; as many as there may be probes.
    slots: Box<[AtomicU64]>,
}

impl Breaker {
    /// A closed breaker.
    pub(crate) fn new(policy: Policy) -> Self {
        let slots = (0..policy.probes).map(|_| AtomicU64::default()).collect();
        let (gate, run, halves) = Default::default();
        Self { policy, state: Arc::new(State { gate, run, halves, slots }) }
    }

    /// Another one that is told the same.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.policy)
    }

    /// Goes on with what `earlier` knows, if it is told the same.
    pub(crate) fn follow(&mut self, earlier: &Self) {
        if self.policy == earlier.policy {
            self.state = Arc::clone(&earlier.state);
        }
    }

    /// What it lets through.
    pub(crate) fn phase(&self, now: Timestamp) -> Phase {
        self.gate(now).phase(&self.policy, now)
    }

    /// How much of what is meant for whom it guards is let through, of [`WHOLE`]: nothing while it is open
    /// and while there are as many probes as there may be; a part that grows while it starts slowly.
    pub(crate) fn share(&self, now: Timestamp) -> u32 {
        let gate = self.gate(now);
        match gate.phase(&self.policy, now) {
            Phase::Closed => gate.share(&self.policy, now),
            Phase::Open => 0,
            Phase::HalfOpen => match self.slot_wait(gate.epoch, now) {
                0 => WHOLE,
                _ => 0,
            },
        }
    }

    /// For how long nothing will be let through, as far as that is known; zero if something is now.
    #[cfg(test)]
    pub(crate) fn wait(&self, now: Timestamp) -> Duration {
        let gate = self.gate(now);
        Duration::from_millis(match gate.phase(&self.policy, now) {
            Phase::Closed => 0,
            Phase::Open => gate.wait(&self.policy, now),
            Phase::HalfOpen => self.slot_wait(gate.epoch, now),
        })
    }

    /// Notes that a request is sent to whom it guards, and takes a slot for it where only probes are let
    /// through. The request may be sent whatever the breaker says: see [`Pass::is_admitted`].
    pub(crate) fn enter(&self, now: Timestamp) -> Pass {
        let gate = self.gate(now);
        let way = match gate.phase(&self.policy, now) {
            Phase::Closed => Way::Free,
            Phase::Open => Way::Forced,
            Phase::HalfOpen => self.probe(gate.epoch, now),
        };
        Pass { epoch: gate.epoch, way }
    }

    /// Notes what became of a request. It counts if it was let through and the breaker has neither tripped
    /// nor closed since, and for a probe only if the slot is still its own; so a second time is for nothing.
    pub(crate) fn leave(&self, pass: Pass, outcome: Outcome, now: Timestamp) {
        let Pass { epoch, way } = pass;
        let gate = Gate::of(self.state.gate.load(Ordering::Relaxed));
        if gate.epoch != epoch {
            // Of long ago it would seem to be ahead of what is counted.
            return;
        }
        match way {
            Way::Free => self.count(epoch, outcome, now),
            Way::Probe { slot, tenure } => {
                if self.vacate(slot, epoch, tenure) {
                    self.judge(epoch, outcome, now);
                }
            }
            Way::Forced => {}
        }
    }

    /// The gate as it is; one that seems to have been shut in the future is shut now.
    fn gate(&self, now: Timestamp) -> Gate {
        let gate = Gate::of(self.state.gate.load(Ordering::Relaxed));
        match gate.rebased(now) {
            None => gate,
            Some(_) => {
                let rebased = |word| Gate::of(word).rebased(now).map(Gate::packed);
                update(&self.state.gate, rebased);
                Gate::of(self.state.gate.load(Ordering::Relaxed))
            }
        }
    }

    /// Counts an outcome while it is closed.
    fn count(&self, epoch: Epoch, outcome: Outcome, now: Timestamp) {
        let failed = match outcome {
            Outcome::Success => false,
            Outcome::Failure => true,
            Outcome::Neither => return,
        };
        let in_row = self.policy.failures > 0 && self.count_in_row(epoch, failed);
        let of_window = self.policy.percent > 0 && self.count_in_window(epoch, failed, now);
        if in_row || of_window {
            self.trip(epoch, now);
        }
    }

    /// Whether that were too many failures in a row. A success after a success writes nothing.
    fn count_in_row(&self, epoch: Epoch, failed: bool) -> bool {
        let counted = |word| Run::of(word).counted(epoch, failed).map(Run::packed);
        let run = update(&self.state.run, counted).map(Run::of);
        run.is_some_and(|run| run.count >= self.policy.failures)
    }

    /// Whether that were too many failures among those of the window.
    fn count_in_window(&self, epoch: Epoch, failed: bool, now: Timestamp) -> bool {
        let number = self.policy.half_window(now);
        let [even, odd] = &self.state.halves;
        let (own, other) = if number.is_multiple_of(2) { (even, odd) } else { (odd, even) };
        let counted = |word| Half::of(word).counted(epoch, number, failed).map(Half::packed);
        let Some(half) = update(own, counted).map(Half::of) else { return false };
        let last = Half::of(other.load(Ordering::Relaxed));
        tally::is_too_much(&self.policy, half, last)
    }

    /// Counts an outcome of a probe.
    fn judge(&self, epoch: Epoch, outcome: Outcome, now: Timestamp) {
        match outcome {
            Outcome::Neither => {}
            Outcome::Failure => self.trip(epoch, now),
            Outcome::Success => {
                let counted = |word| Run::of(word).counted(epoch, true).map(Run::packed);
                let run = update(&self.state.run, counted).map(Run::of);
                if run.is_some_and(|run| run.count >= self.policy.successes) {
                    self.turn(|gate| gate.closed(epoch, now));
                }
            }
        }
    }

    fn trip(&self, epoch: Epoch, now: Timestamp) {
        self.turn(|gate| gate.tripped(epoch, now));
    }

    /// Moves the gate on to another epoch, unless somebody else did, and empties the counts, so that none
    /// stays behind until the numbers of epochs come round.
    fn turn(&self, next: impl Fn(Gate) -> Option<Gate>) {
        let turned = update(&self.state.gate, |word| next(Gate::of(word)).map(Gate::packed));
        let Some(Gate { epoch, .. }) = turned.map(Gate::of) else { return };
        update(&self.state.run, |word| Run::of(word).emptied(epoch).map(Run::packed));
        for half in &self.state.halves {
            update(half, |word| Half::of(word).emptied(epoch).map(Half::packed));
        }
        for slot in &self.state.slots {
            update(slot, |word| Slot::of(word).emptied(epoch).map(Slot::packed));
        }
    }

    /// Takes a slot, if there is one.
    fn probe(&self, epoch: Epoch, now: Timestamp) -> Way {
        let Policy { open, .. } = self.policy;
        for (number, slot) in self.state.slots.iter().enumerate() {
            self.rebase(slot, now);
            let taken = |word| Slot::of(word).taken(epoch, open, now).map(Slot::packed);
            if let Some(slot) = update(slot, taken).map(Slot::of) {
                return Way::Probe { slot: number, tenure: slot.tenure };
            }
        }
        Way::Forced
    }

    /// Gives a slot back; says whether it was still held under this number.
    fn vacate(&self, slot: usize, epoch: Epoch, tenure: u16) -> bool {
        let vacated = |word| Slot::of(word).vacated(epoch, tenure).map(Slot::packed);
        self.state.slots.get(slot).is_some_and(|slot| update(slot, vacated).is_some())
    }

    /// In how many milliseconds the next slot is free.
    fn slot_wait(&self, epoch: Epoch, now: Timestamp) -> u64 {
        let wait = |slot: &AtomicU64| {
            self.rebase(slot, now);
            Slot::of(slot.load(Ordering::Relaxed)).wait(epoch, self.policy.open, now)
        };
        self.state.slots.iter().map(wait).min().unwrap_or_default()
    }

    fn rebase(&self, slot: &AtomicU64, now: Timestamp) {
        update(slot, |word| Slot::of(word).rebased(now).map(Slot::packed));
    }
}

/// Changes a word, unless there is nothing to change; gives what it was changed to. Relaxed, because
/// a word makes sense by itself: what must agree with another word carries the epoch.
fn update(word: &AtomicU64, mut next: impl FnMut(u64) -> Option<u64>) -> Option<u64> {
    let mut changed = None;
    let change = |word| {
        changed = next(word);
        changed
    };
    word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).ok().and(changed)
}

#[cfg(test)]
mod tests;
