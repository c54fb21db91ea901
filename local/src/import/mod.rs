//! Documents out of the configurations of others.
//!
//! Each importer is a pure function from a text to an [`Imported`]: a document that compiles, what of
//! the text it does not hold, and what is to be known about the rest. Nothing is dropped without being
//! told: every part of the input is in the document, or lies at or below a place that is told.
//!
//! What is understood is asked of the core, which compiles what comes out; there is no second list of
//! keys here. What is listed here is only what may be missed without harm (`harmless`).

pub mod apisix;
mod environment;
mod harmless;
pub mod httproute;
mod prune;
mod successor;

use std::fmt;

use serde_json::Value;
use splitway_core::fault::Fault;

pub use crate::import::environment::Unset;

use crate::document::Syntax;

/// What an importer made of a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    /// A document without faults.
    pub document: Value,
    /// What of the input the document does not hold, though it had an effect.
    pub losses: Vec<Loss>,
    /// What changes its meaning or had no effect, and what is only assumed.
    pub notes: Vec<Loss>,
}

impl Imported {
    /// Whether there is something to serve by, or there never was.
    pub fn is_usable(&self) -> bool {
        let routes = self.document.get("routes").and_then(Value::as_array);
        self.losses.is_empty() || routes.is_some_and(|routes| !routes.is_empty())
    }
}

/// One thing to tell about one place of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The number of the document in a text that holds several, from 1; else 0.
    pub document: usize,
    /// The JSON pointer of the place; empty for the whole document.
    pub at: String,
    /// What became of it, and why.
    pub what: String,
}

impl Loss {
    fn new(document: usize, fault: Fault) -> Self {
        Self { document, at: fault.at, what: fault.what }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.document > 0 {
            write!(f, "document {}, ", self.document)?;
        }
        let at = if self.at.is_empty() { "(document)" } else { &self.at };
        write!(f, "{at}: {}", self.what)
    }
}

/// Why a text cannot be imported at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It is not YAML or JSON.
    #[error(transparent)]
    Syntax(Syntax),
    /// It names environment variables that are not set and have no default.
    #[error("{}", join(.0, "\n"))]
    Unset(Vec<Unset>),
    /// It is YAML or JSON, and nothing the importer knows.
    #[error("{0}")]
    Foreign(&'static str),
}

/// Things one after the other.
fn join<T: fmt::Display>(things: &[T], between: &str) -> String {
    things.iter().map(T::to_string).collect::<Vec<_>>().join(between)
}
