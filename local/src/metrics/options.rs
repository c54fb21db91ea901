//! Where metrics are listened for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// APISIX's address.
pub(crate) const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9091);

/// Where metrics are listened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsListen {
    /// Here.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

/// Why a text is no such place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address with a port, such as 127.0.0.1:9091, or `off`")]
pub struct NoPlace;

impl FromStr for MetricsListen {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        match text {
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::At).map_err(|_| NoPlace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_at_an_address_or_nowhere() {
        assert_eq!("off".parse(), Ok(MetricsListen::Off));
        assert_eq!("127.0.0.1:9091".parse(), Ok(MetricsListen::At(USUAL)));
        for wrong in ["", "on", "9091", "127.0.0.1", "localhost:9091"] {
            assert_eq!(wrong.parse::<MetricsListen>(), Err(NoPlace), "{wrong}");
        }
    }
}
