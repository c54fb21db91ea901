//! Places of requests that are under way.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::gather::Gather as _;
use crate::limit::{Grant, PLACES_MAX};

/// How much room there is, see [`Terms::Enter`](crate::limit::Terms::Enter).
pub(super) struct Room {
    pub(super) conn: u64,
    pub(super) burst: u64,
    pub(super) delay_ms: u64,
}

/// Who has a place, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, u64>", into = "BTreeMap<String, u64>")]
pub(super) struct Places {
    by_id: BTreeMap<String, u64>,
    /// The same, whose time is over first stands first.
    by_end: BTreeSet<(u64, String)>,
}

impl Places {
    /// Whether there is a place for `id`, and until when this counts.
    pub(super) fn enter(
        &mut self,
        room: &Room,
        id: &str,
        hold_ms: u64,
        now_ms: u64,
    ) -> (Grant, u64) {
        let conn = room.conn.max(1);
        let until_ms = now_ms.saturating_add(hold_ms);
        self.free(now_ms);
        self.shorten(until_ms);
        let all = conn.saturating_add(room.burst).min(PLACES_MAX);
        if !self.by_id.contains_key(id) && self.count() >= all {
            return (Grant::default(), self.last());
        }
        self.put(id, until_ms);
        let before = self.count() - 1;
        let pause_ms = (before / conn).saturating_mul(room.delay_ms);
        let remaining = all.saturating_sub(self.count());
        (Grant { granted: 1, remaining, pause_ms, ..Grant::default() }, self.last())
    }

    /// Takes the place of `id` back; until when this counts.
    pub(super) fn leave(&mut self, id: &str) -> (Grant, u64) {
        if let Some(until_ms) = self.by_id.remove(id) {
            self.by_end.remove(&(until_ms, id.to_owned()));
        }
        (Grant::default(), self.last())
    }

    fn put(&mut self, id: &str, until_ms: u64) {
        if let Some(before) = self.by_id.insert(id.to_owned(), until_ms) {
            self.by_end.remove(&(before, id.to_owned()));
        }
        self.by_end.insert((until_ms, id.to_owned()));
    }

    /// Frees the places of those who have outlived their time.
    fn free(&mut self, now_ms: u64) {
        while let Some((until_ms, _)) = self.by_end.first()
            && *until_ms <= now_ms
            && let Some((_, id)) = self.by_end.pop_first()
        {
            self.by_id.remove(&id);
        }
    }

    /// Lets nobody have one for longer than until `latest`, whatever the clock said when it was taken.
    fn shorten(&mut self, latest: u64) {
        while let Some((until_ms, _)) = self.by_end.last()
            && *until_ms > latest
            && let Some((_, id)) = self.by_end.pop_last()
        {
            self.put(&id, latest);
        }
    }

    fn count(&self) -> u64 {
        u64::try_from(self.by_id.len()).unwrap_or(u64::MAX)
    }

    fn last(&self) -> u64 {
        self.by_end.last().map_or(0, |(until_ms, _)| *until_ms)
    }
}

impl From<BTreeMap<String, u64>> for Places {
    fn from(by_id: BTreeMap<String, u64>) -> Self {
        let by_end = by_id.iter().map(|(id, until_ms)| (*until_ms, id.clone())).gather();
        Self { by_id, by_end }
    }
}

impl From<Places> for BTreeMap<String, u64> {
    fn from(places: Places) -> Self {
        places.by_id
    }
}
