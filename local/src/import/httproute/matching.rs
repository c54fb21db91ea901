//! The matches of a rule: which requests it takes.

use serde_json::{Value, json};
use splitway_core::fault::At;

use super::read::{Findings, list, member, members, required};

/// Some gateways match a part and some the whole, and each has a language of its own.
const NO_PATTERNS: &str =
    "regular expressions differ from gateway to gateway; `vars` can say them, with `~~`";

/// The path of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PathMatch {
    /// This path alone.
    Exact(String),
    /// This path and those below it, by elements; without the `/` at its end, so `/` is empty.
    Prefix(String),
}

impl PathMatch {
    /// The paths of a route that takes the same. A prefix `/a` does not take `/ab`, so it is two.
    pub(super) fn uris(&self) -> Vec<String> {
        match self {
            Self::Exact(path) => vec![path.clone()],
            Self::Prefix(path) if path.is_empty() => vec!["/*".to_owned()],
            Self::Prefix(path) => vec![path.clone(), format!("{path}/*")],
        }
    }
}

/// What a request must be like.
#[derive(Debug)]
pub(super) struct Match<'v> {
    pub(super) path: PathMatch,
    pub(super) method: Option<&'v str>,
    /// The expressions of APISIX for the headers and the query parameters.
    pub(super) vars: Vec<Value>,
    pub(super) headers_count: usize,
    pub(super) queries_count: usize,
}

impl Match<'_> {
    /// The match of a rule that has none: everything.
    pub(super) fn everything() -> Self {
        let path = PathMatch::Prefix(String::new());
        Match { path, method: None, vars: Vec::new(), headers_count: 0, queries_count: 0 }
    }
}

/// Reads a match.
pub(super) fn read<'v>(value: &'v Value, at: At<'_>, findings: &mut Findings) -> Option<Match<'v>> {
    let known = ["path", "headers", "queryParams", "method"];
    let map = members(value, &known, at, findings)?;
    let path = match map.get("path").filter(|path| !path.is_null()) {
        Some(path) => path_match(path, at.key("path"), findings)?,
        None => PathMatch::Prefix(String::new()),
    };
    let mut vars = Vec::new();
    let mut conditions = |key: &str, kind: &str, findings: &mut Findings| {
        let before = vars.len();
        let list_at = at.key(key);
        for (index, condition) in list(map, key, at, findings).iter().enumerate() {
            let at = list_at.index(index);
            let Some(expression) = expression(condition, kind, at, findings) else { continue };
            let is_it = |own: &Value| own.get(0) == expression.get(0);
            match vars.iter().skip(before).any(is_it) {
                true => findings.note(at, super::FIRST_COUNTS),
                false => vars.push(expression),
            }
        }
        vars.len() - before
    };
    let headers_count = conditions("headers", "http", findings);
    let queries_count = conditions("queryParams", "arg", findings);
    let method = member(map, "method", at, findings);
    Some(Match { path, method, vars, headers_count, queries_count })
}

fn path_match(value: &Value, at: At<'_>, findings: &mut Findings) -> Option<PathMatch> {
    let map = members(value, &["type", "value"], at, findings)?;
    let path = member(map, "value", at, findings).unwrap_or("/");
    let kind = member(map, "type", at, findings).unwrap_or("PathPrefix");
    let is_exact = match kind {
        "Exact" => true,
        "PathPrefix" => false,
        "RegularExpression" => {
            findings.obstacle(at, NO_PATTERNS);
            return None;
        }
        _ => {
            findings.obstacle(at.key("type"), "expected Exact, PathPrefix or RegularExpression");
            return None;
        }
    };
    // The specification ignores the `/` at the end of a prefix.
    let stem = if is_exact { path } else { path.strip_suffix('/').unwrap_or(path) };
    if let Some(what) = flaw(path, stem) {
        findings.obstacle(at.key("value"), what);
        return None;
    }
    Some(match is_exact {
        true => PathMatch::Exact(stem.to_owned()),
        false => PathMatch::Prefix(stem.to_owned()),
    })
}

/// Why a path cannot be matched; `stem` is what of it is compared.
fn flaw(path: &str, stem: &str) -> Option<&'static str> {
    if !path.starts_with('/') || path.contains("//") || path.contains('#') {
        Some("expected a path that starts with `/`, without `//` and `#`")
    } else if path.split('/').any(|element| element == "." || element == "..") {
        Some("dot segments are folded before paths are matched")
    } else if path.contains('%') {
        Some("escaped characters are decoded before paths are matched")
    } else if stem.ends_with('*') {
        Some("a `*` at the end would make a prefix of it")
    } else {
        None
    }
}

/// The expression for a header or a query parameter.
fn expression(value: &Value, kind: &str, at: At<'_>, findings: &mut Findings) -> Option<Value> {
    let map = members(value, &["type", "name", "value"], at, findings)?;
    let name = required(map, "name", at, findings)?;
    let wanted = required(map, "value", at, findings)?;
    if member(map, "type", at, findings).is_some_and(|kind| kind != "Exact") {
        findings.obstacle(at.key("type"), NO_PATTERNS);
        return None;
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
        findings.obstacle(at.key("name"), "expected letters, digits, `-` and `_`");
        return None;
    }
    let name = match kind {
        "http" => name.to_ascii_lowercase().replace('-', "_"),
        _ => name.to_owned(),
    };
    Some(json!([format!("{kind}_{name}"), "==", wanted]))
}
