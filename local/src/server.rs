//! A running server: its threads, its addresses, and how it ends.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

use opentelemetry_otlp::ExporterBuildError;
use serde_json::json;
use splitway_core::access::{Access, KeyHash};
use splitway_core::seal::{SECRET_MIN, Secret, TooShort};
use splitway_core::sql::SqlStorage;
use splitway_core::survey;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::access::AccessLog;
use crate::admin::{self, Admin, Office};
use crate::checks;
use crate::connect::{Connector, Trust, TrustError};
use crate::coordinator::{Expiry, Handle};
use crate::database::{Database, DatabaseError};
use crate::document::{self, Defect, Format};
use crate::door::Door;
use crate::file::{FileError, WatchedFile};
use crate::fleet::{FleetError, Footing, StoreAddress};
use crate::front::Fronts;
use crate::key::{self, KeyError, KeyFlaw};
use crate::kit::Kit;
use crate::limiter::Counting;
use crate::listen::tls::{CertificateError, Current, Reload, WatchedPair};
use crate::listen::{self, AllConnections, Host, Limits, Phase};
#[cfg(feature = "etcd")]
use crate::member;
use crate::metrics::{self, Metrics, MetricsListen};
use crate::mount::Mount;
use crate::options::ServeOptions;
use crate::reply::Traffic;
use crate::resolve::Dns;
use crate::store::Store;
use crate::telemetry::{Level, Log, Writer};
use crate::thread;
use crate::trace::Tracer;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; name another address with {option}")]
    Listen {
        /// The option that names the address.
        option: &'static str,
        /// The address.
        address: SocketAddr,
        /// What hinders.
        source: io::Error,
    },
    /// TLS cannot be spoken with clients.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The file of `--config` cannot be served by.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What hinders.
        source: FileError,
    },
    /// A document given by a program cannot be served by.
    #[error(transparent)]
    Document(#[from] Defect),
    /// What cookies and tokens are to be signed with could be guessed.
    #[error(
        "SPLITWAY_SECRET has less than {SECRET_MIN} bytes; make one with `openssl rand -hex 32`"
    )]
    ShortSecret,
    /// The data directory cannot be made.
    #[error("the data directory {} cannot be made: {source}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What hinders.
        source: io::Error,
    },
    /// The ledger cannot be opened.
    #[error("the database {} cannot be used: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What hinders.
        source: DatabaseError,
    },
    /// The server cannot be one of the fleet.
    #[error("{store}: {source}")]
    Fleet {
        /// The address of the fleet's etcd.
        store: StoreAddress,
        /// What hinders.
        source: FleetError,
    },
    /// The access log cannot be written.
    #[error("the access log cannot be written: {0}; name another file with --access-log")]
    AccessLog(#[source] io::Error),
    /// Traces cannot be sent.
    #[error("traces cannot be sent: {0}")]
    Traces(#[from] ExporterBuildError),
    /// The Redis of shared limits cannot be used, whether it is there or not.
    #[error("--redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// There is no key for the Admin API.
    #[error("the admin key: {0}")]
    Key(#[from] KeyError),
    /// Certificates of upstreams could not be verified.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The system does not give what a server needs: threads, timers, signals.
    #[error("the system does not let it start: {0}")]
    System(#[source] io::Error),
}

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

/// Where a ledger is kept.
enum Keeping<'o> {
    File(Database),
    Fleet(&'o StoreAddress),
}

/// A server on its way up. Dropped half-way, it takes down what is up.
struct Start {
    server: Server,
    listeners: Vec<StdListener>,
    options: ServeOptions,
    /// What clients are shown.
    certificate: Option<Current>,
    trust: Trust,
    overrides: Arc<[crate::resolve::Override]>,
    fronts: Arc<Fronts>,
    secret: Option<Secret>,
    store: Arc<Store>,
    log: Log,
    access: AccessLog,
    tracer: Option<Arc<Tracer>>,
}

/// Without what is the listener's, or takes a port that nobody has asked for.
fn without_listener(options: ServeOptions) -> ServeOptions {
    let mut options = options;
    (options.clients.tls_cert, options.clients.tls_key) = (None, None);
    options.metrics_listen = options.metrics_listen.or(Some(MetricsListen::Off));
    options
}

impl Start {
    /// The listeners of all threads that take traffic.
    fn listen(options: &ServeOptions) -> Result<Vec<StdListener>, StartError> {
        let workers = options.workers_count().get();
        bind("--listen", options.listen, workers, options.clients.reuse_port)
    }

    fn with_source(
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

    fn with_document(
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

    fn with_ledger(&mut self, options: &ServeOptions) -> Result<(), StartError> {
        let dir = &options.data_dir;
        key::prepare_dir(dir)
            .map_err(|source| StartError::DataDir { path: dir.clone(), source })?;
        // Before the key, which two who start at once would both make.
        let keeping = match &options.store.address {
            Some(store) => Keeping::Fleet(store),
            None => Keeping::File(self.take_database(dir)?),
        };
        let (key, mut key_flaws) = match &options.admin_key {
            Some(key) => key::checked(key, "SPLITWAY_ADMIN_KEY")?,
            None => key::load_or_make(dir)?,
        };
        let own = KeyHash::of(&key);
        let (coordinator, expiry) = match keeping {
            Keeping::File(database) => self.open_ledger(database, own, options)?,
            Keeping::Fleet(store) => self
                .join_fleet(store, own, options)
                .map_err(|source| StartError::Fleet { store: store.clone(), source })?,
        };
        if let Source::Ledger(path) = &self.server.source {
            key_flaws.extend(key::flaw(path));
        }
        let is_shared = options.clients.reuse_port;
        let mut listeners = bind("--admin-listen", options.admin_listen, 1, is_shared)?;
        let address = local_address(&listeners, options.admin_listen);
        let coordinator = coordinator.with_secret(self.secret.clone());
        let door = Door::of_admin(address.port());
        let admin = Arc::new(Admin { coordinator, door });
        let router = admin::router(admin);
        if let Some(listener) = listeners.pop() {
            let log = self.log.clone();
            let name = "splitway-admin".to_owned();
            let limits = Limits::of_admin(is_shared);
            self.server.spawn(name, listener, async move |listener, phases| {
                let host = Host::new(Office { router }, limits, None);
                listen::serve(listener, phases, &log, host).await;
            })?;
        }
        let watching = Builder::new().name("splitway-ttl".to_owned());
        let thread = watching.spawn(move || expiry.watch()).map_err(StartError::System)?;
        self.server.threads.push(thread);
        self.server.admin_addr = Some(address);
        self.server.key_flaws = key_flaws;
        Ok(())
    }

    /// Keeps every other process out of the data directory.
    fn take_database(&mut self, dir: &Path) -> Result<Database, StartError> {
        let path = dir.join("splitway.db");
        let database = Database::open(&path)
            .map_err(|source| StartError::Database { path: path.clone(), source })?;
        self.server.source = Source::Ledger(path);
        Ok(database)
    }

    fn open_ledger(
        &mut self,
        database: Database,
        own: KeyHash,
        options: &ServeOptions,
    ) -> Result<(Handle, Expiry), StartError> {
        let path = options.data_dir.join("splitway.db");
        let failed = |source| StartError::Database { path: path.clone(), source };
        let name = key::random_hex::<16>().map_err(KeyError::NoEntropy)?;
        let storage = SqlStorage::open(database, &name).map_err(|error| failed(error.into()))?;
        let access = Access::new(own, options.admin_networks());
        let (store, log) = (Arc::clone(&self.store), self.log.clone());
        Handle::start(Box::new(storage), access, options.retention(), store, log)
            .map_err(|error| failed(error.into()))
    }

    #[cfg(feature = "etcd")]
    fn join_fleet(
        &mut self,
        store: &StoreAddress,
        own: KeyHash,
        options: &ServeOptions,
    ) -> Result<(Handle, Expiry), FleetError> {
        let (serving, log) = (Arc::clone(&self.store), self.log.clone());
        let joined = member::join(store, own, options, serving, log)?;
        self.server.threads.extend(joined.threads);
        self.server.fleet = Some(joined.end);
        self.server.source = Source::Fleet(store.clone(), joined.footing);
        Ok((joined.handle, joined.expiry))
    }

    #[cfg(not(feature = "etcd"))]
    #[expect(clippy::unused_self, reason = "as with etcd")]
    fn join_fleet(
        &mut self,
        _: &StoreAddress,
        _: KeyHash,
        _: &ServeOptions,
    ) -> Result<(Handle, Expiry), FleetError> {
        Err(FleetError::NotBuilt)
    }

    /// Starts what shows metrics, and what tells of breakers.
    fn with_metrics(&mut self) -> Result<AllConnections, StartError> {
        let connections = AllConnections::new(self.options.workers_count().get());
        let is_shared = self.options.clients.reuse_port;
        let listeners = match self.options.metrics_listen {
            Some(MetricsListen::Off) => Vec::new(),
            Some(MetricsListen::At(address)) => bind("--metrics-listen", address, 1, is_shared)?,
            // Nobody has asked for it: another server may be there.
            None => listen::bind(metrics::USUAL, 1, is_shared).unwrap_or_default(),
        };
        if let Some(listener) = listeners.into_iter().next() {
            self.server.metrics_addr = listener.local_addr().ok();
            let (store, log) = (Arc::clone(&self.store), self.log.clone());
            let site = Metrics { store, log: log.clone(), connections: connections.clone() };
            let limits = Limits::of_admin(is_shared);
            let name = "splitway-metrics".to_owned();
            self.server.spawn(name, listener, async move |listener, phases| {
                listen::serve(listener, phases, &log, Host::new(site, limits, None)).await;
            })?;
        }
        let (stop, stopped) = mpsc::channel();
        let (store, log) = (Arc::clone(&self.store), self.log.clone());
        let watching = Builder::new().name("splitway-watch".to_owned());
        let watch = move || metrics::watch(&store, &log, &stopped);
        self.server.threads.push(watching.spawn(watch).map_err(StartError::System)?);
        self.server.breakers = Some(stop);
        Ok(connections)
    }

    /// Starts what goes on beside the traffic.
    fn prepare(&mut self) -> Result<Kit, StartError> {
        let Self { options, trust, overrides, store, fronts, secret, log, access, tracer, .. } =
            self;
        let counting = Counting::new(&options.limiter, log)?;
        let asks = store.snapshot().is_some_and(|snapshot| survey::asks_secret(&snapshot));
        self.server.lacks_secret = asks && secret.is_none();
        let shares = store.snapshot().is_some_and(|snapshot| survey::shares_limits(&snapshot));
        if shares && options.store.address.is_some() && options.limiter.redis.is_none() {
            let detail = "limits with `policy: shared` are counted by this server alone: a fleet shares \
                          them with --redis";
            log.tell(Level::Warn, "limits_not_shared", json!({"detail": detail}));
        }
        let kit = Kit {
            store: Arc::clone(store),
            log: log.clone(),
            access: access.clone(),
            tracer: tracer.clone(),
            fronts: Arc::clone(fronts),
            secret: secret.clone(),
            trust: trust.clone(),
            overrides: Arc::clone(overrides),
            dns: options.dns,
            counting,
        };
        let (dns, own) = (kit.dns, (kit.trust.clone(), Arc::clone(&kit.overrides)));
        let connector = move || Connector::new(own.0, own.1, Dns::new(dns));
        let checks = checks::start(Arc::clone(&kit.store), kit.log.clone(), connector);
        let (end, thread) = checks.map_err(StartError::System)?;
        self.server.threads.push(thread);
        self.server.checks = Some(end);
        Ok(kit)
    }

    /// Starts the threads that take traffic.
    fn finish(mut self) -> Result<Server, StartError> {
        let connections = self.with_metrics()?;
        let kit = self.prepare()?;
        let Self { mut server, listeners, options, certificate, .. } = self;
        let door = Door::new(&options, server.listen_addr.port(), certificate.is_some());
        let threads = options.workers_count();
        for (number, listener) in listeners.into_iter().enumerate() {
            let (kit, certificate) = (kit.clone(), certificate.clone());
            let mut limits = Limits::new(&options.clients, number, threads);
            limits.connections = connections.of_thread(number);
            let name = format!("splitway-{number}");
            server.spawn(name, listener, async move |listener, phases| {
                let effects = Arc::new(kit.effects());
                let host = Host::new(Traffic { effects, door }, limits, certificate);
                listen::serve(listener, phases, &kit.log, host).await;
            })?;
        }
        Ok(server)
    }

    /// What takes traffic from somebody else's listener.
    fn mount(mut self) -> Result<Mount, StartError> {
        // Whoever listens knows of the connections.
        let _ = self.with_metrics()?;
        let kit = self.prepare()?;
        Ok(Mount::new(kit, &self.options, self.server))
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
