//! The plugin `real-ip`.

use serde::Deserialize;

use super::{Asked, Verdict};
use crate::fault::{At, Report};
use crate::meta::{Meta, MetaWire};

/// The name of the plugin in documents.
pub(crate) const PLUGIN: &str = "real-ip";

/// The configuration of the plugin, as APISIX writes it.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct RealIpWire {
    _meta: Option<MetaWire>,
}

/// What the plugin is told.
#[derive(Debug)]
pub(crate) struct RealIp {
    pub(super) meta: Meta,
}

impl RealIpWire {
    /// Checks the plugin.
    pub(crate) fn compile(self, at: At<'_>, report: &mut Report) -> RealIp {
        RealIp { meta: Meta::compile(self._meta, at, report) }
    }
}

impl RealIp {
    /// Whether a request may pass.
    pub(super) fn pass<'a>(&'a self, _asked: &Asked<'a, '_>) -> Verdict<'a> {
        Verdict::default()
    }
}
