//! A document with parts left out, and the way from a place in the rest back to the whole.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use splitway_core::fault::At;

/// A document and the places that are left out of it.
#[derive(Debug)]
pub(super) struct Pruned {
    whole: Value,
    out: BTreeSet<String>,
}

/// What is left of a document.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) document: Value,
    /// For each list that lost an element, by its place in the whole: the indices of those it kept.
    kept: BTreeMap<String, Vec<usize>>,
}

impl Pruned {
    pub(super) fn new(whole: Value) -> Self {
        Self { whole, out: BTreeSet::new() }
    }

    pub(super) fn whole(&self) -> &Value {
        &self.whole
    }

    /// Leaves out what is at a place; `false` if it was left out before.
    pub(super) fn remove(&mut self, at: &str) -> bool {
        !self.is_out(at) && self.out.insert(at.to_owned())
    }

    /// Whether the place is left out, or lies in one that is.
    pub(super) fn is_out(&self, at: &str) -> bool {
        let ends = at.match_indices('/').map(|(end, _)| end).skip(1).chain([at.len()]);
        ends.filter_map(|end| at.get(..end)).any(|outer| self.out.contains(outer))
    }

    /// The document without what is left out. Lists of resources of which nothing is left go too.
    pub(super) fn rest(&self) -> Rest {
        let mut rest = Rest::default();
        let mut document = self.keep(&self.whole, At::Root, &mut rest.kept);
        if let Value::Object(lists) = &mut document {
            lists.retain(|list, items| {
                let is_emptied = rest.kept.contains_key(&At::Root.key(list).to_string());
                !(is_emptied && items.as_array().is_some_and(Vec::is_empty))
            });
        }
        rest.document = document;
        rest
    }

    fn keep(&self, value: &Value, at: At<'_>, kept: &mut BTreeMap<String, Vec<usize>>) -> Value {
        let place = at.to_string();
        if !self.out.range(place.clone()..).next().is_some_and(|out| out.starts_with(&place)) {
            return value.clone();
        }
        match value {
            Value::Object(members) => {
                let stays = members.iter().filter(|(key, _)| !self.has(at.key(key)));
                let stays =
                    stays.map(|(key, value)| (key.clone(), self.keep(value, at.key(key), kept)));
                Value::Object(stays.collect::<Map<_, _>>())
            }
            Value::Array(items) => {
                let stays = |index: &usize| !self.has(at.index(*index));
                let indices: Vec<usize> = (0..items.len()).filter(stays).collect();
                let element =
                    |index: &usize| Some(self.keep(items.get(*index)?, at.index(*index), kept));
                let list = indices.iter().filter_map(element).collect();
                if indices.len() < items.len() {
                    kept.insert(place, indices);
                }
                Value::Array(list)
            }
            scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                scalar.clone()
            }
        }
    }

    fn has(&self, at: At<'_>) -> bool {
        self.out.contains(&at.to_string())
    }
}

impl Rest {
    /// The place in the whole of what the rest has at `at`.
    pub(super) fn place(&self, at: &str) -> String {
        let mut whole = String::new();
        for segment in at.split('/').skip(1) {
            let kept = self.kept.get(&whole);
            let index = kept.and_then(|kept| kept.get(segment.parse::<usize>().ok()?));
            let segment = index.map_or_else(|| segment.to_owned(), usize::to_string);
            whole = format!("{whole}/{segment}");
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_lead_back_to_the_whole() {
        let whole =
            json!({"routes": [{"id": 0}, {"id": 1}, {"id": 2, "uris": [3, 4]}], "ssls": [1]});
        let mut pruned = Pruned::new(whole);
        for at in ["/routes/0", "/routes/2/uris/0", "/ssls/0"] {
            assert!(pruned.remove(at));
        }
        assert!(!pruned.remove("/routes/0/id"));
        assert!(!pruned.is_out("/routes/1") && !pruned.is_out("/routes/2/uris"));
        let rest = pruned.rest();
        assert_eq!(rest.document, json!({"routes": [{"id": 1}, {"id": 2, "uris": [4]}]}));
        assert_eq!(rest.place("/routes/1/uris/0"), "/routes/2/uris/1");
        assert_eq!(rest.place("/routes/0"), "/routes/1");
        assert_eq!(rest.place(""), "");
    }
}
