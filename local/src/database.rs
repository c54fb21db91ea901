//! The ledger on disk: all SQL is here.

use std::path::Path;

use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params,
};
use splitway_core::coordinator::{Change, Entry, Ledger};
use splitway_core::id::Id;
use splitway_core::kind::Kind;

/// The version of the tables, kept in `PRAGMA user_version`.
const SCHEMA: i64 = 1;

/// One process at a time; and what is committed survives a loss of power (`EXTRA` syncs the
/// directory too, without which the last commit could be rolled back).
const SETTINGS: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = DELETE;
    PRAGMA synchronous = EXTRA;
";

const TABLES: &str = "
    CREATE TABLE resources (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        value TEXT NOT NULL,
        created INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE meta (revision INTEGER NOT NULL) STRICT;
    INSERT INTO meta (revision) VALUES (0);
";

/// Why the ledger cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Another process has it.
    #[error("another process uses it")]
    InUse,
    /// A later Splitway made it.
    #[error("its tables have version {found}, this Splitway knows versions up to {SCHEMA}")]
    Newer {
        /// The version found.
        found: i64,
    },
    /// Something other than Splitway wrote to it.
    #[error("it holds a {kind} `{id}` that Splitway cannot read")]
    Unreadable {
        /// The kind as stored.
        kind: String,
        /// The id as stored.
        id: String,
    },
    /// The revision on disk is not the one before the change.
    #[error("it is not at the revision before the change")]
    OutOfStep,
    /// `SQLite` says no.
    #[error(transparent)]
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse,
            Some(_) | None => Self::Sqlite(error),
        }
    }
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Database {
    connection: Connection,
}

impl Database {
    /// Opens the file, makes it where there is none, and keeps every other process out.
    pub(crate) fn open(path: &Path) -> Result<Self, DatabaseError> {
        Self::prepare(Connection::open(path)?)
    }

    fn prepare(mut connection: Connection) -> Result<Self, DatabaseError> {
        connection.busy_timeout(std::time::Duration::ZERO)?;
        connection.execute_batch(SETTINGS)?;
        let step = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        match step.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))? {
            0 => {
                step.execute_batch(TABLES)?;
                step.pragma_update(None, "user_version", SCHEMA)?;
            }
            SCHEMA => {}
            found => return Err(DatabaseError::Newer { found }),
        }
        step.commit()?;
        Ok(Self { connection })
    }

    /// Reads everything.
    pub(crate) fn load(&self) -> Result<Ledger, DatabaseError> {
        let revision = self.connection.query_row("SELECT revision FROM meta", [], |row| row.get(0));
        let mut entries = Vec::new();
        let mut select =
            self.connection.prepare("SELECT kind, id, value, created, modified FROM resources")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, id): (String, String) = (row.get(0)?, row.get(1)?);
            let value: String = row.get(2)?;
            let parsed = (Kind::parse(&kind), Id::parse(&id), serde_json::from_str(&value));
            let (Some(known), Some(valid), Ok(value)) = parsed else {
                return Err(DatabaseError::Unreadable { kind, id });
            };
            let entry = Entry {
                value,
                created: from_stored(row.get(3)?),
                modified: from_stored(row.get(4)?),
            };
            entries.push(((known, valid), entry));
        }
        Ok(Ledger::restore(from_stored(revision?), entries.into_iter()))
    }

    /// Makes a change durable.
    pub(crate) fn commit(&mut self, change: &Change) -> Result<(), DatabaseError> {
        let step = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        advance(&step, change.revision)?;
        let (kind, id) = (change.kind.plural(), change.id.as_str());
        match &change.entry {
            Some(Entry { value, created, modified }) => step.execute(
                "INSERT OR REPLACE INTO resources (kind, id, value, created, modified)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![kind, id, value.to_string(), to_stored(*created), to_stored(*modified)],
            )?,
            None => {
                step.execute("DELETE FROM resources WHERE kind = ?1 AND id = ?2", [kind, id])?
            }
        };
        Ok(step.commit()?)
    }
}

/// Takes the one step to `revision`, which nobody else may have taken.
fn advance(step: &Transaction<'_>, revision: u64) -> Result<(), DatabaseError> {
    let before = to_stored(revision.saturating_sub(1));
    let found: Option<i64> = step
        .query_row(
            "UPDATE meta SET revision = ?1 WHERE revision = ?2 RETURNING revision",
            [to_stored(revision), before],
            |row| row.get(0),
        )
        .optional()?;
    found.map(|_| ()).ok_or(DatabaseError::OutOfStep)
}

/// `SQLite` has no unsigned integers; a revision counts writes and never comes near the limit.
fn to_stored(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

fn from_stored(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn database() -> Database {
        Database::prepare(Connection::open_in_memory().expect("memory")).expect("tables")
    }

    fn change(revision: u64, value: Option<serde_json::Value>) -> Change {
        let id = Id::parse("r").expect("an id");
        let entry = value.map(|value| Entry { value, created: 1, modified: revision });
        Change { revision, kind: Kind::Route, id, entry }
    }

    #[test]
    fn what_is_committed_is_loaded() {
        let mut database = database();
        database.commit(&change(1, Some(json!({"uri": "/a"})))).expect("committed");
        database.commit(&change(2, Some(json!({"uri": "/b"})))).expect("committed");
        let rows = "SELECT revision, value, created, modified FROM meta, resources";
        let stored = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?))
        };
        let found = database.connection.query_row(rows, [], stored).expect("a row");
        assert_eq!(found, (2, r#"{"uri":"/b"}"#.to_owned(), 1, 2));
        database.load().expect("a ledger");
        database.commit(&change(3, None)).expect("committed");
        let count = database
            .connection
            .query_row("SELECT count(*) FROM resources", [], |row| row.get::<_, i64>(0));
        assert_eq!(count, Ok(0));
    }

    #[test]
    fn a_step_can_be_taken_once() {
        let mut database = database();
        database.commit(&change(1, None)).expect("committed");
        let again = database.commit(&change(1, None));
        assert!(matches!(again, Err(DatabaseError::OutOfStep)), "{again:?}");
    }

    #[test]
    fn later_tables_are_refused_by_version() {
        let connection = Connection::open_in_memory().expect("memory");
        connection.pragma_update(None, "user_version", SCHEMA + 1).expect("set");
        let refused = Database::prepare(connection).map(|_| ()).expect_err("newer");
        assert_eq!(
            refused.to_string(),
            "its tables have version 2, this Splitway knows versions up to 1"
        );
    }
}
