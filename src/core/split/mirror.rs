//! Copies of requests that go somewhere else beside, to see what it makes of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Deserialize;

use super::branch::{Branch, BranchWire, Branches};
use super::pool::Changes;
use super::{Means, Scope};
use crate::balance::{Balancer, UpstreamWire};
use crate::fault::{At, Report, did_you_mean};
use crate::id::Id;
use crate::rewrite::{HeadersWire, RewriteWire};
use crate::rotation::{Rotation, Weight};

/// What stands for the branch of copies that go to an upstream of their own.
const NAME: &str = "mirror";

/// What a rule says in `mirror`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct MirrorWire {
    branch: Option<Id>,
    upstream: Option<UpstreamWire>,
    upstream_id: Option<Id>,
    #[cfg_attr(
        feature = "schema",
        schemars(range(max = 100), extend("exclusiveMinimum" = 0))
    )]
    percent: Option<f64>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = IN_FLIGHT_MAX)))]
    in_flight: Option<u32>,
    rewrite: Option<RewriteWire>,
    headers: Option<HeadersWire>,
}

/// The most copies that can be under way at once, by what a document may say.
const IN_FLIGHT_MAX: u32 = 10_000;

/// How many copies of a rule are under way at once, where it does not say.
const IN_FLIGHT: u32 = 32;

/// Which requests of a rule are copied, and where the copies go.
#[derive(Debug)]
pub(crate) struct Mirror {
    target: Target,
    /// For each branch that serves, of 0, copied, and 1, not copied. One for all would be in step with the
    /// walk over the branches, and copy what goes to one of them alone.
    rotations: Box<[Rotation]>,
    /// How many copies are under way, and may be.
    in_flight: Arc<AtomicU32>,
    in_flight_max: u32,
}

#[derive(Debug)]
enum Target {
    /// The branch of the rule at this position.
    Branch(usize),
    /// One of its own.
    Own(Box<Branch>),
}

/// A copy that is under way. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Permit(Arc<AtomicU32>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Mirror {
    /// Whether a request that was picked for `branch` is copied. It takes its turn, unless it goes to where
    /// the copies go.
    pub(crate) fn takes(&self, branches: &Branches, branch: &Branch, means: Means<'_>) -> bool {
        let is = |other: &Branch| std::ptr::eq(other, branch);
        let place = branches.list().iter().position(is);
        let rotation = place.and_then(|place| self.rotations.get(place));
        !is(self.branch(branches))
            && rotation.is_some_and(|rotation| {
                let turn = if means.is_trial { rotation.peek() } else { rotation.next() };
                turn == 0
            })
    }

    /// Where copies go.
    pub(crate) fn branch<'m>(&'m self, branches: &'m Branches) -> &'m Branch {
        match &self.target {
            Target::Branch(index) => branches.at(*index),
            Target::Own(branch) => branch,
        }
    }

    /// Leave to send a copy, unless as many as may be are under way.
    pub(crate) fn permit(&self) -> Option<Permit> {
        let one_more = |count: u32| (count < self.in_flight_max).then_some(count + 1);
        let taken = self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.ok().map(|_| Permit(Arc::clone(&self.in_flight)))
    }

    /// Goes on where `earlier` has come to.
    pub(super) fn follow(&mut self, earlier: &Self) {
        for (own, earlier) in self.rotations.iter_mut().zip(&earlier.rotations) {
            own.follow(earlier);
        }
        self.in_flight = Arc::clone(&earlier.in_flight);
        if let (Target::Own(own), Target::Own(earlier)) = (&mut self.target, &earlier.target) {
            own.balancer.follow(&earlier.balancer);
        }
    }

    /// The branches of their own that copies go to.
    pub(crate) fn own(&self) -> Option<&Branch> {
        match &self.target {
            Target::Own(branch) => Some(branch),
            Target::Branch(_) => None,
        }
    }
}

impl MirrorWire {
    /// Checks it for a rule with these branches.
    pub(super) fn compile(
        self,
        branches: &Branches,
        scope: Scope<'_>,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Mirror> {
        let in_flight_max = self.in_flight.unwrap_or(IN_FLIGHT);
        if !(1..=IN_FLIGHT_MAX).contains(&in_flight_max) {
            report.fault(at.key("in_flight"), format!("expected 1 to {IN_FLIGHT_MAX}"));
        }
        let rotation = || rotation(self.percent.unwrap_or(100.0), scope.phase);
        let rotations: Option<_> = branches.list().iter().map(|_| rotation()).collect();
        if rotations.is_none() {
            let what = "expected a percentage, more than 0 and at most 100";
            report.fault(at.key("percent"), what);
        }
        let rotations = rotations?;
        let target = self.target(branches, scope, at, report)?;
        Some(Mirror { target, rotations, in_flight: Arc::default(), in_flight_max })
    }

    fn target(
        self,
        branches: &Branches,
        scope: Scope<'_>,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Target> {
        let Self { branch, upstream, upstream_id, rewrite, headers, .. } = self;
        let has_own = upstream.is_some() || upstream_id.is_some();
        let changes = rewrite.is_some() || headers.is_some();
        let name = match branch {
            Some(name) if !has_own && !changes => name,
            None if has_own => {
                let wire = BranchWire { upstream, upstream_id, ..BranchWire::default() };
                let changes = Changes { rewrite, headers, response_headers: None };
                let rewrite = scope.pool.rewrite(changes, at, report);
                let upstream = wire.upstream(scope, at, report)?;
                let balancer = Balancer::new(upstream, scope.phase).ok()?;
                let (name, weight) = (NAME.into(), Weight(1));
                let own = Branch::new(name, weight, balancer, rewrite);
                return Some(Target::Own(Box::new(own)));
            }
            Some(_) | None => {
                let what = "expected `branch` alone, or `upstream` or `upstream_id`, beside which `rewrite` and `headers` may stand";
                report.fault(at, what);
                return None;
            }
        };
        let place = branches.names().position(|branch| *branch == *name.as_str());
        if place.is_none() {
            let names: Vec<&str> = branches.names().collect();
            let hint = did_you_mean(name.as_str(), &names);
            report.fault(at.key("branch"), format!("no branch is named `{}`{hint}", name.as_str()));
        }
        place.map(Target::Branch)
    }
}

/// By turns, exact to a thousandth of a percent.
fn rotation(percent: f64, phase: u64) -> Option<Rotation> {
    const WHOLE: u32 = 100_000;
    if !(percent > 0.0 && percent <= 100.0) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to 100,000"
    )]
    let copied = ((percent * 1000.0).round() as u32).max(1);
    Rotation::new(&[Weight(copied), Weight(WHOLE - copied)], phase).ok()
}
