//! What takes traffic, what shows how that goes, and what goes on beside it.

use std::sync::{Arc, mpsc};
use std::thread::Builder;

use serde_json::json;
use splitway_core::survey;

use super::{Start, bind};
use crate::checks;
use crate::connect::Connector;
use crate::door::Door;
use crate::kit::Kit;
use crate::limiter::Counting;
use crate::listen::{self, AllConnections, Host, Limits};
use crate::metrics::{self, Metrics, MetricsListen};
use crate::mount::Mount;
use crate::reply::Traffic;
use crate::resolve::Dns;
use crate::server::{Server, StartError};
use crate::telemetry::Level;

impl Start {
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
    pub(in crate::server) fn finish(mut self) -> Result<Server, StartError> {
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
    pub(in crate::server) fn mount(mut self) -> Result<Mount, StartError> {
        // Whoever listens knows of the connections.
        let _ = self.with_metrics()?;
        let kit = self.prepare()?;
        Ok(Mount::new(kit, &self.options, self.server))
    }
}
