//! The same rules for another route. A document may say one plugin for each of tens of thousands: what was
//! checked once is not checked again, and each route has walks and counts of its own.

use std::sync::Arc;

use super::branch::{Branch, Branches};
use super::{Rule, Section};
use crate::balance::{Balancer, Upstream};

impl Section {
    /// Whether it would be the same for another route: nothing in it depends on the route that it was made
    /// for, whose upstream is `own`, nor counts more than turns and failures.
    pub(crate) fn is_of_any(&self, own: Option<&Arc<Upstream>>) -> bool {
        let is_own = |branch: &Branch| own.is_some_and(|own| branch.balancer.is_of(own));
        let is_of_any = |branch: &Branch| branch.limit.is_none() && !is_own(branch);
        let mut rules = self.rules.iter();
        self.meta.is_none()
            && rules.all(|rule| rule.extras.is_none() && rule.branches.list().iter().all(is_of_any))
    }

    /// The same for another route, where [`Self::is_of_any`]. Its walks start at `phase`.
    pub(crate) fn again(&self, phase: u64) -> Option<Self> {
        let rules = self.rules.iter().map(|rule| rule.again(phase)).collect::<Option<_>>()?;
        Some(Self { origin: self.origin.clone(), meta: None, rules })
    }
}

impl Rule {
    fn again(&self, phase: u64) -> Option<Self> {
        let branches = self.branches.again(phase)?;
        let Self { number, lane, ref condition, .. } = *self;
        Some(Self { number, lane, condition: condition.clone(), branches, extras: None })
    }
}

impl Branches {
    fn again(&self, phase: u64) -> Option<Self> {
        let list = self.list().iter().map(|branch| branch.again(phase)).collect::<Option<_>>()?;
        Some(self.anew(list, phase))
    }
}

impl Branch {
    fn again(&self, phase: u64) -> Option<Self> {
        let upstream = self.balancer.upstream_again();
        let (name, rewrite) = (Arc::clone(&self.name), Arc::clone(&self.rewrite));
        let balancer = Balancer::new(upstream, phase).ok()?;
        let breaker = self.breaker.as_ref().map(|breaker| Box::new(breaker.again()));
        Some(Self { breaker, ..Self::new(name, self.weight, balancer, rewrite) })
    }
}
