//! How many connections there are, and how many of them are busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The connections of all listeners that take traffic.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    accepted: AtomicU64,
    active: AtomicU64,
    busy: AtomicU64,
}

/// A connection that is open, until this is dropped.
#[derive(Debug)]
pub(crate) struct Open(Arc<Connections>);

impl Connections {
    /// One is accepted.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.accepted.fetch_add(1, Relaxed);
        self.active.fetch_add(1, Relaxed);
        Open(Arc::clone(self))
    }

    /// A request begins on one of them.
    pub(super) fn begin(&self) {
        self.busy.fetch_add(1, Relaxed);
    }

    /// Its answer is through.
    pub(super) fn end(&self) {
        self.busy.fetch_sub(1, Relaxed);
    }

    /// How many were accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// How many are open.
    pub(crate) fn active(&self) -> u64 {
        self.active.load(Relaxed)
    }

    /// How many requests are on them.
    pub(crate) fn busy(&self) -> u64 {
        self.busy.load(Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
    }
}
