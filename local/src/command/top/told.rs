//! One view as text for people and for machines, without a screen.

use std::io::{self, Write};

use serde::Serialize;
use splitway_local::client::error::plain;

use super::view::{Group, Line, Sort, View};
use super::words::{interval, millis, percent, rate};
use crate::command::report::table;

/// A view and whose it is.
#[derive(Serialize)]
struct Whole<'v> {
    server: &'v str,
    #[serde(flatten)]
    view: View,
}

/// Writes a view as JSON.
pub(super) fn json(
    out: &mut impl Write,
    server: &str,
    view: &View,
    sort: Sort,
    filter: &str,
) -> io::Result<()> {
    let view = View { rules: view.chosen(sort, filter), ..view.clone() };
    let told = serde_json::to_string_pretty(&Whole { server, view })?;
    writeln!(out, "{told}")
}

/// Writes a line for each branch.
pub(super) fn text(out: &mut impl Write, view: &View, sort: Sort, filter: &str) -> io::Result<()> {
    let head = [
        "route",
        "rule",
        "branch",
        "target",
        "share",
        "95% range",
        "req/s",
        "err%",
        "p50",
        "p99",
        "breaker",
    ];
    let groups = view.chosen(sort, filter);
    let lines = groups.iter().flat_map(|group| group.branches.iter().map(move |it| row(group, it)));
    let rows: Vec<[String; 11]> = std::iter::once(head.map(str::to_owned)).chain(lines).collect();
    table(out, &rows)
}

fn row(group: &Group, line: &Line) -> [String; 11] {
    let rates = line.rates;
    let mark = if line.is_off() { "!" } else { "" };
    [
        plain(&group.route),
        group.rule.map_or("-".to_owned(), |rule| rule.to_string()),
        plain(&line.name),
        percent(Some(line.target)),
        format!("{}{mark}", percent(line.share)),
        interval(line.interval),
        rate(rates.map(|it| it.requests)),
        percent(rates.and_then(|it| it.error_share)),
        millis(rates.and_then(|it| it.p50_ms)),
        millis(rates.and_then(|it| it.p99_ms)),
        line.breaker.as_str().to_owned(),
    ]
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a panic is how tests fail")]
mod tests {
    use super::*;
    use crate::command::top::history::History;
    use crate::command::top::samples::{branch, status};

    fn view() -> View {
        let mut history = History::default();
        let both = |v1, v2| vec![branch("v1", 9, v1, 0), branch("v2\u{1b}", 1, v2, 0)];
        history.take(status(2000, both(900, 100)));
        let mut later = both(990, 210);
        later[1].errors = 11;
        history.take(status(3000, later))
    }

    #[test]
    fn every_branch_has_a_line() {
        let mut out = Vec::new();
        text(&mut out, &view(), Sort::Name, "").expect("it takes all");
        let expected = [
            "route  rule  branch    target  share  95% range  req/s  err%  p50    p99    breaker",
            "chat   0     v1        90.0    82.5!  80.2-84.5  90.0   0.0   1.5ms  2.0ms  closed",
            "chat   0     v2\\u{1b}  10.0    17.5!  15.5-19.8  110    10.0  1.5ms  2.0ms  closed",
        ];
        assert_eq!(String::from_utf8_lossy(&out).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn machines_get_all_of_it() {
        let mut out = Vec::new();
        json(&mut out, "http://127.0.0.1:9180", &view(), Sort::Name, "v1").expect("it takes all");
        let told: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(
            (&told["server"], &told["revision"], &told["scope"], &told["seconds"]),
            (&"http://127.0.0.1:9180".into(), &"7".into(), &"process".into(), &1.0.into())
        );
        let branches = told["rules"][0]["branches"].as_array().expect("a list");
        assert_eq!((branches.len(), &branches[0]["name"]), (1, &"v1".into()));
        assert_eq!(branches[0]["rates"]["requests_per_s"], 90.0);
        assert_eq!(branches[0]["rates"]["error_share"], 0.0);
    }
}
