//! The ledger's SQLite file. All SQL of the ledger is in the core; this executes it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, ToSql, TransactionBehavior};
use splitway_core::sql::{Cell, SCHEMA, Sql};
use splitway_core::storage::StorageError;

/// One process at a time; and what is committed survives a loss of power: the log is synced before
/// a commit returns.
const SETTINGS: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
";

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Another process has it.
    #[error("another process uses it")]
    InUse,
    /// The file, or the disk that it is on.
    #[error("it is read-only")]
    ReadOnly,
    /// It can neither be opened nor made.
    #[error(transparent)]
    File(io::Error),
    /// A later Splitway made it.
    #[error("its tables have version {found}, this Splitway knows versions up to {SCHEMA}")]
    Newer {
        /// The version found.
        found: i64,
    },
    /// What it holds is not what Splitway writes, or it cannot be read at the moment.
    #[error(transparent)]
    Storage(StorageError),
    /// `SQLite` says no.
    #[error(transparent)]
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(_) | None => Self::Sqlite(error),
        }
    }
}

impl From<StorageError> for DatabaseError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Newer { found, .. } => Self::Newer { found },
            other @ (StorageError::Conflict
            | StorageError::Full(_)
            | StorageError::Unavailable(_)
            | StorageError::Unreadable(_)) => Self::Storage(other),
        }
    }
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Database {
    connection: Connection,
    /// The folder of the file, locked for as long as this lives.
    _folder: Option<File>,
}

impl Database {
    /// Opens the file, makes it where there is none, and keeps every other process out.
    pub(crate) fn open(path: &Path) -> Result<Self, DatabaseError> {
        // First of all: two who open the file at once could keep each other out of it. And where this
        // process has it open already, closing it a second time would let go of SQLite's own locks.
        let folder = lock_folder(path)?;
        // For its owner alone: it holds keys of consumers. If that fails, SQLite says why.
        drop(OpenOptions::new().append(true).create(true).mode(0o600).open(path));
        let opened = Connection::open(path).map_err(DatabaseError::from);
        let prepared = opened.and_then(Self::prepare);
        let locked = prepared.map(|database| Self { _folder: folder, ..database });
        locked.map_err(|error| match error {
            DatabaseError::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) => {
                    why_not(path).unwrap_or(DatabaseError::Sqlite(error))
                }
                Some(_) | None => DatabaseError::Sqlite(error),
            },
            other @ (DatabaseError::InUse
            | DatabaseError::ReadOnly
            | DatabaseError::File(_)
            | DatabaseError::Newer { .. }
            | DatabaseError::Storage(_)) => other,
        })
    }

    fn prepare(mut connection: Connection) -> Result<Self, DatabaseError> {
        connection.busy_timeout(std::time::Duration::ZERO)?;
        connection.execute_batch(SETTINGS)?;
        // Takes the lock for as long as the file is open.
        connection.transaction_with_behavior(TransactionBehavior::Exclusive)?.commit()?;
        Ok(Self { connection, _folder: None })
    }
}

/// Takes the folder of a file for this process alone; the system lets go of it with the process. Where
/// folders cannot be locked, there are SQLite's own locks.
fn lock_folder(path: &Path) -> Result<Option<File>, DatabaseError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) else { return Ok(None) };
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(DatabaseError::InUse),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// What the system says about a file that `SQLite` could not open or lock.
fn why_not(path: &Path) -> Option<DatabaseError> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.err().map(|error| {
        let is_read_only = error.kind() == ErrorKind::ReadOnlyFilesystem;
        if is_read_only { DatabaseError::ReadOnly } else { DatabaseError::File(error) }
    })
}

impl Sql for Database {
    fn query(&self, sql: &str, values: &[Cell]) -> Result<Vec<Vec<Cell>>, StorageError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(name)?;
        let columns = statement.column_count();
        let values = values.iter().map(|value| match value {
            Cell::Null => &rusqlite::types::Null as &dyn ToSql,
            Cell::Integer(number) => number,
            Cell::Text(text) => text,
        });
        let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(name)?;
        let mut read = Vec::new();
        while let Some(row) = rows.next().map_err(name)? {
            let cells = (0..columns).map(|column| cell(row.get_ref(column).map_err(name)?));
            read.push(cells.collect::<Result<Vec<Cell>, StorageError>>()?);
        }
        Ok(read)
    }

    fn atomically(
        &self,
        work: &mut dyn FnMut() -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        // Dropped without a commit it takes everything back.
        let step = self.connection.unchecked_transaction().map_err(name)?;
        work()?;
        step.commit().map_err(name)
    }
}

fn cell(value: ValueRef<'_>) -> Result<Cell, StorageError> {
    match value {
        ValueRef::Null => Ok(Cell::Null),
        ValueRef::Integer(number) => Ok(Cell::Integer(number)),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Ok(Cell::Text(text.to_owned())),
            Err(_) => Err(StorageError::Unreadable("a text that is not UTF-8".to_owned())),
        },
        ValueRef::Real(_) | ValueRef::Blob(_) => {
            Err(StorageError::Unreadable("a value that is neither text nor number".to_owned()))
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is mapped over results")]
fn name(error: rusqlite::Error) -> StorageError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StorageError::Full(error.to_string()),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StorageError::Unreadable(error.to_string())
        }
        Some(_) | None => StorageError::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use splitway_core::id::Id;
    use splitway_core::kind::Kind;
    use splitway_core::ledger::{Change, Edit, Entry, Section};
    use splitway_core::sql::SqlStorage;
    use splitway_core::storage::{Op, Retention, Storage};
    use splitway_core::time::Timestamp;
    use std::time::Duration;

    fn database() -> Database {
        Database::prepare(Connection::open_in_memory().expect("memory")).expect("settings")
    }

    fn storage(database: Database) -> SqlStorage<Database> {
        SqlStorage::open(database, "test").expect("tables")
    }

    fn entry(revision: u64) -> Entry {
        let value = json!({"uri": format!("/{revision}")});
        Entry { value: value.into(), created: 1, modified: revision, expires_at: None }
    }

    /// Each revision replaces the one route.
    fn change(revision: u64) -> Change {
        let id = Id::parse("r").expect("an id");
        let before = (revision > 1).then(|| entry(revision - 1));
        let after = Some(entry(revision));
        let edit = Edit { place: (Section::Resource(Kind::Route), id), before, after };
        let at = Timestamp::from_millis(revision * 1000);
        Change { revision, at, by: "me".into(), cause: "put".into(), edits: vec![edit] }
    }

    /// What makes a commit survive the loss of power.
    #[test]
    fn commits_are_synced() {
        let dir = tempfile::TempDir::new().expect("a directory");
        let database = Database::open(&dir.path().join("splitway.db")).expect("a database");
        for (setting, expected) in [
            ("journal_mode", Cell::Text("wal".to_owned())),
            ("locking_mode", Cell::Text("exclusive".to_owned())),
            // FULL: the log is synced with each commit.
            ("synchronous", Cell::Integer(2)),
        ] {
            let told = database.query(&format!("PRAGMA {setting}"), &[]).expect("a row");
            assert_eq!(told, [[expected]], "{setting}");
        }
    }

    #[test]
    fn what_is_committed_is_loaded() {
        let mut storage = storage(database());
        for revision in 1..=3 {
            storage.commit(&change(revision), Retention::default()).expect("committed");
        }
        let ledger = storage.load().expect("a ledger");
        assert_eq!((ledger.name(), ledger.revision(), ledger.written()), ("test", 3, 3));
        let entries: Vec<_> = ledger.entries().map(|(_, entry)| entry.clone()).collect();
        assert_eq!(entries, [entry(3)]);
        let summaries = storage.summaries(u64::MAX, 2).expect("revisions");
        let told: Vec<_> =
            summaries.iter().map(|it| (it.revision, it.edits.first().map(|edit| edit.1))).collect();
        assert_eq!(told, [(3, Some(Op::Change)), (2, Some(Op::Change))]);
        let befores = storage.befores(1).expect("befores");
        let values: Vec<_> = befores.into_iter().map(|(_, before)| before).collect();
        assert_eq!(values, [Some(entry(1))]);
    }

    #[test]
    fn a_step_can_be_taken_once_and_a_failed_one_leaves_nothing() {
        let mut storage = storage(database());
        storage.commit(&change(1), Retention::default()).expect("committed");
        let again = storage.commit(&change(1), Retention::default());
        assert_eq!(again, Err(StorageError::Conflict));
        let before = storage.load().expect("a ledger");
        storage.sql().query("DROP TABLE edits", &[]).expect("dropped");
        let failed = storage.commit(&change(2), Retention::default());
        assert!(matches!(failed, Err(StorageError::Unavailable(_))), "{failed:?}");
        assert_eq!(storage.load().expect("a ledger"), before);
    }

    #[test]
    fn the_past_is_kept_by_count_and_age() {
        for (retention, kept) in [
            (Retention { revisions: 2, ..Retention::default() }, vec![5, 4]),
            (Retention { revisions: 0, ..Retention::default() }, vec![5]),
            (Retention { age: Duration::from_secs(2), ..Retention::default() }, vec![5, 4, 3]),
            (Retention { age: Duration::ZERO, ..Retention::default() }, vec![5]),
        ] {
            let mut storage = storage(database());
            for revision in 1..=5 {
                storage.commit(&change(revision), retention).expect("committed");
            }
            let summaries = storage.summaries(u64::MAX, 10).expect("revisions");
            let revisions: Vec<u64> = summaries.iter().map(|summary| summary.revision).collect();
            assert_eq!(revisions, kept, "{retention:?}");
        }
    }

    #[test]
    fn one_has_the_file_until_it_lets_go() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("splitway.db");
        let first = Database::open(&path).expect("a database");
        for _ in 0..2 {
            let second = Database::open(&path).map(|_| ());
            assert!(matches!(second, Err(DatabaseError::InUse)), "{second:?}");
        }
        drop(first);
        Database::open(&path).expect("it is free");
    }

    #[test]
    fn a_clock_that_was_wrong_once_makes_nothing_old() {
        const DAY_MS: u64 = 86_400_000;
        let mut storage = storage(database());
        for (revision, day) in [(1, 1000), (2, 1000), (3, 0), (4, 1000)] {
            let at = Timestamp::from_millis(day * DAY_MS);
            let change = Change { at, ..change(revision) };
            storage.commit(&change, Retention::default()).expect("committed");
        }
        assert_eq!(storage.summaries(u64::MAX, 10).expect("revisions").len(), 4);
    }

    #[test]
    fn later_tables_are_refused_by_version() {
        let database = database();
        database.query("CREATE TABLE meta (schema INTEGER NOT NULL)", &[]).expect("made");
        let version = [Cell::Integer(SCHEMA + 1)];
        database.query("INSERT INTO meta VALUES (?1)", &version).expect("set");
        let refused = SqlStorage::open(database, "test").map(|_| ()).expect_err("newer");
        assert_eq!(
            DatabaseError::from(refused).to_string(),
            "its tables have version 3, this Splitway knows versions up to 2"
        );
    }

    /// The tables of the first version, as it made them.
    #[test]
    fn the_first_tables_are_brought_up_to_date() {
        let database = database();
        for statement in [
            "CREATE TABLE resources (kind TEXT NOT NULL, id TEXT NOT NULL, value TEXT NOT NULL,
             created INTEGER NOT NULL, modified INTEGER NOT NULL, PRIMARY KEY (kind, id)
             ) STRICT, WITHOUT ROWID",
            "CREATE TABLE meta (revision INTEGER NOT NULL) STRICT",
            "INSERT INTO meta (revision) VALUES (7)",
            r#"INSERT INTO resources VALUES ('routes', 'r', '{"uri":"/7"}', 1, 7)"#,
            "PRAGMA user_version = 1",
        ] {
            database.query(statement, &[]).expect("made");
        }
        let mut storage = storage(database);
        let ledger = storage.load().expect("a ledger");
        assert_eq!((ledger.name(), ledger.revision(), ledger.written()), ("test", 7, 7));
        storage.commit(&change(8), Retention::default()).expect("committed");
        let befores = storage.befores(7).expect("befores");
        assert_eq!(befores.first().map(|(_, before)| before.clone()), Some(Some(entry(7))));
    }
}
