//! Upstreams: which node an attempt goes to, what `Host` it says, how long it may take.

mod ask;
mod connection;
mod crc32;
mod hash;
mod object;
mod pick;
mod ring;
mod timeout;
mod vital;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::time::Duration;

use siphasher::sip::SipHasher24;

pub(crate) use self::ask::{Ask, Tried};
pub use self::connection::{ClientCertificate, Keepalive, Tls};
pub(crate) use self::object::UpstreamObject;
pub(crate) use self::pick::{Balancer, Left};
pub(crate) use self::timeout::TimeoutWire;
pub use self::timeout::Timeouts;
pub(crate) use self::vital::{Care, InFlight, Vital};

use self::object::Method;
use self::vital::{Live, Vitals};
use crate::fault::{At, Report};
use crate::gather::Gather as _;
use crate::node::{Node, Placed, Scheme, parse_authority};
use crate::retry::{self, Budget};
use crate::rotation::Weight;

/// An upstream in a document: the object of APISIX, or a URL as a short form.
#[derive(Debug)]
pub(crate) enum UpstreamWire {
    Url(String),
    Object(Box<UpstreamObject>),
}

/// What the header `Host` says to the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPolicy {
    Client,
    Node,
    Fixed(String),
}

/// A checked upstream, shared by all that name it.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Shared by all that say the same: tens of thousands of routes may have upstreams of their own.
    spec: Arc<Spec>,
    /// What is known of it while it serves. Each upstream is known by itself.
    vitals: Vitals,
}

/// What a document says of an upstream.
#[derive(Debug, PartialEq)]
pub(crate) struct Spec {
    pub(crate) scheme: Scheme,
    /// Those of a higher priority before all others; none in place of an upstream that is gone
    /// ([`Upstream::gone`]).
    members: Box<[Placed]>,
    /// The nodes of each priority that has weight, the highest first.
    tiers: Box<[Range<usize>]>,
    host: HostPolicy,
    pub(crate) timeout: Option<Timeouts>,
    retries: Option<u32>,
    /// When and how an attempt is followed by another.
    pub(crate) retry: retry::Policy,
    /// After so long no further attempt is made.
    pub(crate) retry_timeout: Option<Duration>,
    pub(crate) keepalive: Keepalive,
    pub(crate) tls: Tls,
    method: Method,
    /// How the health of its nodes is looked after.
    pub(crate) care: Care,
}

impl Deref for Upstream {
    type Target = Spec;

    fn deref(&self) -> &Spec {
        &self.spec
    }
}

impl PartialEq for Upstream {
    /// What is known while running makes no upstream another.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.spec, &other.spec) || self.spec == other.spec
    }
}

impl From<Arc<Spec>> for Upstream {
    fn from(spec: Arc<Spec>) -> Self {
        Self { spec, vitals: Vitals::default() }
    }
}

impl Upstream {
    /// What stands for an upstream that is named and does not exist: it has no nodes.
    pub(crate) fn gone() -> Arc<Self> {
        Arc::new(Arc::new(Spec::plain(Scheme::Http, Vec::new())).into())
    }

    /// What the document says of it.
    pub(crate) fn spec(&self) -> &Arc<Spec> {
        &self.spec
    }

    fn node(&self, index: usize) -> Option<&Node> {
        self.members.get(index).map(|placed| &placed.node)
    }

    fn placed(&self, places: &Range<usize>) -> &[Placed] {
        self.members.get(places.clone()).unwrap_or_default()
    }

    /// How many attempts may follow the first: as many as there are other nodes, unless it says.
    pub(crate) fn retries(&self) -> u32 {
        let others = self.candidates().saturating_sub(1);
        self.retries.unwrap_or(u32::try_from(others).unwrap_or(u32::MAX))
    }

    /// How many nodes something can go to.
    pub(crate) fn candidates(&self) -> usize {
        self.members.iter().filter(|placed| placed.weight > Weight(0)).count()
    }

    /// How a node is picked, as documents write it; nothing where it is by turns.
    pub(crate) fn method(&self) -> Option<&'static str> {
        self.method.special()
    }

    /// Whether a node is picked by something in the body of the request.
    pub(crate) fn needs_body(&self) -> bool {
        match &self.method {
            Method::Chash { key, .. } => key.needs_body(),
            Method::RoundRobin | Method::Ewma | Method::LeastConn => false,
        }
    }

    /// What is known of each node, by its position.
    pub(crate) fn vitals(&self) -> &[Vital] {
        &self.live().nodes
    }

    /// What is left of its retries.
    pub(crate) fn budget(&self) -> &Budget {
        &self.live().budget
    }

    fn live(&self) -> &Live {
        let shape = (self.members.len(), &self.care);
        self.vitals.get(shape, |_| None, (&self.retry.budget, None))
    }

    /// Takes over what `earlier` knows of nodes that are still there: of the same authority, spoken to in
    /// the same scheme. Only once, and not after anything was asked: an upstream that many share is
    /// followed by each of them. `None` says that there is nothing to take over, whoever comes next.
    pub(crate) fn follow(&self, earlier: Option<&Self>) {
        if self.vitals.is_settled() {
            return;
        }
        let earlier = earlier.filter(|earlier| earlier.scheme == self.scheme);
        let known: BTreeMap<&str, &Vital> = earlier
            .into_iter()
            .flat_map(|earlier| earlier.nodes().map(Node::authority).zip(earlier.vitals()))
            .gather();
        let known = |index| known.get(self.node(index)?.authority()).copied();
        let budgets = (&self.retry.budget, earlier.map(Self::budget));
        self.vitals.get((self.members.len(), &self.care), known, budgets);
    }

    /// What the header `Host` says to `node`, for a request that asks for `asked`.
    pub(crate) fn host_for<'a>(&'a self, node: &'a Node, asked: Cow<'a, str>) -> Cow<'a, str> {
        match &self.host {
            HostPolicy::Client if !asked.is_empty() => asked,
            HostPolicy::Client | HostPolicy::Node => Cow::Borrowed(node.authority()),
            HostPolicy::Fixed(host) => Cow::Borrowed(host),
        }
    }

    /// Checks an upstream beside an `upstream_id`, for its faults alone.
    pub(crate) fn check_unused(wire: &UpstreamWire, at: At<'_>, report: &mut Report) {
        report.warn(at, "not used: `upstream_id` beside it wins");
        let mut unused = Report::default();
        Spec::compile(wire, at, &mut unused);
        report.faults.append(&mut unused.faults);
    }
}

impl Spec {
    /// One about which nothing is said but its nodes, all of one priority.
    fn plain(scheme: Scheme, members: Vec<Placed>) -> Self {
        let tiers = (!members.is_empty()).then_some(0..members.len());
        Self {
            scheme,
            members: members.into(),
            tiers: tiers.into_iter().collect(),
            host: HostPolicy::Node,
            timeout: None,
            retries: None,
            retry: retry::Policy::default(),
            retry_timeout: None,
            keepalive: Keepalive::default(),
            tls: Tls::default(),
            method: Method::RoundRobin,
            care: Care::default(),
        }
    }

    /// The nodes, in the order of their positions.
    pub(crate) fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.members.iter().map(|placed| &placed.node)
    }

    /// Whether `Host` names a port. APISIX leaves it out for the inline http upstream of a branch.
    pub(crate) fn sends_port(&self) -> bool {
        let is_other = |node: &Node| node.port() != self.scheme.default_port();
        self.host == HostPolicy::Node && self.nodes().any(is_other)
    }

    /// Checks an upstream; reports every fault and what an edge runtime cannot do with it.
    pub(crate) fn compile(wire: &UpstreamWire, at: At<'_>, report: &mut Report) -> Option<Self> {
        let spec = match wire {
            UpstreamWire::Url(url) => from_url(url, at, report)?,
            UpstreamWire::Object(object) => object.compile(at, report)?,
        };
        if spec.host != HostPolicy::Node {
            report.warn(
                at.key("pass_host"),
                "at the edge `Host` is always the node's name (\"node\"): a Worker cannot send another",
            );
        }
        Some(spec)
    }

    /// A number by which specs mostly differ: that of their nodes.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = SipHasher24::new();
        self.scheme.is_tls().hash(&mut hasher);
        self.members.iter().for_each(|placed| placed.node.authority().hash(&mut hasher));
        hasher.finish()
    }
}

fn from_url(url: &str, at: At<'_>, report: &mut Report) -> Option<Spec> {
    const FORM: &str = "expected `http://host[:port]` or `https://host[:port]`, without a path";
    report.warn(at, "APISIX takes an upstream object here, not a URL");
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        Some((Scheme::of_url(scheme)?, parse_authority(rest)?))
    });
    let Some((scheme, (host, port))) = parts else {
        report.fault(at, FORM);
        return None;
    };
    let node = Node::new(host, port.unwrap_or(scheme.default_port()), scheme);
    Some(Spec::plain(scheme, vec![Placed { node, weight: Weight(1), priority: 0 }]))
}

impl UpstreamWire {
    /// The keys that APISIX ignores in the inline upstream of a branch, as far as they are here.
    pub(crate) fn ignored_in_branch(&self) -> Vec<&'static str> {
        match self {
            Self::Url(_) => Vec::new(),
            Self::Object(object) => object.ignored_in_branch(),
        }
    }
}

impl<'de> Deserialize<'de> for UpstreamWire {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WireVisitor;
        impl<'de> Visitor<'de> for WireVisitor {
            type Value = UpstreamWire;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an upstream object or a URL")
            }

            fn visit_str<E: de::Error>(self, url: &str) -> Result<UpstreamWire, E> {
                Ok(UpstreamWire::Url(url.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UpstreamWire, A::Error> {
                let object = UpstreamObject::deserialize(MapAccessDeserializer::new(map))?;
                Ok(UpstreamWire::Object(Box::new(object)))
            }
        }
        deserializer.deserialize_any(WireVisitor)
    }
}

#[cfg(test)]
mod tests;
