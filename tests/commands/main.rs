//! The commands of the binary that talk to a server: pull, diff, push, revisions, rollback and key.
//!
//! What they do to a server is in `scenarios`, for any server at a base URL; here it is the real one.
//! What they send, and what they say when a server does not answer as it should, is in `requests`
//! and `errors`, before servers of whose answers a script decides.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this program is tests: a panic is how they fail"
)]

mod errors;
mod fake;
mod process;
mod requests;
mod scenarios;

use process::Shell;
use splitway_local::{ServeOptions, Server};
use tempfile::TempDir;

/// Makes a test of each scenario, on a server of its own.
macro_rules! on_a_server {
    ($($scenario:ident),+ $(,)?) => {
        $(
            #[test]
            fn $scenario() {
                let data_dir = TempDir::new().unwrap();
                let any_port = ([127, 0, 0, 1], 0).into();
                let options = ServeOptions {
                    listen: any_port,
                    admin_listen: any_port,
                    data_dir: data_dir.path().to_owned(),
                    admin_key: Some(process::KEY.to_owned()),
                    is_silent: true,
                    ..ServeOptions::default()
                };
                let server = Server::start(options).unwrap();
                let url = format!("http://{}", server.admin_addr().unwrap());
                scenarios::$scenario(&Shell::new(&url));
            }
        )+
    };
}

on_a_server!(
    what_is_pulled_can_be_pushed,
    a_diff_tells_what_would_change,
    nothing_is_removed_without_a_yes,
    a_terminal_is_asked,
    a_push_is_for_the_revision_it_was_meant_for,
    the_past_can_be_looked_at_and_gone_back_to,
    faults_are_told_with_their_places,
    keys_open_until_they_are_removed,
);
