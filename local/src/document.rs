//! A document as text, in YAML or JSON, both ways, and the snapshot it compiles to.

use std::fmt;
use std::path::Path;

use serde_json::Value;
use splitway_core::config::Resources;
use splitway_core::fault::{Fault, Report};
use splitway_core::snapshot::{Revision, Snapshot, compile, compile_faultless};

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML 1.2.
    Yaml,
}

/// Why a document cannot be served by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// It is not a text of its format.
    #[error(transparent)]
    Syntax(Syntax),
    /// What it says has faults.
    #[error("the document has {}", Count(.0.faults.len(), "fault"))]
    Faulty(Report),
}

/// The first place where a text is not YAML or JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Syntax {
    /// The line, from 1; 0 where it is not known.
    pub line: usize,
    /// The column, from 1; 0 where it is not known.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.what),
            line => write!(f, "line {line}, column {}: {}", self.column, self.what),
        }
    }
}

/// A number of things, in words.
pub struct Count<'w>(pub usize, pub &'w str);

impl fmt::Display for Count<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, what) = self;
        write!(f, "{count} {what}{}", if *count == 1 { "" } else { "s" })
    }
}

impl Format {
    /// The format of a file, by its extension, else by how its text begins.
    pub fn of(path: &Path, text: &str) -> Self {
        let extension = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
        match extension.as_deref().and_then(std::ffi::OsStr::to_str) {
            Some("json") => Self::Json,
            Some("yaml" | "yml") => Self::Yaml,
            Some(_) | None if text.trim_start().starts_with('{') => Self::Json,
            Some(_) | None => Self::Yaml,
        }
    }
}

/// Where splits begin: this process is the only one to walk them, so a known order is the best one.
const PHASE: u64 = 0;

/// How many values a document in YAML may have: some hundred thousand routes. Aliases that unfold to
/// more are an attack or an accident.
const NODES_MAX: usize = 5_000_000;

/// Compiles a document; with the snapshot come the warnings.
pub fn read(text: &str, format: Format) -> Result<(Snapshot, Vec<Fault>), Defect> {
    let mut report = Report::default();
    let faultless = match format {
        Format::Json => compile_faultless(text, PHASE, &mut report),
        Format::Yaml => None,
    };
    if let Some(snapshot) = faultless {
        return Ok((snapshot, report.warnings));
    }
    let document = parse(text, format).map_err(Defect::Syntax)?;
    judge(&document, text).map_err(Defect::Faulty)
}

/// Compiles what [`parse`] made of a text; with the snapshot come the warnings.
pub fn judge(document: &Value, text: &str) -> Result<(Snapshot, Vec<Fault>), Report> {
    let mut report = Report::default();
    let resources = Resources::of(document, &mut report);
    let snapshot = compile(&resources, Revision::of_text(text), PHASE, &mut report);
    match snapshot.filter(|_| report.faults.is_empty()) {
        Some(snapshot) => Ok((snapshot, report.warnings)),
        None => Err(report),
    }
}

/// The document that a text writes, whatever it says.
pub fn parse(text: &str, format: Format) -> Result<Value, Syntax> {
    // Some editors begin a text with a mark of its encoding.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        Format::Json => parse_json(text),
        Format::Yaml => {
            match serde_saphyr::from_str_with_options(text, yaml_options()) {
                // What YAML calls null is also a text of nothing but comments.
                Ok(Value::Null) => {
                    Err(Syntax { line: 0, column: 0, what: "the document is empty".to_owned() })
                }
                Ok(document) => Ok(document),
                Err(error) => Err(Syntax::of_yaml(&error)),
            }
        }
    }
}

/// All documents of a text, which in YAML may be several with `---` between them; those that are
/// empty or nothing but comments do not count.
pub fn parse_all(text: &str, format: Format) -> Result<Vec<Value>, Syntax> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        Format::Json => parse_json(text).map(|document| vec![document]),
        Format::Yaml => serde_saphyr::from_multiple_with_options(text, yaml_options())
            .map_err(|error| Syntax::of_yaml(&error)),
    }
}

fn parse_json(text: &str) -> Result<Value, Syntax> {
    splitway_core::json::parse(text.as_bytes())
        .map_err(|error| Syntax::new(error.line(), error.column(), &error.to_string()))
}

fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: NODES_MAX, max_events: 4 * NODES_MAX },
        strict_booleans: true,
        with_snippet: false,
    }
}

/// The text of a document, ending in a line break; [`parse`] reads the same document from it.
pub fn write(document: &Value, format: Format) -> String {
    match format {
        Format::Json => format!("{document:#}\n"),
        Format::Yaml => splitway_core::yaml::write(document),
    }
}

impl Syntax {
    /// In words of our own where those of the library are for whoever calls it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others speak of the text")]
    fn of_yaml(error: &serde_saphyr::Error) -> Self {
        use serde_saphyr::Error;
        let number = |number: u64| usize::try_from(number).unwrap_or_default();
        let place = error.location().map(|place| (place.line(), place.column()));
        let (line, column) = place.unwrap_or_default();
        let message = match error.without_snippet() {
            Error::DuplicateMappingKey { key: Some(key), .. } => {
                format!("the key `{key}` stands twice")
            }
            Error::DuplicateMappingKey { key: None, .. } => "a key stands twice".to_owned(),
            Error::BinaryNotUtf8 { .. } => "the binary data is no text in UTF-8".to_owned(),
            Error::MultipleDocuments { .. } => "expected one document, found several".to_owned(),
            other => other.to_string(),
        };
        Self::new(number(line), number(column), &message)
    }

    fn new(line: usize, column: usize, message: &str) -> Self {
        // Both libraries end their messages with the place, which is kept apart here.
        let place = format!(" at line {line} column {column}");
        let with_comma = format!(" at line {line}, column {column}");
        let what = message.strip_suffix(&place).or_else(|| message.strip_suffix(&with_comma));
        Self { line, column, what: what.unwrap_or(message).to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_in_json_are_read_alike_whether_they_have_faults_or_not() {
        let route =
            |uri: &str| json!({"id": "r", "uri": uri, "upstream": {"nodes": {"a.test:80": 1}}});
        let read = |document: &Value, bom: &str| {
            let text = format!("{bom}{document}");
            read(&text, Format::Json)
                .map(|(snapshot, warnings)| (snapshot.routes_count(), warnings))
        };
        let faultless = json!({"routes": [route("/a")]});
        let counts = read(&faultless, "").map(|(routes, warnings)| (routes, warnings.len()));
        assert_eq!(counts, Ok((1, 1)), "with a warning of `Host` at the edge");
        assert_eq!(read(&faultless, ""), read(&faultless, "\u{feff}"), "one read as a whole");
        // A path that begins without a slash.
        let Err(Defect::Faulty(report)) = read(&json!({"routes": [route("a")]}), "") else {
            panic!("it is no path")
        };
        let told: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
        let [fault] = told.as_slice() else { panic!("one fault: {told:?}") };
        assert!(fault.starts_with("/routes/0/uri: "), "{fault}");
    }

    #[test]
    fn what_is_written_reads_as_the_same_document() {
        let document = json!({
            "routes": [{"id": "1", "uri": "/a*", "priority": -3, "labels": {}}],
            "words": ["yes", "no", "null", "~", "1.0", "0x10", "", " a ", "a: b", "#", "- a", "é", "'", "\""],
            "lines": "one\ntwo\n\n", "controls": "\t\u{1b}\u{85}", "long": "word ".repeat(40),
            "numbers": [0, 1.5, -2, u64::MAX, 1e300], "nothing": null, "flags": [true, false],
        });
        for format in [Format::Yaml, Format::Json] {
            let text = write(&document, format);
            assert_eq!(parse(&text, format).as_ref(), Ok(&document), "{text}");
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{text:?}");
        }
    }
}
