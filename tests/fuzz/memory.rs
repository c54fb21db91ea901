//! A storage in memory that several coordinators share, and that fails when it is told to.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use splitway_core::ledger::{Change, Ledger};
use splitway_core::storage::{Before, Op, Retention, Storage, StorageError, Summary};

/// What is kept: the ledger, and the changes that are not forgotten.
#[derive(Debug)]
struct Kept {
    ledger: Ledger,
    changes: Vec<Change>,
}

/// A hand on what is kept.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    kept: Rc<RefCell<Kept>>,
    failure: Rc<Cell<Option<Failure>>>,
}

/// How the next commit fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failure {
    Full,
    Unavailable,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let kept = Kept { ledger: Ledger::new("memory"), changes: Vec::new() };
        Self { kept: Rc::new(RefCell::new(kept)), failure: Rc::default() }
    }

    /// Has the next commit fail, or not.
    pub(crate) fn fail(&self, failure: Option<Failure>) {
        self.failure.set(failure);
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.kept.borrow().ledger.clone()
    }

    /// All that is kept, as text.
    pub(crate) fn text(&self) -> String {
        format!("{:?}", self.kept.borrow())
    }
}

impl Storage for Memory {
    fn load(&mut self) -> Result<Ledger, StorageError> {
        Ok(self.ledger())
    }

    fn commit(&mut self, change: &Change, retention: Retention) -> Result<(), StorageError> {
        match self.failure.take() {
            Some(Failure::Full) => return Err(StorageError::Full("told so".to_owned())),
            Some(Failure::Unavailable) => {
                return Err(StorageError::Unavailable("told so".to_owned()));
            }
            None => {}
        }
        let mut kept = self.kept.borrow_mut();
        if change.revision != kept.ledger.revision() + 1 {
            return Err(StorageError::Conflict);
        }
        for edit in &change.edits {
            assert_eq!(kept.ledger.get(&edit.place), edit.before.as_ref(), "{edit:?}");
        }
        kept.ledger.apply(change);
        kept.changes.push(change.clone());
        let last = change.revision.saturating_sub(retention.revisions);
        kept.changes.retain(|change| change.revision > last);
        Ok(())
    }

    fn summaries(&mut self, below: u64, limit: usize) -> Result<Vec<Summary>, StorageError> {
        let kept = self.kept.borrow();
        let wanted = kept.changes.iter().rev().filter(|change| change.revision < below);
        let summary = |change: &Change| {
            let edits = change.edits.iter();
            let op = |edit: &splitway_core::ledger::Edit| {
                (edit.place.clone(), Op::between(edit.before.as_ref(), edit.after.as_ref()))
            };
            Summary {
                revision: change.revision,
                at: change.at,
                by: change.by.clone(),
                cause: change.cause.clone(),
                edits: edits.map(op).collect(),
            }
        };
        Ok(wanted.take(limit).map(summary).collect())
    }

    fn befores(&mut self, revision: u64) -> Result<Vec<Before>, StorageError> {
        let kept = self.kept.borrow();
        let later = kept.changes.iter().filter(|change| change.revision > revision);
        let edits = later.flat_map(|change| &change.edits);
        Ok(edits.map(|edit| (edit.place.clone(), edit.before.clone())).collect())
    }
}
