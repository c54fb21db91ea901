//! What is counted of an exchange when it is answered.

use std::time::Duration;

use super::visit::Entered;
use super::{Decision, Exchange};
use crate::meter::{Answered, Meters, Reason, Running, Way};
use crate::problem::Problem;
use crate::split::How;
use crate::time::Timestamp;

impl Exchange<'_> {
    /// Counts the request, which came `at` and was answered with a status, by ourselves for a reason or
    /// by an upstream, after so long. The rest of the answer is counted through what comes back; there is
    /// nothing to count in where there is no configuration.
    pub fn note(
        &self,
        at: Timestamp,
        until_head: Duration,
        status: u16,
        problem: Option<Problem>,
    ) -> Option<Running> {
        let meters = self.snapshot?.meters();
        let answered = Answered { status, problem, at, until_head, waited: None };
        Some(match &self.decision {
            Ok(decision) => {
                let consumer = self.entered.as_ref().and_then(Entered::consumer);
                decision.note(meters, consumer, answered)
            }
            Err(_) => {
                let route = self.own.as_ref().map(|own| own.route.lane(None));
                meters.answer(route, Way::default(), answered)
            }
        })
    }
}

impl Decision<'_> {
    /// Counts it for the branch that was picked and for the one that serves it.
    fn note(&self, meters: &Meters, consumer: Option<usize>, answered: Answered) -> Running {
        let course = &self.course;
        let route = self.route;
        let picked = route.lane(Some((course.rule, self.picked)));
        let serving = match std::ptr::eq(self.picked, course.branch) {
            true => picked,
            false => route.lane(Some((course.rule, course.branch))),
        };
        let mut lane = meters.lane(Some(picked));
        lane.pick(reason(&self.how));
        if serving != picked {
            lane.leave();
            // Those at branches between the two, of which there is seldom one, are counted here too.
            lane.attempt(course.attempts.saturating_sub(course.attempts_here()));
            lane = meters.lane(Some(serving));
            lane.pick(Reason::Failover);
        }
        lane.attempt(course.attempts_here());
        let waited = (course.attempts > 0).then_some(course.waited);
        let way = Way { node: course.node, consumer };
        meters.answer_in((lane, serving), way, Answered { waited, ..answered })
    }
}

fn reason(how: &How) -> Reason {
    match how {
        How::Whole => Reason::Whole,
        How::Turn => Reason::Turn,
        How::Key { .. } => Reason::Key,
        How::Issued { .. } => Reason::Issued,
        How::Forced => Reason::Override,
    }
}
