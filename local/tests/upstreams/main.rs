//! Upstreams as the local server meets them: connections that are kept, shared, switched and lost, TLS,
//! HTTP/2, and names that move. All of it over real sockets, the server in this process.

#![allow(clippy::indexing_slicing, reason = "this program is tests: a panic is how they fail")]

mod blame;
mod bodies;
mod kept;
mod multiplexed;
mod names;
mod nodes;
mod rig;
mod secure;
mod switched;
