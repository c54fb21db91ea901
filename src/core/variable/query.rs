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

/// The value of an argument, if it is there: nothing where it has none, or stands there several times.
pub(crate) fn only<'a>(query: &'a str, name: &str) -> Option<Option<Cow<'a, str>>> {
    let mut values = pairs(query).filter(|(own, _)| decoded(own) == name);
    let (_, first) = values.next()?;
    Some(first.filter(|_| values.next().is_none()).map(decoded))
}

/// A query without an argument, the others as they are written; nothing where it has no others.
pub(crate) fn without(query: &str, name: &str) -> Option<String> {
    let is_other = |pair: &&str| {
        let own = pair.split_once('=').map_or(*pair, |(own, _)| own);
        decoded(own) != name
    };
    let others: Vec<&str> = query.split('&').filter(is_other).collect();
    (!others.is_empty()).then(|| others.join("&"))
}

/// Without escapes, and blanks for `+`. What is no escape stays as it is.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_that_stands_once_has_a_value() {
        let only = |query: &str| super::only(query, "k").map(|value| value.map(Cow::into_owned));
        let some = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(only("a=1&k=2"), some("2"));
        assert_eq!(only("%6b=a+b%21"), some("a b!"));
        assert_eq!(only("k="), some(""));
        for nothing in ["k", "k=1&k=1", "k&k=1", "k=1&a&%6B=2"] {
            assert_eq!(only(nothing), Some(None), "{nothing}");
        }
        assert_eq!(only("a=k&K=1"), None);
    }

    #[test]
    fn others_stay_as_they_are_written() {
        let without = |query: &str| super::without(query, "k");
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(without("a=%31&k=2&&b&k"), some("a=%31&&b"));
        assert_eq!(without("%6b=2&kk=1"), some("kk=1"));
        assert_eq!(without("a"), some("a"));
        assert_eq!(without("k=1&k=2"), None);
    }
}
