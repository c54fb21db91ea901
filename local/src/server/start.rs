//! A server on its way up: its log and listeners, then where its configuration comes from (`ledger` where
//! that is the Admin API), then what takes traffic (`traffic`).

mod ledger;
mod traffic;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::Builder;

use splitway_core::seal::{Secret, TooShort};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{Server, Source, StartError};
use crate::access::AccessLog;
use crate::connect::Trust;
use crate::document::{self, Format};
use crate::file::WatchedFile;
use crate::front::Fronts;
use crate::listen::tls::{Current, WatchedPair};
use crate::listen::{self, Phase};
use crate::metrics::MetricsListen;
use crate::options::ServeOptions;
use crate::resolve::Override;
use crate::store::Store;
use crate::telemetry::Log;
use crate::thread;
use crate::trace::Tracer;

/// A server on its way up. Dropped half-way, it takes down what is up.
pub(super) struct Start {
    server: Server,
    listeners: Vec<StdListener>,
    options: ServeOptions,
    /// What clients are shown.
    certificate: Option<Current>,
    trust: Trust,
    overrides: Arc<[Override]>,
    fronts: Arc<Fronts>,
    secret: Option<Secret>,
    store: Arc<Store>,
    log: Log,
    access: AccessLog,
    tracer: Option<Arc<Tracer>>,
}

/// Without what is the listener's, or takes a port that nobody has asked for.
pub(super) fn without_listener(options: ServeOptions) -> ServeOptions {
    let mut options = options;
    (options.clients.tls_cert, options.clients.tls_key) = (None, None);
    options.metrics_listen = options.metrics_listen.or(Some(MetricsListen::Off));
    options
}

impl Start {
    /// The listeners of all threads that take traffic.
    pub(super) fn listen(options: &ServeOptions) -> Result<Vec<StdListener>, StartError> {
        let workers = options.workers_count().get();
        bind("--listen", options.listen, workers, options.clients.reuse_port)
    }

    pub(super) fn with_source(
        options: &ServeOptions,
        listeners: Vec<StdListener>,
    ) -> Result<Self, StartError> {
        let mut start = Self::new(options, listeners)?;
        match &options.config {
            Some(path) => start.with_file(path)?,
            None => start.with_ledger(options)?,
        }
        Ok(start)
    }

    pub(super) fn with_document(
        document: &str,
        options: &ServeOptions,
        listeners: Vec<StdListener>,
    ) -> Result<Self, StartError> {
        let start = Self::new(options, listeners)?;
        let (snapshot, _) = document::read(document, Format::of(Path::new(""), document))?;
        start.store.publish(snapshot);
        Ok(start)
    }

    fn new(options: &ServeOptions, listeners: Vec<StdListener>) -> Result<Self, StartError> {
        let paper: Box<dyn io::Write + Send> = match options.is_silent {
            true => Box::new(io::sink()),
            false => Box::new(io::stderr()),
        };
        let (log, writer) = Log::start(paper).map_err(StartError::System)?;
        let trust = Trust::new(options.ca.as_deref())?;
        let (access, access_writer) =
            AccessLog::start(&options.access, &log).map_err(StartError::AccessLog)?;
        let tracer = match &options.access.otlp {
            Some(base) => Some(Arc::new(Tracer::start(
                base,
                options.access.trace_sample,
                &trust,
                log.clone(),
            )?)),
            None => None,
        };
        let pair = WatchedPair::open(&options.clients, log.clone())?;
        let mut server = Server {
            listen_addr: local_address(&listeners, options.listen),
            admin_addr: None,
            metrics_addr: None,
            source: Source::Document,
            key_flaws: Vec::new(),
            lacks_secret: false,
            reload: None,
            phases: watch::Sender::new(Phase::Serving),
            threads: Vec::new(),
            watch: None,
            checks: None,
            breakers: None,
            fleet: None,
            tracer: tracer.clone(),
            access: access_writer,
            writer: Some(writer),
        };
        let certificate = match pair {
            None => None,
            Some(pair) => Some(server.watch_pair(pair)?),
        };
        let overrides = options.resolve.clone().into();
        let fronts = Arc::new(Fronts::new(options.trusted_proxy.clone()));
        let secret = options.secret().map_err(|TooShort| StartError::ShortSecret)?;
        let store = Arc::default();
        let options = options.clone();
        Ok(Self {
            server,
            listeners,
            options,
            certificate,
            trust,
            overrides,
            fronts,
            secret,
            store,
            log,
            access,
            tracer,
        })
    }

    fn with_file(&mut self, path: &Path) -> Result<(), StartError> {
        let opened = WatchedFile::open(path, Arc::clone(&self.store), self.log.clone());
        let failed = |source| StartError::Config { path: path.to_owned(), source };
        let file = opened.map_err(failed)?;
        let (stop, stopped) = mpsc::channel();
        let watching = Builder::new().name("splitway-watch".to_owned());
        let thread = watching.spawn(move || file.watch(&stopped)).map_err(StartError::System)?;
        self.server.threads.push(thread);
        self.server.watch = Some(stop);
        self.server.source = Source::File(path.to_owned());
        Ok(())
    }
}

impl Server {
    /// Starts the thread that looks at the files of a certificate.
    fn watch_pair(&mut self, pair: WatchedPair) -> Result<Current, StartError> {
        let current = pair.current();
        let (reload, rings) = WatchedPair::bell();
        let watching = Builder::new().name("splitway-tls".to_owned());
        let thread = watching.spawn(move || pair.watch(&rings)).map_err(StartError::System)?;
        self.threads.push(thread);
        self.reload = Some(reload);
        Ok(current)
    }

    /// Starts a thread with a runtime of its own that serves a listener; returns when it runs.
    fn spawn<J>(&mut self, name: String, listener: StdListener, job: J) -> Result<(), StartError>
    where
        J: AsyncFnOnce(TcpListener, watch::Receiver<Phase>) + Send + 'static,
    {
        let phases = self.phases.subscribe();
        let thread =
            thread::start(name, async move |started| match TcpListener::from_std(listener) {
                Ok(listener) => {
                    started.tell(Ok(()));
                    job(listener, phases).await;
                }
                Err(error) => started.tell(Err(error)),
            });
        self.threads.push(thread.map_err(StartError::System)?);
        Ok(())
    }
}

fn bind(
    option: &'static str,
    address: SocketAddr,
    count: usize,
    is_shared: bool,
) -> Result<Vec<StdListener>, StartError> {
    listen::bind(address, count, is_shared).map_err(|source| StartError::Listen {
        option,
        address,
        source,
    })
}

/// The address bound, which differs from the one asked for where that left the port open.
fn local_address(listeners: &[StdListener], asked: SocketAddr) -> SocketAddr {
    listeners.first().and_then(|listener| listener.local_addr().ok()).unwrap_or(asked)
}
