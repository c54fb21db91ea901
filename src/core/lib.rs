//! # The splitter
//!
//! Splitway splits HTTP API traffic between versions by weight and rewrites each share for its
//! version. This crate is all of it that decides. It has no I/O, no clock, no chance and no globals;
//! two shells lend it those: a Cloudflare Worker (`src/`) and a server (`local/`).
//!
//! ## The idea in five sentences
//!
//! 1. A request head, the configuration (an immutable [`Snapshot`](snapshot::Snapshot)), time and
//!    chance are data; what to do is a pure function of them.
//! 2. What cannot be decided at once is an [`Exchange`](exchange::Exchange), fed with outcomes.
//! 3. One short async file, [`serve`], walks the exchange using the effects that a runtime lends
//!    through [`Platform`](platform::Platform); it is shared, so the two shells contain no decisions.
//! 4. A shell lends effects and nothing else: no `if` about routes, weights, timeouts or errors, nor
//!    about when to read the configuration again ([`refresh`]), when to publish it ([`publish`]), who
//!    may use the Admin API ([`admin`], [`access`]) or what a command to it does ([`coordinator`]).
//! 5. Bodies do not pass through the core: they are an opaque type, streamed by the runtime. The
//!    exception is the body of a request for which the document asks, in a condition, a key, a template
//!    or a merge: it is read, up to a limit, before anything is sent, and what a merge makes of it is
//!    sent in its place.
//!
//! ## The road of a request
//!
//! ```text
//! head ─► snapshot ─► route ─► proxy_rewrite ─► rule ─► pick ─► balance ─► rewrite ─► Attempt
//!                       └─────────── each asks facts ──────┬───────────────┘             │
//!                                                          │                  the shell sends
//!                     another node, or another branch ◄─ settle ◄─ what came of it ◄──────┘
//!                                                          │
//! client ◄─ the shell applies ◄─ Relay (edits, tail) ◄─────┘ or Answer
//! ```
//!
//! - [`facts`] is what all of these may ask: the head as it came, the draft of what is to be sent, which
//!   each rewrite replaces by another, and the body, if it is known. Expressions (`expr`) and templates
//!   (`template`) ask through `variable`, keys (`affinity`) by themselves.
//! - The rule is the first of the route's `traffic-split` that takes the request, then of the global
//!   rules'; the last one is the route's own upstream. Its branch is the one that somebody may ask for by
//!   name (`forced`), else the owner of a key ([`rendezvous`]), else the next by turns ([`rotation`]).
//! - Whoever asks for a body that has not been read gets none, and is noted. The decision then counts
//!   for nothing ([`facts::NeedsBody`]): no turn was taken, no cookie drawn. [`serve`] reads the body and
//!   has all of it decided again. Where only the rewrite of the branch asks, the decision stands and the
//!   body is read before the attempt.
//! - [`exchange::Exchange::settle`] says whether a request is sent once more: whether the document lists what
//!   came of it and it may be repeated ([`retry`]), what a stream began with ([`opening`]), and whether there is
//!   somebody left to send it to. Breakers, budgets and latencies learn of it there.
//! - What comes of attempts, and of the probes that a shell sends to the nodes that [`checkup`] lists,
//!   decides to which nodes `balance` sends later requests. At the edge probes go out in [`rounds`], and
//!   the coordinator's [`register`] keeps what they find for all isolates.
//! - What came of all that is counted once for each request, when it is answered ([`meter`]), by branch,
//!   node and consumer; [`status`] tells it by names. No label and no name comes from a client.
//!   At the edge isolates tell the coordinator, which adds it up ([`tally`]).
//! - [`explain`] walks the same road with somebody who looks on: no turn is taken and nothing is sent.
//!
//! ## The road of a change
//!
//! ```text
//! request ─► admin ─► Command ─► coordinator ─► Change ─► compile ─► the Storage keeps it ─► answer
//!                                    │                       │
//!                                    └─ ledger (now), sql    └─ Snapshot: serves before the answer,
//!                                       (now and the past)      or is published to KV
//! ```
//!
//! The [`coordinator`] is the one writer of a [`ledger`]; [`admin`] turns APISIX's dialogue and our own
//! into its commands; [`document`] is the ledger as one document, and back. What keeps the ledger is a
//! [`storage::Storage`]: SQLite through [`sql`], whose statements a shell only executes, or whatever
//! else a shell brings along. [`publish`] says when the document goes to where isolates read it, and
//! [`refresh`] what they take over of it. The [`page`] is one more client of [`admin`], in a browser.
//!
//! ## Invariants
//!
//! - Nothing here panics on anything from the network: in a Worker one panic ends every request of an
//!   isolate.
//! - The core never iterates or copies a whole head; it asks for fields and returns [`head::Edits`].
//! - After compilation only the positions of [`rotation::Rotation`]s change, by one atomic add a pick, and
//!   what breakers, budgets, health, latencies and meters have counted, by atomic exchanges of single
//!   words. A snapshot that follows another takes all of that over.
//! - What is acknowledged is durable; what is served compiled; a change is whole or it is not.
//! - A snapshot that exists is sound: [`snapshot::compile`] is the only way to get one and reports
//!   every fault with a JSON pointer.
//! - A module imports only modules listed above it here, and only [`serve`] and [`admin`] await. A
//!   test checks both.

pub mod time;
mod few;
mod gather;
pub mod kind;
pub mod fault;
pub mod json;
mod raw;
pub mod id;
pub mod address;
mod reader;
pub mod wire;
pub mod problem;
pub mod head;
pub mod telemetry;
pub mod statuses;
pub mod retry;
pub mod opening;
pub mod facts;
mod pattern;
mod variable;
mod expr;
mod template;
mod meta;
pub mod limit;
pub mod route;
pub mod rotation;
pub mod rendezvous;
mod breaker;
pub mod seal;
pub mod signature;
pub mod auth;
mod affinity;
mod forced;
pub mod rewrite;
mod proxy_rewrite;
pub mod node;
pub mod checks;
pub mod balance;
pub mod meter;
pub mod split;
pub mod guard;
mod plugin;
mod deeds;
mod resource;
pub mod config;
mod catalog;
mod consumer;
#[cfg(feature = "schema")]
mod shape;
pub mod schema;
pub mod snapshot;
pub mod checkup;
pub mod rounds;
pub mod survey;
pub mod status;
pub mod impact;
pub mod refresh;
pub mod exchange;
pub mod explain;
pub mod ledger;
pub mod document;
pub mod references;
pub mod patch;
pub mod storage;
pub mod sql;
pub mod register;
pub mod tally;
pub mod publish;
pub mod access;
pub mod coordinator;
pub mod platform;
pub mod yaml;
pub mod page;
pub mod admin;
pub mod serve;
