//! The ledger: every resource of the control plane at one revision, and the changes that lead from
//! one revision to the next.
//!
//! The ledger is data. Who may change it and what a command does is decided in
//! [`coordinator`](crate::coordinator); how it is kept is up to a [`Storage`](crate::storage::Storage).

use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::auth::conceal;
use crate::config::Resources;
use crate::fault::Report;
use crate::gather::Gather as _;
use crate::id::Id;
use crate::kind::Kind;
use crate::snapshot::{Revision, Snapshot, compile};
use crate::time::Timestamp;

/// What an entry of the ledger is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// A resource of a document.
    Resource(Kind),
    /// The settings of the document; there is one, with the id [`SETTINGS_ID`].
    Settings,
    /// A key of the Admin API, hashed. Keys are in no document and no rollback touches them.
    Key,
}

/// The id of the one entry of [`Section::Settings`].
pub const SETTINGS_ID: &str = "settings";

impl Section {
    /// The name of the section in storage and in lists of changes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resource(kind) => kind.plural(),
            Self::Settings => "settings",
            Self::Key => "keys",
        }
    }

    /// One entry of the section, in messages.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Resource(kind) => kind.singular(),
            Self::Settings => "the settings",
            Self::Key => "key",
        }
    }

    /// The section of a name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "settings" => Some(Self::Settings),
            "keys" => Some(Self::Key),
            plural => Kind::parse(plural).map(Self::Resource),
        }
    }
}

/// Where an entry stands: section and id.
pub type Place = (Section, Id);

/// An entry as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What was written; resources with `id`, `create_time` and `update_time` (seconds).
    /// Shared by all copies of the entry: a ledger is copied to see how it was or would be.
    pub value: Arc<Value>,
    /// The number of the write that made it; the order of the document follows it.
    pub created: u64,
    /// The number of the write that last changed it.
    pub modified: u64,
    /// When it goes by itself.
    pub expires_at: Option<Timestamp>,
}

impl Entry {
    /// The bytes of the value as JSON.
    pub fn size(&self) -> usize {
        let mut counter = Counter(0);
        // Neither the counter nor the values of JSON can fail.
        let _ = serde_json::to_writer(&mut counter, &*self.value);
        counter.0
    }

    /// The entry without keys and passwords of consumers: hashed before it was written, unless that was
    /// by an earlier version.
    fn concealed(mut self, section: Section) -> Self {
        if let Section::Resource(kind @ (Kind::Consumer | Kind::Credential)) = section {
            let mut value = Value::clone(&self.value);
            if conceal(kind, &mut value) {
                self.value = value.into();
            }
        }
        self
    }
}

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a change does to one entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// Which entry.
    pub place: Place,
    /// What it was, if it was there.
    pub before: Option<Entry>,
    /// What it is from then on, if it is still there.
    pub after: Option<Entry>,
}

/// One durable step from a revision to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The revision after the change.
    pub revision: u64,
    /// When it was made.
    pub at: Timestamp,
    /// Who made it: the name of a key.
    pub by: Box<str>,
    /// What was asked for, in a few words.
    pub cause: Box<str>,
    /// The entries it touches, each once.
    pub edits: Vec<Edit>,
}

/// All entries at one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    name: Box<str>,
    revision: u64,
    written: u64,
    size: usize,
    entries: BTreeMap<Place, Entry>,
}

impl Ledger {
    /// A ledger with nothing in it. The name tells it from every other ledger, so that revisions of
    /// the two are never compared.
    pub fn new(name: &str) -> Self {
        Self::restore(name, 0, 0, [])
    }

    /// The ledger that storage holds; `written` is the number of its last write.
    pub fn restore(
        name: &str,
        revision: u64,
        written: u64,
        entries: impl IntoIterator<Item = (Place, Entry)>,
    ) -> Self {
        let entries = entries.into_iter().map(|(place, entry)| {
            let entry = entry.concealed(place.0);
            (place, entry)
        });
        let entries: BTreeMap<Place, Entry> = entries.gather();
        let size = entries.values().map(Entry::size).sum();
        Self { name: name.into(), revision, written, size, entries }
    }

    /// What tells this ledger from others.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many changes led here.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The number of the last write of an entry.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The bytes of all entries as JSON.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The entry at a place.
    pub fn get(&self, place: &Place) -> Option<&Entry> {
        self.entries.get(place)
    }

    /// All entries, by section and id.
    pub fn entries(&self) -> impl Iterator<Item = (&Place, &Entry)> {
        self.entries.iter()
    }

    /// The entries of a section, by id.
    pub fn section(&self, section: Section) -> impl Iterator<Item = (&Id, &Entry)> {
        let all = self.entries.iter().filter(move |((of, _), _)| *of == section);
        all.map(|((_, id), entry)| (id, entry))
    }

    /// The entries of a section from the oldest to the youngest: the order that decides among equals.
    pub fn in_order(&self, section: Section) -> Vec<(&Id, &Entry)> {
        let mut list: Vec<_> = self.section(section).collect();
        list.sort_by_key(|(_, entry)| entry.created);
        list
    }

    /// Takes a change over.
    pub fn apply(&mut self, change: &Change) {
        self.revision = change.revision;
        for Edit { place, after, .. } in &change.edits {
            if let Some(entry) = after {
                self.written = self.written.max(entry.modified).max(entry.created);
            }
            self.put_back(place, after.as_ref());
        }
    }

    /// Takes the last change back, before which `written` was the number of the last write.
    pub fn revert(&mut self, change: &Change, written: u64) {
        self.revision = change.revision.saturating_sub(1);
        self.written = written;
        for Edit { place, before, .. } in &change.edits {
            self.put_back(place, before.as_ref());
        }
    }

    /// Sets an entry to what it was once.
    pub(crate) fn put_back(&mut self, place: &Place, entry: Option<&Entry>) {
        let gone = match entry {
            Some(entry) => {
                let entry = entry.clone().concealed(place.0);
                self.size += entry.size();
                self.entries.insert(place.clone(), entry)
            }
            None => self.entries.remove(place),
        };
        self.size -= gone.as_ref().map_or(0, Entry::size);
    }

    /// The entries whose time is up.
    pub fn expired(&self, now: Timestamp) -> impl Iterator<Item = (&Place, &Entry)> {
        self.entries.iter().filter(move |(_, entry)| entry.expires_at.is_some_and(|at| at <= now))
    }

    /// When the next entry goes.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.entries.values().filter_map(|entry| entry.expires_at).min()
    }

    /// The resources as the compiler reads them.
    pub fn resources(&self) -> Resources<'_> {
        let mut resources = Resources::default();
        for kind in Kind::ALL {
            let entries = self.in_order(Section::Resource(kind)).into_iter();
            resources.set(kind, entries.map(|(_, entry)| &*entry.value).collect());
        }
        resources.settings = self.section(Section::Settings).map(|(_, entry)| &*entry.value).next();
        // What refers to nothing was forced to, and said so; see `coordinator`.
        resources.is_tolerant = true;
        resources
    }

    /// Compiles what the ledger holds.
    pub fn compile(&self, report: &mut Report) -> Option<Snapshot> {
        compile(&self.resources(), Revision::of_ledger(self.revision), 0, report)
    }
}
