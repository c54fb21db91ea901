//! Many tasks on one clock that stands still until none of them can go on.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// A world in which nothing happens but what its tasks do, in the same order each time.
#[derive(Default)]
pub(crate) struct World {
    now: Cell<Duration>,
    timers: RefCell<BinaryHeap<Reverse<(Duration, u64)>>>,
    sleepers: RefCell<BTreeMap<u64, Waker>>,
    timers_count: Cell<u64>,
    tasks: RefCell<Vec<Option<Task>>>,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

impl World {
    /// The time since the world began.
    pub(crate) fn now(&self) -> Duration {
        self.now.get()
    }

    /// Resolves when the time is `duration` later.
    pub(crate) async fn sleep(&self, duration: Duration) {
        let end = self.now() + duration;
        let mut timer = Timer(self, None);
        poll_fn(|context| {
            if self.now() >= end {
                return Poll::Ready(());
            }
            let number = *timer.1.get_or_insert_with(|| {
                let number = self.timers_count.get();
                self.timers_count.set(number + 1);
                self.timers.borrow_mut().push(Reverse((end, number)));
                number
            });
            self.sleepers.borrow_mut().insert(number, context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Begins a task. The number it has is what [`World::cancel`] takes.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) -> usize {
        let mut tasks = self.tasks.borrow_mut();
        tasks.push(Some(Box::pin(task)));
        self.ready.lock().unwrap().push_back(tasks.len() - 1);
        tasks.len() - 1
    }

    /// Drops a task, wherever it is; whether it was still there.
    pub(crate) fn cancel(&self, number: usize) -> bool {
        let task = self.tasks.borrow_mut()[number].take();
        task.is_some()
    }

    /// Gives a task up as some runtimes do: it goes on no more, and nothing of it is dropped.
    pub(crate) fn forget(&self, number: usize) {
        let task = self.tasks.borrow_mut()[number].take();
        std::mem::forget(task);
    }

    /// Runs until all tasks have ended. When all of them wait for time, time passes.
    pub(crate) fn run(self: &Rc<Self>) {
        loop {
            let next = self.ready.lock().unwrap().pop_front();
            match next {
                Some(number) => self.poll(number),
                None if self.tasks.borrow().iter().all(Option::is_none) => return,
                None => self.skip_to_next_timer(),
            }
        }
    }

    fn poll(&self, number: usize) {
        let Some(mut task) = self.tasks.borrow_mut()[number].take() else { return };
        let waker = Waker::from(Arc::new(Wakes(number, Arc::clone(&self.ready))));
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.tasks.borrow_mut()[number] = Some(task);
        }
    }

    fn skip_to_next_timer(&self) {
        loop {
            let next = self.timers.borrow_mut().pop();
            let Reverse((end, number)) = next.expect("a task waits for what never comes");
            // A timer that was dropped wakes nobody, and no time passes for it.
            if let Some(waker) = self.sleepers.borrow_mut().remove(&number) {
                self.now.set(self.now().max(end));
                waker.wake();
                return;
            }
        }
    }
}

struct Timer<'w>(&'w World, Option<u64>);

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.1 {
            self.0.sleepers.borrow_mut().remove(&number);
        }
    }
}

struct Wakes(usize, Arc<Mutex<VecDeque<usize>>>);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push_back(self.0);
    }
}
