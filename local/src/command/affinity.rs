//! The keys of those who ask: from a file, or made up. One is in memory at a time.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::outcome::Failure;

/// The most bytes of a key. A line that is longer belongs to a file of something else.
const KEY_MAX: u64 = 1 << 16;

/// Which keys, and how many of them.
#[derive(clap::Args)]
pub(crate) struct KeyOptions {
    /// Read keys from this file, one a line; `-` is standard input [default: user-0000001,
    /// user-0000002, ...]
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,

    /// Look at so many requests or keys at most [default: 1000000, and all of a file]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
}

/// How many requests there are where nobody says.
const REQUESTS_DEFAULT: u64 = 1_000_000;

impl KeyOptions {
    /// How many requests or keys there are, where no file says.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.unwrap_or(REQUESTS_DEFAULT)
    }

    /// How many keys there are, as far as that is known before they are read.
    pub(crate) fn count(&self) -> Option<u64> {
        self.keys.is_none().then(|| self.requests())
    }

    /// The file of the keys.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.keys.as_deref()
    }

    /// Hands out the keys, one by one. Lines with nothing in them are none.
    pub(crate) fn each(&self, mut take: impl FnMut(&str)) -> Result<(), Failure> {
        let Some(path) = &self.keys else {
            made_up(self.requests(), take);
            return Ok(());
        };
        let count = self.requests.unwrap_or(u64::MAX);
        let read = match path == Path::new("-") {
            true => each_line(&mut io::stdin().lock(), count, &mut take),
            false => File::open(path)
                .and_then(|file| each_line(&mut BufReader::new(file), count, &mut take)),
        };
        read.map_err(|source| Failure::Unreadable { path: path.clone(), source })
    }
}

fn made_up(count: u64, mut take: impl FnMut(&str)) {
    let mut key = String::new();
    for number in 1..=count {
        key.clear();
        // A text takes whatever is written to it.
        let _ = write!(key, "user-{number:07}");
        take(&key);
    }
}

fn each_line(
    input: &mut impl BufRead,
    mut left: u64,
    take: &mut impl FnMut(&str),
) -> io::Result<()> {
    let (mut line, mut number) = (Vec::new(), 0_u64);
    while left > 0 {
        line.clear();
        number += 1;
        // With both marks of its end.
        let length = input.by_ref().take(KEY_MAX + 2).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(());
        }
        let key = line.strip_suffix(b"\n").unwrap_or(&line);
        let key = key.strip_suffix(b"\r").unwrap_or(key);
        if key.len() as u64 > KEY_MAX {
            let told = format!("line {number} is longer than {KEY_MAX} bytes, which is no key");
            return Err(io::Error::new(io::ErrorKind::InvalidData, told));
        }
        if !key.is_empty() {
            // As a header is read that is not UTF-8.
            take(&String::from_utf8_lossy(key));
            left -= 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], count: u64) -> io::Result<Vec<String>> {
        let mut keys = Vec::new();
        each_line(&mut &*text, count, &mut |key: &str| keys.push(key.to_owned()))?;
        Ok(keys)
    }

    #[test]
    fn a_line_is_a_key_however_it_ends() {
        for (text, count, expected) in [
            (&b"a\nb\r\n\n\r\nc"[..], 9, &["a", "b", "c"][..]),
            (b"a\nb\n", 1, &["a"]),
            (b"\xff \n", 9, &["\u{fffd} "]),
            (b"", 9, &[]),
        ] {
            assert_eq!(lines(text, count).expect("keys"), expected);
        }
    }

    #[test]
    fn what_has_no_lines_is_not_read_as_one_key() {
        let longest = "a".repeat(1 << 16);
        assert_eq!(
            lines(format!("{longest}\r\n").as_bytes(), 9).expect("a key"),
            [longest.as_str()]
        );
        let error = lines(format!("a\n{longest}a").as_bytes(), 9).expect_err("too long");
        assert_eq!(error.to_string(), "line 2 is longer than 65536 bytes, which is no key");
    }

    #[test]
    fn keys_that_are_made_up_are_counted() {
        let mut keys = Vec::new();
        made_up(2, |key| keys.push(key.to_owned()));
        assert_eq!(keys, ["user-0000001", "user-0000002"]);
    }
}
