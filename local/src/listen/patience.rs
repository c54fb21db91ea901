//! How long a connection is waited for: for its first bytes, for the head of a request, for its next one.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep_until};

use super::attendance::{Attendance, Due};
use super::limits::Limits;

/// What a client of HTTP/2 begins with (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much is read at first of a request.
const OPENING: usize = 2048;

/// How long a connection that is to end has for that.
const LINGER: Duration = Duration::from_secs(2);

/// HTTP on a connection, as whoever watches over it has it.
pub(super) trait Spoken {
    /// How it ended by itself.
    type Ending;

    /// Whether the client is told when the server drains, and not with its next answer.
    const IS_MULTIPLEXED: bool;

    /// Whether nothing but the stream has to be kept of it where it waits for a request for a while.
    fn can_rest(&self) -> bool;

    /// Goes on.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Self::Ending>;

    /// Has it end as soon as all that has begun is through.
    fn wind_down(&mut self);
}

/// How HTTP on a connection ended.
#[derive(Debug)]
pub(super) enum End<E> {
    /// By itself.
    Over(E),
    /// A head took too long.
    Late,
    /// It has not: it waits for its next request for a while.
    Waits,
}

/// The first bytes of a client that has nothing under way; with `can_be_http2` enough to see which HTTP it
/// speaks. None if none come.
pub(super) async fn opening<T: AsyncRead + Unpin>(
    stream: &mut T,
    attendance: &Attendance,
    limits: &Limits,
    draining: &mut watch::Receiver<bool>,
    can_be_http2: bool,
) -> Bytes {
    let mut begun = Bytes::new();
    let mut timer = pin!(sleep_until(first_look(attendance, limits, false)));
    loop {
        tokio::select! {
            biased;
            more = poll_fn(|context| poll_more(stream, context)) => {
                let Some(more) = more else { return Bytes::new() };
                attendance.wake();
                begun = if begun.is_empty() { more } else { [begun, more].concat().into() };
                let known = begun.len().min(PREFACE.len());
                let is_known = known == PREFACE.len() || begun.get(..known) != PREFACE.get(..known);
                if !can_be_http2 || is_known {
                    return begun;
                }
            }
            _ = draining.wait_for(|is| *is), if !attendance.is_draining() => {
                attendance.drain();
                timer.as_mut().reset(Instant::now());
            }
            () = timer.as_mut() => match attendance.due(limits, Instant::now(), false) {
                Due::Nothing(until) => timer.as_mut().reset(until),
                Due::Idle | Due::Head | Due::Rest => return Bytes::new(),
            },
        }
    }
}

/// What is there to be read; nothing at the end. Takes no memory while nothing is there.
fn poll_more<T: AsyncRead + Unpin>(
    stream: &mut T,
    context: &mut Context<'_>,
) -> Poll<Option<Bytes>> {
    let mut space = [0; OPENING];
    let mut space = ReadBuf::new(&mut space);
    let read = ready!(Pin::new(stream).poll_read(context, &mut space));
    let bytes = Bytes::copy_from_slice(space.filled());
    Poll::Ready(read.ok().map(|()| bytes).filter(|bytes| !bytes.is_empty()))
}

/// Lets a connection go on until it ends, is idle for too long, has no head in time, or rests.
pub(super) async fn watch_over<C: Spoken>(
    connection: &mut C,
    attendance: &Attendance,
    limits: &Limits,
    draining: &watch::Receiver<bool>,
) -> End<C::Ending> {
    let mut timer = pin!(sleep_until(first_look(attendance, limits, connection.can_rest())));
    let mut end_of_all = draining.clone();
    let mut told = pin!(async move {
        // Whoever could say so is gone where this fails, and so is the server.
        let _ = end_of_all.wait_for(|is| *is).await;
    });
    // The connection is polled several times for each request. What else there is to wait for is polled when
    // it is to wake this task, and when there is something to see.
    let (mut waker, mut is_listening, mut is_armed) = (None::<Waker>, false, false);
    // Whether the timer is set for a connection that waits for a request.
    let mut is_soon = attendance.is_waiting() && connection.can_rest();
    poll_fn(|context| {
        if waker.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
            waker = Some(context.waker().clone());
            (is_listening, is_armed) = (false, false);
        }
        loop {
            // First, or an answer that comes at the same moment would not say that it is the last.
            if !attendance.is_draining() && (!is_listening || has_changed(draining)) {
                is_listening = true;
                if told.as_mut().poll(context).is_ready() {
                    attendance.drain();
                    if C::IS_MULTIPLEXED {
                        // Says so to the client (GOAWAY), whose next requests take another connection.
                        connection.wind_down();
                    }
                    timer.as_mut().reset(Instant::now());
                    is_armed = false;
                }
            }
            // A client that breaks off or does not speak HTTP ends its own connection only.
            if let Poll::Ready(ending) = connection.poll(context) {
                return Poll::Ready(End::Over(ending));
            }
            attendance.settle();
            if !is_soon && attendance.is_waiting() && connection.can_rest() {
                is_soon = true;
                timer.as_mut().reset(first_look(attendance, limits, true));
                is_armed = false;
            }
            if is_armed && !timer.is_elapsed() {
                return Poll::Pending;
            }
            is_armed = true;
            ready!(timer.as_mut().poll(context));
            is_armed = false;
            let can_rest = connection.can_rest();
            match attendance.due(limits, Instant::now(), can_rest) {
                Due::Nothing(until) => timer.as_mut().reset(until),
                Due::Head => return Poll::Ready(End::Late),
                Due::Rest => return Poll::Ready(End::Waits),
                Due::Idle => {
                    connection.wind_down();
                    timer.as_mut().reset(Instant::now() + LINGER);
                }
            }
            is_soon = attendance.is_waiting() && can_rest;
        }
    })
    .await
}

/// Whether there is something to see that was not there at the beginning.
fn has_changed(draining: &watch::Receiver<bool>) -> bool {
    draining.has_changed().unwrap_or(true)
}

fn first_look(attendance: &Attendance, limits: &Limits, can_rest: bool) -> Instant {
    let now = Instant::now();
    match attendance.due(limits, now, can_rest) {
        Due::Nothing(until) => until,
        Due::Idle | Due::Head | Due::Rest => now,
    }
}
