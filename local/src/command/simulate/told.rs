//! What came of a simulation, for people and for machines.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::Outcome;
use crate::command::report;

/// Writes a table for each split.
pub(super) fn table(out: &mut impl Write, outcomes: &[Outcome<'_>]) -> io::Result<()> {
    if outcomes.is_empty() {
        return writeln!(out, "nothing is split");
    }
    for (index, outcome) in outcomes.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", title(outcome))?;
        report::table(out, &rows(outcome))?;
        let period = outcome.period;
        match outcome.tally.deviation() {
            Some(off) => writeln!(out, "largest deviation in any {period} in a row: {off}")?,
            None if period > outcome.tally.picks() => {
                writeln!(out, "fewer than the {period} in which turns are exact")?;
            }
            None => writeln!(out, "turns are exact in {period}, too many to look at each window")?,
        }
    }
    Ok(())
}

/// What a split is called.
pub(super) fn title(outcome: &Outcome<'_>) -> String {
    let what = if outcome.is_sticky { "keys" } else { "requests by turns" };
    format!("{}, rule {}: {} {what}", outcome.route, outcome.number, outcome.tally.picks())
}

fn rows(outcome: &Outcome<'_>) -> Vec<[String; 7]> {
    let head = ["branch", "weight", "asked", "got", "count", "longest gap", "ideal gap"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(outcome.branches.iter().enumerate().map(|(index, (name, weight))| {
        [
            (*name).to_owned(),
            weight.to_string(),
            format!("{:.4} %", outcome.asked_percent(*weight)),
            format!("{:.4} %", outcome.got_percent(index)),
            outcome.tally.count(index).to_string(),
            outcome.tally.longest_gap(index).to_string(),
            outcome.ideal_gap(*weight).map_or("-".to_owned(), |gap| format!("{gap:.2}")),
        ]
    }));
    rows
}

/// Writes the object that the help describes.
pub(super) fn json(
    out: &mut impl Write,
    revision: &str,
    outcomes: &[Outcome<'_>],
) -> io::Result<()> {
    let splits: Vec<Value> = outcomes.iter().map(split).collect();
    writeln!(out, "{:#}", json!({"revision": revision, "splits": splits}))
}

fn split(outcome: &Outcome<'_>) -> Value {
    let branches = outcome.branches.iter().enumerate().map(|(index, (name, weight))| {
        json!({
            "name": name,
            "weight": weight,
            "asked_percent": outcome.asked_percent(*weight),
            "got_percent": outcome.got_percent(index),
            "count": outcome.tally.count(index),
            "longest_gap": outcome.tally.longest_gap(index),
            "ideal_gap": outcome.ideal_gap(*weight),
        })
    });
    json!({
        "route": outcome.route,
        "rule": outcome.number,
        "by": outcome.by(),
        "requests": outcome.tally.picks(),
        "period": outcome.period,
        "window_deviation": outcome.tally.deviation(),
        "branches": branches.collect::<Vec<_>>(),
    })
}
