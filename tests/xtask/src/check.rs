//! The checks: format, lints, docs, the trial deployment, the tests.

use std::path::Path;
use std::process::Command;

use crate::setup::Kit;
use crate::step::{Failure, Outcome, ask, run, say};
use crate::wasm::{TARGET, WasmRust};
use crate::{debian, worker};

/// The packages that are compiled for wasm32; the others use what only a server has.
const WASM_PACKAGES: [&str; 4] = ["--package", "splitway", "--package", "splitway-core"];

/// Refuses code that rustfmt would change.
pub(crate) fn format(root: &Path) -> Outcome {
    say("format");
    let mut cargo = Command::new(WasmRust::Own.cargo());
    run("format", cargo.args(["fmt", "--all", "--check"]).current_dir(root))
}

/// Writes the JSON Schemas and the table of differences: the tests that compare them can as well
/// write them.
pub(crate) fn schema(root: &Path) -> Outcome {
    say("schemas");
    let mut cargo = Command::new(WasmRust::Own.cargo());
    cargo.args(["test", "--package", "splitway-tests", "--test", "documents", "--"]);
    cargo.args(["the_file_holds_the_schemas", "the_table_of_differences"]);
    run("schemas", cargo.env("SPLITWAY_WRITE_SCHEMA", "1").current_dir(root))
}

/// Refuses every warning of clippy, natively for all packages and for wasm32 where that is built.
pub(crate) fn lints(kit: &Kit) -> Outcome {
    say("lints");
    let mut native = kit.command(WasmRust::Own.cargo());
    native.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    run("lints", &mut native)?;

    let mut wasm = kit.wasm_command(kit.rust.cargo());
    if kit.rust == WasmRust::Own || debian::has_clippy() {
        say("lints for wasm32");
        wasm.arg("clippy").args(WASM_PACKAGES).args(["--target", TARGET, "--", "-D", "warnings"]);
    } else {
        say("warnings for wasm32 (the toolchain that has the target is without clippy)");
        wasm.arg("check").args(WASM_PACKAGES).args(["--target", TARGET]);
        wasm.env("RUSTFLAGS", "-Dwarnings").env_remove("CARGO_ENCODED_RUSTFLAGS");
    }
    run("lints for wasm32", &mut wasm)
}

/// Refuses broken links and missing docs.
pub(crate) fn docs(kit: &Kit) -> Outcome {
    say("docs");
    let mut cargo = kit.command(WasmRust::Own.cargo());
    cargo.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings");
    run("docs", &mut cargo)
}

/// Builds the Worker, deploys it as far as that goes without an account, and runs every test.
pub(crate) fn test(kit: &Kit, arguments: &[String]) -> Outcome {
    say("worker");
    worker::build(kit)?;

    say("trial deployment");
    let mut wrangler = kit.command(kit.node_bin("wrangler"));
    run("trial deployment", wrangler.args(["deploy", "--dry-run", "--outdir", "target/dry-run"]))?;

    say("tests");
    let mut cargo = kit.command(WasmRust::Own.cargo());
    run("tests", cargo.args(["test", "--workspace"]).args(arguments))
}

/// Takes the pictures of the page that the README shows: the test that could take them does.
pub(crate) fn pictures(kit: &Kit) -> Outcome {
    say("pictures");
    let mut cargo = kit.command(WasmRust::Own.cargo());
    cargo.args(["test", "--package", "splitway-tests", "--test", "axum", "pictures_are_taken"]);
    run("pictures", cargo.env("SPLITWAY_PICTURES", kit.root.join("local/page")))
}

/// Has the fuzz targets go on for longer than in the tests: by rounds and not by time, so that they come
/// equally far everywhere.
pub(crate) fn fuzz(kit: &Kit) -> Outcome {
    say("fuzz");
    let mut cargo = kit.command(WasmRust::Own.cargo());
    cargo.args(["test", "--package", "splitway-tests", "--test", "fuzz"]);
    run("fuzz", cargo.env("FUZZ_TIMES", "5"))
}

/// Ends the local server so often, at any moment, and compares what it kept.
pub(crate) fn crash(root: &Path, rounds: &str) -> Outcome {
    say("crash");
    let mut cargo = Command::new(WasmRust::Own.cargo());
    cargo.args(["test", "--package", "splitway-local", "--test", "splitway", "crash::"]);
    cargo.args(["--", "--nocapture"]).current_dir(root);
    run("crash", cargo.env("CRASH_ROUNDS", rounds))
}

/// Has the local server under load for so long while everything about it changes.
pub(crate) fn soak(root: &Path, seconds: &str) -> Outcome {
    say("soak");
    let mut cargo = Command::new(WasmRust::Own.cargo());
    cargo.args(["test", "--package", "splitway-local", "--test", "soak", "--", "--nocapture"]);
    run("soak", cargo.current_dir(root).env("SOAK_SECONDS", seconds))
}

/// Prints what each step of a request takes, in nanoseconds and in instructions.
pub(crate) fn bench(root: &Path) -> Outcome {
    if ask(Command::new("valgrind").arg("--version")).is_none() {
        let reason = "`valgrind` is not there, which counts the instructions: install it \
                      (`apt-get install valgrind`); `cargo bench` prints the times without it";
        return Err(Failure::new("figures of a request", reason));
    }
    say("figures of a request");
    let mut cargo = Command::new(WasmRust::Own.cargo());
    cargo.args(["bench", "--package", "splitway", "--bench", "decide", "--", "--table"]);
    run("figures of a request", cargo.current_dir(root))
}

/// Prints figures of the Admin API of the local server.
pub(crate) fn bench_admin(root: &Path) -> Outcome {
    say("figures of the Admin API");
    let mut cargo = Command::new(WasmRust::Own.cargo());
    cargo.args(["bench", "--package", "splitway-local", "--bench", "admin"]).current_dir(root);
    run("figures of the Admin API", &mut cargo)
}
