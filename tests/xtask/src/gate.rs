//! The gate of speed: benches run, and what a request costs in instructions is what is committed.

use std::path::Path;
use std::process::Command;

use crate::debian;
use crate::step::{Failure, Outcome, ask, run, say};
use crate::wasm::WasmRust;

/// Runs each bench once, for no figures, and holds the instructions of a request against the committed figure.
pub(crate) fn check(root: &Path) -> Outcome {
    valgrind()?;
    say("benches, each once");
    let mut smoke = Command::new(WasmRust::Own.cargo());
    smoke.args(["test", "--package", "splitway", "--bench", "decide"]).current_dir(root);
    run("benches, each once", &mut smoke)?;

    say("instructions of a request");
    let mut gate = Command::new(WasmRust::Own.cargo());
    gate.args(["bench", "--package", "splitway-core", "--bench", "gate"]).current_dir(root);
    run("instructions of a request", &mut gate)
}

/// Installs it, if it is missing.
fn valgrind() -> Outcome {
    let is_there = || ask(Command::new("valgrind").arg("--version")).is_some();
    if !is_there() {
        debian::install(&["valgrind"], "to count instructions").map_err(|_| cannot())?;
    }
    if is_there() { Ok(()) } else { Err(cannot()) }
}

fn cannot() -> Failure {
    let reason = "`valgrind` is missing, and it could not be installed. Either\n\
         - on Debian: apt-get install valgrind\n\
         - elsewhere: put it into the PATH\n\
         and then run this again. Only what a request costs is counted by it.";
    Failure::new("setup: valgrind", reason)
}
