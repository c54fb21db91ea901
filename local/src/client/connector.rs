//! Connections of the commands to a server: an address of the user's choice or one from the system's
//! resolver, TCP, and TLS with the certificate verified for the name.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::uri::{Authority, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use rustls::ClientConfig;
use tower_service::Service;

use crate::failure::Unresolved;
use crate::resolve::Override;

/// What makes connections.
pub(crate) type Connector = HttpsConnector<Overridden>;

/// The connector of one command.
pub(crate) fn connector(tls: ClientConfig, overrides: Arc<[Override]>) -> Connector {
    let mut tcp = HttpConnector::new_with_resolver(Dns);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(Overridden { overrides, tcp })
}

/// TCP to the address that an [`Override`] names, else to one that DNS names. TLS lies outside of
/// it and verifies the name that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Overridden {
    overrides: Arc<[Override]>,
    tcp: HttpConnector<Dns>,
}

impl Overridden {
    /// The same URI with the address to connect to in place of the host.
    fn place(&self, uri: Uri) -> Uri {
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            Some(_) | None => 80,
        });
        let host = uri.host().unwrap_or_default();
        let address = self.overrides.iter().find_map(|found| found.applies(host, port));
        address.and_then(|address| with_address(&uri, address)).unwrap_or(uri)
    }
}

fn with_address(uri: &Uri, address: SocketAddr) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.authority = Some(Authority::try_from(address.to_string()).ok()?);
    Uri::from_parts(parts).ok()
}

impl Service<Uri> for Overridden {
    type Response = <HttpConnector<Dns> as Service<Uri>>::Response;
    type Error = <HttpConnector<Dns> as Service<Uri>>::Error;
    type Future = <HttpConnector<Dns> as Service<Uri>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let uri = self.place(uri);
        self.tcp.call(uri)
    }
}

/// The system's resolver, with failures that [`failure`](crate::failure) knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dns;

impl Service<Name> for Dns {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolved>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move {
            // The port is the connector's to set.
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await;
            let addresses: Vec<SocketAddr> = addresses.map_err(Unresolved::new)?.collect();
            if addresses.is_empty() {
                return Err(Unresolved::new(std::io::Error::from(std::io::ErrorKind::NotFound)));
            }
            Ok(addresses.into_iter())
        })
    }
}
