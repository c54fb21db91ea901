//! What can be asked of a body. The body is asked for only where the request says that it is of a kind
//! that can be read, and parsed once for all that is asked within the same [`Facts`].

use std::borrow::Cow;
use std::ops::Range;

use serde_json::{Map, Value as Json};

use super::path::Path;
use super::{Value, multipart, query};
use crate::facts::Facts;
use crate::raw;

const FORM: &str = "application/x-www-form-urlencoded";

/// The first value of a field of a form.
pub(super) fn form_field<'a>(facts: &Facts<'a>, name: &str) -> Option<Value<'a>> {
    let kind = facts.header("content-type")?;
    let is_form = kind.get(..FORM.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(FORM));
    if !is_form {
        return None;
    }
    let body = facts.body()?;
    let mut form = facts.read().form.borrow_mut();
    let found = match form.get(name) {
        Some(known) => known.clone(),
        None => {
            let found = query::first(&String::from_utf8_lossy(body), name).map(Value::into_json);
            form.insert(name.into(), found.clone());
            found
        }
    };
    found.map(of_json)
}

/// What a body has at `path`: JSON as it is, forms as an object of their fields.
pub(super) fn find<'a>(facts: &Facts<'a>, path: &Path) -> Option<Value<'a>> {
    let kind = facts.header("content-type")?;
    let lower = kind.to_ascii_lowercase();
    let parse: &dyn Fn(&[u8]) -> Option<Json> = if lower.contains("application/json") {
        if !path.finds_many() {
            return of_raw(place(facts, path)?);
        }
        &|body| serde_json::from_slice(body).ok()
    } else if lower.contains(FORM) {
        &|body| Some(Json::Object(form(body)))
    } else if lower.contains("multipart/form-data") {
        &|body| multipart::parse(&kind, body).map(Json::Object)
    } else {
        return None;
    };
    let body = facts.body()?;
    let parsed = facts.read().parsed.get_or_init(|| parse(body));
    path.find(parsed.as_ref()?, body.len())
}

/// What is at a plain path in a body of JSON.
fn place<'a>(facts: &Facts<'a>, path: &Path) -> Option<&'a str> {
    let body = facts.body()?;
    let mut places = facts.read().places.borrow_mut();
    let place = match places.get(path.text()) {
        Some(known) => known.clone(),
        None => {
            let found = raw::root(body).and_then(|root| path.find_raw(root));
            let place = found.and_then(|found| range_in(body, found.get().as_bytes()));
            places.insert(path.text().into(), place.clone());
            place
        }
    };
    std::str::from_utf8(body.get(place?)?).ok()
}

/// Where in `whole` a part of it lies.
fn range_in(whole: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    Some(start..start.checked_add(part.len())?)
}

/// JSON as a value; text without escapes is lent.
fn of_raw(found: &str) -> Option<Value<'_>> {
    let plain = found.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    if let Some(text) = plain.filter(|text| !text.contains('\\')) {
        return Some(Value::Text(Cow::Borrowed(text)));
    }
    raw::value(serde_json::from_slice(found.as_bytes()).ok()?).map(of_json)
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

/// JSON as a value.
fn of_json(json: Json) -> Value<'static> {
    match json {
        Json::String(text) => Value::Text(text.into()),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
            Value::Json(json)
        }
    }
}

impl Value<'_> {
    fn into_json(self) -> Json {
        match self {
            Self::Text(text) => text.into(),
            Self::Json(json) => json,
        }
    }
}
