//! What can be asked of a body. The body is asked for only where the request says that it is of a kind
//! that can be read.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use super::path::Path;
use super::{Value, multipart, query};
use crate::facts::Facts;

const FORM: &str = "application/x-www-form-urlencoded";

/// The first value of a field of a form.
pub(super) fn form_field<'a>(facts: &Facts<'a>, name: &str) -> Option<Value<'a>> {
    let kind = facts.header("content-type")?;
    let is_form = kind.get(..FORM.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(FORM));
    if !is_form {
        return None;
    }
    let body = facts.body()?;
    match String::from_utf8_lossy(body) {
        Cow::Borrowed(form) => query::first(form, name),
        Cow::Owned(form) => query::first(&form, name).map(Value::into_owned),
    }
}

/// What a body has at `path`: JSON as it is, forms as an object of their fields.
pub(super) fn find(facts: &Facts<'_>, path: &Path) -> Option<Value<'static>> {
    let kind = facts.header("content-type")?;
    let lower = kind.to_ascii_lowercase();
    if lower.contains("application/json") {
        return path.find_raw(facts.body()?);
    }
    if lower.contains(FORM) {
        return path.find(Json::Object(form(facts.body()?)));
    }
    if lower.contains("multipart/form-data") {
        return path.find(Json::Object(multipart::parse(&kind, facts.body()?)?));
    }
    None
}

/// The fields of a form; several values of one are a list.
fn form(body: &[u8]) -> Map<String, Json> {
    let mut fields = Map::new();
    for (name, value) in query::pairs(&String::from_utf8_lossy(body)) {
        let value = value.map_or(Json::Bool(true), |value| Json::from(query::decoded(value)));
        add(&mut fields, query::decoded(name).into_owned(), value);
    }
    fields
}

/// Adds a value to those of a field.
pub(super) fn add(fields: &mut Map<String, Json>, name: String, value: Json) {
    match fields.get_mut(&name) {
        None => {
            fields.insert(name, value);
        }
        Some(Json::Array(values)) => values.push(value),
        Some(first) => *first = Json::Array(vec![first.take(), value]),
    }
}

impl Value<'_> {
    fn into_owned(self) -> Value<'static> {
        match self {
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Json(json) => Value::Json(json),
        }
    }
}
