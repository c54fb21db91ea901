//! Where a server is: the URL below which its API lies.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;

use crate::resolve::Override;

/// The path of the API below a base URL.
const API: &str = splitway_core::admin::OWN_PREFIX;

/// A base URL: `http` or `https`, a host, perhaps a port and a prefix of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Without a `/` at its end.
    text: String,
    host: String,
    port: u16,
    is_https: bool,
}

/// Why a text is not a [`Base`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected http:// or https://, a host, perhaps a port and a path, and nothing else")]
pub struct NotABase;

impl Base {
    /// The URL of a path of the API, which starts with `/` and may have a query.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}{API}{path}", self.text)
    }

    /// Whether it is spoken to over TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.is_https
    }

    /// Whether what is sent there stays on this machine.
    pub(crate) fn is_loopback(&self, overrides: &[Override]) -> bool {
        let place = overrides.iter().find_map(|found| found.applies(&self.host, self.port));
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        match place.map(|place| place.ip()).or_else(|| bare.parse().ok()) {
            Some(address) => IpAddr::to_canonical(&address).is_loopback(),
            // By RFC 6761 it is never another machine.
            None => bare.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl FromStr for Base {
    type Err = NotABase;

    fn from_str(text: &str) -> Result<Self, NotABase> {
        let uri: Uri = text.parse().map_err(|_| NotABase)?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(NotABase),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(NotABase)?;
        let authority = uri.authority().ok_or(NotABase)?.as_str();
        // The parser forgets a fragment, so the text is asked for it.
        if authority.contains('@') || uri.query().is_some() || text.contains('#') {
            return Err(NotABase);
        }
        // A port that is no number is none to the parser.
        let port = match (authority.strip_prefix(host).ok_or(NotABase)?, uri.port_u16()) {
            ("", _) => {
                if is_https {
                    443
                } else {
                    80
                }
            }
            (_, Some(port)) if port != 0 => port,
            (_, Some(_) | None) => return Err(NotABase),
        };
        let host = host.to_owned();
        Ok(Self { text: text.trim_end_matches('/').to_owned(), host, port, is_https })
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_http_or_https_and_may_have_a_prefix() {
        for (text, config) in [
            ("http://127.0.0.1:9180", Some("http://127.0.0.1:9180/splitway/v1/config")),
            ("http://[::1]:9180/", Some("http://[::1]:9180/splitway/v1/config")),
            ("https://gw.example.com/ops/", Some("https://gw.example.com/ops/splitway/v1/config")),
            ("127.0.0.1:9180", None),
            ("localhost", None),
            ("ftp://localhost", None),
            ("http://", None),
            ("http:///ops", None),
            ("http://user@localhost", None),
            ("http://localhost:0", None),
            ("http://localhost:", None),
            ("http://localhost:99999", None),
            ("http://localhost/?a=b", None),
            ("http://localhost/#a", None),
            ("", None),
        ] {
            let joined = text.parse().ok().map(|base: Base| base.join("/config"));
            assert_eq!(joined.as_deref(), config, "{text}");
        }
    }

    #[test]
    fn loopback_is_where_the_connection_goes() {
        let overrides: Vec<Override> = ["gw.example.com:443:127.0.0.1", "localhost:80:10.0.0.1"]
            .map(|text| text.parse().expect("an override"))
            .into();
        for (text, expected) in [
            ("http://127.8.9.10", true),
            ("http://[::1]:9180", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://LOCALHOST:9180", true),
            ("https://gw.example.com", true),
            ("http://gw.example.com", false),
            ("http://localhost", false),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1", false),
        ] {
            let base: Base = text.parse().expect("a base");
            assert_eq!(base.is_loopback(&overrides), expected, "{text}");
        }
    }
}
