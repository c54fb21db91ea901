//! # The contract
//!
//! What Splitway promises, as scenarios: plain functions over a [`Target`](target::Target), written
//! once, that hold on the core with a virtual clock (`tests/native`), on the local server over
//! loopback (`tests/axum`) and on the built Worker in workerd (`tests/workerd`).
//!
//! | module            | what it is                                                                  |
//! |-------------------|-----------------------------------------------------------------------------|
//! | [`message`]       | a [`Call`](message::Call) and its [`Answer`](message::Answer), byte by byte |
//! | [`script`]        | what an upstream does when it is asked                                      |
//! | [`plan`]          | what that means on the wire, byte by byte                                   |
//! | [`events`]        | streams of events, as they are and as they fail                             |
//! | [`mod@line`]      | a connection of an upstream, to be ended in every way                       |
//! | [`origin`]        | such an upstream, which remembers what it received                          |
//! | [`websocket`]     | WebSocket on a stream, for both sides                                       |
//! | [`tls`]           | the same behind TLS, with a certificate authority of its own                |
//! | [`sign`]          | those who sign tokens                                                       |
//! | [`http`]          | HTTP/1.1 as bytes on a stream, for both sides                               |
//! | [`wire`]          | a client that sends exactly what it is told, and reads piece by piece       |
//! | [`redis`]         | a Redis of a test's own                                                     |
//! | [`node`]          | the Node.js for what only JavaScript can                                    |
//! | [`at_end`]        | what is done when a scope is left, by a failed assertion, too               |
//! | [`mod@chance`]    | chance that is the same in every run of a seed                              |
//! | [`document`]      | documents, and the parts they are made of                                   |
//! | [`mutation`]      | documents that are nearly sound                                             |
//! | [`target`]        | what every environment lends to the scenarios                               |
//! | [`mod@scenarios`] | the contract itself                                                         |
//! | [`storage`]       | a ledger in memory                                                          |
//! | [`control`]       | what every environment with an Admin API lends to the dialogues             |
//! | [`mod@dialogues`] | the contract of the Admin API                                               |
//! | [`page`]          | walks through the page in a browser                                         |
//!
//! A scenario that an environment cannot run stands in that environment's table with the reason.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this package is tests: a panic is how they fail"
)]

pub mod message;
pub mod http;
pub mod script;
pub mod websocket;
pub mod plan;
pub mod events;
pub mod line;
pub mod origin;
pub mod tls;
pub mod sign;
pub mod redis;
pub mod node;
pub mod wire;
pub mod at_end;
pub mod chance;
pub mod document;
pub mod mutation;
pub mod target;
#[path = "../scenarios/mod.rs"]
pub mod scenarios;
pub mod storage;
pub mod control;
#[path = "../dialogues/mod.rs"]
pub mod dialogues;
pub mod page;
