//! The Node.js that runs what only JavaScript can: miniflare, and clients published for it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository, as cargo knows it when the test runs.
pub fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = PathBuf::from(package.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()));
    package.parent().unwrap().to_owned()
}

/// A script of this repository, to be run at its root.
pub fn script(path: &str) -> Command {
    let root = root();
    let packages = root.join("node_modules");
    assert!(packages.is_dir(), "the npm packages are not there: run `cargo xtask setup`");
    // The set-up installs the version that miniflare asks for.
    let own = packages.join(".bin/node");
    let mut command = Command::new(if own.exists() { own.as_path() } else { Path::new("node") });
    command.arg(path).current_dir(root);
    command
}
