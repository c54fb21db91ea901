//! The plugin `proxy-rewrite`: what is changed in every request of a route, before it is split.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

use crate::fault::{At, Report};
use crate::rewrite::{HeadersWire, Method, Rewrite, RewriteWire, URI_MAX, Values};
use crate::split::MetaWire;
use crate::wire::{self, Members};

/// The name of the plugin in documents.
pub(crate) const PLUGIN: &str = "proxy-rewrite";

/// The configuration of the plugin, as APISIX writes it. An empty one changes nothing.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct ProxyRewriteWire {
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = URI_MAX), regex(pattern = "^/")))]
    uri: Option<String>,
    #[cfg_attr(feature = "schema", schemars(length(min = 2)))]
    regex_uri: Option<Vec<String>>,
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-zA-Z.-]+(:[0-9]{1,5})?$")))]
    host: Option<String>,
    method: Option<Method>,
    /// `add`, `set` and `remove`, or headers to set by their names.
    #[cfg_attr(feature = "schema", schemars(with = "Option<AnyHeaders>"))]
    headers: Option<Members>,
    use_real_request_uri_unsafe: Option<bool>,
    _meta: Option<MetaWire>,
}

/// Both forms in which headers may be written.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "its schema is what counts")]
enum AnyHeaders {
    Verbs(HeadersWire),
    Plain(BTreeMap<String, Values>),
}

impl ProxyRewriteWire {
    /// Checks the plugin; a disabled one changes nothing.
    pub(crate) fn compile(self, at: At<'_>, report: &mut Report) -> Rewrite {
        if self.use_real_request_uri_unsafe == Some(true) {
            report.fault(
                at.key("use_real_request_uri_unsafe"),
                "the raw target cannot be had: every runtime folds dot segments before anything else; \
                 a path that is not rewritten goes as the client has written it",
            );
        }
        let Self { uri, regex_uri, host, method, headers, _meta: meta, .. } = self;
        let wire = RewriteWire { uri, regex_uri, host, method, ..RewriteWire::default() };
        let mut rewrite = wire.compile(at, report);
        if let Some(headers) = headers {
            read_headers(headers, &mut rewrite, at.key("headers"), report);
        }
        if meta.is_some_and(|meta| meta.is_disabled()) { Rewrite::default() } else { rewrite }
    }
}

/// Reads headers in the form in which they are: `add`, `set` and `remove` are verbs if one of them has
/// what a verb takes.
fn read_headers(headers: Members, rewrite: &mut Rewrite, at: At<'_>, report: &mut Report) {
    let has_verbs = headers.iter().any(|(name, value)| match name.as_str() {
        "add" | "set" => value.is_object(),
        "remove" => value.is_array(),
        _ => false,
    });
    let headers = Value::Object(headers.into_iter().collect());
    if has_verbs {
        let check = |wire: HeadersWire, report: &mut Report| {
            rewrite.set_headers(&wire, at, report);
            Some(())
        };
        wire::read(&headers, at, report, check);
    } else {
        let check = |wire: BTreeMap<String, Values>, report: &mut Report| {
            rewrite.set_plain_headers(&wire, at, report);
            Some(())
        };
        wire::read(&headers, at, report, check);
    }
}
