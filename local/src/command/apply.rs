//! A change in two steps: what it would do, and then, if that is wanted, the change itself; it is made
//! to the very revision that was looked at, or not at all.

use std::io::{self, IsTerminal, Write};

use splitway_local::client::Client;
use splitway_local::client::api::{Applied, Run};
use splitway_local::document::Count;

use super::changes;
use super::outcome::{Failure, Verdict};

/// How far to go.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Extent {
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,

    /// Do not ask before something is removed
    #[arg(long, short)]
    yes: bool,
}

/// Makes the change that `change` asks the server for. Before resources go, somebody is asked.
///
/// `base` is the revision that it is for; where none is given, it is the one that serves.
pub(crate) fn apply(
    client: &Client,
    base: Option<u64>,
    extent: Extent,
    change: impl Fn(Run, Option<u64>) -> Result<Applied, Failure>,
) -> Result<Verdict, Failure> {
    let base = match base {
        Some(base) => base,
        None => client.revisions(1, None)?.current,
    };
    let planned = change(Run::Dry, Some(base))?.changes;
    let mut out = anstream::stdout();
    changes::lines(&mut out, &planned)?;
    changes::summary(&mut out, &planned)?;
    out.flush()?;
    if extent.dry_run || planned.is_empty() {
        return Ok(Verdict::Done);
    }
    match changes::removed_count(&planned) {
        0 => {}
        _ if extent.yes => {}
        count if !io::stdin().is_terminal() || !io::stderr().is_terminal() => {
            return Err(Failure::Unconfirmed(count));
        }
        count if !is_confirmed(count)? => return Ok(Verdict::Declined),
        _ => {}
    }
    let applied = change(Run::Real, Some(base))?;
    writeln!(out, "revision {}", applied.revision)?;
    out.flush()?;
    Ok(Verdict::Done)
}

/// Asks at the terminal. Whatever is not a yes is a no.
fn is_confirmed(count: usize) -> io::Result<bool> {
    let mut out = anstream::stderr();
    write!(out, "Remove {}? [y/N] ", Count(count, "resource"))?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}
