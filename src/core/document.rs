//! Whole documents and the ledger's entries: each becomes the other.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::auth::conceal;
use crate::catalog::id_of;
use crate::config::{FORMAT, Resources};
use crate::fault::Report;
use crate::id::Id;
use crate::kind::Kind;
use crate::ledger::{Edit, Entry, Ledger, Place, SETTINGS_ID, Section};
use crate::time::Timestamp;

/// What an entry says about itself and a document does not: it would differ from one ledger to the
/// next.
const TIMES: [&str; 2] = ["create_time", "update_time"];

/// The document that a ledger holds, without times and keys.
pub fn of_ledger(ledger: &Ledger) -> Value {
    let mut document = Map::new();
    for kind in Kind::ALL {
        let entries = ledger.in_order(Section::Resource(kind)).into_iter();
        let values: Vec<Value> = entries.map(|(_, entry)| without_times(&entry.value)).collect();
        if values.is_empty() {
            continue;
        }
        // Credentials stand among the consumers.
        let key = if kind == Kind::Credential { Kind::Consumer } else { kind }.plural();
        let list = document.entry(key).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.extend(values);
        }
    }
    if let Some((_, settings)) = ledger.section(Section::Settings).next() {
        document.insert(SETTINGS_ID.to_owned(), Value::clone(&settings.value));
    }
    Value::Object(document)
}

/// The document as it is published: with the revision that it is. It is written entry by entry: as one
/// value it would take many times the memory of its text.
pub fn published(ledger: &Ledger) -> String {
    let (name, revision) = (ledger.name(), ledger.revision());
    let published = json!({"format": FORMAT, "ledger": name, "revision": revision});
    let mut text = format!("{{\"published\":{published}");
    let mut last = "";
    for kind in Kind::ALL {
        // Credentials stand among the consumers, next to which they come.
        let key = if kind == Kind::Credential { Kind::Consumer } else { kind }.plural();
        for (_, entry) in ledger.in_order(Section::Resource(kind)) {
            if key == last {
                text.push(',');
            } else {
                let end = if last.is_empty() { "" } else { "]" };
                text.push_str(&format!("{end},\"{key}\":["));
                last = key;
            }
            text.push_str(&without_times(&entry.value).to_string());
        }
    }
    if !last.is_empty() {
        text.push(']');
    }
    if let Some((_, settings)) = ledger.section(Section::Settings).next() {
        text.push_str(&format!(",\"{SETTINGS_ID}\":{}", settings.value));
    }
    text.push('}');
    text
}

/// A value as it stands in a document.
pub fn without_times(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(members) = value.as_object_mut() {
        TIMES.iter().for_each(|time| drop(members.remove(*time)));
    }
    value
}

/// The entries that a document wants, by section and in its order, with times as if all were new, and
/// without keys and passwords of consumers: with their hashes.
#[derive(Debug)]
pub struct Wanted(Vec<(Section, Named)>);

/// Values by id, in their order.
type Named = Vec<(Id, Arc<Value>)>;

impl Wanted {
    /// Takes a document apart, which must have no faults. Nothing of it is copied: together with what
    /// is made of it, a large one would not fit into the memory of a Durable Object.
    pub fn of(mut document: Value, now: Timestamp) -> Self {
        let mut sections = Vec::new();
        for (kind, places) in places(&document) {
            let named = places.into_iter().filter_map(|(id, list, index)| {
                let mut value = document.get_mut(list)?.get_mut(index)?.take();
                conceal(kind, &mut value);
                let value = stamped(Section::Resource(kind), with_id(kind, &id, value), None, now);
                Some((id, Arc::new(value)))
            });
            sections.push((Section::Resource(kind), named.collect()));
        }
        let settings = document.get_mut(SETTINGS_ID).map(Value::take).map(Arc::new);
        let settings = settings.and_then(|value| Some((Id::restore(SETTINGS_ID)?, value)));
        sections.push((Section::Settings, settings.into_iter().collect()));
        Self(sections)
    }
}

/// Which resources a document has, and where: id, list and index.
type Places = Vec<(Id, &'static str, usize)>;

fn places(document: &Value) -> Vec<(Kind, Places)> {
    let resources = Resources::of(document, &mut Report::default());
    let places = |kind| {
        let values = resources.list(kind).iter().enumerate();
        let place = values.filter_map(|(index, value)| {
            let (list, at) = resources.place(kind, index);
            Some((id_of(kind, value, index).1?, list, at))
        });
        (kind, place.collect())
    };
    Kind::ALL.into_iter().map(places).collect()
}

/// What leads from a ledger to a document: the edits, by place.
pub fn edits(ledger: &Ledger, wanted: &Wanted, now: Timestamp) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut writing = Writing { ledger, now, written: ledger.written() };
    let mut kept: BTreeMap<Place, ()> = BTreeMap::new();
    for (section, values) in &wanted.0 {
        let mut last = 0;
        for (id, value) in values {
            let place = (*section, id.clone());
            edits.extend(writing.edit(&place, value, &mut last));
            kept.insert(place, ());
        }
    }
    let gone = ledger.entries().filter(|(place, _)| {
        // Keys are in no document.
        place.0 != Section::Key && !kept.contains_key(*place)
    });
    edits.extend(gone.map(|(place, entry)| Edit {
        place: place.clone(),
        before: Some(entry.clone()),
        after: None,
    }));
    edits
}

/// A value with its id in it, as the document and the ledger have it.
pub(crate) fn with_id(kind: Kind, id: &Id, mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut()
        && kind != Kind::Consumer
    {
        members.insert("id".to_owned(), json!(id.as_str()));
    }
    value
}

/// Numbers of writes and times, as they are given to entries.
struct Writing<'l> {
    ledger: &'l Ledger,
    now: Timestamp,
    written: u64,
}

impl Writing<'_> {
    /// The edit that has an entry be `value` and stand behind the write `last`; none, where it does.
    fn edit(&mut self, place: &Place, value: &Arc<Value>, last: &mut u64) -> Option<Edit> {
        let before = self.ledger.get(place);
        let stands = before.is_some_and(|entry| entry.created > *last);
        // What a document names is there to stay.
        let same = before.is_some_and(|entry| {
            entry.expires_at.is_none() && without_times(&entry.value) == without_times(value)
        });
        if let Some(entry) = before.filter(|_| stands && same) {
            *last = entry.created;
            return None;
        }
        self.written += 1;
        let created = before.filter(|_| stands).map_or(self.written, |entry| entry.created);
        *last = created;
        let value = match before {
            Some(_) => Arc::new(stamped(place.0, Value::clone(value), before, self.now)),
            None => Arc::clone(value),
        };
        let after = Some(Entry { value, created, modified: self.written, expires_at: None });
        Some(Edit { place: place.clone(), before: before.cloned(), after })
    }
}

/// A resource with its times: made when `before` was, changed now.
pub(crate) fn stamped(
    section: Section,
    mut value: Value,
    before: Option<&Entry>,
    now: Timestamp,
) -> Value {
    if let (Section::Resource(_), Some(members)) = (section, value.as_object_mut()) {
        let made = before.and_then(|entry| entry.value.get("create_time")).cloned();
        members.insert("create_time".to_owned(), made.unwrap_or_else(|| json!(now.as_secs())));
        members.insert("update_time".to_owned(), json!(now.as_secs()));
    }
    value
}
