//! Arguments as forms write them (`application/x-www-form-urlencoded`), in queries and in bodies.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde_json::Value as Json;

use super::Value;

/// Names and values as written; an argument without `=` has no value.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let named = |(name, _): &(&str, _)| !name.is_empty();
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (pair, None),
    });
    pairs.filter(named)
}

/// The first value of an argument: text, or `true` where only its name is there.
pub(super) fn first<'a>(query: &'a str, name: &str) -> Option<Value<'a>> {
    let (_, value) = pairs(query).find(|(own, _)| decoded(own) == name)?;
    Some(match value {
        Some(value) => Value::Text(decoded(value)),
        None => Value::Json(Json::Bool(true)),
    })
}

/// Without escapes, and blanks for `+`. What is no escape stays as it is.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}
