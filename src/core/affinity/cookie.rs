//! The cookie by which a client without a key is known again.

use serde::Deserialize;

use crate::facts::{Facts, cookies};
use crate::fault::{At, Report};
use crate::head::is_header_name;
use crate::seal::{Purpose, Secret};

/// The most bytes of the name.
const NAME_MAX: usize = 512;
/// The most bytes of the path of a cookie.
const PATH_MAX: usize = 1024;
/// The most bytes of a domain name (RFC 1035, section 2.3.4, as text).
const DOMAIN_MAX: usize = 253;
/// For how long browsers keep a cookie at most: 400 days (RFC 6265bis, section 5.5).
const MAX_AGE_MAX: u32 = 34_560_000;

/// So many cookies of one name are looked at.
const TRIES_MAX: usize = 8;
/// How long an issued cookie is kept if nothing is said: 30 days.
const MAX_AGE: u32 = 2_592_000;
/// The name, if none is said.
const NAME: &str = "splitway";

/// The member `cookie` of `sticky`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct CookieWire {
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = NAME_MAX), regex(pattern = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"))
    )]
    name: Option<String>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = MAX_AGE_MAX)))]
    max_age: Option<u32>,
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = PATH_MAX), regex(pattern = "^/[!-:<-~]*$"))
    )]
    path: Option<String>,
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = DOMAIN_MAX), regex(pattern = "^[0-9A-Za-z-]+([.][0-9A-Za-z-]+)*$"))
    )]
    domain: Option<String>,
    same_site: Option<SameSite>,
}

/// With which requests from other sites a browser sends the cookie.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
enum SameSite {
    Lax,
    Strict,
    None,
}

/// The cookie to issue.
#[derive(Debug)]
pub(super) struct Cookie {
    pub(super) name: Box<str>,
    /// What stands behind the value.
    attributes: Box<str>,
}

/// A new key for a client that brings none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issued {
    /// The key that the client has from now on.
    pub(crate) key: String,
    /// The value of `Set-Cookie` for the response.
    pub(crate) set_cookie: String,
}

impl CookieWire {
    /// Checks the cookie of a rule.
    pub(super) fn compile(&self, at: At<'_>, report: &mut Report) -> Cookie {
        let name = self.name.as_deref().unwrap_or(NAME);
        let path = self.path.as_deref().unwrap_or("/");
        let max_age = self.max_age.unwrap_or(MAX_AGE);
        let same_site = match self.same_site.unwrap_or(SameSite::Lax) {
            SameSite::Lax => "Lax",
            SameSite::Strict => "Strict",
            SameSite::None => "None",
        };
        if !is_header_name(name) || name.len() > NAME_MAX {
            let what = format!("expected a token of up to {NAME_MAX} bytes (RFC 6265)");
            report.fault(at.key("name"), what);
        }
        if !(1..=MAX_AGE_MAX).contains(&max_age) {
            let what = format!("expected 1 to {MAX_AGE_MAX} seconds, which are 400 days");
            report.fault(at.key("max_age"), what);
        }
        let is_path = path.starts_with('/') && path.len() <= PATH_MAX;
        if !is_path || !path.bytes().all(|b| b.is_ascii_graphic() && b != b';') {
            let what = format!("expected a path of up to {PATH_MAX} bytes that starts with `/`");
            report.fault(at.key("path"), what);
        }
        if self.domain.as_deref().is_some_and(|domain| !is_domain(domain)) {
            report.fault(at.key("domain"), "expected a domain name such as `example.com`");
        }
        if name.to_ascii_lowercase().starts_with("__host-")
            && (self.domain.is_some() || path != "/")
        {
            let what = "browsers take `__Host-` only with the path `/` and without `domain`";
            report.fault(at.key("name"), what);
        }
        let domain = self.domain.as_ref().map(|domain| format!("; Domain={domain}"));
        let domain = domain.unwrap_or_default();
        let attributes = format!(
            "; Max-Age={max_age}; Path={path}{domain}; Secure; HttpOnly; SameSite={same_site}"
        );
        Cookie { name: name.into(), attributes: attributes.into() }
    }
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= DOMAIN_MAX && text.split('.').all(is_label)
}

impl Cookie {
    /// A new key from two random numbers.
    pub(super) fn issue(&self, [high, low]: [u64; 2], secret: &Secret) -> Issued {
        let Self { name, attributes } = self;
        let key = format!("{high:016x}{low:016x}");
        let signature = secret.sign(Purpose::Cookie, &[name, &key]);
        Issued { set_cookie: format!("{name}={key}.{signature}{attributes}"), key }
    }

    /// The key in the first cookie of a request with a sound signature. There may be others of the same
    /// name, of other paths.
    pub(super) fn key(&self, facts: &Facts<'_>, secret: &Secret) -> Option<String> {
        let header = facts.header("cookie")?;
        cookies(&header, &self.name).take(TRIES_MAX).find_map(|value| {
            let (key, signature) = value.split_once('.')?;
            // Without the salt: splits whose cookies have one name share it, or each would replace that
            // of the other. By their salts they divide its keys independently all the same.
            let is_ours = secret.has_signed(Purpose::Cookie, &[&self.name, key], signature);
            is_ours.then(|| key.to_owned())
        })
    }
}
