//! What is worth telling about a request, and the names it is told by.
//!
//! A [`Record`] borrows all it has: nothing is copied, read or written for a request that is not told of
//! ([`Telling`]). One that is becomes a line of JSON ([`line()`], [`Begun`]) with the members that [`FIELDS`]
//! explains, the same at the edge and on a server. There are neither headers nor bodies nor queries in it,
//! and so no keys and no tokens, unless somebody puts them into a path.

mod line;
mod point;
mod share;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use self::line::Shown;
pub use self::line::{Begun, line};
pub use self::point::{BLOBS, DOUBLES, INDEX, Point};
pub use self::share::{NotAShare, Sampler, Share, Telling};
use crate::head::Head;
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

/// Why a request went to its branch, or an attempt was made.
pub mod reason {
    /// Nothing is split there.
    pub const WHOLE: &str = "whole";
    /// It was the turn of the branch.
    pub const TURN: &str = "turn";
    /// The key of whoever asks belongs to the branch.
    pub const KEY: &str = "key";
    /// Somebody who may asked for the branch by name.
    pub const OVERRIDE: &str = "override";
    /// Another branch failed.
    pub const FAILOVER: &str = "failover";
    /// Another node of the branch failed; of attempts alone.
    pub const RETRY: &str = "retry";
    /// It is one of those that are copied; of attempts alone.
    pub const COPY: &str = "copy";
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
    /// Why it went to this branch.
    pub reason: Option<&'static str>,
    /// How many attempts were made.
    pub attempts: u32,
    /// The authority of the node of the last attempt.
    pub node: Option<&'r str>,
    /// The revision of the configuration.
    pub revision: Option<&'r str>,
    /// The address of the client where that is another than the head says.
    pub client: Option<IpAddr>,
    /// The name of the consumer.
    pub consumer: Option<&'r str>,
    /// The id that the request was given here.
    pub request_id: Option<&'r str>,
    /// The header that has its id, where it has one of its own.
    pub id_header: Option<&'r str>,
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
    /// A request that came at `at` and was answered at once with `status`, of which no more is known.
    pub fn new(at: Timestamp, status: u16) -> Self {
        Self {
            at,
            duration: Duration::ZERO,
            route: None,
            branch: None,
            picked: None,
            reason: None,
            attempts: 0,
            node: None,
            revision: None,
            client: None,
            consumer: None,
            request_id: None,
            id_header: None,
            status,
            problem: None,
            original: None,
        }
    }

    /// Whether it is told of where not every request is: those that Splitway answered by itself, that
    /// another branch answered than the one that was picked, and copies.
    pub fn is_remarkable(&self) -> bool {
        self.problem.is_some() || self.picked.is_some() || self.original.is_some()
    }

    /// Whether the client was told that it is no fault of its own that the request failed.
    pub fn has_failed(&self) -> bool {
        self.status >= 500
    }

    /// The name of the event in a log.
    pub fn event(&self) -> &'static str {
        if self.original.is_some() { "copy" } else { "request" }
    }

    /// The members of its line in a log, where it is one of this share; `head` is that of the request, where
    /// there was one.
    pub fn fields<'f>(&'f self, head: Option<&'f dyn Head>, share: Share) -> Fields<'f> {
        let original = self.original.as_ref();
        let path = head.map(|head| Shown::new(head.path(), PATH_MAX));
        let client = || self.client.or_else(|| head?.client()).map(|client| client.to_canonical());
        let told = || head?.header("content-length")?.parse().ok();
        let own_id = || head?.header(self.id_header?);
        Fields {
            status: self.status,
            route: self.route,
            branch: self.branch,
            picked: self.picked,
            attempts: Some(self.attempts).filter(|attempts| *attempts > 1),
            revision: self.revision,
            problem: self.problem,
            duration_ms: millis(self.duration),
            reason: self.reason,
            node: self.node,
            method: head.map(|head| Shown::new(head.method(), METHOD_MAX)),
            host: head.map(|head| Shown::new(without_user(head.host()), HOST_MAX)),
            path,
            path_bytes: path.and_then(Shown::cut),
            client: client(),
            consumer: self.consumer,
            request_id: self.request_id.map(Cow::Borrowed).or_else(own_id).map(ShownId),
            bytes_in: told(),
            sample: Some(share.as_f64()).filter(|_| share < Share::WHOLE),
            original_branch: original.map(|original| &*original.branch),
            original_status: original.map(|original| original.status),
            original_duration_ms: original.map(|original| millis(original.duration)),
        }
    }
}

/// So many bytes are told of what clients may make as long as they like.
const METHOD_MAX: usize = 32;
const HOST_MAX: usize = 255;
const PATH_MAX: usize = 1024;
const ID_MAX: usize = 128;

/// An authority without the user, and the password, that an absolute target may name.
fn without_user(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A [`Record`] as it is written into a log.
#[derive(Debug, Serialize)]
pub struct Fields<'f> {
    status: u16,
    route: Option<&'f str>,
    branch: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    picked: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    revision: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<Shown<'f>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Shown<'f>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Shown<'f>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<ShownId<'f>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_branch: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_duration_ms: Option<u64>,
}

/// The id of a request, shown as other texts of clients are: it may be one's own.
#[derive(Debug)]
struct ShownId<'f>(Cow<'f, str>);

impl Serialize for ShownId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Shown::new(&self.0, ID_MAX).serialize(serializer)
    }
}

/// How a response ended, which its line says last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// From the head of the request to the end of the response, in milliseconds, where that is seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<u64>,
    /// How many bytes of a body were sent, or are to be, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_out: Option<u64>,
    /// What was wrong with the end, if something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// Why a response did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The upstream broke off.
    Broken,
    /// The client left.
    Left,
}

/// The members of a line about a request, with what they say, in their order. Those that have nothing to say
/// are left out, but for `route`, `branch` and `revision`, which are then `null`.
pub const FIELDS: [(&str, &str); 28] = [
    ("at_ms", "when the head of the request was there, in ms since 1970"),
    ("level", "`warn` where Splitway answered by itself, else `info`"),
    ("event", "`request`, or `copy` for one that was sent to a mirror"),
    ("status", "the status of the answer"),
    ("route", "the id of the route"),
    ("branch", "the name of the branch that answered"),
    ("picked", "the branch that was picked first, where another one answered"),
    ("attempts", "how many attempts were made, where more than one was"),
    ("revision", "the revision of the configuration"),
    ("problem", "why Splitway answered by itself, by the error types of RFC 9209"),
    ("duration_ms", "from the head of the request to the head of the answer"),
    (
        "reason",
        "why this branch: `turn`, `key`, `override`, `failover`, `whole` (nothing is split)",
    ),
    ("node", "the node that was asked last"),
    ("method", "the method, 32 bytes at most"),
    ("host", "the host that was asked for, 255 bytes at most"),
    ("path", "the path without the query, escaped as in a URL, 1024 bytes at most"),
    ("path_bytes", "how long the path was, where not all of it is shown"),
    ("client", "the address of the client"),
    ("consumer", "the name of the consumer, where the request was authenticated"),
    ("request_id", "the id that `request-id` gave it, 128 bytes at most"),
    ("bytes_in", "the length of the request's body, where the client said it"),
    (
        "sample",
        "the share of such requests that have a line, where not all have: count each as 1/`sample`",
    ),
    ("original_branch", "of a copy: the branch that answered the client"),
    ("original_status", "of a copy: the status that the client got"),
    ("original_duration_ms", "of a copy: how long the client waited for the head of the answer"),
    ("total_ms", "from the head of the request to the end of the answer (server only)"),
    (
        "bytes_out",
        "the length of the answer's body as far as it was sent; at the edge, as it was announced",
    ),
    ("end", "`broken` where the upstream broke off, `left` where the client did (server only)"),
];

#[cfg(test)]
mod tests;
