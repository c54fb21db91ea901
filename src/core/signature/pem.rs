//! Public keys in PEM (RFC 7468, section 13).

use base64ct::{Base64, Encoding as _};
use spki::der::asn1::UintRef;
use spki::der::{Decode as _, Reader as _, SliceReader};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::{NoKey, PublicKey};

/// The most bytes of a PEM: a key of 8192 bits takes 1.5 KB.
const PEM_MAX: usize = 8192;

/// RSA (RFC 8017, appendix A.1).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// Keys on elliptic curves (RFC 5480, section 2.1.1), and the curve P-256.
const ELLIPTIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// Ed25519 (RFC 8410, section 3).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

const LABEL: &str = "PUBLIC KEY";

/// The key in a PEM.
pub(super) fn key(text: &str) -> Result<PublicKey, NoKey> {
    let der = decode(text)?;
    let key = SubjectPublicKeyInfoRef::from_der(&der).map_err(|_| NoKey::BrokenKey)?;
    let bytes = key.subject_public_key.as_bytes().ok_or(NoKey::BrokenKey)?;
    match key.algorithm.oid {
        RSA => {
            let (modulus, exponent) = rsa(bytes).map_err(|_| NoKey::BrokenKey)?;
            PublicKey::rsa(modulus.as_bytes(), exponent.as_bytes())
        }
        ELLIPTIC => match key.algorithm.parameters_oid().map_err(|_| NoKey::BrokenKey)? {
            P_256 => PublicKey::p256(bytes),
            curve => Err(NoKey::Kind(format!("one of the curve {curve}").into())),
        },
        ED25519 => bytes.try_into().map(PublicKey::Ed25519).map_err(|_| NoKey::BrokenKey),
        other => Err(NoKey::Kind(format!("one of the algorithm {other}").into())),
    }
}

/// Modulus and exponent (RFC 8017, appendix A.1.1).
fn rsa(bytes: &[u8]) -> spki::der::Result<(UintRef<'_>, UintRef<'_>)> {
    let mut reader = SliceReader::new(bytes)?;
    let parts = reader.sequence(|parts| -> spki::der::Result<_> {
        Ok((UintRef::decode(parts)?, UintRef::decode(parts)?))
    })?;
    reader.finish()?;
    Ok(parts)
}

/// What stands between the two lines. Those who move keys through JSON and YAML break lines in many ways,
/// and lose no information by it: RFC 7468 lets a parser ignore white space.
fn decode(text: &str) -> Result<Vec<u8>, NoKey> {
    if text.len() > PEM_MAX {
        return Err(NoKey::BrokenPem("it is longer than any key"));
    }
    let begun = text.trim().strip_prefix("-----BEGIN ").ok_or(NoKey::NotPem)?;
    let (label, rest) = begun.split_once("-----").ok_or(NoKey::NotPem)?;
    if label != LABEL {
        return Err(NoKey::Label(named(label)));
    }
    let end = format!("-----END {label}-----");
    let (inside, after) = rest.split_once(&end).ok_or(NoKey::BrokenPem("its last line is gone"))?;
    if !after.is_empty() {
        return Err(NoKey::BrokenPem("something follows its last line"));
    }
    let base64: String = inside.split_ascii_whitespace().collect();
    Base64::decode_vec(&base64).map_err(|_| NoKey::BrokenPem("it is no Base64"))
}

/// What a label stands for; one that is not known may be anything, and is not repeated.
fn named(label: &str) -> &'static str {
    match label {
        "CERTIFICATE" => "certificate",
        "RSA PUBLIC KEY" => "key of PKCS #1",
        label if label.ends_with("PRIVATE KEY") => "private key, which belongs to who signs alone",
        _ => "PEM of something else",
    }
}
