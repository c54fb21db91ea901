//! The plugin `basic-auth`: who calls is known by a name and a password (RFC 7617).

use std::borrow::Cow;

use serde::Deserialize;

use super::admission::Gate;
use super::{Asked, Verdict};
use crate::auth::{self, Known};
use crate::fault::{At, Report};
use crate::meta::{Meta, MetaWire};

/// The name of the plugin in documents.
pub(crate) const PLUGIN: &str = auth::BASIC_AUTH;

/// The configuration of the plugin, as APISIX writes it.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct BasicAuthWire {
    hide_credentials: Option<bool>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    anonymous_consumer: Option<String>,
    realm: Option<String>,
    _meta: Option<MetaWire>,
}

/// What the plugin is told.
#[derive(Debug)]
pub(crate) struct BasicAuth {
    pub(super) meta: Meta,
    gate: Gate,
    hides: bool,
}

/// Where names and passwords are.
const HEADER: &str = "authorization";

/// What is said to those without a name and password, to those whose header has none in it, and to those
/// who have one of both wrong: not which.
const MISSING: &str = "Missing authorization in request";
const MALFORMED: &str = "Invalid authorization in request";
const INVALID: &str = "Invalid user authorization";

impl BasicAuthWire {
    /// Checks the plugin.
    pub(crate) fn compile(self, at: At<'_>, report: &mut Report) -> BasicAuth {
        let realm = self.realm.as_deref().unwrap_or("basic");
        BasicAuth {
            gate: Gate::compile("Basic", realm, self.anonymous_consumer, at, report),
            hides: self.hide_credentials == Some(true),
            meta: Meta::compile(self._meta, at, report),
        }
    }
}

impl BasicAuth {
    /// Whether a request may pass.
    pub(super) fn pass<'a>(&'a self, asked: &Asked<'a, '_>) -> Verdict<'a> {
        let mut verdict = self.gate.admit(asked, recognised(asked));
        if let Verdict::Passes(passage) = &mut verdict
            && self.hides
        {
            passage.request.erase(Cow::Borrowed(HEADER));
        }
        verdict
    }
}

fn recognised<'a>(asked: &Asked<'a, '_>) -> Result<Known<'a>, &'static str> {
    let header = asked.facts.header(HEADER).ok_or(MISSING)?;
    let known = asked.consumers.by_password(&header).map_err(|_| MALFORMED)?;
    known.ok_or(INVALID)
}
