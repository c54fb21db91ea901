//! The log and long values, read and written piece by piece: no request is larger than etcd takes.

use etcd_client::{DeleteOptions, GetOptions, KeyValue, SortOrder, SortTarget, Txn, TxnOp};
use splitway_core::ledger::Change;
use splitway_core::storage::{StorageError, Summary};

use super::keys::part;
use super::record::{self, PART_MAX, Step};
use super::{EtcdStorage, LinkError, LoadError};

/// How many changes are read at once: some MiB.
const PAGE: i64 = 100;

/// How many parts are read at once.
const PARTS_PAGE: i64 = 8;

/// How the log is read from its beginning.
pub(super) fn options() -> GetOptions {
    GetOptions::new().with_limit(PAGE).with_sort(SortTarget::Key, SortOrder::Ascend)
}

/// What writes a long value in parts.
pub(super) fn puts(parts: &str, text: &[u8]) -> Vec<TxnOp> {
    let numbered = text.chunks(PART_MAX).enumerate();
    numbered.map(|(number, bytes)| TxnOp::put(part(parts, number), bytes, None)).collect()
}

impl EtcdStorage {
    /// A page of the log, from a revision on and before another; as of a revision of etcd, or of now
    /// where that is 0.
    pub(super) fn steps(
        &self,
        from: u64,
        to: u64,
        at: i64,
    ) -> Result<Vec<(u64, Step, usize)>, LoadError> {
        let options = options().with_range(self.keys.log(to)).with_revision(at);
        let mut page = self.link.get(self.keys.log(from), options)?;
        self.steps_of(&page.take_kvs())
    }

    /// Revisions, their changes and the bytes that these take.
    pub(super) fn steps_of(
        &self,
        values: &[KeyValue],
    ) -> Result<Vec<(u64, Step, usize)>, LoadError> {
        let step = |kv: &KeyValue| {
            let revision = self.keys.revision_of(kv.key());
            let unknown = || StorageError::Unreadable("a key among the changes".to_owned());
            let step = Step::read(kv.value())?;
            let bytes = kv.value().len() + step.parts * PART_MAX;
            Ok((revision.ok_or_else(unknown)?, step, bytes))
        };
        values.iter().map(step).collect::<Result<_, StorageError>>().map_err(LoadError::Storage)
    }

    /// The whole change of a step.
    pub(super) fn change(&self, revision: u64, step: Step, at: i64) -> Result<Change, LoadError> {
        let parts = self.keys.parts(revision, &step.id);
        let text = self.parts(&parts, step.parts, at)?;
        Ok(step.into_change(revision, &text)?)
    }

    /// A long value from its parts.
    pub(super) fn parts(&self, parts: &str, count: usize, at: i64) -> Result<Vec<u8>, LoadError> {
        let (mut text, mut read) = (Vec::new(), 0);
        while read < count {
            let options = GetOptions::new()
                .with_range(part(parts, count))
                .with_limit(PARTS_PAGE)
                .with_revision(at);
            let mut page = self.link.get(part(parts, read), options)?;
            let values = page.take_kvs();
            if values.is_empty() {
                let what = format!("part {read} of {count} is missing");
                return Err(StorageError::Unreadable(what).into());
            }
            read += values.len();
            values.iter().for_each(|kv| text.extend_from_slice(kv.value()));
        }
        Ok(text)
    }

    /// Writes a long value, one part after the other.
    pub(super) fn put_parts(&self, parts: &str, text: &[u8]) -> Result<(), LinkError> {
        puts(parts, text)
            .into_iter()
            .try_for_each(|put| self.link.transact(Txn::new().and_then([put])).map(drop))
    }

    /// Lets go of what [`Self::put_parts`] wrote for nothing. Where that fails, it goes later.
    pub(super) fn drop_parts(&self, parts: &str, text: &[u8]) {
        if !text.is_empty() {
            let options = DeleteOptions::new().with_prefix();
            let delete = TxnOp::delete(format!("{parts}/"), Some(options));
            let _ = self.link.transact(Txn::new().and_then([delete]));
        }
    }

    /// What is told of the revisions below one, the newest first.
    pub(super) fn list(&self, below: u64, limit: usize) -> Result<Vec<Summary>, StorageError> {
        let mut list = Vec::new();
        let last = self.known.as_ref().map_or(0, |known| known.head.revision);
        let mut end = below.min(last.saturating_add(1));
        while list.len() < limit {
            let wanted = i64::try_from(limit - list.len()).unwrap_or(PAGE).min(PAGE);
            let options = GetOptions::new()
                .with_range(self.keys.log(end))
                .with_limit(wanted)
                .with_sort(SortTarget::Key, SortOrder::Descend);
            let mut page = self.link.get(self.keys.log(0), options)?;
            let steps = self.steps_of(&page.take_kvs())?;
            if steps.is_empty() {
                break;
            }
            for (revision, step, _) in steps {
                end = revision;
                let summary = match step.summary(revision) {
                    Some(summary) => summary,
                    None => record::summary(&self.change(revision, step, 0)?),
                };
                list.push(summary);
            }
        }
        Ok(list)
    }
}
