//! The owner of the ledger: one command after the other, each durable before it is answered.

use std::sync::{Arc, Mutex};

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
        let ledger = database.load()?;
        let mut report = Report::default();
        match ledger.compile(&mut report) {
            Some(snapshot) => store.publish(snapshot),
            // It compiled when it was written, by an earlier version. The Admin API must start all
            // the same: it is where this is put right.
            None => report.faults.iter().for_each(|fault| {
                let fields = json!({"pointer": fault.at, "detail": fault.what});
                log.tell(Level::Error, "configuration_fault", fields);
            }),
        }
        let owner = Owner { ledger, database, store, log };
        Ok(Self { owner: Arc::new(Mutex::new(owner)) })
    }
}

impl Owner {
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
        let owner = Arc::clone(&self.owner);
        let handled = tokio::task::spawn_blocking(move || {
            // A lock is poisoned by a panic half-way; what is on disk is sound and a restart reads it.
            let mut owner = owner.lock().map_err(|_| Refusal::Unavailable)?;
            owner.handle(command)
        });
        handled.await.unwrap_or(Err(Refusal::Unavailable))
    }
}
