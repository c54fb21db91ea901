//! Connections to upstreams: an address of the user's choice or one from DNS, TCP, and TLS with the
//! certificate verified for the node's name.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::uri::{Authority, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

use crate::failure::Unresolved;
use crate::resolve::Override;

/// What makes connections.
pub(crate) type Connector = HttpsConnector<Overridden>;

/// Why certificates of upstreams could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file of `--ca` cannot be read.
    #[error("{} cannot be read as certificates in PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What hinders.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The file of `--ca` holds no certificate.
    #[error("{} holds no certificate in PEM", .0.display())]
    Empty(PathBuf),
    /// A certificate cannot be the end of a chain of trust.
    #[error("a certificate in {} cannot be trusted", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What hinders.
        #[source]
        source: rustls::Error,
    },
    /// The TLS library refuses its own defaults.
    #[error("TLS is not available")]
    Unavailable(#[source] rustls::Error),
}

/// The connector of one thread.
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

/// TLS towards upstreams: the system's certificate authorities (Mozilla's where the system has
/// none) and those of `ca`.
pub(crate) fn trust(ca: Option<&Path>) -> Result<ClientConfig, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(path) = ca {
        add(&mut roots, path)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TrustError::Unavailable)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), TrustError> {
    let unreadable = |source| TrustError::Pem { path: path.to_owned(), source };
    let mut is_empty = true;
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        let certificate = certificate.map_err(unreadable)?;
        let unfit = |source| TrustError::Unfit { path: path.to_owned(), source };
        roots.add(certificate).map_err(unfit)?;
        is_empty = false;
    }
    if is_empty { Err(TrustError::Empty(path.to_owned())) } else { Ok(()) }
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
            let addresses =
                tokio::net::lookup_host((name.as_str(), 0)).await.map_err(Unresolved)?;
            let addresses: Vec<SocketAddr> = addresses.collect();
            if addresses.is_empty() {
                return Err(Unresolved(std::io::ErrorKind::NotFound.into()));
            }
            Ok(addresses.into_iter())
        })
    }
}
