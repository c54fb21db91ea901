//! The set-up: each thing the Worker's build and tests need, made only when it is missing.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use crate::step::{Failure, Outcome};
use crate::tools::{self, Lock};
use crate::wasm::WasmRust;
use crate::{node, wasm};

/// Everything in place: what [`ready`] found or made.
#[derive(Debug)]
pub(crate) struct Kit {
    pub(crate) root: PathBuf,
    pub(crate) rust: WasmRust,
    pub(crate) worker_build: PathBuf,
    pub(crate) wasm_bindgen: PathBuf,
}

/// Makes what is missing, the quickest to refuse first, and returns where it all is.
pub(crate) fn ready(root: &Path) -> Outcome<Kit> {
    node::require_npm(root)?;
    let lock = Lock::read(root)?;
    let rust = wasm::ready()?;
    let wasm_bindgen = tools::wasm_bindgen(&lock)?;
    let worker_build = tools::worker_build(&lock)?;
    node::packages(root)?;
    Ok(Kit { root: root.to_owned(), rust, worker_build, wasm_bindgen })
}

impl Kit {
    /// A program of an npm package.
    pub(crate) fn node_bin(&self, name: &str) -> PathBuf {
        node::bin_folder(&self.root).join(name)
    }

    /// A command at the root, with our Node.js first in the path and wrangler kept quiet.
    pub(crate) fn command(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new(program.into());
        command
            .current_dir(&self.root)
            .env("PATH", path_with([node::bin_folder(&self.root)]))
            .env("CI", "1")
            .env("WRANGLER_SEND_METRICS", "false");
        command
    }

    /// The same, and whatever `cargo` and `rustc` it starts can build for wasm32.
    ///
    /// The user's compiler flags are dropped: they are meant for the machine at hand, and one
    /// commit makes one Worker.
    pub(crate) fn wasm_command(&self, program: impl Into<OsString>) -> Command {
        let mut command = self.command(program);
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        if let Some(folder) = self.rust.enter(&mut command) {
            command.env("PATH", path_with([node::bin_folder(&self.root), folder]));
        }
        command
    }
}

/// The user's own search path behind `first`.
fn path_with<const N: usize>(first: [PathBuf; N]) -> OsString {
    let rest = env::var_os("PATH").unwrap_or_default();
    let folders = first.into_iter().chain(env::split_paths(&rest));
    env::join_paths(folders).unwrap_or(rest)
}

/// The per-user folder that outlives a clone: `$XDG_CACHE_HOME/splitway` or `~/.cache/splitway`.
pub(crate) fn cache() -> Outcome<PathBuf> {
    let base =
        folder_in("XDG_CACHE_HOME").or_else(|| folder_in("HOME").map(|home| home.join(".cache")));
    let reason = "set HOME or XDG_CACHE_HOME: the tools are installed into a folder there";
    base.map(|folder| folder.join("splitway")).ok_or_else(|| Failure::new("setup", reason))
}

/// The folder that an environment variable names.
pub(crate) fn folder_in(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// A folder in the cache for the making of something, removed with this value.
pub(crate) struct Workshop(PathBuf);

impl Workshop {
    /// Makes an empty folder that no other process uses.
    pub(crate) fn new(purpose: &str) -> Outcome<Self> {
        let workshop = Self(cache()?.join(format!("{purpose}-{}", process::id())));
        drop(fs::remove_dir_all(workshop.folder()));
        fs::create_dir_all(workshop.folder())
            .map_err(|error| Failure::new("setup", error.to_string()))?;
        Ok(workshop)
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
