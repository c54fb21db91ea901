//! The key that opens a server to the commands, and where it was found.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use http::HeaderValue;

use super::error::SetupError;
use super::options::{ClientOptions, DATA_DIR};

/// The variable of the environment.
pub const VARIABLE: &str = "SPLITWAY_ADMIN_KEY";

/// The most bytes a file of a key may have; a key has far fewer.
const FILE_MAX: u64 = 4096;

/// A key. It has no `Debug`, which would print it.
pub(crate) struct Key {
    header: HeaderValue,
    place: String,
}

impl Key {
    /// The key that was given: in a file, else in the environment, else to the server that keeps its
    /// data here.
    pub(crate) fn find(options: &ClientOptions, is_loopback: bool) -> Result<Self, SetupError> {
        if let Some(path) = &options.key_file {
            let text = read(path);
            let text = text.map_err(|source| SetupError::KeyFile { path: path.clone(), source })?;
            return Self::new(&text, path.as_os_str());
        }
        if let Some(key) = &options.admin_key {
            return Self::new(key.as_encoded_bytes(), OsStr::new(VARIABLE));
        }
        if !is_loopback {
            return Err(SetupError::NoKey);
        }
        let path = crate::key::path(Path::new(DATA_DIR));
        match read(&path) {
            Ok(text) => Self::new(&text, path.as_os_str()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(SetupError::NoKey),
            Err(source) => Err(SetupError::KeyFile { path, source }),
        }
    }

    /// The key as it is sent.
    pub(crate) fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// Where it was found.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    fn new(key: &[u8], place: &OsStr) -> Result<Self, SetupError> {
        let place = place.to_string_lossy().into_owned();
        let key = key.trim_ascii();
        match HeaderValue::from_bytes(key) {
            Ok(mut header) if !key.is_empty() => {
                header.set_sensitive(true);
                Ok(Self { header, place })
            }
            Ok(_) => Err(SetupError::EmptyKey { place }),
            Err(_) => Err(SetupError::UnfitKey { place }),
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut text)?;
    match u64::try_from(text.len()) {
        Ok(length) if length <= FILE_MAX => Ok(text),
        Ok(_) | Err(_) => Err(io::Error::new(ErrorKind::InvalidData, "it is too large for a key")),
    }
}
