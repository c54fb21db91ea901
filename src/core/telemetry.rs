//! What is worth telling about a request, and the names it is told by.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::time::Timestamp;

/// Names of the response headers that prove who served.
pub mod proof {
    /// The id of the route.
    pub const ROUTE: &str = "x-splitway-route";
    /// The name of the branch.
    pub const BRANCH: &str = "x-splitway-branch";
    /// The revision of the configuration.
    pub const REVISION: &str = "x-splitway-revision";
    /// The name of the branch that was picked first, where another one answered.
    pub const PICKED: &str = "x-splitway-picked";
    /// How many attempts were made, where more than one was.
    pub const ATTEMPTS: &str = "x-splitway-attempts";
    /// All of them.
    pub(crate) const ALL: [&str; 5] = [ROUTE, BRANCH, REVISION, PICKED, ATTEMPTS];
    /// Stands where there is nothing to name: no route took the request, nothing is configured.
    pub const NONE: &str = "none";
}

/// One request, answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'r> {
    /// When the request's head was there.
    pub at: Timestamp,
    /// From then until the head of the response was there.
    pub duration: Duration,
    /// The id of the route.
    pub route: Option<&'r str>,
    /// The name of the branch.
    pub branch: Option<&'r str>,
    /// The name of the branch that was picked first, where another one answered.
    pub picked: Option<&'r str>,
    /// How many attempts were made.
    pub attempts: u32,
    /// The revision of the configuration.
    pub revision: Option<&'r str>,
    /// The status the client got; of a copy, the one that it was answered with.
    pub status: u16,
    /// Why Splitway answered by itself, by the error types of RFC 9209; nothing if the upstream did.
    pub problem: Option<&'static str>,
    /// What became of the request that this is a copy of, if it is one.
    pub original: Option<Original>,
}

/// What became of a request of which a copy was sent elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// The name of the branch that answered it.
    pub branch: Arc<str>,
    /// The status the client got.
    pub status: u16,
    /// How long that took.
    pub duration: Duration,
}

impl<'r> Record<'r> {
    /// Whether it is told of where not every request is: those that Splitway answered by itself, that
    /// another branch answered than the one that was picked, and copies.
    pub fn is_remarkable(&self) -> bool {
        self.problem.is_some() || self.picked.is_some() || self.original.is_some()
    }

    /// The name of the event in a log.
    pub fn event(&self) -> &'static str {
        if self.original.is_some() { "copy" } else { "request" }
    }

    /// The fields of a line in a log.
    pub fn fields(&self) -> Fields<'r> {
        let original = self.original.as_ref();
        Fields {
            status: self.status,
            route: self.route,
            branch: self.branch,
            picked: self.picked,
            attempts: Some(self.attempts).filter(|attempts| *attempts > 1),
            revision: self.revision,
            problem: self.problem,
            duration_ms: millis(self.duration),
            original_branch: original.map(|original| original.branch.to_string()),
            original_status: original.map(|original| original.status),
            original_duration_ms: original.map(|original| millis(original.duration)),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A [`Record`] as it is written into a log.
#[derive(Debug, Serialize)]
pub struct Fields<'r> {
    status: u16,
    route: Option<&'r str>,
    branch: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    picked: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    revision: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_branch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_duration_ms: Option<u64>,
}
