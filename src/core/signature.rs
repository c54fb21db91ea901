//! Signatures of others: their algorithms, the public keys they are checked with, and what there is to check.
//!
//! Keys come as PEM ([RFC 7468]) of a SubjectPublicKeyInfo ([RFC 5280], section 4.1.2.7) or as JSON
//! ([RFC 7517]). The algorithm belongs to a key from the start and is never what a signature says of
//! itself: that a key of one kind passes for one of another cannot be said. What is computed with them is
//! for the runtime, which has it in native code.
//!
//! [RFC 5280]: https://www.rfc-editor.org/rfc/rfc5280
//! [RFC 7468]: https://www.rfc-editor.org/rfc/rfc7468
//! [RFC 7517]: https://www.rfc-editor.org/rfc/rfc7517

mod jwk;
mod pem;

use std::fmt;
use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding as _};

pub(crate) use self::jwk::{Jwk, KEYS_MAX, key_set};

/// How a token is signed (RFC 7518, section 3.1, and RFC 8037, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519; of the curves that RFC 8037 allows, the one that all runtimes have.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    /// The algorithm as the header of a token names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// The bytes of a point of P-256 that is not compressed (SEC 1, section 2.3.3).
pub const POINT_LEN: usize = 65;
/// The bytes of a public key of Ed25519 (RFC 8032, section 5.1.5).
pub const ED25519_LEN: usize = 32;

/// A key that signatures are checked with. What is made with it and fits its form is sound; whether a point
/// is on its curve is seen when something is checked.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// For [`Algorithm::Rs256`]: big-endian, without zeros in front.
    Rsa {
        /// The modulus, of 2048 to 8192 bits.
        modulus: Box<[u8]>,
        /// The exponent: odd, from 3, of at most 33 bits.
        exponent: Box<[u8]>,
    },
    /// For [`Algorithm::Es256`]: 4, then x and y.
    P256(Box<[u8; POINT_LEN]>),
    /// For [`Algorithm::EdDsa`].
    Ed25519([u8; ED25519_LEN]),
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.algorithm().as_str())
    }
}

/// Why something is no key to check signatures with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// It is no PEM.
    NotPem,
    /// It is a PEM of this instead.
    Label(&'static str),
    /// It is a PEM in which this is broken.
    BrokenPem(&'static str),
    /// What the PEM holds is no SubjectPublicKeyInfo.
    BrokenKey,
    /// It is a key of another kind.
    Kind(Box<str>),
    /// It is an RSA key of so many bits.
    Bits(usize),
    /// It is an RSA key with an exponent that no runtime takes.
    Exponent,
    /// It is a point in a form that no runtime takes.
    Point,
}

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
        match self {
            Self::NotPem => write!(f, "expected a public key in PEM: `{BEGIN}`"),
            Self::Label(found) => write!(f, "expected `{BEGIN}`, found a {found}"),
            Self::BrokenPem(what) => write!(f, "this PEM is broken: {what}"),
            Self::BrokenKey => f.write_str("what this PEM holds is no public key (RFC 5280)"),
            Self::Kind(what) => write!(f, "expected a key of RSA, P-256 or Ed25519, found {what}"),
            Self::Bits(bits) => write!(f, "expected an RSA key of 2048 to 8192 bits, found {bits}"),
            Self::Exponent => f.write_str("expected an odd exponent from 3 of at most 33 bits"),
            Self::Point => f.write_str("expected a point that is not compressed"),
        }
    }
}

impl PublicKey {
    /// The key in a PEM.
    pub(crate) fn from_pem(text: &str) -> Result<Self, NoKey> {
        pem::key(text)
    }

    /// The algorithm it is for.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// How many bytes a signature has that is checked with it (RFC 8017, section 8.2.2; RFC 7518, section 3.4;
    /// RFC 8032, section 5.1.6).
    pub(crate) fn signature_len(&self) -> usize {
        match self {
            Self::Rsa { modulus, .. } => modulus.len(),
            Self::P256(_) | Self::Ed25519(_) => 64,
        }
    }

    /// The members that it has in JSON (RFC 7517), for runtimes that take keys so.
    pub fn members(&self) -> Vec<(&'static str, String)> {
        let encoded = Base64UrlUnpadded::encode_string;
        let owned = |text: &str| text.to_owned();
        match self {
            Self::Rsa { modulus, exponent } => {
                vec![("kty", owned("RSA")), ("n", encoded(modulus)), ("e", encoded(exponent))]
            }
            Self::P256(point) => {
                let (x, y) = point.get(1..).unwrap_or_default().split_at((POINT_LEN - 1) / 2);
                let curve = ("crv", owned("P-256"));
                vec![("kty", owned("EC")), curve, ("x", encoded(x)), ("y", encoded(y))]
            }
            Self::Ed25519(key) => {
                vec![("kty", owned("OKP")), ("crv", owned("Ed25519")), ("x", encoded(key))]
            }
        }
    }

    /// The key of this modulus and exponent. Shorter ones can be broken, longer ones are no key but an
    /// attempt to keep us busy; the bounds are those of the runtimes, too.
    fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, NoKey> {
        let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
        let bits = bits(modulus);
        if !(2048..=8192).contains(&bits) {
            return Err(NoKey::Bits(bits));
        }
        let is_odd = exponent.last().is_some_and(|last| last % 2 == 1);
        if !is_odd || exponent == [1] || self::bits(exponent) > 33 {
            return Err(NoKey::Exponent);
        }
        Ok(Self::Rsa { modulus: modulus.into(), exponent: exponent.into() })
    }

    /// The key that is this point of P-256.
    fn p256(point: &[u8]) -> Result<Self, NoKey> {
        match <[u8; POINT_LEN]>::try_from(point) {
            Ok(point) if point.first() == Some(&4) => Ok(Self::P256(Box::new(point))),
            Ok(_) | Err(_) => Err(NoKey::Point),
        }
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// How many bits a number without zeros in front has.
fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |first| first.leading_zeros());
    (number.len() * 8).saturating_sub(usize::try_from(unused).unwrap_or(0))
}

/// A signature to check: whether `signature` is the one of `message`, by who has the private part of `key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The key; it says how.
    pub key: Arc<PublicKey>,
    /// What was signed.
    pub message: Vec<u8>,
    /// The signature. For ES256 it is r and s, of 32 bytes each (RFC 7518, section 3.4).
    pub signature: Vec<u8>,
}

#[cfg(test)]
pub(crate) mod tests;
