//! Addresses of clients and the networks that they are looked for in.

use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv6Addr};

/// The networks of a list that is separated by commas; nothing, if a part of it is none. An address
/// is a network of its own.
pub fn networks(text: &str) -> Option<Vec<IpNet>> {
    text.split(',').map(network).collect()
}

/// The network that a text is; an address is a network of its own, in the form in which clients are
/// compared.
pub fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address.to_canonical())),
        Err(_) => text.parse().ok().map(canonical),
    }
}

/// A network of addresses of IPv4 that are written as ones of IPv6, as what it is.
fn canonical(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V6(network) => {
            network.addr().to_ipv4_mapped().zip(network.prefix_len().checked_sub(96))
        }
        IpNet::V4(_) => None,
    };
    let mapped = mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    mapped.map_or(network, IpNet::V4)
}

/// Whether an address is in one of the networks; one of IPv4 that is written as one of IPv6 counts as
/// what it is (RFC 4291, section 2.5.5.2).
pub(crate) fn is_in(networks: &[IpNet], client: IpAddr) -> bool {
    let client = client.to_canonical();
    networks.iter().any(|network| network.contains(&client))
}

/// Whether an address is in one of the networks, or there are none.
pub(crate) fn is_among(networks: &[IpNet], client: Option<IpAddr>) -> bool {
    networks.is_empty() || client.is_some_and(|client| is_in(networks, client))
}

/// The address that stands for whoever has `client`: itself, or the first of its /64. The other half of
/// an address of IPv6 its host chooses for itself (RFC 4291, section 2.5.1), and often a new one each day
/// (RFC 8981).
pub(crate) fn household(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        client @ IpAddr::V4(_) => client,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_of_both_kinds_are_found() {
        let networks: Vec<IpNet> =
            ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1", "::ffff:172.16.0.0/108"]
                .map(|text| network(text).unwrap())
                .into();
        for (client, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
            ("::1", true),
            ("::2", false),
        ] {
            assert_eq!(is_in(&networks, client.parse().unwrap()), expected, "{client}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0", "example.com", "::1/129"] {
            assert_eq!(network(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_is_a_network_of_its_own_in_the_form_of_clients() {
        let parsed = networks(" 10.0.0.0/8, ::ffff:192.0.2.1 ,2001:db8::/32").unwrap();
        let texts: Vec<String> = parsed.iter().map(IpNet::to_string).collect();
        assert_eq!(texts, ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]);
        for (client, is_in) in [("::ffff:10.1.2.3", true), ("192.0.2.2", false)] {
            assert_eq!(is_among(&parsed, client.parse().ok()), is_in, "{client}");
        }
        assert!(!is_among(&parsed, None));
        assert!(is_among(&[], None));
        for text in ["", "10.0.0.0/33", "10.0.0.1,", "localhost", "fe80::1%1"] {
            assert_eq!(networks(text), None, "{text}");
        }
    }

    #[test]
    fn a_household_is_an_address_or_a_64() {
        for (client, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::"),
        ] {
            let household = household(client.parse().unwrap());
            assert_eq!(household.to_string(), expected);
        }
    }
}
