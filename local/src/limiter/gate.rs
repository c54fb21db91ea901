//! Who asks a store that is away: one request a second, so that the others need not wait to hear it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::telemetry::{Level, Log};

/// How long a store that could not be asked is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether the store can be asked, as far as all threads of the process know.
#[derive(Debug)]
pub(crate) struct Gate {
    begin: Instant,
    /// When the next one may ask, in milliseconds since the beginning; 0 while everybody may.
    shut_until_ms: AtomicU64,
    log: Log,
}

impl Gate {
    pub(super) fn new(log: Log) -> Self {
        Self { begin: Instant::now(), shut_until_ms: AtomicU64::new(0), log }
    }

    /// Whether this one may ask.
    pub(super) fn may_ask(&self) -> bool {
        let until = self.shut_until_ms.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        let next = self.in_a_while();
        let is_time = self.since_begin() >= until;
        // Of all that find it is time, one moves it on.
        let exchange = || {
            let (set, read) = (Ordering::Relaxed, Ordering::Relaxed);
            self.shut_until_ms.compare_exchange(until, next, set, read)
        };
        is_time && exchange().is_ok()
    }

    /// Notes that the store could not be asked, and why.
    pub(super) fn lost(&self, detail: &str) {
        if self.shut_until_ms.swap(self.in_a_while(), Ordering::Relaxed) == 0 {
            self.log.tell(Level::Error, "limits_store_lost", json!({"detail": detail}));
        }
    }

    /// Notes that the store answered.
    pub(super) fn reached(&self) {
        let is_shut = self.shut_until_ms.load(Ordering::Relaxed) != 0;
        if is_shut && self.shut_until_ms.swap(0, Ordering::Relaxed) != 0 {
            self.log.tell(Level::Info, "limits_store_reached", json!({}));
        }
    }

    fn in_a_while(&self) -> u64 {
        self.since_begin() + u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX / 2)
    }

    fn since_begin(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }
}
