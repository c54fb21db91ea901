//! Who calls: the consumers of a document, and how they are recognised.

pub(crate) mod jwt;

pub use crate::signature::Check;
