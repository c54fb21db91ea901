//! Upstreams: which node an attempt goes to, what `Host` it says, how long it may take.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::fault::{At, Report};
use crate::rotation::{Rotation, Unpickable, Weight};
use crate::wire::{Id, Remark, Unsupported};

/// An upstream in a document: the object of APISIX, or a URL as a short form.
#[derive(Debug)]
pub(crate) enum UpstreamWire {
    Url(String),
    Object(Box<UpstreamObject>),
}

/// APISIX's upstream object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some keys are read to be checked or refused, not to be used")]
pub(crate) struct UpstreamObject {
    pub(crate) id: Option<Id>,
    name: Option<Remark>,
    desc: Option<Remark>,
    labels: Option<serde_json::Map<String, serde_json::Value>>,
    create_time: Option<u64>,
    update_time: Option<u64>,
    nodes: Option<NodesWire>,
    r#type: Option<String>,
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

#[derive(Debug)]
enum NodesWire {
    Map(Vec<(String, u32)>),
    List(Vec<NodeWire>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeWire {
    host: String,
    port: Option<u16>,
    weight: u32,
    #[expect(dead_code, reason = "read to be refused by name")]
    priority: Option<Unsupported>,
    #[expect(dead_code, reason = "kept for whoever reads the document; it has no effect")]
    metadata: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PassHost {
    Pass,
    Node,
    Rewrite,
}

/// Seconds, all three required, as in APISIX.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimeoutWire {
    connect: f64,
    send: f64,
    read: f64,
}

impl TimeoutWire {
    /// How long an attempt may take until the head of its response is there: the three phases of
    /// APISIX one after the other, because a Worker cannot tell them apart.
    pub(crate) fn compile(self, at: At<'_>, report: &mut Report) -> Duration {
        let phases = [("connect", self.connect), ("send", self.send), ("read", self.read)];
        let phase = |(key, secs): (&str, f64)| {
            if !(secs > 0.0 && secs <= 86_400.0) {
                report.fault(at.key(key), "expected seconds, more than 0 and at most 86400");
                return Duration::ZERO;
            }
            Duration::from_secs_f64(secs)
        };
        phases.into_iter().map(phase).sum()
    }
}

/// What an attempt may take where neither route nor upstream says: APISIX's 60 s for each phase.
pub(crate) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(180);

/// The scheme an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS, the certificate verified for the node's host name.
    Https,
}

impl Scheme {
    /// The scheme as URLs write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port meant where none is given.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|scheme| scheme.as_str() == text)
    }
}

/// One address of an upstream.
#[derive(Debug, PartialEq, Eq)]
pub struct Node {
    /// `host`, or `host:port` where the port is not the scheme's; as URLs and `Host` write it.
    authority: String,
    host_len: usize,
    port: u16,
}

impl Node {
    /// The host name or address; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.authority.get(..self.host_len).unwrap_or_default()
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as URLs and the header `Host` write them.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    fn new(host: &str, port: u16, scheme: Scheme) -> Self {
        let host = host.to_ascii_lowercase();
        let host_len = host.len();
        let authority = match port == scheme.default_port() {
            true => host,
            false => format!("{host}:{port}"),
        };
        Self { authority, host_len, port }
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
    nodes: Vec<(Node, Weight)>,
    host: HostPolicy,
    pub(crate) timeout: Option<Duration>,
}

/// One use of an upstream, with its own walk over the nodes: two branches that share an upstream and
/// one walk would each see only every other node.
#[derive(Debug)]
pub(crate) struct Balancer {
    pub(crate) upstream: Arc<Upstream>,
    rotation: Rotation,
}

impl Balancer {
    pub(crate) fn new(upstream: Arc<Upstream>, phase: u64) -> Result<Self, Unpickable> {
        let weights: Vec<Weight> = upstream.nodes.iter().map(|(_, weight)| *weight).collect();
        let rotation = Rotation::new(&weights, phase)?;
        Ok(Self { upstream, rotation })
    }

    /// The node whose turn it is.
    pub(crate) fn next(&self) -> &Node {
        let (node, _) = self
            .upstream
            .nodes
            .get(self.rotation.next())
            .expect("the rotation was laid out over these nodes");
        node
    }
}

impl Upstream {
    /// What the header `Host` says to `node`, for a client that said `client`.
    pub(crate) fn host_for<'a>(&'a self, node: &'a Node, client: &'a str) -> &'a str {
        match &self.host {
            HostPolicy::Client if !client.is_empty() => client,
            HostPolicy::Client | HostPolicy::Node => node.authority(),
            HostPolicy::Fixed(host) => host,
        }
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
    Some(Upstream { scheme, nodes: vec![(node, Weight(1))], host: HostPolicy::Node, timeout: None })
}

impl UpstreamObject {
    fn compile(&self, at: At<'_>, report: &mut Report) -> Option<Upstream> {
        let faults_before = report.faults.len();
        match self.r#type.as_deref() {
            None | Some("roundrobin") => {}
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
        sound.then_some(Upstream { scheme, nodes, host, timeout })
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

impl NodesWire {
    fn compile(&self, scheme: Scheme, at: At<'_>, report: &mut Report) -> Vec<(Node, Weight)> {
        let mut nodes: Vec<(Node, Weight)> = match self {
            Self::Map(map) => map
                .iter()
                .filter_map(|(key, weight)| {
                    let node = node(key, None, scheme, at.key(key), report)?;
                    Some((node, Weight(*weight)))
                })
                .collect(),
            Self::List(list) => list
                .iter()
                .enumerate()
                .filter_map(|(index, wire)| {
                    let at = at.index(index);
                    let node = node(&wire.host, wire.port, scheme, at.key("host"), report)?;
                    Some((node, Weight(wire.weight)))
                })
                .collect(),
        };
        if nodes.is_empty() {
            report.fault(at, "expected at least one node");
        }
        if nodes.iter().all(|(_, weight)| *weight == Weight(0)) {
            // As in APISIX: with nothing to prefer, all nodes serve alike.
            nodes.iter_mut().for_each(|(_, weight)| *weight = Weight(1));
        }
        let weights: Vec<Weight> = nodes.iter().map(|(_, weight)| *weight).collect();
        if Rotation::new(&weights, 0).err() == Some(Unpickable::TooHeavy) {
            report.fault(at, "the weights add up to more than 4294967295");
        }
        nodes
    }
}

fn node(
    text: &str,
    port: Option<u16>,
    scheme: Scheme,
    at: At<'_>,
    report: &mut Report,
) -> Option<Node> {
    match (parse_authority(text), port) {
        (_, Some(0)) | (None, _) | (Some((_, Some(0))), _) => {
            report.fault(at, "expected a host name or address and a port from 1 to 65535");
            None
        }
        (Some((_, Some(_))), Some(_)) => {
            report.fault(at, "the port stands here and in `port`");
            None
        }
        (Some((host, within)), beside) => {
            Some(Node::new(host, within.or(beside).unwrap_or(scheme.default_port()), scheme))
        }
    }
}

/// Splits `host[:port]`, the host a name, an IPv4 address or a bracketed IPv6 address; strict,
/// because hosts become parts of URLs.
fn parse_authority(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.rfind(':').filter(|_| !text.ends_with(']')) {
        Some(colon) => {
            let (host, port) = text.split_at(colon);
            let digits = port.strip_prefix(':')?;
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            (host, Some(digits.parse().ok().filter(|_| is_number)?))
        }
        None => (text, None),
    };
    is_host(host).then_some((host, port))
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']');
        return address.is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let fits = (1..=253).contains(&host.len());
    fits && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
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

impl<'de> Deserialize<'de> for NodesWire {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodesVisitor;
        impl<'de> Visitor<'de> for NodesVisitor {
            type Value = NodesWire;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of `\"host:port\": weight` or a list of nodes")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NodesWire, A::Error> {
                let mut nodes = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    nodes.push(entry);
                }
                Ok(NodesWire::Map(nodes))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<NodesWire, A::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = list.next_element()? {
                    nodes.push(node);
                }
                Ok(NodesWire::List(nodes))
            }
        }
        deserializer.deserialize_any(NodesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_strict() {
        for (text, parsed) in [
            ("api.example.com", Some(("api.example.com", None))),
            ("api.example.com:443", Some(("api.example.com", Some(443)))),
            ("127.0.0.1:80", Some(("127.0.0.1", Some(80)))),
            ("[::1]:80", Some(("[::1]", Some(80)))),
            ("[::1]", Some(("[::1]", None))),
            ("::1", None),
            ("a:b", None),
            ("a:", None),
            ("a:65536", None),
            ("a:+1", None),
            ("a/b", None),
            ("user@a", None),
            ("a b", None),
            ("", None),
            (":80", None),
        ] {
            assert_eq!(parse_authority(text), parsed, "{text}");
        }
    }
}
