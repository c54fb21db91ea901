//! The coordinator: the one writer of a ledger. It decides what a command does.
//!
//! A change is made durable by the [`Storage`], then it is taken over and its snapshot handed to the
//! shell, in this order: what is acknowledged is kept, and what is served compiled. Where several
//! coordinators share a storage, one that is behind takes over what the others did and decides anew.

mod command;
mod draft;
mod look;
mod trial;

use serde_json::Value;
use std::collections::BTreeSet;

use crate::access::{Access, Caller, Denial};
use crate::config::Resources;
use crate::document::{self, Wanted};
use crate::fault::{Fault, Report};
use crate::gather::Gather as _;
use crate::json::{DEPTH_MAX, depth};
use crate::kind::Kind;
use crate::ledger::{Change, Entry, Ledger, Place, Section};
use crate::snapshot::{Revision, Snapshot, compile};
use crate::storage::{Retention, Storage, StorageError};
use crate::time::Timestamp;

pub use command::{Command, Condition, Done, Look, Refusal, Sample, Terms};
use draft::Draft;

/// The most bytes of one resource, as JSON: what a row of a Durable Object holds.
pub const RESOURCE_MAX: usize = 1_572_864;

/// How often a command is decided anew because somebody else was faster. Whoever lost begins later
/// than whoever won, so that one who writes all the time may win many times in a row.
const TRIES_MAX: usize = 100;

/// What became of a command, and what serves from then on if it changed the configuration.
#[derive(Debug)]
pub struct Outcome {
    /// For whoever asked.
    pub answer: Result<Done, Refusal>,
    /// To be published before the answer is given.
    pub snapshot: Option<Box<Snapshot>>,
}

/// The one writer of a ledger.
#[derive(Debug)]
pub struct Coordinator<S> {
    storage: S,
    ledger: Ledger,
    access: Access,
    retention: Retention,
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
        self.change("ttl", now, |this| Ok(this.expiry(now)))
    }

    /// Does what `by` commands, at `now`.
    pub fn handle(&mut self, command: Command, by: &str, now: Timestamp) -> Outcome {
        // A key may have been removed while its holder sent the body.
        if command.is_writing() && !self.access.may_write(by, &self.ledger) {
            let answer = Err(Refusal::Denied(Denial::Wrong));
            return Outcome { answer, snapshot: None };
        }
        match command {
            Command::Write(kind, id, value, terms) => self.change_at(terms, by, now, |this| {
                this.write(kind, id.clone(), Value::Object(value.clone()), terms.ttl, now)
            }),
            Command::Patch(kind, id, path, part, terms) => {
                let decide = |this: &Self| this.patch(kind, &id, &path, &part, terms.ttl, now);
                self.change_at(terms, by, now, decide)
            }
            Command::Delete(kind, id, is_forced, terms) => {
                self.change_at(terms, by, now, |this| this.delete(kind, &id, is_forced))
            }
            Command::Replace(document, condition) => self.replace(document, condition, by, now),
            Command::Rollback(revision, condition) => self.rollback(revision, condition, by, now),
            Command::WriteKey(id, role, hash) => {
                self.change(by, now, |this| this.write_key(&id, role, hash, now))
            }
            Command::DeleteKey(id) => self.change(by, now, |this| this.delete_key(&id)),
            Command::Look(look) => Outcome { answer: self.look(look, now), snapshot: None },
        }
    }

    fn replace(
        &mut self,
        document: Value,
        condition: Condition,
        by: &str,
        now: Timestamp,
    ) -> Outcome {
        if let Err(refusal) = check_document(&document) {
            return Outcome { answer: Err(refusal), snapshot: None };
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
            Err(refusal) => return Outcome { answer: Err(refusal), snapshot: None },
        };
        let cause = format!("roll back to revision {revision}");
        self.replace_all(&cause, document, condition, by, now)
    }

    fn replace_all(
        &mut self,
        cause: &str,
        document: Value,
        condition: Condition,
        by: &str,
        now: Timestamp,
    ) -> Outcome {
        let terms = Terms { revision: condition.revision, ..Terms::default() };
        let wanted = Wanted::of(document, now);
        let decide = |this: &Self| Ok(this.replacement(cause, &wanted, condition, now));
        self.change_at(terms, by, now, decide)
    }

    /// Makes a change, if the revision is the one it is meant for.
    fn change_at(
        &mut self,
        terms: Terms,
        by: &str,
        now: Timestamp,
        decide: impl Fn(&Self) -> Result<Draft, Refusal>,
    ) -> Outcome {
        let caught_up = match self.catch_up_to(terms.revision) {
            Ok(snapshot) => snapshot,
            Err(error) => return Outcome { answer: Err(error.into()), snapshot: None },
        };
        let outcome = self.change(by, now, |this| {
            let current = this.ledger.revision();
            match terms.revision.is_some_and(|expected| expected != current) {
                true => Err(Refusal::Outdated(current)),
                false => decide(this),
            }
        });
        Outcome { snapshot: outcome.snapshot.or(caught_up), ..outcome }
    }

    /// Takes over what others did, where a condition shows that it came faster than their news.
    fn catch_up_to(
        &mut self,
        revision: Option<u64>,
    ) -> Result<Option<Box<Snapshot>>, StorageError> {
        match revision {
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
        // What others did, where this one was behind: it serves whatever becomes of the change.
        let mut caught_up = None;
        for _ in 0..TRIES_MAX {
            let draft = match decide(self) {
                Ok(draft) => draft,
                Err(refusal) => return Outcome { answer: Err(refusal), snapshot: caught_up },
            };
            let Draft { cause, edits, is_checked, is_trial, done } = draft;
            let revision = self.ledger.revision() + u64::from(!edits.is_empty());
            let change = Change { revision, at: now, by: by.into(), cause: cause.into(), edits };
            let made = match (change.edits.is_empty(), is_trial) {
                (true, _) => Ok(None),
                (false, true) => self.try_out(&change, is_checked).map(|()| None),
                (false, false) => self.commit(&change, is_checked),
            };
            match made {
                Ok(snapshot) => {
                    let answer = Ok(done(&change));
                    return Outcome { answer, snapshot: snapshot.or(caught_up) };
                }
                Err(Failed::Refused(refusal)) => {
                    return Outcome { answer: Err(refusal), snapshot: caught_up };
                }
                Err(Failed::Behind) => match self.reload(&mut Report::default()) {
                    Ok(snapshot) => caught_up = snapshot.map(Box::new).or(caught_up),
                    Err(error) => {
                        return Outcome { answer: Err(error.into()), snapshot: caught_up };
                    }
                },
            }
        }
        let why = "others write all the time".to_owned();
        Outcome { answer: Err(Refusal::Unavailable(why)), snapshot: caught_up }
    }

    /// Whether a change could be made; the ledger is as it was.
    fn try_out(&mut self, change: &Change, is_checked: bool) -> Result<(), Failed> {
        let written = self.ledger.written();
        let tried = self.take_over(change, is_checked);
        if tried.is_ok() {
            self.ledger.revert(change, written);
        }
        tried.map(drop)
    }

    /// Compiles and keeps a change; the ledger has it afterwards, or is as it was.
    fn commit(
        &mut self,
        change: &Change,
        is_checked: bool,
    ) -> Result<Option<Box<Snapshot>>, Failed> {
        let written = self.ledger.written();
        let snapshot = self.take_over(change, is_checked)?;
        match self.storage.commit(change, self.retention) {
            Ok(()) => Ok(snapshot),
            Err(error) => {
                self.ledger.revert(change, written);
                Err(match error {
                    StorageError::Conflict => Failed::Behind,
                    other @ (StorageError::Full(_)
                    | StorageError::Unavailable(_)
                    | StorageError::Newer { .. }
                    | StorageError::Unreadable(_)) => Failed::Refused(other.into()),
                })
            }
        }
    }

    /// Takes a change over into the ledger, unless it would not compile then. Where the ledger did not
    /// compile before, as an earlier version may have left it, a change without faults is taken that
    /// leaves fewer of them; there is no snapshot until none is left.
    fn take_over(
        &mut self,
        change: &Change,
        is_checked: bool,
    ) -> Result<Option<Box<Snapshot>>, Failed> {
        check_sizes(change, &self.ledger, self.storage.document_max())?;
        let written = self.ledger.written();
        self.ledger.apply(change);
        let mut report = Report::default();
        let snapshot = self.ledger.compile(&mut report);
        let mut faults = report.faults;
        let left_count = faults.len();
        let mut missing = report.warnings;
        missing.retain(|warning| !is_checked && warning.missing.is_some());
        if faults.is_empty() && missing.is_empty() {
            return Ok(snapshot.map(Box::new));
        }
        let places = self.places(change);
        let is_own = |fault: &Fault| places.iter().any(|place| within(place, &fault.at));
        faults.extend(missing.into_iter().filter(is_own));
        if faults.is_empty() {
            return Ok(snapshot.map(Box::new));
        }
        let is_sound = !faults.iter().any(is_own);
        let faults = self.faults_within(change, faults);
        self.ledger.revert(change, written);
        if is_sound && left_count < self.faults_count() {
            self.ledger.apply(change);
            return Ok(None);
        }
        Err(Failed::Refused(Refusal::Faulty(faults)))
    }

    fn faults_count(&self) -> usize {
        let mut report = Report::default();
        self.ledger.compile(&mut report);
        report.faults.len()
    }

    /// Where the changed resources stand in the whole document.
    fn places(&self, change: &Change) -> Vec<String> {
        let resources = self.ledger.resources();
        let changed: BTreeSet<&Place> = change.edits.iter().map(|edit| &edit.place).gather();
        let mut places = Vec::new();
        for kind in Kind::ALL {
            let section = Section::Resource(kind);
            if changed.iter().any(|(of, _)| *of == section) {
                let of_kind = self.ledger.in_order(section).into_iter().enumerate();
                let of_kind =
                    of_kind.filter(|(_, (id, _))| changed.contains(&(section, (*id).clone())));
                places.extend(of_kind.map(|(index, _)| resources.at(kind, index)));
            }
        }
        places
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

/// Whether a document could be the configuration: also what it names must be in it.
fn check_document(document: &Value) -> Result<(), Refusal> {
    let mut report = Report::default();
    let mut resources = Resources::of(document, &mut report);
    resources.is_tolerant = false;
    compile(&resources, Revision::of_ledger(0), 0, &mut report);
    match report.faults.is_empty() {
        true => Ok(()),
        false => Err(Refusal::Faulty(report.faults)),
    }
}

/// Why a change was not made.
enum Failed {
    /// It cannot be.
    Refused(Refusal),
    /// Somebody else was faster.
    Behind,
}

/// Whether the pointer `at` is `place` or lies in it.
fn within(place: &str, at: &str) -> bool {
    at.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn check_sizes(change: &Change, ledger: &Ledger, document_max: usize) -> Result<(), Failed> {
    let mut whole = ledger.size();
    for edit in &change.edits {
        if edit.after.as_ref().is_some_and(|entry| depth(&entry.value) > DEPTH_MAX) {
            let what = format!("nested more than {DEPTH_MAX} levels deep");
            return Err(Failed::Refused(Refusal::Faulty(vec![Fault::new(String::new(), what)])));
        }
        let size = edit.after.as_ref().map_or(0, Entry::size);
        if size > RESOURCE_MAX {
            return Err(Failed::Refused(Refusal::TooLarge(RESOURCE_MAX)));
        }
        whole = (whole + size).saturating_sub(edit.before.as_ref().map_or(0, Entry::size));
    }
    // What makes the whole smaller is always welcome.
    if whole > document_max && whole > ledger.size() {
        return Err(Failed::Refused(Refusal::TooLarge(document_max)));
    }
    Ok(())
}
