//! The road of a request: the one place that walks an [`Exchange`] with the effects of a
//! [`Platform`]. Both shells call it, so neither contains a decision.

mod upload;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use self::upload::Upload;
use crate::auth::{Errand, Vain};
use crate::exchange::{Exchange, News, Relay, Shadow};
use crate::guard::{Effect, Found, Needs};
use crate::head::ResponseHead;
use crate::limit::{Grant, Leaving, Toll};
use crate::opening::{OPENING_MAX, Opening, Verdict};
use crate::platform::{Platform, Unread};
use crate::problem::{Answer, Failure, Problem};
use crate::retry::Event;
use crate::snapshot::Snapshot;
use crate::split::Means;
use crate::telemetry::Record;
use crate::time::Timestamp;

/// What the client gets.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "moved a few times; a box would be an allocation each"
)]
pub enum Reply<R> {
    /// The upstream's response, and what is to be done to it.
    Relay(R, Relay),
    /// An answer of our own, and what is wrong, unless nothing is.
    Own(Answer, Option<Problem>),
}

/// What there is to do for a request.
#[derive(Debug)]
pub struct Served<R, E> {
    /// What the client gets.
    pub reply: Reply<R>,
    /// What was noted of it.
    pub entry: E,
    /// What is sent beside, once that is on its way, by [`shadow`].
    pub shadow: Option<Box<Shadow>>,
}

/// Serves one request: decides, sends, relays or refuses, records.
pub async fn serve<P: Platform>(
    platform: &P,
    head: &P::Head,
    body: P::Body,
) -> Served<P::Response, P::Entry> {
    let at = platform.now();
    let (snapshot, is_late) = awaited(pin!(platform.snapshot())).await;
    let snapshot = snapshot.as_deref();
    // What happens at once happens at one time: to ask for it has its price.
    let mut now = if is_late { platform.now() } else { at };
    let mut upload = Upload::Coming(body);
    let mut exchange = Exchange::undecided(snapshot);
    decide(platform, &mut exchange, snapshot, head, &mut upload, &mut now).await;
    let mut reply = match exchange.own_answer() {
        Some((answer, problem)) => Reply::Own(answer, problem),
        None => match walk(platform, &mut exchange, head, &mut upload, &mut now).await {
            Ok(response) => {
                let relay = exchange.relay(&response);
                Reply::Relay(response, relay)
            }
            Err(problem) => Reply::Own(exchange.refuse(problem), Some(problem)),
        },
    };
    let (status, why) = match &reply {
        Reply::Relay(response, _) => (response.status(), None),
        Reply::Own(answer, problem) => (answer.status, *problem),
    };
    let duration = now.since(at);
    let running = exchange.note(at, duration, status, why);
    match &mut reply {
        Reply::Relay(_, relay) => relay.tail.meter = running,
        // Of an answer of our own nothing more is to come.
        Reply::Own(answer, _) => running.into_iter().for_each(|running| {
            running.pass(0, answer.body.len() as u64);
            running.end(now);
        }),
    }
    let problem = why.map(Problem::token);
    let (consumer, client) = exchange.caller();
    let (request_id, id_header) = exchange.request_id();
    let record = Record {
        duration,
        route: exchange.route(),
        branch: exchange.branch(),
        picked: exchange.picked(),
        reason: exchange.reason(),
        attempts: exchange.attempts(),
        node: exchange.node(),
        client,
        consumer,
        request_id,
        id_header,
        revision: exchange.revision(),
        problem,
        ..Record::new(at, status)
    };
    let entry = platform.record(head, &record);
    let chance = || platform.draw();
    let shadow = match &upload {
        Upload::Read(bytes) => {
            exchange.shadow(head, bytes, (status, duration), means(platform, &chance, now))
        }
        Upload::Coming(_) | Upload::Gone => None,
    };
    Served { reply, entry, shadow }
}

/// Sends the copy of a request whose head was this, and records what came of it. The response is of no use.
pub async fn shadow<P: Platform>(platform: &P, head: &P::Head, mut shadow: Box<Shadow>) {
    let at = platform.now();
    let body = platform.body(std::mem::take(&mut shadow.body));
    let Some(attempt) = shadow.attempt() else { return };
    let (sending, deadline) =
        (pin!(platform.send(&attempt, head, body)), pin!(platform.sleep(shadow.deadline())));
    let came = within(sending, deadline).await.unwrap_or(Err(Failure::HttpResponseTimeout));
    let problem = came.as_ref().err().copied().map(Problem::Upstream);
    let status =
        came.as_ref().map_or_else(|it| Problem::Upstream(*it).status(), P::Response::status);
    let record = Record {
        duration: platform.now().since(at),
        route: Some(&shadow.route),
        branch: Some(&shadow.branch),
        attempts: 1,
        node: Some(attempt.node.authority()),
        revision: shadow.revision.as_deref(),
        problem: problem.map(Problem::token),
        original: Some(shadow.original.clone()),
        ..Record::new(at, status)
    };
    drop(platform.record(head, &record));
}

/// How long what a guard asks a runtime to do may take.
pub const EFFECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Has the configuration decide, with the body and whatever else it asks for.
async fn decide<'a, P: Platform>(
    platform: &P,
    exchange: &mut Exchange<'a>,
    snapshot: Option<&'a Snapshot>,
    head: &'a P::Head,
    upload: &mut Upload<P::Body>,
    now: &mut Timestamp,
) {
    let mut news = News::default();
    loop {
        let (chance, body) = (|| platform.draw(), upload.known());
        let means = means(platform, &chance, *now);
        let needs = match exchange.decide_in_place(&mut news, head, means, body) {
            Ok(()) => return,
            Err(needs) => needs,
        };
        match needs {
            Needs::Body => {
                let max = snapshot.map_or(0, Snapshot::body_max);
                if let Err(unread) = upload.read(platform, max).await {
                    *now = platform.now();
                    return exchange.stop(unread.into());
                }
            }
            Needs::Effect(effect) => news.bring(perform(platform, effect).await),
        }
        *now = platform.now();
    }
}

/// Does what a guard asks for.
async fn perform<P: Platform>(platform: &P, effect: Effect) -> Found {
    match effect {
        Effect::Fetch(errand) => {
            platform.fetch(errand);
            Found::Done
        }
        Effect::Wait(duration) => {
            platform.sleep(duration).await;
            Found::Done
        }
        Effect::Verify(check) => {
            let deadline = pin!(platform.sleep(EFFECT_TIMEOUT));
            Found::Verified(within(pin!(platform.verify(&check)), deadline).await.unwrap_or(false))
        }
        Effect::Toll(toll) => ask(platform, &toll).await,
    }
}

/// Asks the store of shared limits.
async fn ask<P: Platform>(platform: &P, toll: &Toll) -> Found {
    let leaving = Leaving::of(toll, || platform.porter());
    match (toll_of(platform, toll).await, leaving) {
        (Ok(grant), Some(leaving)) if grant.granted > 0 => Found::Entered(grant, Arc::new(leaving)),
        (Ok(grant), leaving) => {
            leaving.into_iter().for_each(Leaving::forget);
            Found::Granted(Ok(grant))
        }
        // It may have come as far as that: what is to be told then is told when this is dropped.
        (Err(failure), _) => Found::Granted(Err(failure)),
    }
}

/// What comes of a toll, in time.
async fn toll_of<P: Platform>(platform: &P, toll: &Toll) -> Result<Grant, Failure> {
    let (asking, deadline) = (pin!(platform.toll(toll)), pin!(platform.sleep(EFFECT_TIMEOUT)));
    within(asking, deadline).await.unwrap_or(Err(Failure::HttpResponseTimeout))
}

/// Runs an errand, by what gets what is at its URL and by what ends with the time for it. A shell has this
/// run beside the requests.
pub async fn run(
    errand: Errand,
    getting: impl Future<Output = Result<Vec<u8>, Failure>>,
    deadline: impl Future<Output = ()>,
    now: impl FnOnce() -> Timestamp,
) -> Result<(), Vain> {
    let came = within(getting, deadline).await.unwrap_or(Err(Failure::HttpResponseTimeout));
    errand.deliver(came, now())
}

/// What is decided from now.
fn means<'m, P: Platform>(
    platform: &'m P,
    chance: &'m dyn Fn() -> u64,
    now: Timestamp,
) -> Means<'m> {
    Means { now, secret: platform.secret(), chance, is_trial: false }
}

/// Makes attempts until one brings a response to relay, or there are none to make any more.
async fn walk<'a, P: Platform>(
    platform: &P,
    exchange: &mut Exchange<'a>,
    head: &'a P::Head,
    upload: &mut Upload<P::Body>,
    now: &mut Timestamp,
) -> Result<P::Response, Problem> {
    let chance = || platform.draw();
    if !exchange.pause().is_zero() {
        platform.sleep(exchange.pause()).await;
        *now = platform.now();
    }
    admit(platform, exchange, now).await?;
    if let Some(max) = exchange.upload_max() {
        upload.limit(platform, max)?;
    }
    let replay_max = exchange.replay_max();
    if let Some(max) = replay_max {
        read(upload.keep(platform, head, max), platform, now).await?;
    }
    loop {
        if exchange.changes_body() {
            read(upload.read(platform, exchange.body_max()), platform, now).await?;
        }
        let (came, event) = attempt(platform, exchange, head, upload, replay_max, *now).await?;
        *now = platform.now();
        let is_kept = matches!(upload, Upload::Read(_));
        let means = means(platform, &chance, *now);
        let pause = exchange.settle(event.as_ref(), came.as_ref().ok(), head, is_kept, means);
        let Some(pause) = pause else { return came.map_err(Problem::Upstream) };
        if admit(platform, exchange, now).await.is_err() {
            return came.map_err(Problem::Upstream);
        }
        // Its connection is of more use to others.
        drop(came);
        if !pause.is_zero() {
            platform.sleep(pause).await;
            *now = platform.now();
        }
    }
}

/// Reads a body, and the clock if that took its time.
async fn read<P: Platform>(
    reading: impl Future<Output = Result<(), Unread>>,
    platform: &P,
    now: &mut Timestamp,
) -> Result<(), Unread> {
    let (read, is_late) = awaited(pin!(reading)).await;
    if is_late {
        *now = platform.now();
    }
    read
}

/// Asks the store of shared limits about the branch that the request goes to next, until it is one that takes
/// it.
async fn admit<P: Platform>(
    platform: &P,
    exchange: &mut Exchange<'_>,
    now: &mut Timestamp,
) -> Result<(), Problem> {
    while let Some(toll) = exchange.toll() {
        let asked = platform.now();
        let came = toll_of(platform, &toll).await;
        *now = platform.now();
        exchange.granted(&came, (asked, *now))?;
    }
    Ok(())
}

/// One attempt, and what says that it failed, if something does.
async fn attempt<'a, P: Platform>(
    platform: &P,
    exchange: &mut Exchange<'a>,
    head: &'a P::Head,
    upload: &mut Upload<P::Body>,
    replay_max: Option<usize>,
    now: Timestamp,
) -> Result<(Result<P::Response, Failure>, Option<Event>), Problem> {
    let chance = || platform.draw();
    let mut attempt = exchange.attempt(head, upload.known(), means(platform, &chance, now))?;
    let body = match attempt.body.take() {
        Some(bytes) => platform.body(bytes),
        None => upload.give(platform, replay_max.is_none()),
    };
    let deadline = pin!(platform.sleep(attempt.timeouts.until_head()));
    let came = within(pin!(platform.send(&attempt, head, body)), deadline).await;
    let late = || match platform.awaits_client(head) {
        true => Failure::HttpRequestError,
        false => Failure::HttpResponseTimeout,
    };
    let mut response = match came.unwrap_or_else(|| Err(late())) {
        Ok(response) => response,
        Err(failure) => return Ok((Err(failure), Some(Event::Failed(failure)))),
    };
    let event = exchange.event(&response);
    if let Some(Event::Failed(failure)) = event {
        return Ok((Err(failure), event));
    }
    let is_kept = matches!(upload, Upload::Read(_));
    if !exchange.asks_opening(&response, is_kept) {
        return Ok((Ok(response), event));
    }
    Ok(match opening(platform, &mut response, exchange.idle()).await {
        Ok(event) => (Ok(response), event),
        // It may still be at it.
        Err(failure @ Failure::HttpResponseTimeout) => (Err(failure), Some(Event::Failed(failure))),
        // It broke off without an event, and nothing of it was relayed.
        Err(failure) => (Err(failure), Some(Event::Empty)),
    })
}

/// Reads the beginning of a stream of events, which may pause for so long, until it is clear whether it is
/// any good.
async fn opening<P: Platform>(
    platform: &P,
    response: &mut P::Response,
    idle: Duration,
) -> Result<Option<Event>, Failure> {
    let mut opening = Opening::new(OPENING_MAX);
    loop {
        let next = within(pin!(platform.peek(response)), pin!(platform.sleep(idle))).await;
        let verdict = match next.unwrap_or(Err(Failure::HttpResponseTimeout))? {
            Some(bytes) => opening.feed(&bytes),
            None => Some(opening.end()),
        };
        match verdict {
            None => {}
            Some(Verdict::Speaks | Verdict::Unclear) => return Ok(None),
            Some(Verdict::Error) => return Ok(Some(Event::FirstEventError)),
            Some(Verdict::Empty) => return Ok(Some(Event::Empty)),
        }
    }
}

/// The output of `future`, unless `deadline` resolves first; the other is dropped, which cancels it.
/// Large ones are pinned by the caller: what a function takes and pins is there twice.
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

/// The output of `future`, and whether it was waited for.
async fn awaited<T>(mut future: Pin<&mut impl Future<Output = T>>) -> (T, bool) {
    let mut is_late = false;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready((output, is_late)),
        Poll::Pending => {
            is_late = true;
            Poll::Pending
        }
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
