//! Whether, when and how often a failed attempt is followed by another.
//!
//! Four questions, each by itself: is this a failure that the document lists ([`When`]), may the request
//! be sent again at all ([`may_repeat`]), how long to wait ([`Backoff`], [`retry_after`]), and is there
//! something left of the retries that an upstream can bear ([`Budget`]). Whoever asks has the answers and
//! the clock; nothing here waits.

mod after;
mod backoff;
mod budget;
mod when;

use serde::Deserialize;

use crate::fault::{At, Report};
use crate::problem::Failure;

pub use after::retry_after;
pub use backoff::Backoff;
use backoff::BackoffWire;
pub use budget::Budget;
use budget::BudgetWire;
pub use when::When;
pub(crate) use when::{FailureWords, Vocabulary};

/// What came of an attempt that may be a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// There was no response.
    Failed(Failure),
    /// There was a response with this status.
    Status(u16),
    /// The response was a stream of events and ended before the first ([`crate::opening`]).
    Empty,
    /// The response was a stream of events and the first reports an error.
    FirstEventError,
}

impl Event {
    /// Why there was no response.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Failed(failure) => Some(*failure),
            Self::Status(_) | Self::Empty | Self::FirstEventError => None,
        }
    }

    /// Whether there was nobody to send to, so that another attempt adds nothing to what an upstream has to
    /// bear. A node that did come to terms, if only about TLS, or to refuse a stream, has done some work.
    pub(crate) const fn found_nobody(&self) -> bool {
        matches!(
            self,
            Self::Failed(
                Failure::ConnectionRefused | Failure::ConnectionTimeout | Failure::DnsError
            )
        )
    }
}

/// How far a request got, as far as can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nothing of it was sent.
    Unsent,
    /// It may have been executed.
    Unknown,
    /// Its upstream says that it failed.
    Answered,
    /// The client did not send all of it, so that there is nothing to send again.
    Incomplete,
}

impl Reach {
    /// How far the request got of which this came.
    pub const fn of(event: &Event) -> Self {
        match event {
            Event::Status(_) | Event::Empty | Event::FirstEventError => Self::Answered,
            Event::Failed(
                Failure::ConnectionRefused
                | Failure::ConnectionTimeout
                | Failure::DestinationUnavailable
                | Failure::DnsError
                | Failure::TlsCertificateError
                | Failure::TlsProtocolError,
            ) => Self::Unsent,
            Event::Failed(
                Failure::ConnectionTerminated
                | Failure::HttpProtocolError
                | Failure::HttpResponseTimeout,
            ) => Self::Unknown,
            Event::Failed(Failure::HttpRequestError | Failure::RequestBodyTooLong) => {
                Self::Incomplete
            }
        }
    }
}

/// Whether a request may be sent once more after `event`: if it cannot have been executed, if its
/// upstream says that it failed, or if executing it twice is as good as once, by its method (RFC 9110,
/// section 9.2.2), by its `Idempotency-Key`, or because the document says so (`non_idempotent`).
pub fn may_repeat(
    event: &Event,
    method: &str,
    has_idempotency_key: bool,
    non_idempotent_ok: bool,
) -> bool {
    match Reach::of(event) {
        Reach::Unsent | Reach::Answered => true,
        Reach::Unknown => is_idempotent(method) || has_idempotency_key || non_idempotent_ok,
        Reach::Incomplete => false,
    }
}

/// Whether to execute a request of this method twice is as good as once (RFC 9110, section 9.2.2).
/// Methods are case-sensitive; of an unknown one nothing is known.
fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE")
}

/// The member `retry` of an upstream.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryWire {
    when: Option<FailureWords>,
    non_idempotent: Option<bool>,
    backoff: Option<BackoffWire>,
    budget: Option<BudgetWire>,
}

/// What is to be known about `non_idempotent`.
pub(crate) const TWICE: &str =
    "what may have been executed is sent again, a POST too: it may be executed twice";

/// How an upstream wants failed attempts to be followed by others. A clone spends the same budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// After which failures.
    pub when: When,
    /// Whether requests that may have been executed are sent again whatever their method.
    pub non_idempotent: bool,
    /// How long to wait before.
    pub backoff: Backoff,
    /// How many of these the upstream can bear.
    pub budget: Budget,
}

impl RetryWire {
    /// Checks the member; what is absent is as in [`Policy::default`].
    pub(crate) fn compile(&self, at: At<'_>, report: &mut Report) -> Policy {
        let words = self.when.as_ref();
        let when = words.map(|words| words.compile(Vocabulary::Nodes, at.key("when"), report));
        let backoff = self.backoff.map(|wire| wire.compile(at.key("backoff"), report));
        let budget = self.budget.map(|wire| wire.compile(at.key("budget"), report));
        if self.non_idempotent == Some(true) {
            report.warn(at.key("non_idempotent"), TWICE);
        }
        Policy {
            when: when.unwrap_or_default(),
            non_idempotent: self.non_idempotent.unwrap_or(false),
            backoff: backoff.unwrap_or_default(),
            budget: budget.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn compile(value: &Value) -> (Option<Policy>, Vec<String>) {
        let mut report = Report::default();
        let policy = wire::read(value, At::Root, &mut report, |wire: RetryWire, report| {
            Some(wire.compile(At::Root, report))
        });
        (policy, report.faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_absent_has_a_default() {
        let (policy, faults) = compile(&json!({}));
        let policy = policy.expect("no faults");
        assert!(faults.is_empty());
        assert_eq!(policy.when, When::default());
        assert!(!policy.non_idempotent);
        assert_eq!(policy.backoff, Backoff::default());
        assert_eq!(policy.backoff.delay(0, u64::MAX), Duration::from_millis(25));
        assert_eq!(policy.backoff.delay(9, u64::MAX), Duration::from_secs(1));
        assert_eq!((0..100).filter(|_| policy.budget.withdraw()).count(), 10);
    }

    #[test]
    fn what_is_said_is_taken() {
        let (policy, faults) = compile(&json!({
            "when": ["5xx", 429], "non_idempotent": true,
            "backoff": {"base": 0.1, "max": 10}, "budget": {"percent": 50, "burst": 3},
        }));
        let policy = policy.expect("no faults");
        assert!(faults.is_empty());
        assert!(policy.when.matches(&Event::Status(503)));
        assert!(!policy.when.matches(&Event::Failed(Failure::ConnectionRefused)));
        assert!(policy.non_idempotent);
        assert_eq!(policy.backoff.delay(1, u64::MAX), Duration::from_millis(200));
        assert_eq!((0..100).filter(|_| policy.budget.withdraw()).count(), 3);
    }

    #[test]
    fn every_fault_is_reported_with_its_place() {
        let (_, faults) = compile(&json!({
            "whem": 1, "non_idempotent": "yes",
            "when": ["conect", 399, "429"],
            "backoff": {"base": -1, "max": 0.5, "factor": 2},
            "budget": {"percent": 1001, "burst": 0},
        }));
        assert_eq!(
            faults,
            [
                "/backoff/factor: unknown key",
                "/non_idempotent: expected a boolean, found \"yes\"",
                "/whem: unknown key; did you mean `when`?",
                "/when/1: expected a status from 400 to 599, found `399`",
                "/when/0: unknown word `conect`, expected one of [\"connect\", \"timeout\", \"reset\", \"5xx\", \"429\"] or a status as a number; did you mean `connect`?",
                "/backoff/base: expected seconds from 0 to 3600",
                "/budget/percent: expected a percentage from 0 to 1000, found `1001`",
                "/budget/burst: expected retries from 1 to 1000000, found `0`",
            ],
        );
        let (_, faults) = compile(&json!({"backoff": {"base": 2}}));
        assert_eq!(faults, ["/backoff: `base` (2 s) is longer than `max` (1 s)"]);
    }

    #[test]
    fn a_request_is_repeated_only_where_that_does_no_harm() {
        use Failure::*;
        let unsent = [
            ConnectionRefused,
            ConnectionTimeout,
            DestinationUnavailable,
            DnsError,
            TlsCertificateError,
            TlsProtocolError,
        ]
        .map(Event::Failed);
        let answered =
            [Event::Status(503), Event::Status(429), Event::Empty, Event::FirstEventError];
        let unknown =
            [ConnectionTerminated, HttpProtocolError, HttpResponseTimeout].map(Event::Failed);
        let idempotent = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"];
        let other = ["POST", "PATCH", "CONNECT", "PURGE", "get", ""];
        for method in idempotent.iter().chain(&other) {
            let is_idempotent = idempotent.contains(method);
            for (key, ok) in [(false, false), (false, true), (true, false), (true, true)] {
                for event in unsent.iter().chain(&answered) {
                    assert!(may_repeat(event, method, key, ok), "{method} {event:?}");
                }
                for event in &unknown {
                    let expected = is_idempotent || key || ok;
                    assert_eq!(may_repeat(event, method, key, ok), expected, "{method} {event:?}");
                }
                assert!(!may_repeat(&Event::Failed(HttpRequestError), method, key, ok));
            }
        }
    }
}
