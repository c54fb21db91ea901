//! The plugin `key-auth`: who calls is known by a key in a header or an argument.

use std::borrow::Cow;

use serde::Deserialize;

use super::admission::Gate;
use super::{Asked, Verdict};
use crate::auth;
use crate::fault::{At, Report};
use crate::head::is_header_name;
use crate::meta::{Meta, MetaWire};
use crate::variable::query;

/// The name of the plugin in documents.
pub(crate) const PLUGIN: &str = auth::KEY_AUTH;

/// The configuration of the plugin, as APISIX writes it.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyAuthWire {
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    header: Option<String>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    query: Option<String>,
    hide_credentials: Option<bool>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    anonymous_consumer: Option<String>,
    realm: Option<String>,
    _meta: Option<MetaWire>,
}

/// What the plugin is told.
#[derive(Debug)]
pub(crate) struct KeyAuth {
    pub(super) meta: Meta,
    gate: Gate,
    /// In lower case.
    header: Box<str>,
    argument: Box<str>,
    hides: bool,
}

/// What both places are called where nothing else is said.
const NAME: &str = "apikey";

/// What is said to those without a key, and to those with a wrong one.
const MISSING: &str = "Missing API key in request";
const INVALID: &str = "Invalid API key in request";

impl KeyAuthWire {
    /// Checks the plugin.
    pub(crate) fn compile(self, at: At<'_>, report: &mut Report) -> KeyAuth {
        let header = self.header.as_deref().unwrap_or(NAME).to_ascii_lowercase();
        if !is_header_name(&header) {
            report.fault(at.key("header"), "expected the name of a header");
        }
        let argument = self.query.as_deref().unwrap_or(NAME);
        if argument.is_empty() {
            report.fault(at.key("query"), "expected the name of an argument");
        }
        let realm = self.realm.as_deref().unwrap_or("key");
        KeyAuth {
            gate: Gate::compile("apikey", realm, self.anonymous_consumer, at, report),
            header: header.into(),
            argument: argument.into(),
            hides: self.hide_credentials == Some(true),
            meta: Meta::compile(self._meta, at, report),
        }
    }
}

impl KeyAuth {
    /// Whether a request may pass. The header goes before the argument, which is not looked at beside it.
    pub(super) fn pass<'a>(&'a self, asked: &Asked<'a, '_>) -> Verdict<'a> {
        let header = asked.facts.header(&self.header);
        let is_in_header = header.is_some();
        let query = asked.facts.draft.query.as_deref();
        let argument = || query::only(query?, &self.argument);
        let recognised = match header.map(Some).or_else(argument) {
            None => Err(MISSING),
            Some(key) => key.and_then(|key| asked.consumers.by_key(&key)).ok_or(INVALID),
        };
        let is_known = recognised.is_ok();
        let mut verdict = self.gate.admit(asked, recognised);
        // What was not taken for a key is passed on, as by APISIX.
        if let Verdict::Passes(passage) = &mut verdict
            && self.hides
            && is_known
        {
            match is_in_header {
                true => passage.request.erase(Cow::Owned(self.header.clone().into())),
                false => {
                    passage.query = query.map(|query| query::without(query, &self.argument));
                }
            }
        }
        verdict
    }
}
