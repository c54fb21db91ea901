//! `splitway key`: the keys that open a server's API.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use splitway_core::id::Id;
use splitway_local::client::error::plain;
use splitway_local::client::options::ClientOptions;
use splitway_local::random_hex;

use super::outcome::{AFTER_HELP, Failure, Verdict, client, end};
use super::report::table;

/// What to do with which key.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,

    #[command(flatten)]
    client: ClientOptions,
}

#[derive(Subcommand)]
enum Action {
    /// List the keys by name, without what opens
    #[command(after_help = AFTER_HELP)]
    List,
    /// Make a key and print it on standard output, this once; all else goes to standard error
    #[command(after_help = AFTER_HELP)]
    Add {
        /// Its name: 1 to 64 letters, digits, `-`, `_`, `.`
        #[arg(value_parser = name)]
        name: String,

        /// What it opens
        #[arg(long, value_enum, default_value = "viewer")]
        role: Role,

        /// Take the place of a key of that name
        #[arg(long)]
        replace: bool,
    },
    /// Remove a key: it opens nothing any more
    #[command(after_help = AFTER_HELP)]
    Remove {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Role {
    /// Read and write, keys too
    Admin,
    /// Read only
    Viewer,
}

/// Why a text is not the name of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 64 letters, digits, `-`, `_`, `.`, and not only dots")]
struct NotAName;

/// A name that can stand in a path, where `.` and `..` mean something else.
fn name(text: &str) -> Result<String, NotAName> {
    let is_dots = text.bytes().all(|byte| byte == b'.');
    Id::parse(text).filter(|_| !is_dots).map(|id| id.as_str().to_owned()).ok_or(NotAName)
}

/// Does it.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    end(match &arguments.action {
        Action::List => list(arguments),
        Action::Add { name, role, replace } => add(arguments, name, *role, *replace),
        Action::Remove { name } => remove(arguments, name),
    })
}

fn list(arguments: &Arguments) -> Result<Verdict, Failure> {
    let keys = client(&arguments.client)?.keys()?;
    let head = ["name", "role", "made"].map(str::to_owned);
    let rows = keys.iter().map(|key| {
        let made = key.created_at.as_deref().unwrap_or_default();
        [&*key.name, &*key.role, made].map(plain)
    });
    let rows: Vec<[String; 3]> = std::iter::once(head).chain(rows).collect();
    let mut out = anstream::stdout();
    table(&mut out, &rows)?;
    out.flush()?;
    Ok(Verdict::Done)
}

fn add(
    arguments: &Arguments,
    name: &str,
    role: Role,
    is_replaced: bool,
) -> Result<Verdict, Failure> {
    let client = client(&arguments.client)?;
    if !is_replaced && client.keys()?.iter().any(|key| key.name == name) {
        return Err(Failure::KeyTaken(name.to_owned()));
    }
    let key = random_hex::<32>().map_err(Failure::NoEntropy)?;
    let role = match role {
        Role::Admin => "admin",
        Role::Viewer => "viewer",
    };
    let is_new = client.put_key(name, role, &key)?;
    print(&key).map_err(|source| Failure::KeyLost { name: name.to_owned(), source })?;
    let made = if is_new { "made" } else { "replaced" };
    // Whoever closed standard error does not want to know.
    let _ = writeln!(anstream::stderr(), "{made} the key `{name}`, {role}; it is not shown again");
    Ok(Verdict::Done)
}

fn print(key: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{key}")?;
    out.flush()
}

fn remove(arguments: &Arguments, name: &str) -> Result<Verdict, Failure> {
    client(&arguments.client)?.delete_key(name)?;
    // Whoever closed standard error does not want to know.
    let _ = writeln!(anstream::stderr(), "removed the key `{name}`");
    Ok(Verdict::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_segment_of_a_path() {
        for (text, is_name) in [
            ("ci", true),
            ("a.b-c_1", true),
            ("", false),
            ("..", false),
            ("a/b", false),
            ("é", false),
        ] {
            assert_eq!(name(text).is_ok(), is_name, "{text}");
        }
    }
}
