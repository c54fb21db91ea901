//! What a command would change, seen before it is given: the ledger is as it was afterwards.

use serde_json::{Value, json};

use crate::document::{self, Wanted};
use crate::fault::Report;
use crate::impact::{Comparison, Moved};
use crate::ledger::{Change, Edit};
use crate::snapshot::Snapshot;
use crate::storage::Storage;
use crate::time::Timestamp;

use super::draft::Draft;
use super::{Command, Condition, Coordinator, Done, Failed, Refusal, Sample, check_document};

/// How often it is looked where a key goes, over all splits: a few hundred nanoseconds each, while
/// nobody else is answered.
const LOOKS_MAX: u64 = 500_000;

impl<S: Storage> Coordinator<S> {
    /// What a command would change, and where it would have the keys of a sample go.
    pub(super) fn foresee(
        &mut self,
        command: Command,
        sample: &Sample,
        now: Timestamp,
    ) -> Result<Done, Refusal> {
        let revision = self.ledger.revision();
        let draft = self.drafted(command, now)?;
        // A ledger that an earlier version left may have faults; then nobody knows what it does.
        let before = self.ledger.compile(&mut Report::default());
        let (edits, is_checked) = (draft.edits, draft.is_checked);
        if edits.is_empty() {
            let traffic = before.map(|before| told(&before, &before, sample));
            return Ok(Done::Foreseen(revision, edits, traffic.unwrap_or_default()));
        }
        let (by, cause) = ("".into(), "".into());
        let change = Change { revision: revision + 1, at: now, by, cause, edits };
        let written = self.ledger.written();
        let after = match self.take_over(&change, is_checked) {
            Ok(after) => after,
            Err(Failed::Refused(refusal)) => return Err(refusal),
            // Nothing is written, so that nobody can be faster.
            Err(Failed::Behind) => return Err(Refusal::Outdated(revision)),
        };
        self.ledger.revert(&change, written);
        let traffic = before.zip(after).map(|(before, after)| told(&before, &after, sample));
        Ok(Done::Foreseen(revision, change.edits, traffic.unwrap_or_default()))
    }

    /// The change that a command would make.
    fn drafted(&mut self, command: Command, now: Timestamp) -> Result<Draft, Refusal> {
        match command {
            Command::Write(kind, id, value, terms) => {
                self.write(kind, id, Value::Object(value), terms.ttl, now)
            }
            Command::Patch(kind, id, path, part, terms) => {
                self.patch(kind, &id, &path, &part, terms.ttl, now)
            }
            Command::Delete(kind, id, is_forced, _) => self.delete(kind, &id, is_forced),
            Command::Replace(document, condition) => {
                check_document(&document)?;
                Ok(self.replacement("", &Wanted::of(document, now), condition, now))
            }
            Command::Rollback(revision, condition) => {
                let past = document::of_ledger(&self.at(revision)?);
                Ok(self.replacement("", &Wanted::of(past, now), condition, now))
            }
            Command::Look(_) | Command::WriteKey(..) | Command::DeleteKey(_) => {
                let nothing = Wanted::of(document::of_ledger(&self.ledger), now);
                let draft = self.replacement("", &nothing, Condition::default(), now);
                Ok(Draft { edits: Vec::<Edit>::new(), ..draft })
            }
        }
    }
}

/// What is different for traffic, and for the keys of a sample.
fn told(before: &Snapshot, after: &Snapshot, sample: &Sample) -> Value {
    let mut comparison = Comparison::new(before, after);
    let splits = u64::try_from(comparison.asking_count()).unwrap_or(u64::MAX);
    let keys_max = LOOKS_MAX.checked_div(splits).unwrap_or(0);
    let mut moved = Vec::new();
    match sample {
        Sample::MadeUp(count) => (1..=keys_max.min(*count)).for_each(|number| {
            comparison.key(format!("user-{number:07}").as_bytes());
        }),
        Sample::Named(keys) => {
            let keys_max = usize::try_from(keys_max).unwrap_or(usize::MAX);
            for key in keys.iter().take(keys_max) {
                comparison.key(key.as_bytes());
                moved.extend(comparison.moved(key.as_bytes()).map(|it| named(key, it)));
            }
        }
    }
    let mut told = comparison.finish().told();
    if let (Sample::Named(_), Some(members)) = (sample, told.as_object_mut()) {
        members.insert("moved".to_owned(), moved.into());
    }
    told
}

fn named(key: &str, moved: Moved<'_>) -> Value {
    let Moved { route, rule, from, to } = moved;
    json!({"key": key, "route": route, "rule": rule, "from": from, "to": to})
}
