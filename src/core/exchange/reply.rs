//! What the client gets: an upstream's response with changes, or an answer of our own.

use std::borrow::Cow;

use super::visit::Entered;
use super::{Exchange, Relay, Tail};
use crate::balance::Timeouts;
use crate::head::{Changes, ResponseHead, Text, remove_nominated};
use crate::problem::{Answer, Problem};
use crate::snapshot::Snapshot;
use crate::split::How;
use crate::telemetry::proof;

impl Exchange<'_> {
    /// What is answered in place of an upstream, where a guard or a plugin does, and why, unless nothing is
    /// wrong.
    pub fn own_answer(&self) -> Option<(Answer, Option<Problem>)> {
        let own = self.own.as_ref()?;
        let mut answer = own.answer.clone();
        own.response.apply(&mut answer.headers);
        self.prove(&mut answer);
        Some((answer, own.problem))
    }

    /// What is changed in whatever response there is to an attempt that was made: by the branch, to
    /// issue a cookie, and to prove who served.
    pub(crate) fn response_changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        self.change_response(&mut changes);
        changes
    }

    fn change_response(&mut self, changes: &mut Changes) {
        if let Some(entered) = &mut self.entered {
            changes.follow(std::mem::take(&mut entered.response));
        }
        if let Ok(decision) = &mut self.decision {
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
        let mut relay = Relay { edits: Changes::default(), tail: self.tail(response) };
        remove_nominated(response.header("connection").as_deref(), &mut relay.edits);
        self.change_response(&mut relay.edits);
        relay
    }

    /// What is done about the body of the upstream's response.
    fn tail(&mut self, response: &impl ResponseHead) -> Tail {
        let is_event_stream = is_event_stream(response);
        // Beside chunks a length is not to be believed (RFC 9112, section 6.3).
        let has_length = || {
            response.header("content-length").is_some()
                && response.header("transfer-encoding").is_none()
        };
        let mut decision = self.decision.as_mut().ok();
        let mut holds = self.entered.as_mut().map(Entered::take_holds).unwrap_or_default();
        holds.extend(decision.as_mut().and_then(|it| it.course.take_hold()));
        let timeouts = decision.as_ref().map(|it| it.timeouts());
        Tail {
            _holds: holds,
            idle: timeouts.unwrap_or(Timeouts::DEFAULT).between_pieces(),
            is_event_stream,
            can_tell: is_event_stream && !has_length(),
            served: decision.as_ref().map(|it| it.served()),
            _in_flight: decision.and_then(|it| it.course.take_in_flight()),
            meter: None,
        }
    }

    /// The answer that tells the client of a problem.
    pub fn refuse(&self, problem: Problem) -> Answer {
        if let Some((answer, _)) = self.own_answer() {
            return answer;
        }
        let mut answer = problem.answer();
        if let Some(entered) = &self.entered {
            entered.response.apply(&mut answer.headers);
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

/// Whether the body is a stream of events that can be read as it is.
pub(super) fn is_event_stream(response: &impl ResponseHead) -> bool {
    const EVENTS: &str = "text/event-stream";
    let is_type = |value: Cow<'_, str>| {
        let Some((essence, rest)) = value.trim_start().split_at_checked(EVENTS.len()) else {
            return false;
        };
        let rest = rest.trim_start();
        essence.eq_ignore_ascii_case(EVENTS) && (rest.is_empty() || rest.starts_with(';'))
    };
    response.header("content-type").is_some_and(is_type)
        && response.header("content-encoding").is_none()
}
