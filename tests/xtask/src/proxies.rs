//! `cargo xtask bench-proxies`: builds what is measured and what measures, and has the peers installed.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian;
use crate::step::{Failure, Outcome, run, say};
use crate::wasm::WasmRust;

const STEP: &str = "bench-proxies";

/// What is started beside our own programs, and Debian's packages of it: the peers and those who load them.
const PROGRAMS: [(&str, &str); 4] =
    [("nginx", "nginx"), ("haproxy", "haproxy"), ("wrk", "wrk"), ("h2load", "nghttp2-client")];

/// Measures, or with `--smoke` only tries, with these arguments of its own.
///
/// `SPLITWAY_BIN` may say which `splitway` is measured; else the release build is.
pub(crate) fn bench(root: &Path, arguments: &[String]) -> Outcome {
    programs()?;
    let mut bench = Command::new(build(root, "splitway-tests", "bench-proxies")?);
    if env::var_os("SPLITWAY_BIN").is_none() {
        bench.env("SPLITWAY_BIN", build(root, "splitway-local", "splitway")?);
    }
    run(STEP, bench.args(arguments).current_dir(root))
}

/// Has a `splitway` that counts loaded with what is measured; its processes write into such `counts` when they end.
pub(crate) fn train(root: &Path, splitway: &Path, counts: &Path) -> Outcome {
    let mut bench = Command::new(build(root, "splitway-tests", "bench-proxies")?);
    bench.env("SPLITWAY_BIN", splitway).env("LLVM_PROFILE_FILE", counts);
    run(STEP, bench.arg("--train").current_dir(root))
}

/// Where cargo puts what it builds.
pub(crate) fn target(root: &Path) -> PathBuf {
    root.join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Builds a program for release, and returns where it is.
fn build(root: &Path, package: &str, program: &str) -> Outcome<PathBuf> {
    say(&format!("{program}, for release"));
    let mut cargo = Command::new(WasmRust::Own.cargo());
    cargo.args(["build", "--release", "--package", package, "--bin", program]);
    run(STEP, cargo.current_dir(root))?;
    Ok(target(root).join("release").join(program))
}

/// Installs those that are missing.
pub(crate) fn programs() -> Outcome {
    let missing = || PROGRAMS.into_iter().filter(|(program, _)| !is_there(program));
    let packages: Vec<&str> = missing().map(|(_, package)| package).collect();
    if !packages.is_empty() {
        drop(debian::install(&packages, "to be measured beside, and to make the load"));
    }
    match missing().next() {
        None => Ok(()),
        Some((program, package)) => {
            let reason = format!(
                "`{program}` is missing, and it could not be installed. Either\n\
                 - on Debian: apt-get install {package}\n\
                 - elsewhere: put `{program}` into the PATH\n\
                 and then run this again."
            );
            Err(Failure::new(STEP, reason))
        }
    }
}

/// Whether it can be started; what each makes of the argument does not matter.
fn is_there(program: &str) -> bool {
    Command::new(program).arg("-v").output().is_ok()
}
