//! Active health checks: probes of the nodes of checked upstreams, by a thread of their own.
//!
//! When which node is due, and what a result means for it, is decided by the core
//! ([`splitway_core::checks`]). The `rounds` follow the snapshot that is served, keep to their schedules
//! and tell of nodes that go down or come up; a `probe` is one question to one node.

mod probe;
mod rounds;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;

use self::probe::Prober;
use self::rounds::Rounds;
use crate::connect::Connector;
use crate::store::Store;
use crate::telemetry::Log;
use crate::thread;

/// How many probes are under way at once, at most, whatever upstreams say: each is a connection.
const PROBES_MAX: usize = 256;

/// Starts the thread that probes nodes; dropping what comes with it ends it at once. The connector
/// belongs to the runtime of the thread, where it is made.
pub(crate) fn start(
    store: Arc<Store>,
    log: Log,
    connector: impl FnOnce() -> Connector + Send + 'static,
) -> io::Result<(watch::Sender<()>, JoinHandle<()>)> {
    let (end, mut ended) = watch::channel(());
    let thread = thread::start("splitway-checks", async move |started| {
        started.tell(Ok(()));
        let prober = Arc::new(Prober::new(connector()));
        let probe = move |upstream, node| {
            let prober = Arc::clone(&prober);
            async move { prober.probe(upstream, node).await }
        };
        let rounds = Rounds::new(store, log, PROBES_MAX, probe);
        tokio::select! {
            never = rounds.run() => match never {},
            // The sender is gone; nothing is ever sent.
            _ = ended.changed() => {}
        }
    })?;
    Ok((end, thread))
}
