//! What happens to a response that is relayed.

use std::time::Duration;

use crate::balance::InFlight;
use crate::head::Edits;
use crate::opening::error_event;
use crate::problem::{Failure, Problem};

/// How a response is relayed.
#[derive(Debug)]
pub struct Relay {
    /// The changes to its headers.
    pub edits: Edits,
    /// What is done about its body.
    pub tail: Tail,
}

/// What is done about the body of a response that is relayed. Whoever relays it keeps this until the body
/// is at its end: so long the node counts as busy.
#[derive(Debug)]
pub struct Tail {
    /// How long it may pause.
    pub idle: Duration,
    pub(super) is_event_stream: bool,
    pub(super) _in_flight: Option<InFlight>,
}

impl Tail {
    /// Whether the body is a stream of events, which can tell how it ended.
    pub fn is_event_stream(&self) -> bool {
        self.is_event_stream
    }

    /// What is sent to the client in place of what is missing, when the body breaks off or pauses too
    /// long; the body then ends as if whole. Nothing where the client can only see that it was cut.
    pub fn farewell(&self, failure: Failure) -> Option<String> {
        let problem = Problem::Upstream(failure);
        self.is_event_stream.then(|| error_event(problem.token(), problem.title()))
    }
}
