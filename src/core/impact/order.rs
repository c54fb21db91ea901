//! Which routes are asked, and in which order.

use ipnet::IpNet;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::gather::Gather as _;
use crate::route::RouterKind;
use crate::survey::{RouteView, Unreached};

/// The most pairs of routes that are named: of a list that is turned round, all are in another order.
pub const OVERTAKES_MAX: usize = 1000;

/// A route is asked before another, behind which it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overtake<'s> {
    /// The route that is ahead.
    pub route: &'s str,
    /// The one that was.
    pub other: &'s str,
    /// A host for which it is so; empty where it is so for all that both take.
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
    let by_id: BTreeMap<&str, RouteView<'s>> = old.iter().map(|it| (it.id(), *it)).gather();
    new.iter().filter_map(|it| Some((*by_id.get(it.id())?, *it))).collect()
}

/// Whether a route is for other requests, in whatever order that is written.
pub(super) fn is_rematched((old, new): &(RouteView<'_>, RouteView<'_>)) -> bool {
    let lists = |route: &RouteView<'_>| {
        let lists = [route.hosts(), route.uris(), route.methods()];
        lists.map(|list| list.iter().cloned().collect::<BTreeSet<String>>())
    };
    let addresses = |route: &RouteView<'_>| -> BTreeSet<IpNet> {
        route.conditions().addresses.iter().copied().collect()
    };
    lists(old) != lists(new)
        || old.conditions().vars != new.conditions().vars
        || addresses(old) != addresses(new)
}

/// A host as it is compared, empty for any or where hosts do not come first, and a path: where routes
/// stand one behind the other.
type Place<'s> = (String, &'s str);

/// The numbers of the routes at each place, in the order in which they are asked there: by priority from
/// high to low, then as in the document.
fn places<'s>(kind: RouterKind, routes: &[RouteView<'s>]) -> BTreeMap<Place<'s>, Vec<usize>> {
    let mut places: BTreeMap<Place<'s>, Vec<usize>> = BTreeMap::new();
    for (number, route) in routes.iter().enumerate() {
        let any = [String::new()];
        let comes_first = kind == RouterKind::HostUri && !route.hosts().is_empty();
        let hosts = if comes_first { route.hosts() } else { &any };
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

/// Whether one request can be for both, as far as methods and hosts say.
fn meet(one: &RouteView<'_>, other: &RouteView<'_>) -> bool {
    let (methods, others) = (one.methods(), other.methods());
    let is_any = methods.is_empty() || others.is_empty();
    let hosts = one.hosts().iter().flat_map(|host| other.hosts().iter().map(move |it| (host, it)));
    let is_any_host = one.hosts().is_empty() || other.hosts().is_empty();
    (is_any || methods.iter().any(|method| others.contains(method)))
        && (is_any_host || hosts.into_iter().any(|(host, other)| is_common(host, other)))
}

/// Whether a host can be like both, each exact or with a `*` in front.
fn is_common(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    match (one.strip_prefix('*'), other.strip_prefix('*')) {
        (Some(one), Some(other)) => one.ends_with(other) || other.ends_with(one),
        (Some(suffix), None) => other.ends_with(suffix),
        (None, Some(suffix)) => one.ends_with(suffix),
        (None, None) => one == other,
    }
}

/// The pairs of routes that are asked in another order somewhere, each once. Which of several places a
/// request is for does not depend on the routes there, so that only those at one place can change.
pub(super) fn overtakes<'s>(
    kind: RouterKind,
    old: &[RouteView<'s>],
    new: &[RouteView<'s>],
) -> Vec<Overtake<'s>> {
    let before = places(kind, old);
    let mut found = BTreeMap::new();
    for (place, order) in places(kind, new) {
        let was = before.get(&place).map(Vec::as_slice).unwrap_or_default();
        let was = was.iter().filter_map(|number| old.get(*number)).enumerate();
        let was: BTreeMap<&str, (usize, &RouteView<'s>)> =
            was.map(|(position, route)| (route.id(), (position, route))).collect();
        let stayed = order.iter().filter_map(|number| {
            let route = new.get(*number)?;
            Some((*number, route, *was.get(route.id())?))
        });
        let stayed: Vec<_> = stayed.collect();
        for (index, (first, route, (position, earlier))) in stayed.iter().enumerate() {
            for (second, other, (other_position, other_earlier)) in stayed.iter().skip(index + 1) {
                let is_ahead = position > other_position;
                if found.len() < OVERTAKES_MAX
                    && is_ahead
                    && meet(route, other)
                    && meet(earlier, other_earlier)
                {
                    let (route, other, (host, uri)) = (route.id(), other.id(), place.clone());
                    let overtake = Overtake { route, other, host, uri };
                    found.entry((*first, *second)).or_insert(overtake);
                }
            }
        }
    }
    found.into_values().collect()
}
