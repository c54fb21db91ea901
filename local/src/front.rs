//! Proxies in front of this server, and what those that are trusted say of a client.

use std::borrow::Cow;
use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

use crate::message::joined;

/// The networks of trusted proxies.
#[derive(Debug, Default)]
pub(crate) struct Fronts(Vec<IpNet>);

impl Fronts {
    pub(crate) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether `peer` is one of them.
    pub(crate) fn trust(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(&peer))
    }

    /// Who asks, by a request that came from `peer`: behind trusted proxies the last address of
    /// `X-Forwarded-For` that is none of theirs. What stands before it anybody can have written.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if self.0.is_empty() || !self.trust(peer) {
            return peer;
        }
        let hops = joined(headers, "x-forwarded-for").unwrap_or_default();
        let mut client = peer;
        for hop in hops.rsplit(',') {
            let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
            client = address;
            if !self.trust(address) {
                break;
            }
        }
        client
    }
}

/// What Cloudflare's headers say of a place: the country, the data centre behind the dash of the
/// ray's id, and the number of the network, which a transform rule has to set.
pub(crate) fn country(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    joined(headers, "cf-ipcountry")
}

/// The data centre.
pub(crate) fn colo(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let ray = headers.get("cf-ray")?.to_str().ok()?;
    ray.rsplit_once('-').map(|(_, colo)| Cow::Borrowed(colo))
}

/// The network.
pub(crate) fn asn(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    joined(headers, "cf-asn")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_client_is_the_last_who_is_no_trusted_proxy() {
        let fronts = Fronts::new(vec!["10.0.0.0/8".parse().expect("a network")]);
        for (peer, hops, client) in [
            ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
            ("10.0.0.1", "9.9.9.9, 1.2.3.4, 10.2.2.2", "1.2.3.4"),
            ("::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
            ("10.0.0.1", "1.2.3.4, garbage", "10.0.0.1"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "10.0.0.2", "10.0.0.2"),
            ("8.8.8.8", "1.2.3.4", "8.8.8.8"),
        ] {
            let headers =
                [("x-forwarded-for".parse().expect("a name"), HeaderValue::from_static(hops))];
            let headers: HeaderMap = headers.into_iter().collect();
            let address = |text: &str| text.parse::<IpAddr>().expect("an address");
            assert_eq!(fronts.client(address(peer), &headers), address(client), "{peer} {hops}");
        }
    }
}
