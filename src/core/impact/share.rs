//! Shares and keys of one split, before and after.

use std::collections::{BTreeMap, BTreeSet};

use crate::rotation::Weight;
use crate::survey::{RouteView, RuleView};

/// A split of one route before and after.
#[derive(Debug, PartialEq)]
pub struct SplitImpact<'s> {
    /// The id of the route.
    pub route: &'s str,
    /// The number of the rule in its plugin.
    pub rule: usize,
    /// Its branches, first those there were.
    pub branches: Vec<BranchImpact<'s>>,
    /// What becomes of keys.
    pub keys: Keys<'s>,
}

/// The share of a branch before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchImpact<'s> {
    /// Its name.
    pub name: &'s str,
    /// What it had; nothing if it was not there.
    pub before: Option<Share>,
    /// What it gets; nothing if it is gone.
    pub after: Option<Share>,
}

/// A part of all requests of a split.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// The weight of the branch.
    pub weight: Weight,
    /// The weights of all branches together.
    pub total: u64,
}

/// What becomes of the keys of a split.
#[derive(Debug, PartialEq)]
pub enum Keys<'s> {
    /// Keys decide neither before nor after: requests take turns.
    Unasked,
    /// Keys decide from now on.
    Begin,
    /// Keys do not decide any more.
    End,
    /// Keys decide before and after.
    Stay {
        /// How many keys were looked at.
        count: u64,
        /// Where keys go elsewhere.
        moves: Vec<Move<'s>>,
    },
}

/// Keys that get another branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move<'s> {
    /// The branch that had them.
    pub from: &'s str,
    /// The branch that has them.
    pub to: &'s str,
    /// How many they are.
    pub count: u64,
}

/// A split in which a key gets another branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved<'s> {
    /// The id of the route.
    pub route: &'s str,
    /// The number of the rule in its plugin.
    pub rule: usize,
    /// The branch that had the key.
    pub from: &'s str,
    /// The branch that has it.
    pub to: &'s str,
}

impl Share {
    /// In hundredths.
    pub fn percent(&self) -> f64 {
        100.0 * f64::from(self.weight.0) / self.total as f64
    }
}

/// 50 of 100 is 1 of 2.
impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        let product = |one: &Self, other: &Self| u128::from(one.weight.0) * u128::from(other.total);
        product(self, other) == product(other, self)
    }
}

impl Eq for Share {}

/// A split before and after.
pub(super) struct Pair<'s> {
    route: &'s str,
    rule: usize,
    before: Option<RuleView<'s>>,
    after: Option<RuleView<'s>>,
    branches: Vec<BranchImpact<'s>>,
    /// Where keys decide before and after.
    moves: Option<Moves>,
}

/// The splits of a route before and after, by their numbers; of several plugins' rules with one number,
/// the first is the first.
pub(super) fn pairs<'s>(old: &RouteView<'s>, new: &RouteView<'s>) -> Vec<Pair<'s>> {
    let (old_rules, new_rules) = (numbered(old), numbered(new));
    let keys: BTreeSet<(usize, usize)> =
        old_rules.keys().chain(new_rules.keys()).copied().collect();
    let pair = |key: (usize, usize)| {
        let (before, after) = (old_rules.get(&key).copied(), new_rules.get(&key).copied());
        Pair::new(new.id(), key.0, before, after)
    };
    keys.into_iter().map(pair).collect()
}

/// The splits of a route by number and by how many with that number stand before.
fn numbered<'s>(route: &RouteView<'s>) -> BTreeMap<(usize, usize), RuleView<'s>> {
    let mut rules = BTreeMap::new();
    for (number, rule) in route.splits() {
        let earlier = rules.range((number, 0)..=(number, usize::MAX)).count();
        rules.insert((number, earlier), rule);
    }
    rules
}

impl<'s> Pair<'s> {
    /// Whether keys decide before and after.
    pub(super) fn asks_keys(&self) -> bool {
        self.moves.is_some()
    }

    fn new(
        route: &'s str,
        rule: usize,
        before: Option<RuleView<'s>>,
        after: Option<RuleView<'s>>,
    ) -> Self {
        let (old, new) = (shares(before), shares(after));
        let share = |list: &[(&str, Share)], wanted: &str| {
            list.iter().find(|(name, _)| *name == wanted).map(|(_, share)| *share)
        };
        let gone = old.iter().map(|(name, was)| (*name, Some(*was), share(&new, name)));
        let added = new.iter().filter(|(name, _)| share(&old, name).is_none());
        let added = added.map(|(name, is)| (*name, None, Some(*is)));
        let branches =
            gone.chain(added).map(|(name, before, after)| BranchImpact { name, before, after });
        let branches: Vec<BranchImpact<'s>> = branches.collect();
        let sticky = |rule: Option<RuleView<'_>>| rule.is_some_and(|rule| rule.is_sticky());
        let moves = (sticky(before) && sticky(after)).then(|| {
            let place = |name: &str| branches.iter().position(|it| it.name == name);
            let places =
                |list: &[(&str, Share)]| list.iter().filter_map(|(name, _)| place(name)).collect();
            Moves::new(places(&old), places(&new))
        });
        Self { route, rule, before, after, branches, moves }
    }

    pub(super) fn key(&mut self, key: &[u8]) {
        let Some(moves) = &mut self.moves else { return };
        let owner = |rule: Option<RuleView<'_>>| rule.and_then(|rule| rule.owner(key));
        if let (Some(from), Some(to)) = (owner(self.before), owner(self.after)) {
            moves.note(from, to);
        }
    }

    /// Where a key goes, if it goes elsewhere.
    pub(super) fn moved(&self, key: &[u8]) -> Option<Moved<'s>> {
        self.moves.as_ref()?;
        let name = |rule: RuleView<'s>| Some(rule.branches().nth(rule.owner(key)?)?.0);
        let (from, to) = (name(self.before?)?, name(self.after?)?);
        (from != to).then_some(Moved { route: self.route, rule: self.rule, from, to })
    }

    /// What is different, if something is.
    pub(super) fn finish(self) -> Option<SplitImpact<'s>> {
        let sticky = |rule: Option<RuleView<'_>>| rule.is_some_and(|rule| rule.is_sticky());
        let keys = match self.moves {
            Some(moves) => moves.told(&self.branches),
            None => match (self.before, self.after) {
                (before, Some(after)) if after.is_sticky() && !sticky(before) => Keys::Begin,
                (Some(before), after) if before.is_sticky() && !sticky(after) => Keys::End,
                _ => Keys::Unasked,
            },
        };
        let stays = match &keys {
            Keys::Unasked => true,
            Keys::Stay { moves, .. } => moves.is_empty(),
            Keys::Begin | Keys::End => false,
        };
        let differs = self.branches.iter().any(|branch| branch.before != branch.after);
        let (route, rule, branches) = (self.route, self.rule, self.branches);
        (differs || !stays).then_some(SplitImpact { route, rule, branches, keys })
    }
}

/// The branches of a rule in their order.
fn shares(rule: Option<RuleView<'_>>) -> Vec<(&str, Share)> {
    let list: Vec<(&str, Weight)> = rule.iter().flat_map(RuleView::branches).collect();
    let total = list.iter().map(|(_, weight)| u64::from(weight.0)).sum();
    list.into_iter().map(|(name, weight)| (name, Share { weight, total })).collect()
}

/// How many keys went from where to where.
struct Moves {
    /// The places of the branches of either side among all branches.
    before: Vec<usize>,
    after: Vec<usize>,
    count: u64,
    moved: BTreeMap<(usize, usize), u64>,
}

impl Moves {
    fn new(before: Vec<usize>, after: Vec<usize>) -> Self {
        Self { before, after, count: 0, moved: BTreeMap::new() }
    }

    /// Notes a key by the numbers of its branches on either side.
    fn note(&mut self, from: usize, to: usize) {
        let (Some(from), Some(to)) = (self.before.get(from), self.after.get(to)) else { return };
        self.count += 1;
        if from != to {
            *self.moved.entry((*from, *to)).or_default() += 1;
        }
    }

    fn told<'s>(&self, branches: &[BranchImpact<'s>]) -> Keys<'s> {
        let name = |index: usize| branches.get(index).map(|branch| branch.name);
        let moves = self.moved.iter().filter_map(|((from, to), count)| {
            Some(Move { from: name(*from)?, to: name(*to)?, count: *count })
        });
        Keys::Stay { count: self.count, moves: moves.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rendezvous::Rendezvous;

    fn share(weight: u32, total: u64) -> Option<Share> {
        Some(Share { weight: Weight(weight), total })
    }

    #[test]
    fn shares_are_compared_by_what_they_get() {
        assert_eq!(share(50, 100), share(1, 2));
        assert_eq!(share(0, 7), share(0, 9));
        assert_ne!(share(1, 3), share(33, 100));
        assert_ne!(share(u32::MAX, u64::MAX), share(u32::MAX - 1, u64::MAX));
    }

    /// Keys move to the branch that grew and none moves back, and branches are known by their names.
    #[test]
    fn keys_are_counted_where_they_go_elsewhere() {
        let branch = |name, before, after| BranchImpact { name, before, after };
        let branches = [
            branch("v1", share(95, 100), share(90, 100)),
            branch("v2", share(5, 100), share(10, 100)),
        ];
        let salt = "";
        let before = Rendezvous::new(&["v1", "v2"], &[Weight(95), Weight(5)], salt);
        let after = Rendezvous::new(&["v2", "v1"], &[Weight(10), Weight(90)], salt);
        let (before, after) = (before.expect("weights"), after.expect("weights"));
        let mut moves = Moves::new(vec![0, 1], vec![1, 0]);
        for number in 0..10_000 {
            let key = format!("user-{number:07}");
            moves.note(before.owner(key.as_bytes()), after.owner(key.as_bytes()));
        }
        let Keys::Stay { count: 10_000, moves } = moves.told(&branches) else {
            panic!("all keys are counted")
        };
        let [Move { from: "v1", to: "v2", count }] = &moves[..] else {
            panic!("keys move one way: {moves:?}")
        };
        assert!((400..600).contains(count), "about 5 in 100: {count}");
    }
}
