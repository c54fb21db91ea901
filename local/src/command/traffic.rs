//! What changes for traffic, for people and for machines.

use std::io::{self, Write};

use splitway_core::impact::{
    BranchImpact, Comparison, Impact, Keys, Move, OVERTAKES_MAX, Overtake, Share, SplitImpact,
};
use splitway_core::snapshot::Snapshot;
use splitway_local::client::error::plain;

use super::affinity::KeyOptions;
use super::outcome::Failure;
use super::progress::Progress;

/// Compares two configurations, and where their keys go.
pub(super) fn compare<'s>(
    before: &'s Snapshot,
    after: &'s Snapshot,
    keys: &KeyOptions,
) -> Result<Impact<'s>, Failure> {
    let mut comparison = Comparison::new(before, after);
    if comparison.asks_keys() {
        let mut progress = Progress::new(keys.count());
        keys.each(|key| {
            comparison.key(key.as_bytes());
            progress.step();
        })?;
        progress.end();
    }
    Ok(comparison.finish())
}

/// Writes a line for each thing that changes; none, if traffic goes on as before.
pub(super) fn lines(out: &mut impl Write, impact: &Impact<'_>) -> io::Result<()> {
    if impact.is_none() {
        return Ok(());
    }
    writeln!(out, "\ntraffic:")?;
    if impact.is_rerouted {
        writeln!(out, "  routes are found another way; their order was not compared")?;
    }
    for (ids, what) in [
        (&impact.added, "is new"),
        (&impact.removed, "is gone"),
        (&impact.rematched, "takes other requests"),
        (&impact.unshadowed, "is reached again"),
    ] {
        ids.iter().try_for_each(|id| writeln!(out, "  route {id} {what}"))?;
    }
    for shadowed in &impact.shadowed {
        let verb = if shadowed.by.len() == 1 { "takes" } else { "take" };
        let (route, by) = (shadowed.route, shadowed.by.join(", "));
        writeln!(out, "  route {route} is never reached: {by} {verb} all of it")?;
    }
    for Overtake { route, other, host, uri } in &impact.overtakes {
        writeln!(
            out,
            "  route {route} goes ahead of {other}, for {}",
            plain(&format!("{host}{uri}"))
        )?;
    }
    if impact.overtakes.len() >= OVERTAKES_MAX {
        writeln!(out, "  and more routes go ahead of others")?;
    }
    impact.splits.iter().try_for_each(|split| split_lines(out, split))
}

fn split_lines(out: &mut impl Write, split: &SplitImpact<'_>) -> io::Result<()> {
    let SplitImpact { route, rule, branches, keys } = split;
    let is_none = |share: fn(&BranchImpact<'_>) -> Option<Share>| {
        branches.iter().all(|branch| share(branch).is_none())
    };
    let what = match (is_none(|it| it.before), is_none(|it| it.after)) {
        (true, _) => " is new",
        (false, true) => " is gone",
        (false, false) => "",
    };
    let shares: Vec<String> = branches.iter().map(share_words).collect();
    writeln!(out, "  {route}, rule {rule}{what}: {}", shares.join(", "))?;
    match keys {
        Keys::Unasked => Ok(()),
        Keys::Begin => writeln!(out, "    keys decide from now on"),
        Keys::End => writeln!(out, "    keys do not decide any more"),
        Keys::Stay { count, moves } if moves.is_empty() => {
            writeln!(out, "    0 of {count} keys move")
        }
        Keys::Stay { count, moves } => {
            moves.iter().try_for_each(|one| move_line(out, one, moves, *count))
        }
    }
}

/// `v1 95 % -> 90 %`
fn share_words(branch: &BranchImpact<'_>) -> String {
    let words = |share: Option<Share>| {
        share.map_or("-".to_owned(), |share| format!("{} %", rounded(share.percent())))
    };
    match branch.before == branch.after {
        true => format!("{} {}", branch.name, words(branch.after)),
        false => format!("{} {} -> {}", branch.name, words(branch.before), words(branch.after)),
    }
}

/// Up to two places behind the point, and none that says nothing.
fn rounded(percent: f64) -> String {
    let text = format!("{percent:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A move and what moves the other way, unless that is the larger part and tells of both.
fn move_line(out: &mut impl Write, one: &Move<'_>, all: &[Move<'_>], keys: u64) -> io::Result<()> {
    let Move { from, to, count } = one;
    let back = all.iter().find(|it| it.from == *to && it.to == *from);
    let back = back.map_or(0, |back| back.count);
    if back > *count || (back == *count && from > to) {
        return Ok(());
    }
    let percent = 100.0 * *count as f64 / keys as f64;
    writeln!(out, "    {percent:.1} % of {keys} keys move {from} -> {to}, {back} move back")
}
