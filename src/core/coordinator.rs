//! The coordinator: the one writer of a ledger. It decides what a command does.
//!
//! A change is made durable by the [`Storage`], then it is taken over and its snapshot handed to the
//! shell, in this order: what is acknowledged is kept, and what is served compiled. Where several
//! coordinators share a storage, one that is behind takes over what the others did and decides anew.

use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::time::Duration;

use crate::access::{Access, Caller, Denial, KeyHash, Role, key_entry, key_of_entry};
use crate::config::Resources;
use crate::document;
use crate::fault::{Fault, Report};
use crate::id::Id;
use crate::kind::Kind;
use crate::ledger::{Change, Edit, Entry, Ledger, Place, Section};
use crate::patch;
use crate::references::in_use;
use crate::snapshot::{Revision, Snapshot, compile};
use crate::storage::{Retention, Storage, StorageError, Summary};
use crate::time::Timestamp;

/// The most bytes of one resource, as JSON: what a row of a Durable Object holds.
pub const RESOURCE_MAX: usize = 1_572_864;

/// The most bytes of a whole document: what an isolate of 128 MB can compile beside serving.
pub const DOCUMENT_MAX: usize = 8 * 1024 * 1024;

/// How often a command is decided anew because somebody else was faster.
const TRIES_MAX: usize = 16;

/// What somebody wants of the control plane.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// One resource.
    Read(Kind, Id),
    /// All resources of a kind; of the credentials those of one consumer.
    List(Kind, Option<Id>),
    /// Make or replace a resource; without an id, make one with the next number as its id.
    Write(Kind, Option<Id>, Map<String, Value>, Option<Duration>),
    /// Change a part of a resource: at a path of keys, or merge where there is none.
    Patch(Kind, Id, Vec<String>, Value, Option<Duration>),
    /// Remove a resource; if it is used, only where that is forced.
    Delete(Kind, Id, bool),
    /// The whole document.
    Export,
    /// Replace the whole document.
    Replace(Value, Condition),
    /// Revisions below this one, the newest first, at most so many.
    Revisions(u64, usize),
    /// One revision with its document.
    Revision(u64),
    /// What leads from one revision to another.
    Compare(u64, u64),
    /// Replace the whole document with that of a revision.
    Rollback(u64, Condition),
    /// The keys that were added.
    Keys,
    /// Add a key, or replace it.
    WriteKey(Id, Role, KeyHash),
    /// Remove a key.
    DeleteKey(Id),
}

/// When a replacement is to happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Only if this is the revision.
    pub revision: Option<u64>,
    /// Not at all: only tell what would be changed.
    pub is_trial: bool,
}

/// What a command found or did.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// The resource asked for.
    Found(Id, Entry),
    /// The resources asked for, by id.
    Listed(Vec<(Id, Entry)>),
    /// The resource as written, and whether it is new.
    Written(Id, Value, bool),
    /// The resource is gone.
    Deleted(Id),
    /// A document and its revision.
    Document(Value, u64),
    /// The revision after a replacement, and what it changed or would change.
    Replaced(u64, Vec<Edit>),
    /// The current revision, and those asked for.
    Revisions(u64, Vec<Summary>),
    /// A revision and its document.
    Revision(Box<Summary>, Value),
    /// What leads from one revision to another.
    Compared(Vec<Edit>),
    /// Names, roles and when they were made.
    Keys(Vec<(Id, Role, Timestamp)>),
}

/// Why a command did nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// Somebody may not.
    Denied(Denial),
    /// There is no such thing.
    NotFound,
    /// The consumer of a credential does not exist.
    NoConsumer,
    /// The revision is no longer kept.
    Forgotten,
    /// The revision is another than the one expected.
    Outdated(u64),
    /// Others use the resource; APISIX's sentence about it.
    InUse(String),
    /// A path of a patch that leads nowhere.
    Path(String),
    /// With this change the configuration would not compile. The places are inside the resource
    /// where they can be, else in the whole document.
    Faulty(Vec<Fault>),
    /// The resource or the whole would be larger than so many bytes.
    TooLarge(usize),
    /// There is no room to write.
    Full(String),
    /// The ledger cannot be read or written at the moment.
    Unavailable(String),
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Full(why) => Self::Full(why),
            other @ (StorageError::Conflict
            | StorageError::Unavailable(_)
            | StorageError::Newer { .. }
            | StorageError::Unreadable(_)) => Self::Unavailable(other.to_string()),
        }
    }
}

/// What became of a command, and what serves from then on if it changed the configuration.
#[derive(Debug)]
pub struct Outcome {
    /// For whoever asked.
    pub answer: Result<Done, Refusal>,
    /// To be published before the answer is given.
    pub snapshot: Option<Box<Snapshot>>,
    /// Whether the command wrote; else the snapshot is what others wrote before.
    pub is_written: bool,
}

impl Outcome {
    fn refused(refusal: Refusal, snapshot: Option<Box<Snapshot>>) -> Self {
        Self { answer: Err(refusal), snapshot, is_written: false }
    }
}

/// The one writer of a ledger.
#[derive(Debug)]
pub struct Coordinator<S> {
    storage: S,
    ledger: Ledger,
    access: Access,
    retention: Retention,
}

/// A change that is not made yet, and what is said when it is.
struct Draft {
    cause: String,
    edits: Vec<Edit>,
    /// Whether every reference was checked already.
    is_checked: bool,
    done: Box<dyn FnOnce(&Change) -> Done>,
}

impl<S: Storage> Coordinator<S> {
    /// Takes over what the storage holds. The snapshot, unless what it holds has faults: it compiled
    /// when it was written, by an earlier version, and the Admin API is where that is put right.
    pub fn start(
        mut storage: S,
        access: Access,
        retention: Retention,
        report: &mut Report,
    ) -> Result<(Self, Option<Snapshot>), StorageError> {
        let ledger = storage.load()?;
        let snapshot = ledger.compile(report);
        Ok((Self { storage, ledger, access, retention }, snapshot))
    }

    /// The ledger as it is.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What keeps the ledger.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// Who a caller is, by the name of its key.
    pub fn admit(&mut self, caller: &Caller, now: Timestamp) -> Result<Box<str>, Refusal> {
        self.access.admit(caller, &self.ledger, now).map_err(Refusal::Denied)
    }

    /// Takes over what the storage holds by now; the snapshot, if it is another.
    pub fn reload(&mut self, report: &mut Report) -> Result<Option<Snapshot>, StorageError> {
        let revision = (self.ledger.name().to_owned(), self.ledger.revision());
        self.ledger = self.storage.load()?;
        let is_other = revision != (self.ledger.name().to_owned(), self.ledger.revision());
        Ok(if is_other { self.ledger.compile(report) } else { None })
    }

    /// Removes what has come to its time.
    pub fn expire(&mut self, now: Timestamp) -> Outcome {
        self.change("ttl", now, |coordinator| {
            let gone = coordinator.ledger.expired(now);
            let edits: Vec<Edit> = gone.map(|(place, entry)| removal(place, entry)).collect();
            let cause = match edits.as_slice() {
                [Edit { place: (section, id), .. }] => {
                    format!("the time of {} {id} is up", section.singular())
                }
                several => format!("the time of {} entries is up", several.len()),
            };
            let done = Box::new(|change: &Change| Done::Replaced(change.revision, Vec::new()));
            Ok(Draft { cause, edits, is_checked: true, done })
        })
    }

    /// Does what `by` commands, at `now`.
    pub fn handle(&mut self, command: Command, by: &str, now: Timestamp) -> Outcome {
        match command {
            Command::Write(kind, id, value, ttl) => self.change(by, now, |this| {
                this.write(kind, id.clone(), Value::Object(value.clone()), ttl, now)
            }),
            Command::Patch(kind, id, path, part, ttl) => {
                self.change(by, now, |this| this.patch(kind, &id, &path, &part, ttl, now))
            }
            Command::Delete(kind, id, is_forced) => {
                self.change(by, now, |this| this.delete(kind, &id, is_forced))
            }
            Command::Replace(document, condition) => self.replace(&document, condition, by, now),
            Command::Rollback(revision, condition) => self.rollback(revision, condition, by, now),
            Command::WriteKey(id, role, hash) => {
                self.change(by, now, |this| Ok(this.write_key(&id, role, hash, now)))
            }
            Command::DeleteKey(id) => self.change(by, now, |this| {
                let place = (Section::Key, id.clone());
                let entry = this.ledger.get(&place).ok_or(Refusal::NotFound)?;
                let edits = vec![removal(&place, entry)];
                let cause = format!("delete key {id}");
                let done = id.clone();
                let done = Box::new(move |_: &Change| Done::Deleted(done));
                Ok(Draft { cause, edits, is_checked: true, done })
            }),
            reading @ (Command::Read(..)
            | Command::List(..)
            | Command::Export
            | Command::Revisions(..)
            | Command::Revision(_)
            | Command::Compare(..)
            | Command::Keys) => {
                Outcome { answer: self.read(reading), snapshot: None, is_written: false }
            }
        }
    }

    fn read(&mut self, command: Command) -> Result<Done, Refusal> {
        let ledger = &self.ledger;
        match command {
            Command::Read(kind, id) => {
                let entry = ledger.get(&(Section::Resource(kind), id.clone()));
                Ok(Done::Found(id, entry.ok_or(Refusal::NotFound)?.clone()))
            }
            Command::List(kind, consumer) => {
                let is_meant =
                    |id: &Id| consumer.as_ref().is_none_or(|consumer| id.is_of(consumer));
                let entries = ledger.section(Section::Resource(kind));
                let list = entries.filter(|(id, _)| is_meant(id));
                Ok(Done::Listed(list.map(|(id, entry)| (id.clone(), entry.clone())).collect()))
            }
            Command::Export => Ok(Done::Document(document::of_ledger(ledger), ledger.revision())),
            Command::Revisions(below, limit) => {
                let list = self.storage.summaries(below, limit)?;
                Ok(Done::Revisions(self.ledger.revision(), list))
            }
            Command::Revision(revision) => {
                let past = self.at(revision)?;
                let summary = self.summary(revision)?;
                Ok(Done::Revision(Box::new(summary), document::of_ledger(&past)))
            }
            Command::Compare(from, to) => {
                Ok(Done::Compared(compare(&self.at(from)?, &self.at(to)?)))
            }
            Command::Keys => {
                let keys = ledger.section(Section::Key).filter_map(|(id, entry)| {
                    let (role, _, made_at) = key_of_entry(&entry.value)?;
                    Some((id.clone(), role, made_at))
                });
                Ok(Done::Keys(keys.collect()))
            }
            _ => Err(Refusal::NotFound),
        }
    }

    /// The ledger as it was at a revision.
    fn at(&mut self, revision: u64) -> Result<Ledger, Refusal> {
        if revision != self.ledger.revision() {
            self.summary(revision)?;
        }
        let mut past = self.ledger.clone();
        let mut seen = BTreeSet::new();
        for (place, before) in self.storage.befores(revision)? {
            if seen.insert(place.clone()) {
                past.put_back(&place, before.as_ref());
            }
        }
        Ok(past)
    }

    fn summary(&mut self, revision: u64) -> Result<Summary, Refusal> {
        let found = self.storage.summaries(revision.saturating_add(1), 1)?.into_iter().next();
        let is_past = (1..=self.ledger.revision()).contains(&revision);
        let missing = if is_past { Refusal::Forgotten } else { Refusal::NotFound };
        found.filter(|summary| summary.revision == revision).ok_or(missing)
    }

    fn write(
        &self,
        kind: Kind,
        id: Option<Id>,
        value: Value,
        ttl: Option<Duration>,
        now: Timestamp,
    ) -> Result<Draft, Refusal> {
        let written = self.ledger.written() + 1;
        // APISIX's form of a generated id: the number of the write.
        let id = id.or_else(|| Id::parse(&format!("{written:020}"))).ok_or(Refusal::NotFound)?;
        let place = (Section::Resource(kind), id);
        self.check_consumer(&place)?;
        let before = self.ledger.get(&place);
        let value = document::with_id(kind, &place.1, value);
        let value = document::stamped(place.0, value, before, now);
        let expires_at = ttl.map(|ttl| now.plus(ttl));
        let verb = if before.is_some() { "put" } else { "add" };
        Ok(self.draft_of(verb, place, value, expires_at))
    }

    fn patch(
        &self,
        kind: Kind,
        id: &Id,
        path: &[String],
        part: &Value,
        ttl: Option<Duration>,
        now: Timestamp,
    ) -> Result<Draft, Refusal> {
        let place = (Section::Resource(kind), id.clone());
        let before = self.ledger.get(&place).ok_or(Refusal::NotFound)?;
        let mut value = before.value.clone();
        match path {
            [] => patch::merge(&mut value, part.clone()),
            path => patch::set(&mut value, path, part.clone()).map_err(Refusal::Path)?,
        }
        let id_of = |value: &Value| match value.get("id") {
            Some(Value::String(id)) => Some(id.clone()),
            other => other.map(Value::to_string),
        };
        if id_of(&value) != id_of(&before.value) {
            return Err(Refusal::Path(format!("wrong {} id", kind.singular())));
        }
        let time = value.get("update_time");
        // A patch may set the times itself.
        let is_own = time.is_some() && time != before.value.get("update_time");
        if let Some(members) = value.as_object_mut().filter(|_| !is_own) {
            members.insert("update_time".to_owned(), now.as_secs().into());
        }
        let expires_at = ttl.map(|ttl| now.plus(ttl)).or(before.expires_at);
        Ok(self.draft_of("patch", place, value, expires_at))
    }

    /// The change that has an entry be `value`.
    fn draft_of(
        &self,
        verb: &str,
        place: Place,
        value: Value,
        expires_at: Option<Timestamp>,
    ) -> Draft {
        let before = self.ledger.get(&place).cloned();
        let modified = self.ledger.written() + 1;
        let created = before.as_ref().map_or(modified, |entry| entry.created);
        let is_new = before.is_none();
        let (id, told) = (place.1.clone(), value.clone());
        let cause = format!("{verb} {} {id}", place.0.singular());
        let after = Some(Entry { value, created, modified, expires_at });
        let done = Box::new(move |_: &Change| Done::Written(id, told, is_new));
        Draft { cause, edits: vec![Edit { place, before, after }], is_checked: false, done }
    }

    /// Whether a credential has somebody to belong to.
    fn check_consumer(&self, place: &Place) -> Result<(), Refusal> {
        let Some((consumer, _)) = place.1.as_credential() else { return Ok(()) };
        let consumer = (Section::Resource(Kind::Consumer), consumer);
        self.ledger.get(&consumer).map(drop).ok_or(Refusal::NoConsumer)
    }

    fn delete(&self, kind: Kind, id: &Id, is_forced: bool) -> Result<Draft, Refusal> {
        let place = (Section::Resource(kind), id.clone());
        let entry = self.ledger.get(&place).ok_or(Refusal::NotFound)?;
        if !is_forced && let Some(why) = in_use(&self.ledger, kind, id) {
            return Err(Refusal::InUse(why));
        }
        let mut edits = vec![removal(&place, entry)];
        if kind == Kind::Consumer {
            let all = self.ledger.section(Section::Resource(Kind::Credential));
            let own = all.filter(|(credential, _)| credential.is_of(id));
            edits.extend(own.map(|(id, entry)| {
                removal(&(Section::Resource(Kind::Credential), id.clone()), entry)
            }));
        }
        let cause = format!("delete {} {id}", kind.singular());
        let id = id.clone();
        let done = Box::new(move |_: &Change| Done::Deleted(id));
        Ok(Draft { cause, edits, is_checked: true, done })
    }

    fn write_key(&self, id: &Id, role: Role, hash: KeyHash, now: Timestamp) -> Draft {
        let verb =
            if self.ledger.get(&(Section::Key, id.clone())).is_some() { "put" } else { "add" };
        let value = key_entry(role, hash, now);
        self.draft_of(verb, (Section::Key, id.clone()), value, None)
    }

    fn replace(
        &mut self,
        document: &Value,
        condition: Condition,
        by: &str,
        now: Timestamp,
    ) -> Outcome {
        let mut report = Report::default();
        let mut resources = Resources::of(document, &mut report);
        resources.is_tolerant = false;
        compile(&resources, Revision::of_ledger(0), 0, &mut report);
        if !report.faults.is_empty() {
            return Outcome::refused(Refusal::Faulty(report.faults), None);
        }
        self.replace_all("put the document", document, condition, by, now)
    }

    fn rollback(
        &mut self,
        revision: u64,
        condition: Condition,
        by: &str,
        now: Timestamp,
    ) -> Outcome {
        let document = match self.at(revision) {
            Ok(past) => document::of_ledger(&past),
            Err(refusal) => return Outcome::refused(refusal, None),
        };
        let cause = format!("roll back to revision {revision}");
        self.replace_all(&cause, &document, condition, by, now)
    }

    fn replace_all(
        &mut self,
        cause: &str,
        document: &Value,
        condition: Condition,
        by: &str,
        now: Timestamp,
    ) -> Outcome {
        let caught_up = match self.catch_up_to(condition) {
            Ok(snapshot) => snapshot,
            Err(error) => return Outcome::refused(error.into(), None),
        };
        let outcome = self.change(by, now, |this| {
            let current = this.ledger.revision();
            if condition.revision.is_some_and(|expected| expected != current) {
                return Err(Refusal::Outdated(current));
            }
            let edits = document::edits(&this.ledger, document, now);
            if condition.is_trial {
                let done = Box::new(move |_: &Change| Done::Replaced(current, edits));
                return Ok(Draft { cause: String::new(), edits: vec![], is_checked: true, done });
            }
            let done =
                Box::new(|change: &Change| Done::Replaced(change.revision, change.edits.clone()));
            Ok(Draft { cause: cause.to_owned(), edits, is_checked: true, done })
        });
        Outcome { snapshot: outcome.snapshot.or(caught_up), ..outcome }
    }

    /// Takes over what others did, where a condition shows that they were faster than their news.
    fn catch_up_to(&mut self, condition: Condition) -> Result<Option<Box<Snapshot>>, StorageError> {
        match condition.revision {
            Some(expected) if expected > self.ledger.revision() => {
                Ok(self.reload(&mut Report::default())?.map(Box::new))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Makes a change, deciding it anew as long as somebody else is faster.
    fn change(
        &mut self,
        by: &str,
        now: Timestamp,
        decide: impl Fn(&Self) -> Result<Draft, Refusal>,
    ) -> Outcome {
        // What others did serves, too, whatever becomes of the command.
        let mut caught_up = None;
        for _ in 0..TRIES_MAX {
            match self.attempt(by, now, &decide) {
                Ok((done, snapshot)) => {
                    let is_written = snapshot.is_some();
                    return Outcome {
                        answer: Ok(done),
                        snapshot: snapshot.or(caught_up),
                        is_written,
                    };
                }
                Err(Failed::Refused(refusal)) => return Outcome::refused(refusal, caught_up),
                Err(Failed::Behind) => match self.reload(&mut Report::default()) {
                    Ok(snapshot) => caught_up = snapshot.map(Box::new).or(caught_up),
                    Err(error) => return Outcome::refused(error.into(), caught_up),
                },
            }
        }
        let why = "others write all the time".to_owned();
        Outcome::refused(Refusal::Unavailable(why), caught_up)
    }

    /// Decides on a change and makes it; the snapshot, if it changes anything.
    fn attempt(
        &mut self,
        by: &str,
        now: Timestamp,
        decide: impl Fn(&Self) -> Result<Draft, Refusal>,
    ) -> Result<(Done, Option<Box<Snapshot>>), Failed> {
        let Draft { cause, edits, is_checked, done } = decide(self).map_err(Failed::Refused)?;
        let revision = self.ledger.revision() + u64::from(!edits.is_empty());
        let change = Change { revision, at: now, by: by.into(), cause: cause.into(), edits };
        if change.edits.is_empty() {
            return Ok((done(&change), None));
        }
        let snapshot = self.commit(&change, is_checked)?;
        Ok((done(&change), Some(snapshot)))
    }

    /// Compiles and keeps a change; the ledger has it afterwards, or is as it was.
    fn commit(&mut self, change: &Change, is_checked: bool) -> Result<Box<Snapshot>, Failed> {
        check_sizes(change, &self.ledger)?;
        let written = self.ledger.written();
        self.ledger.apply(change);
        let mut report = Report::default();
        let snapshot = self.ledger.compile(&mut report);
        let mut faults = report.faults;
        if !is_checked {
            let places = self.places(change);
            faults.extend(report.warnings.into_iter().filter(|warning| {
                warning.missing.is_some() && places.iter().any(|place| within(place, &warning.at))
            }));
        }
        let Some(snapshot) = snapshot.filter(|_| faults.is_empty()) else {
            let faults = self.faults_within(change, faults);
            self.ledger.revert(change, written);
            return Err(Failed::Refused(Refusal::Faulty(faults)));
        };
        match self.storage.commit(change, self.retention) {
            Ok(()) => Ok(Box::new(snapshot)),
            Err(error) => {
                self.ledger.revert(change, written);
                Err(match error {
                    StorageError::Conflict => Failed::Behind,
                    other => Failed::Refused(other.into()),
                })
            }
        }
    }

    /// Where the changed resources stand in the whole document.
    fn places(&self, change: &Change) -> Vec<String> {
        let resources = self.ledger.resources();
        let place = |edit: &Edit| match edit.place {
            (Section::Resource(kind), ref id) => {
                let of_kind = self.ledger.in_order(edit.place.0);
                let index = of_kind.iter().position(|(other, _)| *other == id)?;
                Some(resources.at(kind, index))
            }
            (Section::Settings | Section::Key, _) => None,
        };
        change.edits.iter().filter_map(place).collect()
    }

    /// Faults with their places inside the changed resource, where they lie in it.
    fn faults_within(&self, change: &Change, mut faults: Vec<Fault>) -> Vec<Fault> {
        if let [place] = self.places(change).as_slice() {
            for fault in faults.iter_mut().filter(|fault| within(place, &fault.at)) {
                fault.at = fault.at.get(place.len()..).unwrap_or_default().to_owned();
            }
        }
        faults
    }
}

/// Why a change was not made.
enum Failed {
    /// It cannot be.
    Refused(Refusal),
    /// Somebody else was faster.
    Behind,
}

fn removal(place: &Place, entry: &Entry) -> Edit {
    Edit { place: place.clone(), before: Some(entry.clone()), after: None }
}

/// Whether the pointer `at` is `place` or lies in it.
fn within(place: &str, at: &str) -> bool {
    at.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn check_sizes(change: &Change, ledger: &Ledger) -> Result<(), Failed> {
    let mut whole = ledger.size();
    for edit in &change.edits {
        let size = edit.after.as_ref().map_or(0, Entry::size);
        if size > RESOURCE_MAX {
            return Err(Failed::Refused(Refusal::TooLarge(RESOURCE_MAX)));
        }
        whole = (whole + size).saturating_sub(edit.before.as_ref().map_or(0, Entry::size));
    }
    // What makes the whole smaller is always welcome.
    if whole > DOCUMENT_MAX && whole > ledger.size() {
        return Err(Failed::Refused(Refusal::TooLarge(DOCUMENT_MAX)));
    }
    Ok(())
}

/// What leads from one ledger to another, keys aside.
fn compare(from: &Ledger, to: &Ledger) -> Vec<Edit> {
    let places: BTreeSet<&Place> = from.entries().chain(to.entries()).map(|(at, _)| at).collect();
    let resources = places.into_iter().filter(|place| place.0 != Section::Key);
    let edit = |place: &Place| {
        let (before, after) = (from.get(place), to.get(place));
        let plain = |entry: &Entry| document::without_times(&entry.value);
        let differs = before.map(plain) != after.map(plain);
        differs.then(|| Edit {
            place: place.clone(),
            before: before.cloned(),
            after: after.cloned(),
        })
    };
    resources.filter_map(edit).collect()
}
