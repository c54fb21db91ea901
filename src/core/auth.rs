//! Who calls: the consumers of a document, and how they are recognised.

use serde::{Deserialize, Serialize};

use crate::facts::Caller;

/// The consumers of a document, and by which keys they are known.
#[derive(Debug, Default)]
pub(crate) struct Consumers;

/// A consumer that was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known<'a> {
    /// Its number among the consumers of the document.
    pub(crate) number: usize,
    /// Its name.
    pub(crate) name: &'a str,
    /// The id of its group.
    pub(crate) group: Option<&'a str>,
    /// The id of the credential it was recognised by.
    pub(crate) credential: Option<&'a str>,
}

impl<'a> Known<'a> {
    /// What decisions can ask about it.
    pub(crate) fn caller(&self, earlier: Caller<'a>) -> Caller<'a> {
        Caller { consumer: Some(self.name), group: self.group, ..earlier }
    }
}

/// A signature that is to be checked with a public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was signed.
    pub message: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}
