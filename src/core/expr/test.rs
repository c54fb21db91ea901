//! What a comparison asks of a value. The value is never converted into something that is kept: nothing
//! here allocates, but for the text of a number that a pattern is to match.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value as Json;

use super::number;
use crate::pattern::Pattern;
use crate::variable::Value;

/// A test of one value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    /// `==`
    Equal(Operand),
    /// `~=`, which is not the contrary of `==` for numbers that are none.
    Unequal(Operand),
    /// `>`, `>=`, `<`, `<=`; never true against what is no number.
    Order { allowed: &'static [Ordering], number: Option<f64> },
    /// `~~`, `~*`
    Matches(Pattern),
    /// `in`
    In(Box<[Operand]>),
    /// `has`
    Has(Operand),
    /// `ipmatch`
    Within(Box<[IpNet]>),
}

/// What stands on the right.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    /// `null`: equal to what is absent.
    Absent,
    Text(Box<str>),
    Number(f64),
    Bool(bool),
    /// A `null` inside a list.
    Null,
    /// A list or an object, which is equal to nothing.
    Other,
}

impl Operand {
    pub(super) fn of(json: &Json) -> Self {
        match json {
            Json::Null => Self::Absent,
            Json::Bool(flag) => Self::Bool(*flag),
            Json::Number(number) => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Self::Text(text.as_str().into()),
            Json::Array(_) | Json::Object(_) => Self::Other,
        }
    }

    pub(super) fn of_element(json: &Json) -> Self {
        if json.is_null() { Self::Null } else { Self::of(json) }
    }

    /// Whether they are the same without any conversion.
    fn is(&self, value: &Value<'_>) -> bool {
        match value {
            Value::Text(text) => self.is_text(text),
            Value::Json(json) => self.is_json(json),
        }
    }

    fn is_text(&self, text: &str) -> bool {
        matches!(self, Self::Text(own) if **own == *text)
    }

    fn is_json(&self, json: &Json) -> bool {
        match (self, json) {
            (Self::Bool(own), Json::Bool(flag)) => own == flag,
            (Self::Number(own), Json::Number(number)) => number.as_f64() == Some(*own),
            (_, Json::String(text)) => self.is_text(text),
            (own, Json::Null) => *own == Self::Null,
            (_, Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => false,
        }
    }

    /// Whether `==` holds: a number converts what it is compared with.
    fn equals(&self, value: Option<&Value<'_>>) -> bool {
        match (self, value) {
            (Self::Absent, value) => value.is_none(),
            (_, None) => false,
            (Self::Number(own), Some(value)) => number::of_value(value) == Some(*own),
            (own, Some(value)) => own.is(value),
        }
    }
}

impl Test {
    /// Whether a value passes; an absent one is none.
    pub(super) fn holds(&self, value: Option<&Value<'_>>) -> bool {
        match self {
            Self::Equal(operand) => operand.equals(value),
            Self::Unequal(operand) => !operand.equals(value),
            Self::Order { allowed, number } => {
                let left = value.and_then(number::of_value);
                let order = left.zip(*number).and_then(|(left, right)| left.partial_cmp(&right));
                order.is_some_and(|order| allowed.contains(&order))
            }
            Self::Matches(pattern) => {
                value.and_then(text).is_some_and(|text| pattern.is_match(&text))
            }
            Self::In(operands) => {
                value.is_some_and(|value| operands.iter().any(|operand| operand.is(value)))
            }
            Self::Has(operand) => match value {
                Some(Value::Json(Json::Array(elements))) => {
                    elements.iter().any(|element| operand.is_json(element))
                }
                Some(_) | None => false,
            },
            Self::Within(networks) => value
                .and_then(address)
                .is_some_and(|address| networks.iter().any(|network| network.contains(&address))),
        }
    }
}

/// What a pattern sees of a value: `false`, lists and objects have no text.
fn text<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    match value {
        Value::Text(text) => Some(Cow::Borrowed(text)),
        Value::Json(Json::String(text)) => Some(Cow::Borrowed(text)),
        Value::Json(Json::Bool(true)) => Some(Cow::Borrowed("true")),
        Value::Json(Json::Number(number)) => Some(Cow::Owned(number.to_string())),
        Value::Json(_) => None,
    }
}

fn address(value: &Value<'_>) -> Option<IpAddr> {
    let text = match value {
        Value::Text(text) => text,
        Value::Json(Json::String(text)) => text.as_str(),
        Value::Json(_) => return None,
    };
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}
