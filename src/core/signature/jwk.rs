//! Sets of public keys in JSON (RFC 7517; their members are in RFC 7518, section 6, and RFC 8037).

use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::Value;

use super::PublicKey;
use crate::json;

/// The most keys of a set.
pub(crate) const KEYS_MAX: usize = 100;

/// A key of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Jwk {
    /// By what tokens name it.
    pub(crate) kid: Option<Box<str>>,
    pub(crate) key: Arc<PublicKey>,
}

/// Why something is no set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKeySet {
    /// It is no JSON object with a list `keys`.
    Malformed,
    /// It has more than [`KEYS_MAX`] keys.
    TooMany,
}

/// The keys of a set that signatures can be checked with. Others are passed over, as RFC 7517 (section 5)
/// says: those of other kinds, for other purposes, too short, incomplete. Secrets are such, too: whoever
/// publishes one has none.
pub(crate) fn key_set(text: &[u8]) -> Result<Vec<Jwk>, NoKeySet> {
    let set = json::parse(text).map_err(|_| NoKeySet::Malformed)?;
    let keys = set.get("keys").and_then(Value::as_array).ok_or(NoKeySet::Malformed)?;
    if keys.len() > KEYS_MAX {
        return Err(NoKeySet::TooMany);
    }
    Ok(keys.iter().filter_map(key).collect())
}

fn key(value: &Value) -> Option<Jwk> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let is_for_signatures = value.get("use").is_none_or(|purpose| purpose == "sig");
    let verifies = |operations: &Value| {
        operations.as_array().is_some_and(|all| all.iter().any(|it| it == "verify"))
    };
    if !is_for_signatures || !value.get("key_ops").is_none_or(verifies) {
        return None;
    }
    let bytes = |name: &str| Base64UrlUnpadded::decode_vec(text(name)?).ok();
    let key = match (text("kty")?, text("crv")) {
        ("RSA", None) => PublicKey::rsa(&bytes("n")?, &bytes("e")?).ok()?,
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != 32 {
                return None;
            }
            PublicKey::p256(&[&[4], &*x, &*y].concat()).ok()?
        }
        ("OKP", Some("Ed25519")) => PublicKey::Ed25519(bytes("x")?.try_into().ok()?),
        _ => return None,
    };
    if value.get("alg").is_some_and(|algorithm| algorithm != key.algorithm().as_str()) {
        return None;
    }
    let kid = match value.get("kid") {
        None => None,
        Some(kid) => Some(kid.as_str()?.into()),
    };
    Some(Jwk { kid, key: Arc::new(key) })
}
