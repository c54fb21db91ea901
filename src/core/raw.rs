//! JSON from clients, one member at a time: what is not asked for is not understood, only passed over, so
//! that it may hold what no type here can (numbers such as `1e400`, or of thirty digits).

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// The value that a text is, unless it is no JSON.
pub(crate) fn root(text: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(text).ok()
}

/// The member of an object, the last of that name; nothing if it is no object.
pub(crate) fn member<'r>(object: &'r RawValue, name: &str) -> Option<&'r RawValue> {
    struct Member<'n>(&'n str);
    impl<'de> Visitor<'de> for Member<'_> {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(name) = map.next_key::<String>()? {
                match name == self.0 {
                    true => found = Some(map.next_value()?),
                    false => drop(map.next_value::<IgnoredAny>()?),
                }
            }
            Ok(found)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(object.get().as_bytes());
    deserializer.deserialize_map(Member(name)).ok().flatten()
}

/// The members of an object, in their order; nothing if it is no object.
pub(crate) fn members(object: &RawValue) -> Option<Vec<(String, &RawValue)>> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::with_capacity(8);
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    serde_json::Deserializer::from_str(object.get()).deserialize_map(Members).ok()
}

/// The element of a list; nothing if it is no list.
pub(crate) fn element(list: &RawValue, index: usize) -> Option<&RawValue> {
    struct Element(usize);
    impl<'de> Visitor<'de> for Element {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            for _ in 0..self.0 {
                if list.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(None);
                }
            }
            let found = list.next_element()?;
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(found)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(list.get().as_bytes());
    deserializer.deserialize_seq(Element(index)).ok().flatten()
}

/// A value as far as it can be held; a number that cannot is the text of its digits.
pub(crate) fn value(raw: &RawValue) -> Option<Value> {
    let is_number = raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let digits = || is_number.then(|| Value::from(raw.get()));
    serde_json::from_slice(raw.get().as_bytes()).ok().or_else(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_place_is_read_beside_what_cannot_be_held() {
        let text =
            br#" {"a": 1e400, "b": {"c": [true, 123456789012345678901, "x"]}, "b": {"d": 2}} "#;
        let root = root(text).expect("JSON");
        assert_eq!(value(member(root, "a").unwrap()), Some(json!("1e400")));
        let last = member(root, "b").unwrap();
        assert!(member(last, "c").is_none(), "the last of a name counts");
        assert_eq!(value(member(last, "d").unwrap()), Some(json!(2)));
        assert!(member(member(root, "a").unwrap(), "x").is_none());
        let list: &RawValue = serde_json::from_str("[true, 123456789012345678901]").unwrap();
        assert_eq!(element(list, 1).unwrap().get(), "123456789012345678901");
        assert!(element(list, 2).is_none());
        assert!(element(root, 0).is_none());
        assert!(super::root(b"{").is_none());
    }

    /// Nothing here recurses as deep as a text is nested.
    #[test]
    fn deep_texts_are_passed_over() {
        let deep = format!("{{\"a\": {}1{}, \"b\": 2}}", "[".repeat(100_000), "]".repeat(100_000));
        let found = root(deep.as_bytes()).and_then(|root| value(member(root, "b")?));
        assert_eq!(found, Some(json!(2)));
    }
}
