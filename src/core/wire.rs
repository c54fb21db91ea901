//! Reading JSON into wire types, reporting every fault instead of the first.
//!
//! Serde stops at the first error. `read` notes it with its place, leaves that place out and reads
//! again, until all else is read too. A document without faults is read once.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::{Map, Value};
use std::fmt;

use crate::fault::{At, Fault, Report, did_you_mean};

/// After so many faults in one resource the rest is not worth reading; it also bounds the work.
const FAULTS_MAX: usize = 50;

/// Reads the value at `at` as a `T` and has it checked; reports all that hinders either.
pub(crate) fn read<'de, T: Deserialize<'de>, U>(
    value: &'de Value,
    at: At<'_>,
    report: &mut Report,
    check: impl FnOnce(T, &mut Report) -> Option<U>,
) -> Option<U> {
    let mut left_out: Vec<String> = Vec::new();
    for _ in 0..FAULTS_MAX {
        let node = Node { value, at, left_out: &left_out };
        let error = match T::deserialize(node) {
            Ok(read) if left_out.is_empty() => return check(read, report),
            Ok(read) => {
                let mut of_rest = Report::default();
                check(read, &mut of_rest);
                add_rest(of_rest, value, at, &left_out, report);
                return None;
            }
            Err(error) => error,
        };
        let place = error.at.unwrap_or_else(|| at.to_string());
        if !(error.missing && follows(&place, &left_out)) {
            report.faults.push(Fault::new(place.clone(), error.what));
        }
        if place == at.to_string() {
            return None;
        }
        left_out.push(place);
    }
    None
}

/// Adds what was said about the readable rest of a faulty value, at the places where it stands in
/// the whole value.
fn add_rest(of_rest: Report, value: &Value, at: At<'_>, left_out: &[String], report: &mut Report) {
    let in_whole = |mut fault: Fault| {
        fault.at = place_in_whole(&fault.at, value, at, left_out);
        fault
    };
    let faults = of_rest.faults.into_iter().map(in_whole);
    report.faults.extend(faults.filter(|fault| !follows(&fault.at, left_out)));
    report.warnings.extend(of_rest.warnings.into_iter().map(in_whole));
}

/// The place in the whole value that the rest knows as `place`: behind an element that was left out,
/// the indices of the rest are too small.
fn place_in_whole(place: &str, value: &Value, at: At<'_>, left_out: &[String]) -> String {
    let mut whole = at.to_string();
    let Some(inner) = place.strip_prefix(&whole) else { return place.to_owned() };
    let mut value = Some(value);
    for segment in inner.split('/').skip(1) {
        let index = value.filter(|value| value.is_array()).and_then(|_| segment.parse().ok());
        let segment = match index {
            Some(index) => {
                let is_kept = |index: &usize| !left_out.contains(&format!("{whole}/{index}"));
                let restored = (0..).filter(is_kept).nth(index).unwrap_or(index);
                restored.to_string()
            }
            None => segment.to_owned(),
        };
        value = value.and_then(|value| value.pointer(&format!("/{segment}")));
        whole = format!("{whole}/{segment}");
    }
    whole
}

/// Whether a fault at `place` may be there only because a place inside was left out.
fn follows(place: &str, left_out: &[String]) -> bool {
    left_out.iter().any(|out| lies_in(out, place))
}

/// Whether the pointer `inner` is a place inside the one at `outer`.
fn lies_in(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

/// A key of APISIX that this version has no behaviour for. Refusing it is the honest answer:
/// ignoring it would send traffic where its author did not want it.
#[derive(Debug)]
pub(crate) enum Unsupported {}

impl<'de> Deserialize<'de> for Unsupported {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom("APISIX has this key, Splitway does not support it yet"))
    }
}

/// Text that is kept and shown and has no effect: `desc`, `name` of a resource.
#[derive(Debug)]
pub(crate) struct Remark;

impl<'de> Deserialize<'de> for Remark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        match text.chars().count() {
            0..=256 => Ok(Self),
            length => Err(de::Error::custom(format_args!(
                "expected at most 256 characters, found {length}"
            ))),
        }
    }
}

/// Why a value could not be read, and where.
#[derive(Debug)]
struct Error {
    at: Option<String>,
    what: String,
    missing: bool,
}

impl Error {
    fn new(what: String) -> Self {
        Self { at: None, what, missing: false }
    }

    /// Sets the place, unless a place further in is known.
    fn locate(mut self, at: At<'_>) -> Self {
        self.at.get_or_insert_with(|| at.to_string());
        self
    }
}

/// What Rust's types are called in JSON.
fn in_json(expected: &dyn Expected) -> String {
    match expected.to_string().as_str() {
        "u8" | "u16" | "u32" | "u64" => "an integer from 0".to_owned(),
        "i64" => "an integer".to_owned(),
        "f64" => "a number".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        other => other.to_owned(),
    }
}

/// What was found, in the words of JSON.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others do not occur in JSON")]
fn name_of(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Unit => "null".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "an object".to_owned(),
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(number) => format!("`{number}`"),
        Unexpected::Signed(number) => format!("`{number}`"),
        Unexpected::Float(number) => format!("`{number}`"),
        Unexpected::Str(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self::new(what.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_value(found, expected)
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {}, found {}", in_json(expected), name_of(found)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let hint = did_you_mean(variant, expected);
        Self::new(format!("unknown value `{variant}`, expected one of {expected:?}{hint}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown key{}", did_you_mean(field, expected)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: true, ..Self::new(format!("`{field}` is missing")) }
    }
}

/// A value, the place where it stands, and the places that are known to be faulty.
#[derive(Clone, Copy)]
struct Node<'de, 'a> {
    value: &'de Value,
    at: At<'a>,
    left_out: &'a [String],
}

impl Node<'_, '_> {
    fn leaves_out(&self, at: At<'_>) -> bool {
        !self.left_out.is_empty() && self.left_out.contains(&at.to_string())
    }
}

impl<'de> Deserializer<'de> for Node<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => visit_number(number, visitor),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => {
                visitor.visit_seq(Items { node: self, items: items.iter().enumerate() })
            }
            Value::Object(members) => {
                visitor.visit_map(Members { node: self, members: members.iter(), entered: None })
            }
        }
        .map_err(|error| error.locate(self.at))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // An explicit null is a value of its own, not an absent key: APISIX refuses it too.
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        // Derived visitors would also take a list, member by member.
        if self.value.is_object() {
            return self.deserialize_any(visitor);
        }
        let error: Error = de::Error::invalid_type(unexpected(self.value), &"an object");
        Err(error.locate(self.at))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value.as_str() {
            Some(text) => visitor.visit_enum(text.into_deserializer()),
            None => Err(de::Error::invalid_type(unexpected(self.value), &"a string")),
        }
        .map_err(|error: Error| error.locate(self.at))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// JSON has one kind of number: `50.0` is the integer 50, for APISIX as well.
fn visit_number<'de, V: Visitor<'de>>(
    number: &serde_json::Number,
    visitor: V,
) -> Result<V::Value, Error> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    if let Some(number) = number.as_u64() {
        return visitor.visit_u64(number);
    }
    if let Some(number) = number.as_i64() {
        return visitor.visit_i64(number);
    }
    match number.as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53 in size")]
        Some(whole) if whole.fract() == 0.0 && whole.abs() < EXACT => match whole as i64 {
            negative @ ..0 => visitor.visit_i64(negative),
            positive => visitor.visit_u64(positive.unsigned_abs()),
        },
        Some(number) => visitor.visit_f64(number),
        None => Err(Error::new("the number is out of range".to_owned())),
    }
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Unexpected::Unsigned(number),
            (None, Some(number)) => Unexpected::Signed(number),
            (None, None) => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    }
}

struct Items<'de, 'a> {
    node: Node<'de, 'a>,
    items: std::iter::Enumerate<std::slice::Iter<'de, Value>>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        for (index, value) in self.items.by_ref() {
            let at = At::Index(&self.node.at, index);
            if !self.node.leaves_out(at) {
                let read = seed.deserialize(Node { value, at, ..self.node });
                return read.map(Some).map_err(|error| error.locate(at));
            }
        }
        Ok(None)
    }
}

struct Members<'de, 'a> {
    node: Node<'de, 'a>,
    members: serde_json::map::Iter<'de>,
    entered: Option<(&'de str, &'de Value)>,
}

impl<'de> MapAccess<'de> for Members<'de, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        for (key, value) in self.members.by_ref() {
            let at = At::Key(&self.node.at, key);
            if !self.node.leaves_out(at) {
                self.entered = Some((key, value));
                return seed
                    .deserialize(BorrowedStrDeserializer::new(key))
                    .map(Some)
                    .map_err(|error: Error| error.locate(at));
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((key, value)) = self.entered.take() else {
            return Err(Error::new("a value without a key".to_owned()));
        };
        let at = At::Key(&self.node.at, key);
        seed.deserialize(Node { value, at, ..self.node }).map_err(|error| error.locate(at))
    }
}

/// The members of an object whose keys are data, such as `plugins`, in the order of their keys.
pub(crate) fn members<'v>(
    value: &'v Value,
    at: At<'_>,
    report: &mut Report,
) -> Option<&'v Map<String, Value>> {
    let members = value.as_object();
    if members.is_none() {
        report.fault(at, format!("expected an object, found {}", name_of(unexpected(value))));
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read, not used")]
    struct Branch {
        weight: u32,
        name: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read, not used")]
    struct Split {
        id: Option<Id>,
        branches: Vec<Branch>,
        vars: Option<Unsupported>,
    }

    fn check(value: &Value, expected: &[&str]) {
        let mut report = Report::default();
        let read = read::<Split, Split>(value, At::Root, &mut report, |split, _| Some(split));
        let faults: Vec<String> = report.faults.iter().map(Fault::to_string).collect();
        assert_eq!(faults, expected);
        assert_eq!(read.is_some(), expected.is_empty());
    }

    #[test]
    fn a_faultless_value_is_read() {
        check(&json!({"id": 7, "branches": [{"weight": 50.0, "name": "v1"}]}), &[]);
    }

    #[test]
    fn every_fault_is_reported_with_its_own_index() {
        check(
            &json!({
                "id": "a/b",
                "branches": [{"wieght": 1, "weight": 1}, {"weight": "2"}, {"weight": -3}, {"name": "x"}],
                "vars": [],
                "branch": 1,
            }),
            &[
                "/branch: unknown key; did you mean `branches`?",
                "/branches/0/wieght: unknown key; did you mean `weight`?",
                "/branches/1/weight: expected an integer from 0, found \"2\"",
                "/branches/2/weight: expected an integer from 0, found `-3`",
                "/branches/3: `weight` is missing",
                "/id: expected an id: 1 to 64 letters, digits, `-`, `_`, `.`; or an integer from 1, found \"a/b\"",
                "/vars: APISIX has this key, Splitway does not support it yet",
            ],
        );
    }

    #[test]
    fn null_is_not_an_absent_key() {
        check(
            &json!({"branches": [], "id": null}),
            &[
                "/id: expected an id: 1 to 64 letters, digits, `-`, `_`, `.`; or an integer from 1, found null",
            ],
        );
    }

    #[test]
    fn a_value_of_another_kind_is_one_fault() {
        check(&json!([1, 2]), &["(document): expected an object, found a list"]);
    }
}
