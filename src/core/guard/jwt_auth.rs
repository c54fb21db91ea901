//! The plugin `jwt-auth`: who calls is known by a token in a header, an argument or a cookie.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use super::admission::Gate;
use super::{Asked, Effect, Found, Verdict};
use crate::auth::jwt::{Claim, Trust, parse};
use crate::auth::{self, Known};
use crate::facts::{cookies, without_cookie};
use crate::fault::{At, Report};
use crate::head::is_header_name;
use crate::meta::{Meta, MetaWire};
use crate::problem::Problem;
use crate::variable::query;

/// The name of the plugin in documents.
pub(crate) const PLUGIN: &str = auth::JWT_AUTH;

/// The configuration of the plugin, as APISIX writes it.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct JwtAuthWire {
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    header: Option<String>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    query: Option<String>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    cookie: Option<String>,
    hide_credentials: Option<bool>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    key_claim_name: Option<String>,
    #[cfg_attr(feature = "schema", schemars(extend("uniqueItems" = true)))]
    claims_to_verify: Option<Vec<Claim>>,
    store_in_ctx: Option<bool>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    anonymous_consumer: Option<String>,
    realm: Option<String>,
    _meta: Option<MetaWire>,
}

/// What the plugin is told.
#[derive(Debug)]
pub(crate) struct JwtAuth {
    pub(super) meta: Meta,
    gate: Gate,
    /// In lower case.
    header: Box<str>,
    argument: Box<str>,
    cookie: Box<str>,
    hides: bool,
    /// The claim that says whose a token is.
    claim: Box<str>,
    /// The other claims that are looked at.
    claims: Box<[Claim]>,
}

/// What is said to those without a token, to those with something else in its place, to those whose token
/// does not say whose it is, or names nobody, and to all whose token does not count: not why.
const MISSING: &str = "Missing JWT token in request";
const INVALID: &str = "JWT token invalid";
const NAMELESS: &str = "missing user key in JWT token";
const UNKNOWN: &str = "Invalid user key in JWT token";
const REFUSED: &str = "failed to verify jwt";

/// How often who waits for keys looks whether they are there.
const STEP: Duration = Duration::from_millis(20);

/// Where a token was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Header,
    Argument,
    Cookie,
}

/// What is said to a request, short of an answer.
enum Say<'a> {
    Known(Known<'a>),
    Turned(&'static str),
    Needs(Effect),
    /// That could not be found out.
    Away,
}

impl JwtAuthWire {
    /// Checks the plugin.
    pub(crate) fn compile(self, at: At<'_>, report: &mut Report) -> JwtAuth {
        let header = self.header.as_deref().unwrap_or("authorization").to_ascii_lowercase();
        if !is_header_name(&header) {
            report.fault(at.key("header"), "expected the name of a header");
        }
        let argument = self.query.as_deref().unwrap_or("jwt");
        if argument.is_empty() {
            report.fault(at.key("query"), "expected the name of an argument");
        }
        let cookie = self.cookie.as_deref().unwrap_or("jwt");
        if !is_header_name(cookie) {
            report.fault(at.key("cookie"), "expected the name of a cookie");
        }
        let claim = self.key_claim_name.as_deref().unwrap_or("key");
        if claim.is_empty() {
            report.fault(at.key("key_claim_name"), "expected at least one character");
        }
        if self.store_in_ctx == Some(true) {
            let what = "without effect: it hands tokens to code of others, and Splitway runs none";
            report.warn(at.key("store_in_ctx"), what);
        }
        let realm = self.realm.as_deref().unwrap_or("jwt");
        JwtAuth {
            gate: Gate::compile("Bearer", realm, self.anonymous_consumer, at, report),
            header: header.into(),
            argument: argument.into(),
            cookie: cookie.into(),
            hides: self.hide_credentials == Some(true),
            claim: claim.into(),
            claims: compile_claims(self.claims_to_verify, at.key("claims_to_verify"), report),
            meta: Meta::compile(self._meta, at, report),
        }
    }
}

fn compile_claims(wire: Option<Vec<Claim>>, at: At<'_>, report: &mut Report) -> Box<[Claim]> {
    let claims = wire.unwrap_or_else(|| Claim::ALL.to_vec());
    for (index, claim) in claims.iter().enumerate() {
        if claims.iter().take(index).any(|other| other == claim) {
            report.fault(at.index(index), "this claim stands here twice");
        }
    }
    if !claims.contains(&Claim::Exp) {
        report.warn(at, "without `exp` a token that was stolen counts for ever");
    }
    claims.into()
}

impl JwtAuth {
    /// Whether a request may pass. The header goes before the argument, and that before the cookie; what is
    /// found first is it.
    pub(super) fn pass<'a>(&'a self, asked: &Asked<'a, '_>) -> Verdict<'a> {
        let (found, place) = self.token(asked);
        let said = match found {
            Some(token) => self.judge(asked, &token),
            None => Say::Turned(MISSING),
        };
        let recognised = match said {
            Say::Needs(effect) => return Verdict::Needs(effect),
            Say::Away => {
                let problem = Problem::KeysUnknown;
                return Verdict::Answers(problem.answer(), Some(problem));
            }
            Say::Known(known) => Ok(known),
            Say::Turned(why) => Err(why),
        };
        let mut verdict = self.gate.admit(asked, recognised);
        if let Verdict::Passes(passage) = &mut verdict
            && self.hides
        {
            match place {
                None => {}
                Some(Place::Header) => {
                    passage.request.erase(Cow::Owned(self.header.clone().into()));
                }
                Some(Place::Argument) => {
                    let query = asked.facts.draft.query.as_deref();
                    passage.query = query.map(|query| query::without(query, &self.argument));
                }
                Some(Place::Cookie) => {
                    let header = asked.facts.header("cookie").unwrap_or_default();
                    let name = Cow::Borrowed("cookie");
                    match without_cookie(&header, &self.cookie) {
                        Some(others) => passage.request.replace(name, others),
                        None => passage.request.erase(name),
                    }
                }
            }
        }
        verdict
    }

    /// The token of a request, and where it is. An argument that stands there twice is none.
    fn token<'f>(&self, asked: &Asked<'_, 'f>) -> (Option<Cow<'f, str>>, Option<Place>) {
        if let Some(header) = asked.facts.header(&self.header) {
            return (Some(without_scheme(header)), Some(Place::Header));
        }
        let query = asked.facts.draft.query.as_deref();
        if let Some(argument) = query.and_then(|query| query::only(query, &self.argument)) {
            return (Some(argument.unwrap_or_default()), Some(Place::Argument));
        }
        let cookie = asked
            .facts
            .header("cookie")
            .and_then(|header| cookies(&header, &self.cookie).next().map(str::to_owned));
        let place = cookie.is_some().then_some(Place::Cookie);
        (cookie.map(Cow::Owned), place)
    }

    /// Whose a token is, if it is.
    fn judge<'a>(&self, asked: &Asked<'a, '_>, text: &str) -> Say<'a> {
        let Ok(token) = parse(text) else { return Say::Turned(INVALID) };
        let named = match token.claims.get(&*self.claim) {
            None | Some(serde_json::Value::Bool(false)) => return Say::Turned(NAMELESS),
            Some(name) => name.as_str(),
        };
        let Some((known, credential)) = named.and_then(|name| asked.consumers.by_token(name))
        else {
            return Say::Turned(UNKNOWN);
        };
        // It was this very token that was checked: nothing else is asked for with this request.
        if let Some(Found::Verified(is_right)) = asked.found {
            return if is_right { Say::Known(known) } else { Say::Turned(REFUSED) };
        }
        let means = asked.means;
        match credential.trust(token, &self.claims, means.now, !means.is_trial) {
            Trust::Given => Say::Known(known),
            Trust::Refused => Say::Turned(REFUSED),
            Trust::Check(check) => Say::Needs(Effect::Verify(Box::new(check))),
            Trust::Fetch(errand) => Say::Needs(Effect::Fetch(errand)),
            Trust::Wait => Say::Needs(Effect::Wait(STEP)),
            Trust::Away => Say::Away,
        }
    }
}

/// What stands behind `Bearer`, or all of it: APISIX takes tokens without, too.
fn without_scheme(header: Cow<'_, str>) -> Cow<'_, str> {
    const SCHEME: &str = "bearer ";
    let has_scheme =
        header.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME));
    match header {
        header if !has_scheme => header,
        Cow::Borrowed(header) => Cow::Borrowed(header.get(SCHEME.len()..).unwrap_or_default()),
        Cow::Owned(header) => Cow::Owned(header.get(SCHEME.len()..).unwrap_or_default().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::wire;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(value: Value, faults: &[&str], warnings: &[&str]) {
        let mut report = Report::default();
        wire::read(&value, At::Root, &mut report, |wire: JwtAuthWire, report| {
            Some(wire.compile(At::Root, report))
        });
        let said = |list: &[Fault]| list.iter().map(Fault::to_string).collect::<Vec<_>>();
        assert_eq!(said(&report.faults), faults, "{value}");
        assert_eq!(said(&report.warnings), warnings, "{value}");
    }

    #[test]
    fn names_are_such_that_tokens_can_stand_there() {
        check(json!({}), &[], &[]);
        check(
            json!({"header": "x token", "query": "", "cookie": "a=b", "key_claim_name": ""}),
            &[
                "/header: expected the name of a header",
                "/query: expected the name of an argument",
                "/cookie: expected the name of a cookie",
                "/key_claim_name: expected at least one character",
            ],
            &[],
        );
        check(
            json!({"claims_to_verify": ["exp", "nbf", "exp"]}),
            &["/claims_to_verify/2: this claim stands here twice"],
            &[],
        );
        check(
            json!({"claims_to_verify": ["nbf"], "store_in_ctx": true}),
            &[],
            &[
                "/store_in_ctx: without effect: it hands tokens to code of others, and Splitway runs none",
                "/claims_to_verify: without `exp` a token that was stolen counts for ever",
            ],
        );
    }

    #[test]
    fn the_scheme_is_written_as_one_likes_or_not_at_all() {
        for (header, token) in [
            ("Bearer a.b.c", "a.b.c"),
            ("bearer a.b.c", "a.b.c"),
            ("BEARER a.b.c", "a.b.c"),
            ("a.b.c", "a.b.c"),
            ("Basic a.b.c", "Basic a.b.c"),
            ("Bearer", "Bearer"),
            ("\u{e4}\u{e4}\u{e4}\u{e4}", "\u{e4}\u{e4}\u{e4}\u{e4}"),
        ] {
            assert_eq!(without_scheme(Cow::Borrowed(header)), token);
            assert_eq!(without_scheme(Cow::Owned(header.to_owned())), token);
        }
    }
}
