//! TLS towards upstreams: whose certificates are trusted, and which one is shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use splitway_core::balance::Tls;

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
        source: Error,
    },
    /// The TLS library refuses its own defaults.
    #[error("TLS is not available")]
    Unavailable(#[source] Error),
}

/// The certificate authorities that are trusted: the system's (Mozilla's where the system has none) and
/// those that the user names.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    roots: Arc<RootCertStore>,
    /// What every configuration begins with.
    base: ConfigBuilder<ClientConfig, rustls::WantsVerifier>,
}

impl Trust {
    /// Trusts the authorities in the file `ca` beside the system's.
    pub(crate) fn new(ca: Option<&Path>) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        if let Some(path) = ca {
            add(&mut roots, path)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let base = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Unavailable)?;
        Ok(Self { roots: Arc::new(roots), base })
    }

    /// How TLS is spoken by default.
    pub(crate) fn config(&self) -> ClientConfig {
        self.verified().with_no_client_auth()
    }

    /// How TLS is spoken with the settings of an upstream. An error is about its certificate or key.
    pub(crate) fn config_of(&self, tls: &Tls) -> Result<ClientConfig, Error> {
        let builder = match tls.is_verified {
            true => self.verified(),
            false => {
                let provider = Arc::clone(self.base.crypto_provider());
                let verifier = Arc::new(Unverified(provider));
                self.base.clone().dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        let Some(pair) = &tls.client else { return Ok(builder.with_no_client_auth()) };
        let unread = |_| Error::General("not in PEM".to_owned());
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(unread)?;
        builder.with_client_auth_cert(chain.map_err(unread)?, key)
    }

    fn verified(&self) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        self.base.clone().with_root_certificates(Arc::clone(&self.roots))
    }
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

/// Takes whatever certificate a node shows, because its upstream says `verify: false`; the node must
/// still have the key to it.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
