//! What the tests of metrics need: a Prometheus that scrapes them.

use std::process::Command;

use crate::debian;
use crate::step::{Failure, Outcome, ask};

/// The program, and Debian's package of the same name.
const PROGRAM: &str = "prometheus";

/// Installs it, if it is missing.
pub(crate) fn ready() -> Outcome {
    if !is_there() {
        debian::install(&[PROGRAM], "for the tests of metrics").map_err(|_| cannot())?;
    }
    if is_there() { Ok(()) } else { Err(cannot()) }
}

fn is_there() -> bool {
    ask(Command::new(PROGRAM).arg("--version")).is_some()
}

fn cannot() -> Failure {
    let reason = "`prometheus` is missing, and it could not be installed. Either\n\
         - on Debian: apt-get install --no-install-recommends prometheus\n\
         - elsewhere: put `prometheus` into the PATH\n\
         and then run this again. Only the tests of metrics need it.";
    Failure::new("setup: prometheus", reason)
}
