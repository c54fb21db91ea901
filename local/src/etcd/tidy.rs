//! Now and then the whole ledger is written, so that the log need not be read from its beginning,
//! and the past goes that is older than it should be. Nobody waits for it to succeed: what is not
//! done now is done with one of the next changes, by whichever server makes it.

use etcd_client::{Compare, CompareOp, DeleteOptions, Txn, TxnOp};
use serde_json::json;
use splitway_core::storage::{Retention, StorageError};
use splitway_core::time::Timestamp;

use super::record::{self, Base, PART_MAX};
use super::{EtcdStorage, LoadError, random_id, values};
use crate::telemetry::Level;

/// After so many changes the whole ledger is written.
const CHANGES_MAX: u64 = 100;

/// Or when the log since then has so many bytes, unless the ledger itself has more.
const BYTES_MAX: usize = 1024 * 1024;

impl EtcdStorage {
    /// Writes the whole ledger and lets go of the past, if it is time to.
    pub(super) fn tidy(&mut self, now: Timestamp, retention: Retention) {
        let Some(known) = &self.known else { return };
        let changes = known.head.revision.saturating_sub(known.base_revision);
        let is_long = known.log_bytes >= BYTES_MAX.max(2 * known.ledger.size());
        if changes < CHANGES_MAX && !is_long {
            return;
        }
        let done = self.rebase().and_then(|base| self.forget(base, now, retention));
        if let Err(error) = done {
            let detail = StorageError::from(error).to_string();
            self.log.tell(Level::Warn, "store_not_tidied", json!({"detail": detail}));
        }
    }

    /// Writes the whole ledger as the base of the log; the revision of the base from then on.
    fn rebase(&mut self) -> Result<u64, LoadError> {
        let Some(known) = &mut self.known else { return Err(LoadError::Again) };
        let look = TxnOp::get(self.keys.base(), None);
        let response = self.link.transact(Txn::new().and_then([look]))?;
        let found = response.op_responses().into_iter().flat_map(values).next();
        let found_at = found.as_ref().map_or(0, etcd_client::KeyValue::mod_revision);
        let current = found.map(|kv| record::read_base(kv.value())).transpose()?;
        let newest = known.head.revision;
        known.log_bytes = 0;
        if let Some(base) = current.filter(|base| base.name == known.head.name)
            && base.revision > known.base_revision
        {
            // Another server was faster.
            known.base_revision = base.revision;
            return Ok(base.revision);
        }
        known.base_revision = newest;
        let text = record::write_ledger(&known.ledger);
        let name = known.head.name.clone();
        let id = random_id()?;
        let parts = self.keys.bases(newest, &id);
        self.put_parts(&parts, &text)?;
        let base = Base { name, revision: newest, id, parts: text.len().div_ceil(PART_MAX) };
        let is_same = Compare::mod_revision(self.keys.base(), CompareOp::Equal, found_at);
        let put = TxnOp::put(self.keys.base(), record::write(&base), None);
        let response = self.link.transact(Txn::new().when([is_same]).and_then([put]))?;
        if response.succeeded() {
            Ok(newest)
        } else {
            // A try whose answer was lost looks the same, so the parts stay; they go with the past.
            Err(LoadError::Again)
        }
    }

    /// Lets go of changes that nobody wants to look at and nobody needs to read, of the parts of
    /// changes that never were, and of earlier bases.
    fn forget(&self, base: u64, now: Timestamp, retention: Retention) -> Result<(), LoadError> {
        let Some(known) = &self.known else { return Ok(()) };
        let by_count = known.head.revision.saturating_sub(retention.revisions.max(1));
        let last = by_count.max(self.last_before(now, retention)?).min(base);
        let range = |from: String, to: String| {
            TxnOp::delete(from, Some(DeleteOptions::new().with_range(to)))
        };
        let keys = &self.keys;
        let txn = Txn::new().and_then([
            range(keys.log(0), keys.log(last + 1)),
            range(keys.parts(0, ""), keys.parts(last + 1, "")),
            range(keys.bases(0, ""), keys.bases(base, "")),
        ]);
        self.link.transact(txn)?;
        Ok(())
    }

    /// The last revision of the oldest ones that is too old; at most a page of them is looked at.
    fn last_before(&self, now: Timestamp, retention: Retention) -> Result<u64, LoadError> {
        let age_ms = u64::try_from(retention.age.as_millis()).unwrap_or(u64::MAX);
        let oldest = Timestamp::from_millis(now.as_millis().saturating_sub(age_ms));
        let steps = self.steps(0, u64::MAX, 0)?;
        let old = steps.iter().take_while(|(_, step, _)| step.at() < oldest);
        Ok(old.last().map_or(0, |(revision, ..)| *revision))
    }
}
