//! The stream of a connection of HTTP/2 under the hands of hyper: first what was read of it before.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::attendance::Attendance;

/// A stream of HTTP/2.
#[derive(Debug)]
pub(crate) struct Channel<S> {
    stream: S,
    /// What was read before.
    opening: Bytes,
    attendance: Arc<Attendance>,
}

impl<S> Channel<S> {
    pub(crate) fn new(stream: S, opening: Bytes, attendance: Arc<Attendance>) -> Self {
        Self { stream, opening, attendance }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Channel<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let channel = self.get_mut();
        if channel.opening.is_empty() {
            return Pin::new(&mut channel.stream).poll_read(context, space);
        }
        let count = space.remaining().min(channel.opening.len());
        if let Some(bytes) = channel.opening.get(..count) {
            space.put_slice(bytes);
        }
        channel.opening.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Channel<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let channel = self.get_mut();
        let flushed = Pin::new(&mut channel.stream).poll_flush(context);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            channel.attendance.flush();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
