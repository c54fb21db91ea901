//! A connection that left HTTP: from there on both sides are joined and nothing is looked at.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use splitway_core::exchange::Tail;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional};
use tokio::time::{Instant, sleep_until};

use super::metered::Metered;
use crate::access::Entry;
use crate::connect::Stream;
use crate::upstream::Switched;

/// An upstream that waits to be joined with its client.
#[derive(Debug)]
pub(crate) struct Tunnel {
    upstream: Switched,
    tail: Tail,
    metered: Metered,
    /// What is told of it at its end.
    entry: Entry,
}

/// A [`Tunnel`] on its way along with the response to whoever has the connection of the client.
#[derive(Clone, Debug)]
pub(crate) struct Handover(Arc<Mutex<Option<Tunnel>>>);

impl Handover {
    pub(crate) fn new(tunnel: Tunnel) -> Self {
        Self(Arc::new(Mutex::new(Some(tunnel))))
    }

    /// Takes what is handed over.
    pub(crate) fn take(&self) -> Option<Tunnel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Tunnel {
    pub(super) fn new(upstream: Switched, tail: Tail, metered: Metered, entry: Entry) -> Self {
        Self { upstream, tail, metered, entry }
    }

    /// Joins both sides until one closes, or nothing moves for too long. `read` came from the client
    /// already.
    pub(crate) async fn join(self, mut client: impl AsyncRead + AsyncWrite + Unpin, read: Bytes) {
        let Self { upstream: Switched { stream, read: answered }, tail, metered, entry: _entry } =
            self;
        let clock = Clock { began: Instant::now(), moved_ms: AtomicU64::new(0) };
        let mut upstream = Watched { stream, clock: &clock };
        let joining = pin!(async {
            client.write_all(&answered).await?;
            upstream.write_all(&read).await?;
            copy_bidirectional(&mut client, &mut upstream).await
        });
        tokio::select! {
            // That one side broke off, the other sees.
            joined = joining => {
                let (received, sent) = joined.unwrap_or_default();
                metered.pass(received, sent);
            }
            () = clock.stopped(tail.idle) => {}
        }
    }
}

/// When something moved last.
struct Clock {
    began: Instant,
    /// Since it began.
    moved_ms: AtomicU64,
}

impl Clock {
    fn mark(&self) {
        let moved = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(moved, Ordering::Relaxed);
    }

    /// Resolves when nothing moved for `limit`.
    async fn stopped(&self, limit: Duration) {
        loop {
            let moved = Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
            let due = self.began + moved + limit;
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }
}

/// The side of the upstream, past which everything comes.
struct Watched<'c> {
    stream: Stream,
    clock: &'c Clock,
}

impl AsyncRead for Watched<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let watched = self.get_mut();
        let read = Pin::new(&mut watched.stream).poll_read(context, buffer);
        if read.is_ready() {
            watched.clock.mark();
        }
        read
    }
}

impl AsyncWrite for Watched<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let watched = self.get_mut();
        let written = Pin::new(&mut watched.stream).poll_write(context, bytes);
        if written.is_ready() {
            watched.clock.mark();
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
