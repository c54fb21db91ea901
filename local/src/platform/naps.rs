//! Timers that are used more than once.
//!
//! Nearly all are dropped long before they are due: what they limit is there in time. To enter one into the
//! clockwork of the runtime and to take it out again takes its lock twice; one that stays in it is only told
//! a later time.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// So many are kept. What waits for one is kept along, until it is used again or due.
const NAPS_MAX: usize = 32;

/// A duration that nobody lives to see, and that can be added to any time.
const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// The timers of one thread that nobody uses now. The lock is never waited for: no other thread has it.
#[derive(Debug, Default)]
pub(crate) struct Naps(Mutex<Vec<Pin<Box<Sleep>>>>);

impl Naps {
    /// Resolves after `duration` from now.
    pub(crate) fn nap(&self, duration: Duration) -> Nap<'_> {
        let now = Instant::now();
        let due = now.checked_add(duration).unwrap_or_else(|| now + FOREVER);
        let kept = self.kept().pop();
        let sleep = match kept {
            Some(mut sleep) => {
                sleep.as_mut().reset(due);
                sleep
            }
            None => Box::pin(sleep_until(due)),
        };
        Nap { naps: self, sleep: Some(sleep) }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Pin<Box<Sleep>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A timer under way.
pub(crate) struct Nap<'n> {
    naps: &'n Naps,
    /// Gone when this is dropped.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Future for Nap<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.sleep.as_mut().map_or(Poll::Ready(()), |sleep| sleep.as_mut().poll(context))
    }
}

impl Drop for Nap<'_> {
    fn drop(&mut self) {
        let mut kept = self.naps.kept();
        if kept.len() < NAPS_MAX {
            kept.extend(self.sleep.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_lasts_as_long_as_it_should_whatever_it_was_before() {
        let naps = Naps::default();
        for (milliseconds, waits) in [(50, true), (5000, false), (20, true), (400, true), (1, true)]
        {
            let began = Instant::now();
            let duration = Duration::from_millis(milliseconds);
            let nap = naps.nap(duration);
            if waits {
                nap.await;
                assert_eq!(began.elapsed(), duration);
            } else {
                let given_up = tokio::time::timeout(Duration::from_millis(3), nap).await;
                assert!(given_up.is_err());
            }
            assert_eq!(naps.kept().len(), 1);
        }
        let never = tokio::time::timeout(Duration::from_secs(9), naps.nap(Duration::MAX)).await;
        assert!(never.is_err());
    }
}
