//! What a command would change.

use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::access::{KeyHash, Role, key_entry};
use crate::auth::conceal;
use crate::document::{self, Wanted};
use crate::fault::Fault;
use crate::gather::Gather as _;
use crate::id::Id;
use crate::kind::Kind;
use crate::ledger::{Change, Edit, Entry, Place, Section};
use crate::patch;
use crate::references::in_use;
use crate::storage::Storage;
use crate::time::Timestamp;
use crate::wire;

use super::{Condition, Coordinator, Done, Refusal};

/// A change that is not made yet, and what is said when it is.
pub(super) struct Draft {
    pub(super) cause: String,
    pub(super) edits: Vec<Edit>,
    /// Whether every reference was checked already.
    pub(super) is_checked: bool,
    /// Whether it is only to be seen what it would do.
    pub(super) is_trial: bool,
    pub(super) done: Box<dyn FnOnce(&Change) -> Done>,
}

impl<S: Storage> Coordinator<S> {
    pub(super) fn write(
        &self,
        kind: Kind,
        id: Option<Id>,
        value: Value,
        ttl: Option<Duration>,
        now: Timestamp,
    ) -> Result<Draft, Refusal> {
        let id = id.or_else(|| self.free_id(kind)).ok_or(Refusal::NotFound)?;
        let place = (Section::Resource(kind), id);
        self.check_consumer(&place)?;
        let before = self.ledger.get(&place);
        let mut value = document::with_id(kind, &place.1, value);
        conceal(kind, &mut value);
        let value = document::stamped(place.0, value, before, now);
        let expires_at = ttl.map(|ttl| now.plus(ttl));
        let verb = if before.is_some() { "put" } else { "add" };
        Ok(self.draft_of(verb, place, value, expires_at))
    }

    /// APISIX's form of a generated id, the number of the write: the next that nobody has, since one
    /// may have come with a document from elsewhere.
    fn free_id(&self, kind: Kind) -> Option<Id> {
        let is_free = |id: &Id| {
            let place = (Section::Resource(kind), id.clone());
            self.ledger.get(&place).is_none()
        };
        let numbers = self.ledger.written() + 1..;
        numbers.filter_map(|number| Id::parse(&format!("{number:020}"))).find(is_free)
    }

    pub(super) fn patch(
        &self,
        kind: Kind,
        id: &Id,
        path: &[String],
        part: &Value,
        ttl: Option<Duration>,
        now: Timestamp,
    ) -> Result<Draft, Refusal> {
        let place = (Section::Resource(kind), id.clone());
        let before = self.ledger.get(&place).ok_or(Refusal::NotFound)?;
        let mut value = Value::clone(&before.value);
        match path {
            [] => patch::merge(&mut value, part.clone()),
            path => patch::set(&mut value, path, part.clone()).map_err(Refusal::Invalid)?,
        }
        if value.get("id").and_then(wire::id).is_none_or(|own| own != *id) {
            return Err(Refusal::Invalid(format!("wrong {} id", kind.singular())));
        }
        value = document::with_id(kind, id, value);
        conceal(kind, &mut value);
        let time = value.get("update_time");
        // A patch may set the times itself.
        let is_own = time.is_some() && time != before.value.get("update_time");
        if let Some(members) = value.as_object_mut().filter(|_| !is_own) {
            members.insert("update_time".to_owned(), now.as_secs().into());
        }
        let expires_at = ttl.map(|ttl| now.plus(ttl)).or(before.expires_at);
        Ok(self.draft_of("patch", place, value, expires_at))
    }

    /// The change that has an entry be `value`.
    fn draft_of(
        &self,
        verb: &str,
        place: Place,
        value: Value,
        expires_at: Option<Timestamp>,
    ) -> Draft {
        let before = self.ledger.get(&place).cloned();
        let modified = self.ledger.written() + 1;
        let created = before.as_ref().map_or(modified, |entry| entry.created);
        let is_new = before.is_none();
        let (id, told) = (place.1.clone(), value.clone());
        let cause = format!("{verb} {} {id}", place.0.singular());
        let value = value.into();
        let after = Some(Entry { value, created, modified, expires_at });
        let done = Box::new(move |_: &Change| Done::Written(id, told, is_new));
        let edits = vec![Edit { place, before, after }];
        Draft { cause, edits, is_checked: false, is_trial: false, done }
    }

    /// Whether a credential has somebody to belong to.
    fn check_consumer(&self, place: &Place) -> Result<(), Refusal> {
        let Some((consumer, _)) = place.1.as_credential() else { return Ok(()) };
        let consumer = (Section::Resource(Kind::Consumer), consumer);
        self.ledger.get(&consumer).map(drop).ok_or(Refusal::NoConsumer)
    }

    pub(super) fn delete(&self, kind: Kind, id: &Id, is_forced: bool) -> Result<Draft, Refusal> {
        let place = (Section::Resource(kind), id.clone());
        let entry = self.ledger.get(&place).ok_or(Refusal::NotFound)?;
        if !is_forced && let Some(why) = in_use(&self.ledger, kind, id) {
            return Err(Refusal::InUse(why));
        }
        let edits = self.removals(&place, entry).collect();
        let cause = format!("delete {} {id}", kind.singular());
        let id = id.clone();
        let done = Box::new(move |_: &Change| Done::Deleted(id));
        Ok(Draft { cause, edits, is_checked: true, is_trial: false, done })
    }

    /// What goes with an entry: itself, and of a consumer the credentials.
    fn removals(&self, place: &Place, entry: &Entry) -> impl Iterator<Item = Edit> {
        let (section, id) = place;
        let is_consumer = *section == Section::Resource(Kind::Consumer);
        let credentials = self.ledger.section(Section::Resource(Kind::Credential));
        let own = credentials.filter(move |(credential, _)| is_consumer && credential.is_of(id));
        let own = own
            .map(|(id, entry)| removal(&(Section::Resource(Kind::Credential), id.clone()), entry));
        std::iter::once(removal(place, entry)).chain(own)
    }

    pub(super) fn write_key(
        &self,
        id: &Id,
        role: Role,
        hash: KeyHash,
        now: Timestamp,
    ) -> Result<Draft, Refusal> {
        // Two names of one key could have two roles.
        if let Some(name) =
            self.access.name_of(hash, &self.ledger).filter(|name| **name != *id.as_str())
        {
            let what = format!("this is the key `{name}` already");
            return Err(Refusal::Faulty(vec![Fault::new("/key".to_owned(), what)]));
        }
        let verb =
            if self.ledger.get(&(Section::Key, id.clone())).is_some() { "put" } else { "add" };
        let value = key_entry(role, hash, now);
        Ok(self.draft_of(verb, (Section::Key, id.clone()), value, None))
    }

    pub(super) fn delete_key(&self, id: &Id) -> Result<Draft, Refusal> {
        let place = (Section::Key, id.clone());
        let entry = self.ledger.get(&place).ok_or(Refusal::NotFound)?;
        let edits = vec![removal(&place, entry)];
        let cause = format!("delete key {id}");
        let id = id.clone();
        let done = Box::new(move |_: &Change| Done::Deleted(id));
        Ok(Draft { cause, edits, is_checked: true, is_trial: false, done })
    }

    /// The change that has the whole document be another one, which compiles.
    pub(super) fn replacement(
        &self,
        cause: &str,
        wanted: &Wanted,
        condition: Condition,
        now: Timestamp,
    ) -> Draft {
        let current = self.ledger.revision();
        let edits = document::edits(&self.ledger, wanted, now);
        let is_trial = condition.is_trial;
        let done = Box::new(move |change: &Change| {
            let revision = if is_trial { current } else { change.revision };
            Done::Replaced(revision, change.edits.clone())
        });
        Draft { cause: cause.to_owned(), edits, is_checked: true, is_trial, done }
    }

    /// The change that takes away what has come to its time.
    pub(super) fn expiry(&self, now: Timestamp) -> Draft {
        let gone = self.ledger.expired(now);
        let edits = gone.flat_map(|(place, entry)| self.removals(place, entry));
        // A credential may have come to its time together with its consumer.
        let edits: BTreeMap<Place, Edit> = edits.map(|edit| (edit.place.clone(), edit)).gather();
        let edits: Vec<Edit> = edits.into_values().collect();
        let cause = match edits.as_slice() {
            [Edit { place: (section, id), .. }] => {
                format!("the time of {} {id} is up", section.singular())
            }
            several => format!("the time of {} entries is up", several.len()),
        };
        let done = Box::new(|change: &Change| Done::Replaced(change.revision, Vec::new()));
        Draft { cause, edits, is_checked: true, is_trial: false, done }
    }
}

fn removal(place: &Place, entry: &Entry) -> Edit {
    Edit { place: place.clone(), before: Some(entry.clone()), after: None }
}
