//! Where a request goes: what is decided once, and what of it changes with the attempts.

use std::borrow::Cow;

use super::course::Course;
use super::visit::Entered;
use super::{Observer, Part, Stop};
use crate::balance::{Ask, Timeouts, Tried};
use crate::breaker::{ApiBreaker, Broken};
use crate::facts::{Body, Draft, Facts, NeedsBody};
use crate::few::Few;
use crate::forced::Override;
use crate::guard::Needs;
use crate::head::{Edits, Head, Text};
use crate::limit::seconds;
use crate::node::Node;
use crate::problem::{Answer, Problem};
use crate::snapshot::Route;
use crate::split::{Branch, How, Means, Mirror, NoRoom, Picked, Rule, Unpicked};
use crate::telemetry::reason;
use crate::time::Timestamp;

/// Where a request goes that is on its route.
pub(super) struct Decision<'a> {
    pub(super) route: &'a Route,
    /// The plugins that count what comes of it.
    pub(super) breakers: Breakers<'a>,
    /// The request as the plugins of the route leave it to the branch, where that is another than the one
    /// that had passed the guards.
    pub(super) draft: Option<Box<Draft<'a>>>,
    /// The branch that was picked, and why.
    pub(super) picked: &'a Branch,
    pub(super) how: How,
    pub(super) course: Course<'a>,
    /// Where a copy goes, if this request is one of those that are copied.
    pub(super) mirror: Option<&'a Mirror>,
    /// The method of the attempt that was made last.
    pub(super) method: Cow<'a, str>,
    /// What the branch changes in the response.
    pub(super) response: Edits,
}

/// Those that act on a request, of which there is seldom more than one.
#[derive(Default)]
pub(super) struct Breakers<'a> {
    first: Option<&'a ApiBreaker>,
    others: Few<&'a ApiBreaker>,
}

impl<'a> Breakers<'a> {
    /// Those of a route.
    fn of(route: &'a Route, facts: &Facts<'_>) -> Self {
        let mut acting = route.breakers.iter().filter(|breaker| breaker.acts_on(facts));
        Self { first: acting.next(), others: acting.collect() }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &'a ApiBreaker> {
        self.first.into_iter().chain(self.others.iter().copied())
    }
}

/// Why a request that has passed the guards does not go on.
enum Halt<'a> {
    NeedsBody,
    Stop(Stop<'a>),
}

impl From<NeedsBody> for Halt<'_> {
    fn from(_: NeedsBody) -> Self {
        Self::NeedsBody
    }
}

impl From<Problem> for Halt<'_> {
    fn from(problem: Problem) -> Self {
        Self::Stop(problem.into())
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
    pub(super) fn make(
        place: &mut Result<Self, Problem>,
        entered: &Entered<'a>,
        head: &'a dyn Head,
        means: Means<'_>,
        body: Body<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Result<(), Stop<'a>>, Needs> {
        let way = match Self::go_on(entered, head, means, body, observer) {
            Ok(way) => way,
            Err(Halt::NeedsBody) => return Err(Needs::Body),
            Err(Halt::Stop(stop)) => return Ok(Err(entered.stop(stop))),
        };
        let Way { breakers, draft, rule, mut picked, mirror } = way;
        let course = Course::new(rule, &mut picked);
        let method = draft.as_deref().unwrap_or(&entered.draft).method.clone();
        let Picked { branch: picked, how, .. } = picked;
        let (route, response) = (entered.route, Edits::default());
        *place = Ok(Self { route, breakers, draft, picked, how, course, mirror, method, response });
        Ok(Ok(()))
    }

    /// Which way a request goes that has passed the guards.
    fn go_on(
        entered: &Entered<'a>,
        head: &'a dyn Head,
        means: Means<'_>,
        body: Body<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Way<'a>, Halt<'a>> {
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
            rewrite.apply(&facts, &mut next)?;
            wants_body |= facts.wants_body();
            draft = Some(Box::new(next));
        }
        let now = draft.as_deref().unwrap_or(&entered.draft);
        let facts = entered.facts(head, now, body);
        let breakers = Breakers::of(route, &facts);
        if wants_body || facts.wants_body() {
            return Err(Halt::NeedsBody);
        }
        if let Some(open) = breakers.all().find(|breaker| breaker.is_open(means.now)) {
            let (problem, answer) = broken(open, &facts);
            return Err(Halt::Stop(Stop::Answer(entered.own(answer, Some(problem)))));
        }
        let rule = route.split.rule(&facts, &mut |section, rule| {
            observer.rule_passed_over(section, rule, &facts);
        });
        if facts.wants_body() {
            return Err(Halt::NeedsBody);
        }
        let rule = rule.ok_or(Problem::NoUpstream)?;
        let picked = match rule.pick(&facts, &route.id, means) {
            Ok(picked) => picked,
            Err(Unpicked::NeedsBody) => return Err(Halt::NeedsBody),
            Err(Unpicked::NoRoom(none)) => {
                let own = entered.own(full(none), Some(Problem::Limited));
                return Err(Halt::Stop(Stop::Answer(own)));
            }
        };
        observer.picked(rule, &picked);
        // What opens a branch here is none of the upstream's business, whichever rule took the request.
        if route.has_overrides {
            let overrides = route.split.rules().filter_map(|rule| rule.forced());
            let removals = Override::removals(overrides, &facts);
            if !removals.is_empty() {
                let mut next = draft.take().unwrap_or_else(|| Box::new(entered.draft.clone()));
                next.edits.follow(removals);
                draft = Some(next);
            }
        }
        let mirror = rule.mirror();
        let mirror = mirror.filter(|it| it.takes(&rule.branches, picked.branch, means));
        Ok(Way { breakers, draft, rule, picked, mirror })
    }

    /// Arrives at the branch, or at another one where that cannot be.
    pub(super) fn arrive(&mut self, body: Body<'_>, now: Timestamp) {
        // Those that change a body cannot have one that was not read.
        let is_read = matches!(body, Body::Whole(_));
        let fits = |branch: &Branch| is_read || !branch.needs_body;
        self.course.arrive(now, fits);
        if self.course.attempts == 0 {
            self.picked = self.course.branch;
        }
    }

    /// The node for an attempt, which has begun.
    pub(super) fn begin(
        &mut self,
        entered: &Entered<'a>,
        head: &'a dyn Head,
        body: Body<'_>,
        means: Means<'_>,
    ) -> Option<&'a Node> {
        let draft = self.draft.as_deref().unwrap_or(&entered.draft);
        let facts = entered.facts(head, draft, body);
        let Means { now, chance, is_trial, .. } = means;
        let tried = Tried::default();
        self.course.begin(&Ask { facts: &facts, now, chance, tried: &tried, is_trial })
    }

    /// What the attempt is that has begun.
    pub(super) fn part(&self) -> Part<'a> {
        let course = &self.course;
        let reason = match () {
            () if course.is_again() => reason::RETRY,
            () if !std::ptr::eq(course.branch, self.picked) => reason::FAILOVER,
            () => self.how.token(),
        };
        let (route, branch) = (&*self.route.id, &*course.branch.name);
        // One that is only looked at is not counted, and would be the first.
        Part { route, branch, revision: None, number: course.attempts.max(1), reason }
    }

    /// Which route and branch serve the request. They are copied: what all requests share is not to be
    /// written to by each.
    pub(super) fn served(&self) -> (Text, Text) {
        (Text::copy(&self.route.id), Text::copy(&self.course.branch.name))
    }

    /// The request as the plugins of the route leave it to the branch.
    pub(super) fn draft<'d>(&'d self, entered: &'d Entered<'a>) -> &'d Draft<'a> {
        self.draft.as_deref().unwrap_or(&entered.draft)
    }

    /// How long an attempt may take: what the route says goes before what the upstream says.
    pub(super) fn timeouts(&self) -> &'a Timeouts {
        let upstream = &self.course.branch.balancer.upstream;
        let timeouts = self.route.timeout.as_deref().or(upstream.timeout.as_ref());
        timeouts.unwrap_or(Timeouts::DEFAULT)
    }

    /// The request as the branch sends it.
    pub(super) fn rewritten(
        &mut self,
        entered: &Entered<'a>,
        head: &'a dyn Head,
        body: Body<'_>,
    ) -> Result<Draft<'a>, Problem> {
        let sent = self.draft(entered);
        let facts = entered.facts(head, sent, body);
        let mut draft = sent.clone();
        let rewrite = &self.course.branch.rewrite;
        rewrite.apply(&facts, &mut draft)?;
        let mut response = Edits::default();
        rewrite.response(&facts, &mut response);
        self.response = response;
        Ok(draft)
    }
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
pub(super) fn full(none: NoRoom) -> Answer {
    let mut answer = Problem::Limited.answer();
    answer.headers.push(("retry-after".into(), seconds(none.wait_ms).max(1).to_string()));
    answer
}
