//! Documents out of the configurations of others: what comes out, what is told, and that nothing is
//! dropped in silence.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this program is tests: a panic is how they fail"
)]

mod apisix;
mod hostile;
mod httproute;
mod written;

use serde_json::Value;
use splitway_core::fault::Report;
use splitway_core::snapshot::compile_json;
use splitway_local::document::{self, Format};
use splitway_local::import::{Imported, Loss};

/// Checks what became of `text`: the document, the losses and the notes exactly, and what holds for
/// every import.
#[track_caller]
fn check(text: &str, imported: &Imported, document: &Value, losses: &[&str], notes: &[&str]) {
    let told = |list: &[Loss]| list.iter().map(Loss::to_string).collect::<Vec<_>>();
    assert_eq!(&imported.document, document, "{:#}", imported.document);
    assert_eq!(told(&imported.losses), losses);
    assert_eq!(told(&imported.notes), notes);
    check_sound(text, imported);
    check_complete(text, imported);
}

/// What comes out compiles without faults, and is the same after it was written and read.
#[track_caller]
fn check_sound(text: &str, imported: &Imported) {
    let mut report = Report::default();
    let snapshot = compile_json(&imported.document.to_string(), 0, &mut report);
    assert!(snapshot.is_some(), "{:?} of {}\nfrom {text}", report.faults, imported.document);
    for format in [Format::Json, Format::Yaml] {
        let written = document::write(&imported.document, format);
        assert_eq!(document::parse(&written, format).as_ref(), Ok(&imported.document), "{written}");
    }
}

/// Every value of the input is in the document, as a value or a part of one, or lies where something
/// is told.
#[track_caller]
fn check_complete(text: &str, imported: &Imported) {
    let inputs = document::parse_all(text, Format::Yaml).unwrap();
    let mut out = Vec::new();
    leaves(&imported.document, "", &mut out);
    for (index, input) in inputs.iter().enumerate() {
        let number = if inputs.len() == 1 { 0 } else { index + 1 };
        let mut values = Vec::new();
        leaves(input, "", &mut values);
        for (at, value) in values {
            let is_told = imported.losses.iter().chain(&imported.notes).any(|told| {
                let is_around = at
                    .strip_prefix(&told.at)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                told.document == number && is_around
            });
            let is_there = out
                .iter()
                .any(|(place, own)| own.contains(&value) || plain(place).contains(&value));
            assert!(
                is_told || is_there || says_what_it_is(&at),
                "{at}: {value} is gone without a word"
            );
        }
    }
}

/// The names of headers are the same in either case, and in expressions with underscores.
fn plain(text: &str) -> String {
    text.to_ascii_lowercase().replace('-', "_")
}

/// Members that only say what an object is, which the place of its equivalent says too.
fn says_what_it_is(at: &str) -> bool {
    let kinds = ["/apiVersion", "/kind", "/type"];
    kinds.iter().any(|kind| at.ends_with(kind))
}

/// The scalars of a value with their places. Variables are not replaced, so their defaults count.
fn leaves(value: &Value, at: &str, out: &mut Vec<(String, String)>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &format!("{at}/{index}"), out);
            }
        }
        Value::Object(members) => {
            for (key, value) in members {
                leaves(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), out);
            }
        }
        Value::String(text) => {
            let text = text.split(":=").last().unwrap_or_default().trim_end_matches("}}");
            out.push((at.to_owned(), plain(text)));
        }
        Value::Null => {}
        scalar @ (Value::Bool(_) | Value::Number(_)) => {
            out.push((at.to_owned(), scalar.to_string()))
        }
    }
}
