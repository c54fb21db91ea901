//! A request as a data point of Workers Analytics Engine.

use std::borrow::Cow;

use super::{HOST_MAX, ID_MAX, METHOD_MAX, Record, Share, millis, without_user};
use crate::head::{Head, Place};
use crate::telemetry::line::Shown;

/// What each point is found by, and what is kept of each in turn where there are too many: the route.
pub const INDEX: &str = "the id of the route, 96 bytes at most";

/// The texts of a point, `blob1` first, by what a line in a log calls them. A text that there is not is
/// empty.
pub const BLOBS: [(&str, &str); 14] = [
    ("event", "`request`, or `copy` for one that was sent to a mirror"),
    ("route", "the id of the route"),
    ("branch", "the name of the branch that answered"),
    ("picked", "the branch that was picked first: another one only after a failover"),
    ("reason", "why this branch: `turn`, `key`, `override`, `failover`, `whole`"),
    ("revision", "the revision of the configuration"),
    ("problem", "why Splitway answered by itself, by the error types of RFC 9209"),
    ("node", "the node that was asked last"),
    ("method", "the method"),
    ("host", "the host that was asked for"),
    ("consumer", "the name of the consumer"),
    ("country", "the country of the client"),
    ("colo", "the data centre that took the request"),
    ("original_branch", "of a copy: the branch that answered the client"),
];

/// The numbers of a point, `double1` first.
pub const DOUBLES: [(&str, &str); 7] = [
    ("sample", "the share of requests that have a point: count each as 1/`sample`"),
    ("status", "the status of the answer"),
    ("duration_ms", "from the head of the request to the head of the answer"),
    ("attempts", "how many attempts were made"),
    ("bytes_in", "the length of the request's body, where the client said it"),
    ("original_status", "of a copy: the status that the client got"),
    ("original_duration_ms", "of a copy: how long the client waited for the head of the answer"),
];

/// The most bytes of an index, which Analytics Engine sets.
const INDEX_MAX: usize = 96;

/// A data point. No text of it is long, so that all are far below the 16 KB that a point may have.
#[derive(Clone, Debug, PartialEq)]
pub struct Point<'p> {
    /// See [`INDEX`].
    pub index: &'p str,
    /// See [`BLOBS`].
    pub blobs: [Cow<'p, str>; BLOBS.len()],
    /// See [`DOUBLES`].
    pub doubles: [f64; DOUBLES.len()],
}

impl Record<'_> {
    /// The point of a request of this head, where this share of requests has one.
    pub fn point<'p>(&'p self, head: &'p dyn Head, share: Share) -> Point<'p> {
        let or_none = |text: Option<&'p str>| Cow::Borrowed(text.unwrap_or_default());
        let shown = |text: &str, max| Cow::Owned(Shown::new(text, max).to_string());
        let place = |what| shown(&head.place(what).unwrap_or_default(), ID_MAX);
        let original = self.original.as_ref();
        let route = self.route.unwrap_or_default();
        let size = || head.header("content-length")?.parse::<u32>().ok();
        Point {
            index: route.get(..route.floor_char_boundary(INDEX_MAX)).unwrap_or_default(),
            blobs: [
                Cow::Borrowed(self.event()),
                Cow::Borrowed(route),
                or_none(self.branch),
                or_none(self.picked.or(self.branch)),
                or_none(self.reason),
                or_none(self.revision),
                or_none(self.problem),
                or_none(self.node),
                shown(head.method(), METHOD_MAX),
                shown(without_user(head.host()), HOST_MAX),
                or_none(self.consumer),
                place(Place::Country),
                place(Place::Colo),
                or_none(original.map(|original| &*original.branch)),
            ],
            doubles: [
                share.as_f64(),
                f64::from(self.status),
                as_f64(millis(self.duration)),
                f64::from(self.attempts),
                size().map_or(0.0, f64::from),
                original.map_or(0.0, |original| f64::from(original.status)),
                original.map_or(0.0, |original| as_f64(millis(original.duration))),
            ],
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact for 285 000 years of milliseconds")]
fn as_f64(millis: u64) -> f64 {
    millis as f64
}
