//! The owner of the ledger: one command after the other, each durable before it is answered.

use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Body;
use http_body_util::{BodyExt, Limited};
use serde_json::json;
use splitway_core::coordinator::{Change, Command, Done, Ledger, Refusal, Verdict};
use splitway_core::fault::Report;
use splitway_core::platform::Control;
use splitway_core::snapshot::Snapshot;

use crate::database::{Database, DatabaseError};
use crate::platform::RequestHead;
use crate::store::Store;
use crate::telemetry::{self, Level, Log};

/// A handle on the ledger's owner.
#[derive(Clone, Debug)]
pub(crate) struct Coordinator {
    owner: Arc<Mutex<Owner>>,
}

#[derive(Debug)]
struct Owner {
    ledger: Ledger,
    database: Database,
    store: Arc<Store>,
    log: Log,
}

impl Coordinator {
    /// Takes the ledger over from the database and publishes what it says.
    pub(crate) fn start(
        database: Database,
        store: Arc<Store>,
        log: Log,
    ) -> Result<Self, DatabaseError> {
        let mut owner = Owner { ledger: Ledger::default(), database, store, log };
        owner.restore()?;
        Ok(Self { owner: Arc::new(Mutex::new(owner)) })
    }

    /// The owner, once nobody else has it. Where a panic left a command half-way, what is on disk is
    /// sound, and the ledger is taken over from there.
    fn lock(&self) -> Result<MutexGuard<'_, Owner>, Refusal> {
        self.owner.lock().or_else(|poisoned| {
            let mut owner = poisoned.into_inner();
            if let Err(error) = owner.restore() {
                let fields = json!({"detail": error.to_string()});
                owner.log.tell(Level::Error, "configuration_not_read", fields);
                return Err(Refusal::Unavailable);
            }
            self.owner.clear_poison();
            Ok(owner)
        })
    }
}

impl Owner {
    /// Takes the ledger over from the database and publishes what it says.
    fn restore(&mut self) -> Result<(), DatabaseError> {
        self.ledger = self.database.load()?;
        let mut report = Report::default();
        match self.ledger.compile(&mut report) {
            Some(snapshot) => self.store.publish(snapshot),
            // It compiled when it was written, by an earlier version. The Admin API must start all
            // the same: it is where this is put right.
            None => report.faults.iter().for_each(|fault| {
                let fields = json!({"pointer": fault.at, "detail": fault.what});
                self.log.tell(Level::Error, "configuration_fault", fields);
            }),
        }
        Ok(())
    }

    fn handle(&mut self, command: Command) -> Result<Done, Refusal> {
        match self.ledger.handle(command, telemetry::now())? {
            Verdict::Answer(done) => Ok(done),
            Verdict::Commit(change, snapshot, done) => {
                self.commit(*change, *snapshot)?;
                Ok(done)
            }
        }
    }

    fn commit(&mut self, change: Change, snapshot: Snapshot) -> Result<(), Refusal> {
        if let Err(error) = self.database.commit(&change) {
            let fields = json!({"detail": error.to_string(), "revision": change.revision});
            self.log.tell(Level::Error, "configuration_not_written", fields);
            return Err(Refusal::Unavailable);
        }
        let fields = json!({
            "kind": change.kind.singular(),
            "id": change.id.as_str(),
            "revision": snapshot.revision().as_str(),
            "routes": snapshot.routes_count(),
        });
        self.ledger.apply(change);
        self.store.publish(snapshot);
        self.log.tell(Level::Info, "configuration_written", fields);
        Ok(())
    }
}

impl Control for Coordinator {
    type Head = RequestHead;
    type Body = Body;

    async fn buffer(&self, body: Body, limit: usize) -> Option<Vec<u8>> {
        let whole = Limited::new(body, limit).collect().await.ok()?;
        Some(whole.to_bytes().into())
    }

    async fn coordinate(&self, command: Command) -> Result<Done, Refusal> {
        let coordinator = self.clone();
        let handled = tokio::task::spawn_blocking(move || {
            let mut owner = coordinator.lock()?;
            owner.handle(command)
        });
        handled.await.unwrap_or(Err(Refusal::Unavailable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use splitway_core::id::Id;
    use splitway_core::kind::Kind;

    fn put(owner: &mut Owner, name: &str) -> Result<Done, Refusal> {
        let value = json!({"uri": "/r", "upstream": {"nodes": {"127.0.0.1:80": 1}}});
        let value = value.as_object().expect("an object").clone();
        owner.handle(Command::Put(Kind::Route, Id::parse(name).expect("an id"), value))
    }

    #[test]
    fn a_panic_half_way_is_not_the_end() {
        let dir = tempfile::TempDir::new().expect("a directory");
        let database = Database::open(&dir.path().join("splitway.db")).expect("a database");
        let store = Arc::<Store>::default();
        let (log, _writer) = Log::start(std::io::sink(), false).expect("a thread");
        let coordinator = Coordinator::start(database, Arc::clone(&store), log).expect("a ledger");
        let other = coordinator.clone();
        let panicked = std::thread::spawn(move || {
            let mut owner = other.lock().expect("sound");
            put(&mut owner, "a").expect("written");
            // As if the change were durable and no more.
            owner.ledger = Ledger::default();
            panic!("half-way");
        });
        assert!(panicked.join().is_err());

        let mut owner = coordinator.lock().expect("restored");
        assert!(put(&mut owner, "b").is_ok());
        drop(owner);
        assert!(!coordinator.owner.is_poisoned());
        let revision = store.snapshot().map(|snapshot| snapshot.revision().to_string());
        assert_eq!(revision.as_deref(), Some("2"));
    }
}
