//! How what stands under hosts and paths becomes an index.

use super::conditions::{Conditions, pattern};
use super::forest::{Both, Forest, Root, small};
use super::index::{Entry, FEW, Index};
use super::pattern::Pattern;
use super::slots::{Paths, Slot};
use super::{Candidate, Candidates, RouterKind};

/// How many combinations of candidate and host are held so that hosts are looked up where they are a
/// condition: of more, each candidate is asked.
const PLACES_MAX: usize = 1_000_000;

/// What stands under the hosts of a [`Router`](super::Router), while it is built.
pub(super) struct Builder<'c> {
    kind: RouterKind,
    conditions: &'c [Conditions],
    pub(super) paths: Forest<Candidates>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) indexes: Vec<(u32, Index)>,
    /// How many combinations of candidate and host the indexes may still hold.
    places_left: usize,
    pub(super) patterns: Vec<Pattern>,
}

impl<'c> Builder<'c> {
    pub(super) fn new(kind: RouterKind, conditions: &'c [Conditions]) -> Self {
        let (candidates, indexes, patterns) = (Vec::new(), Vec::new(), Vec::new());
        let (paths, places_left) = (Forest::default(), PLACES_MAX);
        Self { kind, conditions, paths, candidates, indexes, places_left, patterns }
    }

    /// Adds what stands under a host.
    pub(super) fn plant(&mut self, paths: Paths) -> Root {
        let each = |(key, both): (_, Both<Vec<Slot>>)| {
            let exact = both.exact.map(|list| self.list(&list));
            let prefix = both.prefix.map(|list| self.list(&list));
            (key, Both { exact, prefix })
        };
        let keys: Vec<_> = paths.into_iter().map(each).collect();
        self.paths.plant(&keys)
    }

    fn list(&mut self, slots: &[Slot]) -> Candidates {
        let start = small(self.candidates.len());
        for Slot { route, uri } in slots {
            let Some(conditions) = self.conditions.get(*route) else { continue };
            let pattern = conditions.uris.get(*uri).and_then(|uri| pattern(self.kind, uri));
            let number = small(self.patterns.len());
            let pattern = pattern.map(|pattern| {
                self.patterns.push(pattern);
                number
            });
            let is_host_known = self.kind == RouterKind::HostUri || conditions.hosts.is_empty();
            let is_plain = is_host_known && conditions.is_plain();
            let methods = conditions.methods();
            self.candidates.push(Candidate { route: small(*route), pattern, methods, is_plain });
        }
        let end = small(self.candidates.len());
        if (end - start) as usize > FEW {
            let index = self.index(start);
            self.indexes.extend(index.map(|index| (start, index)));
        }
        Candidates { start, end }
    }

    /// The index of the last list.
    fn index(&mut self, start: u32) -> Option<Index> {
        let list = self.candidates.get(start as usize..)?;
        let entries = (start..).zip(list).filter_map(|(candidate, it)| {
            let conditions = self.conditions.get(it.route as usize)?;
            let pattern = it.pattern.and_then(|at| self.patterns.get(at as usize));
            let is_known = self.kind == RouterKind::HostUri;
            let hosts = if is_known { &[] } else { &conditions.hosts[..] };
            Some(Entry { candidate, pattern, hosts })
        });
        Index::of(&entries.collect::<Vec<_>>(), &mut self.places_left)
    }
}
