//! What comes back of an attempt: the head of a response, and its body with the connection that brings
//! it. A body that is dropped before its end takes its connection or stream along.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use splitway_core::balance::Keepalive;
use splitway_core::problem::Failure;

use super::channel::Lease;
use super::link::{Link, Switched};
use super::place::Place;
use crate::failure;

/// How long a connection may take to get over a response that nobody wants.
const UNWANTED: Duration = Duration::from_secs(1);

/// How long a request may still be sent whose response is complete already.
const REST: Duration = Duration::from_secs(60);

/// The response of an upstream.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) response: Response<Flow>,
    /// The connection, where the response is that it is HTTP no more.
    pub(crate) switched: Option<Box<Switched>>,
}

/// The body of a response.
#[derive(Debug)]
pub(crate) struct Flow {
    /// What was looked at before it is relayed.
    peeked: VecDeque<Frame<Bytes>>,
    /// Whether somebody wanted to have it.
    is_relayed: bool,
    way: Way,
}

/// What a body comes by.
#[derive(Debug)]
enum Way {
    Link {
        link: Box<Link>,
        place: Arc<Place>,
        keepalive: Keepalive,
    },
    /// The lease is only to be held.
    Channel {
        incoming: Incoming,
        _lease: Lease,
    },
    /// Nothing more is to come.
    Done,
}

impl Flow {
    pub(super) fn of_link(link: Box<Link>, place: Arc<Place>, keepalive: Keepalive) -> Self {
        let is_at_end = link.is_at_end();
        let mut flow = Self::new(Way::Link { link, place, keepalive });
        if is_at_end {
            flow.finish();
        }
        flow
    }

    pub(super) fn of_channel(incoming: Incoming, lease: Lease) -> Self {
        match incoming.is_end_stream() {
            true => Self::empty(),
            false => Self::new(Way::Channel { incoming, _lease: lease }),
        }
    }

    /// The one of a response that has none.
    pub(super) fn empty() -> Self {
        Self::new(Way::Done)
    }

    fn new(way: Way) -> Self {
        Self { peeked: VecDeque::new(), is_relayed: false, way }
    }

    /// Says that it is relayed. If it is dropped now, somebody went away.
    pub(crate) fn relay(&mut self) {
        self.is_relayed = true;
    }

    /// The next piece of it, or nothing at its end.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match self.peeked.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => self.poll_incoming(context),
        }
    }

    /// The next piece of it that nobody has looked at, which is relayed all the same.
    pub(crate) async fn peek(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(frame) = poll_fn(|context| self.poll_incoming(context)).await else {
            return Ok(None);
        };
        let frame = frame?;
        let bytes = frame.data_ref().map(|bytes| bytes.to_vec());
        self.peeked.push_back(frame);
        Ok(bytes)
    }

    /// Whether nothing more is to come.
    pub(crate) fn is_at_end(&self) -> bool {
        self.peeked.is_empty() && matches!(self.way, Way::Done)
    }

    /// How much is to come, as far as the upstream says.
    pub(crate) fn size_hint(&self) -> SizeHint {
        let peeked: usize = self.peeked.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
        let peeked = u64::try_from(peeked).unwrap_or(u64::MAX);
        let hint = match &self.way {
            Way::Link { link, .. } => link.size_hint(),
            Way::Channel { incoming, .. } => incoming.size_hint(),
            Way::Done => SizeHint::with_exact(0),
        };
        match hint.exact() {
            Some(left) => SizeHint::with_exact(left.saturating_add(peeked)),
            None => SizeHint::default(),
        }
    }

    /// Gives it up: the connection is closed, or the stream reset.
    pub(crate) fn cut(&mut self) {
        self.peeked.clear();
        self.way = Way::Done;
    }

    fn poll_incoming(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let (polled, is_last) = match &mut self.way {
            Way::Done => return Poll::Ready(None),
            Way::Link { link, .. } => {
                let polled = ready!(link.poll_body(context));
                (polled, link.is_at_end())
            }
            Way::Channel { incoming, .. } => {
                let polled = ready!(Pin::new(&mut *incoming).poll_frame(context));
                let is_trailers = matches!(&polled, Some(Ok(frame)) if frame.is_trailers());
                let polled = polled.map(|frame| frame.map_err(|error| failure::name_sent(&error)));
                (polled, is_trailers || incoming.is_end_stream())
            }
        };
        match &polled {
            Some(Err(_)) => self.way = Way::Done,
            // Whoever is given the last piece need not ask for more.
            Some(Ok(_)) if !is_last => {}
            Some(Ok(_)) | None => self.finish(),
        }
        Poll::Ready(polled)
    }

    /// Leaves the connection to the next request.
    fn finish(&mut self) {
        let way = std::mem::replace(&mut self.way, Way::Done);
        let Way::Link { mut link, place, keepalive } = way else { return };
        match link.poll_free(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(true) => place.put(link, &keepalive),
            Poll::Ready(false) => {}
            // The node answered before it had all of the request, and may want the rest.
            Poll::Pending => await_free(link, place, keepalive, REST),
        }
    }
}

/// Leaves a connection to the next request when it is done with this one.
fn await_free(mut link: Box<Link>, place: Arc<Place>, keepalive: Keepalive, limit: Duration) {
    // Where the runtime is gone, so is the connection.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        let free = poll_fn(|context| link.poll_free(context));
        if let Ok(true) = tokio::time::timeout(limit, free).await {
            place.put(link, &keepalive);
        }
    });
}

impl Drop for Flow {
    /// A response that nobody wants, as of a failed attempt, costs no connection if all of it is there.
    fn drop(&mut self) {
        if self.is_relayed {
            return;
        }
        if let Way::Link { link, place, keepalive } = std::mem::replace(&mut self.way, Way::Done) {
            await_free(link, place, keepalive, UNWANTED);
        }
    }
}
