//! One request from its decision to its end, as a state machine that is fed with outcomes.
//!
//! | input                    | what follows                                                      |
//! |--------------------------|-------------------------------------------------------------------|
//! | a request head           | [`Exchange::decide`]: route, rule and branch are fixed, or        |
//! |                          | [`Needs`]: to be decided again, with what is needed               |
//! | a decision               | [`Exchange::attempt`]: send this, or a [`Problem`]                |
//! | what came of an attempt  | [`Exchange::settle`]: another one after this pause, or none       |
//! | the head of a response   | [`Exchange::relay`]: this is to be done to it                     |
//! | a [`Problem`]            | [`Exchange::refuse`]: give this answer                            |
//!
//! It holds no clock and performs nothing; [`serve`](crate::serve::serve) walks it.

mod course;
mod decision;
mod note;
mod relay;
mod reply;
mod shadow;
mod told;
mod visit;

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use self::course::Once;
use self::decision::{Decision, full};
pub use self::relay::{BrokenResponse, RESPONSE_BROKEN, Relay, Tail};
use self::reply::is_event_stream;
pub use self::shadow::Shadow;
use self::visit::Entered;
pub(crate) use self::visit::News;
pub use self::visit::Visit;
use crate::balance::{Keepalive, Timeouts, Tls};
use crate::facts::{Body, Caller, Draft, Facts};
use crate::guard::{Guard, Needs, Verdict};
use crate::head::{Changes, Edits, Head, ResponseHead, forward, remove_nominated};
use crate::limit::{Grant, Toll};
use crate::node::{Node, Scheme};
use crate::problem::{Answer, Failure, Problem};
use crate::retry::{Event, retry_after};
use crate::route::{Nobody, Witness};
use crate::snapshot::{Route, Snapshot};
use crate::split::{Means, Picked, Rule, Section};
use crate::telemetry::Original;
use crate::time::Timestamp;

/// One request to one node.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// How to speak to the node.
    pub scheme: Scheme,
    /// Where to connect to, and the name its certificate must carry.
    pub node: &'a Node,
    /// The header `Host`.
    pub host: Cow<'a, str>,
    /// The method.
    pub method: Cow<'a, str>,
    /// Path and query.
    pub target: Cow<'a, str>,
    /// The changes to the client's headers.
    pub edits: Changes,
    /// The body in place of the client's; its length goes before what the client said.
    pub body: Option<Vec<u8>>,
    /// How long it may take.
    pub timeouts: &'a Timeouts,
    /// How connections to the node are kept.
    pub keepalive: &'a Keepalive,
    /// How TLS is spoken.
    pub tls: &'a Tls,
    /// Whether the client's wish to speak another protocol goes along (RFC 9110, section 7.8).
    pub upgrades: bool,
    /// What it is in its exchange.
    pub part: Part<'a>,
}

/// What an attempt is in its exchange, for those who tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// The id of the route.
    pub route: &'a str,
    /// The name of the branch.
    pub branch: &'a str,
    /// The revision of the configuration.
    pub revision: Option<&'a str>,
    /// Which attempt it is, from 1.
    pub number: u32,
    /// Why it is made: as [`Exchange::reason`] says, `retry` or `copy`.
    pub reason: &'static str,
}

/// What a decision is made from.
#[derive(Clone, Copy)]
pub struct Inquiry<'a> {
    /// The configuration, where there is one.
    pub snapshot: Option<&'a Snapshot>,
    /// The head of the request.
    pub head: &'a dyn Head,
}

/// Looks on while a request is decided. Nothing depends on what it does.
pub(crate) trait Observer: Witness {
    /// All routes that could take the request were asked; this one does, if any.
    fn searched(&mut self, _taken: Option<usize>, _facts: &Facts<'_>) {}

    /// A guard was asked, and this is what it said.
    fn guarded(&mut self, _guard: &Guard, _verdict: &Verdict<'_>) {}

    /// A rule of the route does not take the request.
    fn rule_passed_over(&mut self, _section: &Section, _rule: &Rule, _facts: &Facts<'_>) {}

    /// A branch of this rule was picked.
    fn picked(&mut self, _rule: &Rule, _picked: &Picked<'_>) {}
}

impl Observer for Nobody {}

/// A request for which everything is decided.
pub struct Exchange<'a> {
    snapshot: Option<&'a Snapshot>,
    /// The request on its route; there is one, where it is decided where that goes.
    entered: Option<Entered<'a>>,
    decision: Result<Decision<'a>, Problem>,
    /// What the route answers by itself.
    own: Option<Box<Own<'a>>>,
}

/// Why a request goes nowhere.
enum Stop<'a> {
    Problem(Problem),
    /// The route has an answer of its own for it.
    Answer(Box<Own<'a>>),
}

/// What a route answers by itself.
struct Own<'a> {
    route: &'a Route,
    /// Who calls.
    caller: Caller<'a>,
    /// The name that the request was given.
    id: Option<Box<str>>,
    answer: Answer,
    /// Nothing is wrong where there is none.
    problem: Option<Problem>,
    /// What guards change in the headers of whatever is answered.
    response: Edits,
}

impl From<Problem> for Stop<'_> {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl<'a> Exchange<'a> {
    /// Decides: matches the route, has its guards passed and picks the branch. What depends on what is not
    /// there yet is not decided, and no share has counted the request. It is decided again with the same
    /// `visit`, when that is there.
    pub fn decide(
        visit: &mut Visit<'a>,
        inquiry: Inquiry<'a>,
        means: Means<'_>,
        body: Body<'_>,
    ) -> Result<Self, Needs> {
        Self::decide_before(&mut Nobody, visit, inquiry, means, body)
    }

    /// The same, before the eyes of somebody.
    pub(crate) fn decide_before(
        observer: &mut dyn Observer,
        visit: &mut Visit<'a>,
        inquiry: Inquiry<'a>,
        means: Means<'_>,
        body: Body<'_>,
    ) -> Result<Self, Needs> {
        let mut exchange = Self::undecided(inquiry.snapshot);
        exchange.entered = visit.entered.take();
        let news = &mut visit.news;
        match exchange.take_decision(observer, news, inquiry.head, means, body) {
            Ok(()) => Ok(exchange),
            Err(needs) => {
                visit.entered = exchange.entered;
                Err(needs)
            }
        }
    }

    /// An exchange of which [`decide_in_place`](Self::decide_in_place) was not asked yet.
    pub(crate) fn undecided(snapshot: Option<&'a Snapshot>) -> Self {
        Self::failed(snapshot, Problem::NoConfiguration)
    }

    /// The same as [`decide`](Self::decide), where the exchange is: it is large, and to move it costs as much
    /// as a part of the decision.
    pub(crate) fn decide_in_place(
        &mut self,
        news: &mut News,
        head: &'a dyn Head,
        means: Means<'_>,
        body: Body<'_>,
    ) -> Result<(), Needs> {
        self.take_decision(&mut Nobody, news, head, means, body)
    }

    fn take_decision(
        &mut self,
        observer: &mut dyn Observer,
        news: &mut News,
        head: &'a dyn Head,
        means: Means<'_>,
        body: Body<'_>,
    ) -> Result<(), Needs> {
        let made = match (head.fault(), self.snapshot) {
            (Some(problem), _) => Err(problem.into()),
            (None, None) => Err(Problem::NoConfiguration.into()),
            (None, Some(snapshot)) => {
                let place = &mut self.entered;
                match news.enter(place, snapshot, head, means, body, observer)? {
                    Ok(entered) => {
                        let place = &mut self.decision;
                        Decision::make(place, entered, head, means, body, observer)?
                    }
                    Err(stop) => Err(stop),
                }
            }
        };
        match made {
            Ok(()) => {}
            Err(Stop::Problem(problem)) => self.end(problem, None),
            Err(Stop::Answer(own)) => self.end(own.problem.unwrap_or(Problem::NoRoute), Some(own)),
        }
        Ok(())
    }

    /// An exchange that ends with `problem` before anything is decided.
    pub fn failed(snapshot: Option<&'a Snapshot>, problem: Problem) -> Self {
        Self { snapshot, entered: None, decision: Err(problem), own: None }
    }

    /// Ends it with `problem`, however far the request has come.
    pub(crate) fn stop(&mut self, problem: Problem) {
        let own = |entered: &Entered<'a>| entered.own(problem.answer(), Some(problem));
        self.end(problem, self.entered.as_ref().map(own));
    }

    /// Ends it with what the route answers by itself, if it does.
    fn end(&mut self, problem: Problem, own: Option<Box<Own<'a>>>) {
        (self.entered, self.decision, self.own) = (None, Err(problem), own);
    }

    /// What is decided, and the request that it is decided of.
    fn decided(&mut self) -> Result<(&mut Decision<'a>, &Entered<'a>), Problem> {
        let decision = self.decision.as_mut().map_err(|problem| *problem)?;
        Ok((decision, self.entered.as_ref().ok_or(Problem::NoRoute)?))
    }

    /// How long the request waits before it goes on.
    pub fn pause(&self) -> Duration {
        self.entered.as_ref().map_or(Duration::ZERO, |entered| entered.pause)
    }

    /// What the store of shared limits is to be asked for before the next attempt, if it is: it is then told by
    /// [`granted`](Self::granted) what came of it, and asked for again.
    pub fn toll(&mut self) -> Option<Toll> {
        self.decision.as_mut().ok()?.course.take_toll()
    }

    /// Takes what came of a toll, and when it was asked for. There is no further attempt where no branch has
    /// room for the request.
    pub fn granted(
        &mut self,
        came: &Result<Grant, Failure>,
        (asked, now): (Timestamp, Timestamp),
    ) -> Result<(), Problem> {
        let (decision, entered) = self.decided()?;
        let granted = decision.course.granted(came, (asked, now));
        if decision.course.attempts > 0 {
            return granted.map_err(|_| Problem::Limited);
        }
        decision.picked = decision.course.branch;
        let Err(none) = granted else { return Ok(()) };
        let problem = Problem::Limited;
        let own = entered.own(full(none), Some(problem));
        self.end(problem, Some(own));
        Err(problem)
    }

    /// The most bytes that the body of the request may have.
    pub fn upload_max(&self) -> Option<u64> {
        self.entered.as_ref()?.upload_max
    }

    /// The most bytes of a body that are read.
    pub fn body_max(&self) -> usize {
        self.snapshot.map_or(0, Snapshot::body_max)
    }

    /// Whether the branch changes the body, or picks a node by it, so that it must have been read before the
    /// attempt.
    pub fn changes_body(&self) -> bool {
        self.decision.as_ref().is_ok_and(|decision| decision.course.branch.needs_body)
    }

    /// How many bytes of the body are worth keeping for another attempt, should one be made, or a copy.
    pub fn replay_max(&self) -> Option<usize> {
        let decision = self.decision.as_ref().ok()?;
        let is_kept = decision.course.can_go_on() || decision.mirror.is_some();
        Some(self.snapshot.filter(|_| is_kept)?.replay_max())
    }

    /// The copy that is to be sent of a request with this body, which was answered with `status` after
    /// `duration`.
    pub fn shadow(
        &self,
        head: &'a dyn Head,
        body: &[u8],
        (status, duration): (u16, Duration),
        means: Means<'_>,
    ) -> Option<Box<Shadow>> {
        let (decision, entered) = self.decision.as_ref().ok().zip(self.entered.as_ref())?;
        let original = Original { branch: decision.course.branch.name.clone(), status, duration };
        let is_kept = self.snapshot.is_some_and(|it| body.len() <= it.replay_max());
        let mut shadow =
            is_kept.then(|| decision.shadow(entered, head, body, original, means))??;
        shadow.revision = self.revision().map(Into::into);
        Some(shadow)
    }

    /// How long the body of a response may pause.
    pub fn idle(&self) -> Duration {
        let timeouts = self.decision.as_ref().map(Decision::timeouts);
        timeouts.unwrap_or(Timeouts::DEFAULT).between_pieces()
    }

    /// Whether the beginning of the body says whether this response is any good, so that it is read before
    /// anything is relayed.
    pub fn asks_opening(&self, response: &impl ResponseHead, is_kept: bool) -> bool {
        let asks =
            |decision: &Decision<'_>| decision.method != "HEAD" && decision.course.asks_opening();
        is_kept
            && response.status() == 200
            && self.decision.as_ref().is_ok_and(asks)
            && is_event_stream(response)
    }

    /// What the head of a response says of the attempt, if it says that it failed. Statuses from 600 are
    /// not HTTP (RFC 9110, section 15), and 101 is none where nobody asked to switch protocols.
    pub fn event(&self, response: &impl ResponseHead) -> Option<Event> {
        let upgrades = self.decision.as_ref().is_ok_and(|it| it.route.upgrades);
        match response.status() {
            101 if upgrades => None,
            200..400 => None,
            status @ 400..600 => Some(Event::Status(status)),
            _ => Some(Event::Failed(Failure::HttpProtocolError)),
        }
    }

    /// Takes what came of the attempt; nothing is a success. Says how long to wait before the next one, if
    /// one is to be made; `is_kept` says whether the body is there for it.
    pub fn settle(
        &mut self,
        event: Option<&Event>,
        response: Option<&impl ResponseHead>,
        head: &'a dyn Head,
        is_kept: bool,
        means: Means<'_>,
    ) -> Option<Duration> {
        let decision = self.decision.as_mut().ok()?;
        let asked = || response?.header("retry-after");
        let retry_after = event.and_then(|_| retry_after(&asked()?, means.now));
        // Reading a header has its price, and most attempts are the last.
        let key = event.and_then(|_| head.header("idempotency-key"));
        let has_key = key.is_some_and(|key| !key.is_empty());
        let status = response.map(ResponseHead::status);
        let method = &*decision.method;
        let once = Once { method, has_key, is_kept, status, retry_after };
        let pause = decision.course.settle(event, once, means);
        if pause.is_none() {
            if let Some(entered) = &self.entered {
                entered.answered(means.now);
            }
            let failed = event.and_then(Event::failure).map(|it| Problem::Upstream(it).status());
            if let Some(status) = failed.or(status) {
                decision.breakers.all().for_each(|breaker| breaker.note(status, means.now));
            }
        }
        pause
    }

    /// The request as the branch sends it, without what this hop adds to it.
    pub fn rewritten(&mut self, head: &'a dyn Head, body: Body<'_>) -> Result<Draft<'a>, Problem> {
        let (decision, entered) = self.decided()?;
        decision.rewritten(entered, head, body)
    }

    /// The attempt to make, or why there is none to make.
    pub fn attempt(
        &mut self,
        head: &'a dyn Head,
        body: Body<'_>,
        means: Means<'_>,
    ) -> Result<Attempt<'a>, Problem> {
        let revision = self.revision();
        let (decision, entered) = self.decided()?;
        if !means.is_trial {
            decision.arrive(body, means.now);
        }
        let (route, upstream) = (decision.route, &*decision.course.branch.balancer.upstream);
        let draft = decision.rewritten(entered, head, body)?;
        let node = decision.begin(entered, head, body, means).ok_or(Problem::UpstreamGone)?;
        let part = Part { revision, ..decision.part() };
        decision.method = draft.method.clone();
        let target = draft.target();
        let Draft { method, host, edits: own, body, .. } = draft;
        let mut edits = Changes::default();
        upward(head, entered.caller.client, own, &mut edits);
        Ok(Attempt {
            scheme: upstream.scheme,
            node,
            host: upstream.host_for(node, host.unwrap_or(Cow::Borrowed(head.host()))),
            method,
            target,
            edits,
            body,
            timeouts: decision.timeouts(),
            keepalive: &upstream.keepalive,
            tls: &upstream.tls,
            upgrades: route.upgrades,
            part,
        })
    }
}

/// Makes the changes to the headers of a request that goes up: what this hop changes, then what was rewritten.
fn upward(head: &dyn Head, client: Option<IpAddr>, rewritten: Edits, changes: &mut Changes) {
    remove_nominated(head.header("connection").as_deref(), changes);
    forward(head, client, changes);
    changes.follow(rewritten);
}

#[cfg(test)]
mod tests;
