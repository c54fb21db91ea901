//! `splitway rollback`: an old revision becomes the configuration of a server again.

use std::process::ExitCode;

use splitway_local::client::options::ClientOptions;

use super::apply::{Extent, apply};
use super::outcome::{Failure, Verdict, client, end, judged};

/// What to go back to.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The revision
    revision: u64,

    #[command(flatten)]
    extent: Extent,

    #[command(flatten)]
    client: ClientOptions,
}

/// Prints what changes, and the new revision.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    end(rollback(arguments))
}

fn rollback(arguments: &Arguments) -> Result<Verdict, Failure> {
    let client = client(&arguments.client)?;
    let revision = arguments.revision;
    apply(&client, None, arguments.extent, |run, base| {
        let answer = client.rollback(revision, run, base);
        answer.map_err(|error| judged(error, &format!("revision {revision}"), false))
    })
}
