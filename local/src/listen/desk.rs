//! Where the requests of one connection are answered, one after the other.
//!
//! What answers a request is a future of some kilobytes. To make one for each request is to copy it to where
//! it stays, bytes that mean nothing yet included, which took as long as a sixth of all that a request takes.
//! So it is made once, takes one request after the other and is polled by whoever waits for an answer.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// The request that is to be answered, and the answer. Its locks are never waited for: a connection is driven
/// by one task.
pub(super) struct Papers<Q, A> {
    question: Mutex<Option<Q>>,
    answer: Mutex<Option<A>>,
}

impl<Q, A> Default for Papers<Q, A> {
    fn default() -> Self {
        Self { question: Mutex::new(None), answer: Mutex::new(None) }
    }
}

impl<Q, A> Papers<Q, A> {
    /// The next request. Nobody is woken for it: who brings one polls.
    pub(super) async fn next(&self) -> Q {
        poll_fn(|_| locked(&self.question).take().map_or(Poll::Pending, Poll::Ready)).await
    }

    /// Hands out the answer to it.
    pub(super) fn answer(&self, answer: A) {
        *locked(&self.answer) = Some(answer);
    }
}

/// What takes requests and answers them for ever.
pub(super) type Clerk<'c> = Pin<Box<dyn Future<Output = Infallible> + Send + 'c>>;

/// Has what comes by its papers answered by what `make` makes.
pub(super) struct Desk<'p, Q, A> {
    papers: &'p Papers<Q, A>,
    make: &'p (dyn Fn() -> Clerk<'p> + Sync),
    clerk: Mutex<Option<Clerk<'p>>>,
}

impl<'p, Q, A> Desk<'p, Q, A> {
    pub(super) fn new(papers: &'p Papers<Q, A>, make: &'p (dyn Fn() -> Clerk<'p> + Sync)) -> Self {
        Self { papers, make, clerk: Mutex::new(None) }
    }

    /// Has a request answered, after the one before. If what this returns is dropped, nobody answers it any
    /// more.
    pub(super) fn ask(&self, question: Q) -> Asked<'_, 'p, Q, A> {
        *locked(&self.papers.question) = Some(question);
        Asked { desk: self, is_answered: false }
    }
}

/// A request under way.
pub(super) struct Asked<'d, 'p, Q, A> {
    desk: &'d Desk<'p, Q, A>,
    is_answered: bool,
}

impl<Q, A> Future for Asked<'_, '_, Q, A> {
    type Output = Result<A, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let desk = self.desk;
        let mut clerk = locked(&desk.clerk);
        let clerk = clerk.get_or_insert_with(desk.make);
        // It never ends.
        if let Poll::Ready(never) = clerk.as_mut().poll(context) {
            match never {}
        }
        match locked(&desk.papers.answer).take() {
            Some(answer) => {
                self.is_answered = true;
                Poll::Ready(Ok(answer))
            }
            None => Poll::Pending,
        }
    }
}

impl<Q, A> Drop for Asked<'_, '_, Q, A> {
    fn drop(&mut self) {
        if !self.is_answered {
            *locked(&self.desk.clerk) = None;
            *locked(&self.desk.papers.question) = None;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::task::Waker;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn one_clerk_answers_all_requests_and_a_new_one_those_after_one_that_was_given_up() {
        let (papers, made) = (&Papers::<u32, u32>::default(), &AtomicU32::new(0));
        let make = move || -> Clerk<'_> {
            made.fetch_add(1, Relaxed);
            Box::pin(async move {
                loop {
                    let question = papers.next().await;
                    if question == 0 {
                        std::future::pending::<()>().await;
                    }
                    papers.answer(question + 1);
                }
            })
        };
        let desk = Desk::new(papers, &make);
        for question in [1, 2, 3] {
            assert_eq!(poll(pin!(desk.ask(question))), Poll::Ready(Ok(question + 1)));
        }
        assert_eq!(made.load(Relaxed), 1);
        {
            let mut asked = pin!(desk.ask(0));
            assert_eq!(poll(asked.as_mut()), Poll::Pending);
            assert_eq!(poll(asked.as_mut()), Poll::Pending);
        }
        assert_eq!(poll(pin!(desk.ask(5))), Poll::Ready(Ok(6)));
        assert_eq!(made.load(Relaxed), 2);
    }
}
