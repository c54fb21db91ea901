//! What a branch changes in a request: its target and its headers.

use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::facts::{Draft, Facts};
use crate::fault::{At, Report};
use crate::head::{Edits, HOP_BY_HOP, is_header_name, is_header_value};
use crate::problem::Problem;
use crate::wire::Unsupported;

/// The most bytes of a path, as in APISIX.
pub(crate) const URI_MAX: usize = 4096;

/// The member `rewrite` of a branch.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct RewriteWire {
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = URI_MAX), regex(pattern = "^/")))]
    uri: Option<String>,
    #[expect(dead_code, reason = "read to be refused by name")]
    regex_uri: Option<Unsupported>,
    #[expect(dead_code, reason = "read to be refused by name")]
    host: Option<Unsupported>,
    #[expect(dead_code, reason = "read to be refused by name")]
    method: Option<Unsupported>,
}

/// The member `headers` of a branch, as in APISIX's `proxy-rewrite`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadersWire {
    set: Option<BTreeMap<String, String>>,
    add: Option<BTreeMap<String, String>>,
    remove: Option<Vec<String>>,
}

/// The changes of one branch.
#[derive(Debug, Default)]
pub(crate) struct Rewrite {
    /// The new path, with a query of its own or without.
    uri: Option<Box<str>>,
    headers: Edits,
}

impl Rewrite {
    /// Checks what a branch says in `rewrite` and `headers`.
    pub(crate) fn compile(
        rewrite: Option<&RewriteWire>,
        headers: Option<&HeadersWire>,
        branch: At<'_>,
        report: &mut Report,
    ) -> Self {
        let uri = rewrite.and_then(|wire| wire.uri.as_deref());
        if let Some(uri) = uri {
            check_uri(uri, branch.key("rewrite").key("uri"), report);
        }
        let headers = headers.map(|wire| wire.compile(branch.key("headers"), report));
        Self { uri: uri.map(Box::from), headers: headers.unwrap_or_default() }
    }

    /// Whether it changes the body of the request.
    pub(crate) fn needs_body(&self) -> bool {
        false
    }

    /// Makes the changes to a request.
    pub(crate) fn apply<'a>(
        &'a self,
        _facts: &Facts<'_>,
        draft: &mut Draft<'a>,
    ) -> Result<(), Problem> {
        if let Some(uri) = self.uri.as_deref() {
            draft.path = Cow::Borrowed(uri);
        }
        draft.edits.follow(self.headers.clone());
        Ok(())
    }

    /// Adds the changes to the headers of the response.
    pub(crate) fn response(&self, _facts: &Facts<'_>, _edits: &mut Edits) {}
}

/// Visible characters that RFC 3986 does not allow in path and query. Some runtimes would send them,
/// others escape them.
const NOT_IN_URI: [char; 10] = ['"', '#', '<', '>', '\\', '^', '`', '{', '|', '}'];

fn check_uri(uri: &str, at: At<'_>, report: &mut Report) {
    if !uri.starts_with('/') {
        report.fault(at, "expected a path that starts with `/`");
    } else if !uri.bytes().all(|b| b.is_ascii_graphic()) || uri.contains(NOT_IN_URI) {
        report.fault(at, "a character cannot stand in a URI (RFC 3986); escape it as %XX");
    } else if uri.contains('$') {
        report.fault(at, "variables (`$`) are not supported yet; escape a literal one as %24");
    } else if uri.len() > URI_MAX {
        report.fault(at, format!("expected at most {URI_MAX} characters, found {}", uri.len()));
    }
}

impl HeadersWire {
    fn compile(&self, at: At<'_>, report: &mut Report) -> Edits {
        let pairs = |verb: &str, wire: &Option<BTreeMap<String, String>>, report: &mut Report| {
            let pairs = wire.iter().flatten();
            let checked = pairs.map(|(name, value)| {
                check_header(name, value, at.key(verb).key(name), report);
                (Cow::Owned(name.to_ascii_lowercase()), value.clone())
            });
            checked.collect::<Vec<_>>()
        };
        let set = pairs("set", &self.set, report);
        let add = pairs("add", &self.add, report);
        let removed = self.remove.iter().flatten().enumerate().map(|(index, name)| {
            check_header(name, "", at.key("remove").index(index), report);
            Cow::Owned(name.to_ascii_lowercase())
        });
        Edits { remove: removed.collect(), set, add }
    }
}

fn check_header(name: &str, value: &str, at: At<'_>, report: &mut Report) {
    /// What frames and addresses a message is not a branch's to change.
    const FRAMING: [&str; 2] = ["content-length", "host"];
    let lower = name.to_ascii_lowercase();
    if !is_header_name(name) {
        report.fault(at, "expected a header name");
    } else if FRAMING.contains(&lower.as_str()) || HOP_BY_HOP.contains(&lower.as_str()) {
        report.fault(at, "this header belongs to the connection and cannot be edited");
    }
    if !is_header_value(value) {
        report.fault(at, "expected visible ASCII as header value");
    } else if value.contains('$') {
        report.fault(at, "variables (`$`) are not supported yet");
    }
}
