//! The attempts of one exchange: where the next one goes, and whether there is one.

use std::time::Duration;

use crate::balance::{Ask, InFlight, Tried, Vital};
use crate::breaker::{Breaker, Outcome, Pass};
use crate::checks::{Passive, Probe};
use crate::node::Node;
use crate::problem::Failure;
use crate::retry::{Event, may_repeat};
use crate::split::{Branch, How, Means, Rule};
use crate::time::Timestamp;

/// What has been tried, and what is under way.
pub(super) struct Course<'a> {
    pub(super) rule: &'a Rule,
    /// The branch of the attempt that is under way, or else of the next.
    pub(super) branch: &'a Branch,
    /// Branches that failed.
    failed: Vec<&'a Branch>,
    /// The nodes of this branch that were tried.
    tried: Tried,
    /// Attempts at this branch, and in all.
    attempts_here: u32,
    pub(super) attempts: u32,
    /// When the first attempt at this branch began.
    since: Timestamp,
    going: Option<Going<'a>>,
    can_fail_over: bool,
}

/// What decides whether a request may be sent once more.
#[derive(Clone, Copy)]
pub(super) struct Once<'m> {
    /// The method it was sent with.
    pub(super) method: &'m str,
    /// Whether it carries an `Idempotency-Key`.
    pub(super) has_key: bool,
    /// Whether its body is there to be sent again.
    pub(super) is_kept: bool,
    /// The status of the response, if there was one.
    pub(super) status: Option<u16>,
    /// How long its upstream asks to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl<'a> Course<'a> {
    pub(super) fn new(rule: &'a Rule, branch: &'a Branch, how: &How) -> Self {
        Self {
            rule,
            branch,
            failed: Vec::new(),
            tried: Tried::default(),
            attempts_here: 0,
            attempts: 0,
            since: Timestamp::from_millis(0),
            going: None,
            can_fail_over: rule.fails_over(how).is_some(),
        }
    }

    /// Whether there can be more than one attempt.
    pub(super) fn can_go_on(&self) -> bool {
        self.can_fail_over || self.branch.balancer.upstream.retries() > 0
    }

    /// The node for the next attempt, unless the upstream is gone. The attempt has begun.
    pub(super) fn begin(&mut self, ask: &Ask<'_>) -> Option<&'a Node> {
        let balancer = &self.branch.balancer;
        let index = balancer.pick(&Ask { tried: &self.tried, ..*ask })?;
        if ask.is_trial {
            return Some(balancer.node(index));
        }
        if self.attempts_here == 0 {
            self.since = ask.now;
            balancer.upstream.budget().deposit();
        }
        self.tried.add(index);
        self.attempts_here += 1;
        self.attempts += 1;
        let vital = balancer.vital(index);
        let breakers = [self.branch.breaker.as_ref(), vital.breaker()];
        self.going = Some(Going {
            passes: breakers
                .map(|breaker| breaker.map(|breaker| (breaker, breaker.enter(ask.now)))),
            vital,
            passive: balancer.upstream.care.passive(),
            in_flight: Some(balancer.start(index)),
            since: ask.now,
        });
        Some(balancer.node(index))
    }

    /// Takes what came of the attempt, and says after how long to make another one, if there is one to
    /// make.
    pub(super) fn settle(
        &mut self,
        event: Option<&Event>,
        once: Once<'_>,
        means: Means<'_>,
    ) -> Option<Duration> {
        if let Some(going) = &mut self.going {
            going.note(event, once.status, means.now);
        }
        let event = event?;
        let pause = once.is_kept.then(|| self.retry(event, once, means)).flatten();
        let pause = pause.or_else(|| self.fail_over(event, once, means.now))?;
        self.going = None;
        Some(pause)
    }

    /// The pause before another node of the same upstream is tried.
    fn retry(&mut self, event: &Event, once: Once<'_>, means: Means<'_>) -> Option<Duration> {
        let upstream = &self.branch.balancer.upstream;
        let policy = &upstream.retry;
        let is_due = policy.when.matches(event)
            && self.attempts_here <= upstream.retries()
            && may_repeat(event, once.method, once.has_key, policy.non_idempotent);
        if !is_due {
            return None;
        }
        if upstream.nodes().len() == 1 {
            self.tried = Tried::default();
        } else if self.tried.count() >= upstream.nodes().len() {
            return None;
        }
        let number = self.attempts_here - 1;
        let backoff = policy.backoff.delay(number, (means.chance)());
        // Another node may well be there at once; only the upstream itself can ask for more time.
        let asked = once.retry_after.unwrap_or_default();
        let pause = backoff.max(asked);
        let is_late =
            upstream.retry_timeout.is_some_and(|most| means.now.since(self.since) + pause > most);
        (asked <= policy.backoff.longest() && !is_late && upstream.budget().withdraw())
            .then_some(pause)
    }

    /// Goes over to another branch, without a pause, if there is one that the request may be sent to.
    fn fail_over(&mut self, event: &Event, once: Once<'_>, now: Timestamp) -> Option<Duration> {
        let on_failure = self.rule.on_failure().filter(|_| self.can_fail_over)?;
        let failed_count = u32::try_from(self.failed.len()).unwrap_or(u32::MAX);
        let is_due = once.is_kept
            && on_failure.when.matches(event)
            && failed_count < on_failure.attempts
            && may_repeat(event, once.method, once.has_key, on_failure.non_idempotent);
        if !is_due {
            return None;
        }
        self.failed.push(self.branch);
        let Some(other) = self.rule.other(&self.failed, now) else {
            self.failed.pop();
            return None;
        };
        self.branch = other;
        (self.tried, self.attempts_here) = (Tried::default(), 0);
        Some(Duration::ZERO)
    }

    /// Whether what a stream begins with can send the request elsewhere.
    pub(super) fn asks_opening(&self) -> bool {
        let failed_count = u32::try_from(self.failed.len()).unwrap_or(u32::MAX);
        let may = |on_failure: &crate::split::OnFailure| {
            failed_count < on_failure.attempts
                && [Event::Empty, Event::FirstEventError]
                    .iter()
                    .any(|event| on_failure.when.matches(event))
        };
        self.can_fail_over && self.rule.on_failure().is_some_and(may)
    }

    /// The attempt that is under way goes on while its response is relayed.
    pub(super) fn take_in_flight(&mut self) -> Option<InFlight> {
        self.going.as_mut().and_then(|going| going.in_flight.take())
    }
}

/// An attempt that is under way. One that is given up says nothing of the other side.
struct Going<'a> {
    /// The breakers of the branch and of the node, unless they were told already.
    passes: [Option<(&'a Breaker, Pass)>; 2],
    vital: &'a Vital,
    /// What the upstream makes of the answers of the node.
    passive: Option<&'a Passive>,
    in_flight: Option<InFlight>,
    since: Timestamp,
}

impl Going<'_> {
    /// Notes what came of it; `status` is that of a response.
    fn note(&mut self, event: Option<&Event>, status: Option<u16>, now: Timestamp) {
        let outcome = event.map_or(Outcome::Success, outcome);
        self.leave(outcome, now);
        if outcome == Outcome::Neither {
            return;
        }
        self.vital.observe(now.since(self.since), now);
        if let Some((passive, probe)) = self.passive.zip(probe(event, status)) {
            self.vital.health.note_passive(passive, probe);
        }
    }

    fn leave(&mut self, outcome: Outcome, now: Timestamp) {
        for (breaker, pass) in self.passes.iter_mut().filter_map(Option::take) {
            breaker.leave(pass, outcome, now);
        }
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.leave(Outcome::Neither, self.since);
    }
}

/// What an event says of the other side.
fn outcome(event: &Event) -> Outcome {
    match event {
        // The client broke off.
        Event::Failed(Failure::HttpRequestError) => Outcome::Neither,
        Event::Status(status) if *status < 500 => Outcome::Success,
        Event::Failed(_) | Event::Status(_) | Event::Empty | Event::FirstEventError => {
            Outcome::Failure
        }
    }
}

/// What an attempt says of the health of its node.
fn probe(event: Option<&Event>, status: Option<u16>) -> Option<Probe> {
    match event {
        Some(Event::Failed(Failure::HttpResponseTimeout | Failure::ConnectionTimeout)) => {
            Some(Probe::Timeout)
        }
        Some(Event::Failed(Failure::HttpProtocolError)) => Some(Probe::Status(0)),
        Some(Event::Failed(_)) => Some(Probe::TcpFailure),
        Some(Event::Status(_) | Event::Empty | Event::FirstEventError) | None => {
            status.map(Probe::Status)
        }
    }
}
