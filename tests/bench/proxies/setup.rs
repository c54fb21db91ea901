//! What proxies are set up for, whoever they are: the guide's split and rewrite, and what a case adds to it.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What all proxies of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// Where the configurations, certificates and logs are.
    pub(crate) folder: PathBuf,
    /// The program of Splitway.
    pub(crate) splitway: PathBuf,
    /// The origin.
    pub(crate) plain: SocketAddr,
    /// The same behind TLS.
    pub(crate) secure: SocketAddr,
}

/// What a proxy is set up for. All take `/chat/completions`, `/large` and `/events`, divide them equally among
/// the versions, and rewrite them to `/v1/...`, `/v2/...` and so on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// So many routes `/tenant-N/chat/completions` beside, each with its split.
    pub(crate) routes: usize,
    /// How many versions there are: 20 at most, as many as Splitway takes.
    pub(crate) branches: usize,
    /// So many keys, one of which is to be shown; 0: none is asked for.
    pub(crate) consumers: usize,
    /// The version follows from the field `x-user`.
    pub(crate) sticky: bool,
    /// Limits, breakers and the like, as users have them.
    pub(crate) everything: bool,
    /// Clients speak TLS.
    pub(crate) client_tls: bool,
    /// The origin speaks TLS.
    pub(crate) origin_tls: bool,
}

/// The guide's, and nothing beside.
pub(crate) const GUIDE: Setup = Setup {
    routes: 0,
    branches: 2,
    consumers: 0,
    sticky: false,
    everything: false,
    client_tls: false,
    origin_tls: false,
};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A small JSON.
    Chat,
    /// 64 KiB.
    Large,
    /// A stream of events.
    Events,
}

/// All of them.
pub(crate) const TARGETS: [Target; 3] = [Target::Chat, Target::Large, Target::Events];

impl Target {
    /// Its path behind the version.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Large => "/large",
            Self::Events => "/events",
        }
    }
}

/// The path of a tenant.
pub(crate) fn tenant(number: usize) -> String {
    format!("/tenant-{number}/chat/completions")
}

/// The key of a consumer.
pub(crate) fn key(number: usize) -> String {
    format!("the-key-of-consumer-{number}")
}
