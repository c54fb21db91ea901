//! The npm packages: wrangler with its workerd, esbuild, binaryen, and the Node.js they run on.
//!
//! The system's Node.js only has to run npm. The package `node` then brings the version that
//! wrangler asks for, and its folder goes first in the path of everything we start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step::{Failure, Outcome, ask, run, say};

/// Where npm puts the programs of the packages.
pub(crate) fn bin_folder(root: &Path) -> PathBuf {
    root.join("node_modules").join(".bin")
}

/// Installs the packages of package-lock.json when those in place are not exactly these.
pub(crate) fn packages(root: &Path) -> Outcome {
    let lock = fs::read_to_string(root.join("package-lock.json"))
        .map_err(|error| Failure::new("npm ci", format!("package-lock.json: {error}")))?;
    let stamp = root.join("node_modules").join(".splitway-lock");
    if fs::read_to_string(&stamp).is_ok_and(|stamped| stamped == lock) {
        return Ok(());
    }
    say("npm installs Node.js, wrangler, esbuild and binaryen into node_modules (20 seconds)");
    let mut npm = Command::new("npm");
    // The lockfile is the audit; engine warnings concern the Node.js that merely runs npm.
    npm.args(["ci", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"])
        .current_dir(root);
    run("npm ci", &mut npm)?;
    require_node(root)?;
    fs::write(&stamp, lock).map_err(|error| Failure::new("npm ci", error.to_string()))
}

/// Refuses at once on a machine where npm cannot run and the packages are still to be installed.
pub(crate) fn require_npm(root: &Path) -> Outcome {
    if bin_folder(root).join("node").exists() || ask(Command::new("npm").arg("--version")).is_some()
    {
        return Ok(());
    }
    let reason = "npm does not run here: install Node.js, any version that brings npm \
                  (Debian: apt-get install nodejs npm)";
    Err(Failure::new("setup", reason))
}

/// The package `node` fetches its binary in an install script, which npm may be set to skip.
fn require_node(root: &Path) -> Outcome {
    if ask(Command::new(bin_folder(root).join("node")).arg("--version")).is_some() {
        return Ok(());
    }
    let reason = "the npm package `node` is without its binary: \
                  let npm run install scripts (npm config delete ignore-scripts)";
    Err(Failure::new("npm ci", reason))
}
