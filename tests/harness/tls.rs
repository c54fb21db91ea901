//! Upstreams that speak TLS, with certificate authorities of their own, and certificates with faults.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::origin::Origin;
use crate::script::Script;

/// What an upstream shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// One that the target has to trust.
    Sound,
    /// One for another name.
    OfAnotherName,
    /// One that was good until 2001.
    Expired,
    /// One of an authority that the target does not know.
    OfUnknownAuthority,
}

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Default for Authority {
    fn default() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }
}

impl Authority {
    /// Its own certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// An upstream on loopback that shows such a certificate; this authority is the one that is
    /// trusted.
    pub fn origin(&self, certificate: Certificate, script: Script) -> Origin {
        let unknown = Self::default();
        let (authority, name) = match certificate {
            Certificate::Sound | Certificate::Expired => (self, "127.0.0.1"),
            Certificate::OfAnotherName => (self, "other.test"),
            Certificate::OfUnknownAuthority => (&unknown, "127.0.0.1"),
        };
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        if certificate == Certificate::Expired {
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        authority.listening(params, script)
    }

    fn listening(&self, params: CertificateParams, script: Script) -> Origin {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        Origin::listening(script, move |line| {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            Ok(StreamOwned::new(session, line))
        })
    }
}

/// An upstream with a certificate for `name`; the authority that vouches for it goes to `ca`.
pub fn origin(name: &str, ca: &Path, script: Script) -> Origin {
    let authority = Authority::default();
    std::fs::write(ca, authority.pem()).unwrap();
    authority.listening(CertificateParams::new([name.to_owned()]).unwrap(), script)
}
