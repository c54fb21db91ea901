//! `splitway revisions`: what the configuration of a server was, and who changed it.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Subcommand;
use splitway_local::client::api::{Change, Revision};
use splitway_local::client::error::plain;
use splitway_local::client::options::ClientOptions;
use splitway_local::document::{Count, Format, write};

use super::changes::{self, Form};
use super::outcome::{AFTER_HELP, Failure, Verdict, client, end};
use super::report::table;

/// Which revisions to list, or what else to do with them.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,

    /// List so many at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u64,

    /// List only those before this one
    #[arg(long, value_name = "REV")]
    before: Option<u64>,

    #[command(flatten)]
    client: ClientOptions,
}

#[derive(Subcommand)]
enum Action {
    /// Print the document of a revision; who made it and how is said on standard error
    #[command(after_help = AFTER_HELP)]
    Show {
        /// The revision
        revision: u64,

        /// How to write the document
        #[arg(long, value_enum, default_value = "yaml")]
        format: Form,
    },
    /// Show what is different between two revisions, resource by resource
    #[command(after_help = AFTER_HELP)]
    Diff {
        /// The revision before
        from: u64,

        /// The revision after
        to: u64,

        /// How to write what changes
        #[arg(long, value_enum, default_value = "yaml")]
        format: Form,

        /// Exit with 1 if there are differences
        #[arg(long)]
        exit_code: bool,
    },
}

/// The most resources that a line of the list names.
const NAMES_MAX: usize = 3;

/// Prints what was asked for.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    end(match &arguments.action {
        None => list(arguments),
        Some(Action::Show { revision, format }) => show(arguments, *revision, (*format).into()),
        Some(Action::Diff { from, to, format, exit_code }) => {
            diff(arguments, [*from, *to], (*format).into(), *exit_code)
        }
    })
}

fn list(arguments: &Arguments) -> Result<Verdict, Failure> {
    let found = client(&arguments.client)?.revisions(arguments.limit, arguments.before)?.revisions;
    let head = ["revision", "at", "by", "cause", "changes"].map(str::to_owned);
    let rows = found.iter().map(|revision| {
        let number = revision.revision.to_string();
        let words = [&revision.at, &revision.by, &revision.cause].map(|text| plain(text));
        let [at, by, cause] = words;
        [number, at, by, cause, names(&revision.changes)]
    });
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(rows).collect();
    let mut out = anstream::stdout();
    table(&mut out, &rows)?;
    out.flush()?;
    Ok(Verdict::Done)
}

/// The first few of the resources that a revision changed.
fn names(changes: &[Change]) -> String {
    let mut names: Vec<String> = changes.iter().take(NAMES_MAX).map(changes::word).collect();
    if let Some(more @ 1..) = changes.len().checked_sub(NAMES_MAX) {
        names.push(format!("and {more} more"));
    }
    names.join(" ")
}

fn show(arguments: &Arguments, revision: u64, format: Format) -> Result<Verdict, Failure> {
    let (found, document) = client(&arguments.client)?.revision(revision)?;
    let mut out = io::stdout().lock();
    out.write_all(write(&document, format).as_bytes())?;
    out.flush()?;
    // Whoever closed standard error does not want to know.
    let _ = introduce(&mut anstream::stderr(), &found);
    Ok(Verdict::Done)
}

fn introduce(out: &mut impl Write, found: &Revision) -> io::Result<()> {
    let Revision { revision, at, by, cause, changes } = found;
    let told = format!("revision {revision}, {at}, by {by}: {cause}");
    writeln!(out, "{}, {}", plain(&told), Count(changes.len(), "resource"))?;
    changes::lines(out, changes)
}

fn diff(
    arguments: &Arguments,
    [from, to]: [u64; 2],
    format: Format,
    has_exit_code: bool,
) -> Result<Verdict, Failure> {
    let changes = client(&arguments.client)?.difference(from, to)?;
    let mut out = anstream::stdout();
    changes::full(&mut out, &changes, format)?;
    changes::summary(&mut out, &changes)?;
    out.flush()?;
    Ok(match has_exit_code && !changes.is_empty() {
        true => Verdict::Differs,
        false => Verdict::Done,
    })
}
