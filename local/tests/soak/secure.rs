//! Certificates of the server that take the place of one another, and clients that trust them all.

use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::client::NAME;
use crate::process::{Files, Serving};
use crate::pulse::Pulse;

/// The files of a certificate, and those that clients trust.
pub(crate) struct Pairs {
    paths: [String; 2],
    roots: Vec<CertificateDer<'static>>,
    /// Trusted long before it is shown: a client that is about to ask has what was trusted before.
    next: CertifiedKey<KeyPair>,
}

impl Pairs {
    pub(crate) fn new(files: &Files) -> Self {
        let (first, next) = (draw(), draw());
        let paths = write(files, &first);
        Self { paths, roots: vec![first.cert.der().clone(), next.cert.der().clone()], next }
    }

    /// What the server is told.
    pub(crate) fn options(&self) -> [&str; 4] {
        ["--tls-cert", &self.paths[0], "--tls-key", &self.paths[1]]
    }

    /// A client that trusts the last certificates and the next.
    pub(crate) fn trusting(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for root in &self.roots {
            roots.add(root.clone()).expect("a certificate");
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }

    /// Has the server show the next certificate.
    pub(crate) fn replace(&mut self, files: &Files, serving: &mut Serving, pulse: &Pulse) {
        let shown = std::mem::replace(&mut self.next, draw());
        write(files, &shown);
        serving.signal("HUP");
        serving.line(|line| line.contains("certificate_loaded"));
        self.roots.push(self.next.cert.der().clone());
        // Those before the last that was shown are shown by nobody.
        self.roots = self.roots.split_off(self.roots.len().saturating_sub(3));
        if let Some(config) = &pulse.tls {
            *config.write().expect("nobody panicked") = self.trusting();
        }
    }
}

fn draw() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed([NAME.to_owned()]).expect("a certificate")
}

fn write(files: &Files, pair: &CertifiedKey<KeyPair>) -> [String; 2] {
    let certificate = files.write("cert.pem", &pair.cert.pem());
    [certificate, files.write("key.pem", &pair.signing_key.serialize_pem())]
}
