//! The effects a runtime lends. A shell implements these traits and decides nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::access::Caller;
use crate::auth::Errand;
use crate::checkup::UpstreamHealth;
use crate::coordinator::{Command, Done, Refusal};
use crate::exchange::Attempt;
use crate::head::{Head, ResponseHead};
use crate::limit::{Grant, Porter, Toll};
use crate::problem::{Failure, Problem};
use crate::seal::Secret;
use crate::signature::Check;
use crate::snapshot::Snapshot;
use crate::status::Status;
use crate::storage::DOCUMENT_MAX;
use crate::telemetry::Record;
use crate::time::Timestamp;

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is longer than it may be.
    TooLong,
    /// It broke off, or is not what its framing says.
    BrokenOff,
    /// It did not come to its end in time.
    TooSlow,
}

impl From<Unread> for Problem {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::TooLong => Self::BodyTooLarge,
            Unread::BrokenOff => Self::Upstream(Failure::HttpRequestError),
            Unread::TooSlow => Self::RequestTimeout,
        }
    }
}

/// What serving a request needs of a runtime.
///
/// The futures need not be `Send`: in a Worker nothing is. Where the types of a platform are, their
/// futures are too.
#[expect(async_fn_in_trait, reason = "callers name the platform, so they see what its futures are")]
pub trait Platform {
    /// The head of a client's request.
    type Head: Head;
    /// The body of a request; the core never reads it.
    type Body;
    /// An upstream's response: a head, and a body that the core never reads.
    type Response: ResponseHead;
    /// What was noted of a request and waits for its end.
    type Entry;

    /// The wall clock. In a Worker it moves only with I/O.
    fn now(&self) -> Timestamp;

    /// A random number, from whatever the runtime has for keys.
    fn draw(&self) -> u64;

    /// What this deployment signs with, if it was given something.
    fn secret(&self) -> Option<&Secret>;

    /// Resolves after `duration`. Dropping it ends the timer.
    async fn sleep(&self, duration: Duration);

    /// The last good configuration, at once where there is one; `None` where there never was one.
    async fn snapshot(&self) -> Option<Arc<Snapshot>>;

    /// How many bytes a body has, if that is known before it is read. Nothing may come after 0.
    fn size(&self, head: &Self::Head, body: &Self::Body) -> Option<u64>;

    /// The whole body of a request, unless it is longer than `limit` bytes or breaks off.
    async fn buffer(&self, body: Self::Body, limit: usize) -> Result<Vec<u8>, Unread>;

    /// The same body, of which no more than `max` bytes come: with one more it breaks off, an attempt with
    /// it fails with [`Failure::RequestBodyTooLong`] and it cannot be read. Nothing, where it is known that
    /// it is longer.
    fn limited(&self, body: Self::Body, max: u64) -> Option<Self::Body>;

    /// A body of these bytes.
    fn body(&self, bytes: Vec<u8>) -> Self::Body;

    /// The next piece of the body of a response, which is relayed all the same, before everything else;
    /// nothing at its end.
    async fn peek(&self, response: &mut Self::Response) -> Result<Option<Vec<u8>>, Failure>;

    /// Whether the body of this request is still coming, and it is the client that an attempt waits for:
    /// if it takes too long, that is not the node's fault. Asked when the attempt was given up.
    fn awaits_client(&self, _head: &Self::Head) -> bool {
        false
    }

    /// Makes one attempt and resolves when the head of the response is there. Redirects are
    /// responses. Dropping it cancels the attempt.
    async fn send(
        &self,
        attempt: &Attempt<'_>,
        head: &Self::Head,
        body: Self::Body,
    ) -> Result<Self::Response, Failure>;

    /// Has somebody run an errand ([`crate::serve::run`]), who goes on when the request is gone: a GET, in
    /// HTTP/1.1 or later, of which all but a 200 with at most [`crate::auth::KEY_SET_MAX`] bytes is a failure;
    /// redirects are not followed. Must not wait.
    fn fetch(&self, errand: Errand);

    /// Whether a signature is right.
    async fn verify(&self, check: &Check) -> bool;

    /// Asks the store of shared limits.
    async fn toll(&self, toll: &Toll) -> Result<Grant, Failure>;

    /// Who tells that store that requests are over, when this one is gone.
    fn porter(&self) -> Arc<dyn Porter>;

    /// Notes a request of this head, for which there is an answer. Must not wait. What it brings is with
    /// whoever relays the answer until that is at its end.
    fn record(&self, head: &Self::Head, record: &Record<'_>) -> Self::Entry;
}

/// What the Admin API needs of a runtime: a body, and the one who owns the ledger.
#[expect(async_fn_in_trait, reason = "as for `Platform`")]
pub trait Control {
    /// The head of a request to the Admin API.
    type Head: Head;
    /// The body of such a request.
    type Body;

    /// The most bytes of a whole document.
    fn document_max(&self) -> usize {
        DOCUMENT_MAX
    }

    /// What this deployment signs with, if it was given something.
    fn secret(&self) -> Option<&Secret>;

    /// How the nodes are that requests are sent to; `None` where others serve, who know about that.
    fn health(&self) -> Option<Vec<UpstreamHealth>> {
        None
    }

    /// How branches fare; `None` where others serve, who have not told.
    async fn status(&self) -> Option<Status> {
        None
    }

    /// The whole body, or `None` if it is longer than `limit` bytes or breaks off.
    async fn buffer(&self, body: Self::Body, limit: usize) -> Option<Vec<u8>>;

    /// Who a caller is, by the name of its key.
    async fn admit(&self, caller: Caller) -> Result<Box<str>, Refusal>;

    /// Has the ledger's owner do what `by` commands: one after the other, durable before the answer.
    async fn coordinate(&self, command: Command, by: Box<str>) -> Result<Done, Refusal>;
}
