//! What can be asked of a coordinator, and what it can answer.

use serde_json::{Map, Value};
use std::time::Duration;

use crate::access::{Denial, KeyHash, Role};
use crate::explain::{Explanation, Question};
use crate::fault::Fault;
use crate::id::Id;
use crate::kind::Kind;
use crate::ledger::{Edit, Entry};
use crate::seal::Secret;
use crate::storage::{StorageError, Summary};
use crate::time::Timestamp;

/// What somebody wants of the control plane.
#[derive(Clone, Debug)]
pub enum Command {
    /// Only to know something.
    Look(Look),
    /// Make or replace a resource; without an id, make one with the next number as its id.
    Write(Kind, Option<Id>, Map<String, Value>, Terms),
    /// Change a part of a resource: at a path of keys, or merge where there is none.
    Patch(Kind, Id, Vec<String>, Value, Terms),
    /// Remove a resource; if it is used, only where that is forced.
    Delete(Kind, Id, bool, Terms),
    /// Replace the whole document.
    Replace(Value, Condition),
    /// Replace the whole document with that of a revision.
    Rollback(u64, Condition),
    /// Add a key, or replace it.
    WriteKey(Id, Role, KeyHash),
    /// Remove a key.
    DeleteKey(Id),
}

impl Command {
    /// Whether it is to change something.
    pub(super) fn is_writing(&self) -> bool {
        match self {
            Self::Look(_) => false,
            Self::Replace(_, condition) | Self::Rollback(_, condition) => !condition.is_trial,
            Self::Write(..)
            | Self::Patch(..)
            | Self::Delete(..)
            | Self::WriteKey(..)
            | Self::DeleteKey(_) => true,
        }
    }
}

/// What somebody wants to know of the control plane.
#[derive(Clone, Debug)]
pub enum Look {
    /// One resource.
    Resource(Kind, Id),
    /// All resources of a kind; of the credentials those of one consumer.
    List(Kind, Option<Id>),
    /// The whole document.
    Document,
    /// Revisions below this one, the newest first, at most so many.
    Revisions(u64, usize),
    /// One revision with its document.
    Revision(u64),
    /// What leads from one revision to another.
    Compare(u64, u64),
    /// The keys that were added.
    Keys,
    /// What would become of a request, where this is what cookies and tokens are checked with.
    Explain(Box<Question>, Option<Secret>),
    /// What a command would change, for traffic and for these keys.
    Foresee(Box<Command>, Sample),
}

/// Keys of which is asked where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample {
    /// So many that are made up.
    MadeUp(u64),
    /// These, each of which is told of by itself.
    Named(Vec<String>),
}

/// On what terms a resource is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// After how long it goes by itself.
    pub ttl: Option<Duration>,
    /// Only if this is the revision.
    pub revision: Option<u64>,
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
    /// What would become of the request.
    Explained(Box<Explanation>),
    /// What would change, at this revision: entries, and what that means for traffic.
    Foreseen(u64, Vec<Edit>, Value),
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
    /// A patch that leads nowhere, or to another resource.
    Invalid(String),
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
