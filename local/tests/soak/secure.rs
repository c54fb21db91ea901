//! Certificates of the server that take the place of one another, and clients that trust them all.

use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};

use crate::client::NAME;
use crate::process::{Files, Serving};

/// So many certificates take turns.
const COUNT: usize = 3;

/// Certificates and their keys, and where the server finds those that it is to show.
pub(crate) struct Pairs {
    pairs: [CertifiedKey<KeyPair>; COUNT],
    shown: usize,
    paths: [String; 2],
}

impl Pairs {
    pub(crate) fn new(files: &Files) -> Self {
        let draw = |_| generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
        let pairs = std::array::from_fn(draw);
        let paths = write(files, &pairs[0]);
        Self { pairs, shown: 0, paths }
    }

    /// What the server is told.
    pub(crate) fn options(&self) -> [&str; 4] {
        ["--tls-cert", &self.paths[0], "--tls-key", &self.paths[1]]
    }

    /// A client that trusts them all.
    pub(crate) fn trusting(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for pair in &self.pairs {
            roots.add(pair.cert.der().clone()).expect("a certificate");
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }

    /// Has the server show the next certificate.
    pub(crate) fn replace(&mut self, files: &Files, serving: &mut Serving) {
        self.shown = (self.shown + 1) % COUNT;
        write(files, &self.pairs[self.shown]);
        serving.signal("HUP");
        serving.line(|line| line.contains("certificate_loaded"));
    }
}

fn write(files: &Files, pair: &CertifiedKey<KeyPair>) -> [String; 2] {
    let certificate = files.write("cert.pem", &pair.cert.pem());
    [certificate, files.write("key.pem", &pair.signing_key.serialize_pem())]
}
