//! JSON Web Tokens in their compact form (RFC 7519; RFC 7515, section 7.1).

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Map, Value};

use crate::json;
use crate::signature::Algorithm;

/// The most bytes of a token. Those of directories that list the groups of a user have some 8 KB.
pub(crate) const TOKEN_MAX: usize = 16 * 1024;

/// A token as it was sent. Nothing of it is true before its signature has been checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token<'t> {
    /// How it says that it is signed; none where that cannot be checked here, as with `none`.
    pub(crate) algorithm: Option<Algorithm>,
    /// Which of several keys it says it is signed with.
    pub(crate) kid: Option<String>,
    pub(crate) claims: Map<String, Value>,
    /// What is signed.
    pub(crate) signed: &'t str,
    pub(crate) signature: Vec<u8>,
}

/// A text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The token that a text is. One that says that it must not be taken by whoever does not understand more
/// than we do (`crit`, RFC 7515, section 4.1.11) is none.
pub(crate) fn parse(text: &str) -> Result<Token<'_>, Malformed> {
    let Signed { header, payload, signed, signature } = open(text)?;
    let mut header = object(&header)?;
    if header.contains_key("crit") {
        return Err(Malformed);
    }
    let Some(Value::String(algorithm)) = header.get("alg") else { return Err(Malformed) };
    let algorithm = Algorithm::ALL.into_iter().find(|it| it.as_str() == algorithm);
    let kid = match header.remove("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid),
        Some(_) => return Err(Malformed),
    };
    Ok(Token { algorithm, kid, claims: object(&payload)?, signed, signature })
}

/// What is signed in the compact form, and the signature (RFC 7515, section 3.1).
struct Signed<'t> {
    header: Vec<u8>,
    payload: Vec<u8>,
    signed: &'t str,
    signature: Vec<u8>,
}

fn open(text: &str) -> Result<Signed<'_>, Malformed> {
    if text.len() > TOKEN_MAX {
        return Err(Malformed);
    }
    let (signed, signature) = text.rsplit_once('.').ok_or(Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(Malformed)?;
    // A further dot would be found here: it is no letter of Base64.
    let decoded = |part: &str| Base64UrlUnpadded::decode_vec(part).map_err(|_| Malformed);
    let (header, payload, signature) = (decoded(header)?, decoded(payload)?, decoded(signature)?);
    Ok(Signed { header, payload, signed, signature })
}

/// A JSON object in which no name stands twice (RFC 7519, section 4).
fn object(text: &[u8]) -> Result<Map<String, Value>, Malformed> {
    match json::parse(text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) | Err(_) => Err(Malformed),
    }
}
