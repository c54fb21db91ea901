//! One request from its decision to its end, as a state machine that is fed with outcomes.
//!
//! | input                    | what follows                                       |
//! |--------------------------|----------------------------------------------------|
//! | a request head           | [`Exchange::decide`]: route and branch are fixed   |
//! | a decision               | [`Exchange::attempt`]: send this, or a [`Problem`] |
//! | the head of a response   | [`Exchange::relay`]: these edits, or a [`Problem`]  |
//! | a [`Problem`]            | [`Exchange::refuse`]: give this answer             |
//!
//! It holds no clock and performs nothing; [`serve`](crate::serve::serve) walks it.

use std::borrow::Cow;
use std::time::Duration;

use crate::balance::TIMEOUT_DEFAULT;
use crate::facts::{Body, Draft, Facts};
use crate::head::{Edits, Head, ResponseHead, forward, remove_nominated};
use crate::node::{Node, Scheme};
use crate::problem::{Answer, Failure, Problem};
use crate::route::Nobody;
use crate::snapshot::{Route, Snapshot};
use crate::split::Branch;
use crate::telemetry::proof;

/// One request to one node.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// How to speak to the node.
    pub scheme: Scheme,
    /// Where to connect to, and the name its certificate must carry.
    pub node: &'a Node,
    /// The header `Host`.
    pub host: &'a str,
    /// Path and query.
    pub target: Cow<'a, str>,
    /// The changes to the client's headers.
    pub edits: Edits,
    /// How long it may take until the head of the response is there.
    pub timeout: Duration,
}

/// A request for which everything is decided.
#[derive(Debug)]
pub struct Exchange<'a> {
    snapshot: Option<&'a Snapshot>,
    decision: Result<(&'a Route, &'a Branch), Problem>,
}

impl<'a> Exchange<'a> {
    /// Decides: matches the route and picks the branch.
    pub fn decide(snapshot: Option<&'a Snapshot>, head: &impl Head) -> Self {
        let decision = match (head.fault(), snapshot) {
            (Some(problem), _) => Err(problem),
            (None, None) => Err(Problem::NoConfiguration),
            (None, Some(snapshot)) => {
                let draft = Draft::of(head);
                let facts = Facts::new(head, &draft, Body::Unread);
                let found = snapshot.find(&facts, &mut Nobody);
                found.map(|(route, _)| (route, route.split.pick())).ok_or(Problem::NoRoute)
            }
        };
        Self { snapshot, decision }
    }

    /// The id of the route that took the request.
    pub fn route(&self) -> Option<&'a str> {
        self.decision.ok().map(|(route, _)| &*route.id)
    }

    /// The name of the branch that was picked.
    pub fn branch(&self) -> Option<&'a str> {
        self.decision.ok().map(|(_, branch)| &*branch.name)
    }

    /// The revision of the configuration that decided.
    pub fn revision(&self) -> Option<&'a str> {
        self.snapshot.map(|snapshot| snapshot.revision().as_str())
    }

    /// The attempt to make, or why there is none to make.
    pub fn attempt(&self, head: &'a impl Head) -> Result<Attempt<'a>, Problem> {
        let (route, branch) = self.decision?;
        let upstream = &*branch.balancer.upstream;
        let node = branch.balancer.next().ok_or(Problem::UpstreamGone)?;
        let mut edits = Edits::default();
        remove_nominated(head.header("connection").as_deref(), &mut edits);
        forward(head, &mut edits);
        branch.rewrite.edit(&mut edits);
        Ok(Attempt {
            scheme: upstream.scheme,
            node,
            host: upstream.host_for(node, head.host()),
            target: branch.rewrite.target(head.path(), head.query()),
            edits,
            timeout: route.timeout.or(upstream.timeout).unwrap_or(TIMEOUT_DEFAULT),
        })
    }

    /// The changes to the headers of the upstream's response, if it is one that can be relayed:
    /// statuses from 600 are not HTTP (RFC 9110, section 15), and nobody asked to switch protocols,
    /// because `Upgrade` goes no further.
    pub fn relay(&self, response: &impl ResponseHead) -> Result<Edits, Problem> {
        if !(200..600).contains(&response.status()) {
            return Err(Problem::Upstream(Failure::HttpProtocolError));
        }
        let mut edits = Edits::default();
        remove_nominated(response.header("connection").as_deref(), &mut edits);
        edits.set = self.proof().map(|(name, value)| (Cow::Borrowed(name), value)).collect();
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
