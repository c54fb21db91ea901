//! Reading JSON into wire types, reporting every fault instead of the first.
//!
//! Serde stops at the first error. `read` notes it with its place, leaves that place out and reads
//! again, until all else is read too. A document without faults is read once.

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

use crate::fault::{At, Fault, Report};
use crate::id::Id;
use crate::reader::{Reader, kind};

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
        let reader = Reader { value, at, left_out: &left_out };
        let error = match T::deserialize(reader) {
            Ok(read) if left_out.is_empty() => return check(read, report),
            Ok(read) => {
                let mut of_rest = Report::default();
                check(read, &mut of_rest);
                add_rest(of_rest, value, at, &left_out, report);
                return None;
            }
            Err(error) => error,
        };
        let place = error.0.at.unwrap_or_else(|| at.to_string());
        if !(error.0.missing && follows(&place, &left_out)) {
            report.faults.push(Fault::new(place.clone(), error.0.what));
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

/// A key under which APISIX runs Lua. Splitway runs nobody's code.
#[derive(Debug)]
pub(crate) enum Lua {}

impl<'de> Deserialize<'de> for Lua {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom(
            "APISIX runs Lua here, which Splitway does not: `vars` can say much of it",
        ))
    }
}

/// How many characters a `name`, a `desc` and the value of a label may have, as in APISIX.
pub(crate) const REMARK_MAX: usize = 256;

/// Text about a resource, of bounded length: its `desc` or `name`.
#[derive(Debug)]
pub(crate) struct Remark(pub(crate) Box<str>);

impl<'de> Deserialize<'de> for Remark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        match text.chars().count() {
            0..=REMARK_MAX => Ok(Self(text.into())),
            length => Err(de::Error::custom(format_args!(
                "expected at most {REMARK_MAX} characters, found {length}"
            ))),
        }
    }
}

/// The member `labels` of a resource, by which lists can be filtered.
pub(crate) type Labels = BTreeMap<String, Label>;

/// The value of a label: text without white space.
#[derive(Debug)]
pub(crate) struct Label(pub(crate) Box<str>);

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        let fits = (1..=REMARK_MAX).contains(&text.chars().count());
        match fits && !text.contains(char::is_whitespace) {
            true => Ok(Self(text.into())),
            false => Err(de::Error::custom(format_args!(
                "expected 1 to {REMARK_MAX} characters and no white space"
            ))),
        }
    }
}

/// An object whose keys are data, such as `plugins`. Not a map of `serde_json`, which is also read from
/// null.
pub(crate) type Members = BTreeMap<String, Value>;

/// An object that is looked at elsewhere: only that it is one is read, and nothing of it is copied.
#[derive(Debug)]
pub(crate) struct Object;

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// The plugins of a resource, of which its wire type has read that they are an object.
pub(crate) fn plugins(resource: &Value) -> Option<&Map<String, Value>> {
    resource.get("plugins")?.as_object()
}

/// The members of an object that is not read into a type, in the order of their keys.
pub(crate) fn members<'v>(
    value: &'v Value,
    at: At<'_>,
    report: &mut Report,
) -> Option<&'v Map<String, Value>> {
    let members = value.as_object();
    if members.is_none() {
        report.fault(at, format!("expected an object, found {}", kind(value)));
    }
    members
}

/// The id that a value is, as it is read everywhere: a text, or a whole number, `7.0` being 7.
pub(crate) fn id(value: &Value) -> Option<Id> {
    read(value, At::Root, &mut Report::default(), |id, _| Some(id))
}

#[cfg(test)]
mod tests {
    use super::*;
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
