//! The two tools that cargo installs, at the versions Cargo.lock implies.
//!
//! They go into the user's cache, one folder per version, so that every clone shares them and an
//! update of the lockfile never breaks an older branch.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step::{Failure, Outcome, ask, run, say};
use crate::wasm::WasmRust;
use crate::{debian, setup};

/// The text of Cargo.lock.
pub(crate) struct Lock(String);

impl Lock {
    /// Reads the lockfile of the workspace.
    pub(crate) fn read(root: &Path) -> Outcome<Self> {
        let text = fs::read_to_string(root.join("Cargo.lock"));
        text.map(Self)
            .map_err(|error| Failure::new("setup", format!("Cargo.lock: {error}")))
    }

    /// The one version locked for a crate.
    fn version(&self, name: &str) -> Outcome<&str> {
        let header = format!("name = \"{name}\"\nversion = \"");
        let mut found = self
            .0
            .split(&header)
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        match (found.next(), found.next()) {
            (Some(version), None) => Ok(version),
            (None | Some(_), _) => {
                let reason = format!("Cargo.lock must hold exactly one version of `{name}`");
                Err(Failure::new("setup", reason))
            }
        }
    }
}

/// The program that makes the JavaScript side; it must match the locked `wasm-bindgen` exactly.
pub(crate) fn wasm_bindgen(lock: &Lock) -> Outcome<PathBuf> {
    let version = lock.version("wasm-bindgen")?;
    // Its own lockfile names crate versions that were since withdrawn, so not `--locked`.
    installed(
        "wasm-bindgen-cli",
        version,
        "wasm-bindgen",
        &[],
        "3 minutes",
        || Ok(()),
    )
}

/// The builder of Workers; its releases go with those of the `worker` crate.
pub(crate) fn worker_build(lock: &Lock) -> Outcome<PathBuf> {
    let version = lock.version("worker")?;
    installed(
        "worker-build",
        version,
        "worker-build",
        &["--locked"],
        "5 minutes",
        require_openssl,
    )
}

fn installed(
    package: &str,
    version: &str,
    program: &str,
    options: &[&str],
    duration: &str,
    require: fn() -> Outcome,
) -> Outcome<PathBuf> {
    let folder = setup::cache()?.join(format!("{package}-{version}"));
    let program = folder.join("bin").join(program);
    if program.is_file() {
        return Ok(program);
    }
    require()?;
    say(&format!(
        "cargo installs {package} {version} into the user's cache ({duration}, once)"
    ));
    let mut cargo = Command::new(WasmRust::Own.cargo());
    cargo
        .args(["install", package, "--version", version])
        .args(options);
    cargo
        .arg("--root")
        .arg(&folder)
        .env_remove("CARGO_BUILD_TARGET");
    run(&format!("cargo install {package}"), &mut cargo)?;
    Ok(program)
}

/// Elsewhere than on Linux, worker-build's TLS is the operating system's.
fn require_openssl() -> Outcome {
    let found = || ask(Command::new("pkg-config").args(["--exists", "openssl"])).is_some();
    let named = env::var_os("OPENSSL_DIR").is_some();
    if !cfg!(target_os = "linux") || named || found() {
        return Ok(());
    }
    let reason = "worker-build needs pkg-config and the OpenSSL headers \
                  (Debian: apt-get install pkg-config libssl-dev; Fedora: pkgconf openssl-devel)";
    debian::install(
        &["pkg-config", "libssl-dev"],
        "which worker-build is compiled with",
    )
    .map_err(|_| Failure::new("setup", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(packages: &[(&str, &str)], expected: Option<&str>) {
        let text = packages.iter().map(|(name, version)| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n")
        });
        let lock = Lock(text.collect());
        assert_eq!(lock.version("worker").ok(), expected, "{packages:?}");
    }

    #[test]
    fn a_locked_version_is_found_when_it_is_the_only_one() {
        check(&[("worker", "0.8.7")], Some("0.8.7"));
        check(
            &[
                ("a-worker", "1.0.0"),
                ("worker", "0.8.7"),
                ("worker-sys", "2.0.0"),
            ],
            Some("0.8.7"),
        );
        check(&[("worker-sys", "0.8.7")], None);
        check(&[("worker", "0.8.6"), ("worker", "0.8.7")], None);
    }
}
