//! The ledger on SQLite: all SQL is here, for the file of a server and for the Durable Object alike.
//! A shell only executes it.
//!
//! The past is kept as what each change replaced: a document of the past is the present one with the
//! later changes taken back.

use serde_json::Value;

use crate::id::Id;
use crate::ledger::{Change, Edit, Entry, Ledger, Place, Section};
use crate::storage::{Before, DOCUMENT_MAX, Op, Retention, Storage, StorageError, Summary};
use crate::time::Timestamp;

/// The version of the tables.
pub const SCHEMA: i64 = 2;

/// A value in a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// A number; SQLite has no unsigned ones, and ours never come near its limit.
    Integer(i64),
    /// A text.
    Text(String),
}

/// A SQLite database that a runtime lends.
pub trait Sql {
    /// Executes one statement; the rows it brings, if any.
    fn query(&self, sql: &str, values: &[Cell]) -> Result<Vec<Vec<Cell>>, StorageError>;

    /// The most bytes of a whole document.
    fn document_max(&self) -> usize {
        DOCUMENT_MAX
    }

    /// Does the work in one transaction: all of it, or nothing if it fails.
    fn atomically(
        &self,
        work: &mut dyn FnMut() -> Result<(), StorageError>,
    ) -> Result<(), StorageError>;
}

const TABLES: [&str; 4] = [
    "CREATE TABLE meta (
        revision INTEGER NOT NULL,
        schema INTEGER NOT NULL DEFAULT 1,
        written INTEGER NOT NULL DEFAULT 0,
        name TEXT NOT NULL DEFAULT ''
    ) STRICT",
    "CREATE TABLE resources (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        value TEXT NOT NULL,
        created INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        expires INTEGER,
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID",
    CREATE_REVISIONS,
    CREATE_EDITS,
];

const CREATE_REVISIONS: &str = "CREATE TABLE revisions (
        revision INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        author TEXT NOT NULL,
        cause TEXT NOT NULL
    ) STRICT";

/// `value` and what follows it are what the entry was before; none, if it was not there.
const CREATE_EDITS: &str = "CREATE TABLE edits (
        revision INTEGER NOT NULL,
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        op TEXT NOT NULL,
        value TEXT,
        created INTEGER,
        modified INTEGER,
        expires INTEGER,
        PRIMARY KEY (revision, kind, id)
    ) STRICT, WITHOUT ROWID";

/// From the tables of the first version, which knew no past and no expiry.
const FROM_1: [&str; 7] = [
    "ALTER TABLE meta ADD COLUMN schema INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE meta ADD COLUMN written INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE meta ADD COLUMN name TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE resources ADD COLUMN expires INTEGER",
    "UPDATE meta SET written = revision",
    CREATE_REVISIONS,
    CREATE_EDITS,
];

/// A ledger on SQLite.
#[derive(Debug)]
pub struct SqlStorage<S> {
    sql: S,
}

impl<S: Sql> SqlStorage<S> {
    /// Makes the tables where there are none and brings those of an earlier version up to date.
    /// `name` is for a new ledger and should be drawn at random.
    pub fn open(sql: S, name: &str) -> Result<Self, StorageError> {
        sql.atomically(&mut || {
            match version(&sql)? {
                0 => {
                    each(&sql, &TABLES)?;
                    sql.query("INSERT INTO meta (revision) VALUES (0)", &[])?;
                }
                1 => each(&sql, &FROM_1)?,
                SCHEMA => return Ok(()),
                found => return Err(StorageError::Newer { found, known: SCHEMA }),
            }
            let values = [Cell::Integer(SCHEMA), Cell::Text(name.to_owned())];
            sql.query("UPDATE meta SET schema = ?1, name = ?2", &values).map(drop)
        })?;
        Ok(Self { sql })
    }

    /// The database.
    pub fn sql(&self) -> &S {
        &self.sql
    }

    fn write(&self, change: &Change, retention: Retention) -> Result<(), StorageError> {
        self.advance(change)?;
        let revision = number(change.revision);
        self.sql.query(
            "INSERT INTO revisions (revision, at, author, cause) VALUES (?1, ?2, ?3, ?4)",
            &[
                revision.clone(),
                time(change.at),
                Cell::Text(change.by.clone().into()),
                Cell::Text(change.cause.clone().into()),
            ],
        )?;
        change.edits.iter().try_for_each(|edit| self.write_edit(revision.clone(), edit))?;
        self.forget(change, retention)
    }

    /// Takes the one step to a revision, which nobody else may have taken.
    fn advance(&self, change: &Change) -> Result<(), StorageError> {
        let written = change.edits.iter().filter_map(|edit| edit.after.as_ref());
        let written = written.map(|entry| entry.modified.max(entry.created)).max().unwrap_or(0);
        let taken = self.sql.query(
            "UPDATE meta SET revision = ?1, written = max(written, ?3) WHERE revision = ?2
             RETURNING revision",
            &[number(change.revision), number(change.revision.saturating_sub(1)), number(written)],
        )?;
        if taken.is_empty() { Err(StorageError::Conflict) } else { Ok(()) }
    }

    fn write_edit(&self, revision: Cell, edit: &Edit) -> Result<(), StorageError> {
        let (section, id) = &edit.place;
        let place = [Cell::Text(section.name().to_owned()), Cell::Text(id.as_str().to_owned())];
        let op = Op::between(edit.before.as_ref(), edit.after.as_ref());
        let before = [revision].into_iter().chain(place.clone());
        let before = before.chain([Cell::Text(op.as_str().to_owned())]);
        let before: Vec<Cell> = before.chain(cells(edit.before.as_ref())).collect();
        self.sql.query(
            "INSERT INTO edits (revision, kind, id, op, value, created, modified, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            &before,
        )?;
        let done = match &edit.after {
            Some(entry) => {
                let after: Vec<Cell> = place.into_iter().chain(cells(Some(entry))).collect();
                self.sql.query(
                    "INSERT OR REPLACE INTO resources (kind, id, value, created, modified, expires)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    &after,
                )
            }
            None => self.sql.query("DELETE FROM resources WHERE kind = ?1 AND id = ?2", &place),
        };
        done.map(drop)
    }

    /// Lets go of the past that is too old or too much; the newest revision stays.
    fn forget(&self, change: &Change, retention: Retention) -> Result<(), StorageError> {
        let by_count = change.revision.saturating_sub(retention.revisions.max(1));
        let age_ms = u64::try_from(retention.age.as_millis()).unwrap_or(u64::MAX);
        let before = Timestamp::from_millis(change.at.as_millis().saturating_sub(age_ms));
        // What stands before all that is young enough: a clock that was wrong once makes nothing old
        // that is not.
        let young = "SELECT min(revision) FROM revisions WHERE at >= ?1";
        let by_age = match self.sql.query(young, &[time(before)])?.first().map(Vec::as_slice) {
            Some([first @ Cell::Integer(_)]) => unsigned(first)?.saturating_sub(1),
            _ => 0,
        };
        let last = [number(by_count.max(by_age))];
        self.sql.query("DELETE FROM revisions WHERE revision <= ?1", &last)?;
        self.sql.query("DELETE FROM edits WHERE revision <= ?1", &last).map(drop)
    }
}

impl<S: Sql> Storage for SqlStorage<S> {
    fn document_max(&self) -> usize {
        self.sql.document_max()
    }

    fn load(&mut self) -> Result<Ledger, StorageError> {
        let meta = self.sql.query("SELECT name, revision, written FROM meta", &[])?;
        let Some([Cell::Text(name), revision, written]) = meta.first().map(Vec::as_slice) else {
            return Err(StorageError::Unreadable("the revision is missing".to_owned()));
        };
        let rows = self
            .sql
            .query("SELECT kind, id, value, created, modified, expires FROM resources", &[])?;
        let entries: Result<Vec<_>, _> = rows
            .into_iter()
            .map(|row| {
                let (place, rest) = place_of(row)?;
                let entry = entry_of(&place, rest)?;
                entry.map(|entry| (place, entry)).ok_or_else(|| unreadable("an empty entry"))
            })
            .collect();
        Ok(Ledger::restore(name, unsigned(revision)?, unsigned(written)?, entries?))
    }

    fn commit(&mut self, change: &Change, retention: Retention) -> Result<(), StorageError> {
        self.sql.atomically(&mut || self.write(change, retention))
    }

    fn summaries(&mut self, below: u64, limit: usize) -> Result<Vec<Summary>, StorageError> {
        let limit = number(u64::try_from(limit).unwrap_or(u64::MAX));
        let rows = self.sql.query(
            "SELECT revision, at, author, cause FROM revisions WHERE revision < ?1
             ORDER BY revision DESC LIMIT ?2",
            &[number(below), limit],
        )?;
        rows.into_iter().map(|row| self.summary(&row)).collect()
    }

    fn befores(&mut self, revision: u64) -> Result<Vec<Before>, StorageError> {
        let rows = self.sql.query(
            // The other columns are those of the row with the least revision.
            "SELECT kind, id, value, created, modified, expires, min(revision) FROM edits
             WHERE revision > ?1 GROUP BY kind, id",
            &[number(revision)],
        )?;
        let read = |row| {
            let (place, mut rest) = place_of(row)?;
            rest.truncate(4);
            let before = entry_of(&place, rest)?;
            Ok((place, before))
        };
        rows.into_iter().map(read).collect()
    }
}

impl<S: Sql> SqlStorage<S> {
    fn summary(&self, row: &[Cell]) -> Result<Summary, StorageError> {
        let [revision, at, Cell::Text(by), Cell::Text(cause)] = row else {
            return Err(unreadable("a revision"));
        };
        let edits = self.sql.query(
            "SELECT kind, id, op FROM edits WHERE revision = ?1 ORDER BY kind, id LIMIT 1000",
            std::slice::from_ref(revision),
        )?;
        let edits: Result<Vec<(Place, Op)>, _> = edits
            .into_iter()
            .map(|row| {
                let (place, rest) = place_of(row)?;
                match rest.as_slice() {
                    [Cell::Text(op)] => Op::parse(op).map(|op| (place, op)),
                    _ => None,
                }
                .ok_or_else(|| unreadable("what a revision did"))
            })
            .collect();
        Ok(Summary {
            revision: unsigned(revision)?,
            at: Timestamp::from_millis(unsigned(at)?),
            by: by.as_str().into(),
            cause: cause.as_str().into(),
            edits: edits?,
        })
    }
}

/// The version of the tables; 0 where there are none.
fn version<S: Sql>(sql: &S) -> Result<i64, StorageError> {
    let columns = sql.query("SELECT name FROM pragma_table_info('meta')", &[])?;
    if columns.is_empty() {
        return Ok(0);
    }
    if !columns.iter().any(|row| row.first() == Some(&Cell::Text("schema".to_owned()))) {
        return Ok(1);
    }
    match sql.query("SELECT schema FROM meta", &[])?.first().map(Vec::as_slice) {
        Some([Cell::Integer(version)]) => Ok(*version),
        _ => Err(unreadable("the version of its tables")),
    }
}

fn each<S: Sql>(sql: &S, statements: &[&str]) -> Result<(), StorageError> {
    statements.iter().try_for_each(|statement| sql.query(statement, &[]).map(drop))
}

fn cells(entry: Option<&Entry>) -> [Cell; 4] {
    match entry {
        Some(Entry { value, created, modified, expires_at }) => [
            Cell::Text(value.to_string()),
            number(*created),
            number(*modified),
            expires_at.map_or(Cell::Null, time),
        ],
        None => [Cell::Null, Cell::Null, Cell::Null, Cell::Null],
    }
}

/// Section and id of a row, and the rest of it.
fn place_of(row: Vec<Cell>) -> Result<(Place, Vec<Cell>), StorageError> {
    let mut cells = row.into_iter();
    let (Some(Cell::Text(kind)), Some(Cell::Text(id))) = (cells.next(), cells.next()) else {
        return Err(unreadable("a row without a name"));
    };
    let place = Section::parse(&kind).zip(Id::restore(&id));
    let place = place.ok_or_else(|| StorageError::Unreadable(format!("`{kind}` `{id}`")))?;
    Ok((place, cells.collect()))
}

fn entry_of(place: &Place, cells: Vec<Cell>) -> Result<Option<Entry>, StorageError> {
    let of_place = || StorageError::Unreadable(format!("`{}` `{}`", place.0.name(), place.1));
    match cells.as_slice() {
        [Cell::Null, ..] => Ok(None),
        [Cell::Text(value), created, modified, expires] => {
            let value: Value = serde_json::from_str(value).map_err(|_| of_place())?;
            let expires_at = match expires {
                Cell::Null => None,
                other @ (Cell::Integer(_) | Cell::Text(_)) => {
                    Some(Timestamp::from_millis(unsigned(other)?))
                }
            };
            let (created, modified) = (unsigned(created)?, unsigned(modified)?);
            Ok(Some(Entry { value: value.into(), created, modified, expires_at }))
        }
        _ => Err(of_place()),
    }
}

fn unreadable(what: &str) -> StorageError {
    StorageError::Unreadable(what.to_owned())
}

fn number(number: u64) -> Cell {
    Cell::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn time(at: Timestamp) -> Cell {
    number(at.as_millis())
}

fn unsigned(cell: &Cell) -> Result<u64, StorageError> {
    match cell {
        Cell::Integer(number) => u64::try_from(*number).map_err(|_| unreadable("a number below 0")),
        Cell::Null | Cell::Text(_) => Err(unreadable("something else than a number")),
    }
}
