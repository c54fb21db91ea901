//! A ledger in memory, kept as the changes that made it.

use splitway_core::ledger::{Change, Ledger};
use splitway_core::storage::{Before, Op, Retention, Storage, StorageError, Summary};

/// The changes of a ledger from the first on, and the first that is still remembered.
#[derive(Debug, Default)]
pub struct InMemory {
    changes: Vec<Change>,
    kept_from: usize,
}

impl InMemory {
    fn kept(&self) -> &[Change] {
        &self.changes[self.kept_from..]
    }
}

impl Storage for InMemory {
    fn load(&mut self) -> Result<Ledger, StorageError> {
        let mut ledger = Ledger::new("memory");
        self.changes.iter().for_each(|change| ledger.apply(change));
        Ok(ledger)
    }

    fn commit(&mut self, change: &Change, retention: Retention) -> Result<(), StorageError> {
        if change.revision != self.changes.len() as u64 + 1 {
            return Err(StorageError::Conflict);
        }
        self.changes.push(change.clone());
        let by_count = change.revision.saturating_sub(retention.revisions.max(1));
        let is_old = |kept: &Change| {
            kept.revision <= by_count
                || (change.at.since(kept.at) > retention.age && kept.revision < change.revision)
        };
        let last = self.kept().iter().rposition(is_old);
        self.kept_from += last.map_or(0, |position| position + 1);
        Ok(())
    }

    fn summaries(&mut self, below: u64, limit: usize) -> Result<Vec<Summary>, StorageError> {
        let newest_first = self.kept().iter().rev().filter(|change| change.revision < below);
        let summary = |change: &Change| Summary {
            revision: change.revision,
            at: change.at,
            by: change.by.clone(),
            cause: change.cause.clone(),
            edits: {
                let edits = change.edits.iter();
                let op = |edit: &splitway_core::ledger::Edit| {
                    (edit.place.clone(), Op::between(edit.before.as_ref(), edit.after.as_ref()))
                };
                edits.map(op).collect()
            },
        };
        Ok(newest_first.take(limit).map(summary).collect())
    }

    fn befores(&mut self, revision: u64) -> Result<Vec<Before>, StorageError> {
        let later = self.kept().iter().filter(|change| change.revision > revision);
        let edits = later.flat_map(|change| &change.edits);
        Ok(edits.map(|edit| (edit.place.clone(), edit.before.clone())).collect())
    }
}
