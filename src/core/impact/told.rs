//! An impact as JSON, the same from the Admin API and from the command line.

use serde_json::{Value, json};

use super::{BranchImpact, Impact, Keys, Move, Overtake, Share, SplitImpact};

impl Impact<'_> {
    /// The object that `splitway diff --format json` prints under `traffic`, and describes in its help.
    pub fn told(&self) -> Value {
        let shadowed = self.shadowed.iter().map(|it| json!({"route": it.route, "by": it.by}));
        let overtakes = self.overtakes.iter().map(|it| {
            let Overtake { route, other, host, uri } = it;
            json!({"route": route, "other": other, "host": host, "uri": uri})
        });
        json!({
            "is_rerouted": self.is_rerouted,
            "added": self.added,
            "removed": self.removed,
            "rematched": self.rematched,
            "shadowed": shadowed.collect::<Vec<_>>(),
            "unshadowed": self.unshadowed,
            "overtakes": overtakes.collect::<Vec<_>>(),
            "splits": self.splits.iter().map(split).collect::<Vec<_>>(),
        })
    }
}

fn split(split: &SplitImpact<'_>) -> Value {
    let (decide, keys) = match &split.keys {
        Keys::Unasked => ("never", None),
        Keys::Begin => ("from_now_on", None),
        Keys::End => ("no_longer", None),
        Keys::Stay { count, moves } => ("still", Some(stay(*count, moves))),
    };
    json!({
        "route": split.route,
        "rule": split.rule,
        "branches": split.branches.iter().map(branch).collect::<Vec<_>>(),
        "keys_decide": decide,
        "keys": keys,
    })
}

fn branch(branch: &BranchImpact<'_>) -> Value {
    let share = |share: Option<Share>| {
        share.map(|share| json!({"weight": share.weight.0, "percent": share.percent()}))
    };
    json!({"name": branch.name, "before": share(branch.before), "after": share(branch.after)})
}

/// Keys that were looked at, and where those go that do not stay; of no keys nothing moves.
fn stay(count: u64, moves: &[Move<'_>]) -> Value {
    let moves = moves.iter().map(|Move { from, to, count: moved }| {
        let percent = 100.0 * *moved as f64 / count.max(1) as f64;
        json!({"from": from, "to": to, "count": moved, "percent": percent})
    });
    json!({"count": count, "moves": moves.collect::<Vec<_>>()})
}
