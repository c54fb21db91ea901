//! Limits: how many requests may pass, counted by whoever is told to be one by a key.

use serde::{Deserialize, Serialize};

/// What was counted, by key: one table for all limits, which later configurations go on with.
#[derive(Debug, Default)]
pub(crate) struct Counters;

/// What the store of shared limits is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toll {
    /// Of which account, in hexadecimal digits; nothing of a client stands in it.
    pub key: String,
    /// How many may pass.
    pub want: u32,
}

/// What the store of shared limits gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// How many may pass.
    pub granted: u32,
    /// How many more there are for others.
    pub remaining: u64,
    /// After how many milliseconds there are more.
    pub reset_ms: u64,
    /// How many milliseconds to wait before the last of them passes.
    pub pause_ms: u64,
}

/// A place among the requests that are under way, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Hold;
