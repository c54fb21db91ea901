//! The key of the Admin API, made once and kept in the data directory.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What hinders.
        source: io::Error,
    },
    /// A key that is no secret.
    #[error("{0} is empty")]
    Empty(String),
    /// The system gives no random numbers.
    #[error("no random numbers for a key: {0}")]
    NoEntropy(getrandom::Error),
}

/// Makes the data directory where there is none, for its owner only.
pub(crate) fn prepare_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// The file of the key.
pub fn path(dir: &Path) -> PathBuf {
    dir.join("admin.key")
}

/// The key in the data directory; a new one where there is none.
pub(crate) fn load_or_make(dir: &Path) -> Result<String, KeyError> {
    let path = path(dir);
    let failed = |source| KeyError::File { path: path.clone(), source };
    match fs::read_to_string(&path) {
        Ok(text) => checked(text.trim(), &path.display().to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = random_key()?;
            write(&path, &key).map_err(failed)?;
            Ok(key)
        }
        Err(error) => Err(failed(error)),
    }
}

/// A key as it was given, if it is one.
pub(crate) fn checked(key: &str, place: &str) -> Result<String, KeyError> {
    match key.is_empty() {
        true => Err(KeyError::Empty(place.to_owned())),
        false => Ok(key.to_owned()),
    }
}

/// 32 random bytes in hexadecimal.
fn random_key() -> Result<String, KeyError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(KeyError::NoEntropy)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes the file whole and for its owner only: under another name first, which it then gives up.
fn write(path: &Path, key: &str) -> io::Result<()> {
    let unfinished = path.with_extension("key.new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    writeln!(file, "{key}")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}
