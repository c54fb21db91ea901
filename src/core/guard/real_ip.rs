//! The plugin `real-ip`: who calls, by a header of a proxy in front.
//!
//! A header is believed where it comes from an address that the document trusts. Without such a list APISIX
//! believes everybody; here it is then believed only from the proxies that the server itself was told to
//! trust, so that nobody can choose the address by which others judge them.
//!
//! What is no address, or has a port that is none, changes nothing.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use serde::Deserialize;

use super::ip_restriction::networks;
use super::{Asked, Passage, Verdict};
use crate::address::is_in;
use crate::facts::Facts;
use crate::fault::{At, Report};
use crate::meta::{Meta, MetaWire};
use crate::template::text_of;
use crate::variable::Variable;

/// The name of the plugin in documents.
pub(crate) const PLUGIN: &str = "real-ip";

/// The header in which each proxy adds whom it was asked by.
const HOPS: &str = "x-forwarded-for";

/// The configuration of the plugin, as APISIX writes it.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct RealIpWire {
    /// The variable in which the address of the client stands; of `http_x_forwarded_for` the last one.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    source: String,
    /// Whom to believe: addresses and networks.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    trusted_addresses: Option<Vec<String>>,
    /// Whether the client is the last one of `http_x_forwarded_for` who is not trusted.
    recursive: Option<bool>,
    _meta: Option<MetaWire>,
}

/// What the plugin is told.
#[derive(Debug)]
pub(crate) struct RealIp {
    pub(super) meta: Meta,
    source: Source,
    /// Whom to believe; without it the proxies that the server trusts.
    trusted: Option<Box<[IpNet]>>,
    recursive: bool,
}

/// Where the address of the client stands.
#[derive(Debug)]
enum Source {
    /// At the end of [`HOPS`].
    Hops,
    Variable(Variable),
}

impl RealIpWire {
    /// Checks the plugin.
    pub(crate) fn compile(self, at: At<'_>, report: &mut Report) -> RealIp {
        let meta = Meta::compile(self._meta, at, report);
        let source = source(&self.source).unwrap_or_else(|what| {
            report.fault(at.key("source"), what);
            Source::Hops
        });
        let recursive = self.recursive == Some(true);
        let trusted = self.trusted_addresses;
        let trusted = trusted.map(|list| networks(&list, at.key("trusted_addresses"), report));
        if trusted.is_none() {
            let what = "without `trusted_addresses` a header is believed only from proxies that the server trusts (`--trusted-proxy`), and at the edge from nobody; APISIX believes everybody";
            report.warn(at, what);
        }
        if recursive && (trusted.is_none() || matches!(source, Source::Variable(_))) {
            let what =
                "has an effect only with `trusted_addresses` and the source `http_x_forwarded_for`";
            report.warn(at.key("recursive"), what);
        }
        RealIp { meta, source, trusted, recursive }
    }
}

fn source(name: &str) -> Result<Source, String> {
    let variable = Variable::parse(name)?;
    if variable.needs_body() {
        return Err(format!("`{name}` stands in the body, where no proxy writes"));
    }
    let is_hops = matches!(&variable, Variable::Header { name, .. } if **name == *HOPS);
    Ok(if is_hops { Source::Hops } else { Source::Variable(variable) })
}

impl RealIp {
    /// Whether a request may pass: always, perhaps as another's.
    pub(super) fn pass<'a>(&'a self, asked: &Asked<'a, '_>) -> Verdict<'a> {
        let client = Some(asked.facts).filter(|facts| self.believes(facts));
        let client = client.and_then(|facts| self.told(facts));
        Verdict::Passes(Passage { client, ..Passage::default() })
    }

    /// Whether what the request says of its client is to be believed.
    fn believes(&self, facts: &Facts<'_>) -> bool {
        match &self.trusted {
            Some(trusted) => facts.client().is_some_and(|client| is_in(trusted, client)),
            // They are different where the server found a client behind a proxy that it trusts.
            None => facts.head.hop() != facts.head.client(),
        }
    }

    /// What the request says of its client.
    fn told(&self, facts: &Facts<'_>) -> Option<IpAddr> {
        match &self.source {
            Source::Hops => self.last_hop(&facts.header(HOPS)?),
            Source::Variable(variable) => address(&text_of(variable.value(facts)?)?),
        }
    }

    /// The last of a list of hops, or the last who is not trusted; the first, if all are.
    fn last_hop(&self, hops: &str) -> Option<IpAddr> {
        let trusted = self.trusted.as_deref().filter(|_| self.recursive).unwrap_or_default();
        let mut last = None;
        for hop in hops.rsplit(',') {
            let hop = address(hop)?;
            last = Some(hop);
            if !is_in(trusted, hop) {
                break;
            }
        }
        last
    }
}

/// The address that a text is, with or without a port and, of IPv6, with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let with_port = || text.parse().ok().filter(|socket: &SocketAddr| socket.port() != 0);
    let plain = text.parse().ok().or_else(|| in_brackets().map(IpAddr::V6));
    let found: Option<IpAddr> = plain.or_else(|| with_port().map(|socket| socket.ip()));
    found.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Body, fake};
    use crate::wire;
    use serde_json::{Value, json};

    fn compiled(value: &Value) -> (Option<RealIp>, Report) {
        let mut report = Report::default();
        let compile = |wire: RealIpWire, report: &mut Report| Some(wire.compile(At::Root, report));
        let plugin = wire::read(value, At::Root, &mut report, compile);
        (plugin, report)
    }

    fn plugin(value: &Value) -> RealIp {
        let (plugin, report) = compiled(value);
        assert_eq!(report.faults, [], "{value}");
        plugin.unwrap()
    }

    /// Whom the plugin takes for the client of a request from `peer`, if for somebody else.
    fn found(plugin: &RealIp, peer: &str, headers: &[(&'static str, &str)]) -> Option<String> {
        let mut asked = fake::Asked::default().from(peer);
        for (name, value) in headers {
            asked = asked.header(name, value);
        }
        asked.with(Body::Unread, |facts| {
            let told = plugin.believes(&facts).then(|| plugin.told(&facts)).flatten();
            told.map(|client| client.to_string())
        })
    }

    #[test]
    fn the_last_hop_is_believed_from_those_who_are_trusted() {
        let plugin = plugin(&json!({
            "source": "http_x_forwarded_for", "trusted_addresses": ["10.0.0.0/8", "2001:db8::/32"],
        }));
        for (hops, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("9.9.9.9, 192.0.2.1", Some("192.0.2.1")),
            ("9.9.9.9,192.0.2.1:443", Some("192.0.2.1")),
            ("9.9.9.9, 192.0.2.1, 10.0.0.2", Some("10.0.0.2")),
            ("[2001:db9::1]", Some("2001:db9::1")),
            ("[2001:db9::1]:80", Some("2001:db9::1")),
            ("2001:db9::1", Some("2001:db9::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:0", None),
            ("192.0.2.1:65536", None),
            ("[2001:db9::1", None),
            ("[192.0.2.1]", None),
            ("192.0.2.256", None),
            ("192.0.2.1,", None),
            ("unknown", None),
            ("localhost", None),
            ("", None),
        ] {
            for peer in ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::7"] {
                let found = found(&plugin, peer, &[("x-forwarded-for", hops)]);
                assert_eq!(found.as_deref(), expected, "{hops} from {peer}");
            }
        }
        assert_eq!(found(&plugin, "10.0.0.1", &[]), None);
    }

    #[test]
    fn nobody_else_is_believed() {
        let of_hops =
            json!({"source": "http_x_forwarded_for", "trusted_addresses": ["10.0.0.0/8"]});
        let mut recursive = of_hops.clone();
        recursive["recursive"] = json!(true);
        let of_header = json!({"source": "http_x_real_ip", "trusted_addresses": ["10.0.0.1"]});
        for value in [of_hops, recursive, of_header] {
            for peer in ["192.0.2.9", "11.0.0.1", "::1", "2001:db8::a00:1", "nobody"] {
                let lie = [("x-forwarded-for", "10.0.0.1"), ("x-real-ip", "10.0.0.1")];
                assert_eq!(found(&plugin(&value), peer, &lie), None, "{value} from {peer}");
            }
        }
    }

    #[test]
    fn the_last_who_is_not_trusted_is_the_client() {
        let plugin = plugin(&json!({
            "source": "http_x_forwarded_for",
            "trusted_addresses": ["10.0.0.0/8"],
            "recursive": true,
        }));
        for (hops, expected) in [
            ("192.0.2.1, 10.0.0.3, 10.0.0.2", Some("192.0.2.1")),
            ("10.0.0.9, 192.0.2.1, 10.0.0.2", Some("192.0.2.1")),
            ("192.0.2.1, 192.0.2.2", Some("192.0.2.2")),
            ("10.0.0.4, 10.0.0.3:80", Some("10.0.0.4")),
            ("garbage, 192.0.2.1, 10.0.0.2", Some("192.0.2.1")),
            ("192.0.2.1, garbage, 10.0.0.2", None),
        ] {
            let found = found(&plugin, "10.0.0.1", &[("x-forwarded-for", hops)]);
            assert_eq!(found.as_deref(), expected, "{hops}");
        }
    }

    #[test]
    fn any_variable_may_tell_but_not_two_at_once() {
        let plugin = plugin(&json!({"source": "http_x_real_ip", "trusted_addresses": ["::1"]}));
        let found = |value| found(&plugin, "::1", &[("x-real-ip", value)]);
        assert_eq!(found("192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(found("192.0.2.1, 192.0.2.2"), None, "several lines");
    }

    #[test]
    fn without_trust_nobody_is_believed_but_whom_the_server_trusts() {
        let (plugin, report) = compiled(&json!({"source": "http_x_real_ip"}));
        assert!(report.warnings[0].what.contains("--trusted-proxy"), "{report:?}");
        let lie = [("x-real-ip", "10.0.0.1")];
        assert_eq!(found(&plugin.unwrap(), "192.0.2.9", &lie), None);
    }

    #[test]
    fn what_is_no_source_is_refused() {
        for (source, expected) in [
            ("http_x_forwarded_fro", None),
            ("x_forwarded_for", Some("unknown variable")),
            ("realip_remote_addr", Some("Splitway does not")),
            ("post_arg.ip", Some("stands in the body")),
        ] {
            let (_, report) = compiled(&json!({"source": source, "trusted_addresses": ["::1"]}));
            let what = report.faults.first().map(|fault| fault.what.as_str());
            assert_eq!(what.is_some(), expected.is_some(), "{source}: {what:?}");
            assert!(what.unwrap_or_default().contains(expected.unwrap_or_default()), "{what:?}");
        }
        let (_, report) = compiled(&json!({"trusted_addresses": ["::1", "::1/129"]}));
        assert_eq!(report.faults[0].to_string(), "(document): `source` is missing");
        assert_eq!(report.faults.len(), 1);
    }
}
