//! The address of the etcd of a fleet.

use std::fmt;
use std::str::FromStr;

/// The port where etcd takes clients.
const PORT: u16 = 2379;

/// Under which keys the ledger is kept, where the address does not say.
const PREFIX: &str = "/splitway";

/// Under which keys APISIX keeps its own.
const APISIX: &str = "/apisix";

/// An etcd and the place of a ledger in it: `etcd://host:port,host:port/prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreAddress {
    is_tls: bool,
    /// With ports; at least one.
    hosts: Vec<String>,
    /// Begins with a slash and does not end with one.
    prefix: String,
}

/// Why a text is not a [`StoreAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAddress {
    /// It does not look like one.
    #[error("expected etcd://HOST[:PORT],...[/PREFIX], or etcds:// for TLS")]
    Form,
    /// A password would stand where everybody can read it.
    #[error("the user goes to --store-user, the password to SPLITWAY_STORE_PASSWORD")]
    User,
    /// These keys are another's.
    #[error("the keys of /apisix are APISIX's and stay so; `splitway import` takes them over")]
    Apisix,
}

impl StoreAddress {
    /// The members of etcd, as URLs.
    pub fn endpoints(&self) -> Vec<String> {
        let scheme = if self.is_tls { "https" } else { "http" };
        self.hosts.iter().map(|host| format!("{scheme}://{host}")).collect()
    }

    /// What all keys of the ledger begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether etcd is spoken to over TLS.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }
}

impl FromStr for StoreAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let (scheme, rest) = text.split_once("://").ok_or(NotAnAddress::Form)?;
        let is_tls = match scheme {
            "etcd" => false,
            "etcds" => true,
            _ => return Err(NotAnAddress::Form),
        };
        if rest.contains('@') {
            return Err(NotAnAddress::User);
        }
        let (hosts, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let hosts: Option<Vec<String>> = hosts.split(',').map(with_port).collect();
        let prefix = match prefix.trim_end_matches('/') {
            "" => PREFIX,
            prefix => prefix,
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
        if !prefix.chars().all(is_plain) || prefix.contains("//") {
            return Err(NotAnAddress::Form);
        }
        if prefix == APISIX || prefix.starts_with("/apisix/") {
            return Err(NotAnAddress::Apisix);
        }
        let hosts = hosts.ok_or(NotAnAddress::Form)?;
        Ok(Self { is_tls, hosts, prefix: prefix.to_owned() })
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "etcds" } else { "etcd" };
        write!(f, "{scheme}://{}{}", self.hosts.join(","), self.prefix)
    }
}

/// A host with its port; an IPv6 address stands in brackets.
fn with_port(host: &str) -> Option<String> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port.parse::<u16>().ok()?),
        Some(_) | None => (host, PORT),
    };
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        }
    };
    (is_host && port > 0).then(|| format!("{name}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_members_and_a_prefix() {
        for (text, expected) in [
            ("etcd://localhost", Ok("etcd://localhost:2379/splitway")),
            ("etcd://localhost/", Ok("etcd://localhost:2379/splitway")),
            ("etcd://a:1,b:2", Ok("etcd://a:1,b:2/splitway")),
            ("etcds://a.example,10.0.0.1:2", Ok("etcds://a.example:2379,10.0.0.1:2/splitway")),
            ("etcd://[::1]:5/x/y/", Ok("etcd://[::1]:5/x/y")),
            ("etcd://[::1]", Ok("etcd://[::1]:2379/splitway")),
            ("etcd://a/apisixes", Ok("etcd://a:2379/apisixes")),
            ("etcd://a/apisix", Err(NotAnAddress::Apisix)),
            ("etcd://a/apisix/routes", Err(NotAnAddress::Apisix)),
            ("etcd://root:secret@a", Err(NotAnAddress::User)),
            ("http://a", Err(NotAnAddress::Form)),
            ("etcd:a", Err(NotAnAddress::Form)),
            ("etcd://", Err(NotAnAddress::Form)),
            ("etcd://a,", Err(NotAnAddress::Form)),
            ("etcd://a:0", Err(NotAnAddress::Form)),
            ("etcd://a:99999", Err(NotAnAddress::Form)),
            ("etcd://::1", Err(NotAnAddress::Form)),
            ("etcd://[x]:1", Err(NotAnAddress::Form)),
            ("etcd://a/x//y", Err(NotAnAddress::Form)),
            ("etcd://a/x?y", Err(NotAnAddress::Form)),
            ("etcd://a b", Err(NotAnAddress::Form)),
        ] {
            let parsed = text.parse::<StoreAddress>().map(|address| address.to_string());
            assert_eq!(parsed, expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn members_are_reached_by_the_scheme_of_the_address() {
        for (text, expected) in [
            ("etcd://a:1,[::1]:2", ["http://a:1", "http://[::1]:2"]),
            ("etcds://a:1,b", ["https://a:1", "https://b:2379"]),
        ] {
            let address: StoreAddress = text.parse().expect("an address");
            assert_eq!(address.endpoints(), expected);
        }
    }
}
