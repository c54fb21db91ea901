//! One connection that speaks HTTP/1.1. Nobody else drives it: it moves when the request that has it is
//! polled, and rests in the pool in between.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use hyper::body::{Frame, SizeHint};
use splitway_core::problem::Failure;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::h1::head::Asked;
use super::h1::{Piece, Reader, Sending};
use super::{Outgoing, Unsent, Upload};
use crate::connect::Stream;

/// The most bytes of a response that nobody wants which are read to keep the connection.
const UNWANTED_MAX: u64 = 256 * 1024;

/// A connection that takes one request after the other.
#[derive(Debug)]
pub(crate) struct Link {
    stream: Stream,
    sending: Sending,
    reader: Reader,
    /// What was read and not yet taken.
    buffer: BytesMut,
    /// Whether the node closed its side, in the proper way.
    is_ended: bool,
    /// How many requests it has taken.
    pub(super) uses: u64,
    /// Bytes of the response that were read though nobody wants them.
    unwanted: u64,
}

/// What is left of a connection that left HTTP: its stream, and what was read of it already.
#[derive(Debug)]
pub(crate) struct Switched {
    pub(crate) stream: Stream,
    pub(crate) read: Bytes,
}

impl Link {
    pub(super) fn new(stream: Stream) -> Box<Self> {
        Box::new(Self {
            stream,
            sending: Sending::default(),
            reader: Reader::new(),
            buffer: BytesMut::new(),
            is_ended: false,
            uses: 0,
            unwanted: 0,
        })
    }

    /// Sends a request, until the head of its response is there.
    pub(super) async fn send(
        &mut self,
        outgoing: Outgoing<'_>,
        body: Upload,
    ) -> Result<Response<()>, Unsent> {
        if self.uses > 0 && !poll_fn(|context| Poll::Ready(self.is_quiet(context))).await {
            let failure = Failure::ConnectionTerminated;
            return Err(Unsent { failure, body: Some(body), is_refused: false });
        }
        self.uses += 1;
        self.sending.begin(outgoing, body)?;
        self.reader.ask(Asked {
            is_head: outgoing.attempt.method == "HEAD",
            is_switch: outgoing.wish.is_some(),
        });
        let head = poll_fn(|context| self.poll_head(context)).await;
        let response = head.map_err(|failure| self.unsent(failure))?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // What follows the request is no HTTP any more.
            poll_fn(|context| self.poll_sent(context)).await?;
        }
        Ok(response)
    }

    /// Leaves HTTP.
    pub(super) fn switch(self) -> Switched {
        Switched { stream: self.stream, read: self.buffer.freeze() }
    }

    /// Why there is no response.
    fn unsent(&mut self, failure: Failure) -> Unsent {
        // Of a request of which a part was written in TLS nobody knows how much was sent.
        let may_be_whole = failure == Failure::ConnectionTerminated && self.stream.is_plain();
        let body = if may_be_whole { self.sending.unsent() } else { None };
        Unsent { failure, body, is_refused: false }
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<Response<()>, Failure>> {
        loop {
            // A node may answer before it has all of the request.
            let _is_sent = self.sending.poll(&mut self.stream, context)?;
            if let Some(response) = self.reader.head(&mut self.buffer, self.is_ended)? {
                return Poll::Ready(Ok(response));
            }
            ready!(self.poll_read(context))?;
        }
    }

    /// Sends the rest of the request.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        ready!(self.sending.poll(&mut self.stream, context))?;
        let is_done = self.sending.is_done();
        Poll::Ready(if is_done { Ok(()) } else { Err(Failure::ConnectionTerminated) })
    }

    /// The next piece of the body of the response, or nothing at its end.
    pub(super) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        loop {
            if let Poll::Ready(Err(failure)) = self.sending.poll(&mut self.stream, context) {
                return Poll::Ready(Some(Err(failure)));
            }
            let frame = match self.reader.body(&mut self.buffer, self.is_ended) {
                Ok(Piece::More) => match ready!(self.poll_read(context)) {
                    Ok(()) => continue,
                    Err(failure) => Some(Err(failure)),
                },
                Ok(Piece::Data(bytes)) => Some(Ok(Frame::data(bytes))),
                Ok(Piece::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
                Ok(Piece::End) => None,
                Err(failure) => Some(Err(failure)),
            };
            return Poll::Ready(frame);
        }
    }

    /// Whether the response is through.
    pub(super) fn is_at_end(&self) -> bool {
        self.reader.is_at_end()
    }

    /// How much of the body is to come, as far as the node says.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.reader.left().map(SizeHint::with_exact).unwrap_or_default()
    }

    /// Resolves when it can take another request, to whether that will ever be. Of the response the rest is
    /// thrown away.
    pub(super) fn poll_free(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        while !self.is_at_end() {
            match ready!(self.poll_body(context)) {
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    self.unwanted += u64::try_from(length).unwrap_or(UNWANTED_MAX);
                    if self.unwanted > UNWANTED_MAX {
                        return Poll::Ready(false);
                    }
                }
                None => {}
                Some(Err(_)) => return Poll::Ready(false),
            }
        }
        // A part of what follows may already be read.
        let is_free = self.reader.is_free() && self.buffer.is_empty() && !self.is_ended;
        if self.sending.is_done() {
            return Poll::Ready(is_free);
        }
        // The node may want the rest of the request, also where it takes no other.
        match self.poll_sent(context) {
            Poll::Ready(sent) => Poll::Ready(is_free && sent.is_ok()),
            Poll::Pending if is_free && !self.is_quiet(context) => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether the node has closed it, or sent what nobody asked for.
    pub(super) fn has_ended(&mut self) -> bool {
        !self.is_quiet(&mut Context::from_waker(Waker::noop()))
    }

    /// Lets go of memory that it does not need at rest.
    pub(super) fn shrink(&mut self) {
        self.sending.shrink();
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Whether the node says nothing where it was asked nothing.
    fn is_quiet(&mut self, context: &mut Context<'_>) -> bool {
        let mut byte = [0];
        let read = Pin::new(&mut self.stream).poll_read(context, &mut ReadBuf::new(&mut byte));
        read.is_pending()
    }

    /// Reads what is there.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let space = self.reader.space();
        let free = self.buffer.capacity() - self.buffer.len();
        // From the start, where nobody has a part of what was read any more: what was written to last is near.
        let has_room = self.buffer.is_empty() && self.buffer.try_reclaim(space);
        if !has_room && free < space / 4 {
            self.buffer.reserve(space);
        }
        let free = self.buffer.capacity() - self.buffer.len();
        let read = ready!(pin!(self.stream.read_buf(&mut self.buffer)).poll(context));
        // Whatever it is, something was sent.
        let count = read.map_err(|_| Failure::ConnectionTerminated)?;
        self.is_ended = count == 0;
        if count == free {
            self.reader.widen();
        }
        Poll::Ready(Ok(()))
    }
}
