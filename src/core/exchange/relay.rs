//! What happens to a response that is relayed.

use std::time::Duration;

use serde::Serialize;

use crate::balance::InFlight;
use crate::head::{Changes, Text};
use crate::limit::Hold;
use crate::meter::Running;
use crate::opening::error_event;
use crate::problem::{Failure, Problem};

/// How a response is relayed.
#[derive(Debug)]
pub struct Relay {
    /// The changes to its headers.
    pub edits: Changes,
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
    /// Whether an end of our own can take the place of what is missing.
    pub(super) can_tell: bool,
    /// The route and the branch.
    pub(super) served: Option<(Text, Text)>,
    pub(super) _in_flight: Option<InFlight>,
    /// What is counted of it; taken by whoever relays it, if he can tell of bodies and of their ends.
    pub meter: Option<Running>,
    /// The places that the request takes up.
    pub(super) _holds: Vec<Hold>,
}

impl Tail {
    /// Whether the body is a stream of events, which can tell how it ended.
    pub fn is_event_stream(&self) -> bool {
        self.is_event_stream
    }

    /// What is sent to the client in place of what is missing, when the body breaks off or pauses too
    /// long; the body then ends as if whole. Nothing where the client can only see that it was cut, as where
    /// it was promised so many bytes and no others.
    pub fn farewell(&self, failure: Failure) -> Option<String> {
        let problem = Problem::Upstream(failure);
        self.can_tell.then(|| error_event(problem.token(), problem.title()))
    }

    /// What there is to tell in a log when the body breaks off or pauses too long; the event is
    /// [`RESPONSE_BROKEN`]. No breaker hears of it: the head of the response was its node's success.
    pub fn broken(&self, failure: Failure) -> BrokenResponse<'_> {
        let (route, branch) =
            self.served.as_ref().map(|(route, branch)| (&**route, &**branch)).unzip();
        BrokenResponse { route, branch, problem: failure.token() }
    }
}

/// The name of the event in a log that a response was not relayed to its end.
pub const RESPONSE_BROKEN: &str = "response_broken";

/// A response that broke off after its head was relayed, as it is written into a log.
#[derive(Debug, Serialize)]
pub struct BrokenResponse<'t> {
    route: Option<&'t str>,
    branch: Option<&'t str>,
    problem: &'static str,
}
