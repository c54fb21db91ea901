//! A storage that several coordinators share, and that fails when it is told to.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use splitway_core::ledger::{Change, Ledger};
use splitway_core::storage::{Before, Retention, Storage, StorageError, Summary};
use splitway_tests::storage::InMemory;

/// A hand on what all of them keep.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    kept: Rc<RefCell<InMemory>>,
    failure: Rc<Cell<Option<Failure>>>,
}

/// How the next commit fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failure {
    Full,
    Unavailable,
}

impl Shared {
    /// Has the next commit fail, or not; whether the last one that was told to did not come.
    pub(crate) fn fail(&self, failure: Option<Failure>) -> bool {
        self.failure.replace(failure).is_some()
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.kept.borrow_mut().load().expect("memory can be read")
    }

    /// All that is kept, as text.
    pub(crate) fn text(&self) -> String {
        format!("{:?}", self.kept.borrow())
    }
}

impl Storage for Shared {
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
        let ledger = self.ledger();
        self.kept.borrow_mut().commit(change, retention)?;
        assert!(!change.edits.is_empty(), "nothing is no change");
        for edit in &change.edits {
            assert_eq!(ledger.get(&edit.place), edit.before.as_ref(), "what was there before");
        }
        Ok(())
    }

    fn summaries(&mut self, below: u64, limit: usize) -> Result<Vec<Summary>, StorageError> {
        self.kept.borrow_mut().summaries(below, limit)
    }

    fn befores(&mut self, revision: u64) -> Result<Vec<Before>, StorageError> {
        self.kept.borrow_mut().befores(revision)
    }
}
