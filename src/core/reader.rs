//! A deserializer over a JSON value that knows where it is, and can leave places out.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};
use std::fmt;

use crate::fault::{At, did_you_mean};

/// Why a value could not be read, and where. It is one word large: each reader of a wire type hands it
/// on at dozens of places.
#[derive(Debug)]
pub(crate) struct Error(pub(crate) Box<Fault>);

/// What there is to say about it.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The JSON pointer of the place.
    pub(crate) at: Option<String>,
    /// What is wrong there.
    pub(crate) what: String,
    /// Whether it is that a member is not there.
    pub(crate) missing: bool,
}

impl Error {
    fn new(what: String) -> Self {
        Self(Box::new(Fault { at: None, what, missing: false }))
    }

    /// Sets the place, unless a place further in is known.
    #[inline(never)]
    fn locate(mut self, at: At<'_>) -> Self {
        self.0.at.get_or_insert_with(|| at.to_string());
        self
    }
}

/// What Rust's types are called in JSON.
fn in_json(expected: &dyn Expected) -> String {
    match expected.to_string().as_str() {
        "u8" | "u16" | "u32" | "u64" => "an integer from 0".to_owned(),
        "i64" => "an integer".to_owned(),
        "f64" => "a number".to_owned(),
        "a borrowed string" => "a string".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        other => other.to_owned(),
    }
}

/// What a value is, in the words of JSON.
pub(crate) fn kind(value: &Value) -> String {
    name_of(unexpected(value))
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
        f.write_str(&self.0.what)
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
        let mut error = Self::new(format!("`{field}` is missing"));
        error.0.missing = true;
        error
    }
}

/// A value, the place where it stands, and the places that are known to be faulty.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'de, 'a> {
    pub(crate) value: &'de Value,
    pub(crate) at: At<'a>,
    pub(crate) left_out: &'a [String],
}

impl<'de, 'a> Reader<'de, 'a> {
    fn items(self, items: &'de [Value]) -> Items<'de, 'a> {
        Items { reader: self, items: items.iter().enumerate() }
    }

    fn members(self, members: &'de Map<String, Value>) -> Members<'de, 'a> {
        Members { reader: self, members: members.iter(), entered: None }
    }

    fn leaves_out(&self, at: At<'_>) -> bool {
        !self.left_out.is_empty() && self.left_out.contains(&at.to_string())
    }

    /// The value is of another kind than it should be.
    #[inline(never)]
    fn refuse(&self, expected: &dyn Expected) -> Error {
        <Error as de::Error>::invalid_type(unexpected(self.value), expected).locate(self.at)
    }
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => visit_number(number, visitor),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(self.items(items)),
            Value::Object(members) => visitor.visit_map(self.members(members)),
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
        let Value::Object(members) = self.value else { return Err(self.refuse(&"an object")) };
        visitor.visit_map(self.members(members)).map_err(|error| error.locate(self.at))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value.as_str() {
            Some(text) => visitor
                .visit_enum(text.into_deserializer())
                .map_err(|error: Error| error.locate(self.at)),
            None => Err(self.refuse(&"a string")),
        }
    }

    // Where a visitor takes one kind of value, the others are not brought to it: the code that refuses them
    // would be most of the reader of a type.

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::Object(members) = self.value else { return Err(self.refuse(&visitor)) };
        visitor.visit_map(self.members(members)).map_err(|error| error.locate(self.at))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::Array(items) = self.value else { return Err(self.refuse(&visitor)) };
        visitor.visit_seq(self.items(items)).map_err(|error| error.locate(self.at))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::String(text) = self.value else { return Err(self.refuse(&visitor)) };
        visitor.visit_borrowed_str(text).map_err(|error: Error| error.locate(self.at))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::Bool(value) = self.value else { return Err(self.refuse(&visitor)) };
        visitor.visit_bool(*value).map_err(|error: Error| error.locate(self.at))
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::Number(number) = self.value else { return Err(self.refuse(&visitor)) };
        visit_number(number, visitor).map_err(|error| error.locate(self.at))
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
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
    reader: Reader<'de, 'a>,
    items: std::iter::Enumerate<std::slice::Iter<'de, Value>>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Error;

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        for (index, value) in self.items.by_ref() {
            let at = At::Index(&self.reader.at, index);
            if !self.reader.leaves_out(at) {
                let read = seed.deserialize(Reader { value, at, ..self.reader });
                return read.map(Some).map_err(|error| error.locate(at));
            }
        }
        Ok(None)
    }
}

struct Members<'de, 'a> {
    reader: Reader<'de, 'a>,
    members: serde_json::map::Iter<'de>,
    entered: Option<(&'de str, &'de Value)>,
}

impl<'de> MapAccess<'de> for Members<'de, '_> {
    type Error = Error;

    fn size_hint(&self) -> Option<usize> {
        Some(self.members.len())
    }

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        for (key, value) in self.members.by_ref() {
            let at = At::Key(&self.reader.at, key);
            if !self.reader.leaves_out(at) {
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
        let at = At::Key(&self.reader.at, key);
        seed.deserialize(Reader { value, at, ..self.reader }).map_err(|error| error.locate(at))
    }
}
