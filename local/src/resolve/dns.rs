//! Names of hosts, asked for as the system says (`/etc/resolv.conf`, `/etc/hosts`) and again when an
//! answer is past its time: a node that moves is found without a restart.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;

use crate::failure::Unresolved;

/// Who is asked where the system does not say (resolv.conf(5)).
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// The resolver of one thread, with the answers that are still good.
#[derive(Debug)]
pub(crate) struct Dns {
    /// Absent if it cannot be had; then only addresses connect.
    resolver: Option<TokioResolver>,
    /// With which address of several the next connection begins.
    turn: AtomicUsize,
}

impl Dns {
    /// Asks `server`, or those of the system. Belongs to the runtime that it is made in.
    pub(crate) fn new(server: Option<SocketAddr>) -> Self {
        let system = match server {
            Some(_) => None,
            None => TokioResolver::builder_tokio().ok(),
        };
        let mut builder = system.unwrap_or_else(|| {
            let config = asking(server.unwrap_or(LOCAL));
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        });
        let options = builder.options_mut();
        // As in APISIX, IPv4 goes first; IPv6 is there where it does not connect.
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Always;
        Self { resolver: builder.build().ok(), turn: AtomicUsize::new(0) }
    }

    /// The addresses of a name, at least one. Those that come first take turns.
    pub(crate) async fn addresses(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Unresolved> {
        let none = || Unresolved::new(std::io::Error::from(std::io::ErrorKind::NotFound));
        let name = Name::from_ascii(host).map_err(Unresolved::new)?;
        let resolver = self.resolver.as_ref().ok_or_else(none)?;
        let found = resolver.lookup_ip(name).await.map_err(Unresolved::new)?;
        let mut addresses: Vec<SocketAddr> =
            found.iter().map(|address| SocketAddr::new(address, port)).collect();
        // Several answers may name the same one, as the lines of a file may.
        addresses.dedup();
        let first_count = match addresses.iter().position(SocketAddr::is_ipv6) {
            None | Some(0) => addresses.len(),
            Some(first_count) => first_count,
        };
        match addresses.get_mut(..first_count) {
            Some(first) if !first.is_empty() => {
                first.rotate_left(self.turn.fetch_add(1, Ordering::Relaxed) % first_count);
                Ok(addresses)
            }
            Some(_) | None => Err(none()),
        }
    }
}

fn asking(server: SocketAddr) -> ResolverConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    let connections = vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())];
    ResolverConfig::from_name_servers(vec![NameServerConfig::new(server.ip(), true, connections)])
}
