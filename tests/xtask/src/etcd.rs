//! What a fleet needs: etcd for its tests, and `protoc` with its standard files for the client.

use std::path::Path;
use std::process::Command;

use crate::debian;
use crate::step::{Failure, Outcome, ask};

/// Programs, what says that they are there, and the packages of Debian that bring them.
const PROGRAMS: [(&str, &str, &[&str]); 2] = [
    ("protoc", "--version", &["protobuf-compiler", "libprotobuf-dev"]),
    ("etcd", "--version", &["etcd-server"]),
];

/// A file that `protoc` itself comes without on Debian.
const STANDARD: &str = "include/google/protobuf/descriptor.proto";

/// Installs what is missing.
pub(crate) fn ready() -> Outcome {
    for (program, version, packages) in PROGRAMS {
        if !is_there(program, version) {
            debian::install(packages, "for a fleet on etcd").map_err(|_| cannot(program))?;
        }
        if !is_there(program, version) {
            return Err(cannot(program));
        }
    }
    Ok(())
}

fn is_there(program: &str, version: &str) -> bool {
    let runs = ask(Command::new(program).arg(version)).is_some();
    runs && (program != "protoc" || !is_debians_alone())
}

/// Whether `protoc` is Debian's and its standard files are another package that is not there.
fn is_debians_alone() -> bool {
    let is_debians = Path::new("/var/lib/dpkg/info/protobuf-compiler.list").exists();
    is_debians && !Path::new("/usr").join(STANDARD).exists()
}

fn cannot(program: &str) -> Failure {
    let reason = format!(
        "`{program}` is missing, and it could not be installed. Either\n\
         - on Debian: apt-get install protobuf-compiler libprotobuf-dev etcd-server\n\
         - elsewhere: put `protoc` (with its include files) and `etcd` into the PATH\n\
         and then run this again. Only a fleet on etcd and its tests need them:\n\
         `cargo test -p splitway-local` does without."
    );
    Failure::new(&format!("setup: {program}"), reason)
}
