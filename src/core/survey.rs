//! A configuration seen from outside: what its routes and splits are, and where a key or the next
//! request would go. For those who show what will happen; nothing of it moves a share.

use crate::forced::Override;
use crate::guard::Guard;
use crate::limit::BranchLimit;
use crate::rotation::{Rotation, Weight};
use crate::route::Conditions;
use crate::snapshot::{Route, Snapshot};
use crate::split::{Keyed, Rule};

/// One enabled route.
#[derive(Clone, Copy)]
pub struct RouteView<'s> {
    route: &'s Route,
    conditions: &'s Conditions,
}

/// The branches that some of the requests of a route are divided among.
#[derive(Clone, Copy)]
pub struct RuleView<'s>(&'s Rule);

/// A route to which no request ever comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached<'s> {
    /// Its id.
    pub route: &'s str,
    /// Those that take all of it, in the order of the document.
    pub by: Vec<&'s str>,
}

/// All enabled routes, in the order of the document.
pub fn routes(snapshot: &Snapshot) -> impl Iterator<Item = RouteView<'_>> {
    let both = snapshot.routes().iter().zip(snapshot.conditions());
    both.map(|(route, conditions)| RouteView { route, conditions })
}

/// The routes for which others leave nothing, in the order of the document.
pub fn unreached(snapshot: &Snapshot) -> Vec<Unreached<'_>> {
    let id = |number: &usize| snapshot.routes().get(*number).map(|route| &*route.id);
    let told = snapshot.unreached().iter().filter_map(|found| {
        Some(Unreached { route: id(&found.route)?, by: found.by.iter().filter_map(id).collect() })
    });
    told.collect()
}

/// Whether something is to be signed or checked that takes a secret: issued cookies, override tokens.
pub fn asks_secret(snapshot: &Snapshot) -> bool {
    let asks = |rule: &Rule| {
        rule.keyed().is_some_and(Keyed::issues) || rule.forced().is_some_and(Override::takes_tokens)
    };
    snapshot.routes().iter().flat_map(|route| route.split.rules()).any(asks)
}

/// Whether a limit is to be counted in the store that all share.
pub fn shares_limits(snapshot: &Snapshot) -> bool {
    let of_routes = snapshot.routes().iter().flat_map(|route| route.guards.all());
    let mut rules = snapshot.routes().iter().flat_map(|route| route.split.rules());
    let shares = |rule: &Rule| {
        let mut limits = rule.branches.list().iter().filter_map(|branch| branch.limit.as_deref());
        limits.any(BranchLimit::is_shared)
    };
    of_routes.chain(snapshot.guards_of_consumers()).any(Guard::is_shared) || rules.any(shares)
}

impl<'s> RouteView<'s> {
    /// Its id.
    pub fn id(&self) -> &'s str {
        &self.route.id
    }

    /// The hosts that it takes, exact or with a `*` in front; any, if there are none.
    pub fn hosts(&self) -> &'s [String] {
        &self.conditions.hosts
    }

    /// The paths that it takes, exact, with a `*` behind or with parameters.
    pub fn uris(&self) -> &'s [String] {
        &self.conditions.uris
    }

    /// The methods that it takes; any, if there are none.
    pub fn methods(&self) -> &'s [String] {
        &self.conditions.methods
    }

    /// Where it stands among routes for the same host and path: higher is asked first.
    pub fn priority(&self) -> i64 {
        self.conditions.priority
    }

    /// All that decides whether it takes a request.
    pub(crate) fn conditions(&self) -> &'s Conditions {
        self.conditions
    }

    /// Its rules, in the order in which they are asked.
    pub fn rules(&self) -> impl Iterator<Item = RuleView<'s>> + use<'s> {
        self.route.split.rules().map(RuleView)
    }

    /// Its splits: the rules of its plugins, each with its number.
    pub fn splits(&self) -> impl Iterator<Item = (usize, RuleView<'s>)> + use<'s> {
        self.rules().filter_map(|rule| Some((rule.number()?, rule)))
    }
}

impl<'s> RuleView<'s> {
    /// Its number in its plugin; nothing for what goes to the route's own upstream.
    pub fn number(&self) -> Option<usize> {
        self.0.number()
    }

    /// Names and weights of its branches.
    pub fn branches(&self) -> impl Iterator<Item = (&'s str, Weight)> + use<'s> {
        self.0.branches.list().iter().map(|branch| (&*branch.name, branch.weight))
    }

    /// A walk of the same weights from its beginning: the branches that requests without a key get.
    pub fn walk(&self) -> Rotation {
        self.0.branches.walk()
    }

    /// Which branch has a key, if keys decide here.
    pub fn owner(&self, key: &[u8]) -> Option<usize> {
        self.0.keyed().map(|keyed| keyed.owner(key))
    }

    /// Whether keys decide here.
    pub fn is_sticky(&self) -> bool {
        self.0.keyed().is_some()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::fault::Report;
    use crate::snapshot::compile_json;
    use serde_json::{Value, json};

    /// A configuration of these routes, each with an upstream of its own.
    pub(crate) fn snapshot(routes: Value) -> Snapshot {
        let mut routes = routes;
        for route in routes.as_array_mut().expect("a list") {
            route["upstream"] = json!("http://a.test");
        }
        let mut report = Report::default();
        let text = json!({"routes": routes}).to_string();
        compile_json(&text, 0, &mut report).unwrap_or_else(|| panic!("{report:?}"))
    }

    #[test]
    fn routes_that_nothing_is_left_for_are_known_by_their_ids() {
        let snapshot = snapshot(json!([
            {"id": "off", "uri": "/x", "status": 0},
            {"id": "get", "uri": "/x", "methods": ["GET"]},
            {"id": "late", "uri": "/x", "methods": ["GET"], "priority": -1},
        ]));
        let ids: Vec<&str> = routes(&snapshot).map(|route| route.id()).collect();
        assert_eq!(ids, ["get", "late"]);
        assert_eq!(unreached(&snapshot), [Unreached { route: "late", by: vec!["get"] }]);
    }

    #[test]
    fn limits_that_are_shared_are_known() {
        for (policy, expected) in [("local", false), ("shared", true)] {
            let limit = json!({"count": 1, "time_window": 60, "policy": policy});
            let routes = json!([{"uri": "/x", "plugins": {"limit-count": limit.clone()}}]);
            assert_eq!(shares_limits(&snapshot(routes)), expected, "{policy}");
            let branches = [json!({"upstream": "http://b.test", "weight": 1, "limit": limit})];
            let rules = json!({"rules": [{"weighted_upstreams": branches}]});
            let routes = json!([{"uri": "/x", "plugins": {"traffic-split": rules}}]);
            assert_eq!(shares_limits(&snapshot(routes)), expected, "{policy}");
        }
    }
}
