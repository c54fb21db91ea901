//! The body of a relayed response: it may pause only for so long, and where it breaks off the client is
//! told, or sees that it was cut. It never ends as if it were whole.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use splitway_core::exchange::Tail;
use splitway_core::problem::Failure;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::upstream::Flow;

/// The body of a response that is relayed.
#[derive(Debug)]
pub(crate) struct Relayed {
    flow: Flow,
    /// Gone when the body is at its end.
    tail: Option<Tail>,
    /// When something came last.
    moved: Instant,
    /// From the first time that nothing is there; not set anew with each piece.
    timer: Option<Pin<Box<Sleep>>>,
}

/// A body that is not whole.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the response broke off: {}", .0.token())]
pub(crate) struct Cut(Failure);

impl Relayed {
    pub(crate) fn new(flow: Flow, tail: Tail) -> Self {
        let tail = (!flow.is_at_end()).then_some(tail);
        Self { flow, tail, moved: Instant::now(), timer: None }
    }

    /// Ready when nothing came for too long.
    fn poll_pause(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(tail) = &self.tail else { return Poll::Pending };
        let due = |moved: Instant| moved + tail.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due(self.moved))));
        loop {
            ready!(timer.as_mut().poll(context));
            let due = due(self.moved);
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }

    /// Ends a body of which something is missing.
    fn break_off(&mut self, failure: Failure) -> Option<Result<Frame<Bytes>, Cut>> {
        let has_length = self.flow.size_hint().exact().is_some();
        self.flow.cut();
        let tail = self.tail.take().filter(|_| !has_length);
        Some(match tail.and_then(|tail| tail.farewell(failure)) {
            Some(farewell) => Ok(Frame::data(farewell.into())),
            None => Err(Cut(failure)),
        })
    }
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let body = &mut *self;
        match body.flow.poll(context) {
            Poll::Ready(Some(Ok(frame))) => {
                body.moved = Instant::now();
                if body.flow.is_at_end() {
                    body.tail = None;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(failure))) => Poll::Ready(body.break_off(failure)),
            Poll::Ready(None) => {
                body.tail = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(body.poll_pause(context));
                Poll::Ready(body.break_off(Failure::HttpResponseTimeout))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.flow.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.flow.size_hint()
    }
}
