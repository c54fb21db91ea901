//! A request on its way: its head, and its body framed anew, in as few writes as may be.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame};
use splitway_core::problem::Failure;
use tokio::io::AsyncWrite;

use super::super::{Outgoing, Upload};
use super::request::{self, Framing, Told};
use crate::failure;
use crate::h1::field;
use crate::h1::out::Out;

/// As many bytes are gathered before they are written.
const FULL: usize = 16 * 1024;

/// What of a request is still to be sent.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Sending {
    out: Out,
    body: Option<Upload>,
    /// Bytes of the body that are to come, where that was said.
    left: u64,
    told: Told,
    /// Where in `out` the head ends.
    head: usize,
    has_waited: bool,
    /// Whether the node takes no more.
    is_broken: bool,
    /// Whether the body is not what it was said to be, or broke off.
    is_lost: bool,
}

impl Sending {
    /// Begins a request, after the one before is done. Where its head cannot be written, the connection is
    /// of no more use.
    pub(in crate::upstream) fn begin(
        &mut self,
        outgoing: Outgoing<'_>,
        body: Upload,
    ) -> Result<(), Failure> {
        self.out.clear();
        self.told = request::write(self.out.bytes(), outgoing, &body)?;
        self.left = match self.told.framing {
            Framing::Length(length) => length,
            Framing::None | Framing::Chunks => 0,
        };
        (self.head, self.has_waited) = (self.out.unwritten(), false);
        self.body = Some(body);
        self.end_if_over()
    }

    /// Whether all is sent.
    pub(in crate::upstream) fn is_done(&self) -> bool {
        self.body.is_none() && self.out.is_done() && !self.is_lost && !self.is_broken
    }

    /// The body, if nothing at all was sent of the request and nothing of the body is lost.
    pub(in crate::upstream) fn unsent(&mut self) -> Option<Upload> {
        if self.out.has_begun() || self.is_lost || self.out.has_piece() {
            return None;
        }
        let gathered = self.out.bytes().get(self.head..)?;
        match &self.body {
            Some(_) if gathered.is_empty() => self.body.take(),
            None if self.told.framing != Framing::Chunks => {
                Some(Either::Right(Full::new(Bytes::copy_from_slice(gathered))))
            }
            Some(_) | None => None,
        }
    }

    /// Lets go of memory that a request at rest does not need.
    pub(in crate::upstream) fn shrink(&mut self) {
        if self.is_done() {
            self.out = Out::default();
        }
    }

    /// Sends what can be sent; ready if that is all, or the node takes no more. An error is one of the
    /// body, of which something is missing.
    pub(in crate::upstream) fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        if self.is_broken || self.is_done() {
            return Poll::Ready(Ok(()));
        }
        loop {
            let gathered = self.gather(context);
            self.is_lost |= gathered.is_err();
            let is_waiting = gathered?;
            // What is already with us of a small body comes as soon as somebody has asked for it: then one
            // write takes it along with the head.
            if is_waiting && !self.out.has_begun() && !self.has_waited {
                self.has_waited = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if ready!(self.out.poll_flush(stream, context)).is_err() {
                self.is_broken = true;
                return Poll::Ready(Ok(()));
            }
            if is_waiting {
                return Poll::Pending;
            }
            if self.is_done() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Takes of the body what is there. Whether more is to come that is not.
    fn gather(&mut self, context: &mut Context<'_>) -> Result<bool, Failure> {
        while let Some(body) = &mut self.body {
            if self.out.has_piece() || self.out.unwritten() >= FULL {
                return Ok(false);
            }
            match Pin::new(body).poll_frame(context) {
                Poll::Pending => return Ok(true),
                Poll::Ready(None) => self.end(None)?,
                Poll::Ready(Some(Ok(frame))) => self.take(frame)?,
                // What broke off was the client's, if it is its listener that says so.
                Poll::Ready(Some(Err(error))) if failure::is_torn(&*error) => {
                    return Err(Failure::HttpRequestError);
                }
                Poll::Ready(Some(Err(_))) => return Err(Failure::ConnectionTerminated),
            }
        }
        Ok(false)
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), Failure> {
        match frame.into_data() {
            Ok(data) if data.is_empty() => self.end_if_over(),
            Ok(data) => {
                self.frame(data)?;
                self.end_if_over()
            }
            Err(frame) => self.end(frame.into_trailers().ok().as_ref()),
        }
    }

    /// Frames a piece of the body.
    fn frame(&mut self, data: Bytes) -> Result<(), Failure> {
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        match self.told.framing {
            Framing::Chunks => {
                field::number(length, 16, |digits| self.out.bytes().extend_from_slice(digits));
                self.out.bytes().extend_from_slice(b"\r\n");
            }
            // More than was said would be the start of another request.
            Framing::None | Framing::Length(_) => {
                self.left = self.left.checked_sub(length).ok_or(Failure::HttpRequestError)?;
            }
        }
        self.out.piece(data);
        if self.told.framing == Framing::Chunks {
            self.out.bytes().extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    /// Whoever has the last piece need not be asked for more.
    fn end_if_over(&mut self) -> Result<(), Failure> {
        let is_over = self.body.as_ref().is_some_and(Body::is_end_stream);
        if is_over { self.end(None) } else { Ok(()) }
    }

    /// The body is at its end.
    fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Failure> {
        if self.left > 0 {
            return Err(Failure::HttpRequestError);
        }
        self.body = None;
        if self.told.framing == Framing::Chunks {
            let out = self.out.bytes();
            out.extend_from_slice(b"0\r\n");
            if let (Some(names), Some(trailers)) = (&self.told.trailer, trailers) {
                field::write_trailers(out, names, trailers);
            }
            out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }
}
