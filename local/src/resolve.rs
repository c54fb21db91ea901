//! Host names: those that go to an address of the user's choice, in the syntax of curl's `--resolve`,
//! and DNS for the rest.

mod dns;

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

pub(crate) use self::dns::Dns;

/// Where to connect for one host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    host: String,
    port: u16,
    to: SocketAddr,
}

/// Why a text is not an [`Override`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected HOST:PORT:ADDRESS or HOST:PORT:ADDRESS:PORT, an IPv6 address in brackets")]
pub struct NotAnOverride;

impl Override {
    /// The address for `host` and `port`, if this override is about them.
    pub(crate) fn applies(&self, host: &str, port: u16) -> Option<SocketAddr> {
        (self.port == port && self.host.eq_ignore_ascii_case(host)).then_some(self.to)
    }
}

impl FromStr for Override {
    type Err = NotAnOverride;

    fn from_str(text: &str) -> Result<Self, NotAnOverride> {
        // The host may itself be an IPv6 address in brackets.
        let host_end = match text.starts_with('[') {
            true => text.find("]:").map(|bracket| bracket + 1),
            false => text.find(':'),
        };
        let (host, rest) = text.split_at(host_end.ok_or(NotAnOverride)?);
        let (port, address) =
            rest.strip_prefix(':').and_then(|rest| rest.split_once(':')).ok_or(NotAnOverride)?;
        let port: u16 = port.parse().map_err(|_| NotAnOverride)?;
        if host.is_empty() || port == 0 {
            return Err(NotAnOverride);
        }
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let to = match bare.unwrap_or(address).parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, port),
            Err(_) => address.parse().map_err(|_| NotAnOverride)?,
        };
        Ok(Self { host: host.to_owned(), port, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_written_as_for_curl() {
        for (text, to) in [
            ("api.example.com:443:127.0.0.1", Some("127.0.0.1:443")),
            ("api.example.com:443:127.0.0.1:8443", Some("127.0.0.1:8443")),
            ("api.example.com:443:[::1]", Some("[::1]:443")),
            ("api.example.com:443:[::1]:8443", Some("[::1]:8443")),
            ("api.example.com:443:::1", Some("[::1]:443")),
            ("[::2]:443:[::1]:8443", Some("[::1]:8443")),
            ("api.example.com:443:elsewhere.example", None),
            ("api.example.com:0:127.0.0.1", None),
            ("api.example.com:443", None),
            ("api.example.com", None),
            (":443:127.0.0.1", None),
            ("", None),
        ] {
            let parsed = text.parse::<Override>().ok().map(|parsed| parsed.to.to_string());
            assert_eq!(parsed.as_deref(), to, "{text}");
        }
    }

    #[test]
    fn host_and_port_must_both_be_meant() {
        let parsed: Override = "api.example.com:443:127.0.0.1".parse().expect("an override");
        assert!(parsed.applies("API.example.com", 443).is_some());
        assert!(parsed.applies("api.example.com", 80).is_none());
        assert!(parsed.applies("example.com", 443).is_none());
    }
}
