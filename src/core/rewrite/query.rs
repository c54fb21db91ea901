//! What is changed in the arguments of a query: some are removed by their names, then others are set,
//! which stand last. Those that are not named stay as they are written.

use percent_encoding::{percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Values;
use super::escape::QUERY;
use crate::facts::Facts;
use crate::fault::{At, Report};
use crate::template::{Captures, Dialect, Template};

/// The member `query` of `rewrite`.
#[derive(Debug, Deserialize, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct QueryWire {
    set: Option<BTreeMap<String, Values>>,
    remove: Option<Vec<String>>,
}

/// Changes to the arguments of a query.
#[derive(Debug)]
pub(super) struct Query {
    /// Names as arguments have them when they are decoded.
    removed: Box<[Box<str>]>,
    set: Box<[Argument]>,
}

/// An argument that is set, once for each of its values.
#[derive(Debug)]
struct Argument {
    /// Escaped.
    name: Box<str>,
    values: Box<[Template]>,
}

impl Query {
    /// Checks the changes.
    pub(super) fn compile(
        wire: &QueryWire,
        dialect: Dialect,
        at: At<'_>,
        report: &mut Report,
    ) -> Self {
        let mut removed: Vec<Box<str>> = Vec::new();
        for (index, name) in wire.remove.iter().flatten().enumerate() {
            if wire.set.as_ref().is_some_and(|set| set.contains_key(name)) {
                report.fault(at.key("remove").index(index), "this argument is also set");
            }
            removed.push(name.as_str().into());
        }
        let set = wire.set.iter().flatten().map(|(name, values)| {
            removed.push(name.as_str().into());
            let values = values.compile(dialect, at.key("set").key(name), report);
            Argument { name: utf8_percent_encode(name, QUERY.value).to_string().into(), values }
        });
        let set = set.collect();
        Self { removed: removed.into(), set }
    }

    pub(super) fn needs_body(&self) -> bool {
        self.set.iter().flat_map(|argument| &argument.values).any(Template::needs_body)
    }

    /// The query with these changes, if anything is left of it.
    pub(super) fn apply(
        &self,
        facts: &Facts<'_>,
        captures: &Captures<'_>,
        query: Option<&str>,
    ) -> Option<String> {
        let client = query.into_iter().flat_map(|query| query.split('&'));
        let kept = client.filter(|argument| !self.removes(argument)).map(Cow::Borrowed);
        let set = self.set.iter().flat_map(|Argument { name, values }| {
            values.iter().map(move |value| {
                let value = value.fill_with(facts, captures);
                Cow::Owned(format!("{name}={}", utf8_percent_encode(&value, QUERY.value)))
            })
        });
        let arguments: Vec<Cow<'_, str>> = kept.chain(set).collect();
        (!arguments.is_empty()).then(|| arguments.join("&"))
    }

    fn removes(&self, argument: &str) -> bool {
        let name = argument.split('=').next().unwrap_or_default().replace('+', " ");
        let name: Cow<'_, [u8]> = percent_decode_str(&name).into();
        self.removed.iter().any(|removed| removed.as_bytes() == &*name)
    }
}
