//! The road of a request: the one place that walks an [`Exchange`] with the effects of a
//! [`Platform`]. Both shells call it, so neither contains a decision.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::exchange::{Exchange, Inquiry};
use crate::facts::{Body, NeedsBody};
use crate::head::{Edits, ResponseHead};
use crate::platform::{Platform, Unread};
use crate::problem::{Answer, Failure, Problem};
use crate::snapshot::Snapshot;
use crate::split::Means;
use crate::telemetry::Record;

/// What the client gets.
#[derive(Debug)]
pub enum Reply<R> {
    /// The upstream's response, its body untouched, with changes to its headers.
    Relay(R, Edits),
    /// An answer of our own, and why.
    Refuse(Answer, Problem),
}

/// Serves one request: decides, sends, relays or refuses, records.
pub async fn serve<P: Platform>(platform: &P, head: &P::Head, body: P::Body) -> Reply<P::Response> {
    let at = platform.now();
    let snapshot = platform.snapshot().await;
    let snapshot = snapshot.as_deref();
    let mut upload = Upload::Coming(body);
    let mut exchange = match decide(platform, snapshot, head, &mut upload).await {
        Ok(exchange) => exchange,
        Err(problem) => Exchange::failed(snapshot, problem),
    };
    let reply = walk(platform, &mut exchange, head, upload).await;
    let (status, problem) = match &reply {
        Reply::Relay(response, _) => (response.status(), None),
        Reply::Refuse(answer, problem) => (answer.status, Some(problem.token())),
    };
    platform.record(&Record {
        at,
        duration: platform.now().since(at),
        route: exchange.route(),
        branch: exchange.branch(),
        revision: exchange.revision(),
        status,
        problem,
    });
    reply
}

/// The body of a request: as it comes, or read because something had to look at it.
enum Upload<B> {
    Coming(B),
    Read(Vec<u8>),
    /// It could not be read.
    Gone,
}

impl<B> Upload<B> {
    fn known(&self) -> Body<'_> {
        match self {
            Self::Read(bytes) => Body::Whole(bytes),
            Self::Coming(_) | Self::Gone => Body::Unread,
        }
    }

    async fn read<P: Platform<Body = B>>(
        &mut self,
        platform: &P,
        max: usize,
    ) -> Result<(), Unread> {
        if matches!(self, Self::Coming(_))
            && let Self::Coming(body) = std::mem::replace(self, Self::Gone)
        {
            *self = Self::Read(platform.buffer(body, max).await?);
        }
        Ok(())
    }
}

/// The exchange that the configuration decides on, with the body where it asks for it.
async fn decide<'a, P: Platform>(
    platform: &P,
    snapshot: Option<&'a Snapshot>,
    head: &'a P::Head,
    upload: &mut Upload<P::Body>,
) -> Result<Exchange<'a>, Problem> {
    if let Ok(exchange) = decide_now(platform, snapshot, head, upload.known()) {
        return Ok(exchange);
    }
    upload.read(platform, snapshot.map_or(0, Snapshot::body_max)).await?;
    let Ok(exchange) = decide_now(platform, snapshot, head, upload.known()) else {
        unreachable!("a body that was read is not asked for again")
    };
    Ok(exchange)
}

fn decide_now<'a, P: Platform>(
    platform: &P,
    snapshot: Option<&'a Snapshot>,
    head: &'a P::Head,
    body: Body<'_>,
) -> Result<Exchange<'a>, NeedsBody> {
    let chance = || platform.draw();
    Exchange::decide(Inquiry { snapshot, head }, means(platform, &chance), body)
}

fn means<'m>(platform: &'m impl Platform, chance: &'m dyn Fn() -> u64) -> Means<'m> {
    Means { now: platform.now(), secret: platform.secret(), chance, is_trial: false }
}

async fn walk<'a, P: Platform>(
    platform: &P,
    exchange: &mut Exchange<'a>,
    head: &'a P::Head,
    upload: Upload<P::Body>,
) -> Reply<P::Response> {
    match send(platform, exchange, head, upload).await {
        Ok((response, edits)) => Reply::Relay(response, edits),
        Err(problem) => Reply::Refuse(exchange.refuse(problem), problem),
    }
}

async fn send<'a, P: Platform>(
    platform: &P,
    exchange: &mut Exchange<'a>,
    head: &'a P::Head,
    mut upload: Upload<P::Body>,
) -> Result<(P::Response, Edits), Problem> {
    if exchange.changes_body() {
        upload.read(platform, exchange.body_max()).await?;
    }
    let chance = || platform.draw();
    let mut attempt = exchange.attempt(head, upload.known(), means(platform, &chance))?;
    let body = match (attempt.body.take(), upload) {
        (Some(bytes), _) | (None, Upload::Read(bytes)) => platform.body(bytes),
        (None, Upload::Coming(body)) => body,
        (None, Upload::Gone) => platform.body(Vec::new()),
    };
    let sending = platform.send(&attempt, head, body);
    let response = match within(sending, platform.sleep(attempt.timeout)).await {
        Some(Ok(response)) => response,
        Some(Err(failure)) => return Err(Problem::Upstream(failure)),
        None => return Err(Problem::Upstream(Failure::HttpResponseTimeout)),
    };
    let edits = exchange.relay(&response)?;
    Ok((response, edits))
}

/// The output of `future`, unless `deadline` resolves first; the other is dropped, which cancels it.
pub async fn within<T>(
    future: impl Future<Output = T>,
    deadline: impl Future<Output = ()>,
) -> Option<T> {
    let mut future = pin!(future);
    let mut deadline = pin!(deadline);
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        deadline.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// Resolves when both have, which run at the same time.
pub async fn both(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut is_one_done, mut is_other_done) = (false, false);
    poll_fn(|context| {
        is_one_done = is_one_done || one.as_mut().poll(context).is_ready();
        is_other_done = is_other_done || other.as_mut().poll(context).is_ready();
        if is_one_done && is_other_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
