//! Filters of rules and backends: what they change in a request.

use serde_json::{Map, Value, json};
use splitway_core::fault::At;

use super::matching::PathMatch;
use super::read::{Findings, list, member, members, required, text};

/// What filters change in a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits {
    set: Vec<(String, String)>,
    add: Vec<(String, String)>,
    remove: Vec<String>,
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
    for (index, filter) in filters.iter().enumerate() {
        edits.read(filter, at.index(index), findings);
    }
    edits
}

impl Edits {
    fn read(&mut self, filter: &Value, at: At<'_>, findings: &mut Findings) {
        let kind = filter.get("type").and_then(Value::as_str).unwrap_or_default();
        let obstacle = match kind {
            "RequestHeaderModifier" => return self.read_headers(filter, at, findings),
            "URLRewrite" => return self.read_rewrite(filter, at, findings),
            "ResponseHeaderModifier" => {
                return findings.lose(at, "left out: Splitway does not edit responses");
            }
            "RequestMirror" => {
                return findings.lose(at, "left out: Splitway does not mirror requests");
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

    fn read_headers(&mut self, filter: &Value, at: At<'_>, findings: &mut Findings) {
        let Some((at_value, map)) =
            modifier(filter, "requestHeaderModifier", &["set", "add", "remove"], &at, findings)
        else {
            return;
        };
        let mut named = Vec::new();
        self.set = pairs(map, "set", at_value, &mut named, findings);
        self.add = pairs(map, "add", at_value, &mut named, findings);
        let removed = list(map, "remove", at_value, findings);
        for (index, name) in removed.iter().enumerate() {
            let at = at_value.key("remove");
            let at = at.index(index);
            let name = text(name, at, findings).unwrap_or_default();
            if is_first(name, "remove", &mut named, at, findings) {
                self.remove.push(name.to_owned());
            }
        }
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
        let mut edits = rule.clone();
        for (name, value) in self.set {
            edits.forget(&name);
            edits.set.push((name, value));
        }
        for name in self.remove {
            edits.forget(&name);
            edits.remove.push(name);
        }
        for (name, value) in self.add {
            match edits.add.iter_mut().find(|(own, _)| own.eq_ignore_ascii_case(&name)) {
                Some((_, own)) => *own = format!("{own},{value}"),
                None => edits.add.push((name, value)),
            }
        }
        Self { path: self.path.or(edits.path), hostname: self.hostname.or(edits.hostname), ..edits }
    }

    fn forget(&mut self, name: &str) {
        self.set.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self.add.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self.remove.retain(|own| !own.eq_ignore_ascii_case(name));
    }

    /// The members `rewrite` and `headers` of a branch that takes what `path` takes.
    pub(super) fn members(&self, path: &PathMatch) -> Map<String, Value> {
        let mut branch = Map::new();
        if let Some(rewrite) = self.path.as_ref().and_then(|edit| edit.rewrite(path)) {
            branch.insert("rewrite".to_owned(), rewrite);
        }
        let mut headers = Map::new();
        for (verb, pairs) in [("set", &self.set), ("add", &self.add)] {
            if !pairs.is_empty() {
                let pairs = pairs.iter().map(|(name, value)| (name.clone(), value.clone().into()));
                headers.insert(verb.to_owned(), Value::Object(pairs.collect()));
            }
        }
        if !self.remove.is_empty() {
            headers.insert("remove".to_owned(), self.remove.clone().into());
        }
        if !headers.is_empty() {
            branch.insert("headers".to_owned(), headers.into());
        }
        branch
    }
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
                let from = quoted(from);
                let below = [format!("^{from}/(.*)$"), format!("{stem}/$1")];
                let alone = [format!("^{from}$"), whole.to_owned()];
                let pairs = [below, alone].concat();
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

/// The headers of `set` or `add`.
fn pairs(
    map: &Map<String, Value>,
    verb: &'static str,
    at: At<'_>,
    named: &mut Vec<(String, &'static str)>,
    findings: &mut Findings,
) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let list_at = at.key(verb);
    for (index, header) in list(map, verb, at, findings).iter().enumerate() {
        let at = list_at.index(index);
        let Some(header) = members(header, &["name", "value"], at, findings) else { continue };
        let name = required(header, "name", at, findings);
        let Some((name, value)) = name.zip(required(header, "value", at, findings)) else {
            continue;
        };
        if value.contains('$') {
            findings.obstacle(at.key("value"), "a `$` would begin a variable");
        }
        if is_first(name, verb, named, at, findings) {
            pairs.push((name.to_owned(), value.to_owned()));
        }
    }
    pairs
}

/// Whether a header is named for the first time. In one list the first counts, in two none.
fn is_first(
    name: &str,
    verb: &'static str,
    named: &mut Vec<(String, &'static str)>,
    at: At<'_>,
    findings: &mut Findings,
) -> bool {
    let name = name.to_ascii_lowercase();
    match named.iter().find(|(own, _)| *own == name) {
        None => {
            named.push((name, verb));
            return true;
        }
        Some((_, own)) if *own == verb => {
            findings.note(at, "left out: of several with this name the first counts");
        }
        Some(_) => findings.obstacle(at, "another action has this header too"),
    }
    false
}
