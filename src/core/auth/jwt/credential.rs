//! What `jwt-auth` is told about a consumer: how its tokens are signed.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use hmac::{Hmac, KeyInit as _};
use serde::Deserialize;
use serde::de::{self, Deserializer};
use sha2::Sha256;

use super::source::{Source, Sources};
use crate::fault::{At, Report, did_you_mean};
use crate::signature::{Algorithm, PublicKey};

/// The plugin `jwt-auth` of a consumer or a credential: as APISIX writes it, and `jwks_uri`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct JwtCredentialWire {
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    key: String,
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", length(min = 1)))]
    secret: Option<Hidden>,
    base64_secret: Option<bool>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    public_key: Option<String>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = URL_MAX)))]
    jwks_uri: Option<String>,
    #[cfg_attr(
        feature = "schema",
        schemars(extend("enum" = ["HS256", "RS256", "ES256", "EdDSA"]))
    )]
    algorithm: Option<String>,
    lifetime_grace_period: Option<u32>,
    /// For how long APISIX would have tokens count that it issued itself; later versions issue none.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    exp: Option<u32>,
    #[cfg_attr(feature = "schema", schemars(skip))]
    #[expect(dead_code, reason = "read to be refused by name")]
    private_key: Option<PrivateKey>,
}

/// A text that is not printed.
struct Hidden(String);

/// What must not be here.
#[derive(Debug)]
enum PrivateKey {}

/// How the tokens of a consumer are signed. It prints as nothing that is secret.
#[derive(Clone, Debug)]
pub(crate) struct JwtCredential {
    pub(super) algorithm: Algorithm,
    pub(super) keys: Keys,
    /// How far clocks may differ.
    pub(super) patience: Duration,
}

/// With what tokens are checked.
#[derive(Clone)]
pub(super) enum Keys {
    Secret(Hmac<Sha256>),
    Public(Arc<PublicKey>),
    Source(Arc<Source>),
}

/// The most bytes of a URL.
const URL_MAX: usize = 2048;
/// So many bytes a secret should have at least: as many as the hash (RFC 7518, section 3.2).
const SECRET_MIN: usize = 32;
/// What APISIX replaces by what it finds elsewhere.
const REFERENCES: [&str; 2] = ["$secret://", "$env://"];
/// What APISIX writes where nothing is said.
const EXP: u32 = 86_400;

impl JwtCredentialWire {
    /// The key by which tokens name the consumer, in their claim.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Checks what is said about a consumer; its source of keys is one of `sources`.
    pub(crate) fn compile(
        &self,
        sources: &mut Sources,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<JwtCredential> {
        let faults = report.faults.len();
        self.check_words(at, report);
        let algorithm = match self.algorithm.as_deref().map_or(Ok(Algorithm::Hs256), algorithm) {
            Ok(algorithm) => algorithm,
            Err(what) => {
                report.fault(at.key("algorithm"), what);
                return None;
            }
        };
        let keys = match algorithm {
            Algorithm::Hs256 => self.secret(at, report).map(Keys::Secret),
            Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa => {
                self.public(algorithm, sources, at, report)
            }
        };
        let patience = Duration::from_secs(self.lifetime_grace_period.unwrap_or(0).into());
        let keys = keys.filter(|_| report.faults.len() == faults)?;
        Some(JwtCredential { algorithm, keys, patience })
    }

    /// Checks what does not depend on the algorithm.
    fn check_words(&self, at: At<'_>, report: &mut Report) {
        if self.key.is_empty() {
            report.fault(at.key("key"), "expected at least one character");
        }
        match self.exp {
            Some(0) => report.fault(at.key("exp"), "expected an integer from 1, found 0"),
            None | Some(EXP) => {}
            Some(_) => {
                let what =
                    "without effect: it is for tokens that a gateway issues, this one issues none";
                report.warn(at.key("exp"), what);
            }
        }
        let secret = self.secret.as_ref().map(|Hidden(secret)| secret);
        let texts =
            [("key", Some(&self.key)), ("secret", secret), (PUBLIC, self.public_key.as_ref())];
        for (name, text) in texts {
            let lower = text.map(|text| text.to_ascii_lowercase()).unwrap_or_default();
            if REFERENCES.iter().any(|start| lower.starts_with(start)) {
                report.fault(at.key(name), "references to secrets are not supported yet");
            }
        }
    }

    /// What is shared with who signs.
    fn secret(&self, at: At<'_>, report: &mut Report) -> Option<Hmac<Sha256>> {
        for (name, is_there) in
            [(PUBLIC, self.public_key.is_some()), (JWKS, self.jwks_uri.is_some())]
        {
            if is_there {
                let what = "HS256 is signed with a `secret`: name the `algorithm` of this key";
                report.fault(at.key(name), what);
            }
        }
        let Some(Hidden(secret)) = &self.secret else {
            if self.public_key.is_none() && self.jwks_uri.is_none() {
                report.fault(at, "`secret` is missing, with which HS256 is signed");
            }
            return None;
        };
        let at = at.key("secret");
        if secret.trim_start().starts_with("-----BEGIN") {
            report.fault(
                at,
                "a key in PEM is no secret: say so in `public_key`, with its `algorithm`",
            );
            return None;
        }
        let bytes = match self.base64_secret {
            Some(true) => Base64::decode_vec(secret).ok(),
            Some(false) | None => Some(secret.clone().into_bytes()),
        };
        match bytes {
            None => report.fault(at, "expected Base64, as `base64_secret` says"),
            Some(bytes) if bytes.is_empty() => report.fault(at, "expected at least one character"),
            Some(bytes) => {
                if bytes.len() < SECRET_MIN {
                    let what = format!(
                        "of {} bytes: can be guessed; RFC 7518 asks for {SECRET_MIN} random ones",
                        bytes.len()
                    );
                    report.warn(at, what);
                }
                let keyed = Hmac::new_from_slice(&bytes);
                return Some(keyed.expect("HMAC takes keys of any length (RFC 2104, section 2)"));
            }
        }
        None
    }

    /// What may be known to all.
    fn public(
        &self,
        algorithm: Algorithm,
        sources: &mut Sources,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Keys> {
        let name = algorithm.as_str();
        if self.secret.is_some() || self.base64_secret == Some(true) {
            let what = format!("without effect: {name} is not signed with a secret");
            report.warn(at.key("secret"), what);
        }
        match (&self.public_key, &self.jwks_uri) {
            (None, None) => {
                let what = format!("{name} needs a `public_key`, or a `jwks_uri` where to find it");
                report.fault(at, what);
            }
            (Some(_), Some(_)) => {
                report.fault(at.key(JWKS), "expected either this or `public_key`, not both");
            }
            (Some(text), None) => match PublicKey::from_pem(text) {
                Err(why) => report.fault(at.key(PUBLIC), why.to_string()),
                Ok(key) if key.algorithm() != algorithm => {
                    let own = key.algorithm().as_str();
                    let what = format!("this key is for {own}, and `algorithm` says {name}");
                    report.fault(at.key(PUBLIC), what);
                }
                Ok(key) => return Some(Keys::Public(Arc::new(key))),
            },
            (None, Some(url)) => match url_fault(url) {
                Some(what) => report.fault(at.key(JWKS), what),
                None => return Some(Keys::Source(sources.at(url))),
            },
        }
        None
    }
}

const PUBLIC: &str = "public_key";
const JWKS: &str = "jwks_uri";

/// What is wrong with a URL of keys. Who can change what comes from there can be anybody, so that it is asked
/// for over TLS; what is asked of this machine needs none.
fn url_fault(url: &str) -> Option<&'static str> {
    if url.len() > URL_MAX {
        return Some("expected a URL of up to 2048 bytes");
    }
    let is_plain = url.bytes().all(|b| b.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&b));
    let Some((scheme, rest)) = url.split_once("://").filter(|_| is_plain) else {
        return Some("expected a URL that begins with `https://`, without blanks and `#`");
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return Some("expected a URL without a user: what is published has no password");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    if host.is_empty() || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Some("expected a URL with a host, and a port that is one");
    }
    match scheme {
        "https" => None,
        "http" if is_loopback(host) => None,
        "http" => Some("expected `https://`: keys that others can change on the way are none"),
        _ => Some("expected a URL that begins with `https://`"),
    }
}

/// Whether a host is this machine, whatever a resolver says.
fn is_loopback(host: &str) -> bool {
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match v6 {
        Some(v6) => v6.parse() == Ok(Ipv6Addr::LOCALHOST),
        None => host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback()),
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(_) => f.write_str("Secret(..)"),
            Self::Public(key) => write!(f, "{key:?}"),
            Self::Source(source) => write!(f, "Source({})", source.url),
        }
    }
}

impl<'de> Deserialize<'de> for PrivateKey {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom("a private key belongs to who signs alone: nothing here needs it"))
    }
}

/// The algorithm of this name, or why there is none.
fn algorithm(name: &str) -> Result<Algorithm, String> {
    /// Those of APISIX that are not here.
    const OTHERS: [&str; 9] =
        ["HS384", "HS512", "RS384", "RS512", "ES384", "ES512", "PS256", "PS384", "PS512"];
    let known = Algorithm::ALL.map(Algorithm::as_str);
    let found = Algorithm::ALL.into_iter().find(|it| it.as_str() == name);
    found.ok_or_else(|| match name {
        "none" => "a token that is not signed says nothing".to_owned(),
        name if OTHERS.contains(&name) => {
            "APISIX has this algorithm, Splitway does not support it yet".to_owned()
        }
        name => format!("expected one of {}{}", known.join(", "), did_you_mean(name, &known)),
    })
}
