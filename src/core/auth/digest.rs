//! Keys and passwords as they are kept: hashed, so that nobody who reads the configuration can use them.
//!
//! The hash is SHA-256 (FIPS 180-4) without salt: a request brings a key and no name, so that the one who
//! it belongs to must be found by the hash alone. Keys should therefore be long and random, for which a
//! slow hash would gain nothing.

use sha2::{Digest as _, Sha256};
use std::fmt::{self, Write as _};

/// What a hash begins with where a document has one in place of what was hashed.
pub(crate) const PREFIX: &str = "sha256:";

/// The bytes of a hash.
const LEN: usize = 32;

/// The hash of a key, or of a name with its password. It prints as nothing but that it is one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Digest([u8; LEN]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

impl Digest {
    /// The hash of a key as a client sends it.
    pub(crate) fn of_key(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// The hash of a name and its password, as clients send them: `name:password` (RFC 7617, section 2).
    /// There is no `:` in a name, so that no two pairs are one text.
    pub(crate) fn of_password(name: &str, password: &str) -> Self {
        let hash = Sha256::new().chain_update(name).chain_update(":").chain_update(password);
        Self(hash.finalize().into())
    }

    /// The hash that is written there: `sha256:` and 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix(PREFIX)?.as_bytes();
        let mut bytes = [0; LEN];
        if hex.len() != 2 * LEN {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = pair.iter().try_fold(0, |byte, digit| {
                let digit = char::from(*digit).to_digit(16)?;
                Some(byte << 4 | u8::try_from(digit).ok()?)
            })?;
        }
        Some(Self(bytes))
    }

    /// The hash as a document has it.
    pub(crate) fn written(&self) -> String {
        let mut text = PREFIX.to_owned();
        for byte in self.0 {
            // Nothing that is written to a text fails.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4 in the examples of NIST, "SHA256", one block: the hash of `abc`.
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let hash = Digest::of_key("abc");
        assert_eq!(hash.written(), ABC);
        assert_eq!(Digest::parse(ABC), Some(hash));
        let upper = format!("{PREFIX}{}", ABC[PREFIX.len()..].to_ascii_uppercase());
        assert_eq!(Digest::parse(&upper), Some(hash));
        assert_eq!(format!("{hash:?}"), "Digest");
    }

    #[test]
    fn what_is_no_hash_is_none() {
        let cut = &ABC[..ABC.len() - 1];
        let mark = format!("{cut}+");
        let letter = format!("{cut}g");
        let wide = format!("{}\u{e9}", &ABC[..ABC.len() - 2]);
        let long = format!("{ABC}0");
        for text in ["", "abc", PREFIX, &ABC[PREFIX.len()..], cut, &mark, &letter, &wide, &long] {
            assert_eq!(Digest::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_password_is_hashed_with_its_name() {
        assert_eq!(Digest::of_password("a", "bc"), Digest::of_key("a:bc"));
        assert_ne!(Digest::of_password("a", "b"), Digest::of_password("c", "b"));
    }
}
