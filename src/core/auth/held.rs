//! What consumers and their credentials hold, by which they are known: as documents write it.

use serde::Deserialize;
use serde::de::{self, Deserializer};
use std::fmt;

use super::digest::{Digest, PREFIX};

/// What `key-auth` is told about a consumer.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct HeldKeyWire {
    pub(crate) key: Key,
}

/// What `basic-auth` is told about a consumer.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct HeldPasswordWire {
    pub(crate) username: BasicName,
    pub(crate) password: Password,
}

/// A key by which a consumer is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key(pub(crate) Digest);

/// A name that stands before a password.
#[derive(Debug)]
pub(crate) struct BasicName(pub(crate) Box<str>);

/// A password by which a consumer is known.
pub(crate) struct Password(Kept);

/// A key or a password as a document has it.
enum Kept {
    Plain(Box<str>),
    Hashed(Digest),
}

/// What APISIX replaces by what it finds elsewhere.
const REFERENCES: [&str; 2] = ["$secret://", "$env://"];

impl Password {
    /// Its hash, together with the name that stands before it.
    pub(crate) fn hash(&self, name: &BasicName) -> Digest {
        match &self.0 {
            Kept::Plain(password) => Digest::of_password(&name.0, password),
            Kept::Hashed(hash) => *hash,
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// What a text is that stands for a key or a password. What is wrong with it is said without it.
fn kept(text: &str) -> Result<Kept, &'static str> {
    let lower = text.to_ascii_lowercase();
    if REFERENCES.iter().any(|start| lower.starts_with(start)) {
        return Err("references to secrets are not supported yet");
    }
    match (text, Digest::parse(text)) {
        ("", _) => Err("expected at least one character"),
        (_, Some(hash)) => Ok(Kept::Hashed(hash)),
        (text, None) if text.starts_with(PREFIX) => {
            Err("expected 64 hexadecimal digits behind `sha256:`")
        }
        (text, None) => Ok(Kept::Plain(text.into())),
    }
}

/// The hash that is kept in place of a key; none where there is nothing to hash.
pub(super) fn hashed_key(key: &str) -> Option<String> {
    match kept(key) {
        Ok(Kept::Plain(key)) => Some(Digest::of_key(&key).written()),
        Ok(Kept::Hashed(hash)) => Some(hash.written()),
        Err(_) => None,
    }
}

/// The hash that is kept in place of a password; none where there is nothing to hash.
pub(super) fn hashed_password(name: &str, password: &str) -> Option<String> {
    match kept(password) {
        Ok(Kept::Plain(password)) => Some(Digest::of_password(name, &password).written()),
        Ok(Kept::Hashed(hash)) => Some(hash.written()),
        Err(_) => None,
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match kept(<&str>::deserialize(deserializer)?).map_err(de::Error::custom)? {
            Kept::Plain(key) => Ok(Self(Digest::of_key(&key))),
            Kept::Hashed(hash) => Ok(Self(hash)),
        }
    }
}

impl<'de> Deserialize<'de> for BasicName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        match text.contains(':') {
            false => Ok(Self(text.into())),
            true => Err(de::Error::custom(
                "expected a name without `:`, which stands between it and its password",
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let kept = kept(<&str>::deserialize(deserializer)?);
        kept.map(Self).map_err(de::Error::custom)
    }
}
