//! A place among the requests that are under way, and how long such requests take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::conn::{Conn, Place};
use super::counters::{Counters, Mark};
use super::leaving::Leaving;
use crate::time::Timestamp;

/// How long a request is expected to take, in milliseconds: the mean of what was expected and of what the
/// last one took, as APISIX has it, but never more than [`LEARNT_MAX`] times what it was told: one slow upload
/// says little of how long others take, who would all wait for that. A clone learns together with it.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    known: Arc<AtomicU64>,
    most: u64,
}

/// How many times longer than told a request may be expected to take.
const LEARNT_MAX: u64 = 10;

/// A place among the requests that are under way, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    _seat: Seat,
    /// When it goes on, and who wants to know how long it takes.
    since: Timestamp,
    pace: Option<Pace>,
}

/// Where the place is.
#[derive(Debug)]
enum Seat {
    /// Among those of this process.
    Here(#[expect(dead_code, reason = "it is held to be dropped")] Own),
    /// In the store that all share.
    There(#[expect(dead_code, reason = "it is held to be dropped")] Arc<Leaving>),
}

/// A place among those of this process, free when this is dropped.
#[derive(Debug)]
struct Own {
    counters: Arc<Counters>,
    mark: Mark,
    conn: Conn,
    place: Place,
}

impl Pace {
    /// It is expected to take so long.
    pub(super) fn new(millis: u64) -> Self {
        Self { known: Arc::new(AtomicU64::new(millis)), most: millis.saturating_mul(LEARNT_MAX) }
    }

    pub(super) fn as_millis(&self) -> u64 {
        self.known.load(Ordering::Relaxed)
    }

    fn learn(&self, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).min(self.most);
        let mean = |known: u64| Some(known / 2 + took / 2 + (known & took & 1));
        let _ = self.known.fetch_update(Ordering::Relaxed, Ordering::Relaxed, mean);
    }
}

impl Hold {
    pub(super) fn new(
        counters: &Arc<Counters>,
        mark: Mark,
        conn: Conn,
        place: Place,
        (since, pace): (Timestamp, Option<&Pace>),
    ) -> Self {
        let own = Own { counters: Arc::clone(counters), mark, conn, place };
        Self { _seat: Seat::Here(own), since, pace: pace.cloned() }
    }

    /// A place in the store.
    pub(super) fn shared(
        leaving: &Arc<Leaving>,
        (since, pace): (Timestamp, Option<&Pace>),
    ) -> Self {
        Self { _seat: Seat::There(Arc::clone(leaving)), since, pace: pace.cloned() }
    }

    /// Notes that the request is answered now.
    pub(crate) fn answered(&self, now: Timestamp) {
        if let Some(pace) = &self.pace {
            pace.learn(now.since(self.since));
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.counters.amend(self.mark, |state| self.conn.leave(state, self.place.epoch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_upload_does_not_hold_up_all_others_for_as_long() {
        let pace = Pace::new(100);
        pace.learn(Duration::from_secs(3_600));
        assert_eq!(pace.as_millis(), 550);
        (0..20).for_each(|_| pace.learn(Duration::MAX));
        assert!((900..=1_000).contains(&pace.as_millis()), "{}", pace.as_millis());
        (0..20).for_each(|_| pace.learn(Duration::from_millis(20)));
        assert!(pace.as_millis() <= 21, "{}", pace.as_millis());
    }
}
