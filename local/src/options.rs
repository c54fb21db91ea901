//! What a server is told when it starts, by the command line, the environment or a test.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use splitway_core::address;
use splitway_core::seal::{Secret, TooShort};
use splitway_core::storage::Retention;

use crate::access::options::AccessOptions;
use crate::fleet::StoreOptions;
use crate::limiter::options::LimiterOptions;
use crate::listen::options::ListenOptions;
use crate::metrics::MetricsListen;
use crate::resolve::Override;

/// How to serve. It has no `Debug`, which would print the key.
#[derive(Clone, clap::Args)]
pub struct ServeOptions {
    /// Serve by this document (YAML or JSON) and read it again when it changes; the Admin API is off
    #[arg(long, env = "SPLITWAY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Take traffic at this address; port 0 picks a free one
    #[arg(long, env = "SPLITWAY_LISTEN", value_name = "ADDRESS", default_value_t = LISTEN)]
    pub listen: SocketAddr,

    /// Take requests to the Admin API at this address
    #[arg(
        long,
        env = "SPLITWAY_ADMIN_LISTEN",
        value_name = "ADDRESS",
        default_value_t = ADMIN_LISTEN
    )]
    pub admin_listen: SocketAddr,

    /// Keep what the Admin API writes, and its key, in this directory
    #[arg(long, env = "SPLITWAY_DATA_DIR", value_name = "DIR", default_value = DATA_DIR)]
    pub data_dir: PathBuf,

    /// Serve on this many threads [default: one for each core]
    #[arg(long, env = "SPLITWAY_WORKERS", value_name = "N")]
    pub workers: Option<NonZeroUsize>,

    /// Connect to this address for that host and port, as curl's --resolve; IPv6 in brackets
    #[arg(
        long,
        env = "SPLITWAY_RESOLVE",
        value_name = "HOST:PORT:ADDR[:PORT]",
        value_delimiter = ','
    )]
    pub resolve: Vec<Override>,

    /// Ask this DNS server for the names of nodes in place of the system's
    #[arg(long, env = "SPLITWAY_DNS", value_name = "ADDRESS")]
    pub dns: Option<SocketAddr>,

    /// Trust these certificate authorities (PEM) of upstreams beside the system's
    #[arg(long, env = "SPLITWAY_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Let this address or network use the Admin API; replaces the default, may be given several
    /// times [default: 127.0.0.0/8 and ::1/128]
    #[arg(
        long,
        env = "SPLITWAY_ALLOW_ADMIN",
        value_name = "ADDR[/BITS]",
        value_delimiter = ',',
        value_parser = network
    )]
    pub allow_admin: Vec<IpNet>,

    /// Believe this address or network who asks (X-Forwarded-For) and from where (Cloudflare's
    /// headers); may be given several times
    #[arg(
        long,
        env = "SPLITWAY_TRUSTED_PROXY",
        value_name = "ADDR[/BITS]",
        value_delimiter = ',',
        value_parser = network
    )]
    pub trusted_proxy: Vec<IpNet>,

    /// Keep so many revisions of the configuration
    #[arg(
        long,
        env = "SPLITWAY_KEEP_REVISIONS",
        value_name = "N",
        default_value_t = KEEP_REVISIONS,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub keep_revisions: u64,

    /// Keep revisions of the configuration for so many days
    #[arg(long, env = "SPLITWAY_KEEP_DAYS", value_name = "N", default_value_t = KEEP_DAYS)]
    pub keep_days: u32,

    /// Have metrics for Prometheus at this address, or nowhere (off) [default: 127.0.0.1:9091, unless
    /// that is taken]
    #[arg(long, env = "SPLITWAY_METRICS_LISTEN", value_name = "ADDRESS|off")]
    pub metrics_listen: Option<MetricsListen>,

    /// How clients are served.
    #[command(flatten)]
    pub clients: ListenOptions,

    /// What is told of requests.
    #[command(flatten)]
    pub access: AccessOptions,

    /// Where the ledger of a fleet is.
    #[command(flatten)]
    pub store: StoreOptions,

    /// Where shared limits are counted.
    #[command(flatten)]
    pub limiter: LimiterOptions,

    /// The key of the Admin API. Without one, it is made once and kept in the data directory. It is
    /// no flag: a command line is there for everybody to read.
    #[arg(skip)]
    pub admin_key: Option<String>,

    /// What cookies and tokens are signed with, by `SPLITWAY_SECRET`; no flag, as the key.
    #[arg(skip)]
    pub secret: Option<String>,

    /// Whether standard error is left to others, as in a test that starts a server of its own.
    #[arg(skip)]
    pub is_silent: bool,
}

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9080);
const ADMIN_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9180);
const DATA_DIR: &str = "splitway-data";
const KEEP_REVISIONS: u64 = 1000;
const KEEP_DAYS: u32 = 90;

/// Why a text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address or a network, such as 10.1.2.3, 10.0.0.0/8 or fd00::/8")]
struct NotANetwork;

/// A network; an address alone is the network of that address.
fn network(text: &str) -> Result<IpNet, NotANetwork> {
    address::network(text).ok_or(NotANetwork)
}

impl Default for ServeOptions {
    /// What an empty command line in an empty environment means.
    fn default() -> Self {
        Self {
            config: None,
            listen: LISTEN,
            admin_listen: ADMIN_LISTEN,
            data_dir: PathBuf::from(DATA_DIR),
            workers: None,
            resolve: Vec::new(),
            dns: None,
            ca: None,
            allow_admin: Vec::new(),
            trusted_proxy: Vec::new(),
            keep_revisions: KEEP_REVISIONS,
            keep_days: KEEP_DAYS,
            metrics_listen: None,
            clients: ListenOptions::default(),
            access: AccessOptions::default(),
            store: StoreOptions::default(),
            limiter: LimiterOptions::default(),
            admin_key: None,
            secret: None,
            is_silent: false,
        }
    }
}

impl ServeOptions {
    /// The addresses that may use the Admin API.
    pub(crate) fn admin_networks(&self) -> Vec<IpNet> {
        match self.allow_admin.is_empty() {
            true => ["127.0.0.0/8", "::1/128"].iter().filter_map(|net| net.parse().ok()).collect(),
            false => self.allow_admin.clone(),
        }
    }

    /// What cookies and tokens are signed with, if it was given.
    pub(crate) fn secret(&self) -> Result<Option<Secret>, TooShort> {
        self.secret.as_deref().map(Secret::new).transpose()
    }

    /// How much of the past is kept.
    pub(crate) fn retention(&self) -> Retention {
        let age = Duration::from_secs(u64::from(self.keep_days) * 86_400);
        Retention { revisions: self.keep_revisions, age }
    }

    /// How many threads serve.
    pub(crate) fn workers_count(&self) -> NonZeroUsize {
        let available = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.workers.unwrap_or_else(available)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_alone_is_a_network_of_one() {
        for (text, expected) in [
            ("127.0.0.1", Some("127.0.0.1/32")),
            ("::1", Some("::1/128")),
            ("::ffff:10.1.2.3", Some("10.1.2.3/32")),
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("fd00::/8", Some("fd00::/8")),
            ("", None),
            ("localhost", None),
            ("10.0.0.0/33", None),
            ("127.0.0.1:80", None),
            ("[::1]", None),
        ] {
            let expected = expected.map(|net| net.parse().expect("a network"));
            assert_eq!(network(text).ok(), expected, "{text}");
        }
    }
}
