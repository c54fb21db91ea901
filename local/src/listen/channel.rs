//! The stream of a connection under the hands of hyper, which answers by itself what it cannot parse,
//! with a status and nothing else. That answer is taken from it here, so that the client can be told in
//! full and the log, too.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use splitway_core::problem::Problem;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::attendance::Attendance;

/// What an answer of hyper's own begins with.
const VERSION: &[u8] = b"HTTP/1.";

/// A stream of HTTP/1.1 or HTTP/2.
#[derive(Debug)]
pub(crate) struct Channel<S> {
    stream: S,
    /// What was read before.
    opening: Bytes,
    attendance: Arc<Attendance>,
    is_http1: bool,
    refused: Option<Problem>,
}

impl<S> Channel<S> {
    pub(crate) fn http1(stream: S, opening: Bytes, attendance: Arc<Attendance>) -> Self {
        Self { stream, opening, attendance, is_http1: true, refused: None }
    }

    pub(crate) fn http2(stream: S, opening: Bytes, attendance: Arc<Attendance>) -> Self {
        Self { stream, opening, attendance, is_http1: false, refused: None }
    }

    /// The stream, what was read of it before and not by hyper, and what hyper refused on it, of which the
    /// client was not told.
    pub(crate) fn into_parts(self) -> (S, Bytes, Option<Problem>) {
        (self.stream, self.opening, self.refused)
    }

    /// What hyper refuses with these bytes, if they are its own: nobody else has anything to say when
    /// all answers are complete and written, and no request has come since.
    fn refusal(&self, bytes: &[u8]) -> Option<Problem> {
        let is_own = self.is_http1 && self.attendance.is_through() && bytes.starts_with(VERSION);
        let status = bytes.get(VERSION.len() + 2..VERSION.len() + 5);
        let problem = match status {
            Some(b"414") => Problem::UriTooLong,
            Some(b"431") => Problem::HeadTooLarge,
            Some(_) | None => Problem::BadRequest,
        };
        is_own.then_some(problem)
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
            let before = space.filled().len();
            let read = Pin::new(&mut channel.stream).poll_read(context, space);
            if channel.is_http1 && space.filled().len() > before {
                channel.attendance.read();
            }
            return read;
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
        let channel = self.get_mut();
        if channel.refused.is_none() {
            channel.refused = channel.refusal(bytes);
        }
        match channel.refused {
            Some(_) => Poll::Ready(Ok(bytes.len())),
            None => Pin::new(&mut channel.stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let channel = self.get_mut();
        let flushed = Pin::new(&mut channel.stream).poll_flush(context);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            channel.attendance.flush();
        }
        flushed
    }

    /// What is left to be told is told before the stream is shut down.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let channel = self.get_mut();
        match channel.refused {
            Some(_) => Poll::Ready(Ok(())),
            None => Pin::new(&mut channel.stream).poll_shutdown(context),
        }
    }
}
