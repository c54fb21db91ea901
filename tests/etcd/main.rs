//! A fleet: servers of the real binary on a real etcd, each test with its own etcd on free ports.
//!
//! What one server writes the others serve (`news`), writers on several servers lose nothing
//! (`races`), also when servers or etcd are killed among them (`losses`), while etcd is away serving
//! goes on (`away`), documents and histories of any size are whole (`sizes`), and who may not is told
//! so (`doors`).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this program is tests: a panic is how they fail"
)]

mod away;
mod doors;
mod etcd;
mod losses;
mod news;
mod node;
mod races;
mod relay;
mod sizes;

/// The binary, started as its other tests start it.
#[path = "../../local/tests/splitway/process.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod process;
