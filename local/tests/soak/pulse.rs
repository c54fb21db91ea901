//! What goes on beside the load, so that a client can tell what its request went through.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustls::ClientConfig;

use crate::ledger::Ledger;

/// What clients and those who disturb them share.
pub(crate) struct Pulse {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) to: SocketAddr,
    /// How to speak TLS, where that is spoken.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) ends: AtomicBool,
    kills_begun: AtomicU64,
    kills_done: AtomicU64,
    revivals: AtomicU64,
    /// Odd while the configuration changes.
    turns: AtomicU64,
    revision: Mutex<Option<String>>,
}

/// A moment, as far as a request is concerned.
pub(crate) struct Moment {
    kills_done: u64,
    revivals: u64,
    turns: u64,
}

impl Pulse {
    pub(crate) fn new(to: SocketAddr, ledger: &Arc<Ledger>) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            to,
            tls: None,
            ends: AtomicBool::new(false),
            kills_begun: AtomicU64::new(0),
            kills_done: AtomicU64::new(0),
            revivals: AtomicU64::new(0),
            turns: AtomicU64::new(0),
            revision: Mutex::default(),
        }
    }

    pub(crate) fn goes_on(&self) -> bool {
        !self.ends.load(Ordering::SeqCst)
    }

    pub(crate) fn now(&self) -> Moment {
        let read = |count: &AtomicU64| count.load(Ordering::SeqCst);
        Moment {
            kills_done: read(&self.kills_done),
            revivals: read(&self.revivals),
            turns: read(&self.turns),
        }
    }

    /// Whether an origin was killed since.
    pub(crate) fn killed_since(&self, moment: &Moment) -> bool {
        self.kills_begun.load(Ordering::SeqCst) > moment.kills_done
    }

    /// Whether an origin was dead at any time since.
    pub(crate) fn dead_since(&self, moment: &Moment) -> bool {
        self.kills_begun.load(Ordering::SeqCst) > moment.revivals
    }

    /// The revision that must have served whatever began and ended since, if there is just one.
    pub(crate) fn revision_since(&self, moment: &Moment) -> Option<String> {
        let revision = self.revision.lock().expect("nobody panicked").clone();
        let turns = self.turns.load(Ordering::SeqCst);
        revision.filter(|_| turns == moment.turns && turns.is_multiple_of(2))
    }

    /// Kills origins, which are to be revived before others are killed.
    pub(crate) fn kill(&self, kill: impl FnOnce()) {
        self.kills_begun.fetch_add(1, Ordering::SeqCst);
        kill();
        self.kills_done.fetch_add(1, Ordering::SeqCst);
    }

    /// Starts those again that were killed.
    pub(crate) fn revive(&self, revive: impl FnOnce()) {
        revive();
        self.revivals.fetch_add(1, Ordering::SeqCst);
    }

    /// Changes the configuration, to what serves then.
    pub(crate) fn turn(&self, change: impl FnOnce() -> Option<String>) {
        self.turns.fetch_add(1, Ordering::SeqCst);
        let revision = change();
        *self.revision.lock().expect("nobody panicked") = revision;
        self.turns.fetch_add(1, Ordering::SeqCst);
    }
}
