//! Debian's Rust toolchain as the builder for wasm32, where rustup cannot add the target.
//!
//! Debian keeps a current Rust for its browsers: the packages `rustc-web` and its kin. It lives
//! beside a rustup toolchain and lacks only the wasm32 standard library, whose source it has. So
//! [`make`] installs the packages and compiles that library into Debian's sysroot, once per
//! version, after which this toolchain has the target like any other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::setup::{self, Workshop};
use crate::step::{Failure, Outcome, ask, run, say};
use crate::wasm;

/// The folder of Debian's own programs.
pub(crate) const BIN: &str = "/usr/bin";

const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
const STEP: &str = "setup: wasm32 standard library from Debian's sources";

/// In the library folder: the compiler that the library was made with. A newer one needs its own.
const STAMP: &str = "splitway-rustc";

/// What a cargo hands to its children that would tie them to its own toolchain.
const INHERITED: [&str; 6] =
    ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "CARGO_ENCODED_RUSTFLAGS"];

/// Whether Debian's toolchain is there with the wasm32 standard library of its own version.
pub(crate) fn ready() -> bool {
    let Some(folder) = wasm::library_folder(RUSTC) else {
        return false;
    };
    let fits = fs::read_to_string(folder.join(STAMP)).map_or(true, |made| made == version());
    fits && wasm::has_std(RUSTC) && Path::new(CARGO).exists()
}

/// Frees a command from the toolchain that started us; [`BIN`] must then lead its path.
pub(crate) fn enter(command: &mut Command) {
    for name in INHERITED {
        command.env_remove(name);
    }
}

/// Installs Debian's toolchain and gives it the wasm32 standard library.
pub(crate) fn make() -> Outcome {
    as_root("true").ok_or_else(cannot)?;
    install_toolchain()?;
    say("cargo compiles the wasm32 standard library from Debian's sources (1 minute, once)");
    let workshop = Workshop::new("wasm-std")?;
    place_std(&compile_std(workshop.folder())?)
}

/// Whether clippy of Debian's toolchain is there; it is installed on first use where it can be.
pub(crate) fn has_clippy() -> bool {
    let there = || Path::new(BIN).join("cargo-clippy").exists();
    there() || (install(&["rust-web-clippy"], "to lint for wasm32").is_ok() && there())
}

/// Installs packages where that is ours to do: on Debian, as root or where sudo never asks.
pub(crate) fn install(packages: &[&str], purpose: &str) -> Outcome {
    let step = format!("apt-get install {}", packages.join(" "));
    let Some(mut update) = as_root("apt-get") else {
        let reason = format!("needed, {purpose}; as root: {step}");
        return Err(Failure::new(&step, reason));
    };
    say(&format!("{step}, {purpose} (1 minute, once)"));
    // A stale list of packages may still do, so a failure is left to the next command to judge.
    drop(run("apt-get update", update.args(["-qq", "update"])));
    let mut install = as_root("apt-get").unwrap_or(update);
    // Never at the price of something the user has: rustc-web conflicts with a packaged rustup.
    install.args(["-qq", "--yes", "--no-remove", "--no-install-recommends", "install"]);
    run(&step, install.args(packages))
}

fn install_toolchain() -> Outcome {
    let packages = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm"];
    let sources = sources_folder();
    let there = Path::new(CARGO).exists() && sources.is_some_and(|folder| folder.exists());
    if !there {
        let purpose = "Debian's Rust, since rustup cannot add the target";
        install(&packages, purpose).map_err(|_| cannot())?;
    }
    // The linker's package carries LLVM's version in its name, and this link points to it.
    let linker = Path::new(BIN).join("rust-lld");
    if !linker.exists() {
        let package = fs::read_link(&linker).map_err(|_| cannot())?;
        install(&[&package.to_string_lossy()], "the linker for wasm32").map_err(|_| cannot())?;
    }
    Ok(())
}

fn cannot() -> Failure {
    let reason = format!(
        "No Rust toolchain here can build for {target}, and none could be made. Either\n\
         - where rustup reaches its server: rustup target add {target}\n\
         - on Debian 12: run `cargo xtask setup` once as root, or where sudo asks for no password\n\
         and then run this again.",
        target = wasm::TARGET
    );
    Failure::new("setup: Rust for wasm32", reason)
}

fn sources_folder() -> Option<PathBuf> {
    let sysroot = ask(Command::new(RUSTC).args(["--print", "sysroot"]))?;
    Some(Path::new(&sysroot).join("lib/rustlib/src/rust/library"))
}

/// Compiles the library as the dependency of an empty crate, and returns its files.
fn compile_std(workshop: &Path) -> Outcome<Vec<PathBuf>> {
    let failed = |error: std::io::Error| Failure::new(STEP, error.to_string());
    let manifest = "[package]\nname = \"empty\"\nedition = \"2024\"\n[workspace]\n";
    fs::create_dir_all(workshop.join("src")).map_err(failed)?;
    fs::write(workshop.join("Cargo.toml"), manifest).map_err(failed)?;
    fs::write(workshop.join("src/lib.rs"), "#![no_std]\n").map_err(failed)?;

    let mut cargo = Command::new(CARGO);
    enter(&mut cargo);
    cargo.args(["build", "--release", "-Zbuild-std=std,panic_abort,proc_macro"]);
    cargo.args(["--target", wasm::TARGET]).current_dir(workshop);
    cargo.env("RUSTC", RUSTC).env("RUSTC_BOOTSTRAP", "1");
    cargo.env("CARGO_TARGET_DIR", workshop.join("target"));
    // Without bitcode in the library, a Worker with link-time optimisation does not link.
    cargo.env("RUSTFLAGS", "-C embed-bitcode=yes");
    run(STEP, &mut cargo)?;

    let folder = workshop.join("target").join(wasm::TARGET).join("release/deps");
    let files = fs::read_dir(folder).map_err(failed)?.flatten().map(|file| file.path());
    Ok(files.filter(|path| is_library(path)).collect())
}

fn is_library(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".rlib") && !name.starts_with("libempty-")
}

/// Puts the files into the sysroot: into a new folder that takes the final name when complete.
fn place_std(files: &[PathBuf]) -> Outcome {
    let folder = wasm::library_folder(RUSTC).ok_or_else(cannot)?;
    let partial = folder.with_extension("partial");
    let stamp = setup::cache()?.join(STAMP);
    fs::write(&stamp, version()).map_err(|error| Failure::new(STEP, error.to_string()))?;

    let root = |program| as_root(program).ok_or_else(cannot);
    run(STEP, root("rm")?.arg("-rf").args([&partial, &folder]))?;
    run(STEP, root("mkdir")?.arg("-p").arg(&partial))?;
    run(STEP, root("cp")?.args(files).arg(&stamp).arg(&partial))?;
    run(STEP, root("mv")?.args([&partial, &folder]))?;
    drop(fs::remove_file(stamp));
    Ok(())
}

fn version() -> String {
    ask(Command::new(RUSTC).arg("-vV")).unwrap_or_default()
}

/// The program run as root, on a Debian where that needs no password.
fn as_root(program: &str) -> Option<Command> {
    if !Path::new("/etc/debian_version").exists() {
        return None;
    }
    if ask(Command::new("id").arg("-u")).as_deref() == Some("0") {
        let mut command = Command::new(program);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        return Some(command);
    }
    ask(Command::new("sudo").args(["-n", "true"]))?;
    let mut command = Command::new("sudo");
    command.args(["-n", "env", "DEBIAN_FRONTEND=noninteractive", program]);
    Some(command)
}
