//! A clock that stands still until there is nothing else to do.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// The time of one request, and the timers that are running.
#[derive(Debug)]
pub(crate) struct Clock {
    now: RefCell<Duration>,
    timers: RefCell<Vec<(Duration, Waker)>>,
}

impl Clock {
    /// A clock that shows this time.
    pub(crate) fn at(now: Duration) -> Self {
        Self { now: RefCell::new(now), timers: RefCell::default() }
    }

    /// The time.
    pub(crate) fn now(&self) -> Duration {
        *self.now.borrow()
    }

    /// Resolves when the time is `duration` later.
    pub(crate) async fn sleep(&self, duration: Duration) {
        let end = self.now() + duration;
        poll_fn(|context| match self.now() >= end {
            true => Poll::Ready(()),
            false => {
                self.timers.borrow_mut().push((end, context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }

    /// Runs a future to its end. When it waits for nothing but time, time passes.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
            while !woken.0.swap(false, Ordering::SeqCst) {
                self.skip_to_next_timer();
            }
        }
    }

    fn skip_to_next_timer(&self) {
        let mut timers = self.timers.borrow_mut();
        let next = timers.iter().map(|(end, _)| *end).min();
        *self.now.borrow_mut() = next.expect("the future waits for something that never comes");
        for (_, waker) in timers.extract_if(.., |(end, _)| Some(*end) == next) {
            waker.wake();
        }
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}
