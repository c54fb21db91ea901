//! Text with variables in it: `$name`, `${name}`, `${name ?? default}`, and with what a pattern has
//! captured, `$1`.
//!
//! The syntax is that of APISIX: a name is letters, digits, `_` and `.`; a `$` behind a `\` or before
//! anything else is a plain character. The default stands for an absent value, not for an empty one.
//! Without a default an absent value is the empty text.
//!
//! An unknown name is never filled in, as in APISIX; here it is warned of. Numbers and truth values
//! are written as in JSON, and so are lists and objects, for which APISIX writes the address of a table.
//! What was filled in is never looked through for variables again; APISIX does so with captures.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::facts::Facts;
use crate::fault::{At, Report};
use crate::variable::{Value, Variable};

/// A checked template.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Template {
    /// No two texts in a row, none of them empty.
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq)]
enum Part {
    Text(Box<str>),
    Variable { variable: Variable, is_written: bool, default: Box<str> },
    Capture { number: usize, default: Box<str> },
}

/// What a `$` before a digit or another sign means in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Nothing: there are no captures.
    Plain,
    /// `$1` is what the first group has captured.
    Captures,
    /// As `Captures`; besides `$$` is a `$`, `$&` is `$0`, and any other sign is a fault.
    Replacement,
}

/// What a pattern has captured, by number. Where no pattern matched, there is nothing in it.
pub(crate) type Captures<'c> = [Option<&'c str>];

/// A piece of a filled template, by where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'p> {
    /// From the document.
    Text(&'p str),
    /// The value of a variable.
    Value(&'p str),
    /// The value of a variable that stands for part of the target as the client has written it.
    Written(&'p str),
    /// What a group of a pattern has captured.
    Capture(&'p str),
}

/// Variables whose values are escaped as the client has escaped them.
const WRITTEN: [&str; 4] = ["args", "query_string", "real_request_uri", "request_uri"];

impl Template {
    /// Checks a template; warns of every name in it that stands for nothing.
    pub(crate) fn compile(text: &str, at: At<'_>, report: &mut Report) -> Self {
        Self::compile_as(Dialect::Plain, text, at, report)
    }

    /// The same, for templates in which `$` may mean more.
    pub(crate) fn compile_as(
        dialect: Dialect,
        text: &str,
        at: At<'_>,
        report: &mut Report,
    ) -> Self {
        let mut template = Self::default();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            template.push_text(before);
            let is_plain = before.ends_with('\\') && dialect != Dialect::Replacement;
            match Reference::read(after, dialect).filter(|_| !is_plain) {
                Some((reference, length)) => {
                    template.push(reference, at, report);
                    rest = after.get(length..).unwrap_or_default();
                }
                None => {
                    if dialect == Dialect::Replacement {
                        report.fault(
                            at,
                            "behind `$` a number or a name is expected; `$$` is one `$`",
                        );
                    }
                    template.push_text("$");
                    rest = after;
                }
            }
        }
        template.push_text(rest);
        template
    }

    fn push_text(&mut self, text: &str) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(last)) => *last = format!("{last}{text}").into(),
            Some(Part::Variable { .. } | Part::Capture { .. }) | None => {
                self.parts.push(Part::Text(text.into()));
            }
        }
    }

    fn push(&mut self, reference: Reference<'_>, at: At<'_>, report: &mut Report) {
        match reference {
            Reference::Dollar => self.push_text("$"),
            Reference::Capture(number, default) => {
                self.parts.push(Part::Capture { number, default: default.into() });
            }
            Reference::Name(name, default) => match Variable::parse(name) {
                Ok(variable) => {
                    let is_written = WRITTEN.contains(&name);
                    let default = default.into();
                    self.parts.push(Part::Variable { variable, is_written, default });
                }
                Err(what) => {
                    report.warn(at, format!("nothing is filled in here: {what}"));
                    self.push_text(default);
                }
            },
        }
    }

    /// Its parts before and behind the first `?` of its text.
    pub(crate) fn split_at_mark(self) -> (Self, Option<Self>) {
        let (mut before, mut behind) = (Self::default(), None::<Self>);
        for part in self.parts {
            match (&mut behind, part) {
                (None, Part::Text(text)) => match text.split_once('?') {
                    Some((path, query)) => {
                        before.push_text(path);
                        behind.insert(Self::default()).push_text(query);
                    }
                    None => before.push_text(&text),
                },
                (None, part) => before.parts.push(part),
                (Some(behind), part) => behind.parts.push(part),
            }
        }
        (before, behind)
    }

    /// The text, if there are no variables in it.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            [_, ..] => None,
        }
    }

    /// The texts in it that come from the document and stand for themselves.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(&**text),
            Part::Variable { .. } | Part::Capture { .. } => None,
        })
    }

    /// Whether a value in it is in the body of the request.
    pub(crate) fn needs_body(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Variable { variable, .. } => variable.needs_body(),
            Part::Text(_) | Part::Capture { .. } => false,
        })
    }

    /// The text for a request.
    pub(crate) fn fill<'t>(&'t self, facts: &Facts<'_>) -> Cow<'t, str> {
        self.fill_with(facts, &[])
    }

    /// The text for a request of which a pattern has captured something.
    pub(crate) fn fill_with<'t>(
        &'t self,
        facts: &Facts<'_>,
        captures: &Captures<'_>,
    ) -> Cow<'t, str> {
        if let Some(text) = self.as_text() {
            return Cow::Borrowed(text);
        }
        let mut filled = String::new();
        self.each_piece(facts, captures, |piece| {
            let (Piece::Text(text)
            | Piece::Value(text)
            | Piece::Written(text)
            | Piece::Capture(text)) = piece;
            filled.push_str(text);
        });
        Cow::Owned(filled)
    }

    /// The pieces of the text for a request, in order.
    pub(crate) fn each_piece(
        &self,
        facts: &Facts<'_>,
        captures: &Captures<'_>,
        mut take: impl FnMut(Piece<'_>),
    ) {
        for part in &self.parts {
            match part {
                Part::Text(text) => take(Piece::Text(text)),
                Part::Variable { variable, is_written, default } => {
                    match variable.value(facts).and_then(text_of) {
                        None => take(Piece::Value(default)),
                        Some(value) if *is_written => take(Piece::Written(&value)),
                        Some(value) => take(Piece::Value(&value)),
                    }
                }
                Part::Capture { number, default } => {
                    match captures.get(*number).copied().flatten() {
                        None => take(Piece::Value(default)),
                        Some(captured) => take(Piece::Capture(captured)),
                    }
                }
            }
        }
    }
}

/// A value as text. Null is no value.
fn text_of(value: Value<'_>) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) => Some(text),
        Value::Json(Json::Null) => None,
        Value::Json(Json::String(text)) => Some(Cow::Owned(text)),
        Value::Json(json) => Some(Cow::Owned(json.to_string())),
    }
}

/// What stands behind a `$`.
enum Reference<'t> {
    /// A name, and the default.
    Name(&'t str, &'t str),
    /// The number of a group, and the default.
    Capture(usize, &'t str),
    /// A second `$`.
    Dollar,
}

impl<'t> Reference<'t> {
    /// Reads what stands at the start of `after`, and how long it is there.
    fn read(after: &'t str, dialect: Dialect) -> Option<(Self, usize)> {
        if let Some(inner) = after.strip_prefix('{') {
            let inner = inner.split_once('}').map(|(inner, _)| inner)?;
            let mut choices = inner.split("??").map(str::trim);
            let name = choices.next().filter(|name| !name.is_empty())?;
            let default = choices.next().unwrap_or_default();
            return Some((Self::named(name, default, dialect), inner.len() + 2));
        }
        if dialect == Dialect::Replacement {
            match after.bytes().next() {
                Some(b'$') => return Some((Self::Dollar, 1)),
                Some(b'&') => return Some((Self::Capture(0, ""), 1)),
                Some(_) | None => {}
            }
        }
        let length = |belongs: fn(char) -> bool| after.find(|c| !belongs(c)).unwrap_or(after.len());
        let digits = length(|c| c.is_ascii_digit());
        let length = match dialect {
            Dialect::Captures | Dialect::Replacement if digits > 0 => digits,
            Dialect::Plain | Dialect::Captures | Dialect::Replacement => {
                length(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
            }
        };
        let name = after.get(..length).filter(|name| !name.is_empty())?;
        Some((Self::named(name, "", dialect), length))
    }

    fn named(name: &'t str, default: &'t str, dialect: Dialect) -> Self {
        let is_number = dialect != Dialect::Plain && name.bytes().all(|b| b.is_ascii_digit());
        match name.parse().ok().filter(|_| is_number) {
            Some(number) => Self::Capture(number, default),
            None => Self::Name(name, default),
        }
    }
}
