//! `cargo xtask release`: `splitway` as a compiler makes it that knows which ways requests take.
//!
//! A first build counts how often each way is taken while it serves the cases of `bench-proxies`; the second is made
//! by these counts (profile-guided optimization), so that what belongs together lies together, and what is seldom
//! needed lies elsewhere.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::proxies;
use crate::step::{Failure, Outcome, ask, report, run, say};
use crate::wasm::WasmRust;

const STEP: &str = "release";

/// Builds it, and says where it is.
pub(crate) fn build(root: &Path) -> Outcome {
    let host = host()?;
    let profdata = profdata(&host)?;
    proxies::programs()?;
    let folder = proxies::target(root).join("by-profile");
    let counts = folder.join("counts");
    drop(fs::remove_dir_all(&counts));
    // Cargo does not know of counts that are not the same any more.
    drop(fs::remove_dir_all(folder.join("counted")));

    say("1 of 3: `splitway` that counts (5 minutes)");
    let counting = Build { root, host: &host, folder: folder.join("counting") };
    let counting = counting.make("-Cprofile-generate")?;
    say("2 of 3: what it does under load (1 minute)");
    proxies::train(root, &counting, &counts.join("%p-%m.profraw"))?;
    let profile = merged(&profdata, &counts)?;
    say("3 of 3: `splitway` by these counts (5 minutes)");
    let counted = Build { root, host: &host, folder: folder.join("counted") };
    let counted = counted.make(&format!("-Cprofile-use={}", profile.display()))?;

    let made = folder.join("splitway");
    let failed = |error| Failure::new(STEP, format!("{}: {error}", made.display()));
    fs::copy(counted, &made).map_err(failed)?;
    report(&format!("{}\nput it into your PATH", made.display()));
    Ok(())
}

/// A release build in a folder of its own. But for the flag, all of them have to be the same: functions have other
/// names where anything of the profile is another, and the counts of others are of no use.
struct Build<'b> {
    root: &'b Path,
    host: &'b str,
    folder: PathBuf,
}

impl Build<'_> {
    /// Makes `splitway` with this flag beside those of the user, and returns where it is.
    fn make(&self, flag: &str) -> Outcome<PathBuf> {
        let flags = env::var("RUSTFLAGS").unwrap_or_default();
        let mut cargo = Command::new(WasmRust::Own.cargo());
        // With a target named, what runs while it is built is built without the flag.
        cargo.args(["build", "--release", "--package", "splitway-local", "--bin", "splitway"]);
        cargo.args(["--target", self.host]).arg("--target-dir").arg(&self.folder);
        cargo.env("RUSTFLAGS", format!("{flags} {flag}")).env_remove("CARGO_ENCODED_RUSTFLAGS");
        run(STEP, cargo.current_dir(self.root))?;
        Ok(self.folder.join(self.host).join("release/splitway"))
    }
}

/// The counts of all processes in one file.
fn merged(profdata: &Path, counts: &Path) -> Outcome<PathBuf> {
    let profile = counts.join("splitway.profdata");
    run(STEP, Command::new(profdata).args(["merge", "-o"]).arg(&profile).arg(counts))?;
    Ok(profile)
}

/// What the compiler builds for where nothing is said.
fn host() -> Outcome<String> {
    let told = ask(Command::new(rustc()).arg("-vV")).unwrap_or_default();
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::new(STEP, "`rustc -vV` names no host"))
}

/// The program that merges counts, of the very LLVM that the compiler has.
fn profdata(host: &str) -> Outcome<PathBuf> {
    let sysroot = ask(Command::new(rustc()).args(["--print", "sysroot"])).unwrap_or_default();
    let program = Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/llvm-profdata");
    if program.is_file() {
        return Ok(program);
    }
    say("rustup adds `llvm-tools`, which has the program that merges counts (40 MB, once)");
    drop(run(STEP, Command::new("rustup").args(["component", "add", "llvm-tools"])));
    if program.is_file() {
        return Ok(program);
    }
    let reason = format!(
        "{} is missing, and it could not be installed:\n\
         rustup component add llvm-tools\n\
         and then run this again. `cargo build --release` needs nothing of it.",
        program.display()
    );
    Err(Failure::new(STEP, reason))
}

fn rustc() -> PathBuf {
    env::var_os("RUSTC").map_or_else(|| "rustc".into(), PathBuf::from)
}
