//! The candidates under each host and path, in the order in which they are asked, before they are an
//! index; and those of them that are never asked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::conditions::{Conditions, METHODS, Methods, pattern};
use super::forest::Both;
use super::{RouterKind, Unreached};

/// What stands under one host: the candidates of each path.
pub(super) type Paths = BTreeMap<Box<[u8]>, Both<Vec<Slot>>>;

/// All candidates.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// What stands under hosts: those that have the same routes share it.
    pub(super) shared: Vec<Paths>,
    /// By reversed host, so that a wildcard is a prefix: which of them.
    pub(super) hosts: BTreeMap<Box<[u8]>, Both<usize>>,
    pub(super) any_host: Paths,
}

/// A route under one of its paths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) route: usize,
    /// Which of its paths.
    pub(super) uri: usize,
}

impl Slots {
    pub(super) fn of(kind: RouterKind, routes: &[Conditions]) -> Self {
        let mut slots = Self::default();
        let mut by_hosts: BTreeMap<&[String], Vec<usize>> = BTreeMap::new();
        for (route, conditions) in routes.iter().enumerate().filter(|(_, it)| !it.is_disabled) {
            if kind != RouterKind::HostUri || conditions.hosts.is_empty() {
                add(&mut slots.any_host, kind, route, conditions);
            } else {
                by_hosts.entry(&conditions.hosts).or_default().push(route);
            }
        }
        slots.share(kind, routes, &by_hosts);
        slots.each(|list| list.sort_by_cached_key(|slot| rank(*slot, routes)));
        slots
    }

    /// Adds the routes that have hosts: as many hosts may stand under one service with many routes, none
    /// of them gets paths of its own if another one has the same.
    fn share(
        &mut self,
        kind: RouterKind,
        routes: &[Conditions],
        by_hosts: &BTreeMap<&[String], Vec<usize>>,
    ) {
        let mut sets: BTreeMap<Box<[u8]>, Both<BTreeSet<usize>>> = BTreeMap::new();
        for (number, hosts) in by_hosts.keys().enumerate() {
            for host in *hosts {
                let name = host.strip_prefix('*');
                let key: Box<[u8]> = name.unwrap_or(host).bytes().rev().collect();
                sets.entry(key).or_default().slot(name.is_some()).insert(number);
            }
        }
        let by_set: Vec<&Vec<usize>> = by_hosts.values().collect();
        let mut known: BTreeMap<BTreeSet<usize>, usize> = BTreeMap::new();
        let mut number_of = |set: BTreeSet<usize>| {
            *known.entry(set).or_insert_with_key(|set| {
                let mut paths = Paths::new();
                for route in set.iter().filter_map(|set| by_set.get(*set)).copied().flatten() {
                    let Some(conditions) = routes.get(*route) else { continue };
                    add(&mut paths, kind, *route, conditions);
                }
                self.shared.push(paths);
                self.shared.len() - 1
            })
        };
        for (host, Both { exact, prefix }) in sets {
            let both =
                Both { exact: exact.map(&mut number_of), prefix: prefix.map(&mut number_of) };
            self.hosts.insert(host, both);
        }
    }

    /// The routes for which nothing is ever left.
    pub(super) fn unreached(&mut self, kind: RouterKind, routes: &[Conditions]) -> Vec<Unreached> {
        let mut found: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        let mut is_reached = vec![false; routes.len()];
        self.each(|list| {
            let mut reach = |route: usize| {
                if let Some(is_reached) = is_reached.get_mut(route) {
                    *is_reached = true;
                }
            };
            if let [alone] = list[..] {
                return reach(alone.route);
            }
            let mut takers = Takers::default();
            for slot in list.iter() {
                let Some(conditions) = routes.get(slot.route) else { continue };
                let uses = uses(kind, *slot, conditions);
                match takers.all_of(&uses, conditions.methods(), slot.route) {
                    Some(by) => found.entry(slot.route).or_default().extend(by),
                    None => reach(slot.route),
                }
                if conditions.is_plain() {
                    takers.add(uses, conditions.methods(), slot.route);
                }
            }
        });
        found.retain(|route, _| is_reached.get(*route) != Some(&true));
        let unreached = |(route, by): (usize, BTreeSet<usize>)| Unreached {
            route,
            by: by.into_iter().collect(),
        };
        found.into_iter().map(unreached).collect()
    }

    fn each(&mut self, mut visit: impl FnMut(&mut Vec<Slot>)) {
        for paths in self.shared.iter_mut().chain([&mut self.any_host]) {
            let lists = paths.values_mut();
            lists
                .flat_map(|both| both.exact.iter_mut().chain(&mut both.prefix))
                .for_each(&mut visit);
        }
    }
}

fn add(paths: &mut Paths, kind: RouterKind, route: usize, conditions: &Conditions) {
    for (uri, text) in conditions.uris.iter().enumerate() {
        let pattern = pattern(kind, text);
        let start = pattern.as_ref().map(|pattern| pattern.lead(text)).or(text.strip_suffix('*'));
        let key = start.unwrap_or(text).as_bytes().into();
        let list = paths.entry(key).or_default().slot(start.is_some());
        if list.is_empty() {
            // Most paths are those of one route.
            list.reserve_exact(1);
        }
        list.push(Slot { route, uri });
    }
}

/// Under one path: `priority` from high to low, then the longer path as it is written, then the order
/// of the document.
fn rank(slot: Slot, routes: &[Conditions]) -> (Reverse<i64>, Reverse<usize>, usize) {
    let route = routes.get(slot.route);
    let length = route.and_then(|route| route.uris.get(slot.uri)).map_or(0, String::len);
    (Reverse(route.map_or(0, |route| route.priority)), Reverse(length), slot.route)
}

/// What a route takes under one path: the path without the names in it, and the hosts, as far as the
/// path does not stand under them.
#[derive(Clone, Debug)]
struct Uses {
    shape: String,
    hosts: Vec<String>,
}

fn uses(kind: RouterKind, slot: Slot, conditions: &Conditions) -> Uses {
    let uri = conditions.uris.get(slot.uri).map(String::as_str).unwrap_or_default();
    let nameless = |segment: &str| match (segment.strip_prefix(':'), segment.strip_prefix('*')) {
        (Some(_), _) => ":".to_owned(),
        (_, Some(_)) => "*".to_owned(),
        (None, None) => segment.to_owned(),
    };
    let shape = match kind {
        RouterKind::UriWithParameter => uri.split('/').map(nameless).collect::<Vec<_>>().join("/"),
        RouterKind::HostUri | RouterKind::Uri => String::new(),
    };
    let hosts = match kind {
        RouterKind::Uri | RouterKind::UriWithParameter if !conditions.hosts.is_empty() => {
            conditions.hosts.iter().map(|host| host.to_ascii_lowercase()).collect()
        }
        RouterKind::HostUri | RouterKind::Uri | RouterKind::UriWithParameter => {
            vec!["*".to_owned()]
        }
    };
    Uses { shape, hosts }
}

/// Which method is taken by which route, unconditionally.
type ByMethod = [Option<usize>; 16];

/// Who takes what under one path, by shape and host.
#[derive(Debug, Default)]
struct Takers {
    by_use: BTreeMap<(String, String), ByMethod>,
    /// Whether one of the hosts has a `*` and something behind it.
    has_wildcards: bool,
}

impl Takers {
    fn add(&mut self, uses: Uses, methods: Methods, route: usize) {
        for host in uses.hosts {
            self.has_wildcards |= host.len() > 1 && host.starts_with('*');
            let taken = self.by_use.entry((uses.shape.clone(), host)).or_default();
            for (bit, taker) in taken.iter_mut().enumerate() {
                if methods.has(Methods(1 << bit)) {
                    taker.get_or_insert(route);
                }
            }
        }
    }

    /// The routes that together leave nothing for another one, if there are such.
    fn all_of(&self, uses: &Uses, methods: Methods, route: usize) -> Option<BTreeSet<usize>> {
        let mut by = BTreeSet::new();
        if self.by_use.is_empty() {
            return None;
        }
        for host in &uses.hosts {
            let all = self.over(&uses.shape, host);
            // All methods that nobody can name are one.
            for bit in (0..=METHODS.len()).filter(|bit| methods.has(Methods(1 << bit))) {
                let taker = all.iter().find_map(|taken| *taken.get(bit)?)?;
                by.insert(taker);
            }
        }
        by.remove(&route);
        Some(by).filter(|by| !by.is_empty())
    }

    /// What is taken of the same shape or of all, under the same host or a wider one.
    fn over(&self, shape: &str, host: &str) -> Vec<&ByMethod> {
        let mut wider = vec!["*".to_owned(), host.to_owned()];
        if self.has_wildcards {
            let name = host.strip_prefix('*').unwrap_or(host);
            let ends = name.char_indices().filter_map(|(at, _)| name.get(at..));
            wider.extend(ends.map(|end| format!("*{end}")));
        }
        let mut all = Vec::new();
        for shape in self.shapes(shape) {
            let found =
                wider.iter().filter_map(|host| self.by_use.get(&(shape.clone(), host.clone())));
            all.extend(found);
        }
        all
    }

    /// The shape, and the one behind whose common beginning anything may stand.
    fn shapes(&self, shape: &str) -> Vec<String> {
        let is_special = |segment: &&str| !segment.starts_with([':', '*']);
        let lead: Vec<&str> = shape.split('/').take_while(is_special).collect();
        let open = format!("{}/*", lead.join("/"));
        let has_more = open != shape && lead.len() < shape.split('/').count();
        [shape.to_owned()].into_iter().chain(has_more.then_some(open)).collect()
    }
}
