//! An authority and one certificate of it, which every server here shows: keys of the curve P-256.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::origin::Tls;

/// The name of the origin in its certificate.
pub(crate) const ORIGIN: &str = "origin.test";

/// The certificate of the authority.
pub(crate) fn authority(folder: &Path) -> PathBuf {
    folder.join("ca.pem")
}

/// The certificate that servers show.
pub(crate) fn certificate(folder: &Path) -> PathBuf {
    folder.join("cert.pem")
}

/// Its key.
pub(crate) fn key(folder: &Path) -> PathBuf {
    folder.join("key.pem")
}

/// Both in one file, as HAProxy wants them.
pub(crate) fn both(folder: &Path) -> PathBuf {
    folder.join("both.pem")
}

/// Writes them all.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    let mut params = CertificateParams::new([]).map_err(io::Error::other)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // OpenSSL takes a certificate whose issuer is called as itself for its own issuer.
    params.distinguished_name.push(DnType::CommonName, "authority of the benchmark");
    let own = KeyPair::generate().map_err(io::Error::other)?;
    fs::write(authority(folder), params.self_signed(&own).map_err(io::Error::other)?.pem())?;
    let issuer = Issuer::new(params, own);

    let names = [ORIGIN, "localhost", "127.0.0.1"].map(str::to_owned);
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, ORIGIN);
    let pair = KeyPair::generate().map_err(io::Error::other)?;
    let signed = params.signed_by(&pair, &issuer).map_err(io::Error::other)?;
    fs::write(certificate(folder), signed.pem())?;
    fs::write(key(folder), pair.serialize_pem())?;
    fs::write(both(folder), format!("{}{}", signed.pem(), pair.serialize_pem()))
}

/// How a server of ours speaks TLS: HTTP/1.1 alone.
pub(crate) fn server(folder: &Path) -> io::Result<Tls> {
    let shown = CertificateDer::from_pem_file(certificate(folder)).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(key(folder)).map_err(io::Error::other)?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![shown], key)
        .map_err(io::Error::other)?;
    Ok(Arc::new(config))
}

/// How a client of ours does; it trusts the authority.
pub(crate) fn client(folder: &Path) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let trusted = CertificateDer::from_pem_file(authority(folder)).map_err(io::Error::other)?;
    roots.add(trusted).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
