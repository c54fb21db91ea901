//! The two tools that cargo installs, at the versions Cargo.lock implies.
//!
//! They go into the user's cache, one folder per version, so that every clone shares them and an
//! update of the lockfile never breaks an older branch.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::setup;
use crate::source::Source;
use crate::step::{Failure, Outcome, run, say};
use crate::wasm::WasmRust;

/// The text of Cargo.lock.
pub(crate) struct Lock(String);

impl Lock {
    /// Reads the lockfile of the workspace.
    pub(crate) fn read(root: &Path) -> Outcome<Self> {
        let text = fs::read_to_string(root.join("Cargo.lock"));
        text.map(Self).map_err(|error| Failure::new("setup", format!("Cargo.lock: {error}")))
    }

    /// The one version locked for a crate.
    fn version(&self, name: &str) -> Outcome<&str> {
        let header = format!("name = \"{name}\"\nversion = \"");
        let mut found = self.0.split(&header).skip(1).filter_map(|rest| rest.split('"').next());
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
    let tool = Tool {
        package: "wasm-bindgen-cli",
        version: lock.version("wasm-bindgen")?,
        program: "wasm-bindgen",
        duration: "3 minutes",
    };
    tool.installed(|cargo| {
        // Its own lockfile names crate versions that were since withdrawn, so not `--locked`.
        cargo.args([tool.package, "--version", tool.version]);
        Ok(())
    })
}

/// The builder of Workers; its releases go with those of the `worker` crate.
pub(crate) fn worker_build(lock: &Lock) -> Outcome<PathBuf> {
    let tool = Tool {
        package: "worker-build",
        version: lock.version("worker")?,
        program: "worker-build",
        duration: "3 minutes",
    };
    tool.installed(|cargo| {
        let source = Source::without_openssl(tool.package, tool.version)?;
        cargo.args(["--locked", "--path"]).arg(source.folder());
        Ok(source)
    })
}

/// A program that cargo installs.
struct Tool<'a> {
    package: &'a str,
    version: &'a str,
    program: &'a str,
    duration: &'a str,
}

impl Tool<'_> {
    /// Where the program is, after it was installed if it was missing.
    ///
    /// `choose` tells `cargo install` what to install; what it returns is kept until that is done.
    fn installed<T>(&self, choose: impl FnOnce(&mut Command) -> Outcome<T>) -> Outcome<PathBuf> {
        let Self { package, version, program, duration } = self;
        let folder = setup::cache()?.join(format!("{package}-{version}"));
        let program = folder.join("bin").join(program);
        if program.is_file() {
            return Ok(program);
        }
        say(&format!(
            "cargo installs {package} {version} into the user's cache ({duration}, once)"
        ));
        let mut cargo = Command::new(WasmRust::Own.cargo());
        cargo.arg("install").arg("--root").arg(&folder).env_remove("CARGO_BUILD_TARGET");
        let kept = choose(&mut cargo)?;
        run(&format!("cargo install {package}"), &mut cargo)?;
        drop(kept);
        Ok(program)
    }
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
            &[("a-worker", "1.0.0"), ("worker", "0.8.7"), ("worker-sys", "2.0.0")],
            Some("0.8.7"),
        );
        check(&[("worker-sys", "0.8.7")], None);
        check(&[("worker", "0.8.6"), ("worker", "0.8.7")], None);
    }
}
