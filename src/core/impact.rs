//! What changes for traffic from one configuration to another: which routes come, go, or are asked in
//! another order, which shares become others, and how many keys get another branch.
//!
//! A [`Comparison`] is made of two snapshots, is told keys one by one and keeps none of them, and ends as
//! an [`Impact`]. What changes of a resource beside, as its upstream, is not looked at here.

mod order;
mod share;
mod told;

use std::collections::BTreeSet;

use crate::snapshot::Snapshot;
use crate::survey::{self, RouteView, Unreached, routes};

pub use order::{OVERTAKES_MAX, Overtake};
pub use share::{BranchImpact, Keys, Move, Moved, Share, SplitImpact};

use order::{common, is_rematched, overtakes, shadows};
use share::{Pair, pairs};

/// Two configurations beside each other.
pub struct Comparison<'s> {
    impact: Impact<'s>,
    pairs: Vec<Pair<'s>>,
}

/// What changes for traffic. Routes are named by their ids, and stand in the order of the documents.
#[derive(Debug, Default, PartialEq)]
pub struct Impact<'s> {
    /// Whether routes are found another way (`settings.router`). Then their order is not compared.
    pub is_rerouted: bool,
    /// Routes that are new.
    pub added: Vec<&'s str>,
    /// Routes that are gone.
    pub removed: Vec<&'s str>,
    /// Routes that take other requests: their hosts, paths, methods or other conditions changed.
    pub rematched: Vec<&'s str>,
    /// Routes to which no request comes any more, and new ones to which none ever comes.
    pub shadowed: Vec<Unreached<'s>>,
    /// Routes to which requests come again.
    pub unshadowed: Vec<&'s str>,
    /// Routes that went ahead of others; at most [`OVERTAKES_MAX`].
    pub overtakes: Vec<Overtake<'s>>,
    /// Splits whose shares are others, or some of whose keys go elsewhere.
    pub splits: Vec<SplitImpact<'s>>,
}

impl<'s> Comparison<'s> {
    /// Compares all but the owners of keys.
    pub fn new(before: &'s Snapshot, after: &'s Snapshot) -> Self {
        let old: Vec<RouteView<'s>> = routes(before).collect();
        let new: Vec<RouteView<'s>> = routes(after).collect();
        let ids = |routes: &[RouteView<'s>]| routes.iter().map(RouteView::id).collect();
        let (was, is): (BTreeSet<&str>, BTreeSet<&str>) = (ids(&old), ids(&new));
        let besides = |routes: &[RouteView<'s>], others: &BTreeSet<&str>| {
            routes.iter().map(RouteView::id).filter(|id| !others.contains(id)).collect()
        };
        let unreached = (survey::unreached(before), survey::unreached(after));
        let (shadowed, unshadowed) = shadows(unreached.0, unreached.1, &is);
        let both = common(&old, &new);
        let kinds = (before.router_kind(), after.router_kind());
        let is_rerouted = kinds.0 != kinds.1;
        let impact = Impact {
            is_rerouted,
            added: besides(&new, &was),
            removed: besides(&old, &is),
            rematched: both
                .iter()
                .filter(|pair| is_rematched(pair))
                .map(|(_, new)| new.id())
                .collect(),
            shadowed,
            unshadowed,
            overtakes: if is_rerouted { Vec::new() } else { overtakes(kinds.1, &old, &new) },
            splits: Vec::new(),
        };
        let pairs = both.iter().flat_map(|(old, new)| pairs(old, new)).collect();
        Self { impact, pairs }
    }

    /// Whether there is a split of which keys decide before and after.
    pub fn asks_keys(&self) -> bool {
        self.pairs.iter().any(Pair::asks_keys)
    }

    /// Looks where a key belonged and where it belongs.
    pub fn key(&mut self, key: &[u8]) {
        self.pairs.iter_mut().for_each(|pair| pair.key(key));
    }

    /// How many splits there are of which keys decide before and after: each looks at each key.
    pub fn asking_count(&self) -> usize {
        self.pairs.iter().filter(|pair| pair.asks_keys()).count()
    }

    /// Where a key goes elsewhere.
    pub fn moved(&self, key: &[u8]) -> impl Iterator<Item = Moved<'s>> {
        self.pairs.iter().filter_map(move |pair| pair.moved(key))
    }

    /// What is different.
    pub fn finish(self) -> Impact<'s> {
        let splits = self.pairs.into_iter().filter_map(Pair::finish).collect();
        Impact { splits, ..self.impact }
    }
}

impl Impact<'_> {
    /// Whether traffic goes on as before.
    pub fn is_none(&self) -> bool {
        *self == Impact::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Report;
    use crate::rotation::Weight;
    use crate::snapshot::compile_json;
    use crate::survey::tests::snapshot;
    use serde_json::{Value, json};

    #[test]
    fn where_paths_come_first_hosts_may_meet() {
        let compile = |routes: [&Value; 2]| {
            let text =
                json!({"routes": routes, "settings": {"router": "radixtree_uri"}}).to_string();
            let mut report = Report::default();
            compile_json(&text, 0, &mut report).unwrap_or_else(|| panic!("{report:?}"))
        };
        let route = |id, hosts: &[&str]| {
            let upstream = "http://a.test";
            match hosts {
                [] => json!({"id": id, "uri": "/x", "upstream": upstream}),
                _ => json!({"id": id, "uri": "/x", "hosts": hosts, "upstream": upstream}),
            }
        };
        for (hosts, others, met) in [
            (&["a.test"][..], &[][..], true),
            (&["a.test", "b.test"], &["B.test"], true),
            (&["*.test"], &["b.test"], true),
            (&["*.b.test"], &["*.test"], true),
            (&["*.a.test"], &["*.b.test"], false),
            (&["a.test"], &["b.test"], false),
        ] {
            let (a, b) = (route("a", hosts), route("b", others));
            let (before, after) = (compile([&a, &b]), compile([&b, &a]));
            let impact = Comparison::new(&before, &after).finish();
            assert_eq!(!impact.overtakes.is_empty(), met, "{hosts:?} {others:?}");
            let other = snapshot(json!([a, b]));
            let impact = Comparison::new(&other, &after).finish();
            assert!(impact.is_rerouted && impact.overtakes.is_empty());
        }
    }

    /// Sticky rules are compared by the keys that are told.
    #[test]
    fn keys_are_asked_where_they_decide_before_and_after() {
        let rule = |weights: [u32; 2], sticky: Option<&str>| {
            let branches = weights.map(|weight| json!({"weight": weight}));
            let mut rule = json!({"weighted_upstreams": branches});
            if let Some(name) = sticky {
                rule["sticky"] = json!({"by": [format!("header:{name}")]});
            }
            snapshot(split(json!([rule])))
        };
        let (old, new) = (rule([95, 5], Some("x-user")), rule([90, 10], Some("x-user")));
        let mut comparison = Comparison::new(&old, &new);
        assert!(comparison.asks_keys());
        assert_eq!(comparison.asking_count(), 1);
        (0..1000).for_each(|number| comparison.key(format!("user-{number}").as_bytes()));
        let keys = (0..1000).map(|number| format!("user-{number}"));
        let moved: Vec<Moved<'_>> =
            keys.flat_map(|key| comparison.moved(key.as_bytes()).collect::<Vec<_>>()).collect();
        let expected = Moved { route: "r", rule: 0, from: "b0", to: "b1" };
        assert!(moved.iter().all(|it| *it == expected), "{moved:?}");
        let impact = comparison.finish();
        let [SplitImpact { keys: Keys::Stay { count: 1000, moves }, .. }] = &impact.splits[..]
        else {
            panic!("{impact:?}")
        };
        let [Move { from: "b0", to: "b1", count: count @ 20..80 }] = &moves[..] else {
            panic!("{moves:?}")
        };
        assert_eq!(moved.len() as u64, *count);
        let plain = rule([95, 5], None);
        for (before, after, keys) in [(&plain, &old, Keys::Begin), (&old, &plain, Keys::End)] {
            let impact = Comparison::new(before, after).finish();
            assert_eq!(impact.splits.first().map(|split| &split.keys), Some(&keys));
        }
        assert!(Comparison::new(&old, &old).finish().is_none());
    }

    fn impact_of<T>(before: Value, after: Value, look: impl FnOnce(Impact<'_>) -> T) -> T {
        let (before, after) = (snapshot(before), snapshot(after));
        let mut comparison = Comparison::new(&before, &after);
        assert!(!comparison.asks_keys());
        comparison.key(b"somebody");
        look(comparison.finish())
    }

    #[test]
    fn what_is_the_same_changes_nothing() {
        let routes = json!([
            {"id": "a", "uris": ["/x", "/y"], "methods": ["GET", "PUT"], "hosts": ["a.test", "b.test"]},
            {"id": "b", "uri": "/x", "plugins": {"traffic-split": {"rules": [{"weighted_upstreams": [
                {"weight": 1}, {"weight": 1, "rewrite": {"uri": "/2"}}]}]}}},
        ]);
        impact_of(routes.clone(), routes.clone(), |impact| assert!(impact.is_none(), "{impact:?}"));
        // Neither the order in which a route writes things, nor weights that mean the same.
        let mut other = routes.clone();
        other[0]["uris"] = json!(["/y", "/x"]);
        other[0]["methods"] = json!(["PUT", "GET"]);
        other[0]["hosts"] = json!(["b.test", "a.test"]);
        let branches = &mut other[1]["plugins"]["traffic-split"]["rules"][0]["weighted_upstreams"];
        branches[0]["weight"] = json!(50);
        branches[1]["weight"] = json!(50);
        impact_of(routes, other, |impact| assert!(impact.is_none(), "{impact:?}"));
    }

    #[test]
    fn routes_come_and_go_and_are_for_other_requests() {
        let before =
            json!([{"id": "a", "uri": "/a"}, {"id": "b", "uri": "/b"}, {"id": "c", "uri": "/c"}]);
        let after = json!([{"id": "b", "uri": "/b", "methods": ["GET"]}, {"id": "d", "uri": "/d"},
            {"id": "c", "uri": "/c", "status": 0}]);
        impact_of(before, after, |impact| {
            let expected = Impact {
                added: vec!["d"],
                removed: vec!["a", "c"],
                rematched: vec!["b"],
                ..Impact::default()
            };
            assert_eq!(impact, expected);
        });
    }

    #[test]
    fn a_route_goes_ahead_of_another_by_priority_or_order() {
        let (a, b) =
            (json!({"id": "a", "uri": "/x", "methods": ["GET"]}), json!({"id": "b", "uri": "/x"}));
        let mut high = b.clone();
        high["priority"] = json!(3);
        let expected = [Overtake { route: "b", other: "a", host: String::new(), uri: "/x" }];
        let by = || vec![Unreached { route: "a", by: vec!["b"] }];
        for after in [json!([b, a]), json!([a, high])] {
            impact_of(json!([a, b]), after.clone(), |impact| {
                assert_eq!((&impact.overtakes[..], &impact.shadowed), (&expected[..], &by()));
            });
            impact_of(after, json!([a, b]), |impact| {
                assert_eq!((impact.overtakes.len(), impact.unshadowed), (1, vec!["a"]));
            });
        }
    }

    #[test]
    fn routes_that_never_meet_do_not_go_ahead_of_each_other() {
        for (a, b) in [
            (json!({"uri": "/x", "methods": ["GET"]}), json!({"uri": "/x", "methods": ["PUT"]})),
            (json!({"uri": "/x", "host": "a.test"}), json!({"uri": "/x"})),
            (json!({"uri": "/x*"}), json!({"uri": "/x"})),
        ] {
            let (mut a, mut b) = (a, b);
            (a["id"], b["id"]) = (json!("a"), json!("b"));
            impact_of(json!([a, b]), json!([b, a]), |impact| {
                assert!(impact.is_none(), "{impact:?}")
            });
        }
    }

    #[test]
    fn pairs_in_another_order_are_named_up_to_a_limit() {
        let routes: Vec<Value> =
            (0..60).map(|id| json!({"id": format!("r{id}"), "uri": "/x"})).collect();
        let turned: Vec<Value> = routes.iter().rev().cloned().collect();
        impact_of(routes.into(), turned.into(), |impact| {
            assert_eq!(impact.overtakes.len(), OVERTAKES_MAX, "of 1770");
        });
    }

    /// One route whose rule has these branches.
    fn split(branches: Value) -> Value {
        json!([{"id": "r", "uri": "/r", "plugins": {"traffic-split": {"rules": branches}}}])
    }

    #[test]
    fn shares_are_told_by_the_names_of_branches() {
        let list = |branches: Value| split(json!([{"weighted_upstreams": branches}]));
        let before = list(json!([{"name": "v1", "weight": 95}, {"name": "v2", "weight": 5}]));
        let after = list(json!([{"name": "v3", "weight": 1}, {"name": "v1", "weight": 3}]));
        impact_of(before, after, |impact| {
            let share = |weight, total| Some(Share { weight: Weight(weight), total });
            let branch = |name, before, after| BranchImpact { name, before, after };
            let expected = SplitImpact {
                route: "r",
                rule: 0,
                branches: vec![
                    branch("v1", share(95, 100), share(3, 4)),
                    branch("v2", share(5, 100), None),
                    branch("v3", None, share(1, 4)),
                ],
                keys: Keys::Unasked,
            };
            assert_eq!(impact.splits, [expected]);
        });
    }

    #[test]
    fn a_split_can_be_new_or_gone() {
        let none = || json!([{"id": "r", "uri": "/r"}]);
        let some = || split(json!([{"name": "v1", "weight": 1}, {"name": "v2", "weight": 1}]));
        impact_of(none(), some(), |impact| {
            let [split] = &impact.splits[..] else { panic!("{impact:?}") };
            assert!(split.branches.iter().all(|it| it.before.is_none() && it.after.is_some()));
        });
        impact_of(some(), none(), |impact| {
            let [split] = &impact.splits[..] else { panic!("{impact:?}") };
            assert!(split.branches.iter().all(|it| it.before.is_some() && it.after.is_none()));
        });
    }
}
