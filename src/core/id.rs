//! Ids of resources.

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected, Visitor};
use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// The most characters of an id, as in APISIX.
pub(crate) const ID_MAX: usize = 64;

/// What stands between the consumer and the id of one of its credentials.
const CREDENTIALS: &str = "/credentials/";

/// The id of a resource: a string of 1 to 64 of `a-z A-Z 0-9 - _ .`, or an integer from 1. That of a
/// credential has its consumer before it ([`Id::credential`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(String);

impl Id {
    /// The id that `text` is, if it can be one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=ID_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            // As the segment of a path these lead elsewhere.
            && !matches!(text, "." | "..");
        fits.then(|| Self(text.to_owned()))
    }

    /// The id of a credential, in which that of its consumer stands: `jack/credentials/c1`.
    #[must_use]
    pub fn credential(consumer: &Self, id: &Self) -> Self {
        Self(format!("{}{CREDENTIALS}{}", consumer.0, id.0))
    }

    /// The id of a credential that `text` is, if it can be one.
    pub fn parse_credential(text: &str) -> Option<Self> {
        let (consumer, id) = text.split_once(CREDENTIALS)?;
        Some(Self::credential(&Self::parse(consumer)?, &Self::parse(id)?))
    }

    /// The consumer and the id among its credentials, if this is the id of a credential.
    pub fn as_credential(&self) -> Option<(Self, Self)> {
        let (consumer, id) = self.0.split_once(CREDENTIALS)?;
        Some((Self(consumer.to_owned()), Self(id.to_owned())))
    }

    /// The id that a storage kept, of a credential or of anything else.
    pub fn restore(text: &str) -> Option<Self> {
        Self::parse(text).or_else(|| Self::parse_credential(text))
    }

    /// Whether this is a credential of that consumer.
    pub fn is_of(&self, consumer: &Self) -> bool {
        self.as_credential().is_some_and(|(of, _)| of == *consumer)
    }

    /// A number by which ids mostly differ. Numbers are compared where they stand, texts are elsewhere.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = SipHasher13::new();
        hasher.write(self.0.as_bytes());
        hasher.finish()
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl Visitor<'_> for IdVisitor {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id: 1 to 64 letters, digits, `-`, `_`, `.`; or an integer from 1")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Id, E> {
                Id::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Id, E> {
                match number {
                    0 => Err(E::invalid_value(Unexpected::Unsigned(0), &self)),
                    number => Ok(Id(number.to_string())),
                }
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_credential_has_two_parts() {
        let part = |text: &str| Id::parse(text).expect("an id");
        let id = Id::credential(&part("jack"), &part("c1"));
        assert_eq!(id.as_str(), "jack/credentials/c1");
        assert_eq!(id.as_credential(), Some((part("jack"), part("c1"))));
        assert_eq!(Id::parse_credential("jack/credentials/c1"), Some(id));
        assert_eq!(part("jack").as_credential(), None);
        for text in [
            "jack",
            "/credentials/c1",
            "jack/credentials/",
            "a/b/credentials/c",
            "a/credentials/b/c",
        ] {
            assert_eq!(Id::parse_credential(text), None, "{text}");
        }
    }
}
