//! Counts of all isolates together: at the edge nobody else could say how branches fare.
//!
//! An isolate tells the coordinator beside its requests what it has counted since it told last
//! ([`Teller`]); the coordinator adds that up and keeps the sums ([`Tally`]), in memory and in the database
//! of the ledger.
//!
//! | what happens                            | so                                                      |
//! |-----------------------------------------|---------------------------------------------------------|
//! | a message or its answer is lost         | the isolate repeats it, word for word, with its number  |
//! | a message comes twice                   | its number is known: it is answered and adds nothing    |
//! | the object ends before sums are written | nobody was answered: all of them repeat                 |
//! | the object cannot write                 | the same, and it is tried again with the next message   |
//! | an isolate ends                         | what it had not told is lost: some seconds of requests  |
//! | the configuration changes               | routes and branches that it has no more are forgotten   |
//!
//! So nothing is counted twice, and what is lost is what nobody can tell any more.
//!
//! ## How much one object takes
//!
//! The platform's soft limit is 1,000 requests a second for an object. An isolate tells once in
//! [`PAUSE`] at most, so that 3,000 busy isolates make 300 messages a second. From there on the answer
//! tells each to pause for longer: with *n* isolates, n / [`TOLD_PER_SECOND`] seconds. The other 700 are
//! left to isolates that ask for news, and to the Admin API. A burst of isolates that begin at once and
//! have no answer yet is spread over half a pause, 5 s: 5,000 of them are 1,000 messages a second. What is
//! refused beyond that is told later, after 20, 40, ... 300 s ([`Teller`]).
//!
//! Answers wait for [`HOLD`], so that one write keeps what came meanwhile: however many isolates
//! tell, there is one transaction in 4 s, of a row for each branch that was counted and one for all
//! isolates.

mod teller;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::teller::Teller;
use crate::snapshot::Snapshot;
use crate::sql::{Cell, Sql};
use crate::status::{Place, Totals};
use crate::storage::StorageError;
use crate::time::Timestamp;

/// How long an isolate pauses between two messages, unless it is told or set otherwise.
pub const PAUSE: Duration = Duration::from_secs(10);

/// How long an answer waits for other messages, to be written together.
pub const HOLD: Duration = Duration::from_secs(4);

/// So many messages a second are what the object asks for at most.
pub const TOLD_PER_SECOND: u64 = 300;

/// The most bytes of a message. One of `LANES_MAX` branches has less than half of that.
pub const MESSAGE_MAX: usize = 1_048_576;

/// For how long the number of an isolate is known that tells nothing: longer than it repeats a message.
const FORGET: Duration = Duration::from_secs(2 * 3600);

/// So many isolates are known; of more, those that were silent for longest are forgotten. Together they
/// are one row, which may have 2 MB.
const ISOLATES_MAX: usize = 16_384;

/// So many branches are counted between two writes; a write forgets those that the configuration has not.
const LANES_MAX: usize = 50_000;

/// Whoever told within this time is busy.
const BUSY: Duration = Duration::from_secs(120);

/// What an isolate tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The isolate, by what it drew.
    pub isolate: Box<str>,
    /// The number of the message, from 1.
    pub number: u64,
    /// What it counted since the one before.
    pub more: Totals,
}

/// What an isolate is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// How long it should pause at least, in milliseconds.
    pub pause_ms: u64,
}

/// The sums, and whom they are from.
#[derive(Debug, Default)]
pub struct Tally {
    sum: Totals,
    isolates: BTreeMap<Box<str>, Isolate>,
    /// How many isolates were busy at the last write.
    busy_count: u64,
    /// What the database does not have yet.
    is_dirty: bool,
    dirty: BTreeSet<Place>,
}

/// The last message of an isolate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Isolate {
    number: u64,
    at_ms: u64,
}

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS tally (
        one INTEGER PRIMARY KEY,
        common TEXT NOT NULL,
        isolates TEXT NOT NULL
    ) STRICT",
    "CREATE TABLE IF NOT EXISTS tally_lanes (
        place TEXT PRIMARY KEY,
        counts TEXT NOT NULL
    ) STRICT, WITHOUT ROWID",
];

impl Tally {
    /// What the database remembers; makes the tables where there are none. What another version wrote in
    /// another way is forgotten. Where there is nothing yet, it begins at `now`.
    pub fn restore(sql: &impl Sql, now: Timestamp) -> Result<Self, StorageError> {
        TABLES.iter().try_for_each(|table| sql.query(table, &[]).map(drop))?;
        let mut tally = Self::default();
        let rows = sql.query("SELECT common, isolates FROM tally", &[])?;
        if let Some([Cell::Text(common), Cell::Text(isolates)]) = rows.first().map(Vec::as_slice) {
            tally.sum = serde_json::from_str(common).unwrap_or_default();
            tally.isolates = serde_json::from_str(isolates).unwrap_or_default();
        }
        for row in sql.query("SELECT place, counts FROM tally_lanes", &[])? {
            let [Cell::Text(place), Cell::Text(counts)] = row.as_slice() else { continue };
            let read = (serde_json::from_str(place), serde_json::from_str(counts));
            if let (Ok(place), Ok(counts)) = read {
                tally.sum.lanes.insert(place, counts);
            }
        }
        tally.sum.since_ms.get_or_insert(now.as_millis());
        Ok(tally)
    }

    /// What was told so far.
    pub const fn totals(&self) -> &Totals {
        &self.sum
    }

    /// Adds what an isolate tells, if that was not done. It may be answered once it is kept.
    pub fn note(&mut self, mut message: Message, now: Timestamp) -> Receipt {
        let known = self.isolates.get(&message.isolate).map_or(0, |known| known.number);
        if message.number > known {
            let mut room = LANES_MAX.saturating_sub(self.sum.lanes.len());
            message.more.lanes.retain(|place, _| {
                let is_known = self.sum.lanes.contains_key(place);
                room = room.saturating_sub(usize::from(!is_known));
                is_known || room > 0
            });
            // Viewers take another beginning for other counts, so it is not that of the first isolate.
            message.more.since_ms = self.sum.since_ms;
            self.sum.add(&message.more);
            self.dirty.extend(message.more.lanes.into_keys());
            let isolate = Isolate { number: message.number, at_ms: now.as_millis() };
            self.isolates.insert(message.isolate, isolate);
            self.is_dirty = true;
        }
        Receipt { pause_ms: self.busy_count.saturating_mul(1000) / TOLD_PER_SECOND }
    }

    /// Has the database remember what it does not have yet, but for what the configuration names no more.
    pub fn keep(
        &mut self,
        snapshot: Option<&Snapshot>,
        now: Timestamp,
        sql: &impl Sql,
    ) -> Result<(), StorageError> {
        if !self.is_dirty {
            return Ok(());
        }
        if let Some(snapshot) = snapshot {
            self.retain(snapshot);
        }
        self.forget(now);
        let Totals { since_ms, requests, .. } = self.sum;
        let (problems, lanes) = (self.sum.problems.clone(), BTreeMap::new());
        let common = Totals { since_ms, requests, lanes, problems };
        let values = [text(&common), text(&self.isolates)];
        sql.atomically(&mut || {
            sql.query(
                "INSERT OR REPLACE INTO tally (one, common, isolates) VALUES (1, ?1, ?2)",
                &values,
            )?;
            self.dirty.iter().try_for_each(|place| self.write(place, sql))
        })?;
        self.is_dirty = false;
        self.dirty.clear();
        Ok(())
    }

    /// Forgets branches that are not there any more; the next write forgets them too.
    fn retain(&mut self, snapshot: &Snapshot) {
        let before: Vec<Place> = self.sum.lanes.keys().cloned().collect();
        self.sum.retain(snapshot);
        if self.sum.lanes.len() < before.len() {
            let is_gone = |place: &Place| !self.sum.lanes.contains_key(place);
            self.dirty.extend(before.into_iter().filter(is_gone));
        }
    }

    /// Forgets isolates that have been silent for long.
    fn forget(&mut self, now: Timestamp) {
        let age = |isolate: &Isolate| now.since(Timestamp::from_millis(isolate.at_ms));
        self.isolates.retain(|_, isolate| age(isolate) < FORGET);
        if self.isolates.len() > ISOLATES_MAX {
            let mut times: Vec<u64> = self.isolates.values().map(|it| it.at_ms).collect();
            times.sort_unstable();
            let oldest = times.get(times.len() - ISOLATES_MAX).copied().unwrap_or_default();
            self.isolates.retain(|_, isolate| isolate.at_ms >= oldest);
        }
        let busy = self.isolates.values().filter(|isolate| age(isolate) < BUSY);
        self.busy_count = u64::try_from(busy.count()).unwrap_or(u64::MAX);
    }

    fn write(&self, place: &Place, sql: &impl Sql) -> Result<(), StorageError> {
        let written = match self.sum.lanes.get(place) {
            Some(counts) => sql.query(
                "INSERT OR REPLACE INTO tally_lanes (place, counts) VALUES (?1, ?2)",
                &[text(place), text(counts)],
            ),
            None => sql.query("DELETE FROM tally_lanes WHERE place = ?1", &[text(place)]),
        };
        written.map(drop)
    }
}

/// Names and numbers alone: there is nothing in it that JSON has not.
fn text(value: &impl Serialize) -> Cell {
    Cell::Text(serde_json::to_string(value).unwrap_or_default())
}

#[cfg(test)]
mod tests;
