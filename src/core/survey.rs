//! A configuration seen from outside: what its routes and splits are, and where a key or the next
//! request would go. For those who show what will happen; nothing of it moves a share.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::rotation::{Rotation, Weight};
use crate::route::Conditions;
use crate::snapshot::{Route, Snapshot};
use crate::split::Rule;

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

/// A host as it is compared (empty for any) and a path: where routes stand one behind the other.
pub(crate) type Place<'s> = (String, &'s str);

/// All enabled routes, in the order of the document.
pub fn routes(snapshot: &Snapshot) -> impl Iterator<Item = RouteView<'_>> {
    let conditions = snapshot.conditions().iter();
    snapshot
        .routes()
        .iter()
        .zip(conditions)
        .map(|(route, conditions)| RouteView { route, conditions })
}

/// The routes for which others leave nothing, in the order of the document.
pub fn unreached(snapshot: &Snapshot) -> Vec<Unreached<'_>> {
    let routes: Vec<RouteView<'_>> = routes(snapshot).collect();
    // Who takes what a route would: nothing, as soon as one of its places leaves it something.
    let mut taken: BTreeMap<usize, Option<BTreeSet<usize>>> = BTreeMap::new();
    for order in places(&routes).values() {
        for (position, number) in order.iter().enumerate() {
            let ahead = order.get(..position).unwrap_or_default();
            let takers = takers(*number, ahead, &routes);
            let known = taken.entry(*number).or_insert_with(|| Some(BTreeSet::new()));
            match (known.as_mut(), takers) {
                (Some(known), Some(takers)) => known.extend(takers),
                (Some(_), None) | (None, _) => *known = None,
            }
        }
    }
    let id = |number: usize| routes.get(number).map(RouteView::id);
    let found = taken.into_iter().filter_map(|(number, by)| Some((id(number)?, by?)));
    found
        .map(|(route, by)| Unreached { route, by: by.into_iter().filter_map(id).collect() })
        .collect()
}

/// Those of `ahead` that together take all that comes to a route, at a place where they are asked first.
fn takers(number: usize, ahead: &[usize], routes: &[RouteView<'_>]) -> Option<Vec<usize>> {
    let methods = |number: usize| routes.get(number).map_or(&[][..], RouteView::methods);
    if let Some(one) = ahead.iter().find(|ahead| methods(**ahead).is_empty()) {
        return Some(vec![*one]);
    }
    let own = methods(number);
    let takes = |number: usize| methods(number).iter().any(|method| own.contains(method));
    let takers: Vec<usize> = ahead.iter().copied().filter(|ahead| takes(*ahead)).collect();
    let is_taken = |method| takers.iter().any(|taker| methods(*taker).contains(method));
    (!own.is_empty() && own.iter().all(is_taken)).then_some(takers)
}

/// The numbers of the routes at each place, in the order in which they are asked there: by priority from
/// high to low, then as in the document.
pub(crate) fn places<'s>(routes: &[RouteView<'s>]) -> BTreeMap<Place<'s>, Vec<usize>> {
    let mut places: BTreeMap<Place<'s>, Vec<usize>> = BTreeMap::new();
    for (number, route) in routes.iter().enumerate() {
        let any = [String::new()];
        let hosts = if route.hosts().is_empty() { &any } else { route.hosts() };
        let pairs = hosts.iter().flat_map(|host| route.uris().iter().map(move |uri| (host, uri)));
        for (host, uri) in pairs {
            let order = places.entry((host.to_ascii_lowercase(), uri.as_str())).or_default();
            // A route may write one host twice, in letters of either case.
            if order.last() != Some(&number) {
                order.push(number);
            }
        }
    }
    for order in places.values_mut() {
        order.sort_by_key(|number| Reverse(routes.get(*number).map(RouteView::priority)));
    }
    places
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

    /// The paths that it takes, exact or with a `*` behind.
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
        self.0.number
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
    pub fn owner(&self, _key: &[u8]) -> Option<usize> {
        None
    }

    /// Whether keys decide here.
    pub fn is_sticky(&self) -> bool {
        self.owner(&[]).is_some()
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

    #[track_caller]
    fn check_unreached(routes: Value, expected: &[(&str, &[&str])]) {
        let snapshot = snapshot(routes);
        let found = unreached(&snapshot);
        let found: Vec<(&str, &[&str])> =
            found.iter().map(|found| (found.route, &*found.by)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_route_behind_another_that_takes_everything_is_never_reached() {
        check_unreached(
            json!([{"id": "a", "uri": "/x"}, {"id": "b", "uri": "/x", "methods": ["GET"]}]),
            &[("b", &["a"])],
        );
        check_unreached(
            json!([{"id": "a", "uri": "/x"}, {"id": "b", "uri": "/x", "priority": 1}]),
            &[("a", &["b"])],
        );
    }

    #[test]
    fn several_may_leave_nothing_together() {
        let get = json!({"id": "g", "uri": "/x", "methods": ["GET"]});
        let put = json!({"id": "p", "uri": "/x", "methods": ["PUT", "POST"]});
        let both = json!({"id": "b", "uri": "/x", "methods": ["GET", "PUT"]});
        check_unreached(json!([get, put, both]), &[("b", &["g", "p"])]);
        check_unreached(json!([get, both]), &[]);
        check_unreached(json!([get, put, {"id": "any", "uri": "/x"}]), &[]);
    }

    #[test]
    fn one_place_that_is_left_is_enough_to_be_reached() {
        let first = json!({"id": "a", "uris": ["/x", "/y"], "host": "A.test"});
        for (uris, hosts, is_unreached) in [
            (json!(["/y", "/x"]), json!(["a.test"]), true),
            (json!(["/y", "/z"]), json!(["a.test"]), false),
            (json!(["/y"]), json!(["a.test", "b.test"]), false),
            (json!(["/y*"]), json!(["a.test"]), false),
        ] {
            let second = json!({"id": "b", "uris": uris, "hosts": hosts});
            let expected: &[(&str, &[&str])] = if is_unreached { &[("b", &["a"])] } else { &[] };
            check_unreached(json!([first, second]), expected);
        }
        check_unreached(json!([{"id": "a", "uri": "/x", "hosts": ["a.test", "A.test"]}]), &[]);
    }
}
