//! Merging members into the JSON object that is a body, as RFC 7396 says: null removes a member, an
//! object is merged into an object, anything else takes the member's place.
//!
//! What is not merged keeps its bytes: numbers that no type here can hold, the order of members,
//! members that stand twice. Of a member that is merged and stands twice the last counts, and one
//! remains. New members stand behind the others.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

use crate::gather::Gather as _;
use crate::wire::Members;

/// The body with `patch` merged into it; `None` if it is no JSON object.
pub(super) fn merge(body: &[u8], patch: &Members) -> Option<Vec<u8>> {
    let object: Object<'_> = serde_json::from_slice(body).ok()?;
    let mut merged = String::with_capacity(body.len());
    write_object(&object, &patch.iter().collect::<Vec<_>>(), &mut merged);
    Some(merged.into_bytes())
}

/// The members of an object in their order, their values as written.
#[derive(Default)]
struct Object<'b>(Vec<(String, &'b RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// Writes an object with a patch, whose members are in the order of their names, merged into it.
fn write_object(object: &Object<'_>, patch: &[(&String, &Value)], out: &mut String) {
    let in_patch = |name: &str| patch.binary_search_by(|(own, _)| own.as_str().cmp(name)).ok();
    // Where each member of the patch stands last.
    let mut last: Vec<Option<usize>> = vec![None; patch.len()];
    for (position, (name, _)) in object.0.iter().enumerate() {
        if let Some(last) = in_patch(name).and_then(|index| last.get_mut(index)) {
            *last = Some(position);
        }
    }
    let mut members = Writer { out, is_first: true };
    members.out.push('{');
    for (position, (name, raw)) in object.0.iter().enumerate() {
        let merged = in_patch(name).and_then(|index| patch.get(index).zip(last.get(index)));
        match merged {
            None => members.start(name).push_str(raw.get()),
            Some(((_, Value::Null), _)) => {}
            Some((_, last)) if *last != Some(position) => {}
            Some(((_, value), _)) => write_value(Some(raw), value, members.start(name)),
        }
    }
    for ((name, value), last) in patch.iter().zip(&last) {
        if last.is_none() && !value.is_null() {
            write_value(None, value, members.start(name));
        }
    }
    members.out.push('}');
}

/// Writes `value` as it is merged into `base`.
fn write_value(base: Option<&RawValue>, value: &Value, out: &mut String) {
    match value.as_object() {
        Some(patch) => {
            let base = base
                .and_then(|raw| serde_json::from_slice::<Object<'_>>(raw.get().as_bytes()).ok());
            write_object(&base.unwrap_or_default(), &sorted(patch), out);
        }
        None => out.push_str(&value.to_string()),
    }
}

/// The members by their names, in whichever order a map of `serde_json` keeps them.
fn sorted(patch: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let members: BTreeMap<&String, &Value> = patch.iter().gather();
    members.into_iter().collect()
}

struct Writer<'o> {
    out: &'o mut String,
    is_first: bool,
}

impl Writer<'_> {
    /// Writes the name of the next member; its value comes behind it.
    fn start(&mut self, name: &str) -> &mut String {
        if !std::mem::replace(&mut self.is_first, false) {
            self.out.push(',');
        }
        self.out.push_str(&Value::from(name).to_string());
        self.out.push(':');
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, patch: &str, merged: &str) {
        let patch: Members = serde_json::from_str(patch).unwrap();
        let found = merge(body.as_bytes(), &patch).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(found.as_deref(), Some(merged), "{body}");
    }

    #[test]
    fn what_is_not_merged_keeps_its_bytes_and_its_order() {
        check(
            r#" {"z": 1.0, "n": 1e400, "i":18446744073709551617, "s": "\u00e9\ud800", "a": [ 1 , {} ]} "#,
            r#"{"model": "v2"}"#,
            r#"{"z":1.0,"n":1e400,"i":18446744073709551617,"s":"\u00e9\ud800","a":[ 1 , {} ],"model":"v2"}"#,
        );
        check("{}", r#"{"b": 1, "a": null}"#, r#"{"b":1}"#);
        check(r#"{"a":1,"x":2,"x":3}"#, r#"{"a": [null]}"#, r#"{"a":[null],"x":2,"x":3}"#);
    }

    #[test]
    fn members_are_replaced_merged_and_removed() {
        check(r#"{"a":1,"b":2,"c":3}"#, r#"{"b": null, "c": "x"}"#, r#"{"a":1,"c":"x"}"#);
        check(
            r#"{"o": {"k": 1.50, "gone": 2, "deep": {"x": 1}}, "t": 1}"#,
            r#"{"o": {"gone": null, "new": true, "deep": {"y": 2}}}"#,
            r#"{"o":{"k":1.50,"deep":{"x":1,"y":2},"new":true},"t":1}"#,
        );
        check(r#"{"o": [1]}"#, r#"{"o": {"a": {"b": null, "c": 1}}}"#, r#"{"o":{"a":{"c":1}}}"#);
        check(r#"{"a":1,"b":2,"a":{"k":3}}"#, r#"{"a": {"m": 4}}"#, r#"{"b":2,"a":{"k":3,"m":4}}"#);
        check(r#"{"\u0061":1}"#, r#"{"a": 2}"#, r#"{"a":2}"#);
    }

    #[test]
    fn what_is_no_object_is_not_merged_into() {
        let patch: Members = serde_json::from_str(r#"{"a": 1}"#).unwrap();
        for body in ["", "[]", "null", "a=b", "{", "{} {}", "{\"a\":}", "\u{feff}{}"] {
            assert_eq!(merge(body.as_bytes(), &patch), None, "{body}");
        }
        assert_eq!(merge(b"{\"a\":\"\xff\"}", &patch), None);
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let _ = merge(deep.as_bytes(), &patch);
    }
}
