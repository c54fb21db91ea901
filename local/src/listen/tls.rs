//! TLS on a listener: a certificate and its key, read again when their files change.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use super::options::ListenOptions;
use crate::telemetry::{Level, Log};

/// How often the files are looked at. A change is taken when they look the same twice: whoever writes
/// two files, or one in place, may not have finished at the first look.
const POLL: Duration = Duration::from_millis(250);

/// What a client may ask for by ALPN, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why TLS cannot be spoken with a pair of files.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file of certificates cannot be read as such.
    #[error("{} cannot be read as certificates in PEM: {source}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What hinders.
        source: pem::Error,
    },
    /// The file of certificates has none.
    #[error("{} holds no certificate in PEM", .0.display())]
    Empty(PathBuf),
    /// The file of the key cannot be read as such.
    #[error("{} cannot be read as a private key in PEM: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What hinders.
        source: pem::Error,
    },
    /// The key is not that of the first certificate, or of an unknown kind.
    #[error("{} and {} do not make a pair: {source}", certificate.display(), key.display())]
    Pair {
        /// The file of certificates.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What hinders.
        source: rustls::Error,
    },
    /// The TLS library refuses its own defaults.
    #[error("TLS is not available: {0}")]
    Unavailable(#[source] rustls::Error),
}

/// What handshakes are made by at the moment, for all threads.
pub(crate) type Current = Arc<ArcSwap<ServerConfig>>;

/// A certificate with its chain, and its key.
#[derive(Clone, Debug)]
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

/// The files behind what is current.
#[derive(Debug)]
pub(crate) struct WatchedPair {
    pair: Pair,
    current: Current,
    log: Log,
    /// How the files looked when they were read last, with success or without.
    judged: Option<Look>,
    /// How they looked once.
    pending: Option<Look>,
}

/// Asks for the files to be read now. Dropping it ends the watch.
#[derive(Clone, Debug)]
pub struct Reload(Sender<()>);

impl Reload {
    /// Reads them, whether they look changed or not.
    pub fn now(&self) {
        // Nobody listens when the server is ending.
        let _ = self.0.send(());
    }
}

/// What tells a file from its successor.
type Stamp = (u64, u64, i64, i64, u64);
type Look = [Option<Stamp>; 2];

impl WatchedPair {
    /// Reads the files, if there are any to be read.
    pub(crate) fn open(
        options: &ListenOptions,
        log: Log,
    ) -> Result<Option<Self>, CertificateError> {
        let (Some(certificate), Some(key)) = (&options.tls_cert, &options.tls_key) else {
            return Ok(None);
        };
        let pair = Pair { certificate: certificate.clone(), key: key.clone() };
        let judged = Some(pair.look());
        let current = Arc::new(ArcSwap::from_pointee(pair.load()?));
        Ok(Some(Self { pair, current, log, judged, pending: None }))
    }

    /// What handshakes are made by, from now on.
    pub(crate) fn current(&self) -> Current {
        Arc::clone(&self.current)
    }

    /// How to ask for another look, and what [`WatchedPair::watch`] is to listen to.
    pub(crate) fn bell() -> (Reload, Receiver<()>) {
        let (bell, rings) = channel();
        (Reload(bell), rings)
    }

    /// Looks at the files until the other end of `rings` is dropped.
    pub(crate) fn watch(mut self, rings: &Receiver<()>) {
        loop {
            match rings.recv_timeout(POLL) {
                Ok(()) => self.read(self.pair.look()),
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn look(&mut self) {
        let look = self.pair.look();
        if self.judged == Some(look) {
            self.pending = None;
        } else if self.pending == Some(look) {
            self.read(look);
        } else {
            self.pending = Some(look);
        }
    }

    /// Takes what the files say, or tells what hinders it and leaves the last good pair.
    fn read(&mut self, look: Look) {
        self.judged = Some(look);
        self.pending = None;
        let file = self.pair.certificate.display().to_string();
        match self.pair.load() {
            Ok(config) => {
                self.current.store(Arc::new(config));
                self.log.tell(Level::Info, "certificate_loaded", json!({"file": file}));
            }
            Err(error) => {
                let fields = json!({"file": file, "detail": error.to_string()});
                self.log.tell(Level::Error, "certificate_fault", fields);
            }
        }
    }
}

impl Pair {
    fn look(&self) -> Look {
        [stamp(&self.certificate).ok(), stamp(&self.key).ok()]
    }

    fn load(&self) -> Result<ServerConfig, CertificateError> {
        let path = || self.certificate.clone();
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|source| CertificateError::Certificate { path: path(), source })?;
        if chain.is_empty() {
            return Err(CertificateError::Empty(path()));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|source| CertificateError::Key { path: self.key.clone(), source })?;
        let mismatch =
            |source| CertificateError::Pair { certificate: path(), key: self.key.clone(), source };
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Unavailable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(mismatch)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        // Sessions are kept by clients; what the server kept would be behind a lock.
        config.ticketer = Ticketer::new().map_err(CertificateError::Unavailable)?;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(config)
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let about = fs::metadata(path)?;
    Ok((about.dev(), about.ino(), about.mtime(), about.mtime_nsec(), about.len()))
}
