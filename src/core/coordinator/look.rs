//! What the coordinator knows, now and in the past.

use std::collections::BTreeSet;

use crate::access::key_of_entry;
use crate::document;
use crate::fault::Report;
use crate::gather::Gather as _;
use crate::id::Id;
use crate::ledger::{Edit, Entry, Ledger, Place, Section};
use crate::storage::{Storage, Summary};
use crate::time::Timestamp;

use super::{Coordinator, Done, Look, Refusal};

impl<S: Storage> Coordinator<S> {
    pub(super) fn look(&mut self, look: Look, now: Timestamp) -> Result<Done, Refusal> {
        let ledger = &self.ledger;
        match look {
            Look::Resource(kind, id) => {
                let entry = ledger.get(&(Section::Resource(kind), id.clone()));
                Ok(Done::Found(id, entry.ok_or(Refusal::NotFound)?.clone()))
            }
            Look::List(kind, consumer) => {
                let is_meant =
                    |id: &Id| consumer.as_ref().is_none_or(|consumer| id.is_of(consumer));
                let entries = ledger.section(Section::Resource(kind));
                let list = entries.filter(|(id, _)| is_meant(id));
                Ok(Done::Listed(list.map(|(id, entry)| (id.clone(), entry.clone())).collect()))
            }
            Look::Document => Ok(Done::Document(document::of_ledger(ledger), ledger.revision())),
            Look::Revisions(below, limit) => {
                let list = self.storage.summaries(below, limit)?;
                Ok(Done::Revisions(self.ledger.revision(), list))
            }
            Look::Revision(revision) => {
                let past = self.at(revision)?;
                let summary = self.summary(revision)?;
                Ok(Done::Revision(Box::new(summary), document::of_ledger(&past)))
            }
            Look::Compare(from, to) => Ok(Done::Compared(compare(&self.at(from)?, &self.at(to)?))),
            Look::Keys => {
                let keys = ledger.section(Section::Key).filter_map(|(id, entry)| {
                    let (role, _, made_at) = key_of_entry(&entry.value)?;
                    Some((id.clone(), role, made_at))
                });
                Ok(Done::Keys(keys.collect()))
            }
            Look::Explain(question, secret) => {
                let mut report = Report::default();
                let snapshot = ledger.compile(&mut report);
                let snapshot = snapshot.ok_or(Refusal::Faulty(report.faults))?;
                let explanation = question.explain(&snapshot, secret.as_ref(), now);
                Ok(Done::Explained(Box::new(explanation)))
            }
            Look::Foresee(command, sample) => self.foresee(*command, &sample, now),
        }
    }

    /// The ledger as it was at a revision.
    pub(super) fn at(&mut self, revision: u64) -> Result<Ledger, Refusal> {
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
}

/// What leads from one ledger to another, keys aside.
fn compare(from: &Ledger, to: &Ledger) -> Vec<Edit> {
    let places: BTreeSet<&Place> = from.entries().chain(to.entries()).map(|(at, _)| at).gather();
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
    let mut edits: Vec<Edit> = resources.filter_map(edit).collect();
    // As a replacement tells them.
    edits.sort_by_key(|edit| edit.after.is_none());
    edits
}
