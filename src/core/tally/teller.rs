//! When an isolate tells what it counted, and what.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Message, PAUSE, Receipt};
use crate::gather::Gather as _;
use crate::snapshot::Snapshot;
use crate::status::{Place, Totals};
use crate::time::Timestamp;

/// How long a message may wait beside a request, which the runtime allows half a minute.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How much later than it should a message may begin. Whoever was to send it may have been ended.
const SLACK: Duration = Duration::from_secs(5);

/// The longest pause after messages that brought no answer.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// For how long a message is repeated. After that its isolate may be forgotten, and its number with it.
const REPEAT: Duration = Duration::from_secs(3600);

/// The most branches of one message; the next tells of others first.
const LANES_MAX: usize = 256;

/// What an isolate has told.
///
/// A request that finds nobody about to tell has that done after a while: by then others will have come.
/// So an isolate that has few requests tells of each, and one that has many is not late by more than a
/// pause.
#[derive(Debug)]
pub struct Teller {
    isolate: Box<str>,
    own_pause: Duration,
    asked_pause: Duration,
    /// What is known to have been added.
    told: Totals,
    /// What may have been.
    pending: Option<Pending>,
    number: u64,
    /// The last branch that a message had room for, where there were more.
    last: Option<Place>,
    next_at: Timestamp,
    /// Until when somebody is about to tell.
    reserved_until: Timestamp,
    failures: u32,
}

#[derive(Debug)]
struct Pending {
    since: Timestamp,
    message: Message,
}

impl Teller {
    /// That of an isolate that begins, by a name that no other has.
    pub fn new(isolate: &str, pause: Option<Duration>) -> Self {
        Self {
            isolate: isolate.into(),
            own_pause: pause.unwrap_or(PAUSE),
            asked_pause: Duration::ZERO,
            told: Totals::default(),
            pending: None,
            number: 0,
            last: None,
            next_at: Timestamp::default(),
            reserved_until: Timestamp::default(),
            failures: 0,
        }
    }

    /// After how long a request that was answered at `now` should have the isolate tell, if it should.
    /// `chance` spreads isolates that begin at once. A document that somebody put into KV by hand is not
    /// what the coordinator has, so there is nothing to tell of it.
    pub fn plan(
        &mut self,
        snapshot: &Snapshot,
        now: Timestamp,
        chance: impl FnOnce() -> u64,
    ) -> Option<Duration> {
        if snapshot.published().is_none() || now < self.reserved_until {
            return None;
        }
        let spread = self.pause().min(WAIT_MAX) / 2;
        let millis = u64::try_from(spread.as_millis()).unwrap_or_default();
        let wait = spread + Duration::from_millis(chance() % millis.saturating_add(1));
        let wait = wait.max(self.next_at.since(now));
        if wait > WAIT_MAX {
            return None;
        }
        self.reserved_until = now.plus(wait + SLACK);
        Some(wait)
    }

    /// What is to be told now: what was, if nobody knows whether that arrived; nothing if nothing was
    /// counted.
    pub fn message(&mut self, snapshot: &Snapshot, now: Timestamp) -> Option<&Message> {
        self.reserved_until = now;
        self.next_at = now.plus(self.pause());
        if self.pending.as_ref().is_some_and(|pending| now.since(pending.since) >= REPEAT) {
            self.settle();
        }
        if self.pending.is_none() {
            let more = self.more(Totals::of_snapshot(snapshot))?;
            self.number = self.number.saturating_add(1);
            let message = Message { isolate: self.isolate.clone(), number: self.number, more };
            self.pending = Some(Pending { since: now, message });
        }
        self.pending.as_ref().map(|pending| &pending.message)
    }

    /// Takes over what came of the message with this number; whether it is the first in a row that
    /// brought no answer.
    pub fn answered(&mut self, number: u64, receipt: Option<Receipt>, now: Timestamp) -> bool {
        if let Some(receipt) = receipt {
            self.asked_pause = Duration::from_millis(receipt.pause_ms);
            self.failures = 0;
            if self.pending.as_ref().is_some_and(|it| it.message.number == number) {
                self.settle();
            }
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        let pause = self.pause().saturating_mul(1 << self.failures.min(5));
        self.next_at = now.plus(pause.min(BACKOFF_MAX));
        self.failures == 1
    }

    fn pause(&self) -> Duration {
        self.own_pause.max(self.asked_pause.min(BACKOFF_MAX))
    }

    /// Counts the message as told.
    fn settle(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.told.add(&pending.message.more);
        }
    }

    /// What was counted and not told, as much of it as a message holds.
    fn more(&mut self, now: Totals) -> Option<Totals> {
        // What went away and came back is another, which counts from nothing. One that has more already than
        // was told of the first cannot be told from it: so much of it is lost, and nothing told twice.
        self.told.lanes.retain(|place, told| {
            now.lanes.get(place).is_some_and(|counts| counts.requests() >= told.requests())
        });
        let mut more = now.since(&self.told);
        if more.lanes.len() > LANES_MAX {
            let last = self.last.take();
            let is_next = |place: &Place| last.as_ref().is_some_and(|last| place > last);
            let places: Vec<Place> = more.lanes.keys().cloned().collect();
            let start = places.iter().position(is_next).unwrap_or_default();
            let (left, right) = places.split_at(start);
            let kept = || right.iter().chain(left).take(LANES_MAX);
            self.last = kept().last().cloned();
            let kept: BTreeSet<&Place> = kept().gather();
            more.lanes.retain(|place, _| kept.contains(place));
        }
        (more.requests > 0 || !more.lanes.is_empty()).then_some(more)
    }
}
