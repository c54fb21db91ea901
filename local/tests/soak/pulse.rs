//! What goes on beside the load, so that a client can tell what its request went through.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use rustls::ClientConfig;

use crate::ledger::Ledger;

/// What clients and those who disturb them share.
pub(crate) struct Pulse {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) to: SocketAddr,
    /// How to speak TLS, where that is spoken.
    pub(crate) tls: Option<RwLock<Arc<ClientConfig>>>,
    pub(crate) ends: AtomicBool,
    kills_begun: AtomicU64,
    kills_done: AtomicU64,
    /// Odd while the configuration changes.
    turns: AtomicU64,
    revision: Mutex<Option<String>>,
}

/// A moment, as far as a request is concerned.
pub(crate) struct Moment {
    kills_done: u64,
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
            turns: AtomicU64::new(0),
            revision: Mutex::default(),
        }
    }

    pub(crate) fn goes_on(&self) -> bool {
        !self.ends.load(Ordering::SeqCst)
    }

    pub(crate) fn now(&self) -> Moment {
        let kills_done = self.kills_done.load(Ordering::SeqCst);
        Moment { kills_done, turns: self.turns.load(Ordering::SeqCst) }
    }

    /// Whether an origin was killed since.
    pub(crate) fn killed_since(&self, moment: &Moment) -> bool {
        self.kills_begun.load(Ordering::SeqCst) > moment.kills_done
    }

    /// The revision that must have served whatever began and ended since, if there is just one.
    pub(crate) fn revision_since(&self, moment: &Moment) -> Option<String> {
        let revision = self.revision.lock().expect("nobody panicked").clone();
        let turns = self.turns.load(Ordering::SeqCst);
        revision.filter(|_| turns == moment.turns && turns % 2 == 0)
    }

    /// Kills origins.
    pub(crate) fn kill(&self, kill: impl FnOnce()) {
        self.kills_begun.fetch_add(1, Ordering::SeqCst);
        kill();
        self.kills_done.fetch_add(1, Ordering::SeqCst);
    }

    /// Changes the configuration, to what serves then.
    pub(crate) fn turn(&self, change: impl FnOnce() -> Option<String>) {
        self.turns.fetch_add(1, Ordering::SeqCst);
        let revision = change();
        *self.revision.lock().expect("nobody panicked") = revision;
        self.turns.fetch_add(1, Ordering::SeqCst);
    }
}
