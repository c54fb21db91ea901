//! The copy of a request that goes somewhere else beside.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::visit::Entered;
use super::{Attempt, Decision, Part, upward};
use crate::balance::{Ask, InFlight, Timeouts, Tried, Upstream};
use crate::facts::{Body, Draft};
use crate::head::{Changes, Head};
use crate::limit::Hold;
use crate::node::Node;
use crate::split::{Means, Permit};
use crate::telemetry::{Original, reason};

/// A copy to be sent once the answer is on its way. Nothing waits for it, and nothing depends on it.
#[derive(Debug)]
pub struct Shadow {
    upstream: Arc<Upstream>,
    /// The position of the node.
    node: usize,
    host: String,
    method: String,
    target: String,
    edits: Changes,
    /// The body, as a whole.
    pub body: Vec<u8>,
    timeouts: Timeouts,
    /// How long it may take at most, whatever the upstream says.
    longest: Duration,
    /// The id of the route.
    pub route: Arc<str>,
    /// The name of the branch that the copy goes to; `mirror` for an upstream of its own.
    pub branch: Arc<str>,
    /// The revision of the configuration.
    pub revision: Option<Box<str>>,
    /// What became of the request itself.
    pub original: Original,
    _in_flight: InFlight,
    _permit: Permit,
    /// The place that it takes up in its branch.
    _hold: Option<Box<Hold>>,
}

impl Shadow {
    /// The copy as an attempt.
    pub fn attempt(&self) -> Option<Attempt<'_>> {
        Some(Attempt {
            scheme: self.upstream.scheme,
            node: self.node()?,
            host: Cow::Borrowed(&self.host),
            method: Cow::Borrowed(&self.method),
            target: Cow::Borrowed(&self.target),
            edits: self.edits.clone(),
            body: None,
            timeouts: &self.timeouts,
            keepalive: &self.upstream.keepalive,
            tls: &self.upstream.tls,
            upgrades: false,
            part: Part {
                route: &self.route,
                branch: &self.branch,
                revision: self.revision.as_deref(),
                number: 1,
                reason: reason::COPY,
            },
        })
    }

    /// How long the copy may take until the head of its response is there.
    pub fn deadline(&self) -> Duration {
        self.timeouts.until_head().min(self.longest)
    }

    /// The same copy, which takes no longer than this.
    pub fn at_most(mut self: Box<Self>, longest: Duration) -> Box<Self> {
        self.longest = longest;
        self
    }

    fn node(&self) -> Option<&Node> {
        self.upstream.nodes().nth(self.node)
    }
}

impl<'a> Decision<'a> {
    /// The copy of the request, if it is to be copied and may be. One that was at the branch of the copies
    /// already is not, nor is any while that branch is full.
    pub(super) fn shadow(
        &self,
        entered: &Entered<'a>,
        head: &'a dyn Head,
        body: &[u8],
        original: Original,
        means: Means<'_>,
    ) -> Option<Box<Shadow>> {
        let mirror = self.mirror?;
        let branch = mirror.branch(&self.course.rule.branches);
        if self.course.has_been_at(branch) {
            return None;
        }
        let permit = mirror.permit()?;
        let facts = entered.facts(head, self.draft(entered), Body::Whole(body));
        let Means { now, chance, is_trial, .. } = means;
        let tried = Tried::default();
        let balancer = &branch.balancer;
        let node = balancer.pick(&Ask { facts: &facts, now, chance, tried: &tried, is_trial })?;
        let mut draft = self.draft(entered).clone();
        branch.rewrite.apply(&facts, &mut draft).ok()?;
        // Last: what is counted is not given back, and a copy that cannot be sent must not use it up.
        let taken = self.course.take_for_copy(branch, (now, is_trial))?;
        let target = draft.target().into_owned();
        let Draft { method, host, edits: own, body: changed, .. } = draft;
        let asked = host.unwrap_or(Cow::Borrowed(head.host()));
        let upstream = Arc::clone(&balancer.upstream);
        let mut edits = Changes::default();
        upward(head, entered.caller.client, own, &mut edits);
        Some(Box::new(Shadow {
            host: upstream.host_for(balancer.node(node), asked).into_owned(),
            timeouts: upstream.timeout.unwrap_or_default(),
            upstream,
            node,
            longest: Duration::MAX,
            method: method.into_owned(),
            target,
            edits,
            body: changed.unwrap_or_else(|| body.to_vec()),
            route: Arc::clone(&self.route.id),
            branch: Arc::clone(&branch.name),
            revision: None,
            original,
            _in_flight: balancer.start(node),
            _permit: permit,
            _hold: taken.hold,
        }))
    }
}
