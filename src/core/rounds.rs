//! Active health checks where nobody is awake all the time: at the edge.
//!
//! A timer begins a *round* once a minute, in whichever isolate. It is told what is known of the nodes,
//! probes those that are due ([`errands`]) and reports what came of it to the one who keeps that for
//! all (`register`). Every isolate that serves asks there anyway and takes over what is new ([`Heard`]):
//!
//! | of a node                            | an isolate                                                |
//! |--------------------------------------|-----------------------------------------------------------|
//! | that is down by the rounds           | sends nothing there, whatever it found out by itself      |
//! | that was down by them, and no more   | sends requests there again                                |
//! | that is healthy by the last round    | counts one success: as in APISIX that is what brings back |
//! |                                      | what was down by requests alone                           |
//! | of which rounds tell nothing         | goes by what it found out by itself                       |
//!
//! One probe a round is all there is, so that N failures in a row take N minutes, and an interval is
//! rounded up to minutes.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::checks::{Active, Limits, Method, Phase, Probe, Protocol, Verdict};
use crate::checkup::{CheckedNode, Checkup, checkups};
use crate::gather::{Gather as _, ranked};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// The most probes of a round. A Worker may send 50 requests per event on every plan.
pub const PROBES_MAX: usize = 50;

/// The most seconds a probe takes: a round should be over when the next begins.
const TIMEOUT_MAX: Duration = Duration::from_secs(5);

const MINUTE: Duration = Duration::from_secs(60);

/// By how much a timer may be off.
const SLACK: Duration = Duration::from_secs(30);

/// What framing is made of is not for a document to say.
const FRAMING: [&str; 3] = ["connection", "content-length", "transfer-encoding"];

/// What the rounds know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The last round: when it was to begin, in milliseconds since the Unix epoch; 0 before the first.
    pub round: u64,
    /// All nodes that were probed.
    pub nodes: Vec<NodeTold>,
}

/// What the rounds know of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTold {
    /// The name of its upstream, see [`Checkup::upstream`].
    pub upstream: Box<str>,
    /// Its host and port.
    pub authority: Box<str>,
    /// How it is.
    pub phase: Phase,
    /// The round that probed it last.
    pub probed: u64,
}

/// What came of the probe of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The name of its upstream.
    pub upstream: Box<str>,
    /// Its host and port.
    pub authority: Box<str>,
    /// What it counts for, if for anything.
    pub verdict: Option<Verdict>,
}

/// What a round found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// When it was to begin, in milliseconds since the Unix epoch.
    pub at: u64,
    /// What came of its probes.
    pub found: Vec<Finding>,
}

/// A probe that is due.
#[derive(Clone, Debug)]
pub struct Errand {
    upstream: Box<str>,
    authority: Box<str>,
    limits: Limits,
    /// The method.
    pub method: Method,
    /// Where it goes.
    pub url: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body; none with a method that takes none.
    pub body: Option<String>,
    /// After how long it has failed.
    pub timeout: Duration,
}

/// The probes that are due at `now`: those first that wait longest, and [`PROBES_MAX`] at most.
pub fn errands(snapshot: &Snapshot, told: &Told, now: Timestamp) -> Vec<Errand> {
    let known = told.nodes.iter().map(|it| ((&*it.upstream, &*it.authority), it));
    let known: BTreeMap<_, _> = known.gather();
    let mut due = Vec::new();
    let mut seen = BTreeSet::new();
    for checkup in checkups(snapshot) {
        for node in &checkup.nodes {
            let is_new = seen.insert((checkup.upstream.clone(), node.authority.clone()));
            let known = known.get(&(&*checkup.upstream, &*node.authority)).copied();
            if is_new && is_due(&checkup.checks.active, known, now) {
                let errand = Errand::new(&checkup, node);
                due.extend(errand.map(|errand| (known.map(|it| it.probed), errand)));
            }
        }
    }
    let mut due = ranked(due, |(probed, _)| probed.map_or(-1, i128::from));
    due.truncate(PROBES_MAX);
    due.into_iter().map(|(_, errand)| errand).collect()
}

fn is_due(active: &Active, known: Option<&NodeTold>, now: Timestamp) -> bool {
    let is_up = known.is_none_or(|it| it.phase.is_up());
    let interval = if is_up { active.interval_up } else { active.interval_down };
    let Some(interval) = interval else { return false };
    let Some(known) = known else { return true };
    let minutes = interval.as_millis().div_ceil(MINUTE.as_millis());
    let interval = MINUTE * u32::try_from(minutes).unwrap_or(u32::MAX);
    now.since(Timestamp::from_millis(known.probed)) + SLACK >= interval
}

impl Errand {
    /// The probe of a node, if the edge has such.
    fn new(checkup: &Checkup, node: &CheckedNode) -> Option<Self> {
        let active = &checkup.checks.active;
        let scheme = match active.protocol {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Tcp => return None,
        };
        let port = active.port.unwrap_or(node.port);
        // A URL ends its path at this mark.
        let path = active.path.replace('#', "%23");
        let takes_body = !matches!(active.method, Method::Get | Method::Head);
        let body = Some(&active.body).filter(|body| takes_body && !body.is_empty());
        let headers = active.headers.iter().filter(|(name, _)| !FRAMING.contains(&&**name));
        Some(Self {
            upstream: checkup.upstream.clone(),
            authority: node.authority.clone(),
            limits: active.limits,
            method: active.method,
            url: format!("{scheme}://{}:{port}{path}", node.host),
            headers: headers.cloned().collect(),
            body: body.cloned(),
            timeout: active.timeout.min(TIMEOUT_MAX),
        })
    }

    /// What came of it.
    pub fn finding(&self, probe: Probe) -> Finding {
        let verdict = self.limits.verdict(probe);
        let verdict = verdict.or_else(|| self.limits.verdict(of_front(probe)));
        let (upstream, authority) = (self.upstream.clone(), self.authority.clone());
        Finding { upstream, authority, verdict }
    }
}

/// What a status of Cloudflare's own says of the origin for which it answers.
const fn of_front(probe: Probe) -> Probe {
    match probe {
        Probe::Status(520) => Probe::Status(0),
        Probe::Status(521 | 523 | 525 | 526 | 530) => Probe::TcpFailure,
        Probe::Status(522 | 524) => Probe::Timeout,
        Probe::Status(_) | Probe::TcpFailure | Probe::Timeout | Probe::Connected => probe,
    }
}

/// The nodes that came up (`true`) or went down between two tellings.
pub fn changes<'t>(before: &Told, after: &'t Told) -> Vec<(&'t NodeTold, bool)> {
    let down = before.nodes.iter().filter(|it| !it.phase.is_up());
    let down: BTreeSet<_> = down.map(|it| (&it.upstream, &it.authority)).gather();
    let was_up = |node: &NodeTold| !down.contains(&(&node.upstream, &node.authority));
    let nodes = after.nodes.iter().map(|node| (node, node.phase.is_up()));
    nodes.filter(|(node, is_up)| was_up(node) != *is_up).collect()
}

/// What is told begins so, before the document if there is one; JSON never does.
const MARK: &str = "round ";

/// What an isolate is told, as the line before the document.
pub fn line(told: &Told) -> String {
    // Names and numbers alone: there is nothing in it that JSON has not.
    let told = serde_json::to_string(told).unwrap_or_default();
    format!("{MARK}{told}\n")
}

/// Both parts of what an isolate is told: what rounds found, and the document, of which either may be
/// missing.
pub fn parts(told: &[u8]) -> (Option<Told>, Option<&[u8]>) {
    let some = |document: &'_ [u8]| !document.is_empty();
    let Some(rest) = told.strip_prefix(MARK.as_bytes()) else {
        return (None, Some(told).filter(|it| some(it)));
    };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (line, document) = rest.split_at(end);
    let document = document.strip_prefix(b"\n").filter(|it| some(it));
    (serde_json::from_slice(line).ok(), document)
}

/// What an isolate has heard of the rounds.
#[derive(Debug, Default)]
pub struct Heard {
    round: u64,
    /// What is down by the rounds: upstream and authority.
    down: BTreeSet<(Box<str>, Box<str>)>,
}

impl Heard {
    /// The last round that it heard of; 0 for none.
    pub const fn round(&self) -> u64 {
        self.round
    }

    /// Takes over what a round found out, for the nodes that serve.
    pub fn take(&mut self, told: &Told, snapshot: Option<&Snapshot>) {
        let key = |node: &NodeTold| (node.upstream.clone(), node.authority.clone());
        let down = told.nodes.iter().filter(|node| !node.phase.is_up()).map(key).gather();
        let earlier = std::mem::replace(&mut self.down, down);
        let is_fresh = |node: &&NodeTold| node.probed > self.round && node.phase == Phase::Healthy;
        let fine: BTreeSet<_> = told.nodes.iter().filter(is_fresh).map(key).gather();
        self.round = told.round;
        let mut seen = BTreeSet::new();
        for checkup in snapshot.map(checkups).unwrap_or_default() {
            for node in &checkup.nodes {
                let key = (checkup.upstream.clone(), node.authority.clone());
                if self.down.contains(&key) || !seen.insert(node.health.mark()) {
                    continue;
                }
                if earlier.contains(&key) {
                    node.health.set(Phase::Healthy);
                } else if fine.contains(&key) {
                    node.health.note_active(&checkup.checks.active, Probe::Connected);
                }
            }
        }
        self.apply(snapshot);
    }

    /// Keeps requests from what is down by the rounds, among the nodes that serve from here on.
    pub fn apply(&self, snapshot: Option<&Snapshot>) {
        let snapshot = snapshot.filter(|_| !self.down.is_empty());
        for checkup in snapshot.map(checkups).unwrap_or_default() {
            for node in &checkup.nodes {
                let key = (checkup.upstream.clone(), node.authority.clone());
                if self.down.contains(&key) && node.health.is_up() {
                    node.health.set(Phase::Unhealthy);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
