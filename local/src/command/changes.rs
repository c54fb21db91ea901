//! What is different, as lines for people: `+` what is new, `~` what changes, `-` what goes.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};
use splitway_local::client::api::{Change, Op};
use splitway_local::client::error::plain;
use splitway_local::document::{Format, write};

const ADDED: Style = AnsiColor::Green.on_default();
const CHANGED: Style = AnsiColor::Yellow.on_default();
const REMOVED: Style = AnsiColor::Red.on_default();
const PLACE: Style = AnsiColor::Cyan.on_default();

/// How a document or a part of it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    Yaml,
    Json,
}

impl From<Form> for Format {
    fn from(form: Form) -> Self {
        match form {
            Form::Yaml => Self::Yaml,
            Form::Json => Self::Json,
        }
    }
}

/// Writes a line for each resource.
pub(crate) fn lines(out: &mut impl Write, changes: &[Change]) -> io::Result<()> {
    changes.iter().try_for_each(|change| line(out, change))
}

/// Writes a line for each resource and, where it changes, which lines of it do.
pub(crate) fn full(out: &mut impl Write, changes: &[Change], format: Format) -> io::Result<()> {
    for change in changes {
        line(out, change)?;
        if let (Op::Change, Some(before), Some(after)) = (change.op, &change.before, &change.after)
        {
            if before == after {
                // The order of a document decides among equals, and a document makes stay what was to go.
                writeln!(out, "    the same, in another place; or to stay, where it had a ttl")?;
            }
            difference(out, before, after, format)?;
        }
    }
    Ok(())
}

/// Writes how many resources become what.
pub(crate) fn summary(out: &mut impl Write, changes: &[Change]) -> io::Result<()> {
    let count = |op| changes.iter().filter(|change| change.op == op).count();
    let (add, change, remove) = (count(Op::Add), count(Op::Change), count(Op::Remove));
    match changes.is_empty() {
        true => writeln!(out, "no differences"),
        false => writeln!(out, "{add} to add, {change} to change, {remove} to remove"),
    }
}

/// How many resources go.
pub(crate) fn removed_count(changes: &[Change]) -> usize {
    changes.iter().filter(|change| change.op == Op::Remove).count()
}

/// A resource with its sign, in one word: `~routes/1`.
pub(crate) fn word(change: &Change) -> String {
    format!("{}{}", sign(change.op).0, name(change))
}

fn line(out: &mut impl Write, change: &Change) -> io::Result<()> {
    let (sign, style) = sign(change.op);
    writeln!(out, "{style}{sign} {}{style:#}", name(change))
}

fn sign(op: Op) -> (char, Style) {
    match op {
        Op::Add => ('+', ADDED),
        Op::Change => ('~', CHANGED),
        Op::Remove => ('-', REMOVED),
    }
}

/// A resource by its list and its id; the settings have none.
fn name(change: &Change) -> String {
    match change.id.as_deref() {
        Some(id) if !id.is_empty() => plain(&format!("{}/{id}", change.kind)),
        Some(_) | None => plain(&change.kind),
    }
}

/// Writes what `diff -u` would, a step to the right.
fn difference(
    out: &mut impl Write,
    before: &Value,
    after: &Value,
    format: Format,
) -> io::Result<()> {
    let (before, after) = (write(before, format), write(after, format));
    let difference = TextDiff::from_lines(&before, &after);
    for hunk in difference.unified_diff().iter_hunks() {
        writeln!(out, "    {PLACE}{}{PLACE:#}", hunk.header())?;
        for change in hunk.iter_changes() {
            let style = match change.tag() {
                ChangeTag::Insert => ADDED,
                ChangeTag::Delete => REMOVED,
                ChangeTag::Equal => Style::new(),
            };
            let text = plain(change.value().trim_end_matches('\n'));
            writeln!(out, "    {style}{}{text}{style:#}", change.tag())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_that_are_far_apart_stand_in_hunks_of_their_own() {
        let list = |first, last| json!([first, 1, 2, 3, 4, 5, 6, 7, 8, last]);
        let mut out = Vec::new();
        difference(&mut out, &list(0, 9), &list(10, 19), Format::Yaml).expect("memory is enough");
        let text = anstream::adapter::strip_bytes(&out).into_vec();
        let text = String::from_utf8(text).expect("text");
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        assert_eq!(
            lines,
            [
                "@@ -1,4 +1,4 @@",
                "-- 0",
                "+- 10",
                "- 1",
                "- 2",
                "- 3",
                "@@ -7,4 +7,4 @@",
                "- 6",
                "- 7",
                "- 8",
                "-- 9",
                "+- 19",
            ]
        );
    }
}
