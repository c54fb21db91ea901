//! Limits: how many requests may pass, counted by whoever is told to be one by a key.

pub mod account;
mod toll;

pub use toll::{Grant, PLACES_MAX, Terms, Toll};

/// What was counted, by key: one table for all limits, which later configurations go on with.
#[derive(Debug, Default)]
pub(crate) struct Counters;

/// A place among the requests that are under way, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Hold;
