//! The owner of the ledger: one command after the other, each durable before it is answered.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use http_body_util::{BodyExt, Limited};
use serde_json::json;
use splitway_core::access::{Access, Caller};
use splitway_core::checkup::{self, UpstreamHealth};
use splitway_core::coordinator::{Command, Coordinator, Done, Outcome, Refusal};
use splitway_core::fault::Report;
use splitway_core::ledger::Ledger;
use splitway_core::platform::Control;
use splitway_core::publish::next_look;
use splitway_core::seal::Secret;
use splitway_core::snapshot::Snapshot;
use splitway_core::status::{self, Scope, Status, Totals};
use splitway_core::storage::{Retention, Storage, StorageError};

use crate::platform::RequestHead;
use crate::store::Store;
use crate::telemetry::{self, Level, Log};

/// How long the body of a request to the Admin API may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// A ledger, wherever it is kept.
type Keeper = Box<dyn Storage + Send>;

/// A handle on the ledger's owner.
#[derive(Clone)]
pub(crate) struct Handle {
    owner: Arc<Mutex<Owner>>,
    /// Says that the time of an entry may have changed.
    times: mpsc::Sender<()>,
    /// What this server signs with.
    secret: Option<Secret>,
    /// What this server serves by.
    store: Arc<Store>,
}

/// Reads the ledger for the first time; as often as that fails.
pub(crate) type Begin = Box<
    dyn FnMut(&mut Report) -> Result<(Coordinator<Keeper>, Option<Snapshot>), StorageError> + Send,
>;

/// Is told of every ledger that is served.
pub(crate) type Served = Box<dyn FnMut(&Ledger) + Send>;

struct Owner {
    ledger: Held,
    store: Arc<Store>,
    served: Served,
    log: Log,
}

/// The ledger, once it was read.
enum Held {
    Open(Box<Coordinator<Keeper>>),
    /// How it is read, and why it could not be so far.
    Away(Begin, String),
}

/// For the thread that removes what has come to its time; it ends with the last [`Handle`].
pub(crate) struct Expiry {
    owner: Arc<Mutex<Owner>>,
    times: mpsc::Receiver<()>,
}

impl Handle {
    /// Takes the ledger over from the storage and publishes what it says.
    pub(crate) fn start(
        storage: Keeper,
        access: Access,
        retention: Retention,
        store: Arc<Store>,
        log: Log,
    ) -> Result<(Self, Expiry), StorageError> {
        let mut parts = Some((storage, access));
        let begin = move |report: &mut Report| {
            let gone = || StorageError::Unavailable("it could not be read".to_owned());
            let (storage, access) = parts.take().ok_or_else(gone)?;
            Coordinator::start(storage, access, retention, report)
        };
        let why = "it was not read yet".to_owned();
        let (handle, expiry) = Self::wait(Box::new(begin), why, store, Box::new(|_| ()), log);
        handle.catch_up(|| false)?;
        Ok((handle, expiry))
    }

    /// Waits with a ledger that is not read yet, for a reason: [`Self::catch_up`] tries to.
    pub(crate) fn wait(
        begin: Begin,
        why: String,
        store: Arc<Store>,
        served: Served,
        log: Log,
    ) -> (Self, Expiry) {
        let ledger = Held::Away(begin, why);
        let serving = Arc::clone(&store);
        let owner = Arc::new(Mutex::new(Owner { ledger, store, served, log }));
        let (times, changed) = mpsc::channel();
        let expiry = Expiry { owner: Arc::clone(&owner), times: changed };
        (Self { owner, times, secret: None, store: serving }, expiry)
    }

    /// The same, where requests are explained with what the server signs with.
    pub(crate) fn with_secret(self, secret: Option<Secret>) -> Self {
        Self { secret, ..self }
    }

    /// Takes over what the storage holds, and serves by it; unless that is known already when nobody
    /// else has the ledger.
    pub(crate) fn catch_up(&self, is_known: impl FnOnce() -> bool) -> Result<(), StorageError> {
        let mut owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        if self.owner.is_poisoned() {
            owner.recover()?;
            self.owner.clear_poison();
        } else if is_known() {
            return Ok(());
        } else {
            owner.catch_up()?;
        }
        // Nobody waits for times any more where that fails.
        let _ = self.times.send(());
        Ok(())
    }

    /// Notes whether the ledger of a fleet is there.
    #[cfg(feature = "etcd")]
    pub(crate) fn note_reach(&self, is_reached: bool) {
        self.store.note_reach(is_reached);
    }

    /// Has the owner do something, away from the threads that wait for the network.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Owner) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let owner = Arc::clone(&self.owner);
        let working = tokio::task::spawn_blocking(move || work(&mut *lock(&owner)?));
        let ended = || Refusal::Unavailable("the command ended half-way".to_owned());
        working.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// The owner, once nobody else has it. Where a panic left a command half-way, what is kept is sound,
/// and the ledger is taken over from there.
fn lock(owner: &Mutex<Owner>) -> Result<MutexGuard<'_, Owner>, Refusal> {
    owner.lock().or_else(|poisoned| {
        let mut guard = poisoned.into_inner();
        guard.recover().map_err(|error| {
            let fields = json!({"detail": error.to_string()});
            guard.log.tell(Level::Error, "configuration_not_read", fields);
            Refusal::from(error)
        })?;
        owner.clear_poison();
        Ok(guard)
    })
}

impl Owner {
    /// Takes over what the storage holds after a command ended half-way, which may have got as far as
    /// the ledger and no further, and serves by it.
    fn recover(&mut self) -> Result<(), StorageError> {
        self.catch_up()?;
        let mut report = Report::default();
        if let Held::Open(coordinator) = &self.ledger
            && let Some(snapshot) = coordinator.ledger().compile(&mut report)
        {
            self.serve_by(snapshot);
        }
        self.tell_faults(&report);
        Ok(())
    }

    /// Takes over what the storage holds by now, and serves by it if it is something else.
    fn catch_up(&mut self) -> Result<(), StorageError> {
        let mut report = Report::default();
        let (snapshot, is_first) = match &mut self.ledger {
            Held::Open(coordinator) => (coordinator.reload(&mut report)?, false),
            Held::Away(begin, why) => match begin(&mut report) {
                Ok((coordinator, snapshot)) => {
                    self.ledger = Held::Open(Box::new(coordinator));
                    (snapshot, true)
                }
                Err(error) => {
                    *why = error.to_string();
                    return Err(error);
                }
            },
        };
        self.tell_faults(&report);
        if let Some(snapshot) = snapshot {
            if !is_first {
                self.tell(&snapshot, "configuration_loaded", None);
            }
            self.serve_by(snapshot);
        }
        Ok(())
    }

    /// Has all requests from here on served by what the ledger says.
    fn serve_by(&mut self, snapshot: Snapshot) {
        self.store.publish(snapshot);
        if let Held::Open(coordinator) = &self.ledger {
            (self.served)(coordinator.ledger());
        }
    }

    fn tell(&self, snapshot: &Snapshot, event: &str, by: Option<&str>) {
        let mut fields = json!({
            "revision": snapshot.revision().as_str(),
            "routes": snapshot.routes_count(),
        });
        if let (Some(by), Some(fields)) = (by, fields.as_object_mut()) {
            fields.insert("by".to_owned(), by.into());
        }
        self.log.tell(Level::Info, event, fields);
    }

    /// The ledger, if it was read.
    fn coordinator(&mut self) -> Result<&mut Coordinator<Keeper>, Refusal> {
        match &mut self.ledger {
            Held::Open(coordinator) => Ok(coordinator),
            Held::Away(_, why) => Err(Refusal::Unavailable(why.clone())),
        }
    }

    fn handle(&mut self, command: Command, by: &str) -> Result<Done, Refusal> {
        let outcome = self.coordinator()?.handle(command, by, telemetry::now());
        self.publish(outcome, by)
    }

    /// Serves by what a command led to, then gives its answer.
    fn publish(&mut self, outcome: Outcome, by: &str) -> Result<Done, Refusal> {
        if let Some(snapshot) = outcome.snapshot {
            // What did nothing may have found what others did.
            let is_own = outcome.answer.is_ok();
            let event = if is_own { "configuration_written" } else { "configuration_loaded" };
            self.tell(&snapshot, event, is_own.then_some(by));
            self.serve_by(*snapshot);
        }
        if let Err(Refusal::Full(detail) | Refusal::Unavailable(detail)) = &outcome.answer {
            let fields = json!({"by": by, "detail": detail});
            self.store.note_failure();
            self.log.tell(Level::Error, "configuration_not_written", fields);
        }
        outcome.answer
    }
}

impl Expiry {
    /// Removes what has come to its time, until all handles are gone.
    pub(crate) fn watch(self) {
        /// After a failure, and where a clock was set.
        const AGAIN: Duration = Duration::from_secs(60);
        let mut wait = Duration::ZERO;
        loop {
            match self.times.recv_timeout(wait) {
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            }
            let Ok(mut owner) = lock(&self.owner) else {
                wait = AGAIN;
                continue;
            };
            let Ok(coordinator) = owner.coordinator() else {
                wait = AGAIN;
                continue;
            };
            let now = telemetry::now();
            if coordinator.ledger().next_expiry().is_some_and(|at| at <= now) {
                let outcome = coordinator.expire(now);
                // Why it failed is in the log.
                let _ = owner.publish(outcome, "ttl");
            }
            let next = owner.coordinator().ok().and_then(|it| it.ledger().next_expiry());
            let look = next_look(None, next, now);
            wait = look.map_or(AGAIN, |at| at.since(now).min(AGAIN));
        }
    }
}
impl Owner {
    /// Tells what hinders a configuration from being served.
    fn tell_faults(&self, report: &Report) {
        if !report.faults.is_empty() {
            self.store.note_failure();
        }
        for fault in &report.faults {
            let fields = json!({"pointer": fault.at, "detail": fault.what});
            self.log.tell(Level::Error, "configuration_fault", fields);
        }
    }
}

impl Control for Handle {
    type Head = RequestHead;
    type Body = Body;

    fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    fn health(&self) -> Option<Vec<UpstreamHealth>> {
        let snapshot = self.store.snapshot();
        // Where nothing is served there are no nodes.
        Some(snapshot.map(|it| checkup::health(&it, telemetry::now())).unwrap_or_default())
    }

    async fn status(&self) -> Option<Status> {
        let snapshot = self.store.snapshot()?;
        let totals = Totals::of_snapshot(&snapshot);
        Some(status::status(&snapshot, &totals, Scope::Process, telemetry::now()))
    }

    async fn buffer(&self, body: Body, limit: usize) -> Option<Vec<u8>> {
        let whole = Limited::new(body, limit).collect();
        let whole = tokio::time::timeout(BODY_TIMEOUT, whole).await.ok()?.ok()?;
        Some(whole.to_bytes().into())
    }

    async fn admit(&self, caller: Caller) -> Result<Box<str>, Refusal> {
        self.with(move |owner| owner.coordinator()?.admit(&caller, telemetry::now())).await
    }

    async fn coordinate(&self, command: Command, by: Box<str>) -> Result<Done, Refusal> {
        let done = self.with(move |owner| owner.handle(command, &by)).await;
        // The thread that waits for the next time ends only with this handle.
        let _ = self.times.send(());
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Database;
    use splitway_core::access::KeyHash;
    use splitway_core::coordinator::Terms;
    use splitway_core::id::Id;
    use splitway_core::kind::Kind;
    use splitway_core::sql::SqlStorage;
    use tempfile::TempDir;

    fn handle(dir: &TempDir, store: &Arc<Store>) -> (Handle, Expiry) {
        let database = Database::open(&dir.path().join("splitway.db")).expect("a database");
        let storage = Box::new(SqlStorage::open(database, "test").expect("tables"));
        let (log, _writer) = Log::start(std::io::sink()).expect("a thread");
        let access = Access::new(KeyHash::of("key"), Vec::new());
        Handle::start(storage, access, Retention::default(), Arc::clone(store), log)
            .expect("a ledger")
    }

    fn put(owner: &mut Owner, name: &str) -> Result<Done, Refusal> {
        let value = json!({"uri": "/r", "upstream": {"nodes": {"127.0.0.1:80": 1}}});
        let value = value.as_object().expect("an object").clone();
        owner.handle(Command::Write(Kind::Route, Id::parse(name), value, Terms::default()), "admin")
    }

    #[test]
    fn a_panic_half_way_is_not_the_end() {
        let (dir, store) = (TempDir::new().expect("a directory"), Arc::default());
        let (handle, _expiry) = handle(&dir, &store);
        let other = handle.clone();
        let panicked = std::thread::spawn(move || {
            let mut owner = lock(&other.owner).expect("sound");
            put(&mut owner, "a").expect("written");
            panic!("half-way");
        });
        assert!(panicked.join().is_err());

        let mut owner = lock(&handle.owner).expect("restored");
        assert!(put(&mut owner, "b").is_ok());
        drop(owner);
        assert!(!handle.owner.is_poisoned());
        let revision = store.snapshot().map(|snapshot| snapshot.revision().to_string());
        assert_eq!(revision.as_deref(), Some("2"));
    }

    /// What was on disk already was not served until the next change.
    #[test]
    fn what_a_panic_kept_from_serving_serves_after_it() {
        let (dir, store) = (TempDir::new().expect("a directory"), Arc::default());
        let (handle, _expiry) = handle(&dir, &store);
        let other = handle.clone();
        let panicked = std::thread::spawn(move || {
            let mut owner = lock(&other.owner).expect("sound");
            // As `handle` does, up to where the snapshot would be published.
            let value = json!({"uri": "/r", "upstream": {"nodes": {"127.0.0.1:80": 1}}});
            let value = value.as_object().expect("an object").clone();
            let command = Command::Write(Kind::Route, Id::parse("a"), value, Terms::default());
            let outcome =
                owner.coordinator().expect("read").handle(command, "admin", telemetry::now());
            assert!(outcome.snapshot.is_some());
            panic!("half-way");
        });
        assert!(panicked.join().is_err());
        drop(lock(&handle.owner).expect("restored"));
        let revision = store.snapshot().map(|snapshot| snapshot.revision().to_string());
        assert_eq!(revision.as_deref(), Some("1"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let (dir, store) = (TempDir::new().expect("a directory"), Arc::default());
        let (handle, _expiry) = handle(&dir, &store);
        let (_sender, pending) = http_body_util::channel::Channel::<bytes::Bytes>::new(1);
        let started = tokio::time::Instant::now();
        assert_eq!(handle.buffer(Body::new(pending), 10).await, None);
        assert_eq!(started.elapsed(), BODY_TIMEOUT);
    }
}
