//! A running server: its threads, its addresses, and how it ends. `start` brings it up.

mod error;
mod start;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::sync::watch;

pub use self::error::StartError;
use self::start::{Start, without_listener};
use crate::fleet::{Footing, StoreAddress};
use crate::key::KeyFlaw;
use crate::listen::Phase;
use crate::listen::tls::Reload;
use crate::mount::Mount;
use crate::options::ServeOptions;
use crate::telemetry::Writer;
use crate::trace::Tracer;

/// Where the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A document in memory, which never changes.
    Document,
    /// A file, which is read again when it changes.
    File(PathBuf),
    /// A ledger in this file, which the Admin API changes.
    Ledger(PathBuf),
    /// The ledger of a fleet, which the Admin APIs of all its servers change.
    Fleet(StoreAddress, Footing),
}

/// A server that takes requests.
#[derive(Debug)]
pub struct Server {
    listen_addr: SocketAddr,
    admin_addr: Option<SocketAddr>,
    metrics_addr: Option<SocketAddr>,
    source: Source,
    key_flaws: Vec<KeyFlaw>,
    lacks_secret: bool,
    reload: Option<Reload>,
    phases: watch::Sender<Phase>,
    threads: Vec<JoinHandle<()>>,
    /// Dropping it ends the thread that watches the file.
    watch: Option<mpsc::Sender<()>>,
    /// Dropping it ends the thread that probes nodes.
    checks: Option<watch::Sender<()>>,
    /// Dropping it ends the thread that looks at breakers.
    breakers: Option<mpsc::Sender<()>>,
    /// Dropping it ends everything that waits for etcd.
    fleet: Option<watch::Sender<()>>,
    tracer: Option<Arc<Tracer>>,
    access: Option<Writer>,
    writer: Option<Writer>,
}

impl Server {
    /// Starts a server that takes its configuration from a file or, where none is named, from the
    /// ledger in the data directory. When this returns, it takes requests.
    pub fn start(options: ServeOptions) -> Result<Self, StartError> {
        let listeners = Start::listen(&options)?;
        Start::with_source(&options, listeners)?.finish()
    }

    /// Starts a server that serves by this document for good.
    pub fn start_with(document: &str, options: ServeOptions) -> Result<Self, StartError> {
        let listeners = Start::listen(&options)?;
        Start::with_document(document, &options, listeners)?.finish()
    }

    /// Starts all of a server but what takes traffic.
    pub(crate) fn mount(options: ServeOptions) -> Result<Mount, StartError> {
        Start::with_source(&without_listener(options), Vec::new())?.mount()
    }

    /// The same by this document for good.
    pub(crate) fn mount_with(document: &str, options: ServeOptions) -> Result<Mount, StartError> {
        Start::with_document(document, &without_listener(options), Vec::new())?.mount()
    }

    /// The address that takes traffic.
    pub fn listen_addr(&self) -> SocketAddr {
        self.listen_addr
    }

    /// The address of the Admin API, if it is on.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_addr
    }

    /// The address of metrics, if there is one.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// Whether the configuration that it started with has cookies or tokens to sign, and there is no
    /// secret to do so.
    pub fn lacks_secret(&self) -> bool {
        self.lacks_secret
    }

    /// How to have the certificate read again, if the server speaks TLS with clients. The server does
    /// not end before all of these are dropped.
    pub fn reload(&self) -> Option<Reload> {
        self.reload.clone()
    }

    /// Has the certificate read again, if there is one, and the file of the access log opened again, if it
    /// is one: it may have been moved away.
    pub fn hang_up(&self) {
        if let Some(reload) = &self.reload {
            reload.now();
        }
        if let Some(access) = &self.access {
            access.reopen();
        }
    }

    /// Where the configuration comes from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What is to be said against the key of the Admin API.
    pub fn key_flaws(&self) -> &[KeyFlaw] {
        &self.key_flaws
    }

    /// Accepts no more connections and lets the requests that are under way finish.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Resolves when, after [`Server::drain`], the last request is finished.
    pub async fn drained(&self) {
        self.phases.closed().await;
    }

    /// Ends at once, with all connections.
    pub fn stop(mut self) {
        self.end();
    }

    fn advance(&self, phase: Phase) {
        self.phases.send_modify(|current| *current = phase.max(*current));
    }

    fn end(&mut self) {
        self.advance(Phase::Stopped);
        self.watch = None;
        self.checks = None;
        self.breakers = None;
        self.fleet = None;
        self.reload = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has ended, which is all that is asked here.
            let _ = thread.join();
        }
        // What is told on the way to the end is written, too.
        if let Some(tracer) = self.tracer.take() {
            tracer.end();
        }
        for writer in [self.access.take(), self.writer.take()].into_iter().flatten() {
            writer.end();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
