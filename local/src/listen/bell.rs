//! A waker that can be kept from waking.
//!
//! hyper is woken whenever a piece of a body is taken from it, also of the last one, and whoever answers is woken
//! when the body is dropped. Both are the connection's own task, which is just at work: it would be polled once
//! more for nothing, a third of all polls of a small request, of memory that is in no cache any more where there
//! are many connections.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

thread_local! {
    static IS_HUSHED: Cell<bool> = const { Cell::new(false) };
    /// What rang meanwhile.
    static RUNG: RefCell<Option<Arc<Bell>>> = const { RefCell::new(None) };
}

/// Wakes the task of a connection.
#[derive(Debug)]
pub(super) struct Bell(Waker);

impl Bell {
    /// Wakes it after all.
    pub(super) fn ring(&self) {
        self.0.wake_by_ref();
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !IS_HUSHED.get() {
            return self.ring();
        }
        let earlier = RUNG.replace(Some(Arc::clone(self)));
        if let Some(other) = earlier.filter(|earlier| !Arc::ptr_eq(earlier, self)) {
            other.ring();
        }
    }
}

/// Has a future go on that is woken by a bell.
pub(super) async fn belled<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut hung = None::<(Arc<Bell>, Waker)>;
    poll_fn(|context| {
        let (_, waker) = match hung.take() {
            Some(same) if same.0.0.will_wake(context.waker()) => hung.insert(same),
            Some(_) | None => {
                let bell = Arc::new(Bell(context.waker().clone()));
                hung.insert((Arc::clone(&bell), bell.into()))
            }
        };
        future.as_mut().poll(&mut Context::from_waker(waker))
    })
    .await
}

/// Does something that may wake tasks of this thread, and returns the bell that was not to be heard.
pub(super) fn hushed<T>(act: impl FnOnce() -> T) -> (T, Option<Arc<Bell>>) {
    /// Ends it, whatever happens.
    struct Hush;
    impl Drop for Hush {
        fn drop(&mut self) {
            IS_HUSHED.set(false);
        }
    }
    IS_HUSHED.set(true);
    let hush = Hush;
    let done = act();
    drop(hush);
    (done, RUNG.take())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::task::Poll;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn what_rings_while_it_is_hushed_is_heard_of_and_nobody_is_woken_by_it() {
        let (one, other) = (Arc::<Count>::default(), Arc::<Count>::default());
        let bell = |count: &Arc<Count>| Arc::new(Bell(Arc::clone(count).into()));
        let (bell, second) = (bell(&one), bell(&other));
        let woken = || (one.0.load(Relaxed), other.0.load(Relaxed));

        Waker::from(Arc::clone(&bell)).wake();
        assert_eq!(woken(), (1, 0));
        let ((), rung) = hushed(|| {
            bell.wake_by_ref();
            Arc::clone(&bell).wake();
        });
        assert_eq!(woken(), (1, 0));
        rung.expect("it rang").ring();
        assert_eq!(woken(), (2, 0));

        let ((), rung) = hushed(|| (bell.wake_by_ref(), second.wake_by_ref()).1);
        assert_eq!(woken(), (3, 0), "of two the first one is heard");
        assert!(rung.is_some_and(|rung| Arc::ptr_eq(&rung, &second)));
        assert!(hushed(|| ()).1.is_none());
        assert!(std::panic::catch_unwind(|| hushed(|| panic!("as it may"))).is_err());
        bell.wake_by_ref();
        assert_eq!(woken(), (4, 0));
    }

    #[test]
    fn a_future_is_woken_by_whoever_polled_it_last() {
        let (one, other) = (Arc::<Count>::default(), Arc::<Count>::default());
        let own = RefCell::new(None::<Waker>);
        let mut future = pin!(belled(poll_fn(|context| {
            own.replace(Some(context.waker().clone()));
            Poll::<()>::Pending
        })));
        for count in [&one, &other, &other] {
            let waker = Waker::from(Arc::clone(count));
            assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        own.take().expect("it was polled").wake();
        assert_eq!((one.0.load(Relaxed), other.0.load(Relaxed)), (0, 1));
    }
}
