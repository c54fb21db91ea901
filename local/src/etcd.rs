//! The ledger in etcd, for a fleet of servers: a log of changes, and now and then the whole.
//!
//! A change is real when one transaction has put it into the log and moved `head` on, which it does
//! only if nobody else has moved it since it was read. So of two writers one wins, and the other
//! takes the winner's change over and decides anew. [`keys`] says what stands where.
//!
//! A small change is one round trip. One that does not fit into a transaction (128 operations and
//! 1.5 MiB by default) is first written in parts that nobody reads until the transaction names them.

mod client;
mod failure;
mod keys;
mod link;
mod pages;
mod record;
mod tidy;
pub(crate) mod watch;

use std::sync::Arc;

use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse};
use splitway_core::ledger::{Change, Ledger};
use splitway_core::storage::{Before, Retention, Storage, StorageError, Summary};

use crate::key::random_hex;
use crate::telemetry::Log;
use keys::Keys;
use record::{Base, Head, Step};

pub(crate) use client::Door;
pub(crate) use failure::LinkError;
pub(crate) use link::Link;

/// The most bytes of a change that stands in the log itself, so that a page of the log is small.
const INLINE_MAX: usize = 16 * 1024;

/// The most bytes of parts that go into the transaction of their change; the rest of what etcd takes
/// in one (1.5 MiB) is for the log and for names.
const TOGETHER_MAX: usize = 1024 * 1024;

/// How often a ledger is read anew because etcd let go of what was being read, or because somebody
/// else made it at the same time.
const READS_MAX: usize = 5;

/// A ledger in etcd.
pub(crate) struct EtcdStorage {
    link: Arc<Link>,
    keys: Keys,
    log: Log,
    known: Option<Known>,
}

/// The ledger as it was read or written last.
struct Known {
    ledger: Ledger,
    head: Head,
    /// The revision of etcd at which `head` was written.
    head_at: i64,
    /// From where the log would be read by whoever knows nothing.
    base_revision: u64,
    /// The bytes of the log since then.
    log_bytes: usize,
}

/// `head`, `base` and the first page of the log, as they were at one moment.
struct View {
    head: Option<(Head, i64)>,
    base: Option<Base>,
    steps: Vec<(u64, Step, usize)>,
    /// The revision of etcd at that moment.
    at: i64,
}

impl EtcdStorage {
    /// A ledger under a prefix; nothing is read yet.
    pub(crate) fn new(link: Arc<Link>, prefix: &str, log: Log) -> Self {
        Self { link, keys: Keys::under(prefix), log, known: None }
    }

    /// Whether etcd answers, and lets us read.
    pub(crate) fn knock(&self) -> Result<(), LinkError> {
        self.link.get(self.keys.head(), GetOptions::new()).map(drop)
    }

    /// Looks at everything that says which revision is current, from a revision on, at one moment.
    fn view(&self, from: u64) -> Result<View, LoadError> {
        let log = pages::options().with_range(self.keys.log_end());
        let txn = Txn::new().and_then([
            TxnOp::get(self.keys.head(), None),
            TxnOp::get(self.keys.base(), None),
            TxnOp::get(self.keys.log(from), Some(log)),
        ]);
        let response = self.link.transact(txn)?;
        let at = response.header().map_or(0, etcd_client::ResponseHeader::revision);
        let mut answers = response.op_responses().into_iter().map(values);
        let mut next = || answers.next().unwrap_or_default();
        let (head, base, log) = (next(), next(), next());
        let head = head.first().map(|kv| Ok((Head::read(kv.value())?, kv.mod_revision())));
        let base = base.first().map(|kv| record::read_base(kv.value()));
        Ok(View {
            head: head.transpose().map_err(LoadError::Storage)?,
            base: base.transpose().map_err(LoadError::Storage)?,
            steps: self.steps_of(&log)?,
            at,
        })
    }

    /// Writes the head of a new ledger, unless somebody else was faster.
    fn make(&self) -> Result<(), LoadError> {
        let head = Head::of(&Ledger::new(&random_id()?), "");
        let is_absent = Compare::create_revision(self.keys.head(), CompareOp::Equal, 0);
        let put = TxnOp::put(self.keys.head(), record::write(&head), None);
        self.link.transact(Txn::new().when([is_absent]).and_then([put]))?;
        Ok(())
    }

    /// Takes over what is new since it was last read, or everything.
    fn refresh(&mut self) -> Result<(), LoadError> {
        let from = self.known.as_ref().map_or(0, |known| known.head.revision);
        let view = self.view(from)?;
        let Some((head, head_at)) = view.head.clone() else {
            self.make()?;
            return Err(LoadError::Again);
        };
        let known = match self.known.take().filter(|known| known.leads_to(&view)) {
            Some(known) => known,
            None => self.base(&view, &head)?,
        };
        let known = self.follow(known, view, head)?;
        self.link.saw(head_at);
        self.known = Some(Known { head_at, ..known });
        Ok(())
    }

    /// The ledger from where the log must be read.
    fn base(&self, view: &View, head: &Head) -> Result<Known, LoadError> {
        let base = view.base.as_ref().filter(|base| base.name == head.name);
        let (ledger, revision) = match base {
            Some(base) => {
                let parts = self.keys.bases(base.revision, &base.id);
                let text = self.parts(&parts, base.parts, view.at)?;
                (record::read_ledger(&base.name, base.revision, &text)?, base.revision)
            }
            None => (Ledger::new(&head.name), 0),
        };
        let head = Head::of(&ledger, "");
        Ok(Known { ledger, head, head_at: 0, base_revision: revision, log_bytes: 0 })
    }

    /// Applies the log to `known` up to `head`.
    fn follow(&self, mut known: Known, view: View, head: Head) -> Result<Known, LoadError> {
        let from = known.ledger.revision() + 1;
        let mut steps = view.steps;
        steps.retain(|(revision, ..)| (from..=head.revision).contains(revision));
        loop {
            for (revision, step, bytes) in std::mem::take(&mut steps) {
                if revision != known.ledger.revision() + 1 {
                    break;
                }
                let change = self.change(revision, step, view.at)?;
                known.ledger.apply(&change);
                known.log_bytes += bytes;
            }
            let next = known.ledger.revision() + 1;
            if next > head.revision {
                break;
            }
            steps = self.steps(next, head.revision + 1, view.at)?;
            if steps.first().is_none_or(|(revision, ..)| *revision != next) {
                let what = format!("the change of revision {next} is missing");
                return Err(StorageError::Unreadable(what).into());
            }
        }
        Ok(Known { head, ..known })
    }

    /// Has `change` in the log and `head` moved on, in one transaction.
    fn write(&mut self, change: &Change) -> Result<(), StorageError> {
        // Where what is known was lost half-way, it is read anew as after a conflict.
        let known = self.known.as_ref().filter(|known| change.revision == known.head.revision + 1);
        let known = known.ok_or(StorageError::Conflict)?;
        let id = random_id()?;
        let head = known.head.after(change, &id);
        let (step, text) = Step::of(change, id.clone(), INLINE_MAX);
        let parts = self.keys.parts(change.revision, &id);
        let step = record::write(&step);
        let bytes = step.len() + text.len();
        let mut writes = vec![
            TxnOp::put(self.keys.head(), record::write(&head), None),
            TxnOp::put(self.keys.log(change.revision), step, None),
        ];
        if text.len() <= TOGETHER_MAX {
            writes.extend(pages::puts(&parts, &text));
        } else {
            self.put_parts(&parts, &text)?;
        }
        match self.step(change.revision, &id, known.head_at, writes) {
            Ok(Some(head_at)) => {
                self.link.saw(head_at);
                if let Some(known) = &mut self.known {
                    known.ledger.apply(change);
                    known.log_bytes += bytes;
                    (known.head, known.head_at) = (head, head_at);
                }
                Ok(())
            }
            Ok(None) => {
                self.drop_parts(&parts, &text);
                Err(StorageError::Conflict)
            }
            Err(error) => Err(error),
        }
    }

    /// The transaction of a change: at which revision of etcd it was made, unless somebody else was
    /// faster.
    fn step(
        &self,
        revision: u64,
        id: &str,
        head_at: i64,
        writes: Vec<TxnOp>,
    ) -> Result<Option<i64>, StorageError> {
        let is_same = Compare::mod_revision(self.keys.head(), CompareOp::Equal, head_at);
        let look = TxnOp::get(self.keys.log(revision), None);
        let txn = Txn::new().when([is_same]).and_then(writes).or_else([look]);
        let response = self.link.transact(txn).map_err(|error| {
            if let LinkError::Away(why) = error {
                let why = format!("{why}; if the change was made, it will show");
                return StorageError::from(LinkError::Away(why));
            }
            error.into()
        })?;
        if response.succeeded() {
            return Ok(response.header().map(etcd_client::ResponseHeader::revision));
        }
        // An earlier try may have been made and its answer lost.
        let found = response.op_responses().into_iter().flat_map(values).next();
        let Some(found) = found else { return Ok(None) };
        let is_own = Step::read(found.value())?.id == id;
        Ok(is_own.then(|| found.mod_revision()))
    }
}

impl Known {
    /// Whether what is known is where the log of this view comes from: not if etcd was set back or
    /// emptied meanwhile, or has let go of the change that is known last.
    fn leads_to(&self, view: &View) -> bool {
        let Some((head, _)) = &view.head else { return false };
        let last = view.steps.iter().find(|(revision, ..)| *revision == self.head.revision);
        let is_last = match last {
            Some((_, step, _)) => step.id == self.head.id,
            None => self.head.revision == 0,
        };
        self.head.name == head.name && self.head.revision <= head.revision && is_last
    }
}

impl Storage for EtcdStorage {
    fn load(&mut self) -> Result<Ledger, StorageError> {
        for _ in 0..READS_MAX {
            match self.refresh() {
                Ok(()) => break,
                Err(LoadError::Again) => {}
                Err(LoadError::Storage(error)) => return Err(error),
            }
        }
        let changes = || StorageError::Unavailable("etcd changes while it is read".to_owned());
        self.known.as_ref().map(|known| known.ledger.clone()).ok_or_else(changes)
    }

    fn commit(&mut self, change: &Change, retention: Retention) -> Result<(), StorageError> {
        self.write(change)?;
        self.tidy(change.at, retention);
        Ok(())
    }

    fn summaries(&mut self, below: u64, limit: usize) -> Result<Vec<Summary>, StorageError> {
        self.list(below, limit)
    }

    fn befores(&mut self, revision: u64) -> Result<Vec<Before>, StorageError> {
        let last = self.known.as_ref().map_or(0, |known| known.head.revision);
        let mut befores = Vec::new();
        let mut next = revision.saturating_add(1);
        while next <= last {
            let steps = self.steps(next, last + 1, 0)?;
            if steps.first().is_none_or(|(revision, ..)| *revision != next) {
                return Err(LinkError::Compacted.into());
            }
            for (revision, step, _) in steps {
                let edits = self.change(revision, step, 0)?.edits;
                befores.extend(edits.into_iter().map(|edit| (edit.place, edit.before)));
                next = revision + 1;
            }
        }
        Ok(befores)
    }
}

/// Why a ledger was not read.
enum LoadError {
    /// It changed meanwhile.
    Again,
    Storage(StorageError),
}

impl From<StorageError> for LoadError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<LinkError> for LoadError {
    fn from(error: LinkError) -> Self {
        if error == LinkError::Compacted { Self::Again } else { Self::Storage(error.into()) }
    }
}

impl From<LoadError> for StorageError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Again => LinkError::Compacted.into(),
            LoadError::Storage(error) => error,
        }
    }
}

/// A name that nobody else gives.
fn random_id() -> Result<String, StorageError> {
    random_hex::<16>()
        .map_err(|error| StorageError::Unavailable(format!("no random numbers: {error}")))
}

/// The values that one operation of a transaction read.
fn values(answer: TxnOpResponse) -> Vec<KeyValue> {
    match answer {
        TxnOpResponse::Get(mut found) => found.take_kvs(),
        TxnOpResponse::Put(_) | TxnOpResponse::Delete(_) | TxnOpResponse::Txn(_) => Vec::new(),
    }
}
