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
mod note;
mod relay;
mod shadow;
mod visit;

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use self::course::{Course, Once};
pub use self::relay::{BrokenResponse, RESPONSE_BROKEN, Relay, Tail};
pub use self::shadow::Shadow;
use self::visit::Entered;
pub use self::visit::Visit;
use crate::balance::{Ask, Keepalive, Timeouts, Tls, Tried};
use crate::breaker::{ApiBreaker, Broken};
use crate::facts::{Body, Caller, Draft, Facts, NeedsBody};
use crate::forced::Override;
use crate::guard::{Guard, Needs, Verdict};
use crate::head::{Changes, Edits, Head, ResponseHead, Text, forward, remove_nominated};
use crate::limit::{Grant, Toll, seconds};
use crate::node::{Node, Scheme};
use crate::problem::{Answer, Failure, Problem};
use crate::retry::{Event, retry_after};
use crate::route::{Nobody, Witness};
use crate::snapshot::{Route, Snapshot};
use crate::split::{Branch, How, Means, Mirror, NoRoom, Picked, Rule, Section, Unpicked};
use crate::telemetry::{Original, proof, reason};
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
    pub timeouts: Timeouts,
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

/// Where a request goes.
struct Decision<'a> {
    /// What the request was when it had passed the guards.
    entered: Entered<'a>,
    /// The plugins that count what comes of it.
    breakers: Breakers<'a>,
    /// The request as the plugins of the route leave it to the branch, where that is another than the one
    /// that had passed the guards.
    draft: Option<Box<Draft<'a>>>,
    /// The branch that was picked, and why.
    picked: &'a Branch,
    how: How,
    course: Course<'a>,
    /// Where a copy goes, if this request is one of those that are copied.
    mirror: Option<&'a Mirror>,
    /// The method of the attempt that was made last.
    method: Cow<'a, str>,
    /// What the branch changes in the response.
    response: Edits,
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
        exchange.take_decision(observer, visit, inquiry.head, means, body)?;
        Ok(exchange)
    }

    /// An exchange of which [`decide_in_place`](Self::decide_in_place) was not asked yet.
    pub(crate) fn undecided(snapshot: Option<&'a Snapshot>) -> Self {
        Self::failed(snapshot, Problem::NoConfiguration)
    }

    /// The same as [`decide`](Self::decide), where the exchange is: it is large, and to move it costs as much
    /// as a part of the decision.
    pub(crate) fn decide_in_place(
        &mut self,
        visit: &mut Visit<'a>,
        head: &'a dyn Head,
        means: Means<'_>,
        body: Body<'_>,
    ) -> Result<(), Needs> {
        self.take_decision(&mut Nobody, visit, head, means, body)
    }

    fn take_decision(
        &mut self,
        observer: &mut dyn Observer,
        visit: &mut Visit<'a>,
        head: &'a dyn Head,
        means: Means<'_>,
        body: Body<'_>,
    ) -> Result<(), Needs> {
        let made = match (head.fault(), self.snapshot) {
            (Some(problem), _) => Err(problem.into()),
            (None, None) => Err(Problem::NoConfiguration.into()),
            (None, Some(snapshot)) => {
                let place = &mut self.decision;
                Decision::make(place, snapshot, visit, head, means, body, observer)?
            }
        };
        match made {
            Ok(()) => {}
            Err(Stop::Problem(problem)) => self.decision = Err(problem),
            Err(Stop::Answer(own)) => {
                self.decision = Err(own.problem.unwrap_or(Problem::NoRoute));
                self.own = Some(own);
            }
        }
        Ok(())
    }

    /// An exchange that ends with `problem` before anything is decided.
    pub fn failed(snapshot: Option<&'a Snapshot>, problem: Problem) -> Self {
        Self { snapshot, decision: Err(problem), own: None }
    }

    /// An exchange that ends with `problem` however far the request has come.
    pub fn stopped(
        snapshot: Option<&'a Snapshot>,
        visit: &mut Visit<'a>,
        problem: Problem,
    ) -> Self {
        let own = visit.entered.take().map(|entered| entered.own(problem.answer(), Some(problem)));
        Self { own, ..Self::failed(snapshot, problem) }
    }

    /// How long the request waits before it goes on.
    pub fn pause(&self) -> Duration {
        self.decision.as_ref().map_or(Duration::ZERO, |decision| decision.entered.pause)
    }

    /// What is answered in place of an upstream, where a guard or a plugin does, and why, unless nothing is
    /// wrong.
    pub fn own_answer(&self) -> Option<(Answer, Option<Problem>)> {
        let own = self.own.as_ref()?;
        let mut answer = own.answer.clone();
        own.response.apply(&mut answer.headers);
        self.prove(&mut answer);
        Some((answer, own.problem))
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
        let decision = self.decision.as_mut().map_err(|problem| *problem)?;
        let granted = decision.course.granted(came, (asked, now));
        if decision.course.attempts > 0 {
            return granted.map_err(|_| Problem::Limited);
        }
        decision.picked = decision.course.branch;
        let Err(none) = granted else { return Ok(()) };
        let problem = Problem::Limited;
        self.own = Some(decision.entered.own(full(none), Some(problem)));
        self.decision = Err(problem);
        Err(problem)
    }

    /// The most bytes that the body of the request may have.
    pub fn upload_max(&self) -> Option<u64> {
        self.decision.as_ref().ok()?.entered.upload_max
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

    /// The id of the route that took the request.
    pub fn route(&self) -> Option<&'a str> {
        let own = || self.own.as_ref().map(|own| own.route);
        let decided = self.decision.as_ref().ok();
        let route = decided.map(|decision| decision.entered.route).or_else(own);
        route.map(|route| &*route.id)
    }

    /// The name of the branch that serves it: the one that was picked, or else the last that it went to.
    pub fn branch(&self) -> Option<&'a str> {
        self.decision.as_ref().ok().map(|decision| &*decision.course.branch.name)
    }

    /// The name of the branch that was picked, where another one serves it.
    pub fn picked(&self) -> Option<&'a str> {
        let picked = self.decision.as_ref().ok().map(|decision| &*decision.picked.name);
        picked.filter(|picked| Some(*picked) != self.branch())
    }

    /// Why it went to the branch that serves it.
    pub fn reason(&self) -> Option<&'static str> {
        let decision = self.decision.as_ref().ok()?;
        Some(if self.picked().is_some() { reason::FAILOVER } else { decision.how.token() })
    }

    /// The authority of the node of the last attempt.
    pub fn node(&self) -> Option<&'a str> {
        self.decision.as_ref().ok()?.course.authority()
    }

    /// The name of the consumer, and the address of the client where it is another than the head says.
    pub fn caller(&self) -> (Option<&'a str>, Option<IpAddr>) {
        let own = || self.own.as_ref().map(|own| own.caller);
        let decided = self.decision.as_ref().ok().map(|decision| decision.entered.caller);
        let caller = decided.or_else(own).unwrap_or_default();
        (caller.consumer, caller.client)
    }

    /// The name that the request was given here, and the header in which it has one, if it has.
    pub fn request_id(&self) -> (Option<&str>, Option<&'a str>) {
        if let Some(own) = &self.own {
            return (own.id.as_deref(), own.route.guards.request_id());
        }
        let entered = self.decision.as_ref().ok().map(|decision| &decision.entered);
        let header = entered.and_then(|entered| entered.route.guards.request_id());
        (entered.and_then(Entered::request_id), header)
    }

    /// How many attempts were made.
    pub fn attempts(&self) -> u32 {
        self.decision.as_ref().map_or(0, |decision| decision.course.attempts)
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
    ) -> Option<Shadow> {
        let decision = self.decision.as_ref().ok()?;
        let original = Original { branch: decision.course.branch.name.clone(), status, duration };
        let is_kept = self.snapshot.is_some_and(|it| body.len() <= it.replay_max());
        let mut shadow = is_kept.then(|| decision.shadow(head, body, original, means))??;
        shadow.revision = self.revision().map(Into::into);
        Some(shadow)
    }

    /// How long the body of a response may pause.
    pub fn idle(&self) -> Duration {
        let timeouts = self.decision.as_ref().map(Decision::timeouts);
        timeouts.unwrap_or_default().between_pieces()
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
        let upgrades = self.decision.as_ref().is_ok_and(|it| it.entered.route.upgrades);
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
            decision.entered.answered(means.now);
            let failed = event.and_then(Event::failure).map(|it| Problem::Upstream(it).status());
            if let Some(status) = failed.or(status) {
                decision.breakers.all().for_each(|breaker| breaker.note(status, means.now));
            }
        }
        pause
    }

    /// The revision of the configuration that decided.
    pub fn revision(&self) -> Option<&'a str> {
        self.snapshot.map(|snapshot| snapshot.revision().as_str())
    }

    /// The request as the branch sends it, without what this hop adds to it.
    pub fn rewritten(&mut self, head: &'a dyn Head, body: Body<'_>) -> Result<Draft<'a>, Problem> {
        let decision = self.decision.as_mut().map_err(|problem| *problem)?;
        decision.rewritten(head, body)
    }

    /// The attempt to make, or why there is none to make.
    pub fn attempt(
        &mut self,
        head: &'a dyn Head,
        body: Body<'_>,
        means: Means<'_>,
    ) -> Result<Attempt<'a>, Problem> {
        let revision = self.revision();
        let decision = self.decision.as_mut().map_err(|problem| *problem)?;
        if !means.is_trial {
            decision.arrive(body, means.now);
        }
        let (route, upstream) =
            (decision.entered.route, &*decision.course.branch.balancer.upstream);
        let draft = decision.rewritten(head, body)?;
        let node = decision.begin(head, body, means).ok_or(Problem::UpstreamGone)?;
        let part = Part { revision, ..decision.part() };
        decision.method = draft.method.clone();
        let target = draft.target();
        let Draft { method, host, edits: own, body, .. } = draft;
        let client = decision.entered.caller.client;
        Ok(Attempt {
            scheme: upstream.scheme,
            node,
            host: upstream.host_for(node, host.unwrap_or(Cow::Borrowed(head.host()))),
            method,
            target,
            edits: upward(head, client, own),
            body,
            timeouts: decision.timeouts(),
            keepalive: &upstream.keepalive,
            tls: &upstream.tls,
            upgrades: route.upgrades,
            part,
        })
    }

    /// What is changed in whatever response there is to an attempt that was made: by the branch, to
    /// issue a cookie, and to prove who served.
    pub(crate) fn response_changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        self.change_response(&mut changes);
        changes
    }

    fn change_response(&mut self, changes: &mut Changes) {
        if let Ok(decision) = &mut self.decision {
            changes.follow(std::mem::take(&mut decision.entered.response));
            changes.follow(std::mem::take(&mut decision.response));
            if let How::Issued { set_cookie } = &decision.how {
                changes.append("set-cookie", Text::copy(set_cookie));
            }
        }
        // Last, and in place of all that was set or added before: no branch can claim to be another.
        self.proof(|name, value| changes.overrule(name, value));
    }

    /// What is to be done to the upstream's response.
    pub fn relay(&mut self, response: &impl ResponseHead) -> Relay {
        let mut edits = Changes::default();
        remove_nominated(response.header("connection").as_deref(), &mut edits);
        self.change_response(&mut edits);
        let is_event_stream = is_event_stream(response);
        // Beside chunks a length is not to be believed (RFC 9112, section 6.3).
        let has_length = || {
            response.header("content-length").is_some()
                && response.header("transfer-encoding").is_none()
        };
        let mut decision = self.decision.as_mut().ok();
        let mut holds = decision.as_mut().map(|it| it.entered.take_holds()).unwrap_or_default();
        holds.extend(decision.as_mut().and_then(|it| it.course.take_hold()));
        let tail = Tail {
            _holds: holds,
            idle: decision
                .as_ref()
                .map_or_else(Timeouts::default, |it| it.timeouts())
                .between_pieces(),
            is_event_stream,
            can_tell: is_event_stream && !has_length(),
            served: decision.as_ref().map(|it| it.served()),
            _in_flight: decision.and_then(|it| it.course.take_in_flight()),
            meter: None,
        };
        Relay { edits, tail }
    }

    /// The answer that tells the client of a problem.
    pub fn refuse(&self, problem: Problem) -> Answer {
        if let Some((answer, _)) = self.own_answer() {
            return answer;
        }
        let mut answer = problem.answer();
        if let Ok(decision) = &self.decision {
            decision.entered.response.apply(&mut answer.headers);
        }
        self.prove(&mut answer);
        answer
    }

    /// Adds what proves who served.
    fn prove(&self, answer: &mut Answer) {
        self.proof(|name, value| {
            answer.headers.extend(value.map(|value| (name.into(), value.to_string())));
        });
    }

    /// Tells the headers that prove who served, each with its value if it has one, unless they are switched
    /// off.
    fn proof(&self, mut tell: impl FnMut(&'static str, Option<Text>)) {
        if !self.snapshot.is_none_or(Snapshot::proof_headers) {
            return;
        }
        let or_none = |value: Option<&str>| Some(value.map_or(proof::NONE.into(), Text::copy));
        let attempts = Some(self.attempts()).filter(|attempts| *attempts > 1);
        tell(proof::ROUTE, or_none(self.route()));
        tell(proof::BRANCH, or_none(self.branch()));
        tell(proof::REVISION, or_none(self.revision()));
        tell(proof::PICKED, self.picked().map(Text::copy));
        tell(proof::ATTEMPTS, attempts.map(Text::of_number));
    }
}

/// The changes to the headers of a request that goes up: what this hop changes, then what was rewritten.
fn upward(head: &dyn Head, client: Option<IpAddr>, rewritten: Edits) -> Changes {
    let mut changes = Changes::default();
    remove_nominated(head.header("connection").as_deref(), &mut changes);
    forward(head, client, &mut changes);
    changes.follow(rewritten);
    changes
}

/// The answer of a plugin that lets nothing through. Without a body of its own it is a problem like others.
fn broken(breaker: &ApiBreaker, facts: &Facts<'_>) -> (Problem, Answer) {
    let problem = Problem::CircuitOpen;
    let Broken { status, body, headers } = breaker.answer(facts);
    let Some(body) = body else { return (problem, problem.answer_with(status)) };
    let headers = headers.into_iter().map(|(name, value)| (Cow::Owned(name.to_owned()), value));
    let answer = Answer { status, headers: headers.collect(), body: body.to_owned() };
    (problem, answer)
}

/// The answer to a request that no branch has room for.
fn full(none: NoRoom) -> Answer {
    let mut answer = Problem::Limited.answer();
    answer.headers.push(("retry-after".into(), seconds(none.wait_ms).max(1).to_string()));
    answer
}

/// Whether the body is a stream of events that can be read as it is.
fn is_event_stream(response: &impl ResponseHead) -> bool {
    let is_type = |value: Cow<'_, str>| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("text/event-stream")
    };
    response.header("content-type").is_some_and(is_type)
        && response.header("content-encoding").is_none()
}

/// Those that act on a request, of which there is seldom more than one.
#[derive(Default)]
struct Breakers<'a> {
    first: Option<&'a ApiBreaker>,
    others: Vec<&'a ApiBreaker>,
}

impl<'a> Breakers<'a> {
    /// Those of a route.
    fn of(route: &'a Route, facts: &Facts<'_>) -> Self {
        let mut acting = route.breakers.iter().filter(|breaker| breaker.acts_on(facts));
        Self { first: acting.next(), others: acting.collect() }
    }

    fn all(&self) -> impl Iterator<Item = &'a ApiBreaker> {
        self.first.into_iter().chain(self.others.iter().copied())
    }
}

/// Which way a request goes.
struct Way<'a> {
    breakers: Breakers<'a>,
    /// The request as it goes on, if it is another.
    draft: Option<Box<Draft<'a>>>,
    rule: &'a Rule,
    picked: Picked<'a>,
    mirror: Option<&'a Mirror>,
}

impl<'a> Decision<'a> {
    /// Decides where a request goes, in place: a decision is large, and moving it costs as much as a part of
    /// it.
    fn make(
        place: &mut Result<Self, Problem>,
        snapshot: &'a Snapshot,
        visit: &mut Visit<'a>,
        head: &'a dyn Head,
        means: Means<'_>,
        body: Body<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Result<(), Stop<'a>>, Needs> {
        if let Err(stop) = visit.enter(snapshot, head, means, body, observer)? {
            return Ok(Err(stop));
        }
        let Some(entered) = &visit.entered else { return Ok(Err(Problem::NoRoute.into())) };
        let way = match Self::go_on(entered, head, means, body, observer) {
            Err(NeedsBody) => return Err(Needs::Body),
            Ok(Err(stop)) => return Ok(Err(entered.stop(stop))),
            Ok(Ok(way)) => way,
        };
        let Some(entered) = visit.entered.take() else { return Ok(Err(Problem::NoRoute.into())) };
        let Way { breakers, draft, rule, mut picked, mirror } = way;
        let course = Course::new(rule, &mut picked);
        let method = draft.as_deref().unwrap_or(&entered.draft).method.clone();
        let (response, Picked { branch: picked, how, .. }) = (Edits::default(), picked);
        *place =
            Ok(Self { entered, breakers, draft, picked, how, course, mirror, method, response });
        Ok(Ok(()))
    }

    /// Which way a request goes that has passed the guards.
    fn go_on(
        entered: &Entered<'a>,
        head: &'a dyn Head,
        means: Means<'_>,
        body: Body<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Result<Way<'a>, Stop<'a>>, NeedsBody> {
        let route = entered.route;
        let (mut draft, mut wants_body) = (None::<Box<Draft<'a>>>, false);
        for rewrite in &route.rewrites {
            let before = draft.take();
            let now = before.as_deref().unwrap_or(&entered.draft);
            let facts = entered.facts(head, now, body);
            if !rewrite.acts_on(&facts) {
                wants_body |= facts.wants_body();
                draft = before;
                continue;
            }
            let mut next = now.clone();
            if let Err(problem) = rewrite.apply(&facts, &mut next) {
                return Ok(Err(problem.into()));
            }
            wants_body |= facts.wants_body();
            draft = Some(Box::new(next));
        }
        let now = draft.as_deref().unwrap_or(&entered.draft);
        let facts = entered.facts(head, now, body);
        let breakers = Breakers::of(route, &facts);
        if wants_body || facts.wants_body() {
            return Err(NeedsBody);
        }
        if let Some(open) = breakers.all().find(|breaker| breaker.is_open(means.now)) {
            let (problem, answer) = broken(open, &facts);
            return Ok(Err(Stop::Answer(entered.own(answer, Some(problem)))));
        }
        let rule = route.split.rule(&facts, &mut |section, rule| {
            observer.rule_passed_over(section, rule, &facts);
        });
        if facts.wants_body() {
            return Err(NeedsBody);
        }
        let Some(rule) = rule else { return Ok(Err(Problem::NoUpstream.into())) };
        let picked = match rule.pick(&facts, &route.id, means) {
            Ok(picked) => picked,
            Err(Unpicked::NeedsBody) => return Err(NeedsBody),
            Err(Unpicked::NoRoom(none)) => {
                let own = entered.own(full(none), Some(Problem::Limited));
                return Ok(Err(Stop::Answer(own)));
            }
        };
        observer.picked(rule, &picked);
        // What opens a branch here is none of the upstream's business, whichever rule took the request.
        let overrides = route.split.rules().filter_map(|rule| rule.forced.as_deref());
        let removals = Override::removals(overrides, &facts);
        if !removals.is_empty() {
            let mut next = draft.take().unwrap_or_else(|| Box::new(entered.draft.clone()));
            next.edits.follow(removals);
            draft = Some(next);
        }
        let mirror = rule.mirror.as_deref();
        let mirror = mirror.filter(|it| it.takes(&rule.branches, picked.branch, means));
        Ok(Ok(Way { breakers, draft, rule, picked, mirror }))
    }

    /// Arrives at the branch, or at another one where that cannot be.
    fn arrive(&mut self, body: Body<'_>, now: Timestamp) {
        // Those that change a body cannot have one that was not read.
        let is_read = matches!(body, Body::Whole(_));
        let fits = |branch: &Branch| is_read || !branch.needs_body;
        self.course.arrive(now, fits);
        if self.course.attempts == 0 {
            self.picked = self.course.branch;
        }
    }

    /// The node for an attempt, which has begun.
    fn begin(&mut self, head: &'a dyn Head, body: Body<'_>, means: Means<'_>) -> Option<&'a Node> {
        let draft = self.draft.as_deref().unwrap_or(&self.entered.draft);
        let facts = self.entered.facts(head, draft, body);
        let Means { now, chance, is_trial, .. } = means;
        let tried = Tried::default();
        self.course.begin(&Ask { facts: &facts, now, chance, tried: &tried, is_trial })
    }

    /// What the attempt is that has begun.
    fn part(&self) -> Part<'a> {
        let course = &self.course;
        let reason = match () {
            () if course.is_again() => reason::RETRY,
            () if !std::ptr::eq(course.branch, self.picked) => reason::FAILOVER,
            () => self.how.token(),
        };
        let (route, branch) = (&*self.entered.route.id, &*course.branch.name);
        // One that is only looked at is not counted, and would be the first.
        Part { route, branch, revision: None, number: course.attempts.max(1), reason }
    }

    /// Which route and branch serve the request. They are copied: what all requests share is not to be
    /// written to by each.
    fn served(&self) -> (Text, Text) {
        (Text::copy(&self.entered.route.id), Text::copy(&self.course.branch.name))
    }

    /// The request as the plugins of the route leave it to the branch.
    fn draft(&self) -> &Draft<'a> {
        self.draft.as_deref().unwrap_or(&self.entered.draft)
    }

    /// How long an attempt may take: what the route says goes before what the upstream says.
    fn timeouts(&self) -> Timeouts {
        let upstream = &self.course.branch.balancer.upstream;
        self.entered.route.timeout.as_deref().copied().or(upstream.timeout).unwrap_or_default()
    }

    /// The request as the branch sends it.
    fn rewritten(&mut self, head: &'a dyn Head, body: Body<'_>) -> Result<Draft<'a>, Problem> {
        let facts = self.entered.facts(head, self.draft(), body);
        let mut draft = self.draft().clone();
        let rewrite = &self.course.branch.rewrite;
        rewrite.apply(&facts, &mut draft)?;
        let mut response = Edits::default();
        rewrite.response(&facts, &mut response);
        self.response = response;
        Ok(draft)
    }
}

#[cfg(test)]
mod tests;
