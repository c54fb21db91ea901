//! Who is asking: the key by which a request gets the branch that it got before.
//!
//! A key is a text that the request brings along, from the first of several places that has one. Only the
//! text counts and not the place: who is `u-17` in a header is `u-17` in an argument, too. Whoever can
//! choose the text can choose among the branches, slowly, by trying. Where nobody says who they are, a
//! cookie can be issued: its id is drawn here and signed, so that a client cannot make up ids until one
//! falls on the branch it wants. It can still throw cookies away, and be drawn anew.

pub(crate) mod cookie;
mod place;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use std::borrow::Cow;

use self::cookie::{Cookie, CookieWire, Issued};
use self::place::Place;
use crate::facts::Facts;
use crate::fault::{At, Report};
use crate::seal::Secret;

/// The most places to look for a key.
const PLACES_MAX: usize = 8;
/// The most bytes of a salt.
const SALT_MAX: usize = 256;

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
                length(max = place::PLACE_MAX),
                regex(pattern = "^(consumer$|ip$|(header|cookie|arg):|body:/)")
            ),
            extend("uniqueItems" = true),
        )
    )]
    by: Option<Vec<String>>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = SALT_MAX)))]
    salt: Option<String>,
    cookie: Option<CookieWire>,
}

/// Where the keys of requests come from.
#[derive(Debug)]
pub(crate) struct Affinity {
    /// Each as it is written in the document.
    places: Box<[(Box<str>, Place)]>,
    salt: Box<str>,
    cookie: Option<Cookie>,
}

/// A key that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    /// The place, as the document names it, or the name of the issued cookie.
    pub(crate) by: &'a str,
    /// Of any length; never empty.
    pub(crate) key: Cow<'a, str>,
}

impl Affinity {
    /// Checks what a rule says in `sticky`; `default_salt` counts where it names none. `methods` are
    /// those of the route, none for any.
    pub(crate) fn compile(
        wire: &StickyWire,
        default_salt: &str,
        methods: &[String],
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
        let length = wire.salt.as_ref().map_or(1, String::len);
        if !(1..=SALT_MAX).contains(&length) {
            report.fault(at.key("salt"), format!("expected 1 to {SALT_MAX} bytes, found {length}"));
        }
        let salt = wire.salt.as_deref().unwrap_or(default_salt);
        let cookie = wire.cookie.as_ref();
        let cookie = cookie.map(|cookie| cookie.compile(at.key("cookie"), report));
        let own = cookie.as_ref().map(|cookie| Place::Cookie(cookie.name.clone()));
        let is_own = |(_, place): &(Box<str>, Place)| own.as_ref() == Some(place);
        if let Some(index) = places.iter().position(is_own) {
            let what = "this cookie is issued and counts anyway, but only if it is signed";
            report.fault(at.key("by").index(index), what);
        }
        let is_sound = report.faults.len() == faults_before;
        let affinity = Self { places: places.into(), salt: salt.into(), cookie };
        warn_of_absent(&affinity, methods, at, report);
        is_sound.then_some(affinity)
    }

    /// What keys are mixed with, so that different splits divide them differently.
    pub(crate) fn salt(&self) -> &str {
        &self.salt
    }

    /// Whether keys are issued in a cookie.
    pub(crate) fn issues(&self) -> bool {
        self.cookie.is_some()
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

    /// The key that was issued to the client earlier.
    pub(crate) fn issued_key<'a>(
        &'a self,
        facts: &Facts<'_>,
        secret: &Secret,
    ) -> Option<Found<'a>> {
        let cookie = self.cookie.as_ref()?;
        let key = Cow::Owned(cookie.key(facts, secret)?);
        Some(Found { by: &cookie.name, key })
    }

    /// A new key from two random numbers, if there is a cookie to put it in. Whoever asks has found no
    /// other key, not in the body either.
    pub(crate) fn issue(&self, draws: [u64; 2], secret: &Secret) -> Option<Issued> {
        self.cookie.as_ref().map(|cookie| cookie.issue(draws, secret))
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

/// What of `sticky` no request can ever bring: a key that nobody knows yet, one behind a place that every
/// request has, or one in a body where there are none.
fn warn_of_absent(affinity: &Affinity, methods: &[String], at: At<'_>, report: &mut Report) {
    const WITHOUT_BODY: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];
    let has_bodies =
        methods.is_empty() || !methods.iter().all(|it| WITHOUT_BODY.contains(&it.as_str()));
    let by = at.key("by");
    let always = affinity.places.iter().position(|(_, place)| *place == Place::Ip);
    for (index, (_, place)) in affinity.places.iter().enumerate() {
        match place {
            Place::Body(_) if !has_bodies => {
                let what = "no key: the methods of the route are ones without bodies";
                report.warn(by.index(index), what);
            }
            Place::Arg(_)
            | Place::Body(_)
            | Place::Consumer
            | Place::Cookie(_)
            | Place::Header(_)
            | Place::Ip => {}
        }
        if always.is_some_and(|always| index > always) {
            report.warn(by.index(index), "never looked at: every request has an `ip`");
        }
    }
    if always.is_some() && affinity.cookie.is_some() {
        report.warn(at.key("cookie"), "never issued: every request has an `ip`");
    }
}
