//! What is worth telling about a request, and the names it is told by.

use std::time::Duration;

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
    pub branch: Box<str>,
    /// The status the client got.
    pub status: u16,
    /// How long that took.
    pub duration: Duration,
}
