//! The words for failures in documents, and the failures that they stand for.

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected, Visitor};
use std::fmt;

use super::Event;
use crate::fault::{At, Report, did_you_mean};
use crate::problem::Failure;
use crate::statuses::Statuses;

/// The statuses that can be failures.
const STATUS_MIN: u16 = 400;
const STATUS_MAX: u16 = 599;

/// Which words a list may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vocabulary {
    /// Those for another attempt at another node of an upstream (`retry.when`), which is decided before
    /// anything of a body is there.
    Nodes,
    /// Those for an attempt at another branch of a rule (`on_failure.when`).
    Branches,
}

/// The words that stand for failures without a response, or with an unusable one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Connect,
    Timeout,
    Reset,
    Empty,
    FirstEventError,
}

impl Word {
    /// The word of `text` in `of`, if it is one that does not stand for statuses.
    fn parse(text: &str, of: Vocabulary) -> Option<Self> {
        Some(match text {
            "connect" => Self::Connect,
            "timeout" => Self::Timeout,
            "reset" => Self::Reset,
            "empty" if of == Vocabulary::Branches => Self::Empty,
            "first_event_error" if of == Vocabulary::Branches => Self::FirstEventError,
            _ => return None,
        })
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Vocabulary {
    const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Nodes => &["connect", "timeout", "reset", "5xx", "429"],
            Self::Branches => {
                &["5xx", "429", "connect", "timeout", "reset", "empty", "first_event_error"]
            }
        }
    }
}

/// Which failures are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    words: u8,
    statuses: Statuses,
}

/// What is repeated where an upstream does not say: what never brought a response.
impl Default for When {
    fn default() -> Self {
        let words = Word::Connect.bit() | Word::Timeout.bit() | Word::Reset.bit();
        Self { words, statuses: Statuses::default() }
    }
}

impl When {
    /// All for which there is a word: what a rule means that does not say.
    pub(crate) fn all() -> Self {
        let beyond = Word::Empty.bit() | Word::FirstEventError.bit();
        let statuses = (500..=STATUS_MAX).chain([429]).collect();
        Self { words: Self::default().words | beyond, statuses }
    }

    /// Whether this is one of the failures that are meant.
    pub fn matches(&self, event: &Event) -> bool {
        let word = match event {
            Event::Status(status) => return self.statuses.contains(*status),
            Event::Empty => Word::Empty,
            Event::FirstEventError => Word::FirstEventError,
            Event::Failed(failure) => match word_for(*failure) {
                Some(word) => word,
                None => return false,
            },
        };
        self.words & word.bit() != 0
    }

    /// Whether it matters what a stream of events begins with.
    pub fn needs_opening(&self) -> bool {
        self.words & (Word::Empty.bit() | Word::FirstEventError.bit()) != 0
    }
}

/// The word that stands for a failure; none for what is the client's.
const fn word_for(failure: Failure) -> Option<Word> {
    match failure {
        Failure::ConnectionRefused
        | Failure::ConnectionTimeout
        | Failure::DestinationUnavailable
        | Failure::DnsError
        | Failure::TlsCertificateError
        | Failure::TlsProtocolError => Some(Word::Connect),
        Failure::ConnectionTerminated | Failure::HttpProtocolError => Some(Word::Reset),
        Failure::HttpResponseTimeout => Some(Word::Timeout),
        Failure::HttpRequestError | Failure::RequestBodyTooLong => None,
    }
}

/// A list of words and statuses.
#[derive(Debug, Deserialize)]
pub(crate) struct FailureWords(Vec<FailureWord>);

impl FailureWords {
    /// Checks the words; reports every one that is not in the vocabulary.
    pub(crate) fn compile(&self, of: Vocabulary, at: At<'_>, report: &mut Report) -> When {
        let mut when = When { words: 0, statuses: Statuses::default() };
        if self.0.is_empty() {
            report.fault(at, "expected at least one word or status");
        }
        for (index, word) in self.0.iter().enumerate() {
            match word {
                FailureWord::Status(status) => when.statuses.insert(*status),
                FailureWord::Word(text) => match (text.as_str(), Word::parse(text, of)) {
                    (_, Some(word)) => when.words |= word.bit(),
                    ("5xx", None) => (500..=STATUS_MAX).for_each(|it| when.statuses.insert(it)),
                    ("429", None) => when.statuses.insert(429),
                    _ => {
                        let words = of.words();
                        let what = format!(
                            "unknown word `{text}`, expected one of {words:?} or a status as a number{}",
                            did_you_mean(text, words)
                        );
                        report.fault(at.index(index), what);
                    }
                },
            }
        }
        when
    }
}

#[derive(Debug)]
enum FailureWord {
    Word(String),
    Status(u16),
}

impl<'de> Deserialize<'de> for FailureWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordVisitor;
        impl Visitor<'_> for WordVisitor {
            type Value = FailureWord;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a word or a status from {STATUS_MIN} to {STATUS_MAX}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FailureWord, E> {
                Ok(FailureWord::Word(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<FailureWord, E> {
                let status = u16::try_from(number).ok();
                match status.filter(|status| (STATUS_MIN..=STATUS_MAX).contains(status)) {
                    Some(status) => Ok(FailureWord::Status(status)),
                    None => {
                        let expected = format!("a status from {STATUS_MIN} to {STATUS_MAX}");
                        Err(E::invalid_value(Unexpected::Unsigned(number), &expected.as_str()))
                    }
                }
            }
        }
        deserializer.deserialize_any(WordVisitor)
    }
}

/// The schema takes the words of both vocabularies; which of them are meant is said by the faults.
#[cfg(feature = "schema")]
impl schemars::JsonSchema for FailureWords {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FailureWords".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "array", "minItems": 1, "items": {"anyOf": [
            {"enum": Vocabulary::Branches.words()},
            {"type": "integer", "minimum": STATUS_MIN, "maximum": STATUS_MAX},
        ]}})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;
    use serde_json::{Value, json};

    fn compile(value: &Value, of: Vocabulary) -> Result<When, Vec<String>> {
        let mut report = Report::default();
        let when = wire::read(value, At::Root, &mut report, |words: FailureWords, report| {
            Some(words.compile(of, At::Root, report))
        });
        let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
        if faults.is_empty() { Ok(when.expect("no faults")) } else { Err(faults) }
    }

    /// Everything that can come of an attempt, with the word that stands for it.
    fn events() -> Vec<(Event, &'static str)> {
        use Failure::*;
        let connect = [
            ConnectionRefused,
            ConnectionTimeout,
            DestinationUnavailable,
            DnsError,
            TlsCertificateError,
            TlsProtocolError,
        ];
        let mut events: Vec<_> =
            connect.into_iter().map(|failure| (Event::Failed(failure), "connect")).collect();
        events.extend([
            (Event::Failed(ConnectionTerminated), "reset"),
            (Event::Failed(HttpProtocolError), "reset"),
            (Event::Failed(HttpResponseTimeout), "timeout"),
            (Event::Failed(HttpRequestError), ""),
            (Event::Empty, "empty"),
            (Event::FirstEventError, "first_event_error"),
        ]);
        events.extend((100..=999).map(|status| {
            let word = match status {
                429 => "429",
                500..=599 => "5xx",
                _ => "",
            };
            (Event::Status(status), word)
        }));
        events
    }

    #[test]
    fn each_word_stands_for_its_failures_and_no_others() {
        for word in Vocabulary::Branches.words() {
            let when = compile(&json!([word]), Vocabulary::Branches).expect("a word");
            for (event, expected) in events() {
                assert_eq!(when.matches(&event), *word == expected, "{word} {event:?}");
            }
            let opening = matches!(*word, "empty" | "first_event_error");
            assert_eq!(when.needs_opening(), opening, "{word}");
        }
    }

    #[test]
    fn where_nothing_is_said_each_place_means_its_own() {
        let said = |words: &[&str], of| compile(&json!(words), of).expect("words");
        let default = said(&["connect", "timeout", "reset"], Vocabulary::Nodes);
        assert_eq!(default, When::default());
        assert_eq!(said(Vocabulary::Branches.words(), Vocabulary::Branches), When::all());
    }

    #[test]
    fn statuses_stand_for_themselves() {
        let when = compile(&json!([404, 599, 400.0]), Vocabulary::Nodes).expect("statuses");
        for (event, _) in events() {
            let expected = matches!(event, Event::Status(400 | 404 | 599));
            assert_eq!(when.matches(&event), expected, "{event:?}");
        }
    }

    #[test]
    fn what_is_no_word_is_a_fault() {
        for (value, of, expected) in [
            (json!([]), Vocabulary::Nodes, "(document): expected at least one word or status"),
            (
                json!(["empty"]),
                Vocabulary::Nodes,
                r#"/0: unknown word `empty`, expected one of ["connect", "timeout", "reset", "5xx", "429"] or a status as a number"#,
            ),
            (
                json!(["reset", "first_event_eror"]),
                Vocabulary::Branches,
                r#"/1: unknown word `first_event_eror`, expected one of ["5xx", "429", "connect", "timeout", "reset", "empty", "first_event_error"] or a status as a number; did you mean `first_event_error`?"#,
            ),
            (json!([600]), Vocabulary::Nodes, "/0: expected a status from 400 to 599, found `600`"),
            (
                json!([70000]),
                Vocabulary::Nodes,
                "/0: expected a status from 400 to 599, found `70000`",
            ),
            (
                json!([-1]),
                Vocabulary::Nodes,
                "/0: expected a word or a status from 400 to 599, found `-1`",
            ),
            (
                json!([null]),
                Vocabulary::Nodes,
                "/0: expected a word or a status from 400 to 599, found null",
            ),
            (json!("5xx"), Vocabulary::Nodes, "(document): expected a list, found \"5xx\""),
        ] {
            assert_eq!(compile(&value, of), Err(vec![expected.to_owned()]), "{value}");
        }
    }
}
