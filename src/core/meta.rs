//! The member `_meta`, which every plugin may have: whether and when the plugin acts,
//! and what it says to those it turns away.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::expr::{self, Expr};
use crate::facts::Facts;
use crate::fault::{At, Report};
use crate::problem::Answer;
use crate::wire::{Members, Unsupported};

/// The type of bodies that plugins answer with, as APISIX sends it, whatever is in them.
pub(crate) const PLAIN: &str = "text/plain; charset=utf-8";

#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be checked or refused by name")]
pub(crate) struct MetaWire {
    disable: Option<bool>,
    /// The plugins of this version act in phases of their own, so that it moves nothing.
    priority: Option<i64>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<Value>>"))]
    filter: Option<Value>,
    error_response: Option<ErrorResponse>,
    pre_function: Option<Unsupported>,
}

/// What is said in place of what a plugin says where it turns a request away: a text as it is, or an
/// object as JSON.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "expected a text or an object")]
enum ErrorResponse {
    Text(String),
    Object(Members),
}

/// When a plugin acts, and how it speaks.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Meta {
    pub(crate) is_disabled: bool,
    /// The body of whatever the plugin turns requests away with.
    body: Option<Box<str>>,
    /// The requests for which it acts; all, where there is none.
    filter: Option<Box<Expr>>,
}

impl Meta {
    /// Checks what the plugin at `plugin` says; it acts always where it says nothing.
    pub(crate) fn compile(wire: Option<MetaWire>, plugin: At<'_>, report: &mut Report) -> Self {
        let Some(wire) = wire else { return Self::default() };
        let at = plugin.key("_meta");
        let filter = wire.filter.as_ref();
        let filter = filter.and_then(|value| expr::compile(value, at.key("filter"), report));
        let body = wire.error_response.map(|response| match response {
            ErrorResponse::Text(text) => text.into(),
            ErrorResponse::Object(members) => format!("{}\n", json!(members)).into(),
        });
        let filter = filter.map(Box::new);
        Self { is_disabled: wire.disable == Some(true), body, filter }
    }

    /// The same of a plugin that turns no request away, or says it in words that cannot be changed.
    pub(crate) fn compile_mute(
        wire: Option<MetaWire>,
        plugin: At<'_>,
        report: &mut Report,
    ) -> Self {
        let meta = Self::compile(wire, plugin, report);
        if meta.body.is_some() {
            let at = plugin.key("_meta");
            report
                .fault(at.key("error_response"), "this plugin has no words that it could replace");
        }
        meta
    }

    /// Puts what the plugin is to say in the place of what it says.
    pub(crate) fn reword(&self, answer: &mut Answer) {
        if let Some(body) = &self.body {
            answer.body = body.clone().into();
            for (name, value) in &mut answer.headers {
                if name == "content-type" {
                    *value = PLAIN.to_owned();
                }
            }
        }
    }

    /// Whether the plugin acts on a request.
    pub(crate) fn acts_on(&self, facts: &Facts<'_>) -> bool {
        let filter = self.filter.as_ref();
        !self.is_disabled
            && filter.is_none_or(|filter| filter.holds(&|variable| variable.value(facts)))
    }

    /// The comparison by which its filter does not hold, if it has one that does not.
    pub(crate) fn why_not(&self, facts: &Facts<'_>) -> Option<String> {
        self.filter.as_ref()?.why_not(&|variable| variable.value(facts))
    }
}
