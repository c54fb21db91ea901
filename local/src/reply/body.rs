//! The body of a relayed response: it may pause only for so long, and where it breaks off the client is
//! told, or sees that it was cut. It never ends as if it were whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use splitway_core::exchange::{RESPONSE_BROKEN, Tail};
use splitway_core::head::Changes;
use splitway_core::problem::Failure;
use splitway_core::telemetry::End;
use tokio::time::{Instant, Sleep, sleep_until};

use super::metered::Metered;
use crate::access::Entry;
use crate::platform::Effects;
use crate::telemetry::Level;
use crate::upstream::Flow;

/// The body of a response that is relayed.
#[derive(Debug)]
pub(crate) struct Relayed {
    flow: Flow,
    /// What is to be changed of the head, until whoever writes it takes it.
    pub(super) edits: Option<Changes>,
    /// Gone when the body is at its end.
    tail: Option<Tail>,
    /// Gone likewise.
    metered: Option<Metered>,
    /// Since when nothing is there.
    since: Option<Instant>,
    /// Why it is cut as soon as what came before is sent.
    cut: Option<Cut>,
    /// From the first time that nothing is there; not set anew with each piece.
    timer: Option<Pin<Box<Sleep>>>,
    /// Where it is told if the body breaks off.
    effects: Arc<Effects>,
    /// What is told of it at its end.
    entry: Entry,
}

/// A body that is not whole.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the response broke off: {}", .0.token())]
pub(crate) struct Cut(Failure);

impl Relayed {
    pub(super) fn new(
        mut flow: Flow,
        edits: Changes,
        tail: Tail,
        metered: Metered,
        mut entry: Entry,
        effects: Arc<Effects>,
    ) -> Self {
        flow.relay();
        let under_way = (!flow.is_at_end()).then_some((tail, metered));
        let (tail, metered) = under_way.unzip();
        entry.sent(0);
        let edits = Some(edits);
        Self { flow, edits, tail, metered, since: None, cut: None, timer: None, effects, entry }
    }

    /// Ready when nothing came for too long.
    fn poll_pause(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(tail) = &self.tail else { return Poll::Pending };
        let due = *self.since.get_or_insert_with(Instant::now) + tail.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            ready!(timer.as_mut().poll(context));
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }

    /// Ends a body of which something is missing.
    fn break_off(
        &mut self,
        failure: Failure,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.flow.cut();
        let tail = self.tail.take();
        self.metered = None;
        self.entry.ended(End::Broken);
        if let Some(tail) = &tail {
            self.effects.log.tell(Level::Warn, RESPONSE_BROKEN, tail.broken(failure));
        }
        if let Some(farewell) = tail.and_then(|tail| tail.farewell(failure)) {
            return Poll::Ready(Some(Ok(Frame::data(farewell.into()))));
        }
        // An error takes along what hyper has not written yet, the head even; it writes when it is told
        // to wait.
        self.cut = Some(Cut(failure));
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        if self.tail.is_some() {
            self.entry.ended(End::Left);
        }
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
        if let Some(cut) = body.cut.take() {
            return Poll::Ready(Some(Err(cut)));
        }
        match body.flow.poll(context) {
            Poll::Ready(Some(Ok(frame))) => {
                body.since = None;
                if let (Some(metered), Some(bytes)) = (&body.metered, frame.data_ref()) {
                    metered.pass(0, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                }
                body.entry.sent(frame.data_ref().map_or(0, Bytes::len));
                if body.flow.is_at_end() {
                    (body.tail, body.metered) = (None, None);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(failure))) => body.break_off(failure, context),
            Poll::Ready(None) => {
                (body.tail, body.metered) = (None, None);
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(body.poll_pause(context));
                body.break_off(Failure::HttpResponseTimeout, context)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.cut.is_none() && self.flow.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.flow.size_hint()
    }
}
