//! What a branch changes in a request: its target and its headers.

use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::fault::{At, Report};
use crate::head::{Edits, HOP_BY_HOP, is_header_name, is_header_value};
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

    /// The target to send for a request of `path` and `query`: the client's query is kept, behind
    /// the rewrite's own if it has one.
    pub(crate) fn target<'a>(&'a self, path: &'a str, query: Option<&'a str>) -> Cow<'a, str> {
        let path = self.uri.as_deref().unwrap_or(path);
        match query {
            None => Cow::Borrowed(path),
            Some(query) => {
                let mark = if path.contains('?') { '&' } else { '?' };
                Cow::Owned(format!("{path}{mark}{query}"))
            }
        }
    }

    /// Adds the branch's changes to the headers of a request to those that every request gets; where
    /// both name a header, the branch is right.
    pub(crate) fn edit(&self, edits: &mut Edits) {
        let Edits { remove, set, add } = &self.headers;
        let is_own = |name: &str| {
            remove.iter().any(|own| own == name) || set.iter().any(|(own, _)| own == name)
        };
        edits.set.retain(|(name, _)| !is_own(name));
        edits.remove.extend_from_slice(remove);
        edits.set.extend_from_slice(set);
        edits.add.extend_from_slice(add);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_the_client_is_kept() {
        let to = |uri: Option<&str>| Rewrite { uri: uri.map(Box::from), headers: Edits::default() };
        assert_eq!(to(None).target("/a", None), "/a");
        assert_eq!(to(None).target("/a", Some("")), "/a?");
        assert_eq!(to(Some("/v1/a")).target("/a", Some("b=c")), "/v1/a?b=c");
        assert_eq!(to(Some("/v1/a?x=y")).target("/a", Some("b=c")), "/v1/a?x=y&b=c");
        assert_eq!(to(Some("/v1/a?x=y")).target("/a", None), "/v1/a?x=y");
    }
}
