//! What is counted of one lane, and of one node and consumer in it.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::gather::Gather as _;

use super::Answered;
use super::histogram::{Histogram, Times};
use super::statuses::Statuses;

/// Why a branch got a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// There is no other.
    Whole,
    /// It was its turn.
    Turn,
    /// The key of whoever asked.
    Key,
    /// A key that was drawn for whoever asked.
    Issued,
    /// Somebody asked for it by name.
    Override,
    /// The one that was picked failed.
    Failover,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Whole, Self::Turn, Self::Key, Self::Issued, Self::Override, Self::Failover];

    /// As documents and labels write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Turn => "turn",
            Self::Key => "key",
            Self::Issued => "issued",
            Self::Override => "override",
            Self::Failover => "failover",
        }
    }

    /// Whether it was by weight, so that it counts for the share.
    pub const fn is_by_weight(self) -> bool {
        match self {
            Self::Whole | Self::Turn | Self::Key | Self::Issued => true,
            Self::Override | Self::Failover => false,
        }
    }
}

/// The counters of a lane.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    statuses: Statuses,
    until_head: Histogram,
    picks: [AtomicU64; Reason::ALL.len()],
    attempts: AtomicU64,
    retries: AtomicU64,
    left: AtomicU64,
    /// Made when a guard first has something to count.
    guards: OnceLock<Box<GuardCounts>>,
}

/// What guards let pass and what not, by their ranks.
type GuardCounts = [[AtomicU64; 2]; GUARDS_MAX];

/// As many guards there may be.
const GUARDS_MAX: usize = 16;

impl Lane {
    /// Counts a request that the branch got.
    pub(crate) fn pick(&self, reason: Reason) {
        if let Some(count) = self.picks.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a request that was picked for the branch and went elsewhere, because it failed.
    pub(crate) fn leave(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the attempts that were made at the branch for one request.
    pub(crate) fn attempt(&self, attempts: u32) {
        if attempts > 0 {
            self.attempts.fetch_add(u64::from(attempts), Ordering::Relaxed);
        }
        if attempts > 1 {
            self.retries.fetch_add(u64::from(attempts - 1), Ordering::Relaxed);
        }
    }

    /// Counts what a guard of this rank said to a request.
    pub(crate) fn guard(&self, rank: usize, passes: bool) {
        if let Some([passed, refused]) = self.guards.get_or_init(Box::default).get(rank) {
            let count = if passes { passed } else { refused };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn answer(&self, answered: &Answered) {
        self.statuses.note(answered.status);
        self.until_head.note(answered.until_head);
    }

    pub(super) fn counts(&self) -> LaneCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let guards = self.guards.get().into_iter().flat_map(|guards| guards.iter());
        let guards = guards.map(|[passed, refused]| (read(passed), read(refused)));
        let picks = Reason::ALL.into_iter().zip(self.picks.iter().map(read));
        LaneCounts {
            statuses: self.statuses.counts(),
            until_head: self.until_head.times(),
            picks: picks.filter(|(_, count)| *count > 0).gather(),
            attempts: read(&self.attempts),
            retries: read(&self.retries),
            left: read(&self.left),
            guards: (0..).zip(guards).filter(|(_, counts)| *counts != (0, 0)).gather(),
        }
    }
}

/// What was counted of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneCounts {
    /// Requests that were answered, by status.
    pub statuses: BTreeMap<u16, u64>,
    /// The times until the head of the response was there.
    pub until_head: Times,
    /// Requests that the branch got, by reason.
    pub picks: BTreeMap<Reason, u64>,
    /// Attempts at nodes.
    pub attempts: u64,
    /// Attempts after the first at the same branch.
    pub retries: u64,
    /// Requests that were picked for the branch and went to another, because it failed.
    pub left: u64,
    /// Requests that guards let pass, and did not, by the rank of the guard. It is told by the process that
    /// counts: another may have other ranks.
    #[serde(skip)]
    pub guards: BTreeMap<usize, (u64, u64)>,
}

impl LaneCounts {
    /// Requests that were answered.
    pub fn requests(&self) -> u64 {
        self.statuses.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Those of them that were answered with a 5xx.
    pub fn errors(&self) -> u64 {
        let errors = self.statuses.range(500..600).map(|(_, count)| *count);
        errors.fold(0, u64::saturating_add)
    }

    /// How many were picked for it by weight.
    pub fn picked(&self) -> u64 {
        let by_weight = self.picks.iter().filter(|(reason, _)| reason.is_by_weight());
        by_weight.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        for (status, count) in &other.statuses {
            let own = self.statuses.entry(*status).or_default();
            *own = own.saturating_add(*count);
        }
        self.until_head.add(&other.until_head);
        for (reason, count) in &other.picks {
            let own = self.picks.entry(*reason).or_default();
            *own = own.saturating_add(*count);
        }
        self.attempts = self.attempts.saturating_add(other.attempts);
        self.retries = self.retries.saturating_add(other.retries);
        self.left = self.left.saturating_add(other.left);
        for (rank, (passed, refused)) in &other.guards {
            let own = self.guards.entry(*rank).or_default();
            *own = (own.0.saturating_add(*passed), own.1.saturating_add(*refused));
        }
    }

    /// What came since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            statuses: less(&self.statuses, &earlier.statuses),
            until_head: self.until_head.since(&earlier.until_head),
            picks: less(&self.picks, &earlier.picks),
            attempts: self.attempts.saturating_sub(earlier.attempts),
            retries: self.retries.saturating_sub(earlier.retries),
            left: self.left.saturating_sub(earlier.left),
            guards: BTreeMap::new(),
        }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.statuses.is_empty() && self.picks.is_empty() && self.attempts == 0 && self.left == 0
    }
}

/// What is more in the first than in the second.
pub(crate) fn less<K: Ord + Clone>(
    counts: &BTreeMap<K, u64>,
    earlier: &BTreeMap<K, u64>,
) -> BTreeMap<K, u64> {
    let more = counts.iter().map(|(key, count)| {
        let before = earlier.get(key).copied().unwrap_or_default();
        (key.clone(), count.saturating_sub(before))
    });
    more.filter(|(_, count)| *count > 0).gather()
}

/// The counters of one node and consumer in a lane.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    statuses: Statuses,
    whole: Histogram,
    upstream: Histogram,
    own: Histogram,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Flow {
    pub(super) fn begin(&self, status: u16) {
        self.statuses.note(status);
    }

    pub(super) fn pass(&self, received: u64, sent: u64) {
        for (count, bytes) in [(&self.received, received), (&self.sent, sent)] {
            if bytes > 0 {
                count.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    /// Counts how long an answer took as a whole. What was not waited for upstreams before its head is our
    /// own part of it: the body comes as fast as the upstream sends it and the client takes it.
    pub(super) fn end(&self, answered: &Answered, whole: Duration) {
        let whole = whole.max(answered.until_head);
        let own = match answered.waited {
            Some(waited) => {
                let own = answered.until_head.saturating_sub(waited);
                self.upstream.note(whole.saturating_sub(own));
                own
            }
            None => whole,
        };
        self.whole.note(whole);
        self.own.note(own);
    }

    pub(super) fn counts(&self) -> FlowCounts {
        FlowCounts {
            statuses: self.statuses.counts(),
            whole: self.whole.times(),
            upstream: self.upstream.times(),
            own: self.own.times(),
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
        }
    }
}

/// What was counted of one node and consumer in a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowCounts {
    /// Requests that were answered, by status.
    pub statuses: BTreeMap<u16, u64>,
    /// The times of whole requests, to the last byte of the response.
    pub whole: Times,
    /// What of them was the upstream's.
    pub upstream: Times,
    /// What of them was our own.
    pub own: Times,
    /// Bytes of the bodies of requests.
    pub received: u64,
    /// Bytes of the bodies of responses.
    pub sent: u64,
}

impl FlowCounts {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        for (status, count) in &other.statuses {
            let own = self.statuses.entry(*status).or_default();
            *own = own.saturating_add(*count);
        }
        self.whole.add(&other.whole);
        self.upstream.add(&other.upstream);
        self.own.add(&other.own);
        self.received = self.received.saturating_add(other.received);
        self.sent = self.sent.saturating_add(other.sent);
    }
}
