//! What is changed in headers.
//!
//! As in APISIX's `proxy-rewrite`, values are added first, then headers are set, then headers are
//! removed. So what is added to a header that is also set is lost, and a header that is also removed is
//! gone. Changes that were made earlier, by a plugin before the branch, are changed like the client's
//! headers.
//!
//! A value that was filled from a request is sent without the characters that cannot be sent: all but
//! visible ASCII, blanks and tabs. The header itself is never left out, which would let the client's
//! through.

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

use crate::facts::Facts;
use crate::fault::{At, Report};
use crate::head::{Edits, Text, is_header_value, sendable, why_fixed};
use crate::telemetry::proof;
use crate::template::{Captures, Dialect, Template};

/// Changes to headers, as a branch and the newer form of APISIX's `proxy-rewrite` write them.
#[derive(Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadersWire {
    set: Option<BTreeMap<String, Values>>,
    add: Option<BTreeMap<String, Values>>,
    remove: Option<Vec<String>>,
}

/// A text or a number, or a list of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Values(Vec<String>);

/// The most bytes of a template that is no path: a value, or a replacement.
const VALUE_MAX: usize = 8192;

/// Reports a template that is too long.
pub(super) fn check_length(text: &str, at: At<'_>, report: &mut Report) {
    if text.len() > VALUE_MAX {
        report.fault(at, format!("expected at most {VALUE_MAX} bytes, found {}", text.len()));
    }
}

impl Values {
    /// Checks the values as templates.
    pub(super) fn compile(
        &self,
        dialect: Dialect,
        at: At<'_>,
        report: &mut Report,
    ) -> Box<[Template]> {
        if self.0.is_empty() {
            report.fault(at, "expected at least one value");
        }
        let texts = self.0.iter().map(|text| {
            check_length(text, at, report);
            Template::compile(dialect, text, at, report)
        });
        texts.collect()
    }

    pub(super) fn texts(&self) -> &[String] {
        &self.0
    }
}

/// Checked changes; all names are lower case.
#[derive(Debug, Default)]
pub(super) struct HeaderRules {
    add: Vec<Rule>,
    set: Vec<Rule>,
    remove: Vec<Text>,
}

#[derive(Debug)]
struct Rule {
    name: Text,
    values: Box<[Template]>,
}

/// The message whose headers are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A request; with patterns, `$1` is what one captures from its path.
    Request { has_patterns: bool },
    /// A response. The path of its request is not matched again: there are no captures.
    Response,
}

impl Message {
    fn dialect(self) -> Dialect {
        match self {
            Self::Request { has_patterns: true } => Dialect::Captures,
            Self::Request { has_patterns: false } | Self::Response => Dialect::Plain,
        }
    }
}

impl HeaderRules {
    /// Checks changes to the headers of a message.
    pub(super) fn compile(
        wire: &HeadersWire,
        message: Message,
        at: At<'_>,
        report: &mut Report,
    ) -> Self {
        let rules = |verb: &str, wire: &Option<BTreeMap<String, Values>>, report: &mut Report| {
            let at = at.key(verb);
            wire.as_ref().map(|wire| compile_rules(wire, message, at, report)).unwrap_or_default()
        };
        let set = rules("set", &wire.set, report);
        let add = rules("add", &wire.add, report);
        let removed = wire.remove.iter().flatten().enumerate().map(|(index, name)| {
            check_name(name, message, at.key("remove").index(index), report);
            name.to_ascii_lowercase().into()
        });
        let remove = removed.collect();
        Self { add, set, remove }
    }

    /// Checks headers that are only set.
    pub(super) fn compile_plain(
        wire: &BTreeMap<String, Values>,
        message: Message,
        at: At<'_>,
        report: &mut Report,
    ) -> Self {
        Self { set: compile_rules(wire, message, at, report), ..Self::default() }
    }

    pub(super) fn needs_body(&self) -> bool {
        let mut values = self.add.iter().chain(&self.set).flat_map(|rule| &rule.values);
        values.any(Template::needs_body)
    }

    /// Adds the changes to those that are to be made already.
    pub(super) fn apply(&self, facts: &Facts<'_>, captures: &Captures<'_>, edits: &mut Edits) {
        let fill = |template: &Template| Text::from(sendable(template.fill_with(facts, captures)));
        for Rule { name, values } in &self.add {
            values.iter().for_each(|value| edits.append(name.clone(), fill(value)));
        }
        for Rule { name, values } in &self.set {
            let mut values = values.iter();
            if let Some(value) = values.next() {
                edits.replace(name.clone(), fill(value));
            }
            values.for_each(|value| edits.append(name.clone(), fill(value)));
        }
        self.remove.iter().for_each(|name| edits.erase(name.clone()));
    }
}

fn compile_rules(
    wire: &BTreeMap<String, Values>,
    message: Message,
    at: At<'_>,
    report: &mut Report,
) -> Vec<Rule> {
    let rules = wire.iter().map(|(name, values)| {
        let at = at.key(name);
        check_name(name, message, at, report);
        if !values.texts().iter().all(|text| is_header_value(text)) {
            report.fault(at, "expected visible ASCII as header value");
        }
        let name = name.to_ascii_lowercase().into();
        Rule { name, values: values.compile(message.dialect(), at, report) }
    });
    rules.collect()
}

fn check_name(name: &str, message: Message, at: At<'_>, report: &mut Report) {
    let lower = name.to_ascii_lowercase();
    if let Some(why) = why_fixed(&lower) {
        report.fault(at, why);
    } else if message == Message::Response && proof::ALL.contains(&lower.as_str()) {
        // What proves who served is not for those to say who serve.
        report.fault(at, "this header proves who served and cannot be edited");
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValuesVisitor { may_be_list: true })
    }
}

struct ValuesVisitor {
    may_be_list: bool,
}

impl<'de> Visitor<'de> for ValuesVisitor {
    type Value = Values;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.may_be_list {
            "a text, a number or a list"
        } else {
            "a text or a number"
        })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Values, E> {
        Ok(Values(vec![text.to_owned()]))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Values, E> {
        Ok(Values(vec![number.to_string()]))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Values, E> {
        Ok(Values(vec![number.to_string()]))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Values, E> {
        Ok(Values(vec![number.to_string()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Values, A::Error> {
        struct One(Values);
        impl<'de> Deserialize<'de> for One {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(ValuesVisitor { may_be_list: false }).map(Self)
            }
        }
        if !self.may_be_list {
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        }
        let mut values = Vec::new();
        while let Some(One(Values(value))) = list.next_element()? {
            values.extend(value);
        }
        Ok(Values(values))
    }
}
