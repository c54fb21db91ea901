//! The command line.

mod command;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use splitway_local::ServeOptions;

use command::outcome::AFTER_HELP;

/// Splits HTTP API traffic between versions by weight and rewrites each share for its version.
#[derive(Parser)]
#[command(name = "splitway", version, propagate_version = true, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve traffic, by a file or by what the Admin API is told
    #[command(after_help = command::serve::AFTER_HELP)]
    Serve(Box<ServeOptions>),
    /// Check a document: every fault with its place, and what APISIX would do differently
    Validate(command::validate::Arguments),
    /// Show which branch requests would get: how exact shares are, how even, and for whom
    #[command(after_help = command::simulate::AFTER_HELP)]
    Simulate(command::simulate::Arguments),
    /// Print the configuration of another gateway as a document, and what of it was lost
    Import(command::import::Arguments),
    /// Show a 50/50 split at work: an origin, Splitway in front of it, and some requests
    Demo(command::demo::Arguments),
    /// Print the configuration of a server, the whole document
    #[command(after_help = AFTER_HELP)]
    Pull(command::pull::Arguments),
    /// Show what a document would change on a server, or how two differ: resources and traffic
    #[command(after_help = command::diff::AFTER_HELP)]
    Diff(Box<command::diff::Arguments>),
    /// Tell what would become of a request, and why: route, rule, branch, and what would be sent
    #[command(after_help = command::explain::AFTER_HELP)]
    Explain(Box<command::explain::Arguments>),
    /// Show how the nodes are that a server sends requests to: what checks found, what is under way
    Health(command::health::Arguments),
    /// Watch how branches fare: shares against targets, requests, errors and times, as it happens
    #[command(after_help = command::top::AFTER_HELP)]
    Top(command::top::Arguments),
    /// Make a document the configuration of a server, after a look at what that changes
    #[command(after_help = AFTER_HELP)]
    Push(command::push::Arguments),
    /// List the revisions of a server's configuration, newest first; or show or compare them
    #[command(after_help = AFTER_HELP)]
    Revisions(command::revisions::Arguments),
    /// Make an old revision the configuration of a server again, as a new revision
    #[command(after_help = AFTER_HELP)]
    Rollback(command::rollback::Arguments),
    /// List, make and remove the keys that open a server's API
    #[command(after_help = AFTER_HELP)]
    Key(command::key::Arguments),
    /// Print a token by which whoever has it chooses a branch, where a rule's `override` takes tokens
    #[command(after_help = command::token::AFTER_HELP)]
    Token(command::token::Arguments),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Serve(options) => command::serve::run(*options),
        Command::Validate(arguments) => command::validate::run(&arguments),
        Command::Simulate(arguments) => command::simulate::run(&arguments),
        Command::Import(arguments) => command::import::run(&arguments),
        Command::Demo(arguments) => command::demo::run(&arguments),
        Command::Pull(arguments) => command::pull::run(&arguments),
        Command::Diff(arguments) => command::diff::run(&arguments),
        Command::Explain(arguments) => command::explain::run(&arguments),
        Command::Health(arguments) => command::health::run(&arguments),
        Command::Top(arguments) => command::top::run(&arguments),
        Command::Push(arguments) => command::push::run(&arguments),
        Command::Revisions(arguments) => command::revisions::run(&arguments),
        Command::Rollback(arguments) => command::rollback::run(&arguments),
        Command::Key(arguments) => command::key::run(&arguments),
        Command::Token(arguments) => command::token::run(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut CommandLine::command(), "splitway", &mut script);
            match std::io::stdout().write_all(&script) {
                // Whoever closes the pipe early has read enough.
                Err(error) if error.kind() != ErrorKind::BrokenPipe => ExitCode::from(2),
                Ok(()) | Err(_) => ExitCode::SUCCESS,
            }
        }
    }
}
