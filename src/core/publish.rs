//! Publishing: a ledger's newest document is brought to where isolates read it, one KV value that
//! may be written once a second.
//!
//! | the ledger is at a revision that …            | so the next write is due                         |
//! |-----------------------------------------------|--------------------------------------------------|
//! | is published, or is 0: nothing was ever put   | never                                            |
//! | is newer                                      | a second after the last write began, or at once  |
//! | is newer, and the last writes failed          | 1, 2, 4, ... 60 s after the last of them began   |
//! | is newer, and a write is under way            | when that has taken longer than it may           |
//! | is published, after a write that was lost     | a minute after the last write began, once more   |
//!
//! What is written is the newest there is at that time, and one write at a time: changes in between
//! coalesce, and nothing older goes over something newer. A write of which nobody knows what became
//! of it, because it took too long or its writer died, may arrive behind the next one; so the next one
//! is repeated when that is over.

use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

use crate::config::FORMAT;
use crate::ledger::Ledger;
use crate::refresh::Wanted;
use crate::sql::{Cell, Sql};
use crate::storage::StorageError;
use crate::time::Timestamp;

/// KV takes one write a second of the same key.
const INTERVAL: Duration = Duration::from_secs(1);

/// The longest wait after a write that failed.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// When a write that was lost has surely arrived or never will.
const SETTLED: Duration = Duration::from_secs(60);

/// For how long a write may take.
pub const WRITE_MAX: Duration = Duration::from_secs(10);

/// After how long what could not be removed in time is tried again.
const EXPIRY_RETRY: Duration = Duration::from_secs(10);

/// What was published, and how that goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Publisher {
    published: u64,
    tried_at: Timestamp,
    failures: u32,
    /// The revision that is being written.
    writing: Option<u64>,
    /// Whether a write was lost, which may still arrive.
    is_unsettled: bool,
}

impl Publisher {
    /// When `revision`, which the ledger has, is to be written; never, if there is no need.
    pub fn due(&self, revision: u64, now: Timestamp) -> Option<Timestamp> {
        let pause = match (self.writing, self.failures) {
            (Some(_), _) => WRITE_MAX + INTERVAL,
            (None, _) if revision <= self.published && self.is_unsettled => SETTLED,
            (None, _) if revision <= self.published => return None,
            (None, 0) => INTERVAL,
            (None, failures) => backoff(failures),
        };
        // A clock that stepped back does not make anybody wait for longer than that.
        Some(now.plus(pause.saturating_sub(now.since(self.tried_at))))
    }

    /// Notes that the write of `revision` begins; `false` if it should not, for now.
    pub fn begin(&mut self, revision: u64, now: Timestamp) -> bool {
        let may = self.due(revision, now).is_some_and(|due| due <= now);
        if may {
            self.is_unsettled |= self.writing.is_some();
            (self.tried_at, self.writing) = (now, Some(revision));
        }
        may
    }

    /// Notes that the write that was begun is done.
    pub fn done(&mut self) {
        let revision = self.writing.take().unwrap_or_default();
        let is_repeated = revision <= self.published;
        self.is_unsettled &= !is_repeated;
        self.published = self.published.max(revision);
        self.failures = 0;
    }

    /// Notes that the write that was begun failed.
    pub fn failed(&mut self) {
        self.writing = None;
        self.failures = self.failures.saturating_add(1);
    }

    /// Notes that nobody knows what became of the write that was begun.
    pub fn lost(&mut self) {
        self.is_unsettled = true;
        self.failed();
    }

    /// What the database of the ledger remembers of an earlier life. A write that was under way at its
    /// end is lost.
    pub fn restore(sql: &impl Sql) -> Result<Self, StorageError> {
        sql.query(CREATE, &[])?;
        let rows = sql.query("SELECT revision, tried, failures, lost FROM publication", &[])?;
        let Some([Cell::Integer(revision), Cell::Integer(tried), Cell::Integer(failures), lost]) =
            rows.first().map(Vec::as_slice)
        else {
            return Ok(Self::default());
        };
        Ok(Self {
            published: u64::try_from(*revision).unwrap_or_default(),
            tried_at: Timestamp::from_millis(u64::try_from(*tried).unwrap_or_default()),
            failures: u32::try_from(*failures).unwrap_or_default(),
            writing: None,
            is_unsettled: *lost != Cell::Integer(0),
        })
    }

    /// Has the database of the ledger remember it: before a write, and after.
    pub fn keep(&self, sql: &impl Sql) -> Result<(), StorageError> {
        let number = |number: u64| Cell::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        let values = [
            number(self.published),
            number(self.tried_at.as_millis()),
            number(self.failures.into()),
            number((self.is_unsettled || self.writing.is_some()).into()),
        ];
        sql.query(
            "INSERT OR REPLACE INTO publication (one, revision, tried, failures, lost)
             VALUES (1, ?1, ?2, ?3, ?4)",
            &values,
        )
        .map(drop)
    }
}

const CREATE: &str = "CREATE TABLE IF NOT EXISTS publication (
        one INTEGER PRIMARY KEY,
        revision INTEGER NOT NULL,
        tried INTEGER NOT NULL,
        failures INTEGER NOT NULL,
        lost INTEGER NOT NULL
    ) STRICT";

/// 1, 2, 4, ... 60 s after so many failures in a row.
fn backoff(failures: u32) -> Duration {
    (INTERVAL * (1 << failures.saturating_sub(1).min(6))).min(BACKOFF_MAX)
}

/// When somebody has to look again: to publish, or to remove what has come to its time. What should
/// be gone already could not be removed, so it is tried again after a while.
pub fn next_look(
    publication: Option<Timestamp>,
    expiry: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    let expiry = expiry.map(|at| if at <= now { now.plus(EXPIRY_RETRY) } else { at });
    publication.into_iter().chain(expiry).min()
}

/// What an isolate asks the one who has the ledger: is there something newer than this?
pub fn question(wanted: Wanted<'_>) -> String {
    let told = match wanted {
        Wanted::Any => Value::Null,
        Wanted::Newer(it) => {
            json!({"format": FORMAT, "ledger": it.ledger, "revision": it.revision})
        }
        Wanted::None => Value::from("nothing"),
    };
    told.to_string()
}

/// Whether the ledger has news for whoever asked. One to which nothing was ever put has none: it must
/// not take the place of a document that somebody put into KV.
pub fn has_news(question: &[u8], ledger: &Ledger) -> bool {
    #[derive(Deserialize)]
    struct Known {
        ledger: Box<str>,
        revision: u64,
    }
    let known = match serde_json::from_slice::<Option<Known>>(question) {
        Ok(known) => known,
        Err(_) => return false,
    };
    let is_news = |it: Known| *it.ledger != *ledger.name() || it.revision < ledger.revision();
    ledger.revision() > 0 && known.is_none_or(is_news)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Published;

    const START_MS: u64 = 1_000_000;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(START_MS + millis)
    }

    #[track_caller]
    fn check(publisher: &Publisher, revision: u64, now_ms: u64, expected_ms: Option<u64>) {
        assert_eq!(publisher.due(revision, at(now_ms)), expected_ms.map(at));
    }

    #[test]
    fn an_empty_ledger_is_never_published() {
        check(&Publisher::default(), 0, 0, None);
        check(&Publisher::default(), 1, 0, Some(0));
    }

    #[test]
    fn changes_coalesce_to_one_write_a_second_at_most() {
        let mut publisher = Publisher::default();
        assert!(publisher.begin(1, at(0)));
        // While a write is under way there is no other, unless it is lost.
        assert!(!publisher.begin(2, at(100)));
        check(&publisher, 2, 100, Some(11_000));
        publisher.done();
        check(&publisher, 1, 200, None);
        check(&publisher, 7, 200, Some(1000));
        assert!(!publisher.begin(7, at(999)));
        assert!(publisher.begin(7, at(1000)));
        publisher.done();
        check(&publisher, 7, 1001, None);
        check(&publisher, 8, 60_000, Some(60_000));
    }

    #[test]
    fn failures_wait_longer_and_longer_up_to_a_minute() {
        let mut publisher = Publisher::default();
        let mut now_ms = 0;
        for wait_s in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert!(publisher.begin(3, at(now_ms)));
            publisher.failed();
            now_ms += wait_s * 1000;
            assert!(!publisher.begin(4, at(now_ms - 1)), "before {wait_s} s");
        }
        assert!(publisher.begin(5, at(now_ms)));
        publisher.done();
        check(&publisher, 5, now_ms, None);
        check(&publisher, 6, now_ms, Some(now_ms + 1000));
    }

    #[test]
    fn after_a_write_that_is_lost_the_next_is_repeated_when_it_has_settled() {
        let mut publisher = Publisher::default();
        assert!(publisher.begin(1, at(0)));
        publisher.lost();
        assert!(publisher.begin(2, at(1000)));
        publisher.done();
        check(&publisher, 2, 1100, Some(61_000));
        // Another change in between is published as ever.
        assert!(publisher.begin(3, at(2000)));
        publisher.done();
        check(&publisher, 3, 2000, Some(62_000));
        assert!(publisher.begin(3, at(62_000)));
        publisher.done();
        check(&publisher, 3, 62_000, None);
    }

    #[test]
    fn nobody_waits_for_a_writer_that_never_says_what_became_of_it() {
        let mut publisher = Publisher::default();
        assert!(publisher.begin(1, at(0)));
        assert!(publisher.begin(1, at(11_000)));
        publisher.done();
        check(&publisher, 1, 11_000, Some(71_000));
    }

    /// One row, kept as it is.
    #[derive(Default)]
    struct Row(std::cell::RefCell<Vec<Vec<Cell>>>);

    impl Sql for Row {
        fn query(&self, sql: &str, values: &[Cell]) -> Result<Vec<Vec<Cell>>, StorageError> {
            if sql.starts_with("INSERT") {
                *self.0.borrow_mut() = vec![values.to_vec()];
            }
            Ok(if sql.starts_with("SELECT") { self.0.borrow().clone() } else { Vec::new() })
        }

        fn atomically(
            &self,
            work: &mut dyn FnMut() -> Result<(), StorageError>,
        ) -> Result<(), StorageError> {
            work()
        }
    }

    #[test]
    fn a_later_life_knows_what_was_published_and_what_was_under_way() {
        let row = Row::default();
        assert_eq!(Publisher::restore(&row), Ok(Publisher::default()));
        let mut publisher = Publisher::default();
        assert!(publisher.begin(5, at(0)));
        publisher.done();
        publisher.keep(&row).expect("it is in memory");
        assert_eq!(Publisher::restore(&row), Ok(publisher));
        assert!(publisher.begin(6, at(1000)));
        publisher.keep(&row).expect("it is in memory");
        let mut later = Publisher::restore(&row).expect("it is in memory");
        assert!(later.begin(6, at(2000)));
        later.done();
        check(&later, 6, 2000, Some(62_000));
    }

    #[test]
    fn a_clock_that_steps_back_makes_nobody_wait_long() {
        let mut publisher = Publisher::default();
        assert!(publisher.begin(1, at(500_000)));
        publisher.done();
        check(&publisher, 2, 0, Some(1000));
    }

    #[test]
    fn the_earlier_of_two_is_looked_at_first() {
        let look = |publication: Option<u64>, expiry: Option<u64>| {
            next_look(publication.map(at), expiry.map(at), at(50))
        };
        assert_eq!(look(None, None), None);
        assert_eq!(look(Some(60), None), Some(at(60)));
        assert_eq!(look(Some(60), Some(55)), Some(at(55)));
        assert_eq!(look(Some(60), Some(70)), Some(at(60)));
        // It was tried at 50 and did not go.
        assert_eq!(look(None, Some(50)), Some(at(10_050)));
    }

    #[test]
    fn there_is_news_if_the_ledger_is_another_or_went_on() {
        let empty = Ledger::new("a");
        let ledger = Ledger::restore("a", 7, 7, []);
        let asked = |name: &str, revision| {
            question(Wanted::Newer(&Published { ledger: name.into(), revision })).into_bytes()
        };
        assert!(has_news(question(Wanted::Any).as_bytes(), &ledger));
        assert!(!has_news(question(Wanted::None).as_bytes(), &ledger));
        assert!(has_news(&asked("a", 6), &ledger));
        assert!(has_news(&asked("b", 9), &ledger));
        assert!(!has_news(&asked("a", 7), &ledger));
        assert!(!has_news(&asked("a", 8), &ledger));
        assert!(!has_news(b"nonsense", &ledger));
        for question in [question(Wanted::Any).into_bytes(), asked("a", 0), asked("b", 1)] {
            assert!(!has_news(&question, &empty));
        }
    }
}
