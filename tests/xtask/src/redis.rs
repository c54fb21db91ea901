//! What the tests of shared limits need: a Redis.

use std::process::Command;

use crate::debian;
use crate::step::{Failure, Outcome, ask};

/// Installs it, if it is missing.
pub(crate) fn ready() -> Outcome {
    if !is_there() {
        debian::install(&["redis-server"], "for shared limits").map_err(|_| cannot())?;
    }
    if is_there() { Ok(()) } else { Err(cannot()) }
}

fn is_there() -> bool {
    ask(Command::new("redis-server").arg("--version")).is_some()
}

fn cannot() -> Failure {
    let reason = "`redis-server` is missing, and it could not be installed. Either\n\
         - on Debian: apt-get install redis-server\n\
         - elsewhere: put a `redis-server` from 5.0 on, or Valkey's under that name, into the PATH\n\
         and then run this again. Only the tests of limits that a fleet shares need it.";
    Failure::new("setup: redis-server", reason)
}
