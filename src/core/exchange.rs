//! One request from its decision to its end, as a state machine that is fed with outcomes.
//!
//! | input                    | what follows                                                      |
//! |--------------------------|-------------------------------------------------------------------|
//! | a request head           | [`Exchange::decide`]: route, rule and branch are fixed, or        |
//! |                          | [`NeedsBody`]: to be decided again, with the body                 |
//! | a decision               | [`Exchange::attempt`]: send this, or a [`Problem`]                |
//! | the head of a response   | [`Exchange::relay`]: these edits, or a [`Problem`]                |
//! | a [`Problem`]            | [`Exchange::refuse`]: give this answer                            |
//!
//! It holds no clock and performs nothing; [`serve`](crate::serve::serve) walks it.

use std::borrow::Cow;
use std::time::Duration;

use crate::balance::{Ask, Balancer, Tried};
use crate::facts::{Body, Draft, Facts, Matched, NeedsBody};
use crate::forced::Override;
use crate::head::{Edits, Head, ResponseHead, forward, remove_nominated};
use crate::node::{Node, Scheme};
use crate::problem::{Answer, Failure, Problem};
use crate::route::{Nobody, Witness};
use crate::snapshot::{Route, Snapshot};
use crate::split::{How, Means, Picked, Rule, Section};
use crate::telemetry::proof;

/// One request to one node.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// How to speak to the node.
    pub scheme: Scheme,
    /// Where to connect to, and the name its certificate must carry.
    pub node: &'a Node,
    /// The header `Host`.
    pub host: Cow<'a, str>,
    /// The method.
    pub method: Cow<'a, str>,
    /// Path and query.
    pub target: Cow<'a, str>,
    /// The changes to the client's headers.
    pub edits: Edits,
    /// The body in place of the client's; its length goes before what the client said.
    pub body: Option<Vec<u8>>,
    /// How long it may take until the head of the response is there.
    pub timeout: Duration,
}

/// What a decision is made from.
#[derive(Clone, Copy)]
pub struct Inquiry<'a> {
    /// The configuration, where there is one.
    pub snapshot: Option<&'a Snapshot>,
    /// The head of the request.
    pub head: &'a dyn Head,
}

/// Looks on while a request is decided. Nothing depends on what it does.
pub(crate) trait Observer: Witness {
    /// All routes that could take the request were asked; this one does, if any.
    fn searched(&mut self, _taken: Option<usize>, _facts: &Facts<'_>) {}

    /// A rule of the route does not take the request.
    fn rule_passed_over(&mut self, _section: &Section, _rule: &Rule, _facts: &Facts<'_>) {}

    /// A branch of this rule was picked.
    fn picked(&mut self, _rule: &Rule, _picked: &Picked<'_>) {}
}

impl Observer for Nobody {}

/// A request for which everything is decided.
pub struct Exchange<'a> {
    snapshot: Option<&'a Snapshot>,
    decision: Result<Decision<'a>, Problem>,
}

/// Where a request goes.
struct Decision<'a> {
    route: &'a Route,
    matched: Matched<'a>,
    /// The request as the plugins of the route leave it to the branch.
    draft: Draft<'a>,
    picked: Picked<'a>,
    /// What the branch changes in the response.
    response: Edits,
}

impl<'a> Exchange<'a> {
    /// Decides: matches the route and picks the branch. What depends on a body that has not been read
    /// is not decided, and no share has counted the request yet.
    pub fn decide(
        inquiry: Inquiry<'a>,
        means: Means<'_>,
        body: Body<'_>,
    ) -> Result<Self, NeedsBody> {
        Self::decide_before(&mut Nobody, inquiry, means, body)
    }

    /// The same, before the eyes of somebody.
    pub(crate) fn decide_before(
        observer: &mut dyn Observer,
        inquiry: Inquiry<'a>,
        means: Means<'_>,
        body: Body<'_>,
    ) -> Result<Self, NeedsBody> {
        let decision = match (inquiry.head.fault(), inquiry.snapshot) {
            (Some(problem), _) => Err(problem),
            (None, None) => Err(Problem::NoConfiguration),
            (None, Some(snapshot)) => {
                Decision::make(snapshot, inquiry.head, means, body, observer)?
            }
        };
        Ok(Self { snapshot: inquiry.snapshot, decision })
    }

    /// An exchange that ends with `problem` before anything is decided.
    pub fn failed(snapshot: Option<&'a Snapshot>, problem: Problem) -> Self {
        Self { snapshot, decision: Err(problem) }
    }

    /// The most bytes of a body that are read.
    pub fn body_max(&self) -> usize {
        self.snapshot.map_or(0, Snapshot::body_max)
    }

    /// Whether the branch changes the body, or picks a node by it, so that it must have been read before the attempt.
    pub fn changes_body(&self) -> bool {
        self.decision.as_ref().is_ok_and(|decision| {
            let branch = decision.picked.branch;
            branch.rewrite.needs_body() || branch.balancer.upstream.needs_body()
        })
    }

    /// The id of the route that took the request.
    pub fn route(&self) -> Option<&'a str> {
        self.decision.as_ref().ok().map(|decision| &*decision.route.id)
    }

    /// The name of the branch that was picked.
    pub fn branch(&self) -> Option<&'a str> {
        self.decision.as_ref().ok().map(|decision| &*decision.picked.branch.name)
    }

    /// The revision of the configuration that decided.
    pub fn revision(&self) -> Option<&'a str> {
        self.snapshot.map(|snapshot| snapshot.revision().as_str())
    }

    /// The request as the branch sends it, without what this hop adds to it.
    pub fn rewritten(&mut self, head: &'a dyn Head, body: Body<'_>) -> Result<Draft<'a>, Problem> {
        let decision = self.decision.as_mut().map_err(|problem| *problem)?;
        decision.rewritten(head, body)
    }

    /// The attempt to make, or why there is none to make.
    pub fn attempt(
        &mut self,
        head: &'a dyn Head,
        body: Body<'_>,
        means: Means<'_>,
    ) -> Result<Attempt<'a>, Problem> {
        let decision = self.decision.as_mut().map_err(|problem| *problem)?;
        let (route, Balancer { upstream, .. }) = (decision.route, &decision.picked.branch.balancer);
        let node = decision.node(head, body, means).ok_or(Problem::UpstreamGone)?;
        let draft = decision.rewritten(head, body)?;
        let target = draft.target();
        let Draft { method, host, edits: own, body, .. } = draft;
        let mut edits = Edits::default();
        remove_nominated(head.header("connection").as_deref(), &mut edits);
        forward(head, &mut edits);
        edits.follow(own);
        Ok(Attempt {
            scheme: upstream.scheme,
            node,
            host: upstream.host_for(node, host.unwrap_or(Cow::Borrowed(head.host()))),
            method,
            target,
            edits,
            body,
            timeout: route.timeout.or(upstream.timeout).unwrap_or_default().until_head(),
        })
    }

    /// What is changed in whatever response there is to an attempt that was made: by the branch, to
    /// issue a cookie, and to prove who served.
    pub(crate) fn response_edits(&mut self) -> Edits {
        let mut edits = Edits::default();
        if let Ok(decision) = &mut self.decision {
            edits = std::mem::take(&mut decision.response);
            if let How::Issued { set_cookie } = &decision.picked.how {
                edits.add.push((Cow::Borrowed("set-cookie"), set_cookie.clone()));
            }
        }
        // Last, and in place of all that was set or added before: no branch can claim to be another.
        self.proof().for_each(|(name, value)| edits.replace(Cow::Borrowed(name), value));
        edits
    }

    /// The changes to the headers of the upstream's response, if it is one that can be relayed:
    /// statuses from 600 are not HTTP (RFC 9110, section 15), and nobody asked to switch protocols,
    /// because `Upgrade` goes no further.
    pub fn relay(&mut self, response: &impl ResponseHead) -> Result<Edits, Problem> {
        if !(200..600).contains(&response.status()) {
            return Err(Problem::Upstream(Failure::HttpProtocolError));
        }
        let mut edits = Edits::default();
        remove_nominated(response.header("connection").as_deref(), &mut edits);
        edits.follow(self.response_edits());
        Ok(edits)
    }

    /// The answer that tells the client of a problem.
    pub fn refuse(&self, problem: Problem) -> Answer {
        let mut answer = problem.answer();
        answer.headers.extend(self.proof());
        answer
    }

    /// The headers that prove who served, unless they are switched off.
    fn proof(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        let is_on = self.snapshot.is_none_or(Snapshot::proof_headers);
        let headers = is_on.then(|| {
            let or_none = |value: Option<&str>| value.unwrap_or(proof::NONE).to_owned();
            [
                (proof::ROUTE, or_none(self.route())),
                (proof::BRANCH, or_none(self.branch())),
                (proof::REVISION, or_none(self.revision())),
            ]
        });
        headers.into_iter().flatten()
    }
}

impl<'a> Decision<'a> {
    fn make(
        snapshot: &'a Snapshot,
        head: &'a dyn Head,
        means: Means<'_>,
        body: Body<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Result<Self, Problem>, NeedsBody> {
        let mut draft = Draft::of(head);
        let asked = Facts::new(head, &draft, body);
        let found = snapshot.find(&asked, observer);
        if asked.wants_body() {
            return Err(NeedsBody);
        }
        observer.searched(found.as_ref().map(|(number, _)| *number), &asked);
        let found =
            found.and_then(|(number, params)| Some((snapshot.routes().get(number)?, params)));
        let Some((route, params)) = found else { return Ok(Err(Problem::NoRoute)) };
        let matched = route.matched(params);
        let mut wants_body = false;
        for rewrite in &route.rewrites {
            let facts = Facts::new(head, &draft, body).of_route(&matched);
            let acts = rewrite.acts_on(&facts);
            wants_body |= facts.wants_body();
            if !acts {
                continue;
            }
            let before = draft.clone();
            let facts = Facts::new(head, &before, body).of_route(&matched);
            if let Err(problem) = rewrite.apply(&facts, &mut draft) {
                return Ok(Err(problem));
            }
            wants_body |= facts.wants_body();
        }
        let facts = Facts::new(head, &draft, body).of_route(&matched);
        let rule = route.split.rule(&facts, &mut |section, rule| {
            observer.rule_passed_over(section, rule, &facts);
        });
        if wants_body || facts.wants_body() {
            return Err(NeedsBody);
        }
        let Some(rule) = rule else { return Ok(Err(Problem::NoUpstream)) };
        let picked = rule.pick(&facts, &route.id, means)?;
        observer.picked(rule, &picked);
        // What opens a branch here is none of the upstream's business, whichever rule took the request.
        let overrides = route.split.rules().filter_map(|rule| rule.forced.as_ref());
        let removals = Override::removals(overrides, &facts);
        draft.edits.follow(removals);
        Ok(Ok(Self { route, matched, draft, picked, response: Edits::default() }))
    }

    /// The node to send to, unless the upstream is gone.
    fn node(&self, head: &'a dyn Head, body: Body<'_>, means: Means<'_>) -> Option<&'a Node> {
        let facts = Facts::new(head, &self.draft, body).of_route(&self.matched);
        let Means { now, chance, is_trial, .. } = means;
        let balancer = &self.picked.branch.balancer;
        let ask = Ask { facts: &facts, now, chance, tried: &Tried::default(), is_trial };
        balancer.pick(&ask).map(|index| balancer.node(index))
    }

    /// The request as the branch sends it.
    fn rewritten(&mut self, head: &'a dyn Head, body: Body<'_>) -> Result<Draft<'a>, Problem> {
        let facts = Facts::new(head, &self.draft, body).of_route(&self.matched);
        let mut draft = self.draft.clone();
        self.picked.branch.rewrite.apply(&facts, &mut draft)?;
        let mut response = Edits::default();
        self.picked.branch.rewrite.response(&facts, &mut response);
        self.response = response;
        Ok(draft)
    }
}

#[cfg(test)]
mod tests;
