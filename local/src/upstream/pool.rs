//! The connections of one thread, by node.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fnv::FnvHashMap;
use splitway_core::exchange::Attempt;
use tokio::sync::Notify;

use super::place::Place;

/// How often connections are looked after that nobody asks for.
const SWEEP: Duration = Duration::from_secs(1);

/// Nobody but whoever writes documents chooses what is hashed.
type Places = FnvHashMap<Box<str>, Vec<Arc<Place>>>;

/// The connections of one thread. Its locks are never waited for: no other thread has them.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// By host and port; the places of one differ in scheme and TLS.
    places: Mutex<Places>,
    filled: Notify,
}

impl Pool {
    /// The place of the node of an attempt.
    pub(super) fn place(&self, attempt: &Attempt<'_>) -> Arc<Place> {
        let authority = attempt.node.authority();
        let mut places = self.places();
        let fitting = |places: &Vec<Arc<Place>>| {
            places.iter().find(|place| place.fits(attempt)).map(Arc::clone)
        };
        if let Some(place) = places.get(authority).and_then(fitting) {
            return place;
        }
        let place = Arc::new(Place::new(attempt));
        places.entry(authority.into()).or_default().push(Arc::clone(&place));
        self.filled.notify_one();
        place
    }

    /// Has it swept now and then, as long as it is there.
    pub(super) fn have_swept(pool: &Arc<Self>) {
        let pool = Arc::downgrade(pool);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(pool) = pool.upgrade() else { return };
                pool.sweep();
                if pool.is_empty() {
                    pool.filled.notified().await;
                }
            }
        });
    }

    /// Closes what has rested for too long, and forgets nodes that nobody has asked for since.
    fn sweep(&self) {
        let now = Instant::now();
        self.places().retain(|_, places| {
            places.retain(|place| place.sweep(now) || Arc::strong_count(place) > 1);
            !places.is_empty()
        });
    }

    fn is_empty(&self) -> bool {
        self.places().is_empty()
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
