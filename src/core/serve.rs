//! The road of a request: the one place that walks an [`Exchange`] with the effects of a
//! [`Platform`]. Both shells call it, so neither contains a decision.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::exchange::Exchange;
use crate::head::{Edits, ResponseHead};
use crate::platform::Platform;
use crate::problem::{Answer, Failure, Problem};
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
    let exchange = Exchange::decide(snapshot.as_deref(), head);
    let reply = walk(platform, &exchange, head, body).await;
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

async fn walk<P: Platform>(
    platform: &P,
    exchange: &Exchange<'_>,
    head: &P::Head,
    body: P::Body,
) -> Reply<P::Response> {
    let refuse = |problem| Reply::Refuse(exchange.refuse(problem), problem);
    let attempt = match exchange.attempt(head) {
        Ok(attempt) => attempt,
        Err(problem) => return refuse(problem),
    };
    let sending = platform.send(&attempt, head, body);
    match within(sending, platform.sleep(attempt.timeout)).await {
        Some(Ok(response)) => match exchange.relay(&response) {
            Ok(edits) => Reply::Relay(response, edits),
            Err(problem) => refuse(problem),
        },
        Some(Err(failure)) => refuse(Problem::Upstream(failure)),
        None => refuse(Problem::Upstream(Failure::HttpResponseTimeout)),
    }
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
