//! How many connections there are, and how many of them are busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The connections of one thread that takes traffic, which counts them alone: others only look. What several
/// threads write to costs each of them as much as a read of memory.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    accepted: AtomicU64,
    active: AtomicU64,
    busy: AtomicU64,
}

/// Those of all threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllConnections(Arc<[Arc<Connections>]>);

/// A connection that is open, until this is dropped.
#[derive(Debug)]
pub(crate) struct Open(Arc<Connections>);

impl Connections {
    /// One is accepted.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        change(&self.accepted, 1);
        change(&self.active, 1);
        Open(Arc::clone(self))
    }

    /// A request begins on one of them.
    pub(super) fn begin(&self) {
        change(&self.busy, 1);
    }

    /// Its answer is through.
    pub(super) fn end(&self) {
        change(&self.busy, -1);
    }
}

/// Not in one step: there is one who writes.
fn change(counter: &AtomicU64, by: i64) {
    counter.store(counter.load(Relaxed).wrapping_add_signed(by), Relaxed);
}

impl AllConnections {
    /// Those of so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        Self((0..threads).map(|_| Arc::default()).collect())
    }

    /// Those of one thread.
    pub(crate) fn of_thread(&self, number: usize) -> Arc<Connections> {
        self.0.get(number).cloned().unwrap_or_default()
    }

    /// How many were accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.sum(|of_thread| &of_thread.accepted)
    }

    /// How many are open.
    pub(crate) fn active(&self) -> u64 {
        self.sum(|of_thread| &of_thread.active)
    }

    /// How many requests are on them.
    pub(crate) fn busy(&self) -> u64 {
        self.sum(|of_thread| &of_thread.busy)
    }

    fn sum(&self, counter: impl Fn(&Connections) -> &AtomicU64) -> u64 {
        self.0.iter().map(|of_thread| counter(of_thread).load(Relaxed)).sum()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        change(&self.0.active, -1);
    }
}
