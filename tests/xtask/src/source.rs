//! The source of a tool, changed to compile with nothing more than Rust and a C compiler.
//!
//! worker-build downloads its tools by the operating system's TLS, which on Linux needs the
//! headers of OpenSSL. We hand it every tool, so it downloads nothing: its manifest is given TLS
//! in Rust instead, which its lockfile has already. That lockfile only loses entries by this.

use std::fs;
use std::io;
use std::path::{self, Path, PathBuf};
use std::process::{Command, Stdio};

use crate::setup::{self, Workshop};
use crate::step::{Failure, Outcome, run};
use crate::wasm::WasmRust;

const STEP: &str = "setup: source of worker-build";

/// A copy of a crate's source, for as long as this value lives.
pub(crate) struct Source(Workshop);

impl Source {
    /// Fetches a crate that asks for OpenSSL, and makes it ask for TLS in Rust.
    pub(crate) fn without_openssl(package: &str, version: &str) -> Outcome<Self> {
        let source = Self(Workshop::new(&format!("{package}-source"))?);
        let original = fetch(package, version, source.folder())?;
        copy(&original, source.folder()).map_err(failed)?;

        let manifest = source.folder().join("Cargo.toml");
        let text = fs::read_to_string(&manifest).map_err(failed)?;
        fs::write(&manifest, with_own_tls(&text)).map_err(failed)?;
        source.fit_lockfile()?;
        Ok(source)
    }

    /// The folder of its manifest.
    pub(crate) fn folder(&self) -> &Path {
        self.0.folder()
    }

    /// Drops from the lockfile what is no longer needed; the locked versions stay.
    fn fit_lockfile(&self) -> Outcome {
        let mut cargo = Command::new(WasmRust::Own.cargo());
        cargo.args(["update", "--workspace", "--quiet"]).current_dir(self.folder());
        run(STEP, &mut cargo)
    }
}

/// Makes cargo unpack a crate of the registry, and returns the folder it is in.
///
/// `cargo info` is the command that downloads one crate alone. It does not say to where.
fn fetch(package: &str, version: &str, outside: &Path) -> Outcome<PathBuf> {
    let home = cargo_home()?;
    let mut cargo = Command::new(WasmRust::Own.cargo());
    cargo
        .args(["info", "--quiet", &format!("{package}@{version}")])
        .current_dir(outside)
        .env("CARGO_HOME", &home)
        .stdout(Stdio::null());
    run(STEP, &mut cargo)?;

    let registries = home.join("registry").join("src");
    let crates = fs::read_dir(&registries).map_err(failed)?.flatten();
    crates
        .map(|registry| registry.path().join(format!("{package}-{version}")))
        .find(|folder| folder.join("Cargo.toml").is_file())
        .ok_or_else(|| {
            let reason = format!("cargo did not put it into {}", registries.display());
            Failure::new(STEP, reason)
        })
}

/// The folder in which cargo keeps what it downloaded.
fn cargo_home() -> Outcome<PathBuf> {
    let default = || setup::folder_in("HOME").map(|home| home.join(".cargo"));
    let home = setup::folder_in("CARGO_HOME").or_else(default);
    home.and_then(|home| path::absolute(home).ok())
        .ok_or_else(|| Failure::new(STEP, "set HOME or CARGO_HOME"))
}

/// The manifest of a workspace of its own, with ureq's TLS in Rust.
fn with_own_tls(manifest: &str) -> String {
    manifest.replace("\"native-tls\"", "\"rustls\"") + "\n[workspace]\n"
}

/// Copies a folder's content. Permissions stay behind: the original may be read-only.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::write(target, fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

fn failed(error: io::Error) -> Failure {
    Failure::new(STEP, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_feature_for_openssl_is_replaced() {
        let manifest = "[dependencies.ureq]\nfeatures = [\n    \"gzip\",\n    \"native-tls\",\n]\n";
        let changed = "[dependencies.ureq]\nfeatures = [\n    \"gzip\",\n    \"rustls\",\n]\n";
        assert_eq!(with_own_tls(manifest), format!("{changed}\n[workspace]\n"));
    }
}
