//! Filters of rules and backends: what they change in a request and its response.

use serde_json::{Map, Value, json};
use splitway_core::fault::At;

use super::headers::HeaderEdits;
use super::matching::PathMatch;
use super::read::{Findings, member, members, required};

/// What filters change.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits {
    request: HeaderEdits,
    response: HeaderEdits,
    path: Option<PathEdit>,
    /// The `Host` to send.
    pub(super) hostname: Option<String>,
}

#[derive(Clone, Debug)]
enum PathEdit {
    Full(String),
    Prefix(String),
}

/// Reads a list of filters.
pub(super) fn read(filters: &[Value], at: At<'_>, findings: &mut Findings) -> Edits {
    let mut edits = Edits::default();
    let kind = |filter: &Value| filter.get("type").cloned().unwrap_or_default();
    for (index, filter) in filters.iter().enumerate() {
        let at = at.index(index);
        if filters.iter().take(index).any(|earlier| kind(earlier) == kind(filter)) {
            findings.obstacle(at, "a filter of this type stands here twice");
        }
        edits.read(filter, at, findings);
    }
    edits
}

impl Edits {
    fn read(&mut self, filter: &Value, at: At<'_>, findings: &mut Findings) {
        let kind = filter.get("type").and_then(Value::as_str).unwrap_or_default();
        let obstacle = match kind {
            "RequestHeaderModifier" => {
                self.request = read_headers(filter, "requestHeaderModifier", at, findings);
                return;
            }
            "ResponseHeaderModifier" => {
                self.response = read_headers(filter, "responseHeaderModifier", at, findings);
                return;
            }
            "URLRewrite" => return self.read_rewrite(filter, at, findings),
            "RequestMirror" => {
                return findings
                    .lose(at, "left out: not taken over yet; `mirror` of a rule copies requests");
            }
            "CORS" => return findings.lose(at, "left out: Splitway does not answer for CORS"),
            "RequestRedirect" => "Splitway does not redirect",
            "ExtensionRef" => {
                "what an extension does is not known here, and it must not be skipped"
            }
            "ExternalAuth" => "Splitway does not ask anyone who may pass",
            _ => "a type of filter that is not known here",
        };
        findings.obstacle(at, obstacle);
    }

    fn read_rewrite(&mut self, filter: &Value, at: At<'_>, findings: &mut Findings) {
        let Some((at, map)) = modifier(filter, "urlRewrite", &["hostname", "path"], &at, findings)
        else {
            return;
        };
        self.hostname = member(map, "hostname", at, findings).map(str::to_owned);
        let Some(path) = map.get("path").filter(|path| !path.is_null()) else { return };
        let at = at.key("path");
        let known = ["type", "replaceFullPath", "replacePrefixMatch"];
        let Some(path) = members(path, &known, at, findings) else { return };
        let edit = match member(path, "type", at, findings) {
            Some("ReplaceFullPath") => required(path, "replaceFullPath", at, findings)
                .map(|to| PathEdit::Full(escaped(to))),
            Some("ReplacePrefixMatch") => required(path, "replacePrefixMatch", at, findings)
                .map(|to| PathEdit::Prefix(escaped(to))),
            _ => {
                findings.obstacle(at, "expected the type ReplaceFullPath or ReplacePrefixMatch");
                None
            }
        };
        let to = edit.as_ref().map(PathEdit::to).unwrap_or_default();
        if to.contains(['?', '#']) || path.len() > 2 {
            findings.obstacle(at, "expected one path, without a query");
        }
        if to.contains("%24") {
            findings.note(at, "a `$` is written as %24, or it would begin a variable");
        }
        self.path = edit;
    }

    /// These edits of a backend after those of its rule.
    pub(super) fn after(self, rule: &Self) -> Self {
        let rule = rule.clone();
        Self {
            request: self.request.after(rule.request),
            response: self.response.after(rule.response),
            path: self.path.or(rule.path),
            hostname: self.hostname.or(rule.hostname),
        }
    }

    /// The members `rewrite`, `headers` and `response_headers` of a branch that takes what `path` takes.
    pub(super) fn members(&self, path: &PathMatch) -> Map<String, Value> {
        let mut branch = Map::new();
        if let Some(rewrite) = self.path.as_ref().and_then(|edit| edit.rewrite(path)) {
            branch.insert("rewrite".to_owned(), rewrite);
        }
        for (key, edits) in [("headers", &self.request), ("response_headers", &self.response)] {
            let headers = edits.members();
            if !headers.is_empty() {
                branch.insert(key.to_owned(), headers.into());
            }
        }
        branch
    }
}

/// The settings of a header modifier.
fn read_headers(
    filter: &Value,
    key: &'static str,
    at: At<'_>,
    findings: &mut Findings,
) -> HeaderEdits {
    let settings = modifier(filter, key, &["set", "add", "remove"], &at, findings);
    settings.map(|(at, map)| HeaderEdits::read(map, at, findings)).unwrap_or_default()
}

impl PathEdit {
    /// What takes the place of the path, or of its prefix.
    fn to(&self) -> &str {
        match self {
            Self::Full(to) | Self::Prefix(to) => to,
        }
    }

    /// The member `rewrite` of a branch; `None` where nothing changes.
    fn rewrite(&self, path: &PathMatch) -> Option<Value> {
        match (self, path) {
            (Self::Full(to), _) => Some(json!({"uri": to})),
            // All of the path is the prefix.
            (Self::Prefix(to), PathMatch::Exact(_)) => {
                Some(json!({"uri": if to.is_empty() { "/" } else { to }}))
            }
            (Self::Prefix(to), PathMatch::Prefix(from)) => {
                let whole = if to.is_empty() { "/" } else { to };
                let stem = to.strip_suffix('/').unwrap_or(to);
                if stem == from && (whole == stem || from.is_empty()) {
                    return None;
                }
                // What matches is replaced; the rest of the path stays, whatever it is made of.
                let quoted = quoted(from);
                let mut pairs = vec![format!("^{quoted}/"), format!("{stem}/")];
                if !from.is_empty() {
                    pairs.extend([format!("^{quoted}$"), whole.to_owned()]);
                }
                Some(json!({"regex_uri": pairs}))
            }
        }
    }
}

/// A path in which no `$` could be taken for a variable.
fn escaped(path: &str) -> String {
    path.replace('$', "%24")
}

/// A text as a regular expression that matches it alone.
fn quoted(text: &str) -> String {
    let quote = |c: char| match r"\.+*?()|[]{}^$".contains(c) {
        true => format!("\\{c}"),
        false => c.to_string(),
    };
    text.chars().map(quote).collect()
}

/// The settings of a filter, which stand under a key of their own.
fn modifier<'v, 'a>(
    filter: &'v Value,
    key: &'static str,
    known: &[&str],
    at: &'a At<'a>,
    findings: &mut Findings,
) -> Option<(At<'a>, &'v Map<String, Value>)> {
    let filter = members(filter, &["type", key], *at, findings)?;
    let at_value = at.key(key);
    match filter.get(key) {
        Some(value) => Some((at_value, members(value, known, at_value, findings)?)),
        None => {
            findings.obstacle(*at, format!("`{key}` is missing"));
            None
        }
    }
}
