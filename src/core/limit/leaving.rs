//! The end of a request that has a place in the store of shared limits.

use std::fmt;
use std::sync::Arc;

use super::{Terms, Toll};

/// Who tells the store that requests are over.
pub trait Porter: fmt::Debug + Send + Sync {
    /// Has the store told, beside all requests. Must not wait. Where it cannot be told, the place is free when
    /// its time is over.
    fn leave(&self, toll: Toll);
}

/// A place that is given back when this is dropped, once.
#[derive(Debug)]
pub struct Leaving {
    toll: Option<Toll>,
    porter: Arc<dyn Porter>,
}

impl Leaving {
    /// The end of what enters with this toll, if something does. It is there before the store is asked: of a
    /// request that is given up meanwhile nobody knows whether it got a place.
    pub fn of(toll: &Toll, porter: impl FnOnce() -> Arc<dyn Porter>) -> Option<Self> {
        let Terms::Enter { id, .. } = &toll.terms else { return None };
        let terms = Terms::Leave { id: id.clone() };
        let toll = Toll { key: toll.key.clone(), terms, want: 1 };
        Some(Self { toll: Some(toll), porter: porter() })
    }

    /// There was no place.
    pub(crate) fn forget(mut self) {
        self.toll = None;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(toll) = self.toll.take() {
            self.porter.leave(toll);
        }
    }
}
