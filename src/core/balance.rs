//! Upstreams: which node an attempt goes to, what `Host` it says, how long it may take.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::fault::{At, Report};
use crate::id::Id;
use crate::node::{Node, NodesWire, Scheme, parse_authority};
use crate::rotation::{Rotation, Unpickable, Weight};
use crate::wire::{Labels, Remark, Unsupported};

/// The type of balancer that there is.
const TYPE: &str = "roundrobin";

/// An upstream in a document: the object of APISIX, or a URL as a short form.
#[derive(Debug)]
pub(crate) enum UpstreamWire {
    Url(String),
    Object(Box<UpstreamObject>),
}

/// APISIX's upstream object.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be checked or refused, not to be used")]
pub(crate) struct UpstreamObject {
    pub(crate) id: Option<Id>,
    name: Option<Remark>,
    desc: Option<Remark>,
    labels: Option<Labels>,
    create_time: Option<u64>,
    update_time: Option<u64>,
    #[cfg_attr(feature = "schema", schemars(required))]
    nodes: Option<NodesWire>,
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [TYPE])))]
    r#type: Option<String>,
    #[cfg_attr(
        feature = "schema",
        schemars(extend("enum" = [Scheme::Http.as_str(), Scheme::Https.as_str()]))
    )]
    scheme: Option<String>,
    pass_host: Option<PassHost>,
    upstream_host: Option<String>,
    timeout: Option<TimeoutWire>,
    checks: Option<Unsupported>,
    discovery_args: Option<Unsupported>,
    discovery_type: Option<Unsupported>,
    hash_on: Option<Unsupported>,
    keepalive_pool: Option<Unsupported>,
    key: Option<Unsupported>,
    retries: Option<Unsupported>,
    retry_timeout: Option<Unsupported>,
    service_name: Option<Unsupported>,
    tls: Option<Unsupported>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
enum PassHost {
    Pass,
    Node,
    Rewrite,
}

/// The most seconds of one phase: a day.
const PHASE_SECS_MAX: f64 = 86_400.0;

/// Seconds, all three required, as in APISIX.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct TimeoutWire {
    #[cfg_attr(
        feature = "schema",
        schemars(required, range(max = PHASE_SECS_MAX), extend("exclusiveMinimum" = 0))
    )]
    connect: Option<f64>,
    #[cfg_attr(
        feature = "schema",
        schemars(required, range(max = PHASE_SECS_MAX), extend("exclusiveMinimum" = 0))
    )]
    send: Option<f64>,
    #[cfg_attr(
        feature = "schema",
        schemars(required, range(max = PHASE_SECS_MAX), extend("exclusiveMinimum" = 0))
    )]
    read: Option<f64>,
}

impl TimeoutWire {
    /// How long an attempt may take until the head of its response is there: the three phases of
    /// APISIX one after the other, because a Worker cannot tell them apart.
    pub(crate) fn compile(self, at: At<'_>, report: &mut Report) -> Timeouts {
        let phases = [("connect", self.connect), ("send", self.send), ("read", self.read)];
        let phase = |(key, secs): (&str, Option<f64>)| match secs {
            Some(secs) if secs > 0.0 && secs <= PHASE_SECS_MAX => Duration::from_secs_f64(secs),
            Some(_) => {
                let what = format!("expected seconds, more than 0 and at most {PHASE_SECS_MAX}");
                report.fault(at.key(key), what);
                Duration::ZERO
            }
            None => {
                report.fault(at, format!("`{key}` is missing"));
                Duration::ZERO
            }
        };
        Timeouts(phases.into_iter().map(phase).sum())
    }
}

/// How long an attempt may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts(Duration);
impl Default for Timeouts {
    fn default() -> Self {
        Self(Duration::from_secs(180))
    }
}
impl Timeouts {
    /// Until the head.
    pub fn head(&self) -> Duration {
        self.0
    }
    /// Between chunks.
    pub fn idle(&self) -> Duration {
        Duration::from_secs(60)
    }
}
/// Stub.
#[derive(Debug, PartialEq)]
pub struct Keepalive;
/// Stub.
#[derive(Debug, PartialEq)]
pub struct Tls;
/// Stub.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) facts: &'a crate::facts::Facts<'a>,
    pub(crate) now: crate::time::Timestamp,
    pub(crate) chance: &'a dyn Fn() -> u64,
    pub(crate) tried: &'a Tried,
    pub(crate) is_trial: bool,
}
#[derive(Default)]
pub(crate) struct Tried(u64);
impl Tried {
    pub(crate) fn insert(&mut self, index: usize) {
        self.0 |= 1 << index;
    }
    pub(crate) fn count(&self) -> usize {
        self.0.count_ones() as usize
    }
}
#[derive(Debug)]
pub(crate) struct InFlight;
impl InFlight {
    pub(crate) fn observe(&self, _: Duration, _: crate::time::Timestamp) {}
}
pub(crate) struct Vital;
impl Vital {
    pub(crate) fn breaker(&self) -> Option<&'static crate::breaker::Breaker> {
        None
    }
}
impl Balancer {
    pub(crate) fn pick(&self, ask: &Ask<'_>) -> Option<usize> {
        let rotation = self.rotation.as_ref()?;
        let first = if ask.is_trial { rotation.peek() } else { rotation.next() };
        let n = self.upstream.nodes.len();
        (0..n).map(|i| (first + i) % n).find(|i| ask.tried.0 & (1 << i) == 0)
    }
    pub(crate) fn node(&self, index: usize) -> &Node {
        self.at(index)
    }
    pub(crate) fn vital(&self, _: usize) -> Vital {
        Vital
    }
    pub(crate) fn start(&self, _: usize) -> InFlight {
        InFlight
    }
}
impl Upstream {
    pub(crate) fn retries(&self) -> u32 {
        (self.nodes.len() as u32).saturating_sub(1)
    }
    pub(crate) fn nodes_count(&self) -> usize {
        self.nodes.len()
    }
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
    pub(crate) scheme: Scheme,
    /// None in place of an upstream that is gone ([`Upstream::gone`]).
    nodes: Vec<(Node, Weight)>,
    host: HostPolicy,
    pub(crate) timeout: Option<Timeouts>,
    pub(crate) retry: crate::retry::Policy,
    pub(crate) retry_timeout: Option<Duration>,
    pub(crate) keepalive: Keepalive,
    pub(crate) tls: Option<Tls>,
}

/// One use of an upstream, with its own walk over the nodes: two branches that share an upstream and
/// one walk would each see only every other node.
#[derive(Debug)]
pub(crate) struct Balancer {
    pub(crate) upstream: Arc<Upstream>,
    /// `None` where the upstream is gone.
    rotation: Option<Rotation>,
}

impl Balancer {
    pub(crate) fn new(upstream: Arc<Upstream>, phase: u64) -> Result<Self, Unpickable> {
        let weights: Vec<Weight> = upstream.nodes.iter().map(|(_, weight)| *weight).collect();
        let is_gone = weights.is_empty();
        let rotation = (!is_gone).then(|| Rotation::new(&weights, phase)).transpose()?;
        Ok(Self { upstream, rotation })
    }

    /// Goes on where `earlier` has come to, if it walks over as many nodes with the same weights.
    pub(crate) fn follow(&mut self, earlier: &Self) {
        if let (Some(own), Some(earlier)) = (&mut self.rotation, &earlier.rotation) {
            own.follow(earlier);
        }
    }

    /// The node whose turn it is, unless the upstream is gone.
    pub(crate) fn next(&self) -> Option<&Node> {
        Some(self.at(self.rotation.as_ref()?.next()))
    }

    /// The node whose turn is next; nothing moves.
    pub(crate) fn peek(&self) -> Option<&Node> {
        Some(self.at(self.rotation.as_ref()?.peek()))
    }

    fn at(&self, index: usize) -> &Node {
        let node = self.upstream.nodes.get(index);
        node.map(|(node, _)| node).expect("the rotation was laid out over these nodes")
    }
}

impl PartialEq for Upstream { fn eq(&self, o: &Self) -> bool { self.nodes == o.nodes && self.scheme == o.scheme } }
impl Upstream {
    /// What stands for an upstream that is named and does not exist: it has no nodes.
    pub(crate) fn gone() -> Arc<Self> {
        let (scheme, host) = (Scheme::Http, HostPolicy::Node);
        Arc::new(Self { scheme, nodes: Vec::new(), host, timeout: None, retry: Default::default(), retry_timeout: None, keepalive: Keepalive, tls: None })
    }

    /// What the header `Host` says to `node`, for a request that asks for `asked`.
    pub(crate) fn host_for<'a>(&'a self, node: &'a Node, asked: Cow<'a, str>) -> Cow<'a, str> {
        match &self.host {
            HostPolicy::Client if !asked.is_empty() => asked,
            HostPolicy::Client | HostPolicy::Node => Cow::Borrowed(node.authority()),
            HostPolicy::Fixed(host) => Cow::Borrowed(host),
        }
    }

    /// Whether `Host` names a port. APISIX leaves it out for the inline http upstream of a branch.
    pub(crate) fn sends_port(&self) -> bool {
        let is_other = |node: &Node| node.port() != self.scheme.default_port();
        self.host == HostPolicy::Node && self.nodes.iter().any(|(node, _)| is_other(node))
    }

    /// Checks an upstream beside an `upstream_id`, for its faults alone.
    pub(crate) fn check_unused(wire: &UpstreamWire, at: At<'_>, report: &mut Report) {
        report.warn(at, "not used: `upstream_id` beside it wins");
        let mut unused = Report::default();
        Self::compile(wire, at, &mut unused);
        report.faults.append(&mut unused.faults);
    }

    /// Checks an upstream; reports every fault and what an edge runtime cannot do with it.
    pub(crate) fn compile(wire: &UpstreamWire, at: At<'_>, report: &mut Report) -> Option<Self> {
        let upstream = match wire {
            UpstreamWire::Url(url) => from_url(url, at, report)?,
            UpstreamWire::Object(object) => object.compile(at, report)?,
        };
        if upstream.host != HostPolicy::Node {
            report.warn(
                at.key("pass_host"),
                "at the edge `Host` is always the node's name (\"node\"): a Worker cannot send another",
            );
        }
        Some(upstream)
    }
}

fn from_url(url: &str, at: At<'_>, report: &mut Report) -> Option<Upstream> {
    const FORM: &str = "expected `http://host[:port]` or `https://host[:port]`, without a path";
    report.warn(at, "APISIX takes an upstream object here, not a URL");
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        Some((Scheme::parse(scheme)?, parse_authority(rest)?))
    });
    let Some((scheme, (host, port))) = parts else {
        report.fault(at, FORM);
        return None;
    };
    let node = Node::new(host, port.unwrap_or(scheme.default_port()), scheme);
    Some(Upstream { scheme, nodes: vec![(node, Weight(1))], host: HostPolicy::Node, timeout: None, retry: Default::default(), retry_timeout: None, keepalive: Keepalive, tls: None })
}

impl UpstreamObject {
    fn compile(&self, at: At<'_>, report: &mut Report) -> Option<Upstream> {
        let faults_before = report.faults.len();
        match self.r#type.as_deref() {
            None | Some(TYPE) => {}
            Some("chash" | "ewma" | "least_conn") => {
                report.fault(
                    at.key("type"),
                    "APISIX has this type, Splitway does not support it yet",
                );
            }
            Some(_) => report.fault(at.key("type"), "unknown type, expected \"roundrobin\""),
        }
        let scheme = Scheme::parse(self.scheme.as_deref().unwrap_or("http"));
        if scheme.is_none() {
            report.fault(at.key("scheme"), "expected \"http\" or \"https\"");
        }
        let scheme = scheme.unwrap_or(Scheme::Http);
        let host = self.host_policy(at, report);
        let timeout = self.timeout.map(|wire| wire.compile(at.key("timeout"), report));
        let nodes = match &self.nodes {
            Some(nodes) => nodes.compile(scheme, at.key("nodes"), report),
            None => {
                report.fault(at, "`nodes` is missing");
                Vec::new()
            }
        };
        let sound = report.faults.len() == faults_before;
        sound.then_some(Upstream { scheme, nodes, host, timeout, retry: Default::default(), retry_timeout: None, keepalive: Keepalive, tls: None })
    }

    fn host_policy(&self, at: At<'_>, report: &mut Report) -> HostPolicy {
        match (self.pass_host.unwrap_or(PassHost::Pass), &self.upstream_host) {
            (PassHost::Pass, _) => HostPolicy::Client,
            (PassHost::Node, _) => HostPolicy::Node,
            (PassHost::Rewrite, None) => {
                report.fault(at, "`upstream_host` is missing, `pass_host` \"rewrite\" needs it");
                HostPolicy::Node
            }
            (PassHost::Rewrite, Some(host)) => {
                if parse_authority(host).is_none() {
                    report.fault(at.key("upstream_host"), "expected `host` or `host:port`");
                }
                HostPolicy::Fixed(host.clone())
            }
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
