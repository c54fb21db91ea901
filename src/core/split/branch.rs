//! Branches as documents write them, and the list that the requests of a rule are divided among.

#[cfg(test)]
mod tests;

use serde::Deserialize;
use std::sync::Arc;

use super::pool::Changes;
use super::room::Full;
use super::{Keyed, OWN_BRANCH, Pool, Scope};
use crate::balance::{Balancer, Spec, Upstream, UpstreamWire};
use crate::breaker::{self, Breaker, WHOLE};
use crate::fault::{At, Report};
use crate::id::Id;
use crate::limit::{BranchLimit, BranchLimitWire};
use crate::rewrite::{HeadersWire, Rewrite, RewriteWire};
use crate::rotation::{Rotation, Unpickable, Walk, Weight};
use crate::telemetry::proof;
use crate::time::Timestamp;
use crate::variable::warn_of_body;

/// The most branches of one list, as in APISIX.
pub(super) const LISTED_MAX: usize = 20;

/// The most branches that rules of the rule form can be together. Nothing costs more with many of
/// them but the assignment of keys, which looks at each.
const BRANCHES_MAX: usize = 256;

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct BranchWire {
    pub(super) name: Option<Id>,
    pub(super) weight: Option<u32>,
    pub(super) upstream: Option<UpstreamWire>,
    pub(super) upstream_id: Option<Id>,
    pub(super) rewrite: Option<RewriteWire>,
    pub(super) headers: Option<HeadersWire>,
    pub(super) response_headers: Option<HeadersWire>,
    pub(super) limit: Option<BranchLimitWire>,
}

/// One weighted share of a split.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) name: Arc<str>,
    pub(crate) weight: Weight,
    pub(crate) balancer: Balancer,
    pub(crate) rewrite: Arc<Rewrite>,
    /// Keeps requests away while it fails.
    pub(crate) breaker: Option<Box<Breaker>>,
    /// How much it takes.
    pub(crate) limit: Option<Box<BranchLimit>>,
    /// Whether it cannot have a request without its body: it changes it, or picks a node by it.
    pub(crate) needs_body: bool,
}

impl Branch {
    /// One that nothing guards.
    pub(super) fn new(
        name: Arc<str>,
        weight: Weight,
        balancer: Balancer,
        rewrite: Arc<Rewrite>,
    ) -> Self {
        let needs_body = rewrite.needs_body() || balancer.upstream.needs_body();
        Self { name, weight, balancer, rewrite, breaker: None, limit: None, needs_body }
    }

    /// How much of its weight it takes now, of [`WHOLE`].
    fn share(&self, now: Timestamp) -> u32 {
        self.breaker.as_ref().map_or(WHOLE, |breaker| breaker.share(now))
    }

    /// Where its requests go.
    pub(crate) fn upstream(&self) -> &Upstream {
        &self.balancer.upstream
    }

    /// Whether there is nothing behind it: its upstream was deleted.
    pub(super) fn is_gone(&self) -> bool {
        self.balancer.upstream.nodes().len() == 0
    }
}

/// The branches that the requests of a rule are divided among.
#[derive(Debug)]
pub(crate) struct Branches {
    list: Box<[Branch]>,
    rotation: Rotation,
    /// The walks of requests that were failed before, by who failed them: those that one branch failed would
    /// else take every other step from those that another failed. Where there are two branches, at most one
    /// is left.
    again: Option<Arc<[Walk; AGAIN]>>,
}

/// How many walks there are for requests that were failed before.
const AGAIN: usize = 8;

fn walks(count: usize, phase: u64) -> Option<Arc<[Walk; AGAIN]>> {
    (count > 2).then(|| Arc::new(std::array::from_fn(|_| Walk::new(phase))))
}

impl Branches {
    /// Everything to one upstream: the route's own.
    pub(super) fn own(upstream: Arc<Upstream>, scope: Scope<'_>) -> Result<Self, Unpickable> {
        let (name, weight) = (scope.pool.name(OWN_BRANCH), Weight(1));
        let balancer = Balancer::new(upstream, scope.phase)?;
        let nothing = scope.pool.rewrite(Changes::default(), At::Root, &mut Report::default());
        let branch = Branch::new(name, weight, balancer, nothing);
        let rotation = Rotation::new(&[weight], scope.phase)?;
        Ok(Self { list: Box::new([branch]), rotation, again: None })
    }

    /// All of them, in the order of the document.
    pub(crate) fn list(&self) -> &[Branch] {
        &self.list
    }

    /// The branch with this name, whatever its weight.
    pub(crate) fn named(&self, name: &str) -> Option<&Branch> {
        self.list.iter().find(|branch| *branch.name == *name)
    }

    /// Whether more than one of them has a weight.
    pub(super) fn has_choice(&self) -> bool {
        self.list.iter().filter(|branch| branch.weight > Weight(0)).count() > 1
    }

    /// Gives each of them a breaker.
    pub(super) fn guard(&mut self, policy: breaker::Policy) {
        self.list
            .iter_mut()
            .for_each(|branch| branch.breaker = Some(Box::new(Breaker::new(policy))));
    }

    /// The branch whose turn it is, of those that have room. With some ejected the others share by weight;
    /// with all of them ejected, none is: a request that fails is no worse than one that is refused.
    pub(crate) fn next(&self, full: &Full, now: Timestamp) -> Option<&Branch> {
        if *full == Full::NONE && self.are_whole(now) {
            return Some(self.at(self.rotation.next()));
        }
        let among = self.rotation.next_among(|index| self.weight(index, full, now));
        let any = || match *full == Full::NONE {
            true => Some(self.rotation.next()),
            false => self.rotation.next_among(|index| self.plain_weight(index, full)),
        };
        among.or_else(any).map(|index| self.at(index))
    }

    /// The branch whose turn is next; nothing moves.
    pub(crate) fn peek(&self, full: &Full, now: Timestamp) -> Option<&Branch> {
        if *full == Full::NONE && self.are_whole(now) {
            return Some(self.at(self.rotation.peek()));
        }
        let among = self.rotation.peek_among(|index| self.weight(index, full, now));
        let any = || match *full == Full::NONE {
            true => Some(self.rotation.peek()),
            false => self.rotation.peek_among(|index| self.plain_weight(index, full)),
        };
        among.or_else(any).map(|index| self.at(index))
    }

    /// The branch that `owner` finds for a key among those that have room and take something, else among
    /// all that have room.
    pub(super) fn owner(
        &self,
        keyed: &Keyed,
        key: &[u8],
        full: &Full,
        now: Timestamp,
    ) -> Option<&Branch> {
        if *full == Full::NONE && self.are_whole(now) {
            return Some(self.at(keyed.owner(key)));
        }
        let share = |index| if full.has(index) { 0 } else { self.at(index).share(now) };
        let any = |index| u32::from(!full.has(index));
        let found = keyed.owner_among(key, share).or_else(|| keyed.owner_among(key, any));
        found.map(|index| self.at(index))
    }

    /// The branch for a request that others have failed, by turns among those that can take it and are not
    /// ejected, or else among those that can take it.
    pub(super) fn next_after(
        &self,
        failed: &[&Branch],
        can_take: impl Fn(&Branch) -> bool,
        full: &Full,
        now: Timestamp,
    ) -> Option<&Branch> {
        let count = self.list.len();
        let walk = self.again.as_ref().and_then(|walks| walks.get(self.mark(failed) % AGAIN));
        let next = |weight: &dyn Fn(usize) -> u64| match walk {
            Some(walk) => walk.next(count, weight),
            None => (0..count).find(|index| weight(*index) > 0),
        };
        let left = |index: usize| can_take(self.at(index)) && !full.has(index);
        let found = next(&|index| if left(index) { self.weight(index, full, now) } else { 0 });
        let any = |index: usize| if left(index) { u64::from(self.at(index).weight.0) } else { 0 };
        found.or_else(|| next(&any)).map(|index| self.at(index))
    }

    /// The same by key.
    pub(super) fn owner_but(
        &self,
        keyed: &Keyed,
        key: &[u8],
        can_take: impl Fn(&Branch) -> bool,
        full: &Full,
        now: Timestamp,
    ) -> Option<&Branch> {
        let left = |index: usize| can_take(self.at(index)) && !full.has(index);
        let share = |index: usize| if left(index) { self.at(index).share(now) } else { 0 };
        let any = |index: usize| u32::from(left(index));
        let found = keyed.owner_among(key, share).or_else(|| keyed.owner_among(key, any));
        found.map(|index| self.at(index))
    }

    /// The next by turns among those that `fits` holds for, that have room and are not ejected.
    pub(crate) fn next_fine(
        &self,
        fits: impl Fn(&Branch) -> bool,
        full: &Full,
        now: Timestamp,
    ) -> Option<&Branch> {
        let weight =
            |index: usize| if fits(self.at(index)) { self.weight(index, full, now) } else { 0 };
        self.rotation.next_among(weight).map(|index| self.at(index))
    }

    /// A number by which sets of branches mostly differ.
    fn mark(&self, branches: &[&Branch]) -> usize {
        branches
            .iter()
            .filter_map(|branch| self.position(branch))
            .fold(0, |mark, place| mark * 3 + place)
    }

    /// Whether all of them take all that is theirs.
    fn are_whole(&self, now: Timestamp) -> bool {
        self.list.iter().all(|branch| branch.share(now) == WHOLE)
    }

    fn weight(&self, index: usize, full: &Full, now: Timestamp) -> u64 {
        self.plain_weight(index, full) * u64::from(self.at(index).share(now))
    }

    /// The weight of one that has room, whatever its breaker says.
    fn plain_weight(&self, index: usize, full: &Full) -> u64 {
        if full.has(index) { 0 } else { u64::from(self.at(index).weight.0) }
    }

    /// Where a branch stands among all.
    pub(super) fn position(&self, branch: &Branch) -> Option<usize> {
        self.list.iter().position(|it| std::ptr::eq(it, branch))
    }

    /// The next step of the walk, in words.
    pub(crate) fn point(&self) -> String {
        format!("step {} of {}", self.rotation.step(), self.rotation.period())
    }

    /// A walk of its own over the same weights, from the beginning.
    pub(crate) fn walk(&self) -> Rotation {
        let weights: Vec<Weight> = self.list.iter().map(|branch| branch.weight).collect();
        Rotation::new(&weights, 0).expect("these weights were picked from before")
    }

    pub(super) fn at(&self, index: usize) -> &Branch {
        self.list.get(index).expect("the rotation was laid out over these branches")
    }

    /// Goes on where `earlier`, the same branches, has come to.
    pub(super) fn follow(&mut self, earlier: &Self) {
        self.follow_walks(earlier, true);
    }

    /// The same, with or without the walks over the nodes of each branch.
    pub(super) fn follow_walks(&mut self, earlier: &Self, with_nodes: bool) {
        self.rotation.follow(&earlier.rotation);
        if self.list.len() == earlier.list.len() {
            self.again.clone_from(&earlier.again);
        }
        for (branch, earlier) in self.list.iter_mut().zip(&earlier.list) {
            if let (Some(own), Some(earlier)) = (&mut branch.breaker, &earlier.breaker) {
                own.follow(earlier);
            }
            if let (Some(own), Some(earlier)) = (&mut branch.limit, &earlier.limit) {
                own.follow(earlier);
            }
        }
        if !with_nodes {
            return;
        }
        for (branch, earlier) in self.list.iter_mut().zip(&earlier.list) {
            branch.balancer.follow(&earlier.balancer);
        }
    }

    /// The same division among other branches, as many and as heavy, from the beginning.
    pub(super) fn anew(&self, list: Box<[Branch]>, phase: u64) -> Self {
        let again = walks(list.len(), phase);
        Self { list, rotation: self.rotation.anew(phase), again }
    }

    /// The walk itself, for others to join.
    pub(super) fn joint(&self) -> Rotation {
        self.rotation.clone()
    }

    /// Walks with others over the same weights as one from now on.
    pub(super) fn join(&mut self, walk: &Rotation) {
        self.rotation.follow(walk);
    }

    /// The names of all of them, in the order of the document.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|branch| &*branch.name)
    }

    /// Checks a list of branches, each with the place where it stands. There is one also where some have
    /// faults, so that all can be said of what refers to them.
    pub(super) fn compile(
        wires: Vec<(BranchWire, At<'_>)>,
        scope: Scope<'_>,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Self> {
        let count = wires.len();
        if !(1..=BRANCHES_MAX).contains(&count) {
            report.fault(at, format!("expected 1 to {BRANCHES_MAX} branches, found {count}"));
            return None;
        }
        let weight = |wire: &BranchWire| Weight(wire.weight.unwrap_or(1));
        let weights: Vec<Weight> = wires.iter().map(|(wire, _)| weight(wire)).collect();
        let rotation = Rotation::new(&weights, scope.phase);
        match rotation {
            Err(Unpickable::NoWeight) => {
                report.fault(at, "all weights are 0: no branch can be picked");
            }
            Err(Unpickable::TooHeavy) => {
                report.fault(at, "the weights add up to more than 4294967295");
            }
            Ok(_) => {}
        }
        let is_one_rewrite = all_same(wires.iter().map(|(wire, _)| wire.changes()));
        let mut is_sound = true;
        let mut list: Vec<Branch> = Vec::with_capacity(count);
        for (index, (mut wire, at)) in wires.into_iter().enumerate() {
            let name = wire.name(index, &list, scope.pool, at, report);
            let weight = weight(&wire);
            let rewrite = scope.pool.rewrite(wire.take_changes(), at, report);
            if rewrite.needs_body() {
                warn_of_body(at, report);
            }
            let upstream = wire.upstream(scope, at, report);
            is_sound &= upstream.is_some();
            let limit = wire.limit.as_ref();
            let limit =
                limit.and_then(|limit| limit.compile((scope.salt, &name), at.key("limit"), report));
            let upstream = upstream.unwrap_or_else(Upstream::gone);
            if let Ok(balancer) = Balancer::new(upstream, scope.phase) {
                let limit = limit.map(Box::new);
                list.push(Branch { limit, ..Branch::new(name, weight, balancer, rewrite) });
            }
        }
        if is_sound && is_one_rewrite && list.len() == count && is_one_target(&list) {
            report.warn(at, "all branches are the same: they have one target and one rewrite");
        }
        let (is_whole, again) = (list.len() == count, walks(count, scope.phase));
        rotation.ok().filter(|_| is_whole).map(|rotation| Self {
            list: list.into(),
            rotation,
            again,
        })
    }
}

/// Whether several branches all send to the same place.
fn is_one_target(branches: &[Branch]) -> bool {
    branches.len() > 1 && all_same(branches.iter().map(|branch| &*branch.balancer.upstream))
}

/// Whether there are no two that differ.
fn all_same<T: PartialEq>(mut all: impl Iterator<Item = T>) -> bool {
    all.next().is_none_or(|first| all.all(|other| other == first))
}

/// What APISIX does differently with a list of branches.
pub(super) fn warn_of_branches(branches: &[BranchWire], at: At<'_>, report: &mut Report) {
    for (index, branch) in branches.iter().enumerate() {
        let at = at.index(index);
        let has_headers = branch.headers.is_some() || branch.response_headers.is_some();
        if branch.name.is_some() || branch.rewrite.is_some() || has_headers {
            report.warn(at, "APISIX ignores `name`, `rewrite` and `headers` of a branch");
        }
        if branch.limit.is_some() {
            report.warn(at.key("limit"), "APISIX ignores this");
        }
        let again = branches.iter().take(index).any(|earlier| earlier.is_same_target(branch));
        if again {
            report.warn(at, "APISIX counts only the last of several branches with the same target");
        }
    }
}

/// What APISIX does differently with the inline upstream of a branch.
fn warn_of_inline(wire: &UpstreamWire, upstream: &Spec, at: At<'_>, report: &mut Report) {
    if !upstream.scheme.is_tls() && upstream.sends_port() {
        report.warn(at, "APISIX sends the node's name without its port as `Host`");
    }
    if upstream.scheme.is_grpc() {
        report.warn(
            at.key("scheme"),
            "APISIX speaks plain HTTP with the inline upstream of a branch",
        );
    }
    for key in wire.ignored_in_branch() {
        report.warn(at.key(key), "APISIX ignores this in the inline upstream of a branch");
    }
}

/// The route's own upstream, or a fault.
pub(super) fn own(scope: Scope<'_>, at: At<'_>, report: &mut Report) -> Option<Arc<Upstream>> {
    if scope.own.is_none() {
        report.fault(at, "there is no upstream here, and the route has none either");
    }
    scope.own.cloned().flatten()
}

impl BranchWire {
    /// The name of the branch, by its number where it has none; none of `earlier` may have it.
    fn name(
        &self,
        index: usize,
        earlier: &[Branch],
        pool: &Pool,
        at: At<'_>,
        report: &mut Report,
    ) -> Arc<str> {
        let by_number = || pool.name(&format!("b{index}"));
        let name = self.name.as_ref().map_or_else(by_number, |id| pool.name(id.as_str()));
        if [OWN_BRANCH, proof::NONE].contains(&&*name) {
            report.fault(at.key("name"), format!("`{name}` is what responses of no branch say"));
        }
        if earlier.iter().any(|earlier| earlier.name == name) {
            report.fault(at, format!("another branch of this split is named `{name}`"));
        }
        name
    }

    /// What it changes, which is wanted once.
    fn take_changes(&mut self) -> Changes {
        Changes {
            rewrite: self.rewrite.take(),
            headers: self.headers.take(),
            response_headers: self.response_headers.take(),
        }
    }

    /// All that it changes in a request and its response.
    fn changes(&self) -> impl PartialEq {
        (&self.rewrite, &self.headers, &self.response_headers)
    }

    /// Whether APISIX's picker takes both for one: it tells branches apart by id, else by object.
    fn is_same_target(&self, other: &Self) -> bool {
        let inline = self.upstream.is_some() || other.upstream.is_some();
        self.upstream_id == other.upstream_id && (self.upstream_id.is_some() || !inline)
    }

    pub(super) fn upstream(
        &self,
        scope: Scope<'_>,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Arc<Upstream>> {
        if let Some(id) = &self.upstream_id {
            if let Some(wire) = &self.upstream {
                Upstream::check_unused(wire, at.key("upstream"), report);
            }
            return scope.named(id, at.key("upstream_id"), report);
        }
        if let Some(wire) = &self.upstream {
            let spec = Spec::compile(wire, at.key("upstream"), report)?;
            warn_of_inline(wire, &spec, at.key("upstream"), report);
            return Some(scope.pool.upstream(spec));
        }
        own(scope, at, report)
    }
}
