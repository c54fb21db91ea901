//! `splitway diff`: what a document would change on a server.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use splitway_local::client::api::Run;
use splitway_local::client::options::ClientOptions;

use super::changes;
use super::outcome::{Failure, Verdict, client, document, end, judged};
use super::source::is_route;

/// What to compare with what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The document, YAML or JSON; `-` is standard input
    file: PathBuf,

    /// Exit with 1 if there are differences
    #[arg(long)]
    exit_code: bool,

    #[command(flatten)]
    client: ClientOptions,
}

/// Prints the differences, in the format of the file. The server is asked, and changes nothing.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    end(diff(arguments))
}

fn diff(arguments: &Arguments) -> Result<Verdict, Failure> {
    let (document, format) = document(&arguments.file)?;
    let answer = client(&arguments.client)?.replace(&document, Run::Dry, None);
    let subject = arguments.file.display().to_string();
    let changes = answer.map_err(|error| judged(error, &subject, is_route(&document)))?.changes;
    let mut out = anstream::stdout();
    changes::full(&mut out, &changes, format)?;
    changes::summary(&mut out, &changes)?;
    out.flush()?;
    Ok(match arguments.exit_code && !changes.is_empty() {
        true => Verdict::Differs,
        false => Verdict::Done,
    })
}
