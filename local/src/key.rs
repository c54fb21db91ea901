//! The key of the Admin API, made once and kept in the data directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use splitway_core::access::{KEY_MIN, is_sendable};

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
    /// A key that no client could send.
    #[error("the key of {0} has other characters than letters, digits and marks of ASCII")]
    Unsendable(String),
    /// The system gives no random numbers.
    #[error("no random numbers for a key: {0}")]
    NoEntropy(getrandom::Error),
}

/// Why a key is less of a secret than it should be; it opens all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFlaw {
    /// The file is not its owner's alone.
    #[error("{file} is open to others than you; `chmod 600 {file}` closes it", file = path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// The key in the file or the variable is easier to guess than need be.
    #[error("the key of {0} has fewer than {KEY_MIN} characters")]
    Short(String),
}

/// The bits of a mode that let others than the owner read or write.
const OTHERS: u32 = 0o066;

/// Makes the data directory where there is none, for its owner only.
pub(crate) fn prepare_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// The file of the key.
pub fn path(dir: &Path) -> PathBuf {
    dir.join("admin.key")
}

/// The key in the data directory; a new one where there is none.
pub(crate) fn load_or_make(dir: &Path) -> Result<(String, Vec<KeyFlaw>), KeyError> {
    let path = path(dir);
    let failed = |source| KeyError::File { path: path.clone(), source };
    match read(&path) {
        Ok((text, mode)) => {
            let (key, mut flaws) = checked(text.trim(), &path.display().to_string())?;
            flaws.extend((mode & OTHERS != 0).then(|| KeyFlaw::Open { path: path.clone() }));
            Ok((key, flaws))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = random_hex::<32>().map_err(KeyError::NoEntropy)?;
            write(&path, &key).map_err(failed)?;
            Ok((key, Vec::new()))
        }
        Err(error) => Err(failed(error)),
    }
}

/// A key as it was given, if it is one.
pub(crate) fn checked(key: &str, place: &str) -> Result<(String, Vec<KeyFlaw>), KeyError> {
    // What is mounted as a file or a secret often ends in a line feed.
    let key = key.trim();
    if key.is_empty() {
        return Err(KeyError::Empty(place.to_owned()));
    }
    if !is_sendable(key) {
        return Err(KeyError::Unsendable(place.to_owned()));
    }
    let is_short = key.chars().count() < KEY_MIN;
    let flaws = is_short.then(|| KeyFlaw::Short(place.to_owned())).into_iter().collect();
    Ok((key.to_owned(), flaws))
}

/// Whether a file that is its owner's alone is open to others.
pub(crate) fn flaw(path: &Path) -> Option<KeyFlaw> {
    let mode = fs::metadata(path).ok()?.permissions().mode();
    (mode & OTHERS != 0).then(|| KeyFlaw::Open { path: path.to_owned() })
}

/// The text of a file, and its mode.
fn read(path: &Path) -> io::Result<(String, u32)> {
    let mut file = File::open(path)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok((text, file.metadata()?.permissions().mode()))
}

/// So many random bytes, in hexadecimal.
pub fn random_hex<const N: usize>() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes)?;
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
