//! Requests that two servers could read in two ways, against the local server with an origin behind it
//! that writes down what it receives. Whatever a client sends, it is refused and nothing behind it on the
//! connection is served, or one reading of it goes up.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this program is tests: a panic is how they fail"
)]

mod http1;
mod http2;
mod origin;

use std::num::NonZeroUsize;

use serde_json::json;
use splitway_local::{ServeOptions, Server};

use origin::RawOrigin;

/// A server that sends everything to an origin, under the name that the client says.
fn serving() -> (Server, RawOrigin) {
    let origin = RawOrigin::start();
    let upstream = json!({"nodes": {origin.address.to_string(): 1}});
    let document = json!({"routes": [{"id": "all", "uri": "/*", "upstream": upstream}]});
    let options = ServeOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        workers: NonZeroUsize::new(1),
        is_silent: true,
        ..ServeOptions::default()
    };
    (Server::start_with(&document.to_string(), options).unwrap(), origin)
}
