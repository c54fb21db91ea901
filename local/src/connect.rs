//! Connections to nodes: an address of the user's choice or one from DNS, TCP, and TLS with the
//! certificate verified for the node's name.

mod stream;
mod trust;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use splitway_core::problem::Failure;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub(crate) use self::stream::Stream;
pub(crate) use self::trust::Trust;
pub use self::trust::TrustError;
use crate::failure;
use crate::resolve::{Dns, Override};

/// How long the first address of a name has the field to itself (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// What makes connections for one thread.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) trust: Trust,
    overrides: Arc<[Override]>,
    dns: Dns,
}

impl Connector {
    pub(crate) fn new(trust: Trust, overrides: Arc<[Override]>, dns: Dns) -> Self {
        Self { trust, overrides, dns }
    }

    /// A connection to `host`, which has brackets where it is an IPv6 address.
    pub(crate) async fn plain(&self, host: &str, port: u16) -> Result<Stream, Failure> {
        Ok(Stream::plain(self.tcp(host, port).await?))
    }

    /// The same with TLS on it.
    pub(crate) async fn tls(
        &self,
        host: &str,
        port: u16,
        config: Arc<ClientConfig>,
    ) -> Result<Stream, Failure> {
        self.tls_as(host, host, port, config).await
    }

    /// The same where `host` has to prove that it is `name`.
    pub(crate) async fn tls_as(
        &self,
        name: &str,
        host: &str,
        port: u16,
        config: Arc<ClientConfig>,
    ) -> Result<Stream, Failure> {
        let name = ServerName::try_from(bare(name).to_owned());
        let name = name.map_err(|_| Failure::TlsCertificateError)?;
        let tcp = self.tcp(host, port).await?;
        let tls = TlsConnector::from(config).connect(name, tcp).await;
        let tls = tls.map_err(|error| failure::name_unsent(&error))?;
        Ok(Stream::tls(tls))
    }

    async fn tcp(&self, host: &str, port: u16) -> Result<TcpStream, Failure> {
        let address = bare(host).parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port));
        let chosen = self.overrides.iter().find_map(|found| found.applies(host, port));
        let connected = match chosen.or(address) {
            Some(address) => open(address).await,
            None => {
                let addresses = self.dns.addresses(host, port).await;
                first(addresses.map_err(|error| failure::name(&error))?).await
            }
        };
        connected.map_err(|error| failure::name(&error))
    }
}

/// A host without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect(address).await?;
    // Without it the end of a request waits for the acknowledgement of its beginning.
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// A connection to the first of these addresses that takes one. The next is tried when one fails or is
/// slow, and then beside it (RFC 8305, in short).
async fn first(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    if let [only] = addresses.as_slice() {
        return open(*only).await;
    }
    let mut attempts = JoinSet::new();
    let mut left = addresses.into_iter();
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        match left.next() {
            Some(address) => drop(attempts.spawn(open(address))),
            None if attempts.is_empty() => return Err(failed),
            None => {}
        }
        let joined = match left.len() {
            0 => attempts.join_next().await,
            _ => timeout(STAGGER, attempts.join_next()).await.unwrap_or(None),
        };
        match joined {
            Some(Ok(Ok(tcp))) => return Ok(tcp),
            Some(Ok(Err(error))) => failed = error,
            Some(Err(_)) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_refuses() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a listener");
        let good = listener.local_addr().expect("an address");
        let closed = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let bad = closed.local_addr().expect("an address");
        drop(closed);
        let tcp = first(vec![bad, bad, good]).await.expect("a connection");
        assert_eq!(tcp.peer_addr().expect("a peer"), good);
        let refused = first(vec![bad, bad]).await.expect_err("no connection");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
