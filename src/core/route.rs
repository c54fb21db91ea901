//! Which route takes a request.
//!
//! `settings.router` says how (APISIX.md 3.1):
//!
//! | router                         | first                          | then | `:name`, `*name` |
//! |--------------------------------|--------------------------------|------|------------------|
//! | `radixtree_host_uri` (default) | the host, exact before `*`     | path | literal          |
//! | `radixtree_uri`                | the path                       | host | literal          |
//! | `radixtree_uri_with_parameter` | the path up to its parameters  | host | parameters       |
//!
//! An exact host goes before wildcards, longer wildcards before shorter, then come the routes without a
//! host; inside each, an exact path before prefixes, longer prefixes before shorter; inside one path,
//! `priority` from high to low, then the longer path as it is written, then the order of the document.
//! A route whose other conditions fail is passed over and the search goes on.

mod builder;
mod conditions;
mod forest;
mod index;
mod pattern;
mod slots;

use serde::Deserialize;
use std::borrow::Cow;

pub(crate) use self::conditions::{Conditions, METHODS, is_mute};
pub(crate) use self::pattern::Pattern;

use self::builder::Builder;
use self::conditions::{HOST_MAX, Methods};
use self::forest::{Both, Forest, Root};
use self::index::{FEW, Index};
use self::slots::Slots;
use crate::facts::{Facts, Params};

/// How routes are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) enum RouterKind {
    /// By host, then by path.
    #[default]
    #[serde(rename = "radixtree_host_uri")]
    HostUri,
    /// By path; a host is one of the conditions.
    #[serde(rename = "radixtree_uri")]
    Uri,
    /// By path, in which there can be parameters; a host is one of the conditions.
    #[serde(rename = "radixtree_uri_with_parameter")]
    UriWithParameter,
}

/// Finds the route that takes a request.
#[derive(Debug)]
pub(crate) struct Router {
    kind: RouterKind,
    /// By reversed host, where hosts come first.
    hosts: Forest<Root>,
    by_host: Option<Root>,
    paths: Forest<Candidates>,
    any_host: Root,
    candidates: Vec<Candidate>,
    /// Of long lists, by where they start.
    indexes: Vec<(u32, Index)>,
    patterns: Vec<Pattern>,
    conditions: Vec<Conditions>,
}

/// Where the candidates under one path stand.
#[derive(Clone, Copy, Debug)]
struct Candidates {
    start: u32,
    end: u32,
}

/// A route under one path, with what most routes are asked about.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    route: u32,
    pattern: Option<u32>,
    methods: Methods,
    /// Whether nothing else is asked.
    is_plain: bool,
}

/// The route that takes a request.
#[derive(Debug, PartialEq)]
pub(crate) struct Found<'a> {
    /// Its number, in the order given.
    pub(crate) route: usize,
    /// What the parameters in its path stand for.
    pub(crate) params: Params<'a>,
}

/// Why a route under whose path a request is does not take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// Its methods are others.
    Method,
    /// The client is elsewhere.
    Address,
    /// Its hosts are others.
    Host,
    /// What must hold of its variables does not.
    Vars,
}

/// Looks on while a route is searched for.
pub(crate) trait Witness {
    /// A route does not take the request.
    fn passed_over(&mut self, _route: usize, _why: Passed) {}
}

/// Does not look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nobody;

impl Witness for Nobody {}

/// Why a route that neither took a request nor was passed over was not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is switched off.
    Status,
    /// Its paths are others.
    Path,
    /// Its hosts are others.
    Host,
    /// It would come behind the one that took the request.
    Behind,
}

/// A route for which nothing is ever left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreached {
    /// Its number.
    pub(crate) route: usize,
    /// Those that take all of it, in their order.
    pub(crate) by: Vec<usize>,
}

/// A request as it is compared.
struct Asked<'f, 'a> {
    facts: &'f Facts<'a>,
    path: &'f [u8],
    method: Methods,
}

impl Router {
    /// The index of routes, numbered in the order given, and those of them that nothing is left for.
    pub(crate) fn new(kind: RouterKind, conditions: Vec<Conditions>) -> (Self, Vec<Unreached>) {
        let mut slots = Slots::of(kind, &conditions);
        let unreached = slots.unreached(kind, &conditions);
        let mut paths = Builder::new(kind, &conditions);
        let any_host = paths.plant(slots.any_host);
        let has_hosts = !slots.hosts.is_empty();
        let mut hosts = Forest::default();
        let shared: Vec<Root> = slots.shared.into_iter().map(|it| paths.plant(it)).collect();
        let root = |at: usize| shared.get(at).copied();
        let each = |(host, Both { exact, prefix }): (_, Both<usize>)| {
            (host, Both { exact: exact.and_then(root), prefix: prefix.and_then(root) })
        };
        let by_host: Vec<_> = slots.hosts.into_iter().map(each).collect();
        let by_host = has_hosts.then(|| hosts.plant(&by_host));
        let Builder { mut paths, mut candidates, mut indexes, mut patterns, .. } = paths;
        paths.close();
        hosts.close();
        candidates.shrink_to_fit();
        indexes.shrink_to_fit();
        patterns.shrink_to_fit();
        let router = Self {
            kind,
            hosts,
            by_host,
            paths,
            any_host,
            candidates,
            indexes,
            patterns,
            conditions,
        };
        (router, unreached)
    }

    /// The route that takes a request. It allocates only what its parameters stand for, and the path
    /// where that is written with escapes.
    pub(crate) fn find<'a>(
        &'a self,
        facts: &Facts<'_>,
        witness: &mut (impl Witness + ?Sized),
    ) -> Option<Found<'a>> {
        let path = facts.match_path();
        let asked = Asked { facts, path: &path, method: Methods::of(&facts.draft.method) };
        let found = self
            .find_by_host(&asked, witness)
            .or_else(|| self.first(self.any_host, &asked, witness))?;
        let pattern = found.pattern.and_then(|at| self.patterns.get(at as usize));
        let params = pattern.map(|pattern| pattern.params(&path)).unwrap_or_default();
        Some(Found { route: found.route as usize, params })
    }

    /// What the routes take, by their numbers.
    pub(crate) fn conditions(&self) -> &[Conditions] {
        &self.conditions
    }

    /// Why a route was not even asked about a request.
    pub(crate) fn refusal(&self, route: usize, facts: &Facts<'_>) -> Refusal {
        let Some(conditions) = self.conditions.get(route).filter(|it| !it.is_disabled) else {
            return Refusal::Status;
        };
        let path: Cow<'_, [u8]> = facts.match_path();
        match (conditions.has_path(self.kind, &path), conditions.has_host(self.kind, facts)) {
            (false, _) => Refusal::Path,
            (true, false) => Refusal::Host,
            (true, true) => Refusal::Behind,
        }
    }

    fn find_by_host(
        &self,
        asked: &Asked<'_, '_>,
        witness: &mut (impl Witness + ?Sized),
    ) -> Option<Candidate> {
        let by_host = self.by_host?;
        let host = asked.facts.host().as_bytes();
        let mut reversed = [0; HOST_MAX];
        let reversed = reversed.get_mut(..host.len())?;
        for (to, from) in reversed.iter_mut().zip(host.iter().rev()) {
            *to = from.to_ascii_lowercase();
        }
        self.hosts.get(by_host, reversed).find_map(|paths| self.first(paths, asked, witness))
    }

    /// The first candidate under a host that takes the request.
    fn first(
        &self,
        paths: Root,
        asked: &Asked<'_, '_>,
        witness: &mut (impl Witness + ?Sized),
    ) -> Option<Candidate> {
        let mut lists = self.paths.get(paths, asked.path);
        lists.find_map(|list| self.first_of(list, asked, witness))
    }

    /// The first candidate of a list that takes the request.
    fn first_of(
        &self,
        list: Candidates,
        asked: &Asked<'_, '_>,
        witness: &mut (impl Witness + ?Sized),
    ) -> Option<Candidate> {
        let all = self.candidates.get(list.start as usize..list.end as usize)?;
        let mut takes = |candidate: &&Candidate| self.takes(candidate, asked, witness);
        match self.index(list).and_then(|index| index.get(asked.path, asked.facts)) {
            Some(some) => {
                some.filter_map(|at| self.candidates.get(at as usize)).find(takes).copied()
            }
            None => all.iter().find(&mut takes).copied(),
        }
    }

    /// The index of a list, if it is long enough to have one.
    fn index(&self, Candidates { start, end }: Candidates) -> Option<&Index> {
        if (end - start) as usize <= FEW {
            return None;
        }
        let at = self.indexes.binary_search_by_key(&start, |(start, _)| *start).ok()?;
        self.indexes.get(at).map(|(_, index)| index)
    }

    fn takes(
        &self,
        candidate: &Candidate,
        asked: &Asked<'_, '_>,
        witness: &mut (impl Witness + ?Sized),
    ) -> bool {
        let pattern = candidate.pattern.and_then(|at| self.patterns.get(at as usize));
        if pattern.is_some_and(|pattern| !pattern.matches(asked.path)) {
            return false;
        }
        let route = candidate.route as usize;
        let why = if !candidate.methods.has(asked.method) {
            Some(Passed::Method)
        } else if candidate.is_plain {
            None
        } else {
            let asks_host = self.kind != RouterKind::HostUri;
            self.conditions.get(route).and_then(|it| it.failed(asks_host, asked.facts))
        };
        if let Some(why) = why {
            witness.passed_over(route, why);
        }
        why.is_none()
    }
}

#[cfg(test)]
mod tests;
