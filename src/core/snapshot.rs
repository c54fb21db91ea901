//! The compiled configuration: immutable, shared, complete. [`compile`] is the only way to get one,
//! for the loader, the Admin API, the command line and the tests alike.

mod compilation;
mod follow;
mod listed;
mod revision;
mod route;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::auth::{Consumers, Known};
use crate::balance::Upstream;
use crate::config::{Published, Settings};
use crate::facts::{Facts, Params};
use crate::gather::Gather as _;
use crate::guard::Guard;
use crate::id::Id;
use crate::limit::Counters;
use crate::meter::{LaneNumber, Meters};
use crate::route::{Conditions, Refusal, Router, RouterKind, Unreached, Witness};
use crate::split::{Mirror, Placed, Rule};

pub use compilation::{check, compile, compile_faultless, compile_json};
use follow::at_lane;
pub use revision::Revision;
pub(crate) use route::Route;

/// A compiled configuration.
#[derive(Debug)]
pub struct Snapshot {
    revision: Revision,
    published: Option<Published>,
    settings: Settings,
    /// Those that have an id.
    upstreams: BTreeMap<Id, Arc<Upstream>>,
    consumers: Consumers,
    /// The guards that consumers have of their own, by their numbers.
    of_consumers: Vec<Box<[Guard]>>,
    counters: Arc<Counters>,
    routes: Vec<Route>,
    router: Router,
    unreached: Vec<Unreached>,
    meters: Meters,
}

impl Snapshot {
    /// What is counted while it serves.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// The route whose lane this is, or that of one of its branches, and which.
    pub(crate) fn at_lane(&self, number: LaneNumber) -> Option<(&Route, Option<Placed<'_>>)> {
        at_lane(&self.routes, number)
    }

    /// Which configuration this is.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// Which ledger published the document that this was compiled from, if one did.
    pub fn published(&self) -> Option<&Published> {
        self.published.as_ref()
    }

    /// How many routes are enabled.
    pub fn routes_count(&self) -> usize {
        self.routes.len()
    }

    /// Who may call.
    pub(crate) fn consumers(&self) -> &Consumers {
        &self.consumers
    }

    /// The guards that a consumer has of its own.
    pub(crate) fn guards_of(&self, known: Option<Known<'_>>) -> &[Guard] {
        let own = known.and_then(|known| self.of_consumers.get(known.number));
        own.map(|guards| &**guards).unwrap_or_default()
    }

    /// The guards of all consumers that have some of their own.
    pub(crate) fn guards_of_consumers(&self) -> impl Iterator<Item = &Guard> {
        self.of_consumers.iter().flat_map(|guards| &**guards)
    }

    /// What limits have counted.
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Whether responses say which route, branch and revision served them.
    pub(crate) fn proof_headers(&self) -> bool {
        self.settings.proof_headers
    }

    /// The most bytes of a request's body that are read for a decision.
    pub(crate) fn body_max(&self) -> usize {
        self.settings.body_max
    }

    /// The most bytes of a request's body that are kept for another attempt.
    pub(crate) fn replay_max(&self) -> usize {
        self.settings.replay_max
    }

    /// Every upstream, once, each with a name that no other has: its id, or the first route and branch
    /// that send to it.
    pub(crate) fn upstreams<'s>(
        &'s self,
    ) -> impl Iterator<Item = (Cow<'s, str>, &'s Arc<Upstream>)> {
        let mut seen: BTreeSet<_> = self.upstreams.values().map(Arc::as_ptr).gather();
        let named = self.upstreams.iter();
        let named = named.map(|(id, upstream)| (Cow::Borrowed(id.as_str()), upstream));
        let branches = self.routes.iter().flat_map(|route| {
            let rules = route.split.rules();
            let all = |rule: &'s Rule| {
                rule.branches.list().iter().chain(rule.mirror().and_then(Mirror::own))
            };
            rules.flat_map(all).map(move |branch| (route, branch))
        });
        // Rules of one route may have branches of one name.
        let mut names = BTreeSet::new();
        let inline = branches.filter_map(move |(route, branch)| {
            let upstream = &branch.balancer.upstream;
            if upstream.nodes().len() == 0 || !seen.insert(Arc::as_ptr(upstream)) {
                return None;
            }
            let name = format!("{}/{}", route.id, branch.name);
            let numbered = (2..).map(|number| format!("{name}/{number}"));
            let name =
                std::iter::once(name.clone()).chain(numbered).find(|it| !names.contains(it))?;
            names.insert(name.clone());
            Some((Cow::Owned(name), upstream))
        });
        named.chain(inline)
    }

    /// The enabled routes, in the order of the document.
    pub(crate) fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// What one of them takes.
    pub(crate) fn conditions_of(&self, route: &Route) -> Option<&Conditions> {
        let number = self.routes.partition_point(|it| it.lane < route.lane);
        self.conditions().get(number)
    }

    /// The name of a consumer by its number.
    pub(crate) fn consumer_name(&self, number: usize) -> Option<&str> {
        self.consumers.name(number)
    }

    /// Why a route was not even asked about a request.
    pub(crate) fn refusal(&self, route: usize, facts: &Facts<'_>) -> Refusal {
        self.router.refusal(route, facts)
    }

    /// What the enabled routes take, in the same order.
    pub(crate) fn conditions(&self) -> &[Conditions] {
        self.router.conditions()
    }

    /// How a route is found.
    pub(crate) fn router_kind(&self) -> RouterKind {
        self.settings.router
    }

    /// The routes that nothing is left for.
    pub(crate) fn unreached(&self) -> &[Unreached] {
        &self.unreached
    }

    /// The number of the route that takes a request, and what the parameters in its path stand for.
    pub(crate) fn find(
        &self,
        facts: &Facts<'_>,
        witness: &mut (impl Witness + ?Sized),
    ) -> Option<(usize, Params<'_>)> {
        let found = self.router.find(facts, witness)?;
        Some((found.route, found.params))
    }
}

#[cfg(test)]
mod tests;
