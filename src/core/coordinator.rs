//! The coordinator's ledger: every resource of the control plane, with the revision that made and last changed it.
//!
//! [`Ledger::handle`] decides what a command does, on data alone. The shell that owns the ledger makes
//! the [`Change`] durable, then applies it and publishes the snapshot, in this order: what is
//! acknowledged is on disk, and what is served compiled.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use crate::config::Resources;
use crate::fault::{Fault, Report};
use crate::id::Id;
use crate::kind::Kind;
use crate::snapshot::{Revision, Snapshot, compile};
use crate::time::Timestamp;

/// A resource as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What was written, with `id`, `create_time` and `update_time` (seconds).
    pub value: Value,
    /// The revision that made it.
    pub created: u64,
    /// The revision that last changed it.
    pub modified: u64,
}

/// What somebody wants of the control plane.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// One resource.
    Read(Kind, Id),
    /// All resources of a kind.
    List(Kind),
    /// Make or replace a resource.
    Put(Kind, Id, Map<String, Value>),
    /// Remove a resource.
    Delete(Kind, Id),
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
}

/// Why a command did nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// There is no such resource.
    NotFound,
    /// With this change the configuration would not compile. The places are inside the resource
    /// where they can be, else in the whole document.
    Faulty(Vec<Fault>),
    /// The ledger cannot be written at the moment.
    Unavailable,
}

/// One durable step from a revision to the next: `None` removes the resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The revision after the change.
    pub revision: u64,
    /// The kind of the resource.
    pub kind: Kind,
    /// Its id.
    pub id: Id,
    /// What it is after the change.
    pub entry: Option<Entry>,
}

/// What a command comes to.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing changes; answer with this.
    Answer(Done),
    /// Make the change durable, apply it, publish the snapshot, then answer.
    Commit(Box<Change>, Box<Snapshot>, Done),
}

/// All resources at one revision.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    revision: u64,
    entries: BTreeMap<(Kind, Id), Entry>,
}

impl Ledger {
    /// The ledger that storage holds.
    pub fn restore(revision: u64, entries: impl Iterator<Item = ((Kind, Id), Entry)>) -> Self {
        Self { revision, entries: entries.collect() }
    }

    /// Takes a change over that is durable.
    pub fn apply(&mut self, change: Change) {
        debug_assert_eq!(change.revision, self.revision + 1, "changes follow each other");
        self.revision = change.revision;
        let key = (change.kind, change.id);
        match change.entry {
            Some(entry) => self.entries.insert(key, entry),
            None => self.entries.remove(&key),
        };
    }

    /// Compiles what the ledger holds.
    pub fn compile(&self, report: &mut Report) -> Option<Snapshot> {
        compile(&self.resources(), Revision::of_ledger(self.revision), 0, report)
    }

    /// Decides a command that came in at `now`.
    pub fn handle(&self, command: Command, now: Timestamp) -> Result<Verdict, Refusal> {
        match command {
            Command::Read(kind, id) => {
                let entry = self.entries.get(&(kind, id.clone())).ok_or(Refusal::NotFound)?;
                Ok(Verdict::Answer(Done::Found(id, entry.clone())))
            }
            Command::List(kind) => {
                let of_kind = self.entries.iter().filter(|((stored, _), _)| *stored == kind);
                let list = of_kind.map(|((_, id), entry)| (id.clone(), entry.clone()));
                Ok(Verdict::Answer(Done::Listed(list.collect())))
            }
            Command::Put(kind, id, value) => self.put(kind, id, value, now),
            Command::Delete(kind, id) => {
                if !self.entries.contains_key(&(kind, id.clone())) {
                    return Err(Refusal::NotFound);
                }
                let done = Done::Deleted(id.clone());
                let change = Change { revision: self.revision + 1, kind, id, entry: None };
                self.commit(change, done)
            }
        }
    }

    fn put(
        &self,
        kind: Kind,
        id: Id,
        mut value: Map<String, Value>,
        now: Timestamp,
    ) -> Result<Verdict, Refusal> {
        let revision = self.revision + 1;
        let old = self.entries.get(&(kind, id.clone()));
        let create_time = old.and_then(|old| old.value.get("create_time")).cloned();
        value.insert("id".to_owned(), json!(id.as_str()));
        value.insert("create_time".to_owned(), create_time.unwrap_or_else(|| json!(now.as_secs())));
        value.insert("update_time".to_owned(), json!(now.as_secs()));
        let value = Value::Object(value);
        let created = old.map_or(revision, |old| old.created);
        let done = Done::Written(id.clone(), value.clone(), old.is_none());
        let entry = Some(Entry { value, created, modified: revision });
        self.commit(Change { revision, kind, id, entry }, done)
    }

    /// The change, if the configuration compiles with it.
    fn commit(&self, change: Change, done: Done) -> Result<Verdict, Refusal> {
        let mut after = self.clone();
        after.apply(change.clone());
        let mut report = Report::default();
        match after.compile(&mut report) {
            Some(snapshot) => Ok(Verdict::Commit(Box::new(change), Box::new(snapshot), done)),
            None => Err(Refusal::Faulty(after.faults_within(&change, report.faults))),
        }
    }

    /// Faults with their places inside the changed resource, where they lie in it.
    fn faults_within(&self, change: &Change, mut faults: Vec<Fault>) -> Vec<Fault> {
        let of_kind = self.in_order(change.kind);
        let position = of_kind.iter().position(|(id, _)| **id == change.id);
        if let Some(position) = position {
            let place = format!("/{}/{position}", change.kind.plural());
            for fault in &mut faults {
                let inner = fault.at.strip_prefix(&place);
                if let Some(inner) = inner.filter(|at| at.is_empty() || at.starts_with('/')) {
                    fault.at = inner.to_owned();
                }
            }
        }
        faults
    }

    fn resources(&self) -> Resources<'_> {
        let values = |kind| self.in_order(kind).into_iter().map(|(_, entry)| &entry.value);
        let mut resources = Resources::default();
        resources.set(Kind::Route, values(Kind::Route).collect());
        resources
    }

    /// The resources of a kind from the oldest to the youngest: the order that decides among equals.
    fn in_order(&self, kind: Kind) -> Vec<(&Id, &Entry)> {
        let of_kind = self.entries.iter().filter(|((stored, _), _)| *stored == kind);
        let mut list: Vec<(&Id, &Entry)> = of_kind.map(|((_, id), entry)| (id, entry)).collect();
        list.sort_by_key(|(_, entry)| entry.created);
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        Id::parse(text).expect("an id")
    }

    fn put(ledger: &mut Ledger, name: &str, value: &Value, at_s: u64) -> Result<Done, Refusal> {
        let value = value.as_object().expect("an object").clone();
        let command = Command::Put(Kind::Route, id(name), value);
        match ledger.handle(command, Timestamp::from_millis(at_s * 1000))? {
            Verdict::Commit(change, snapshot, done) => {
                assert_eq!(snapshot.revision(), &Revision::of_ledger(change.revision));
                ledger.apply(*change);
                Ok(done)
            }
            Verdict::Answer(done) => Ok(done),
        }
    }

    #[test]
    fn a_resource_keeps_its_first_times_when_replaced() {
        let mut ledger = Ledger::default();
        let route = json!({"uri": "/a", "upstream": {"nodes": {"127.0.0.1:80": 1}}});
        let Ok(Done::Written(_, _, true)) = put(&mut ledger, "r", &route, 10) else {
            panic!("new")
        };
        let Ok(Done::Written(_, value, false)) = put(&mut ledger, "r", &route, 20) else {
            panic!("replaced")
        };
        assert_eq!(value["create_time"], 10);
        assert_eq!(value["update_time"], 20);
        let read = ledger.handle(Command::Read(Kind::Route, id("r")), Timestamp::default());
        let Ok(Verdict::Answer(Done::Found(_, entry))) = read else { panic!("found") };
        assert_eq!((entry.created, entry.modified), (1, 2));
    }

    #[test]
    fn what_does_not_compile_changes_nothing_and_names_the_place() {
        let mut ledger = Ledger::default();
        let refused = put(&mut ledger, "r", &json!({"uri": "/a", "upstream": {"nodez": {}}}), 1);
        let Err(Refusal::Faulty(faults)) = refused else { panic!("refused") };
        assert_eq!(faults[0].at, "/upstream/nodez");
        let gone = ledger.handle(Command::Delete(Kind::Route, id("r")), Timestamp::default());
        assert_eq!(gone.err(), Some(Refusal::NotFound));
    }
}
