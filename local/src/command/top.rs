//! `splitway top`: how branches fare, as it happens.

mod columns;
mod draw;
mod history;
mod keys;
mod live;
mod pace;
mod rates;
#[cfg(test)]
mod samples;
mod screen;
mod terminal;
mod told;
mod view;
mod words;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use splitway_local::client::options::ClientOptions;

use super::outcome::{Failure, Verdict, client, end};
use history::History;
use view::Sort;

/// What there is to see, and what the environment alone can say.
pub(crate) const AFTER_HELP: &str = "\
Shares are those of the requests that weights or keys gave a branch, since the server counts or since the
weights changed; the range is where a share lies with 95 % confidence, and ! marks one whose target does not
lie there. Requests, errors (5xx) and times until the head of a response are those of the last interval; at
the edge, whose isolates tell what they have counted now and then, of the last 15 s.

Keys: q, Esc or Ctrl-C quit; arrows, PgUp, PgDn, Home and End scroll; s sorts by requests, errors, p99 or
name; / filters by route, name, path or branch.

Examples:
  splitway top
  splitway top --server https://api.example.com/ops --interval 5s
  splitway top --once --interval 10s --filter chat
  splitway top --json | jq '.rules[].branches[] | [.name, .share, .rates.p99_ms]'

Environment:
  SPLITWAY_ADMIN_KEY  The server's key, a viewer's is enough [default, where the server is on this
                      machine: the key in ./splitway-data/admin.key]
  NO_COLOR            No colours, if it is not empty

Exit codes:
  0  somebody quit, or it is printed
  2  an error";

/// Which server to look at, and how.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Ask so often, from 200ms to 1h; rates are of this time
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = pace::pace)]
    interval: Duration,

    /// Print a table of one interval and end, as where standard output is no terminal
    #[arg(long)]
    once: bool,

    /// Print one interval as JSON and end
    #[arg(long)]
    json: bool,

    /// What comes first
    #[arg(long, value_enum, default_value = "requests")]
    sort: Sort,

    /// Show only what has this in its route's id, name or paths, or in its branch's name
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,

    #[command(flatten)]
    client: ClientOptions,
}

/// Shows how branches fare, until somebody has seen enough.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    end(top(arguments))
}

fn top(arguments: &Arguments) -> Result<Verdict, Failure> {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let is_screen = std::io::stdout().is_terminal() && !is_dumb;
    match arguments.once || arguments.json || !is_screen {
        true => once(arguments),
        false => live::run(arguments),
    }
}

/// Two answers, an interval apart: counts alone do not tell what happens now.
fn once(arguments: &Arguments) -> Result<Verdict, Failure> {
    let client = client(&arguments.client)?;
    let mut history = History::default();
    history.take(client.status()?);
    std::thread::sleep(arguments.interval);
    let view = history.take(client.status()?);
    let (sort, filter) = (arguments.sort, arguments.filter.as_str());
    let mut out = anstream::stdout();
    match arguments.json {
        true => told::json(&mut out, &arguments.client.server.to_string(), &view, sort, filter)?,
        false => told::text(&mut out, &view, sort, filter)?,
    }
    out.flush()?;
    Ok(Verdict::Done)
}
