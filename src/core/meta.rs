//! The member `_meta`, which every plugin may have: whether and when the plugin acts.

use serde::Deserialize;
use serde_json::Value;

use crate::expr::{self, Expr};
use crate::facts::Facts;
use crate::fault::{At, Report};
use crate::wire::Unsupported;

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
    error_response: Option<Unsupported>,
    pre_function: Option<Unsupported>,
}

/// When a plugin acts.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Meta {
    pub(crate) is_disabled: bool,
    /// The requests for which it acts; all, where there is none.
    filter: Option<Expr>,
}

impl Meta {
    /// Checks what the plugin at `plugin` says; it acts always where it says nothing.
    pub(crate) fn compile(wire: Option<MetaWire>, plugin: At<'_>, report: &mut Report) -> Self {
        let Some(wire) = wire else { return Self::default() };
        let at = plugin.key("_meta");
        let filter = wire.filter.as_ref();
        let filter = filter.and_then(|value| expr::compile(value, at.key("filter"), report));
        Self { is_disabled: wire.disable == Some(true), filter }
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
