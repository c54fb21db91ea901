//! `splitway token`: a token by which whoever has it chooses a branch.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use splitway_core::id::Id;
use splitway_core::seal;
use splitway_core::time::Timestamp;

use super::moment::{LIFETIME_MAX, lifetime, moment, now};
use super::outcome::{Failure, Verdict, end};
use super::secret::secret;

/// What the environment says, and how to use a token.
pub(crate) const AFTER_HELP: &str = "\
Environment:
  SPLITWAY_SECRET  What the server signs with, from 16 bytes

The token goes into the header or the cookie that the rule's `override` names, x-splitway-branch if
it names neither. It cannot be taken back but by another secret, which ends all tokens and cookies.";

/// Which branch, where and for how long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The branch to choose; it may have the weight 0
    #[arg(long, value_name = "NAME", value_parser = id)]
    branch: String,

    /// Choose on this route alone [default: on every route]
    #[arg(long, value_name = "ID", value_parser = id)]
    route: Option<String>,

    /// For how long: a number and s, m, h or d, up to 30d
    #[arg(
        long = "for",
        value_name = "TIME",
        default_value = "1h",
        value_parser = lifetime,
        conflicts_with = "until"
    )]
    lasting: Duration,

    /// Until when, by RFC 3339 or in seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
}

/// Why a text is not the name of a branch or the id of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 64 letters, digits, `-`, `_`, `.`")]
struct NotAnId;

fn id(text: &str) -> Result<String, NotAnId> {
    Id::parse(text).map(|id| id.as_str().to_owned()).ok_or(NotAnId)
}

/// Prints it.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    end(token(arguments))
}

fn token(Arguments { branch, route, lasting, until }: &Arguments) -> Result<Verdict, Failure> {
    let secret = secret()?.ok_or(Failure::NoSecret)?;
    let now = now();
    let until = until.unwrap_or_else(|| now.plus(*lasting));
    if until <= now || until > now.plus(LIFETIME_MAX) {
        return Err(Failure::Lifetime);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", seal::token(&secret, branch, route.as_deref(), until))?;
    out.flush()?;
    let place = match route {
        Some(route) => format!("the route `{route}`"),
        None => "every route".to_owned(),
    };
    // Whoever closed standard error does not want to know.
    let _ = writeln!(anstream::stderr(), "for the branch `{branch}` on {place} until {until}");
    Ok(Verdict::Done)
}
