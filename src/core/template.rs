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

/// Variables whose values are escaped as the client has escaped them. Of `request_uri` the path is not.
const WRITTEN: [&str; 3] = ["args", "query_string", "real_request_uri"];

impl Template {
    /// Checks a template; warns of every name in it that stands for nothing.
    pub(crate) fn compile(dialect: Dialect, text: &str, at: At<'_>, report: &mut Report) -> Self {
        // The text since the last variable, so that none of it is copied for each plain `$` in it.
        let (mut template, mut plain) = (Self::default(), String::new());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            plain.push_str(before);
            let is_plain = before.ends_with('\\') && dialect != Dialect::Replacement;
            match Reference::read(after, dialect).filter(|_| !is_plain) {
                Some((reference, length)) => {
                    if let Some(part) = reference.part(&mut plain, at, report) {
                        template.push_text(&std::mem::take(&mut plain));
                        template.parts.push(part);
                    }
                    rest = after.get(length..).unwrap_or_default();
                }
                None => {
                    if dialect == Dialect::Replacement {
                        report.fault(
                            at,
                            "behind `$` a number or a name is expected; `$$` is one `$`",
                        );
                    }
                    plain.push('$');
                    rest = after;
                }
            }
        }
        match plain.is_empty() {
            true => template.push_text(rest),
            false => template.push_text(&(plain + rest)),
        }
        template.parts.shrink_to_fit();
        template
    }

    fn push_text(&mut self, text: &str) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(last)) => *last = format!("{last}{text}").into(),
            Some(Part::Variable { .. } | Part::Capture { .. }) => {
                self.parts.push(Part::Text(text.into()));
            }
            None => {
                // Most have nothing else.
                self.parts.reserve_exact(1);
                self.parts.push(Part::Text(text.into()));
            }
        }
    }

    /// Its parts before and behind the first `?` of its text.
    pub(crate) fn split_at_mark(self) -> (Self, Option<Self>) {
        if !self.texts().any(|text| text.contains('?')) {
            return (self, None);
        }
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
        before.parts.shrink_to_fit();
        behind.iter_mut().for_each(|behind| behind.parts.shrink_to_fit());
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

    /// What stands between its slashes, nothing where something is filled in.
    pub(crate) fn fixed_segments(&self) -> Vec<Option<String>> {
        let mut segments = vec![Some(String::new())];
        for part in &self.parts {
            let Part::Text(text) = part else {
                segments.pop();
                segments.push(None);
                continue;
            };
            for (number, piece) in text.split('/').enumerate() {
                match segments.last_mut() {
                    Some(Some(last)) if number == 0 => last.push_str(piece),
                    Some(None) if number == 0 => {}
                    Some(_) | None => segments.push(Some(piece.to_owned())),
                }
            }
        }
        segments
    }

    /// The numbers of the captures in it.
    pub(crate) fn captures(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().filter_map(|part| match part {
            Part::Capture { number, .. } => Some(*number),
            Part::Text(_) | Part::Variable { .. } => None,
        })
    }

    /// Whether a value in it is in the body of the request.
    pub(crate) fn needs_body(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Variable { variable, .. } => variable.needs_body(),
            Part::Text(_) | Part::Capture { .. } => false,
        })
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

    /// The text for a request, unless none of its variables has a value there.
    pub(crate) fn fill_if_any(&self, facts: &Facts<'_>) -> Option<String> {
        let (mut filled, mut has_any) = (String::new(), false);
        for part in &self.parts {
            match part {
                Part::Text(text) | Part::Capture { default: text, .. } => filled.push_str(text),
                Part::Variable { variable, default, .. } => {
                    let value = variable.value(facts).and_then(text_of);
                    has_any |= value.is_some();
                    filled.push_str(value.as_deref().unwrap_or(default));
                }
            }
        }
        has_any.then_some(filled)
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
pub(crate) fn text_of(value: Value<'_>) -> Option<Cow<'_, str>> {
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

    /// What is filled in; what stands for plain text goes behind `plain`.
    fn part(self, plain: &mut String, at: At<'_>, report: &mut Report) -> Option<Part> {
        match self {
            Self::Dollar => {
                plain.push('$');
                None
            }
            Self::Capture(number, default) => {
                Some(Part::Capture { number, default: default.into() })
            }
            Self::Name(name, default) => match Variable::parse(name) {
                Ok(variable) => {
                    let is_written = WRITTEN.contains(&name);
                    Some(Part::Variable { variable, is_written, default: default.into() })
                }
                Err(what) => {
                    report.warn(at, format!("nothing is filled in here: {what}"));
                    plain.push_str(default);
                    None
                }
            },
        }
    }

    fn named(name: &'t str, default: &'t str, dialect: Dialect) -> Self {
        let is_number = dialect != Dialect::Plain && name.bytes().all(|b| b.is_ascii_digit());
        match name.parse().ok().filter(|_| is_number) {
            Some(number) => Self::Capture(number, default),
            None => Self::Name(name, default),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Body, Draft};
    use crate::fault::Report;
    use crate::head::Head;
    use std::net::IpAddr;

    struct Request;

    impl Head for Request {
        fn method(&self) -> &str {
            "GET"
        }

        fn path(&self) -> &str {
            "/"
        }

        fn query(&self) -> Option<&str> {
            Some("a=1&b.c=2&empty=&d=%24arg_a")
        }

        fn host(&self) -> &str {
            "a.example"
        }

        fn header(&self, _: &str) -> Option<Cow<'_, str>> {
            None
        }

        fn client(&self) -> Option<IpAddr> {
            None
        }

        fn scheme(&self) -> &str {
            "http"
        }

        fn port(&self) -> u16 {
            80
        }

        fn is_fronted(&self) -> bool {
            false
        }
    }

    fn filled(dialect: Dialect, text: &str) -> (String, Report) {
        let mut report = Report::default();
        let template = Template::compile(dialect, text, At::Root, &mut report);
        let draft = Draft::of(&Request);
        let facts = Facts::new(&Request, &draft, Body::Whole(b""));
        (template.fill_with(&facts, &[Some("all"), Some("one"), None]).into_owned(), report)
    }

    #[test]
    fn variables_are_filled_in_and_other_dollars_are_plain() {
        for (text, expected) in [
            ("", ""),
            ("$arg_a", "1"),
            ("<$arg_a-${arg_a}x${ arg_a }>", "<1-1x1>"),
            ("$arg_b.c", "2"),
            ("${arg_b.c}.c", "2.c"),
            ("${arg_x ?? y}${arg_x??y z}${arg_a ?? y}", "yy z1"),
            ("[$arg_x${arg_empty ?? y}]", "[]"),
            ("$arg_d", "$arg_a"),
            ("\\$arg_a $ $- ${} ${arg_a", "\\$arg_a $ $- ${} ${arg_a"),
        ] {
            let (filled, report) = filled(Dialect::Plain, text);
            assert_eq!((filled.as_str(), report), (expected, Report::default()), "{text}");
        }
    }

    #[test]
    fn captures_are_filled_in_by_their_numbers() {
        for (text, expected) in
            [("$1$0", "oneall"), ("[$2$7${2 ?? none}]", "[none]"), ("$1x${1}2$arg_a", "onexone21")]
        {
            for dialect in [Dialect::Captures, Dialect::Replacement] {
                let (filled, report) = filled(dialect, text);
                assert_eq!((filled.as_str(), report), (expected, Report::default()), "{text}");
            }
        }
        assert_eq!(filled(Dialect::Replacement, "$$1$&").0, "$1all");
        assert_eq!(filled(Dialect::Captures, "$-$&").0, "$-$&");
        assert_eq!(filled(Dialect::Replacement, "/$`1").1.faults.len(), 1);
    }

    #[test]
    fn an_unknown_name_is_warned_of_and_never_filled_in() {
        for (text, expected) in [("<$helle>", "<>"), ("${helle ?? x}", "x"), ("$1a", "")] {
            let (filled, report) = filled(Dialect::Plain, text);
            assert_eq!((filled.as_str(), report.warnings.len()), (expected, 1), "{text}");
            assert_eq!(report.faults, []);
        }
    }

    /// All of the text was copied for each.
    #[test]
    fn a_text_of_plain_dollars_is_copied_once() {
        let text = "$ ".repeat(100_000);
        let copied = allocation_counter::measure(|| {
            let mut report = Report::default();
            let template = Template::compile(Dialect::Plain, &text, At::Root, &mut report);
            assert_eq!(template.as_text(), Some(&*text));
        });
        let bytes = usize::try_from(copied.bytes_total).unwrap();
        assert!(bytes < 8 * text.len(), "{bytes} bytes");
    }

    #[test]
    fn text_without_variables_is_lent() {
        let template =
            Template::compile(Dialect::Plain, "a ${} b", At::Root, &mut Report::default());
        let draft = Draft::of(&Request);
        let facts = Facts::new(&Request, &draft, Body::Unread);
        assert!(matches!(template.fill_with(&facts, &[]), Cow::Borrowed("a ${} b")));
        assert!(!template.needs_body() && !facts.wants_body());
    }

    #[test]
    fn values_that_are_no_text_are_written_as_json() {
        let text = |json: Json| text_of(Value::Json(json)).map(Cow::into_owned);
        assert_eq!(text(Json::Null), None);
        assert_eq!(text(Json::from("a")).as_deref(), Some("a"));
        assert_eq!(text(Json::from(true)).as_deref(), Some("true"));
        assert_eq!(text(Json::from(1.5)).as_deref(), Some("1.5"));
        assert_eq!(text(Json::from(vec!["a", "b"])).as_deref(), Some(r#"["a","b"]"#));
    }
}
