//! The stream of a connection, with what was read of it and what is to be written.
//!
//! The connection has it for itself but for the time that the body of a request comes piece by piece: that may
//! still be read where its answer is written, and by another task. Only then there is a lock, which is held for a
//! moment at a time: each takes as long as twenty other instructions, and a request asks for its stream often.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::intake::{Intake, Taken};
use super::later::Flush;
use crate::h1::out::Out;

/// For how many bytes there is space when one waits for a request, at first and at most.
const SPACE: usize = 2 * 1024;
const SPACE_MAX: usize = 32 * 1024;

/// So much of what comes behind a request is read while it is answered.
const AHEAD_MAX: usize = 8 * 1024;

/// Only shorter answers are written with others'.
const LATER_MAX: usize = 16 * 1024;

/// Asks for a body (RFC 9110, section 10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The stream of a connection, as that has it.
#[derive(Debug)]
pub(in crate::listen) struct Wire<T>(RefCell<Held<T>>);

/// Who has a stream.
#[derive(Debug)]
enum Held<T> {
    /// The connection alone.
    Own(Ends<T>),
    /// The connection and a body.
    Shared(Arc<Mutex<Ends<T>>>),
}

/// The stream of a connection.
#[derive(Debug)]
pub(super) struct Ends<T> {
    /// Gone when it has left HTTP, and with an error.
    stream: Option<T>,
    /// What was read and not yet taken.
    pub(super) read: BytesMut,
    /// As many bytes of it were there when they were no whole head.
    pub(super) seen: usize,
    /// How much to read at once where nobody says how much there is.
    space: usize,
    /// Whether the client closed its side, or the stream broke.
    pub(super) is_ended: bool,
    /// What is to be written.
    pub(super) out: Out,
    /// Whether that is written with others'.
    is_later: bool,
    pub(super) intake: Intake,
    /// Whether the client waits to be asked for the body.
    pub(super) expects: bool,
    /// The connection, which waits for the end of the body, or for its answer to be written.
    waiter: Option<Waker>,
}

/// A body that is not whole, or none at all.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body of the request broke off")]
pub(crate) struct Torn;

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    /// A stream of which `opening` was read.
    pub(in crate::listen) fn new(stream: T, opening: &[u8]) -> Self {
        let mut ends = Ends::of(Some(stream));
        ends.read.reserve(SPACE.max(opening.len() + 1));
        ends.read.extend_from_slice(opening);
        Self(RefCell::new(Held::Own(ends)))
    }

    /// Does something with it, which does not ask for it once more.
    pub(super) fn with<R>(&self, deed: impl FnOnce(&mut Ends<T>) -> R) -> R {
        match &mut *self.0.borrow_mut() {
            Held::Own(ends) => deed(ends),
            Held::Shared(ends) => deed(&mut locked(ends)),
        }
    }

    /// Has a body that it is read for take part in it.
    pub(super) fn share(&self) -> Streamed
    where
        T: Send + fmt::Debug + 'static,
    {
        let held = &mut *self.0.borrow_mut();
        let shared = match mem::replace(held, Held::Own(Ends::of(None))) {
            Held::Own(ends) => Arc::new(Mutex::new(ends)),
            Held::Shared(ends) => ends,
        };
        *held = Held::Shared(Arc::clone(&shared));
        Streamed { port: Some(shared) }
    }

    /// Has the connection alone have it, if the body has let go of it.
    pub(super) fn reclaim(&self) {
        let held = &mut *self.0.borrow_mut();
        if let Held::Own(_) = held {
            return;
        }
        *held = match mem::replace(held, Held::Own(Ends::of(None))) {
            Held::Shared(ends) => match Arc::try_unwrap(ends) {
                Ok(ends) => Held::Own(ends.into_inner().unwrap_or_else(PoisonError::into_inner)),
                Err(ends) => Held::Shared(ends),
            },
            own @ Held::Own(_) => own,
        };
    }

    /// Whether nothing is to be written but with others', which nobody is told of when it is, and what was read
    /// is neither of a body nor of a request.
    pub(in crate::listen) fn is_bare(&self) -> bool {
        self.with(|ends| {
            let is_written = ends.is_later || ends.out.is_done();
            is_written && ends.intake.is_done() && ends.read.is_empty()
        })
    }

    /// Writes what is to be written; whether that was all.
    pub(in crate::listen) async fn flush_all(&self) -> bool {
        poll_fn(|context| self.with(|ends| ends.poll_flush(context))).await.is_ok()
    }

    /// Takes the stream and what was read of it in vain. Where that is nothing, no memory is held for it.
    pub(in crate::listen) fn take(&self) -> Option<(T, Bytes)> {
        self.with(|ends| {
            let read = Bytes::copy_from_slice(&ends.read);
            ends.read = BytesMut::new();
            ends.stream.take().map(|stream| (stream, read))
        })
    }
}

/// A stream that is shared. Nobody keeps it for long.
fn locked<T>(shared: &Mutex<Ends<T>>) -> MutexGuard<'_, Ends<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Ends<T> {
    /// A stream of which nothing was read, or none at all.
    fn of(stream: Option<T>) -> Self {
        Self {
            stream,
            read: BytesMut::new(),
            seen: 0,
            space: SPACE,
            is_ended: false,
            out: Out::default(),
            is_later: false,
            intake: Intake::Done,
            expects: false,
            waiter: None,
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Ends<T> {
    /// Reads what is there; whether that was something.
    pub(super) fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.is_ended) else {
            return Poll::Ready(false);
        };
        let space = if self.intake.is_open() { self.intake.space() } else { self.space };
        // From the start, where nobody has a part of what was read any more: what was written to last is near.
        let has_room = self.read.is_empty() && self.read.try_reclaim(space);
        if !has_room && self.read.capacity() - self.read.len() < space / 4 {
            self.read.reserve(space);
        }
        let free = self.read.capacity() - self.read.len();
        let read = ready!(pin!(stream.read_buf(&mut self.read)).poll(context));
        let count = read.unwrap_or(0);
        self.is_ended = count == 0;
        if count == free {
            self.space = (self.space * 2).min(SPACE_MAX);
        }
        Poll::Ready(count > 0)
    }

    /// Whether the client has gone, as far as can be seen without taking a body away from whoever reads it.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> bool {
        if self.intake.is_open() {
            self.wait(context);
        }
        while !self.intake.is_open() && self.read.len() < AHEAD_MAX {
            match self.poll_fill(context) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return true,
                Poll::Pending => return false,
            }
        }
        false
    }

    /// Has a whole answer written with others', if it is short. Whoever asks is woken if that fails.
    pub(super) fn wait_to_flush(&mut self, context: &mut Context<'_>) -> Flushed {
        if self.out.unwritten() > LATER_MAX {
            return Flushed::Not;
        }
        self.wait(context);
        match mem::replace(&mut self.is_later, true) {
            false => Flushed::Later,
            true => Flushed::LaterAnyway,
        }
    }

    /// Writes what nobody else is about to write.
    pub(super) fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_left = !self.is_later && !self.out.is_done();
        if is_left { self.poll_flush(context) } else { Poll::Ready(Ok(())) }
    }

    /// Writes what is to be written.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        self.out.poll_flush(stream, context)
    }

    /// Ready when nothing more of a body is to come, to whether a request can follow.
    pub(super) fn poll_taken(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.intake.is_open() {
            self.wait(context);
            return Poll::Pending;
        }
        Poll::Ready(self.intake.is_done())
    }

    /// The next piece of a body.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Piece> {
        loop {
            let taken = self.intake.take(&mut self.read);
            match taken {
                Ok(Taken::More) => {}
                Ok(Taken::Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Taken::End) => return Poll::Ready(None),
                Err(_) => return Poll::Ready(Some(Err(Torn))),
            }
            if mem::take(&mut self.expects) {
                self.out.bytes().extend_from_slice(CONTINUE);
                // What is not written now is written by whoever writes next.
                let _is_written = self.poll_flush(context);
            }
            if !ready!(self.poll_fill(context)) {
                self.intake = Intake::Broken;
            }
        }
    }

    /// Has the connection woken where somebody else does what it waits for.
    fn wait(&mut self, context: &mut Context<'_>) {
        if self.waiter.as_ref().is_none_or(|waiter| !waiter.will_wake(context.waker())) {
            self.waiter = Some(context.waker().clone());
        }
    }

    fn wake_waiter(&mut self) {
        if !self.intake.is_open()
            && let Some(waiter) = self.waiter.take()
        {
            waiter.wake();
        }
    }
}

/// When an answer is flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// It is too long to wait.
    Not,
    /// As soon as somebody is told to.
    Later,
    /// Somebody is told to already.
    LaterAnyway,
}

impl<T: AsyncRead + AsyncWrite + Unpin + fmt::Debug> Flush for Wire<T> {
    fn flush(&self) {
        self.with(|ends| {
            ends.is_later = false;
            let flushed = ends.poll_flush(&mut Context::from_waker(Waker::noop()));
            ends.is_ended |= matches!(flushed, Poll::Ready(Err(_)));
            if !matches!(flushed, Poll::Ready(Ok(())))
                && let Some(waiter) = ends.waiter.take()
            {
                waiter.wake();
            }
        });
    }
}

/// What a body needs of the connection that it comes by, whatever that is.
trait Port: fmt::Debug + Send + Sync {
    /// The next piece, and whether none follows it.
    fn poll(&self, context: &mut Context<'_>) -> Poll<(Piece, bool)>;

    /// How many bytes are to come, where that is known.
    fn left(&self) -> Option<u64>;

    /// Nobody wants the rest.
    fn leave(&self);
}

/// A piece of a body, or nothing at its end.
type Piece = Option<Result<Frame<Bytes>, Torn>>;

impl<T: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Port for Mutex<Ends<T>> {
    fn poll(&self, context: &mut Context<'_>) -> Poll<(Piece, bool)> {
        let mut ends = locked(self);
        let polled = ends.poll_body(context);
        ends.wake_waiter();
        polled.map(|piece| (piece, !ends.intake.is_open()))
    }

    fn left(&self) -> Option<u64> {
        locked(self).intake.left()
    }

    fn leave(&self) {
        let mut ends = locked(self);
        if ends.intake.is_open() {
            ends.intake = Intake::Broken;
        }
        ends.wake_waiter();
    }
}

/// The body of a request that comes piece by piece.
#[derive(Debug)]
pub(crate) struct Streamed {
    /// Gone at the end: what is read from then on is of the next request.
    port: Option<Arc<dyn Port>>,
}

impl Streamed {
    /// The next piece.
    pub(in crate::listen) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Piece> {
        let Some(port) = &self.port else { return Poll::Ready(None) };
        let (piece, is_over) = ready!(port.poll(context));
        if is_over {
            self.port = None;
        }
        Poll::Ready(piece)
    }

    pub(in crate::listen) fn is_end_stream(&self) -> bool {
        self.port.is_none()
    }

    pub(in crate::listen) fn size_hint(&self) -> SizeHint {
        let left = self.port.as_ref().map_or(Some(0), |port| port.left());
        left.map(SizeHint::with_exact).unwrap_or_default()
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        if let Some(port) = &self.port {
            port.leave();
        }
    }
}
