//! Who is asking: the key by which a request gets the branch that it got before.
//!
//! A key is a text that the request brings along, from the first of several places that has one. Only the
//! text counts and not the place: who is `u-17` in a header is `u-17` in an argument, too. Whoever can
//! choose the text can choose among the branches, slowly, by trying. Where nobody says who they are, a
//! cookie can be issued: its id is drawn here and signed, so that a client cannot make up ids until one
//! falls on the branch it wants. It can still throw cookies away, and be drawn anew.

use serde::Deserialize;
use std::borrow::Cow;
use std::net::IpAddr;

use crate::address::household;
use crate::facts::{Facts, cookies};
use crate::fault::{At, Report, did_you_mean};
use crate::head::is_header_name;
use crate::seal::{Purpose, Secret};
use crate::variable::{Value, Variable};

/// The most places to look for a key.
const PLACES_MAX: usize = 8;
/// The most bytes of such a place, of a salt and of the name of a cookie.
const TEXT_MAX: usize = 256;
/// The most bytes of the path of a cookie.
const PATH_MAX: usize = 1024;
/// The most bytes of a domain name (RFC 1035, section 2.3.4, as text).
const DOMAIN_MAX: usize = 253;
/// For how long browsers keep a cookie at most: 400 days (RFC 6265bis, section 5.5).
const MAX_AGE_MAX: u32 = 34_560_000;

/// How long an issued cookie is kept if nothing is said: 30 days.
const MAX_AGE: u32 = 2_592_000;
/// The name of an issued cookie if nothing is said.
const COOKIE: &str = "splitway";

/// The member `sticky` of a rule.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("anyOf" = serde_json::json!([{"required": ["by"]}, {"required": ["cookie"]}])))
)]
#[serde(deny_unknown_fields)]
pub(crate) struct StickyWire {
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1, max = PLACES_MAX),
            inner(
                length(max = TEXT_MAX),
                regex(pattern = "^(consumer$|ip$|(header|cookie|arg):|body:/)")
            ),
            extend("uniqueItems" = true),
        )
    )]
    by: Option<Vec<String>>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = TEXT_MAX)))]
    salt: Option<String>,
    cookie: Option<CookieWire>,
}

/// The member `cookie` of `sticky`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct CookieWire {
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = TEXT_MAX), regex(pattern = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"))
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

/// Where the keys of requests come from.
#[derive(Debug)]
pub(crate) struct Affinity {
    /// Each as it is written in the document.
    places: Box<[(Box<str>, Place)]>,
    salt: Box<str>,
    cookie: Option<Cookie>,
}

/// One place of a request to look for a key.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Arg(Variable),
    /// A JSON pointer into a body of JSON.
    Body(Box<str>),
    Consumer,
    Cookie(Box<str>),
    /// By its lower-case name.
    Header(Box<str>),
    Ip,
}

/// The cookie to issue.
#[derive(Debug)]
struct Cookie {
    name: Box<str>,
    /// What stands behind the value.
    attributes: Box<str>,
}

/// A key that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    /// The place, as the document names it, or the name of the issued cookie.
    pub(crate) by: &'a str,
    /// Of any length; never empty.
    pub(crate) key: Cow<'a, str>,
}

/// A new key for a client that brings none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issued {
    /// The key that the client has from now on.
    pub(crate) key: String,
    /// The value of `Set-Cookie` for the response.
    pub(crate) set_cookie: String,
}

impl Affinity {
    /// Checks what a rule says in `sticky`; `default_salt` counts where it names none.
    pub(crate) fn compile(
        wire: &StickyWire,
        default_salt: &str,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Self> {
        let faults_before = report.faults.len();
        if wire.by.is_none() && wire.cookie.is_none() {
            report.fault(
                at,
                "`by` or `cookie` is missing: there is nothing to tell clients apart by",
            );
        }
        let places = compile_places(wire.by.as_deref(), at.key("by"), report);
        if let Some(salt) = &wire.salt {
            check_length(salt, TEXT_MAX, at.key("salt"), report);
        }
        let cookie = wire.cookie.as_ref().map(|cookie| cookie.compile(at.key("cookie"), report));
        let own = cookie.as_ref().map(|cookie| Place::Cookie(cookie.name.clone()));
        let is_own = |(_, place): &(Box<str>, Place)| own.as_ref() == Some(place);
        if let Some(index) = places.iter().position(is_own) {
            let what = "this cookie is issued and counts anyway, but only if it is signed";
            report.fault(at.key("by").index(index), what);
        }
        let salt = wire.salt.as_deref().unwrap_or(default_salt).into();
        let is_sound = report.faults.len() == faults_before;
        is_sound.then(|| Self { places: places.into(), salt, cookie })
    }

    /// What keys are mixed with, so that different splits divide them differently.
    pub(crate) fn salt(&self) -> &str {
        &self.salt
    }

    /// Whether a key may be in the body.
    pub(crate) fn needs_body(&self) -> bool {
        self.places.iter().any(|(_, place)| matches!(place, Place::Body(_)))
    }

    /// The key that a request brings along by itself: from the first place that has one. It is not the
    /// last word while [`Facts::wants_body`].
    pub(crate) fn key<'a>(&'a self, facts: &Facts<'a>) -> Option<Found<'a>> {
        self.places.iter().find_map(|(by, place)| {
            let key = place.value(facts).filter(|key| !key.is_empty())?;
            Some(Found { by, key })
        })
    }

    /// The key that was issued to the client earlier: that of the first cookie with a sound signature.
    pub(crate) fn issued_key<'a>(
        &'a self,
        facts: &Facts<'a>,
        secret: &Secret,
    ) -> Option<Found<'a>> {
        let cookie = self.cookie.as_ref()?;
        let header = facts.header("cookie")?;
        let id = cookies(&header, &cookie.name).find_map(|value| {
            let (id, signature) = value.split_once('.')?;
            self.has_issued(cookie, id, signature, secret).then(|| id.to_owned())
        });
        Some(Found { by: &cookie.name, key: Cow::Owned(id?) })
    }

    /// A new key from two random numbers, if there is a cookie to put it in.
    pub(crate) fn issue(&self, [high, low]: [u64; 2], secret: &Secret) -> Option<Issued> {
        let cookie = self.cookie.as_ref()?;
        let Cookie { name, attributes } = cookie;
        let key = format!("{high:016x}{low:016x}");
        let signature = secret.sign(Purpose::Cookie, &self.signed(cookie, &key));
        Some(Issued { set_cookie: format!("{name}={key}.{signature}{attributes}"), key })
    }

    fn has_issued(&self, cookie: &Cookie, id: &str, signature: &str, secret: &Secret) -> bool {
        let is_id = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
        is_id && secret.has_signed(Purpose::Cookie, &self.signed(cookie, id), signature)
    }

    /// With salt and name, the cookie of one split says nothing to another.
    fn signed<'s>(&'s self, cookie: &'s Cookie, id: &'s str) -> [&'s str; 3] {
        [&cookie.name, &self.salt, id]
    }
}

fn compile_places(
    by: Option<&[String]>,
    at: At<'_>,
    report: &mut Report,
) -> Vec<(Box<str>, Place)> {
    let count = by.map_or(1, <[String]>::len);
    if !(1..=PLACES_MAX).contains(&count) {
        report.fault(at, format!("expected 1 to {PLACES_MAX} places, found {count}"));
    }
    let mut places: Vec<(Box<str>, Place)> = Vec::new();
    for (index, text) in by.unwrap_or_default().iter().take(PLACES_MAX).enumerate() {
        match Place::parse(text) {
            Err(what) => report.fault(at.index(index), what),
            Ok(place) if places.iter().any(|(_, earlier)| *earlier == place) => {
                report.fault(at.index(index), format!("`{text}` stands here twice"));
            }
            Ok(place) => places.push((text.as_str().into(), place)),
        }
    }
    places
}

fn check_length(text: &str, max: usize, at: At<'_>, report: &mut Report) {
    if !(1..=max).contains(&text.len()) {
        report.fault(at, format!("expected 1 to {max} bytes, found {}", text.len()));
    }
}

impl Place {
    /// The place that a text names, or what is wrong with it.
    fn parse(text: &str) -> Result<Self, String> {
        const KINDS: [&str; 6] = ["arg:", "body:", "consumer", "cookie:", "header:", "ip"];
        if text.len() > TEXT_MAX || text.chars().any(char::is_control) {
            return Err(format!("expected up to {TEXT_MAX} bytes without control characters"));
        }
        let (kind, name) = match text.split_once(':') {
            None => (text, None),
            Some((kind, name)) => (kind, Some(name)),
        };
        match (kind, name) {
            ("consumer", None) => Ok(Self::Consumer),
            ("ip", None) => Ok(Self::Ip),
            ("arg", Some(name)) => Variable::parse(&format!("arg_{name}")).map(Self::Arg),
            ("cookie", Some(name)) if is_header_name(name) => Ok(Self::Cookie(name.into())),
            ("header", Some(name)) if is_header_name(name) => {
                Ok(Self::Header(name.to_ascii_lowercase().into()))
            }
            ("cookie" | "header", Some(_)) => Err(format!("expected the name of a {kind}")),
            ("body", Some(pointer)) if is_pointer(pointer) => Ok(Self::Body(pointer.into())),
            ("body", Some(_)) => {
                Err("expected a JSON pointer such as `body:/user/id` (RFC 6901)".to_owned())
            }
            _ => {
                let word = if name.is_some() { format!("{kind}:") } else { kind.to_owned() };
                let hint = did_you_mean(&word, &KINDS);
                Err(format!(
                    "expected `consumer`, `ip`, or `header`, `cookie`, `arg`, `body` with `:` and a name{hint}"
                ))
            }
        }
    }

    /// What a request has there; numbers, truth and addresses as text.
    fn value<'a>(&self, facts: &Facts<'a>) -> Option<Cow<'a, str>> {
        match self {
            Self::Arg(variable) => match variable.value(facts)? {
                Value::Text(text) => Some(text),
                // An argument without a value.
                Value::Json(_) => None,
            },
            Self::Body(pointer) => in_body(facts.body()?, pointer).map(Cow::Owned),
            Self::Consumer => facts.consumer.map(Cow::Borrowed),
            Self::Cookie(name) => facts.cookie(name),
            Self::Header(name) => facts.header(name),
            Self::Ip => facts.head.client().map(|client| Cow::Owned(address_key(client))),
        }
    }
}

/// The address of a client as its key. Of IPv6 it is the network of 64 bits: the rest of the address
/// changes under one and the same client, and clients could choose it.
fn address_key(client: IpAddr) -> String {
    household(client).to_string()
}

/// Whether a text is a JSON pointer to something inside (RFC 6901, section 3).
fn is_pointer(text: &str) -> bool {
    let is_escape = |rest: &str| rest.starts_with(['0', '1']);
    text.starts_with('/') && text.split('~').skip(1).all(is_escape)
}

/// What a body of JSON has at `pointer`, if that is a text, a number or a truth value.
fn in_body(body: &[u8], pointer: &str) -> Option<String> {
    use serde_json::Value::{Array, Bool, Null, Number, Object, String};
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    match body.pointer(pointer)? {
        String(text) => Some(text.clone()),
        Number(number) => Some(number.to_string()),
        Bool(value) => Some(value.to_string()),
        Null | Array(_) | Object(_) => None,
    }
}

impl CookieWire {
    fn compile(&self, at: At<'_>, report: &mut Report) -> Cookie {
        let name = self.name.as_deref().unwrap_or(COOKIE);
        let path = self.path.as_deref().unwrap_or("/");
        let max_age = self.max_age.unwrap_or(MAX_AGE);
        let same_site = match self.same_site.unwrap_or(SameSite::Lax) {
            SameSite::Lax => "Lax",
            SameSite::Strict => "Strict",
            SameSite::None => "None",
        };
        check_length(name, TEXT_MAX, at.key("name"), report);
        if !name.is_empty() && !is_header_name(name) {
            report.fault(at.key("name"), "expected a token (RFC 6265, section 4.1.1)");
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
