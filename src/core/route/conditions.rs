//! What of a route decides whether it takes a request, and why it does not take one.

use ipnet::IpNet;

use super::pattern::Pattern;
use super::{Passed, RouterKind};
use crate::address;
use crate::expr::Expr;
use crate::facts::Facts;
use crate::few::Few;

/// The methods that a route may name, as in APISIX. A route that names none takes every method.
pub(crate) const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE"];

/// A host that is longer is nobody's name (RFC 1035, section 2.3.4).
pub(super) const HOST_MAX: usize = 255;

/// What of a route decides whether it takes a request.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    /// Exact, `*.suffix`, `*suffix`, or `*` for any; none means any host.
    pub(crate) hosts: Few<String>,
    /// Exact, or a prefix followed by `*`, or with parameters; at least one.
    pub(crate) uris: Box<[String]>,
    /// Any if empty.
    pub(crate) methods: Few<String>,
    /// Where the client is; anywhere if empty.
    pub(crate) addresses: Few<IpNet>,
    /// What must hold of a request's variables.
    pub(crate) vars: Option<Box<Expr>>,
    pub(crate) priority: i64,
    /// A route that is switched off takes nothing.
    pub(crate) is_disabled: bool,
}

/// A set of methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Methods(pub(super) u16);

impl Methods {
    pub(super) const ANY: Self = Self(u16::MAX);

    /// The method of a request. All that nobody can name are one.
    pub(super) fn of(method: &str) -> Self {
        let position = METHODS.iter().position(|known| *known == method);
        Self(1 << position.unwrap_or(METHODS.len()))
    }

    /// Whether it has the method of a request.
    pub(super) fn has(self, Self(method): Self) -> bool {
        self.0 & method != 0
    }
}

impl Conditions {
    pub(super) fn methods(&self) -> Methods {
        let named = |all, method: &String| all | Methods::of(method).0;
        match self.methods.is_empty() {
            true => Methods::ANY,
            false => Methods(self.methods.iter().fold(0, named)),
        }
    }

    /// Whether nothing is asked beside host, path and method.
    pub(super) fn is_plain(&self) -> bool {
        self.addresses.is_empty() && self.vars.is_none()
    }

    /// The first condition beside path and method that a request fails; `asks_host` if its host was
    /// not looked at before.
    pub(super) fn failed(&self, asks_host: bool, facts: &Facts<'_>) -> Option<Passed> {
        if !address::is_among(&self.addresses, facts.client()) {
            return Some(Passed::Address);
        }
        if asks_host && !self.has_host(RouterKind::Uri, facts) {
            return Some(Passed::Host);
        }
        let vars = self.vars.as_ref()?;
        let holds = vars.holds(&|variable| variable.value(facts));
        (!holds).then_some(Passed::Vars)
    }

    /// Whether a request is for one of the hosts.
    pub(super) fn has_host(&self, kind: RouterKind, facts: &Facts<'_>) -> bool {
        let (host, authority) = (facts.host(), facts.head.host());
        let fits = |pattern: &String| match kind {
            RouterKind::HostUri => !is_mute(pattern) && is_like(pattern, host),
            RouterKind::Uri | RouterKind::UriWithParameter => {
                is_like(pattern, if has_port(pattern) { authority } else { host })
            }
        };
        self.hosts.is_empty() || (host.len() <= HOST_MAX && self.hosts.iter().any(fits))
    }

    /// Whether a path is one of those meant.
    pub(super) fn has_path(&self, kind: RouterKind, path: &[u8]) -> bool {
        self.uris.iter().any(|uri| match (pattern(kind, uri), uri.strip_suffix('*')) {
            (Some(pattern), _) => {
                path.starts_with(pattern.lead(uri).as_bytes()) && pattern.matches(path)
            }
            (None, Some(start)) => path.starts_with(start.as_bytes()),
            (None, None) => path == uri.as_bytes(),
        })
    }
}

/// The parameters of a path, where there are such.
pub(super) fn pattern(kind: RouterKind, uri: &str) -> Option<Pattern> {
    match kind {
        RouterKind::UriWithParameter => Pattern::parse(uri),
        RouterKind::HostUri | RouterKind::Uri => None,
    }
}

/// Whether the router that goes by hosts first finds this one for no request: it compares hosts
/// without their ports, and in small letters.
pub(crate) fn is_mute(host: &str) -> bool {
    has_port(host) || host.bytes().any(|b| b.is_ascii_uppercase())
}

/// Whether a host stands with its port.
pub(super) fn has_port(host: &str) -> bool {
    host.contains(':') && !host.ends_with(']')
}

/// Whether a host is the one that is written, or ends in what is written behind a `*`.
fn is_like(pattern: &str, host: &str) -> bool {
    let (host, pattern) = (host.as_bytes(), pattern.as_bytes());
    match pattern.strip_prefix(b"*") {
        Some(suffix) => {
            let end = host.len().checked_sub(suffix.len()).and_then(|start| host.get(start..));
            end.is_some_and(|end| end.eq_ignore_ascii_case(suffix))
        }
        None => host.eq_ignore_ascii_case(pattern),
    }
}
