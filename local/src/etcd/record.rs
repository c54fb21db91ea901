//! What stands in the values: JSON, and how a long one is cut.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use splitway_core::id::Id;
use splitway_core::ledger::{Change, Edit, Entry, Ledger, Place, Section};
use splitway_core::storage::{Op, StorageError, Summary};
use splitway_core::time::Timestamp;

/// The format that this version writes, and the latest that it reads.
pub(crate) const FORMAT: i64 = 1;

/// The most bytes of one value: a third of what etcd takes in one request (1.5 MiB).
pub(super) const PART_MAX: usize = 512 * 1024;

/// The value of `head`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    format: i64,
    /// What tells this ledger from others.
    pub(super) name: String,
    /// The current revision.
    pub(super) revision: u64,
    /// The number of the last write of an entry.
    pub(super) written: u64,
    /// The id of the change that led here.
    pub(super) id: String,
}

#[derive(Deserialize)]
struct Format {
    format: i64,
}

impl Head {
    /// The head of a ledger whose last change was `id`.
    pub(super) fn of(ledger: &Ledger, id: &str) -> Self {
        Self {
            format: FORMAT,
            name: ledger.name().to_owned(),
            revision: ledger.revision(),
            written: ledger.written(),
            id: id.to_owned(),
        }
    }

    /// The head after a change with this id.
    pub(super) fn after(&self, change: &Change, id: &str) -> Self {
        let entries = change.edits.iter().filter_map(|edit| edit.after.as_ref());
        let written = entries.map(|entry| entry.modified.max(entry.created)).max().unwrap_or(0);
        Self {
            revision: change.revision,
            written: self.written.max(written),
            id: id.to_owned(),
            ..self.clone()
        }
    }

    /// Reads a value; that of a later version is refused by its number, whatever else it says.
    pub(super) fn read(value: &[u8]) -> Result<Self, StorageError> {
        let Format { format: found } = read(value, "head")?;
        match found {
            FORMAT => read(value, "head"),
            found if found > FORMAT => Err(StorageError::Newer { found, known: FORMAT }),
            found => Err(StorageError::Unreadable(format!("the format {found}"))),
        }
    }
}

/// The value of a key of `log`: a change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Step {
    /// Drawn by the writer, so that it knows its change again.
    pub(super) id: String,
    at: u64,
    by: Box<str>,
    cause: Box<str>,
    /// What it did, where that is in parts: enough for a list of changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ops: Option<Vec<(String, String, String)>>,
    /// What it did, where that is short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edits: Option<Vec<EditRecord>>,
    /// How many parts it has, where it is long.
    #[serde(default)]
    pub(super) parts: usize,
}

/// The value of `base`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Base {
    /// The ledger.
    pub(super) name: String,
    /// Its revision.
    pub(super) revision: u64,
    /// What its parts are found by.
    pub(super) id: String,
    /// How many parts there are.
    pub(super) parts: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct EntryRecord {
    value: Value,
    created: u64,
    modified: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct EditRecord {
    section: String,
    id: String,
    before: Option<EntryRecord>,
    after: Option<EntryRecord>,
}

#[derive(Serialize, Deserialize)]
struct LedgerRecord {
    written: u64,
    entries: Vec<(String, String, EntryRecord)>,
}

/// How many edits a list of changes tells of a long change; of the rest it must read the parts.
const OPS_MAX: usize = 200;

impl Step {
    /// The step of a change, and its edits as JSON where they are longer than `inline_max` bytes.
    pub(super) fn of(change: &Change, id: String, inline_max: usize) -> (Self, Vec<u8>) {
        let edits: Vec<EditRecord> = change.edits.iter().map(EditRecord::of).collect();
        let text = write(&edits);
        let mut step = Self {
            id,
            at: change.at.as_millis(),
            by: change.by.clone(),
            cause: change.cause.clone(),
            ops: None,
            edits: None,
            parts: 0,
        };
        if text.len() <= inline_max {
            step.edits = Some(edits);
            return (step, Vec::new());
        }
        step.parts = text.len().div_ceil(PART_MAX);
        if edits.len() <= OPS_MAX {
            let ops = ops(&change.edits).into_iter();
            step.ops = Some(
                ops.map(|((section, id), op)| {
                    (section.name().to_owned(), id.as_str().to_owned(), op.as_str().to_owned())
                })
                .collect(),
            );
        }
        (step, text)
    }

    /// Reads a value.
    pub(super) fn read(value: &[u8]) -> Result<Self, StorageError> {
        read(value, "a change")
    }

    /// When it was made.
    pub(super) fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.at)
    }

    /// The change; `parts` is the JSON of its edits, where it has parts.
    pub(super) fn into_change(self, revision: u64, parts: &[u8]) -> Result<Change, StorageError> {
        let at = self.at();
        let edits = match self.edits {
            Some(edits) => edits,
            None => read(parts, "the parts of a change")?,
        };
        let edits: Result<Vec<Edit>, _> = edits.into_iter().map(EditRecord::into_edit).collect();
        Ok(Change { revision, at, by: self.by, cause: self.cause, edits: edits? })
    }

    /// What is told of it in a list, if that is here.
    pub(super) fn summary(&self, revision: u64) -> Option<Summary> {
        let edits = self.ops.as_ref()?.iter().map(|(section, id, op)| {
            Some(((Section::parse(section)?, Id::restore(id)?), Op::parse(op)?))
        });
        let edits = edits.collect::<Option<_>>()?;
        let (by, cause) = (self.by.clone(), self.cause.clone());
        Some(Summary { revision, at: self.at(), by, cause, edits })
    }
}

/// What is told of a change in a list.
pub(super) fn summary(change: &Change) -> Summary {
    Summary {
        revision: change.revision,
        at: change.at,
        by: change.by.clone(),
        cause: change.cause.clone(),
        edits: ops(&change.edits),
    }
}

/// What edits do, by the names of sections and by ids.
fn ops(edits: &[Edit]) -> Vec<(Place, Op)> {
    let op = |edit: &Edit| Op::between(edit.before.as_ref(), edit.after.as_ref());
    let mut ops: Vec<_> = edits.iter().map(|edit| (edit.place.clone(), op(edit))).collect();
    ops.sort_by(|((a, a_id), _), ((b, b_id), _)| (a.name(), a_id).cmp(&(b.name(), b_id)));
    ops
}

impl EditRecord {
    fn of(edit: &Edit) -> Self {
        let (section, id) = &edit.place;
        Self {
            section: section.name().to_owned(),
            id: id.as_str().to_owned(),
            before: edit.before.as_ref().map(EntryRecord::of),
            after: edit.after.as_ref().map(EntryRecord::of),
        }
    }

    fn into_edit(self) -> Result<Edit, StorageError> {
        let place = place(&self.section, &self.id)?;
        let [before, after] = [self.before, self.after].map(|it| it.map(EntryRecord::into_entry));
        Ok(Edit { place, before, after })
    }
}

impl EntryRecord {
    fn of(entry: &Entry) -> Self {
        Self {
            value: (*entry.value).clone(),
            created: entry.created,
            modified: entry.modified,
            expires: entry.expires_at.map(Timestamp::as_millis),
        }
    }

    fn into_entry(self) -> Entry {
        let expires_at = self.expires.map(Timestamp::from_millis);
        Entry {
            value: self.value.into(),
            created: self.created,
            modified: self.modified,
            expires_at,
        }
    }
}

/// A whole ledger as JSON.
pub(super) fn write_ledger(ledger: &Ledger) -> Vec<u8> {
    let entries = ledger.entries().map(|((section, id), entry)| {
        (section.name().to_owned(), id.as_str().to_owned(), EntryRecord::of(entry))
    });
    write(&LedgerRecord { written: ledger.written(), entries: entries.collect() })
}

/// Reads what [`write_ledger`] wrote.
pub(super) fn read_ledger(name: &str, revision: u64, text: &[u8]) -> Result<Ledger, StorageError> {
    let record: LedgerRecord = read(text, "a whole ledger")?;
    let entries = record.entries.into_iter();
    let entries: Result<Vec<_>, StorageError> = entries
        .map(|(section, id, entry)| Ok((place(&section, &id)?, entry.into_entry())))
        .collect();
    Ok(Ledger::restore(name, revision, record.written, entries?))
}

fn place(section: &str, id: &str) -> Result<Place, StorageError> {
    let place = Section::parse(section).zip(Id::restore(id));
    place.ok_or_else(|| StorageError::Unreadable(format!("`{section}` `{id}`")))
}

/// A value of `base`, read.
pub(super) fn read_base(value: &[u8]) -> Result<Base, StorageError> {
    read(value, "base")
}

/// A value as JSON.
pub(super) fn write(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("names, numbers and JSON are JSON")
}

fn read<'v, T: Deserialize<'v>>(value: &'v [u8], what: &str) -> Result<T, StorageError> {
    serde_json::from_slice(value)
        .map_err(|error| StorageError::Unreadable(format!("{what}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use splitway_core::kind::Kind;

    fn change(bytes: usize) -> Change {
        let entry = |at| Entry {
            value: json!({"uri": "/r", "desc": "x".repeat(bytes)}).into(),
            created: 1,
            modified: at,
            expires_at: Some(Timestamp::from_millis(7)),
        };
        let id = Id::parse("r").expect("an id");
        let place = (Section::Resource(Kind::Route), id);
        let edit = Edit { place, before: Some(entry(2)), after: Some(entry(3)) };
        let at = Timestamp::from_millis(1234);
        Change { revision: 3, at, by: "me".into(), cause: "put".into(), edits: vec![edit] }
    }

    #[test]
    fn a_change_is_read_as_it_was_written_whatever_its_size() {
        for (bytes, parts) in [(10, 0), (100_000, 1), (PART_MAX, 3), (3_000_000, 12)] {
            let change = change(bytes);
            let (step, text) = Step::of(&change, "id".to_owned(), 1000);
            assert_eq!((step.parts, text.chunks(PART_MAX).len()), (parts, parts), "{bytes}");
            let value = write(&step);
            assert!(value.len() < 1500, "{bytes}");
            let step = Step::read(&value).expect("a step");
            if parts > 0 {
                assert_eq!(step.summary(3), Some(summary(&change)));
            }
            assert_eq!(step.into_change(3, &text).expect("a change"), change);
        }
    }

    #[test]
    fn a_ledger_is_read_as_it_was_written() {
        let mut ledger = Ledger::new("one");
        ledger.apply(&change(10));
        let text = write_ledger(&ledger);
        assert_eq!(read_ledger("one", 3, &text), Ok(ledger));
    }

    #[test]
    fn a_later_format_is_refused_by_its_number() {
        let newer = StorageError::Newer { found: 2, known: 1 };
        assert_eq!(Head::read(br#"{"format":2,"shape":"unknown"}"#), Err(newer));
        for text in ["", "{}", r#"{"format":0}"#, r#"{"format":1}"#] {
            let refused = Head::read(text.as_bytes());
            assert!(matches!(refused, Err(StorageError::Unreadable(_))), "{text}");
        }
    }
}
