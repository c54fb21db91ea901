//! The snapshot that all threads serve by.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use splitway_core::snapshot::Snapshot;
use splitway_core::time::Timestamp;
use tokio::sync::watch;

use crate::telemetry;

/// The last good configuration.
#[derive(Debug, Default)]
pub(crate) struct Store {
    current: ArcSwapOption<Snapshot>,
    news: watch::Sender<()>,
    /// When it began to serve, in milliseconds; 0 for never.
    since_ms: AtomicU64,
    /// How often another one could not be served by.
    failures: AtomicU64,
    /// Whether the ledger of a fleet is there: one of the [`Reach`]es.
    reach: AtomicU8,
}

/// Whether the ledger of a fleet is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// There is no fleet.
    Alone,
    /// It was not there when it was last asked for something.
    Lost,
    /// It was.
    Reached,
}

impl Store {
    /// The snapshot to serve by, if there ever was one.
    pub(crate) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.current.load_full()
    }

    /// Has all requests from here on served by `snapshot`, in which the walks go on. It has one
    /// caller at a time: the watched file, or the owner of the ledger.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        let snapshot = match &*self.current.load() {
            Some(current) => snapshot.following(current),
            None => snapshot,
        };
        let now = telemetry::now();
        snapshot.meters().begin(now);
        self.since_ms.store(now.as_millis(), Relaxed);
        self.current.store(Some(Arc::new(snapshot)));
        self.news.send_replace(());
    }

    /// Since when the snapshot serves.
    pub(crate) fn since(&self) -> Timestamp {
        Timestamp::from_millis(self.since_ms.load(Relaxed))
    }

    /// Notes that a configuration was there that could not be served by, or none could be read.
    pub(crate) fn note_failure(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// How often that was noted.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Notes whether the ledger of the fleet is there.
    #[cfg(feature = "etcd")]
    pub(crate) fn note_reach(&self, is_reached: bool) {
        let reach = if is_reached { Reach::Reached } else { Reach::Lost };
        self.reach.store(reach as u8, Relaxed);
    }

    /// Whether the ledger of the fleet was there when it was last asked for something.
    pub(crate) fn reach(&self) -> Reach {
        match self.reach.load(Relaxed) {
            reach if reach == Reach::Reached as u8 => Reach::Reached,
            reach if reach == Reach::Lost as u8 => Reach::Lost,
            _ => Reach::Alone,
        }
    }

    /// Says when another snapshot serves, from here on.
    pub(crate) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }
}
