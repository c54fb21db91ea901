//! The part of the road before the split: the route, and the guards that a request passes.

use std::time::Duration;

use super::{Observer, Own, Stop};
use crate::auth::Known;
use crate::facts::{Body, Caller, Draft, Facts, Matched};
use crate::guard::{Asked, Found, Needs, Passage, Verdict};
use crate::head::{Edits, Head};
use crate::limit::Hold;
use crate::problem::{Answer, Problem};
use crate::snapshot::{Route, Snapshot};
use crate::split::Means;
use crate::time::Timestamp;

/// How far a request has come that could not be decided at once. What it has passed it does not pass again.
#[derive(Default)]
pub struct Visit<'a> {
    pub(super) entered: Option<Entered<'a>>,
    pub(super) news: News,
}

/// What came of what a guard needed, and when it said so.
#[derive(Default)]
pub(crate) struct News {
    found: Option<Found>,
    needed_at: Timestamp,
}

/// A request on its route.
pub(super) struct Entered<'a> {
    pub(super) route: &'a Route,
    matched: Matched<'a>,
    /// The request as the guards leave it.
    pub(super) draft: Draft<'a>,
    /// Who calls.
    pub(super) caller: Caller<'a>,
    known: Option<Known<'a>>,
    /// How many guards it has passed.
    passed: usize,
    /// What guards change in the headers of whatever is answered.
    pub(super) response: Edits,
    /// How long it waits before it goes on.
    pub(super) pause: Duration,
    /// The most bytes that its body may have.
    pub(super) upload_max: Option<u64>,
    /// The places it takes up.
    holds: Vec<Hold>,
}

impl Visit<'_> {
    /// Takes what came of what was needed.
    pub fn bring(&mut self, found: Found) {
        self.news.bring(found);
    }
}

impl News {
    pub(crate) fn bring(&mut self, found: Found) {
        self.found = Some(found);
    }

    /// Finds the route, where the request is not on it yet, and passes its guards.
    pub(super) fn enter<'a, 'p>(
        &mut self,
        place: &'p mut Option<Entered<'a>>,
        snapshot: &'a Snapshot,
        head: &'a dyn Head,
        means: Means<'_>,
        body: Body<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Result<&'p Entered<'a>, Stop<'a>>, Needs> {
        if place.is_none() {
            let draft = Draft::of(head);
            let found = {
                let asked = Facts::new(head, &draft, body);
                let found = snapshot.find(&asked, observer);
                if asked.wants_body() {
                    return Err(Needs::Body);
                }
                observer.searched(found.as_ref().map(|(number, _)| *number), &asked);
                found
            };
            let found =
                found.and_then(|(number, params)| Some((snapshot.routes().get(number)?, params)));
            let Some((route, params)) = found else { return Ok(Err(Problem::NoRoute.into())) };
            *place = Some(Entered::new(route, route.matched(params), draft));
        }
        let Some(entered) = place else { return Ok(Err(Problem::NoRoute.into())) };
        let news = (self.found.take(), self.needed_at);
        let passed = entered.pass(snapshot, head, means, body, news, observer);
        if let Err(Needs::Effect(_)) = &passed {
            self.needed_at = means.now;
        }
        Ok(passed?.map(|()| &*entered))
    }
}

impl<'a> Entered<'a> {
    fn new(route: &'a Route, matched: Matched<'a>, draft: Draft<'a>) -> Self {
        Self {
            route,
            matched,
            draft,
            caller: Caller::default(),
            known: None,
            passed: 0,
            response: Edits::default(),
            pause: Duration::ZERO,
            upload_max: None,
            holds: Vec::new(),
        }
    }

    /// The name that the request was given here.
    pub(super) fn request_id(&self) -> Option<&str> {
        let header = self.route.guards.request_id()?;
        let set = self.draft.edits.set.iter().rfind(|(name, _)| name == header);
        set.map(|(_, name)| name.as_str())
    }

    /// The number of the consumer that was recognised.
    pub(super) fn consumer(&self) -> Option<usize> {
        self.known.map(|known| known.number)
    }

    /// What decisions can ask about the request, as `draft` has it.
    pub(super) fn facts<'f>(
        &'f self,
        head: &'f dyn Head,
        draft: &'f Draft<'f>,
        body: Body<'f>,
    ) -> Facts<'f> {
        Facts::new(head, draft, body).of_route(&self.matched).of_caller(self.caller)
    }

    /// The places that it takes up, to be free when they are dropped.
    pub(super) fn take_holds(&mut self) -> Vec<Hold> {
        std::mem::take(&mut self.holds)
    }

    /// Notes that it is answered now.
    pub(super) fn answered(&self, now: Timestamp) {
        self.holds.iter().for_each(|hold| hold.answered(now));
    }

    /// Passes the guards that it has not passed yet.
    fn pass(
        &mut self,
        snapshot: &'a Snapshot,
        head: &'a dyn Head,
        means: Means<'_>,
        body: Body<'_>,
        (mut found, needed_at): (Option<Found>, Timestamp),
        observer: &mut dyn Observer,
    ) -> Result<Result<(), Stop<'a>>, Needs> {
        let route = self.route;
        while let Some(guard) = route.guards.nth(self.passed, snapshot.guards_of(self.known)) {
            let facts = self.facts(head, &self.draft, body);
            let asked = Asked {
                facts: &facts,
                means,
                consumers: snapshot.consumers(),
                counters: snapshot.counters(),
                found: found.take(),
                needed_at,
            };
            let verdict = guard.pass(&asked);
            if facts.wants_body() {
                return Err(Needs::Body);
            }
            observer.guarded(guard, &verdict);
            let note = |passes: bool| {
                if !means.is_trial && (guard.limits() || !passes) {
                    let lane = snapshot.meters().lane(Some(route.lane(None)));
                    lane.guard(guard.rank(), passes);
                }
            };
            match verdict {
                Verdict::Passes(passage) => {
                    note(true);
                    self.take(passage);
                }
                Verdict::Needs(effect) => return Err(Needs::Effect(effect)),
                Verdict::Answers(answer, problem) => {
                    if problem.is_some() {
                        note(false);
                    }
                    // What it says itself is right: of two limits, the one that refuses is told of.
                    let says = |name: &str| answer.headers.iter().any(|(own, _)| own == name);
                    if !self.response.is_empty() {
                        self.response.set.retain(|(name, _)| !says(name));
                    }
                    return Ok(Err(Stop::Answer(self.own(answer, problem))));
                }
            }
            self.passed += 1;
        }
        Ok(Ok(()))
    }

    /// What the route answers by itself.
    pub(super) fn own(&self, answer: Answer, problem: Option<Problem>) -> Box<Own<'a>> {
        Box::new(Own {
            route: self.route,
            caller: self.caller,
            id: self.request_id().map(Into::into),
            answer,
            problem,
            response: self.response.clone(),
        })
    }

    /// Why the request goes nowhere, as the route says it.
    pub(super) fn stop(&self, stop: Stop<'a>) -> Stop<'a> {
        match stop {
            Stop::Problem(problem) => Stop::Answer(self.own(problem.answer(), Some(problem))),
            Stop::Answer(_) => stop,
        }
    }

    /// Makes the changes of a guard that was passed.
    fn take(&mut self, passage: Passage<'a>) {
        let Passage { request, query, response, client, known, pause, hold, upload_max } = passage;
        self.draft.edits.follow(request);
        if let Some(query) = query {
            self.draft.query = query.map(Into::into);
        }
        self.response.follow(response);
        self.caller.client = client.or(self.caller.client);
        if let Some(known) = known {
            self.caller = known.caller(self.caller);
            self.known = Some(known);
        }
        self.pause += pause;
        self.holds.extend(hold);
        self.upload_max = self.upload_max.into_iter().chain(upload_max).min();
    }
}
