//! The way to etcd: a runtime of its own for a client that is asynchronous, and callers that wait.
//!
//! Every request has a time limit, and one that fails on its way is made again: reads change nothing,
//! and every write is such that the second of two does nothing. The client connects when it is first
//! needed and again after a loss, then to the next member; with a user it asks for a token before.

use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use etcd_client::{Error, GetOptions, GetResponse, Txn, TxnResponse, WatchStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::client::{Clients, Door};
use super::failure::LinkError;
use crate::fleet::FleetError;

/// How long to wait before a request is made again, once every member was tried.
const WAITS: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(200)];

const ENDS: &str = "the server ends";

/// The way to one etcd.
#[derive(Debug)]
pub(crate) struct Link {
    /// There until the link is dropped.
    runtime: Option<Runtime>,
    door: Arc<Door>,
    limit: Duration,
    /// Closed when the server ends, and with it all that waits for etcd.
    ended: watch::Receiver<()>,
    /// The revision of etcd at which the head was last read or written by us.
    seen: AtomicI64,
}

impl Link {
    /// Makes a way on which a request takes at most `limit`; nothing is sent yet. Dropping the sender
    /// of `ended` ends whatever waits.
    pub(crate) fn new(
        door: Door,
        limit: Duration,
        ended: watch::Receiver<()>,
    ) -> Result<Self, FleetError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("splitway-etcd")
            .enable_all()
            .build()
            .map_err(FleetError::System)?;
        let (runtime, door) = (Some(runtime), Arc::new(door));
        Ok(Self { runtime, door, limit, ended, seen: AtomicI64::new(0) })
    }

    /// Does a transaction; making it twice must be as making it once.
    pub(crate) fn transact(&self, txn: Txn) -> Result<TxnResponse, LinkError> {
        self.call(move |mut clients| {
            let txn = txn.clone();
            async move { clients.kv.txn(txn).await }
        })
    }

    /// Reads keys and values.
    pub(crate) fn get(&self, key: String, options: GetOptions) -> Result<GetResponse, LinkError> {
        self.call(move |mut clients| {
            let (key, options) = (key.clone(), options.clone());
            async move { clients.kv.get(key, Some(options)).await }
        })
    }

    /// Watches a key from now on; when this returns, nothing is missed any more.
    pub(crate) fn watch(&self, key: String) -> Result<WatchStream, LinkError> {
        self.call(move |mut clients| {
            let key = key.clone();
            async move {
                let mut stream = clients.all.watch(key, None).await?;
                match stream.message().await? {
                    Some(first) if first.created() && !first.canceled() => Ok(stream),
                    Some(first) => Err(Error::WatchError(first.cancel_reason().to_owned())),
                    None => Err(Error::WatchError("it ended at once".to_owned())),
                }
            }
        })
    }

    /// Waits for the next change that a watch tells of, as long as it takes: at which revision of
    /// etcd it was made. A failure ends the watch. Not for threads that run a runtime.
    pub(crate) fn next_change(&self, stream: &mut WatchStream) -> Result<i64, LinkError> {
        let mut ended = self.ended.clone();
        let Some(runtime) = &self.runtime else { return Err(LinkError::Away(ENDS.to_owned())) };
        runtime.block_on(async {
            tokio::select! {
                told = next_event(stream) => told,
                _ = ended.changed() => Err(LinkError::Away(ENDS.to_owned())),
            }
        })
    }

    /// Waits, and says whether the server goes on. Not for threads that run a runtime.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let mut ended = self.ended.clone();
        let Some(runtime) = &self.runtime else { return false };
        runtime.block_on(async { timeout(time, ended.changed()).await.is_err() })
    }

    /// Notes that the head is known as of this revision of etcd, which may be an earlier one where etcd
    /// was set back.
    pub(crate) fn saw(&self, revision: i64) {
        self.seen.store(revision, Ordering::Release);
    }

    /// Whether the head is known as of this revision of etcd.
    pub(crate) fn has_seen(&self, revision: i64) -> bool {
        self.seen.load(Ordering::Acquire) >= revision
    }

    /// Has the client do something, and waits for it: for any thread, also one that runs a runtime.
    fn call<T, F>(&self, job: impl Fn(Clients) -> F + Send + Sync + 'static) -> Result<T, LinkError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let (door, limit, mut ended) = (Arc::clone(&self.door), self.limit, self.ended.clone());
        let (send, done) = mpsc::sync_channel(1);
        let task = async move {
            let turn = door.turn();
            let outcome = tokio::select! {
                outcome = timeout(limit, persist(&door, job)) => outcome.unwrap_or_else(|_| {
                    door.turn_from(turn);
                    Err(LinkError::Away(format!("no answer in {} s", limit.as_secs())))
                }),
                _ = ended.changed() => Err(LinkError::Away(ENDS.to_owned())),
            };
            // Whoever asked waits for it.
            let _ = send.send(outcome);
        };
        let gone = || LinkError::Away(ENDS.to_owned());
        self.runtime.as_ref().ok_or_else(gone)?.spawn(task);
        done.recv().unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // To wait for a runtime is forbidden where another one runs, which may be here.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Does a job, again where it failed on its way.
async fn persist<T, F>(door: &Door, job: impl Fn(Clients) -> F) -> Result<T, LinkError>
where
    F: Future<Output = Result<T, Error>>,
{
    // The other members are tried at once.
    let others = door.members_count().saturating_sub(1);
    let mut waits = std::iter::repeat_n(Duration::ZERO, others).chain(WAITS);
    loop {
        let turn = door.turn();
        let done = match door.clients(turn).await {
            Ok(clients) => job(clients).await,
            Err(error) => Err(error),
        };
        let outcome = done.map_err(|error| LinkError::of(&error));
        let is_away = matches!(outcome, Err(LinkError::Away(_)));
        if is_away {
            door.turn_from(turn);
        }
        match waits.next() {
            Some(wait) if is_away => sleep(wait).await,
            Some(_) | None => return outcome,
        }
    }
}

/// The revision of etcd of the next change.
async fn next_event(stream: &mut WatchStream) -> Result<i64, LinkError> {
    loop {
        let message = stream.message().await.map_err(|error| LinkError::of(&error))?;
        let Some(message) = message else {
            return Err(LinkError::Away("the watch ended".to_owned()));
        };
        if message.canceled() {
            return Err(LinkError::Away(format!("the watch ended: {}", message.cancel_reason())));
        }
        let events = message.events().iter();
        let revisions =
            events.filter_map(|event| event.kv().map(etcd_client::KeyValue::mod_revision));
        if let Some(revision) = revisions.max() {
            return Ok(revision);
        }
    }
}
