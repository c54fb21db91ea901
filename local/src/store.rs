//! The snapshot that all threads serve by.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use splitway_core::snapshot::Snapshot;
use tokio::sync::watch;

/// The last good configuration.
#[derive(Debug, Default)]
pub(crate) struct Store {
    current: ArcSwapOption<Snapshot>,
    news: watch::Sender<()>,
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
        self.current.store(Some(Arc::new(snapshot)));
        self.news.send_replace(());
    }

    /// Says when another snapshot serves, from here on.
    pub(crate) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }
}
