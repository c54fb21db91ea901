//! Breakers that open or close are told of, by somebody who looks now and then: whoever has a request to
//! serve has no time for that.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use splitway_core::checkup::BreakerPhase;
use splitway_core::status::{breaker_changes, breakers};

use crate::store::Store;
use crate::telemetry::{self, Level, Log};

/// How often somebody looks. No breaker is open for less than a second.
const LOOK: Duration = Duration::from_millis(250);

/// Tells of breakers until `stopped` is.
pub(crate) fn watch(store: &Store, log: &Log, stopped: &Receiver<()>) {
    let mut before = Default::default();
    while matches!(stopped.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout)) {
        let Some(snapshot) = store.snapshot() else { continue };
        let now = breakers(&snapshot, telemetry::now());
        for change in breaker_changes(&before, &now) {
            let level = match change.to {
                BreakerPhase::Open => Level::Warn,
                BreakerPhase::Closed | BreakerPhase::HalfOpen => Level::Info,
            };
            log.tell(level, "breaker", change);
        }
        before = now;
    }
}
