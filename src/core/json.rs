//! JSON as documents are written in it: a key that stands twice in an object is an error, because one
//! of the two would be ignored.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};
use std::fmt;

/// Parses one JSON value; the error names line and column.
pub fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    // What is known to be UTF-8 is not looked at again, string by string.
    let parsed = match std::str::from_utf8(text) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(text),
    };
    parsed.map(|Unique(value)| value)
}

/// An object of which one list is still text, item by item.
#[derive(Debug)]
pub(crate) struct Listed<'t> {
    /// All other members.
    pub(crate) rest: Value,
    /// The items; none, where there is no such list.
    pub(crate) items: Vec<&'t RawValue>,
}

/// Parses an object but for its list `list`. What is wrong with it is found by [`parse`].
pub(crate) fn parse_but<'t>(text: &'t str, list: &str) -> Option<Listed<'t>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = deserializer.deserialize_map(ListedVisitor(list)).ok()?;
    deserializer.end().ok()?;
    Some(parsed)
}

struct ListedVisitor<'l>(&'l str);

impl<'de> Visitor<'de> for ListedVisitor<'_> {
    type Value = Listed<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed<'de>, A::Error> {
        let (mut members, mut items) = (Map::new(), None);
        while let Some(key) = map.next_key::<String>()? {
            let is_new = match key == self.0 {
                true => items.replace(map.next_value()?).is_none(),
                false => members.insert(key, map.next_value::<Unique>()?.0).is_none(),
            };
            if !is_new {
                return Err(A::Error::custom("a key stands twice"));
            }
        }
        Ok(Listed { rest: Value::Object(members), items: items.unwrap_or_default() })
    }
}

/// How many levels the parser goes down.
pub(crate) const PARSED_MAX: usize = 127;

/// How deep a resource may be. A value goes through functions that call themselves for each level, and
/// what is written must be read again, also from inside a document: the parser ends at 128 levels.
pub const DEPTH_MAX: usize = 100;

/// How many objects and lists stand in each other.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// A value without repeated keys.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Unique)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Unique(item)) = list.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            match members.entry(key) {
                Entry::Occupied(place) => {
                    let key = place.key();
                    return Err(A::Error::custom(format_args!("the key `{key}` stands twice")));
                }
                Entry::Vacant(place) => {
                    let Unique(value) = map.next_value()?;
                    place.insert(value);
                }
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_depth_is_that_of_the_deepest_place() {
        for (text, expected) in [("1", 0), ("[]", 1), ("{}", 1), (r#"[1,{"a":[[]]},[]]"#, 4)] {
            assert_eq!(parse(text.as_bytes()).map(|value| depth(&value)).ok(), Some(expected));
        }
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(deep(DEPTH_MAX + 2).as_bytes()).is_ok(), "a resource in a document");
        assert!(parse(deep(100_000).as_bytes()).is_err());
    }

    #[test]
    fn a_repeated_key_is_an_error_with_its_line() {
        let error = parse(b"{\"a\": {\"b\": 1,\n \"b\": 2}}").unwrap_err();
        assert_eq!(error.to_string(), "the key `b` stands twice at line 2 column 4");
        let text = r#"{"a":[null,true,-1,18446744073709551615,1.5,"\u00e9",{}]}"#;
        assert_eq!(parse(text.as_bytes()).ok(), serde_json::from_str(text).ok());
    }
}
