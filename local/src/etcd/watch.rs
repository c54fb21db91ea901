//! The news of a fleet: what one server writes, the others take over as soon as etcd tells of it.
//!
//! A watch sees everything from when it began, so that the ledger is read once after that, whatever
//! was missed before and whether etcd still has it or not.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use splitway_core::storage::StorageError;

use super::Link;
use super::keys::Keys;
use crate::coordinator::Handle;
use crate::telemetry::{Level, Log};

/// The first wait after a watch is lost; it doubles with every failure.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// The longest wait between two tries.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// For the thread that watches etcd; it ends with the server.
pub(crate) struct Watch {
    pub(crate) link: Arc<Link>,
    pub(crate) prefix: String,
    pub(crate) handle: Handle,
    pub(crate) log: Log,
    /// Whether the ledger was read at the start.
    pub(crate) is_reached: bool,
}

impl Watch {
    /// Watches until the server ends.
    pub(crate) fn run(mut self) {
        let mut wait = WAIT_MIN;
        let mut told = String::new();
        loop {
            let Err(error) = self.follow(&mut wait, &mut told);
            if !self.link.pause(Duration::ZERO) {
                return;
            }
            let detail = error.to_string();
            if detail != told {
                self.log.tell(Level::Error, "store_lost", json!({"detail": detail}));
                told = detail;
            }
            self.is_reached = false;
            self.handle.note_reach(false);
            if !self.link.pause(wait) {
                return;
            }
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    /// Watches until that fails.
    fn follow(
        &mut self,
        wait: &mut Duration,
        told: &mut String,
    ) -> Result<std::convert::Infallible, StorageError> {
        let mut stream = self.link.watch(Keys::under(&self.prefix).head())?;
        self.handle.catch_up(|| false)?;
        if !self.is_reached {
            self.log.tell(Level::Info, "store_reached", json!({}));
        }
        self.is_reached = true;
        self.handle.note_reach(true);
        *wait = WAIT_MIN;
        told.clear();
        loop {
            let revision = self.link.next_change(&mut stream)?;
            self.handle.catch_up(|| self.link.has_seen(revision))?;
        }
    }
}
