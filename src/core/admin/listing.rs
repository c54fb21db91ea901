//! Which resources of a list are wanted: filters and pages.

use regex_lite::{Regex, RegexBuilder};
use serde_json::Value;

use crate::problem::Answer;

use super::query::Query;
use super::say::{error, text};

/// What a compiled pattern may take, in bytes: patterns come from the network.
const PATTERN_MAX: usize = 64 * 1024;

/// Filters, and the page that is shown of what passes them.
#[derive(Debug)]
pub(super) struct Listing {
    name: Option<Regex>,
    uri: Option<Regex>,
    label: Option<String>,
    members: Vec<(String, String)>,
    page: Option<(usize, usize)>,
}

impl Listing {
    pub(super) fn parse(query: &Query) -> Result<Self, Answer> {
        let members = Query::parse(query.get("filter"));
        let member = |key: &str| Some((key.to_owned(), members.get(key)?.to_owned()));
        Ok(Self {
            name: pattern(query, "name")?,
            uri: pattern(query, "uri")?,
            label: query.get("label").map(str::to_owned),
            members: ["service_id", "upstream_id"].into_iter().filter_map(member).collect(),
            page: page(query)?,
        })
    }

    /// Whether a resource passes the filters.
    pub(super) fn wants(&self, value: &Value) -> bool {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let fits = |pattern: &Option<Regex>, text: Option<&str>| {
            pattern.as_ref().is_none_or(|it| text.is_some_and(|text| it.is_match(text)))
        };
        let uris = value.get("uris").and_then(Value::as_array).into_iter().flatten();
        let mut uris = uris.filter_map(Value::as_str).chain(text("uri"));
        let has_label =
            |label: &String| value.pointer("/labels").is_some_and(|it| it.get(label).is_some());
        fits(&self.name, text("name"))
            && (self.uri.is_none() || uris.any(|uri| fits(&self.uri, Some(uri))))
            && self.label.as_ref().is_none_or(has_label)
            && self.members.iter().all(|(key, wanted)| is(value.get(key), wanted))
    }

    /// How many to skip, and how many to show.
    pub(super) fn page(&self) -> (usize, usize) {
        self.page.unwrap_or((0, usize::MAX))
    }
}

fn is(value: Option<&Value>, wanted: &str) -> bool {
    value.is_some_and(|value| match value.as_str() {
        Some(text) => text == wanted,
        None => value.to_string().as_str() == wanted,
    })
}

fn pattern(query: &Query, name: &str) -> Result<Option<Regex>, Answer> {
    let Some(pattern) = query.get(name) else { return Ok(None) };
    let regex = RegexBuilder::new(pattern).size_limit(PATTERN_MAX).build();
    let regex = regex.map_err(|why| error(400, &format!("invalid argument {name}: {why}")))?;
    Ok(Some(regex))
}

/// As in APISIX: both arguments are needed, and what is no number counts as not there.
fn page(query: &Query) -> Result<Option<(usize, usize)>, Answer> {
    // A number is one whatever the machine: in a Worker, `usize` has 32 bits.
    let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let number = |name| query.get(name).and_then(|text| text.parse().ok()).map(whole);
    let (Some(page), Some(size)) = (number("page"), number("page_size")) else { return Ok(None) };
    if !(10..=500).contains(&size) {
        let why = "page_size must be between 10 and 500".to_owned();
        return Err(text(400, "text/plain", why));
    }
    Ok(Some((page.saturating_sub(1).saturating_mul(size), size)))
}
