//! Header modifiers: what filters change in the headers of a request or of a response.
//!
//! The specification changes headers filter by filter; the core adds first, then sets, then removes. So
//! what a later filter adds to a header that an earlier one sets or removes is set along with it.

use serde_json::{Map, Value};
use splitway_core::fault::At;

use super::read::{Findings, list, members, required, text};

/// Changes to headers, each header in one of the three lists.
#[derive(Clone, Debug, Default)]
pub(super) struct HeaderEdits {
    set: Vec<(String, Vec<String>)>,
    add: Vec<(String, Vec<String>)>,
    remove: Vec<String>,
}

impl HeaderEdits {
    /// Reads the settings of a modifier.
    pub(super) fn read(map: &Map<String, Value>, at: At<'_>, findings: &mut Findings) -> Self {
        let mut named = Vec::new();
        let set = pairs(map, "set", at, &mut named, findings);
        let add = pairs(map, "add", at, &mut named, findings);
        let mut remove = Vec::new();
        let list_at = at.key("remove");
        for (index, name) in list(map, "remove", at, findings).iter().enumerate() {
            let at = list_at.index(index);
            let name = text(name, at, findings).unwrap_or_default();
            if is_first(name, "remove", &mut named, at, findings) {
                remove.push(name.to_owned());
            }
        }
        Self { set, add, remove }
    }

    /// These edits of a backend after those of its rule.
    pub(super) fn after(self, mut earlier: Self) -> Self {
        for (name, values) in self.set {
            earlier.forget(&name);
            earlier.set.push((name, values));
        }
        for name in self.remove {
            earlier.forget(&name);
            earlier.remove.push(name);
        }
        for (name, values) in self.add {
            earlier.append(name, values);
        }
        earlier
    }

    fn append(&mut self, name: String, values: Vec<String>) {
        let is_it = |own: &str| own.eq_ignore_ascii_case(&name);
        let mut written = self.set.iter_mut().chain(&mut self.add);
        if let Some((_, own)) = written.find(|(own, _)| is_it(own)) {
            return own.extend(values);
        }
        // What the client sends goes, so that these are all there are.
        match self.remove.iter().position(|own| is_it(own)) {
            Some(position) => {
                self.remove.remove(position);
                self.set.push((name, values));
            }
            None => self.add.push((name, values)),
        }
    }

    fn forget(&mut self, name: &str) {
        self.set.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self.add.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self.remove.retain(|own| !own.eq_ignore_ascii_case(name));
    }

    /// The member `headers` or `response_headers` of a branch; empty where nothing changes.
    pub(super) fn members(&self) -> Map<String, Value> {
        let mut headers = Map::new();
        for (verb, pairs) in [("set", &self.set), ("add", &self.add)] {
            if !pairs.is_empty() {
                let pairs = pairs.iter().map(|(name, values)| (name.clone(), one_or_list(values)));
                headers.insert(verb.to_owned(), Value::Object(pairs.collect()));
            }
        }
        if !self.remove.is_empty() {
            headers.insert("remove".to_owned(), self.remove.clone().into());
        }
        headers
    }
}

fn one_or_list(values: &[String]) -> Value {
    match values {
        [one] => one.clone().into(),
        values => values.into(),
    }
}

/// The headers of `set` or `add`.
fn pairs(
    map: &Map<String, Value>,
    verb: &'static str,
    at: At<'_>,
    named: &mut Vec<(String, &'static str)>,
    findings: &mut Findings,
) -> Vec<(String, Vec<String>)> {
    let mut pairs = Vec::new();
    let list_at = at.key(verb);
    for (index, header) in list(map, verb, at, findings).iter().enumerate() {
        let at = list_at.index(index);
        let Some(header) = members(header, &["name", "value"], at, findings) else { continue };
        let name = required(header, "name", at, findings);
        let Some((name, value)) = name.zip(required(header, "value", at, findings)) else {
            continue;
        };
        if value.contains('$') {
            findings.obstacle(at.key("value"), "a `$` would begin a variable");
        }
        if is_first(name, verb, named, at, findings) {
            pairs.push((name.to_owned(), vec![value.to_owned()]));
        }
    }
    pairs
}

/// Whether a header is named for the first time. In one list the first counts, in two none.
fn is_first(
    name: &str,
    verb: &'static str,
    named: &mut Vec<(String, &'static str)>,
    at: At<'_>,
    findings: &mut Findings,
) -> bool {
    let name = name.to_ascii_lowercase();
    match named.iter().find(|(own, _)| *own == name) {
        None => {
            named.push((name, verb));
            return true;
        }
        Some((_, own)) if *own == verb => findings.note(at, super::FIRST_COUNTS),
        Some(_) => findings.obstacle(at, "another action has this header too"),
    }
    false
}
