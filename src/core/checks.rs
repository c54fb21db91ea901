//! Health checks of nodes, as APISIX has them: active ones, for which a shell sends probes, and passive
//! ones, which look at what came of the requests of clients.
//!
//! Here is what a document says (`checks` of an upstream), the health of one node ([`Health`]) and the
//! order in which nodes are probed ([`Schedule`]). A shell sends a probe and says what came of it.

mod health;
mod schedule;
mod wire;

use std::time::Duration;

use crate::statuses::Statuses;

pub use health::{Change, Counts, Health, Phase, Probe, Verdict};
pub use schedule::Schedule;
pub(crate) use wire::ChecksWire;

/// How the nodes of an upstream are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// By probes.
    pub active: Active,
    /// By what comes of requests.
    pub passive: Option<Passive>,
}

/// How a node is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// What a probe speaks.
    pub protocol: Protocol,
    /// After how long a probe has failed.
    pub timeout: Duration,
    /// How many nodes of the upstream are probed at once.
    pub concurrency: usize,
    /// What a probe asks for as `Host` and TLS server name, if not for the node's own.
    pub host: Option<String>,
    /// To which port a probe goes, if not to the node's own.
    pub port: Option<u16>,
    /// The method of a probe.
    pub method: Method,
    /// The target of a probe, from `/` on.
    pub path: String,
    /// Headers of a probe, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body of a probe.
    pub body: String,
    /// Whether the certificate of a node must be trusted for its name.
    pub verify: bool,
    /// How long after a probe a node that is up is probed again; `None` for never.
    pub interval_up: Option<Duration>,
    /// How long after a probe a node that is down is probed again; `None` for never.
    pub interval_down: Option<Duration>,
    /// What probes mean, and how many of them.
    pub limits: Limits,
}

/// What a probe speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// A request over plain HTTP.
    #[default]
    Http,
    /// A request over HTTPS.
    Https,
    /// A connection is enough.
    Tcp,
}

/// The method of a probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `GET`.
    #[default]
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
    /// `OPTIONS`.
    Options,
}

impl Protocol {
    /// The name that documents have for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
        }
    }
}

impl Method {
    /// The method as requests write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

/// What the requests of clients say about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passive {
    /// What responses mean, and how many of them.
    pub limits: Limits,
}

/// Which results speak for and against a node, and how many in a row make it up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Statuses that speak for it.
    pub healthy: Statuses,
    /// So many make it up.
    pub successes: u8,
    /// Statuses that speak against it.
    pub unhealthy: Statuses,
    /// So many of these statuses make it down.
    pub http_failures: u8,
    /// So many failures without a response make it down.
    pub tcp_failures: u8,
    /// So many that took too long make it down.
    pub timeouts: u8,
}
