//! Which routes are asked, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use crate::survey::{RouteView, Unreached, places};

/// The most pairs of routes that are named: of a list that is turned round, all are in another order.
pub const OVERTAKES_MAX: usize = 1000;

/// A route is asked before another, behind which it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overtake<'s> {
    /// The route that is ahead.
    pub route: &'s str,
    /// The one that was.
    pub other: &'s str,
    /// A host for which it is so; empty for any.
    pub host: String,
    /// A path for which it is so.
    pub uri: &'s str,
}

/// Who is not reached any more, and who is again, of those that are there.
pub(super) fn shadows<'s>(
    before: Vec<Unreached<'s>>,
    after: Vec<Unreached<'s>>,
    is: &BTreeSet<&str>,
) -> (Vec<Unreached<'s>>, Vec<&'s str>) {
    let ids = |list: &[Unreached<'s>]| list.iter().map(|one| one.route).collect();
    let (was, now): (BTreeSet<&str>, BTreeSet<&str>) = (ids(&before), ids(&after));
    let freed = before.iter().map(|one| one.route);
    let freed = freed.filter(|id| is.contains(id) && !now.contains(id)).collect();
    (after.into_iter().filter(|one| !was.contains(one.route)).collect(), freed)
}

/// The routes that are in both, as before and as after, in the new order.
pub(super) fn common<'s>(
    old: &[RouteView<'s>],
    new: &[RouteView<'s>],
) -> Vec<(RouteView<'s>, RouteView<'s>)> {
    let by_id: BTreeMap<&str, RouteView<'s>> = old.iter().map(|it| (it.id(), *it)).collect();
    new.iter().filter_map(|it| Some((*by_id.get(it.id())?, *it))).collect()
}

/// Whether a route is for other hosts, paths or methods, in whatever order they are written.
pub(super) fn is_rematched((old, new): &(RouteView<'_>, RouteView<'_>)) -> bool {
    let sets = |route: &RouteView<'_>| {
        let lists = [route.hosts(), route.uris(), route.methods()];
        lists.map(|list| list.iter().cloned().collect::<BTreeSet<String>>())
    };
    sets(old) != sets(new)
}

/// Whether one request can be for both.
fn share_method(one: &RouteView<'_>, other: &RouteView<'_>) -> bool {
    let (one, other) = (one.methods(), other.methods());
    one.is_empty() || other.is_empty() || one.iter().any(|method| other.contains(method))
}

/// The pairs of routes that are asked in another order somewhere, each once. Which of several places a
/// request is for does not depend on the routes there, so that only those at one place can change.
pub(super) fn overtakes<'s>(old: &[RouteView<'s>], new: &[RouteView<'s>]) -> Vec<Overtake<'s>> {
    let before = places(old);
    let mut found = BTreeMap::new();
    for ((host, uri), order) in places(new) {
        let was = before.get(&(host.clone(), uri)).map(Vec::as_slice).unwrap_or_default();
        let was = was.iter().filter_map(|number| old.get(*number)).enumerate();
        let was: BTreeMap<&str, (usize, &RouteView<'s>)> =
            was.map(|(position, route)| (route.id(), (position, route))).collect();
        let stayed = order.iter().filter_map(|number| {
            let route = new.get(*number)?;
            Some((*number, route, *was.get(route.id())?))
        });
        let stayed: Vec<_> = stayed.collect();
        for (index, (first, route, (position, earlier))) in stayed.iter().enumerate() {
            let behind = stayed.iter().skip(index + 1);
            for (second, other, (other_position, other_earlier)) in behind {
                let met = share_method(route, other) && share_method(earlier, other_earlier);
                if position > other_position && met && found.len() < OVERTAKES_MAX {
                    found.entry((*first, *second)).or_insert_with(|| Overtake {
                        route: route.id(),
                        other: other.id(),
                        host: host.clone(),
                        uri,
                    });
                }
            }
        }
    }
    found.into_values().collect()
}
