//! The nodes of an upstream: addresses with weights, as APISIX writes them, in a map or a list.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

use crate::fault::{At, Report};
use crate::gather::ranked;
use crate::rotation::{Rotation, Unpickable, Weight};
use crate::wire::Members;

/// The scheme an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS, the certificate verified for the node's host name.
    Https,
    /// gRPC over plain HTTP/2.
    Grpc,
    /// gRPC over HTTP/2 over TLS.
    Grpcs,
}

impl Scheme {
    /// All of them, by the names that upstreams have for them.
    pub(crate) const NAMES: [(&str, Self); 4] = [
        ("http", Self::Http),
        ("https", Self::Https),
        ("grpc", Self::Grpc),
        ("grpcs", Self::Grpcs),
    ];

    /// The scheme as URLs write it: gRPC has none of its own.
    pub const fn as_str(self) -> &'static str {
        if self.is_tls() { "https" } else { "http" }
    }

    /// The port meant where none is given.
    pub const fn default_port(self) -> u16 {
        if self.is_tls() { 443 } else { 80 }
    }

    /// Whether it is spoken over TLS.
    pub const fn is_tls(self) -> bool {
        match self {
            Self::Http | Self::Grpc => false,
            Self::Https | Self::Grpcs => true,
        }
    }

    /// Whether it needs HTTP/2 all the way.
    pub const fn is_grpc(self) -> bool {
        match self {
            Self::Http | Self::Https => false,
            Self::Grpc | Self::Grpcs => true,
        }
    }

    /// The scheme that URLs write so.
    pub(crate) fn of_url(text: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|scheme| scheme.as_str() == text)
    }

    /// The scheme that upstreams name so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(own, _)| *own == name);
        found.map(|(_, scheme)| *scheme)
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

    pub(crate) fn new(host: &str, port: u16, scheme: Scheme) -> Self {
        let host = host.to_ascii_lowercase();
        let host_len = host.len();
        let authority = match port == scheme.default_port() {
            true => host,
            false => format!("{host}:{port}"),
        };
        Self { authority, host_len, port }
    }
}

/// A node among the others of its upstream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) node: Node,
    pub(crate) weight: Weight,
    /// Those of a lower priority serve where no other can.
    pub(crate) priority: i64,
}

/// The member `nodes` of an upstream.
#[derive(Debug)]
pub(crate) enum NodesWire {
    Map(Vec<(String, u32)>),
    List(Vec<NodeWire>),
}

#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeWire {
    host: String,
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    port: Option<u16>,
    weight: u32,
    priority: Option<i64>,
    #[expect(dead_code, reason = "kept for whoever reads the document; it has no effect")]
    metadata: Option<Members>,
}

impl NodesWire {
    fn is_empty(&self) -> bool {
        match self {
            Self::Map(map) => map.is_empty(),
            Self::List(list) => list.is_empty(),
        }
    }

    /// Checks the nodes; reports every one that cannot be an address. Those of a higher priority go
    /// before all others.
    pub(crate) fn compile(&self, scheme: Scheme, at: At<'_>, report: &mut Report) -> Vec<Placed> {
        let mut gathered = Gathered::default();
        match self {
            Self::Map(map) => {
                gathered.list.reserve_exact(map.len());
                for (key, weight) in map {
                    let at = at.key(key);
                    if let Some(node) = node(key, None, scheme, at, report) {
                        let placed = Placed { node, weight: Weight(*weight), priority: 0 };
                        gathered.add(placed, at, report);
                    }
                }
            }
            Self::List(wires) => {
                for (index, wire) in wires.iter().enumerate() {
                    let at = at.index(index);
                    if let Some(node) = node(&wire.host, wire.port, scheme, at.key("host"), report)
                    {
                        let (weight, priority) = (Weight(wire.weight), wire.priority.unwrap_or(0));
                        gathered.add(Placed { node, weight, priority }, at, report);
                    }
                }
            }
        }
        let mut list = gathered.list;
        if self.is_empty() {
            report.fault(at, "expected at least one node");
        }
        if list.iter().all(|placed| placed.weight == Weight(0)) {
            // As in APISIX: with nothing to prefer, all nodes serve alike.
            list.iter_mut().for_each(|placed| placed.weight = Weight(1));
        }
        if list.len() < 2 {
            return list;
        }
        let weights: Vec<Weight> = list.iter().map(|placed| placed.weight).collect();
        if Rotation::new(&weights, 0).err() == Some(Unpickable::TooHeavy) {
            report.fault(at, "the weights add up to more than 4294967295");
        }
        ranked(list, |placed| -i128::from(placed.priority))
    }
}

/// Nodes as they are read. One that is there already gets the other's weight, as in APISIX.
#[derive(Default)]
struct Gathered {
    list: Vec<Placed>,
    /// By authority and priority; nothing as long as there is one.
    places: BTreeMap<(String, i64), usize>,
}

impl Gathered {
    fn add(&mut self, placed: Placed, at: At<'_>, report: &mut Report) {
        let key = |placed: &Placed| (placed.node.authority.clone(), placed.priority);
        // Most upstreams have one node.
        let Some(first) = self.list.first() else { return self.list.push(placed) };
        if self.places.is_empty() {
            self.places.insert(key(first), 0);
        }
        let key = key(&placed);
        let place = *self.places.entry(key).or_insert(self.list.len());
        match self.list.get_mut(place) {
            Some(earlier) => {
                report.warn(at, "this node stands here before: only the last weight counts");
                earlier.weight = placed.weight;
            }
            None => self.list.push(placed),
        }
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
pub fn parse_authority(text: &str) -> Option<(&str, Option<u16>)> {
    let colon = text.bytes().rposition(|byte| byte == b':');
    let (host, port) = match colon.filter(|_| !text.ends_with(']')) {
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

/// The most characters of a host name (RFC 1035, section 2.3.4, without the root).
pub(crate) const HOST_MAX: usize = 253;

/// Whether `host` is a name, an IPv4 address or a bracketed IPv6 address.
pub(crate) fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']');
        return address.is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let fits = (1..=HOST_MAX).contains(&host.len());
    fits && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
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
                let mut nodes = Vec::with_capacity(map.size_hint().unwrap_or_default().min(64));
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
