//! Requests that left their places while the store was away, of which it is told when it is back: else
//! their places would stay taken long after.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use splitway_core::limit::Toll;

/// The most that wait to be told. What is forgotten beyond that is freed by time.
const WAITING_MAX: usize = 10_000;

/// What the store is to be told yet, by whichever thread of the process.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The oldest first.
    waiting: VecDeque<Toll>,
    /// Whether somebody is about to tell the store.
    is_sending: bool,
}

/// Whoever tells the store. There is one at a time; dropping it makes way for another.
pub(super) struct Sender<'b> {
    backlog: &'b Backlog,
    /// Whether it has found nothing left to tell.
    is_done: bool,
}

impl Backlog {
    /// Keeps this for later, and forgets the oldest where there are too many. Whether nobody is about to tell
    /// the store, so that a [`Sender`] is to be started.
    pub(super) fn keep(&self, toll: Toll) -> bool {
        let mut state = self.state();
        state.waiting.push_back(toll);
        state.bound();
        !state.is_sending
    }

    /// Begins to tell the store, unless somebody does.
    pub(super) fn sender(&self) -> Option<Sender<'_>> {
        let was_sending = std::mem::replace(&mut self.state().is_sending, true);
        // Not made in vain: dropping it would make way for another.
        (!was_sending).then(|| Sender { backlog: self, is_done: false })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in between would leave a queue that is sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets the oldest where there are too many.
    fn bound(&mut self) {
        let beyond = self.waiting.len().saturating_sub(WAITING_MAX);
        self.waiting.drain(..beyond);
    }
}

impl Sender<'_> {
    /// Keeps these for later, which were the oldest.
    pub(super) fn give_back(&self, tolls: Vec<Toll>) {
        let mut state = self.backlog.state();
        tolls.into_iter().rev().for_each(|toll| state.waiting.push_front(toll));
        state.bound();
    }

    /// The oldest, at most so many. Where there are none, it is no longer the sender: who keeps something from
    /// then on starts another.
    pub(super) fn next(&mut self, most: usize) -> Vec<Toll> {
        let mut state = self.backlog.state();
        let count = most.min(state.waiting.len());
        if count == 0 {
            state.is_sending = false;
            self.is_done = true;
        }
        state.waiting.drain(..count).collect()
    }
}

impl Drop for Sender<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.backlog.state().is_sending = false;
        }
    }
}
