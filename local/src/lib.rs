//! # The local shell
//!
//! Splitway as a server of your own: it lends the core of `splitway-core` sockets, a clock and a disk,
//! and decides nothing about routes, weights or errors. The same scenarios hold here and at the edge.
//!
//! ## The road of a request
//!
//! Each of `--workers` threads has a runtime, a listener on the shared port and a pool of upstream
//! connections of its own; a request never changes threads. [`server`] starts them, `listen` accepts
//! and speaks HTTP/1.1 or HTTP/2 with the client, over TLS or not, `door` is where it does; `reply` has
//! the core serve, `platform` lends it the effects (made by `kit`), and `upstream` makes an attempt through `connect`,
//! whose failures `failure` names. What is forwarded of a head is in `message`. [`router()`] has the same in
//! somebody else's application (`mount`).
//!
//! ## The road of a configuration
//!
//! [`document`] compiles a text; `store` holds the snapshot that all threads serve by. It comes from
//! a `file` that is read again when it changes, or from the ledger of `coordinator`, which `database`
//! keeps on disk and the Admin API (`admin`, the one place with axum) changes. Of a [`fleet`] the ledger
//! is in `etcd`, `member` makes a server one of it, and `last_good` is what it starts with while etcd
//! is away. [`import`] makes documents of the configurations of others.
//!
//! ## What goes on beside
//!
//! `fetch` gets the keys that tokens are checked with (`verify`), for the guards that ask for them.
//! `checks` probes the nodes of upstreams that ask for it, from a thread of its own; requests and probes
//! share what is known of a node.
//!
//! What there is to tell goes to threads that write it: events (`telemetry`), a line for each request and
//! what became of it (`access`), and the spans of those that are traced (`trace`).
//!
//! Limits that several servers share are counted by `limiter`, in this process or in a Redis.
//!
//! ## The road of a command
//!
//! The commands that talk to a server, this one or one at the edge, do so through [`client`].

pub mod client;
pub mod document;
pub mod fleet;
pub mod import;
pub mod options;
pub mod resolve;
pub mod server;
mod access;
mod admin;
mod checks;
mod connect;
mod coordinator;
mod database;
mod door;
#[cfg(feature = "etcd")]
mod etcd;
mod failure;
mod fetch;
mod file;
mod front;
mod h1;
mod key;
mod kit;
#[cfg(feature = "etcd")]
mod last_good;
#[cfg(feature = "etcd")]
mod member;
mod limiter;
mod listen;
mod message;
mod metrics;
mod mount;
mod platform;
mod reply;
mod spare;
mod store;
mod telemetry;
mod thread;
mod trace;
mod upstream;
mod verify;

pub use crate::access::options::{AccessOptions, AccessPlace};
pub use crate::connect::TrustError;
pub use crate::database::DatabaseError;
pub use crate::file::FileError;
pub use crate::key::{KeyError, KeyFlaw, path as key_path, random_hex};
pub use crate::limiter::options::{LimiterOptions, RedisAddress};
pub use crate::listen::options::ListenOptions;
pub use crate::listen::tls::{CertificateError, Reload};
pub use crate::metrics::MetricsListen;
pub use crate::mount::{router, router_with};
pub use crate::options::ServeOptions;
pub use crate::server::{Server, StartError};
