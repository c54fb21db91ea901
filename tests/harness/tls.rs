//! Upstreams that speak TLS, with a certificate authority of their own.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::origin::Origin;
use crate::script::Script;

/// An upstream with a certificate for `name`; the authority that vouches for it goes to `ca`.
pub fn origin(name: &str, ca: &Path, script: Script) -> Origin {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    std::fs::write(ca, params.self_signed(&ca_key).unwrap().pem()).unwrap();

    let key = KeyPair::generate().unwrap();
    let params_of_name = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params_of_name.signed_by(&key, &Issuer::new(params, ca_key)).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    Origin::listening(script, move |stream| {
        let session = ServerConnection::new(Arc::clone(&config)).unwrap();
        Ok(StreamOwned::new(session, stream))
    })
}
