//! Answers that are written together.
//!
//! Where many connections have something to say at once, each answer that is written by itself wakes the client
//! anew, and the way through the kernel pushes that through the program out of the nearest caches. So what is there
//! of whole answers is written when all tasks that are awake had their turn: nobody waits for more than that.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Something that has bytes to be written.
pub(super) trait Flush: fmt::Debug {
    /// Writes what the stream takes; whoever has it is woken for the rest.
    fn flush(&self);
}

/// What is to be written on one thread.
#[derive(Debug, Default)]
pub(in crate::listen) struct Later {
    waiting: RefCell<Vec<Rc<dyn Flush>>>,
    writer: RefCell<Option<Waker>>,
}

impl Later {
    /// Has it flushed soon. It may wait once.
    pub(super) fn flush(&self, what: Rc<dyn Flush>) {
        self.waiting.borrow_mut().push(what);
        // It comes after all that is awake now.
        self.writer.take().into_iter().for_each(Waker::wake);
    }

    /// Flushes what is to be flushed, for ever.
    pub(in crate::listen) async fn write(&self) -> Infallible {
        poll_fn(|context| {
            // Nobody adds anything meanwhile.
            let mut waiting = mem::take(&mut *self.waiting.borrow_mut());
            waiting.drain(..).for_each(|what| what.flush());
            self.waiting.replace(waiting);
            self.writer.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }
}
