//! What keeps a ledger: a database, or a cluster of them. A runtime lends it.

use std::time::Duration;

use crate::ledger::{Change, Entry, Ledger, Place};
use crate::time::Timestamp;

/// Why a ledger could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// Somebody else has taken the step from this revision.
    Conflict,
    /// There is no room for it.
    Full(String),
    /// It cannot be had at the moment: read-only, out of reach, in use.
    Unavailable(String),
    /// A later Splitway made it; the version of its tables, and the latest one known here.
    Newer {
        /// The version found.
        found: i64,
        /// The latest version known.
        known: i64,
    },
    /// It holds what Splitway cannot have written.
    Unreadable(String),
}

impl std::fmt::Display for StorageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Conflict => f.write_str("it is not at the revision before the change"),
            Self::Full(why) => write!(f, "there is no room: {why}"),
            Self::Unavailable(why) => f.write_str(why),
            Self::Newer { found, known } => write!(
                f,
                "its tables have version {found}, this Splitway knows versions up to {known}"
            ),
            Self::Unreadable(what) => write!(f, "it holds what Splitway cannot read: {what}"),
        }
    }
}

impl std::error::Error for StorageError {}

/// How much of the past is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// At most so many revisions.
    pub revisions: u64,
    /// None older than this.
    pub age: Duration,
}

impl Retention {
    /// What settings say, the number of revisions and of days; `Err` says what was expected.
    pub fn parse(revisions: Option<&str>, days: Option<&str>) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected whole numbers, and of revisions 1 at least";
        let default = Self::default();
        let number = |text: Option<&str>| match text {
            Some(text) => text.parse::<u32>().map(Some).map_err(|_| EXPECTED),
            None => Ok(None),
        };
        let (revisions, days) = (number(revisions)?, number(days)?);
        match revisions {
            Some(0) => Err(EXPECTED),
            revisions => Ok(Self {
                revisions: revisions.map_or(default.revisions, u64::from),
                age: days.map_or(default.age, |days| Duration::from_secs(u64::from(days) * 86_400)),
            }),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { revisions: 1000, age: Duration::from_secs(90 * 86_400) }
    }
}

/// The most bytes of a whole document, as JSON.
pub const DOCUMENT_MAX: usize = 8 * 1024 * 1024;

/// The same where the memory of an isolate, 128 MB, is all there is: to put 4.3 MiB takes 110 MB
/// there.
pub const DOCUMENT_MAX_AT_EDGE: usize = 4_718_592;

/// What a change did to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// It is new.
    Add,
    /// It is another.
    Change,
    /// It is gone.
    Remove,
}

impl Op {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Change => "change",
            Self::Remove => "remove",
        }
    }

    /// The operation of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Add, Self::Change, Self::Remove].into_iter().find(|op| op.as_str() == word)
    }

    /// What leads from one state to another.
    pub fn between<T>(before: Option<&T>, after: Option<&T>) -> Self {
        match (before, after) {
            (None, _) => Self::Add,
            (Some(_), Some(_)) => Self::Change,
            (Some(_), None) => Self::Remove,
        }
    }
}

/// A revision of the past, without its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its number.
    pub revision: u64,
    /// When it was made.
    pub at: Timestamp,
    /// Who made it.
    pub by: Box<str>,
    /// What was asked for.
    pub cause: Box<str>,
    /// What it did, to which entries; of a large change a thousand or more of them.
    pub edits: Vec<(Place, Op)>,
}

/// The state of an entry before a change.
pub type Before = (Place, Option<Entry>);

/// What keeps a ledger.
pub trait Storage {
    /// Reads all of it.
    fn load(&mut self) -> Result<Ledger, StorageError>;

    /// Makes a change durable, all of it or nothing, and lets go of what is older than it should be.
    fn commit(&mut self, change: &Change, retention: Retention) -> Result<(), StorageError>;

    /// The revisions below `below`, the newest first, at most `limit`.
    fn summaries(&mut self, below: u64, limit: usize) -> Result<Vec<Summary>, StorageError>;

    /// What the entries that changed after `revision` were then. Where one is told several times, the
    /// first is right.
    fn befores(&mut self, revision: u64) -> Result<Vec<Before>, StorageError>;

    /// The most bytes of a whole document.
    fn document_max(&self) -> usize {
        DOCUMENT_MAX
    }
}

impl<T: Storage + ?Sized> Storage for Box<T> {
    fn document_max(&self) -> usize {
        (**self).document_max()
    }

    fn load(&mut self) -> Result<Ledger, StorageError> {
        (**self).load()
    }

    fn commit(&mut self, change: &Change, retention: Retention) -> Result<(), StorageError> {
        (**self).commit(change, retention)
    }

    fn summaries(&mut self, below: u64, limit: usize) -> Result<Vec<Summary>, StorageError> {
        (**self).summaries(below, limit)
    }

    fn befores(&mut self, revision: u64) -> Result<Vec<Before>, StorageError> {
        (**self).befores(revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_past_are_whole_numbers() {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        for (revisions, age, expected) in [
            (None, None, Some((1000, days(90)))),
            (Some("5"), None, Some((5, days(90)))),
            (None, Some("0"), Some((1000, days(0)))),
            (Some("0"), None, None),
            (Some("-1"), None, None),
            (None, Some("1.5"), None),
            (None, Some(""), None),
        ] {
            let read = Retention::parse(revisions, age).ok();
            let read = read.map(|retention| (retention.revisions, retention.age));
            assert_eq!(read, expected, "{revisions:?} {age:?}");
        }
    }
}
