//! The commands of the binary that talk to a server: pull, diff, push, revisions, rollback and key.
//!
//! What they do to a server is in `scenarios`, for any server at a base URL; here it is one that
//! keeps the API's promises in memory (`fake`). What they send, and what they say when a server does
//! not answer as it should, is in `requests` and `errors`.

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

use serde_json::json;

use process::Shell;

/// Makes a test of each scenario, on a server of its own.
macro_rules! on_the_fake {
    ($($scenario:ident),+ $(,)?) => {
        $(
            #[test]
            fn $scenario() {
                let (origin, _) = fake::start("", json!({}));
                scenarios::$scenario(&Shell::new(&format!("http://{}", origin.authority())));
            }
        )+
    };
}

on_the_fake!(
    what_is_pulled_can_be_pushed,
    a_diff_tells_what_would_change,
    nothing_is_removed_without_a_yes,
    a_terminal_is_asked,
    a_push_is_for_the_revision_it_was_meant_for,
    the_past_can_be_looked_at_and_gone_back_to,
    faults_are_told_with_their_places,
    keys_open_until_they_are_removed,
);
