//! Finds a Rust toolchain that can build for wasm32.
//!
//! The user's own toolchain is the first choice, with the target rustup adds to it. Where rustup
//! cannot (it is absent, or cannot reach its server), Debian's toolchain stands in: see
//! [`crate::debian`].

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian;
use crate::step::{Outcome, ask, run, say};

/// The target of a Worker.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// The toolchain that builds for [`TARGET`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WasmRust {
    /// The one that is running us.
    Own,
    /// Debian's, beside the user's own.
    Debian,
}

/// Returns a toolchain with the target, adding the target where no toolchain has it.
pub(crate) fn ready() -> Outcome<WasmRust> {
    if has_std("rustc") {
        return Ok(WasmRust::Own);
    }
    if debian::ready() {
        return Ok(WasmRust::Debian);
    }
    if rustup_adds_target() {
        return Ok(WasmRust::Own);
    }
    debian::make().map(|()| WasmRust::Debian)
}

impl WasmRust {
    /// The cargo of this toolchain.
    pub(crate) fn cargo(self) -> PathBuf {
        match self {
            Self::Own => env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from),
            Self::Debian => Path::new(debian::BIN).join("cargo"),
        }
    }

    /// Makes a command use this toolchain; a folder returned must go first in its path.
    pub(crate) fn enter(self, command: &mut Command) -> Option<PathBuf> {
        match self {
            Self::Own => None,
            Self::Debian => {
                debian::enter(command);
                Some(debian::BIN.into())
            }
        }
    }
}

/// The folder in which a compiler looks for the target's standard library.
pub(crate) fn library_folder(rustc: &str) -> Option<PathBuf> {
    ask(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]))
        .map(PathBuf::from)
}

/// Whether a compiler has the target's standard library.
pub(crate) fn has_std(rustc: &str) -> bool {
    let files = library_folder(rustc).and_then(|folder| fs::read_dir(folder).ok());
    files.into_iter().flatten().flatten().any(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

fn rustup_adds_target() -> bool {
    if ask(Command::new("rustup").arg("--version")).is_none() {
        return false;
    }
    say(&format!("rustup adds the target {TARGET}, which the Worker is built for (20 MB, once)"));
    let added = run("rustup target add", Command::new("rustup").args(["target", "add", TARGET]));
    added.is_ok() && has_std("rustc")
}
