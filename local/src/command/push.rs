//! `splitway push`: a document becomes the configuration of a server.

use std::path::PathBuf;
use std::process::ExitCode;

use splitway_local::client::options::ClientOptions;

use super::apply::{Extent, apply};
use super::outcome::{Failure, Verdict, client, document, end, judged};
use super::source::is_route;

/// What to put where.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The document, YAML or JSON; `-` is standard input
    file: PathBuf,

    #[command(flatten)]
    extent: Extent,

    /// Change nothing unless the server is at this revision [default: the one it is at when asked]
    #[arg(long, value_name = "REV")]
    if_match: Option<u64>,

    #[command(flatten)]
    client: ClientOptions,
}

/// Prints what changes, and the new revision.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    end(push(arguments))
}

fn push(arguments: &Arguments) -> Result<Verdict, Failure> {
    let (document, _) = document(&arguments.file)?;
    let client = client(&arguments.client)?;
    let subject = arguments.file.display().to_string();
    apply(&client, arguments.if_match, arguments.extent, |run, base| {
        let answer = client.replace(&document, run, base);
        answer.map_err(|error| judged(error, &subject, is_route(&document)))
    })
}
