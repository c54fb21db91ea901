//! The attempts of one exchange: where the next one goes, and whether there is one.

use std::time::Duration;

use crate::balance::{Ask, InFlight, Left, Tried, Vital};
use crate::breaker::{Breaker, Outcome, Pass};
use crate::checks::{Passive, Probe};
use crate::limit::{BranchLimit, Grant, Hold, Taken, Toll};
use crate::node::Node;
use crate::problem::Failure;
use crate::retry::{Event, may_repeat};
use crate::split::{Branch, Full, How, Means, NoRoom, OnFailure, Picked, Room, Rule};
use crate::time::Timestamp;

/// What has been tried, and what is under way.
pub(super) struct Course<'a> {
    pub(super) rule: &'a Rule,
    /// The branch of the attempt that is under way, or else of the next.
    pub(super) branch: &'a Branch,
    /// Whether the request was picked for one branch and no other.
    is_forced: bool,
    /// The key of who asks, where another branch is to be found by it.
    key: Option<Box<str>>,
    /// Branches that failed.
    failed: Vec<&'a Branch>,
    /// What the breaker of this branch is to be told, once for all attempts at it.
    visit: Visit<'a>,
    /// The nodes of this branch that were tried.
    tried: Tried,
    /// Attempts at this branch, and in all.
    attempts_here: u32,
    pub(super) attempts: u32,
    /// The position of the node of the last attempt.
    pub(super) node: Option<usize>,
    /// How long upstreams were waited for.
    pub(super) waited: Duration,
    /// When the first attempt at this branch began.
    since: Timestamp,
    going: Option<Going<'a>>,
    /// Whose request it is to the branches that count, and the place that it takes up in this one.
    room: Room,
    hold: Option<Box<Hold>>,
    /// What the store of shared limits is to be asked for before this branch gets the request.
    toll: Option<Box<Toll>>,
    /// Those that it has no room in, as the store has said.
    refused: Vec<&'a Branch>,
    /// How many attempts were made at the branch before this one.
    attempts_before: u32,
    /// What follows where the store has no room for the retry that is to be made.
    instead: Option<Instead>,
}

/// What follows a failure where the branch has no room for a retry.
#[derive(Clone, Copy)]
struct Instead {
    outcome: Outcome,
    /// Whether another branch can be sent the request.
    fails_over: bool,
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
    pub(super) fn new(rule: &'a Rule, picked: &mut Picked<'a>) -> Self {
        let (branch, how) = (picked.branch, &picked.how);
        let is_forced = *how == How::Forced;
        let key = match how {
            How::Key { key, .. } if rule.on_failure().is_some() || picked.room.is_counted() => {
                Some(key.clone())
            }
            How::Key { .. } | How::Whole | How::Turn | How::Issued { .. } | How::Forced => None,
        };
        let Taken { hold, toll } = std::mem::take(&mut picked.taken);
        Self {
            rule,
            branch,
            is_forced,
            key,
            failed: Vec::new(),
            visit: Visit::default(),
            tried: Tried::default(),
            attempts_here: 0,
            attempts: 0,
            node: None,
            waited: Duration::ZERO,
            since: Timestamp::from_millis(0),
            going: None,
            room: std::mem::take(&mut picked.room),
            hold,
            toll,
            refused: Vec::new(),
            attempts_before: 0,
            instead: None,
        }
    }

    /// What becomes of the request where its branch fails. Who asks for a branch by name wants that one.
    fn on_failure(&self) -> Option<&'a OnFailure> {
        self.rule.on_failure().filter(|_| !self.is_forced)
    }

    /// Whether there can be more than one attempt.
    pub(super) fn can_go_on(&self) -> bool {
        self.on_failure().is_some() || self.branch.balancer.upstream.retries() > 0
    }

    /// Whether a branch failed the request, or serves it.
    pub(super) fn has_been_at(&self, branch: &Branch) -> bool {
        let is = |other: &Branch| std::ptr::eq(other, branch);
        is(self.branch) || self.failed.iter().any(|failed| is(failed))
    }

    /// Arrives at the branch. Since it was picked, which may be long ago where the body of the request was
    /// waited for, its breaker may have opened, or have let through as many probes as it does: the request
    /// then goes to another branch for which `fits` holds, unless it was to be this one.
    pub(super) fn arrive(&mut self, now: Timestamp, fits: impl Fn(&Branch) -> bool) {
        if self.visit.has_begun {
            return;
        }
        for _ in self.rule.branches.list() {
            let pass = self.branch.breaker.as_deref().map(|breaker| (breaker, breaker.enter(now)));
            let is_out = pass.is_some_and(|(_, pass)| !pass.is_admitted());
            let is_free = !self.is_forced && self.failed.is_empty();
            self.visit = Visit { has_begun: true, pass, since: now };
            let is_other = |branch: &Branch| fits(branch) && !self.has_been_at(branch);
            let other = (is_out && is_free).then(|| {
                // Now is not the time to ask the store.
                let full = self.rule.branches.unsure(&self.room, now);
                self.rule.branches.next_fine(is_other, &full, now)
            });
            match other.flatten() {
                Some(other) if self.move_in(other, now, false) => self.branch = other,
                Some(_) | None => return,
            }
        }
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
        self.instead = None;
        self.tried.add(index);
        self.attempts_here += 1;
        self.attempts += 1;
        self.node = Some(index);
        let vital = balancer.vital(index);
        self.going = Some(Going {
            pass: vital.breaker().map(|breaker| (breaker, breaker.enter(ask.now))),
            vital,
            passive: balancer.upstream.care.passive(),
            in_flight: Some(InFlight::start(vital)),
            since: ask.now,
        });
        Some(balancer.node(index))
    }

    /// The authority of the node of the last attempt, if it was at this branch.
    pub(super) fn authority(&self) -> Option<&'a str> {
        let node = self.node.filter(|_| self.attempts_here > 0)?;
        Some(self.branch.balancer.node(node).authority())
    }

    /// Whether the attempt that has begun is not the first at its branch.
    pub(super) fn is_again(&self) -> bool {
        self.attempts_here > 1
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
            self.waited += means.now.since(going.since);
        }
        let outcome = event.map_or(Outcome::Success, outcome);
        let pause = event.filter(|_| once.is_kept).and_then(|event| {
            self.retry(event, once, means, Left::Up)
                .or_else(|| self.fail_over(event, once, means.now))
                .or_else(|| self.retry(event, once, means, Left::Down))
        });
        match pause {
            Some(_) => self.going = None,
            None => self.visit.end(outcome, means.now),
        }
        pause
    }

    /// The pause before another node of the same upstream is tried, if such are left.
    fn retry(
        &mut self,
        event: &Event,
        once: Once<'_>,
        means: Means<'_>,
        left: Left,
    ) -> Option<Duration> {
        let branch = self.branch;
        let upstream = &branch.balancer.upstream;
        let policy = &upstream.retry;
        let is_due = policy.when.matches(event)
            && self.attempts_here <= upstream.retries()
            && may_repeat(event, once.method, once.has_key, policy.non_idempotent);
        if !is_due {
            return None;
        }
        if upstream.candidates() == 1 {
            self.tried = Tried::default();
        }
        if self.branch.balancer.left(&self.tried, means.now) != left {
            return None;
        }
        let number = self.attempts_here - 1;
        let backoff = policy.backoff.delay(number, (means.chance)());
        // Another node may well be there at once; only the upstream itself can ask for more time.
        let asked = once.retry_after.unwrap_or_default();
        let pause = backoff.max(asked);
        let is_late =
            upstream.retry_timeout.is_some_and(|most| means.now.since(self.since) + pause > most);
        let is_made = asked <= policy.backoff.longest()
            && !is_late
            && self.may_have_room(branch, means.now)
            && (event.found_nobody() || upstream.budget().withdraw())
            && self.count_retry(branch, means.now);
        if is_made && self.toll.is_some() {
            let fails_over = self.fails_over(event, once);
            self.instead = Some(Instead { outcome: outcome(event), fails_over });
        }
        is_made.then_some(pause)
    }

    /// Whether a retry can be counted, as far as that is known; nothing is counted.
    fn may_have_room(&self, branch: &Branch, now: Timestamp) -> bool {
        !counts_attempts(branch) || self.rule.branches.take(branch, &self.room, (now, true)).is_ok()
    }

    /// Counts a retry at its branch. Whether there is room for it may be for the store to say.
    fn count_retry(&mut self, branch: &Branch, now: Timestamp) -> bool {
        !counts_attempts(branch) || self.move_in(branch, now, true)
    }

    /// Goes over to another branch, without a pause, if there is one that the request may be sent to.
    fn fail_over(&mut self, event: &Event, once: Once<'_>, now: Timestamp) -> Option<Duration> {
        (self.fails_over(event, once) && self.go_over(outcome(event), now))
            .then_some(Duration::ZERO)
    }

    /// Whether another branch can be sent the request after this.
    fn fails_over(&self, event: &Event, once: Once<'_>) -> bool {
        self.on_failure().is_some_and(|on_failure| {
            on_failure.when.matches(event)
                && self.failed_count() < on_failure.attempts
                && may_repeat(event, once.method, once.has_key, on_failure.non_idempotent)
        })
    }

    /// Goes over to another branch, if there is one that has room; this one's breaker is told why.
    fn go_over(&mut self, outcome: Outcome, now: Timestamp) -> bool {
        self.failed.push(self.branch);
        let Some(other) = self.other(now) else {
            self.failed.pop();
            return false;
        };
        self.visit.end(outcome, now);
        (self.branch, self.visit) = (other, Visit::default());
        self.attempts_before = self.attempts_here;
        (self.tried, self.attempts_here) = (Tried::default(), 0);
        true
    }

    /// How many attempts were made at the branch that serves the request.
    pub(super) fn attempts_here(&self) -> u32 {
        self.attempts_here
    }

    /// Another branch that has room for the request, which then takes some.
    fn other(&mut self, now: Timestamp) -> Option<&'a Branch> {
        for _ in self.rule.branches.list() {
            let full = self.full(now);
            let other = match self.failed.is_empty() {
                true => self.rule.instead(self.key.as_deref(), &full, now),
                false => self.rule.other(&self.failed, self.key.as_deref(), &full, now),
            }?;
            if self.move_in(other, now, true) {
                return Some(other);
            }
        }
        None
    }

    /// The branches that have no room for the request.
    fn full(&self, now: Timestamp) -> Full {
        let branches = &self.rule.branches;
        let mut full = branches.full(&self.room, now);
        self.refused.iter().for_each(|branch| branches.full_with(branch, &mut full));
        full
    }

    /// Takes room in a branch, if there is some, and gives up the place in the one before. Whether there is
    /// some may be for the store to say.
    fn move_in(&mut self, branch: &Branch, now: Timestamp, may_ask: bool) -> bool {
        let taken = self.rule.branches.take(branch, &self.room, (now, false));
        let taken = taken.ok().filter(|taken| may_ask || taken.toll.is_none());
        let is_taken = taken.is_some();
        if let Some(taken) = taken {
            (self.hold, self.toll) = (taken.hold, taken.toll);
        }
        is_taken
    }

    /// What the store of shared limits is to be asked for before the next attempt.
    pub(super) fn take_toll(&mut self) -> Option<Toll> {
        self.toll.take().map(|toll| *toll)
    }

    /// Takes what came of that, and when it was asked. A branch that has no room then is as full as any: the
    /// request goes to another, unless it was to be this one.
    pub(super) fn granted(
        &mut self,
        came: &Result<Grant, Failure>,
        (asked, now): (Timestamp, Timestamp),
    ) -> Result<(), NoRoom> {
        let branches = &self.rule.branches;
        let Err(none) = branches.fund(self.branch, &self.room, came, (asked, now)) else {
            return Ok(());
        };
        self.refused.push(self.branch);
        if let Some(instead) = self.instead.take() {
            if instead.fails_over && self.go_over(instead.outcome, now) {
                return Ok(());
            }
            self.visit.end(instead.outcome, now);
            return Err(none);
        }
        if let Some(other) = (!self.is_forced).then(|| self.other(now)).flatten() {
            self.branch = other;
            return Ok(());
        }
        // It stays where it was before.
        if let Some(failed) = self.failed.pop() {
            (self.branch, self.attempts_here) = (failed, self.attempts_before);
        }
        Err(if self.is_forced { none } else { branches.wait(&self.room, now) })
    }

    /// What a copy takes up in a branch, unless that has no room for it.
    pub(super) fn take_for_copy(
        &self,
        branch: &Branch,
        moment: (Timestamp, bool),
    ) -> Option<Taken> {
        self.rule.branches.take_at_once(branch, &self.room, moment)
    }

    /// The place that it takes up, to be free when it is dropped.
    pub(super) fn take_hold(&mut self) -> Option<Hold> {
        self.hold.take().map(|hold| *hold)
    }

    fn failed_count(&self) -> u32 {
        u32::try_from(self.failed.len()).unwrap_or(u32::MAX)
    }

    /// Whether what a stream begins with can send the request elsewhere.
    pub(super) fn asks_opening(&self) -> bool {
        self.on_failure().is_some_and(|on_failure| {
            self.failed_count() < on_failure.attempts && on_failure.when.needs_opening()
        })
    }

    /// The attempt that is under way goes on while its response is relayed.
    pub(super) fn take_in_flight(&mut self) -> Option<InFlight> {
        self.going.as_mut().and_then(|going| going.in_flight.take())
    }
}

/// The attempts at one branch. Attempts at its other nodes that make a failure good are none of its
/// breaker's business.
#[derive(Default)]
struct Visit<'a> {
    has_begun: bool,
    /// The breaker of the branch, unless it was told already.
    pass: Option<(&'a Breaker, Pass)>,
    since: Timestamp,
}

impl Visit<'_> {
    fn end(&mut self, outcome: Outcome, now: Timestamp) {
        if let Some((breaker, pass)) = self.pass.take() {
            breaker.leave(pass, outcome, now);
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.end(Outcome::Neither, self.since);
    }
}

/// An attempt that is under way. One that is given up says nothing of the other side.
struct Going<'a> {
    /// The breaker of the node, unless it was told already.
    pass: Option<(&'a Breaker, Pass)>,
    vital: &'a Vital,
    /// What the upstream makes of the answers of the node.
    passive: Option<&'a Passive>,
    in_flight: Option<InFlight>,
    since: Timestamp,
}

/// A failure counts as an answer that took so long at least: a node that refuses in no time would else be
/// the quickest of all.
const FAILURE_LATENCY: Duration = Duration::from_secs(1);

impl Going<'_> {
    /// Notes what came of it; `status` is that of a response.
    fn note(&mut self, event: Option<&Event>, status: Option<u16>, now: Timestamp) {
        let outcome = event.map_or(Outcome::Success, outcome);
        self.leave(outcome, now);
        let took = now.since(self.since);
        match outcome {
            Outcome::Neither => return,
            Outcome::Success => self.vital.observe(took, now),
            Outcome::Failure => self.vital.observe(took.max(FAILURE_LATENCY), now),
        }
        if let Some((passive, probe)) = self.passive.zip(probe(event, status)) {
            self.vital.health.note_passive(passive, probe);
        }
    }

    fn leave(&mut self, outcome: Outcome, now: Timestamp) {
        if let Some((breaker, pass)) = self.pass.take() {
            breaker.leave(pass, outcome, now);
        }
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.leave(Outcome::Neither, self.since);
    }
}

/// Whether the branch counts each attempt at it.
fn counts_attempts(branch: &Branch) -> bool {
    branch.limit.as_deref().is_some_and(BranchLimit::counts_attempts)
}

/// What an event says of the other side.
fn outcome(event: &Event) -> Outcome {
    match event {
        // The client broke off, or sent too much.
        Event::Failed(Failure::HttpRequestError | Failure::RequestBodyTooLong) => Outcome::Neither,
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
