//! The commands of the binary that talk to a server: pull, diff, push, revisions, rollback, key and
//! explain; those that look at documents without one, in `simulate`, `traffic` and `explain`; and token,
//! in `tokens`; and top, which needs a terminal that remembers (`seat`), in `top`.
//!
//! What they do to a server is in `scenarios`, for any server at a base URL: the server and the
//! Worker.
//! What they send, and what they say when a server does not answer as it should, is in `requests`
//! and `errors`, before servers of whose answers a script decides.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this program is tests: a panic is how they fail"
)]

mod errors;
mod explain;
mod fake;
#[path = "../workerd/miniflare.rs"]
#[allow(dead_code, reason = "not all that tests of the Worker need is needed here")]
mod miniflare;
mod process;
mod requests;
mod scenarios;
mod seat;
mod simulate;
mod tokens;
mod top;
mod traffic;

use std::path::Path;

use process::Shell;
use splitway_local::{ServeOptions, Server};

/// Makes a test of each scenario: on a server of its own, and on a Worker of its own that has a prefix.
macro_rules! on_servers_and_workers {
    ($($scenario:ident),+ $(,)?) => {
        mod server {
            $(
                #[test]
                fn $scenario() {
                    let data_dir = tempfile::TempDir::new().unwrap();
                    let server = super::start(data_dir.path());
                    let url = format!("http://{}", server.admin_addr().unwrap());
                    super::scenarios::$scenario(&super::Shell::new(&url));
                }
            )+
        }

        mod worker {
            $(
                #[test]
                fn $scenario() {
                    let vars = json!({"ADMIN_KEY": KEY, "SPLITWAY_ADMIN_PREFIX": "/ops"});
                    let worker = Miniflare::start(&json!({"coordinator": true, "vars": vars}));
                    let url = format!("http://{}/ops", worker.address());
                    super::scenarios::$scenario(&super::Shell::new(&url));
                }
            )+

            use serde_json::json;

            use crate::miniflare::Miniflare;
            use crate::process::KEY;
        }
    };
}

/// A server with an empty ledger.
fn start(data_dir: &Path) -> Server {
    let any_port = ([127, 0, 0, 1], 0).into();
    let options = ServeOptions {
        listen: any_port,
        admin_listen: any_port,
        data_dir: data_dir.to_owned(),
        admin_key: Some(process::KEY.to_owned()),
        is_silent: true,
        ..ServeOptions::default()
    };
    Server::start(options).unwrap()
}

on_servers_and_workers!(
    what_is_pulled_can_be_pushed,
    a_diff_tells_what_would_change,
    a_key_and_its_hash_are_no_difference,
    nothing_is_removed_without_a_yes,
    a_terminal_is_asked,
    a_push_is_for_the_revision_it_was_meant_for,
    the_past_can_be_looked_at_and_gone_back_to,
    faults_are_told_with_their_places,
    keys_open_until_they_are_removed,
    a_request_is_explained_as_by_the_document,
);
