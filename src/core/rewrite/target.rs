//! What is changed in the target of a request: its path and its query.
//!
//! - `uri` is a template for the path, with a query of its own behind the first `?` that is written in
//!   it. What is written goes as it is written; APISIX would escape the `%` of an escape again.
//! - `regex_uri` are pairs of a pattern and a replacement. The first pattern that matches the path, as
//!   routes see it (decoded, folded, merged), has its match replaced, once; the whole is escaped
//!   again. Where none matches, the path goes as the client has written it, which APISIX would
//!   escape anew. Patterns are those of `pattern`: without look-around and back references.
//! - The client's query stands behind the query of `uri` or of the replacement.
//! - The arguments that it then has are changed as `query` says (`query`).
//!
//! A value that was filled from a request stays a piece of the path, or of the query, that it was put
//! in: what would end it there is escaped. The variables that stand for parts of the target as written
//! (`args`, `real_request_uri`) keep their escapes, and in a query their `&` and `=`. Segments `.` and `..` of
//! a filled path are left out, so that it stays below what is written before them; written ones are faults.

use std::borrow::Cow;
use std::ops::Range;

use super::RewriteWire;
use super::escape::{PATH, QUERY, escape, fill};
use super::headers::check_length;
use super::query::Query;
use crate::facts::{Draft, Facts};
use crate::fault::{At, Report};
use crate::head::{dots, match_path, without_dot_segments};
use crate::pattern::Pattern;
use crate::template::{Captures, Dialect, Template};

/// The most characters of a path, as in APISIX.
pub(crate) const URI_MAX: usize = 4096;

/// Checked changes to a target.
#[derive(Debug, Default)]
pub(super) struct Target {
    path: Path,
    query: Option<Box<Query>>,
}

#[derive(Debug, Default)]
enum Path {
    #[default]
    Kept,
    Uri(Uri),
    Patterns(Box<[(Pattern, Uri)]>),
}

/// A path and its own query.
#[derive(Debug)]
struct Uri {
    path: Template,
    query: Option<Template>,
}

/// A path as patterns see it.
#[derive(Debug)]
pub(super) struct MatchText<'p> {
    text: Cow<'p, str>,
    /// Whether each character stands for the byte of its number: the path is not UTF-8.
    is_bytes: bool,
}

/// Where a pattern has matched a path, and what it has captured.
#[derive(Debug)]
pub(super) struct Matched<'m> {
    path: &'m MatchText<'m>,
    uri: &'m Uri,
    range: Range<usize>,
    captures: Vec<Option<&'m str>>,
}

/// A path as patterns see it: decoded, folded, merged.
pub(super) fn match_text(path: &str) -> MatchText<'_> {
    let decoded = match match_path(path) {
        Cow::Borrowed(_) => return MatchText { text: Cow::Borrowed(path), is_bytes: false },
        Cow::Owned(decoded) => String::from_utf8(decoded),
    };
    let (text, is_bytes) = match decoded {
        Ok(text) => (text, false),
        Err(error) => (error.as_bytes().iter().copied().map(char::from).collect(), true),
    };
    MatchText { text: Cow::Owned(text), is_bytes }
}

impl Target {
    /// Checks `uri`, `regex_uri` and `query`.
    pub(super) fn compile(wire: &RewriteWire, at: At<'_>, report: &mut Report) -> Self {
        let patterns = wire.regex_uri.as_ref();
        let patterns = patterns.map(|list| compile_patterns(list, at.key("regex_uri"), report));
        let uri = wire.uri.as_ref().map(|uri| Uri::compile(uri, at.key("uri"), report));
        let path = match (uri, patterns) {
            (Some(uri), patterns) => {
                if patterns.is_some() {
                    report.warn(at.key("regex_uri"), "never asked: `uri` is there and wins");
                }
                Path::Uri(uri)
            }
            (None, Some(patterns)) => Path::Patterns(patterns),
            (None, None) => Path::Kept,
        };
        let dialect = match &path {
            Path::Patterns(_) => Dialect::Captures,
            Path::Kept | Path::Uri(_) => Dialect::Plain,
        };
        let query = wire.query.as_ref();
        let query =
            query.map(|wire| Query::compile(wire, dialect, at.key("query"), report)).map(Box::new);
        Self { path, query }
    }

    pub(super) fn has_patterns(&self) -> bool {
        matches!(self.path, Path::Patterns(_))
    }

    pub(super) fn needs_body(&self) -> bool {
        let in_path = match &self.path {
            Path::Kept => false,
            Path::Uri(uri) => uri.needs_body(),
            Path::Patterns(patterns) => patterns.iter().any(|(_, uri)| uri.needs_body()),
        };
        in_path || self.query.as_deref().is_some_and(Query::needs_body)
    }

    /// The first pattern that matches a path.
    pub(super) fn find<'m>(&'m self, path: &'m MatchText<'m>) -> Option<Matched<'m>> {
        let Path::Patterns(patterns) = &self.path else { return None };
        patterns.iter().find_map(|(pattern, uri)| {
            let (range, captures) = captures(pattern, &path.text)?;
            Some(Matched { path, uri, range, captures })
        })
    }

    /// Changes path and query of a draft.
    pub(super) fn apply<'a>(
        &'a self,
        facts: &Facts<'_>,
        matched: Option<&Matched<'_>>,
        draft: &mut Draft<'a>,
    ) {
        match (&self.path, matched) {
            (Path::Uri(uri), _) => uri.apply(facts, draft),
            (Path::Patterns(_), Some(matched)) => matched.apply(facts, draft),
            (Path::Kept, _) | (Path::Patterns(_), None) => {}
        }
        if let Some(query) = &self.query {
            let captures = matched.map_or(&[][..], Matched::captures);
            draft.query = query.apply(facts, captures, draft.query.as_deref()).map(Cow::Owned);
        }
    }
}

/// Where a pattern matches a text first, and what its groups capture.
fn captures<'h>(pattern: &Pattern, text: &'h str) -> Option<(Range<usize>, Vec<Option<&'h str>>)> {
    let captures = pattern.captures(text)?;
    let groups = (0..pattern.captures_count()).map(|number| captures.get(number));
    Some((captures.range(), groups.collect()))
}

fn compile_patterns(list: &[String], at: At<'_>, report: &mut Report) -> Box<[(Pattern, Uri)]> {
    if list.is_empty() || !list.len().is_multiple_of(2) {
        report.fault(at, "expected pairs of a pattern and a replacement");
    }
    let pairs = list.chunks_exact(2).enumerate().filter_map(|(index, pair)| {
        let [pattern, replacement] = pair else { return None };
        check_length(replacement, at.index(2 * index + 1), report);
        let uri =
            Uri::compile_in(Dialect::Replacement, replacement, at.index(2 * index + 1), report);
        match Pattern::compile(pattern, false) {
            Ok(pattern) => {
                uri.check_captures(pattern.captures_count(), at.index(2 * index + 1), report);
                Some((pattern, uri))
            }
            Err(what) => {
                let what = format!("cannot be used as a regular expression: {what}");
                report.fault(at.index(2 * index), what);
                None
            }
        }
    });
    pairs.collect()
}

impl Uri {
    fn compile(uri: &str, at: At<'_>, report: &mut Report) -> Self {
        if !uri.starts_with('/') {
            report.fault(at, "expected a path that starts with `/`");
        } else if uri.chars().count() > URI_MAX {
            let count = uri.chars().count();
            report.fault(at, format!("expected at most {URI_MAX} characters, found {count}"));
        }
        Self::compile_in(Dialect::Plain, uri, at, report)
    }

    fn compile_in(dialect: Dialect, uri: &str, at: At<'_>, report: &mut Report) -> Self {
        let template = Template::compile(dialect, uri, at, report);
        if !template.texts().all(|text| text.bytes().all(is_in_uri)) {
            report.fault(at, "a character cannot stand in a URI (RFC 3986); escape it as %XX");
        }
        let (path, query) = template.split_at_mark();
        // What is replaced may be part of a segment, of which the replacement begins or ends with the rest.
        let ends = usize::from(dialect == Dialect::Replacement);
        let may_have_dots = path.texts().any(|text| text.contains(['.', '%']));
        let segments = if may_have_dots { path.fixed_segments() } else { Vec::new() };
        let count = segments.len().saturating_sub(2 * ends);
        let mut whole = segments.iter().skip(ends).take(count).flatten();
        if whole.any(|segment| is_dots(segment)) {
            let what = "the segments `.` and `..`, also escaped, cannot be sent everywhere: at the edge they \
                        are folded; write the path that is meant";
            report.fault(at, what);
        }
        Self { path, query }
    }

    /// Warns of numbers that no group of a pattern with `count` groups has.
    fn check_captures(&self, count: usize, at: At<'_>, report: &mut Report) {
        let templates = [Some(&self.path), self.query.as_ref()];
        let numbers = templates.into_iter().flatten().flat_map(Template::captures);
        for number in numbers.filter(|number| *number >= count) {
            let what = format!("nothing is filled in here: the pattern has no group {number}");
            report.warn(at, what);
        }
    }

    fn needs_body(&self) -> bool {
        self.path.needs_body() || self.query.as_ref().is_some_and(Template::needs_body)
    }

    fn apply<'a>(&'a self, facts: &Facts<'_>, draft: &mut Draft<'a>) {
        draft.path = match self.path.as_text() {
            Some(path) => Cow::Borrowed(path),
            None => {
                let mut path = String::new();
                fill(&self.path, PATH, facts, &[], false, &mut path);
                Cow::Owned(one_path(path))
            }
        };
        let Some(query) = &self.query else { return };
        let own = match query.as_text() {
            Some(query) => Cow::Borrowed(query),
            None => {
                let mut filled = String::new();
                fill(query, QUERY, facts, &[], false, &mut filled);
                Cow::Owned(filled)
            }
        };
        draft.query = Some(joined(own, draft.query.take()));
    }
}

impl Matched<'_> {
    /// What the groups of the pattern have captured.
    pub(super) fn captures(&self) -> &Captures<'_> {
        &self.captures
    }

    fn apply(&self, facts: &Facts<'_>, draft: &mut Draft<'_>) {
        let MatchText { text, is_bytes } = self.path;
        let (before, behind) = (text.get(..self.range.start), text.get(self.range.end..));
        let (before, behind) = (before.unwrap_or_default(), behind.unwrap_or_default());
        let mut path = String::new();
        escape(before, PATH.value, *is_bytes, &mut path);
        fill(&self.uri.path, PATH, facts, &self.captures, *is_bytes, &mut path);
        match &self.uri.query {
            None => escape(behind, PATH.value, *is_bytes, &mut path),
            Some(query) => {
                let mut own = String::new();
                fill(query, QUERY, facts, &self.captures, *is_bytes, &mut own);
                escape(behind, QUERY.value, *is_bytes, &mut own);
                draft.query = Some(joined(Cow::Owned(own), draft.query.take()));
            }
        }
        draft.path = Cow::Owned(one_path(path));
    }
}

/// Whether a byte may stand in path and query: visible ASCII but for what RFC 3986 does not allow there. Some
/// runtimes would send that, others escape it.
fn is_in_uri(byte: u8) -> bool {
    let is_refused =
        matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}');
    byte.is_ascii_graphic() && !is_refused
}

/// Whether a segment of a path is `.` or `..`, also where its dots are escaped.
fn is_dots(segment: &str) -> bool {
    dots(segment) > 0
}

/// The client's query behind a rewrite's own.
fn joined<'a>(own: Cow<'a, str>, client: Option<Cow<'a, str>>) -> Cow<'a, str> {
    match client {
        Some(client) if own.is_empty() => client,
        Some(client) if !client.is_empty() => Cow::Owned(format!("{own}&{client}")),
        Some(_) | None => own,
    }
}

/// A filled path, as one that starts with `/` and leads nowhere else.
fn one_path(path: String) -> String {
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    without_dot_segments(path)
}
