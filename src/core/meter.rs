//! What is counted while requests are served: how many of them each branch got and why, what came of
//! them, and how long that took.
//!
//! Counters stand in a [`Snapshot`](crate::snapshot::Snapshot) and are taken over by the next, by the names
//! of routes and branches; what is not there any more is not counted any more. They only grow.
//!
//! Whatever clients send, memory is bounded: what is told apart are lanes, and in each of them nodes and
//! consumers. All of these have numbers that come from the configuration. A lane is
//!
//! - one branch of one rule of one route,
//! - a route by itself, for requests that end before a branch is picked,
//! - what no route takes.
//!
//! To count is a few atomic additions, without a lock, and without an allocation but the first for a
//! lane, or for a node and a consumer in it (`table`). At most [`PLACES_MAX`] of each are told apart;
//! what is beyond is counted in one place together, and [`Meters::overflow`] says how often that was.

mod histogram;
mod lane;
mod statuses;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::gather::Gather as _;
use crate::problem::Problem;
use crate::time::Timestamp;

pub use histogram::{BOUNDS_MS, BUCKETS, Times};
pub(crate) use lane::{Flow, Lane, less};
pub use lane::{FlowCounts, LaneCounts, Reason};
pub use statuses::OTHER;
pub use table::PLACES_MAX;
use table::Table;

/// The number of a lane.
pub(crate) type LaneNumber = u64;

/// All that one configuration counts.
#[derive(Debug)]
pub struct Meters {
    lanes: Table<Lane>,
    flows: Table<Flow>,
    /// The lane of what no route takes, which is the last.
    nowhere: LaneNumber,
    common: Arc<Common>,
}

/// What is counted apart from all routes.
#[derive(Debug, Default)]
struct Common {
    /// When it began, in milliseconds.
    since_ms: AtomicU64,
    requests: AtomicU64,
    /// By the position of the token in [`Problem::TOKENS`].
    problems: [AtomicU64; Problem::TOKENS.len()],
    overflow: AtomicU64,
}

/// Where requests are told apart in a lane: the position of the node, and the number of the consumer, if
/// there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) node: Option<usize>,
    pub(crate) consumer: Option<usize>,
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// Why it was answered here, if nobody else did.
    pub(crate) problem: Option<Problem>,
    /// When the head of the request was there.
    pub(crate) at: Timestamp,
    /// From then until the head of the response was.
    pub(crate) until_head: Duration,
    /// How much of that was waited for upstreams; nothing if there was no attempt.
    pub(crate) waited: Option<Duration>,
}

impl Meters {
    /// Counters for lanes below `nowhere`, of which `flows` at most have requests of their own.
    pub(crate) fn new(nowhere: LaneNumber, flows: u64) -> Self {
        let places = |number: u64| usize::try_from(number.saturating_add(1)).unwrap_or(usize::MAX);
        Self {
            lanes: Table::new(places(nowhere)),
            flows: Table::new(places(flows)),
            nowhere,
            common: Arc::default(),
        }
    }

    /// Goes on with what `earlier` has counted. `lane` says which number a lane has here that had another
    /// there, and `way` the same of what is told apart in such a lane.
    pub(crate) fn follow(
        &mut self,
        earlier: &Self,
        lane: impl Fn(LaneNumber) -> Option<LaneNumber>,
        way: impl Fn(LaneNumber, LaneNumber, Way) -> Option<Way>,
    ) {
        self.common = Arc::clone(&earlier.common);
        let number = |before: LaneNumber| match before == earlier.nowhere {
            true => Some(self.nowhere),
            false => lane(before),
        };
        let mut numbers = BTreeMap::new();
        for (before, counts) in earlier.lanes.places() {
            if let Some(number) = number(before) {
                self.lanes.put(number, Arc::clone(counts));
                numbers.insert(before, number);
            }
        }
        for (key, counts) in earlier.flows.places() {
            let (before, known) = unpacked(key);
            let found = numbers.get(&before).and_then(|lane_now| {
                let known = match before == earlier.nowhere {
                    true => Some(Way { node: None, ..known }),
                    false => way(before, *lane_now, known),
                };
                packed(*lane_now, known?)
            });
            if let Some(key) = found {
                self.flows.put(key, Arc::clone(counts));
            }
        }
    }

    /// Notes from when on it is counted, unless that was noted before.
    pub fn begin(&self, now: Timestamp) {
        let (since_ms, order) = (&self.common.since_ms, Ordering::Relaxed);
        // Looked at first: that all threads do at once, and it is changed by one of them, once.
        if since_ms.load(order) == 0 {
            // Whoever was first was earlier.
            _ = since_ms.compare_exchange(0, now.as_millis().max(1), order, order);
        }
    }

    /// From when on it is counted, if anything was.
    pub fn since(&self) -> Option<Timestamp> {
        let since = self.common.since_ms.load(Ordering::Relaxed);
        (since > 0).then(|| Timestamp::from_millis(since))
    }

    /// How many requests there were.
    pub fn requests(&self) -> u64 {
        self.common.requests.load(Ordering::Relaxed)
    }

    /// How often something was counted in the place for all that has none of its own.
    pub fn overflow(&self) -> u64 {
        self.common.overflow.load(Ordering::Relaxed)
    }

    /// How many lanes are told apart, and how many nodes and consumers in all of them.
    pub fn places(&self) -> (usize, usize) {
        (self.lanes.places().count(), self.flows.places().count())
    }

    /// How often Splitway answered by itself, by the token of the reason.
    pub fn problems(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.common.problems.iter().map(|count| count.load(Ordering::Relaxed));
        Problem::TOKENS.into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }

    /// The counters of a lane; of what no route takes where there is no number.
    pub(crate) fn lane(&self, number: Option<LaneNumber>) -> &Lane {
        let (lane, is_own) = self.lanes.place(number.unwrap_or(self.nowhere));
        self.note_overflow(is_own);
        lane
    }

    /// Counts a request that was answered in a lane. What becomes of its body is counted through what
    /// comes back.
    pub(crate) fn answer(
        &self,
        number: Option<LaneNumber>,
        way: Way,
        answered: Answered,
    ) -> Running {
        let number = number.unwrap_or(self.nowhere);
        self.answer_in((self.lane(Some(number)), number), way, answered)
    }

    /// The same, where the counters of the lane are at hand.
    pub(crate) fn answer_in(
        &self,
        (lane, number): (&Lane, LaneNumber),
        way: Way,
        answered: Answered,
    ) -> Running {
        self.begin(answered.at);
        self.common.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(token) = answered.problem.map(Problem::token)
            && let Some(position) = Problem::TOKENS.iter().position(|known| *known == token)
            && let Some(count) = self.common.problems.get(position)
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
        lane.answer(&answered);
        let (flow, is_own) = self.flows.place(packed(number, way).unwrap_or(u64::MAX));
        self.note_overflow(is_own);
        flow.begin(answered.status);
        Running { flow: Arc::clone(flow), answered }
    }

    /// What was counted of lanes, by number, and of what has no place of its own.
    pub(crate) fn lane_counts(&self) -> BTreeMap<LaneNumber, LaneCounts> {
        self.lanes.places().map(|(number, lane)| (number, lane.counts())).gather()
    }

    /// The same of what is told apart in lanes.
    pub(crate) fn flow_counts(&self) -> Vec<(LaneNumber, Way, FlowCounts)> {
        let told = |(key, flow): (u64, &Arc<Flow>)| {
            let (number, way) = unpacked(key);
            (number, way, flow.counts())
        };
        self.flows.places().map(told).collect()
    }

    /// What was counted of all that has no place of its own.
    pub(crate) fn rest(&self) -> (LaneCounts, FlowCounts) {
        (self.lanes.rest().counts(), self.flows.rest().counts())
    }

    fn note_overflow(&self, is_own: bool) {
        if !is_own {
            self.common.overflow.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Bits of a node and of a consumer in a key.
const WAY_BITS: u32 = 16;
const WAY_MASK: u64 = (1 << WAY_BITS) - 1;

/// The key of a place: the lane, then the node and the consumer, each one more than its number. A lane that
/// is too many has none; a node or consumer that is has none of its own.
fn packed(lane: LaneNumber, way: Way) -> Option<u64> {
    let number = |it: Option<usize>| {
        let number = it.and_then(|it| u64::try_from(it).ok()?.checked_add(1));
        number.filter(|number| *number <= WAY_MASK).unwrap_or_default()
    };
    let lane = u32::try_from(lane).ok().filter(|lane| *lane < u32::MAX)?;
    Some(u64::from(lane) << (2 * WAY_BITS) | number(way.node) << WAY_BITS | number(way.consumer))
}

fn unpacked(key: u64) -> (LaneNumber, Way) {
    let number = |bits: u64| usize::try_from(bits & WAY_MASK).ok()?.checked_sub(1);
    let (node, consumer) = (number(key >> WAY_BITS), number(key));
    (key >> (2 * WAY_BITS), Way { node, consumer })
}

/// A request whose answer is under way.
#[derive(Clone, Debug)]
pub struct Running {
    flow: Arc<Flow>,
    answered: Answered,
}

impl Running {
    /// Counts bytes of bodies: what came from the client, and what went to it.
    pub fn pass(&self, received: u64, sent: u64) {
        self.flow.pass(received, sent);
    }

    /// Counts how long it took as a whole, when the last of the answer is on its way or nobody wants it
    /// any more.
    pub fn end(self, now: Timestamp) {
        self.flow.end(&self.answered, now.since(self.answered.at));
    }
}

#[cfg(test)]
mod tests;
