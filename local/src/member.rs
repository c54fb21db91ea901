//! How a server becomes one of a fleet: with the ledger in etcd, or with the last good configuration
//! until etcd is there.

use std::path::Path;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use serde_json::json;
use splitway_core::access::{Access, KeyHash};
use splitway_core::coordinator::Coordinator;
use splitway_core::document;
use splitway_core::fault::Report;
use splitway_core::ledger::Ledger;
use splitway_core::snapshot::Snapshot;
use splitway_core::storage::StorageError;
use tokio::sync::watch;

use crate::coordinator::{Begin, Expiry, Handle};
use crate::etcd::watch::Watch;
use crate::etcd::{Door, EtcdStorage, Link, LinkError};
use crate::fleet::{FleetError, Footing, StoreAddress};
use crate::last_good;
use crate::options::ServeOptions;
use crate::store::Store;
use crate::telemetry::{Level, Log};

/// A server in its fleet.
pub(crate) struct Member {
    pub(crate) handle: Handle,
    pub(crate) expiry: Expiry,
    /// They end with `end`.
    pub(crate) threads: Vec<JoinHandle<()>>,
    /// Dropping it ends everything that waits for etcd.
    pub(crate) end: watch::Sender<()>,
    pub(crate) footing: Footing,
}

/// Reads the ledger of the fleet, if etcd is there, and goes on following it. What etcd says no to at
/// the start is not tried again: somebody has to put it right.
pub(crate) fn join(
    address: &StoreAddress,
    own: KeyHash,
    options: &ServeOptions,
    store: Arc<Store>,
    log: Log,
) -> Result<Member, FleetError> {
    let (end, ended) = watch::channel(());
    let timeout = options.store.timeout();
    let link = Arc::new(Link::new(Door::new(&options.store)?, timeout, ended)?);
    let begin = begin(&link, address, own, options, &log);
    let path = last_good::path(&options.data_dir);
    let (documents, keeping) =
        last_good::keep(path.clone(), log.clone()).map_err(FleetError::System)?;
    let served = move |ledger: &Ledger| {
        // It is gone when the server ends.
        let _ = documents.send(document::published(ledger));
    };
    let storage = EtcdStorage::new(Arc::clone(&link), address.prefix(), log.clone());
    let away = match storage.knock() {
        Ok(()) => None,
        Err(LinkError::Denied(why)) => return Err(FleetError::Denied(why)),
        Err(LinkError::Refused(why)) => return Err(FleetError::Refused(why)),
        Err(other) => Some(StorageError::from(other).to_string()),
    };
    let why = away.clone().unwrap_or_default();
    let (served, serving) = (Box::new(served), Arc::clone(&store));
    let (handle, expiry) = Handle::wait(begin, why, serving, served, log.clone());
    let away = if away.is_none() { read(&handle)? } else { away };
    let footing = match store.snapshot() {
        Some(_) => Footing::Ledger,
        None => fall_back(away, &path, &store, &log),
    };
    let watch = Watch {
        link,
        prefix: address.prefix().to_owned(),
        handle: handle.clone(),
        log,
        is_reached: footing == Footing::Ledger,
    };
    let watching = Builder::new().name("splitway-watch".to_owned());
    let watching = watching.spawn(move || watch.run()).map_err(FleetError::System)?;
    Ok(Member { handle, expiry, threads: vec![watching, keeping], end, footing })
}

/// What reads the ledger for the first time.
fn begin(
    link: &Arc<Link>,
    address: &StoreAddress,
    own: KeyHash,
    options: &ServeOptions,
    log: &Log,
) -> Begin {
    let (link, log, prefix) = (Arc::clone(link), log.clone(), address.prefix().to_owned());
    let (networks, retention) = (options.admin_networks(), options.retention());
    Box::new(move |report: &mut Report| {
        let storage = EtcdStorage::new(Arc::clone(&link), &prefix, log.clone());
        let access = Access::new(own, networks.clone());
        Coordinator::start(Box::new(storage), access, retention, report)
    })
}

/// Reads the ledger; why not, if that may pass.
fn read(handle: &Handle) -> Result<Option<String>, FleetError> {
    match handle.catch_up(|| false) {
        Ok(()) => Ok(None),
        Err(passing @ (StorageError::Unavailable(_) | StorageError::Conflict)) => {
            Ok(Some(passing.to_string()))
        }
        Err(
            other @ (StorageError::Newer { .. }
            | StorageError::Unreadable(_)
            | StorageError::Full(_)),
        ) => Err(FleetError::Storage(other)),
    }
}

/// Serves by what is on disk, because the ledger cannot be read or has faults.
fn fall_back(away: Option<String>, path: &Path, store: &Store, log: &Log) -> Footing {
    let why = away.unwrap_or_else(|| "the configuration in etcd has faults".to_owned());
    match last_good(path, log) {
        Some(snapshot) => {
            let revision = snapshot.revision().clone();
            let file = path.display().to_string();
            let fields = json!({"file": file, "revision": revision.as_str(), "detail": why});
            log.tell(Level::Warn, "configuration_last_good", fields);
            store.publish(snapshot);
            Footing::LastGood(revision, why)
        }
        None => {
            log.tell(Level::Error, "configuration_missing", json!({"detail": why}));
            Footing::Nothing(why)
        }
    }
}

/// What is on disk, if it can be served by.
fn last_good(path: &Path, log: &Log) -> Option<Snapshot> {
    let why = match last_good::load(path) {
        Ok(Some(Ok(snapshot))) => return Some(snapshot),
        Ok(None) => return None,
        Ok(Some(Err(defect))) => defect.to_string(),
        Err(error) => error.to_string(),
    };
    let fields = json!({"file": path.display().to_string(), "detail": why});
    log.tell(Level::Error, "configuration_unreadable", fields);
    None
}
