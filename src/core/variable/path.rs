//! Places in a body: names with dots between them or, where `[`, `*` or `..` occurs, as much of JSONPath
//! (RFC 9535) as costs no more than one walk over the body.
//!
//! What `..` finds can stand in what it found before, and each find is told whole. All finds together may
//! be 64 KiB larger than the body; those that come behind are left out. No finds reach that but such that
//! stand in one another.

use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use super::Value;
use crate::raw;

/// A place in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    text: Box<str>,
    steps: Box<[Step]>,
    /// Whether it is JSONPath, which finds a list; a plain path finds one value.
    finds_many: bool,
}

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(Box<str>),
    Index(usize),
    All,
    /// A name however deep. There is one at most: two would find a value as often as it has ways to it.
    Deep(Box<str>),
}

/// How many steps a path may have.
const STEPS_MAX: usize = 32;

/// How much larger than the body all that is found may be, in bytes.
const FOUND_MORE_MAX: usize = 64 * 1024;

impl Path {
    /// The path that this text is, or what in it is not supported.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let finds_many = text.contains(['[', '*']) || text.contains("..");
        let steps = if finds_many {
            let bare = text.strip_prefix('$').unwrap_or(text);
            many(bare).map_err(|what| format!("`post_arg.{text}`: {what}"))?
        } else {
            text.split('.').map(|name| Step::Name(name.into())).collect()
        };
        if steps.len() > STEPS_MAX {
            return Err(format!("`post_arg.` with more than {STEPS_MAX} steps"));
        }
        if steps.iter().filter(|step| matches!(step, Step::Deep(_))).count() > 1 {
            return Err(format!("`post_arg.{text}`: `..` can be had only once"));
        }
        Ok(Self { text: text.into(), steps: steps.into(), finds_many })
    }

    /// The path as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether what it finds is a list.
    pub(super) fn finds_many(&self) -> bool {
        self.finds_many
    }

    /// What is there in JSON: a plain path leads to it past all else, whatever that holds.
    pub(super) fn find_raw<'r>(&self, root: &'r RawValue) -> Option<&'r RawValue> {
        self.steps.iter().try_fold(root, |found, step| match step {
            Step::Name(name) => raw::member(found, name),
            Step::Index(_) | Step::All | Step::Deep(_) => None,
        })
    }

    /// What is there in a body of this length: text, other JSON, or the list of all that is found.
    pub(super) fn find(&self, body: &Json, length: usize) -> Option<Value<'static>> {
        let mut found = vec![body];
        for step in &self.steps {
            let mut next = Vec::new();
            found.iter().for_each(|json| step.take(json, &mut next));
            found = next;
        }
        if self.finds_many {
            let mut left = length.saturating_add(FOUND_MORE_MAX);
            let found: Vec<Json> =
                found.into_iter().map_while(|json| cloned_within(json, &mut left)).collect();
            return (!found.is_empty()).then_some(Value::Json(Json::Array(found)));
        }
        found.first().map(|json| match json {
            Json::String(text) => Value::Text(text.clone().into()),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                Value::Json((*json).clone())
            }
        })
    }
}

/// The same once more, unless it is larger than what is `left`, in bytes; none counts for more than it
/// takes in a text. Recurses as deep as the body is nested, which its parser bounds.
fn cloned_within(json: &Json, left: &mut usize) -> Option<Json> {
    let mut take = |length: usize| {
        *left = left.checked_sub(length)?;
        Some(())
    };
    take(1)?;
    Some(match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => json.clone(),
        Json::String(text) => {
            take(text.len())?;
            json.clone()
        }
        Json::Array(list) => {
            list.iter().map(|json| cloned_within(json, left)).collect::<Option<Vec<_>>>()?.into()
        }
        Json::Object(members) => {
            let mut cloned = Map::new();
            for (name, json) in members {
                *left = left.checked_sub(name.len())?;
                cloned.insert(name.clone(), cloned_within(json, left)?);
            }
            cloned.into()
        }
    })
}

impl Step {
    fn take<'j>(&self, json: &'j Json, next: &mut Vec<&'j Json>) {
        match self {
            Self::Name(name) => next.extend(json.as_object().and_then(|map| map.get(&**name))),
            Self::Index(index) => next.extend(json.as_array().and_then(|list| list.get(*index))),
            Self::All => next.extend(children(json)),
            Self::Deep(name) => deep(json, name, next),
        }
    }
}

fn children(json: &Json) -> impl Iterator<Item = &Json> {
    let elements = json.as_array().into_iter().flatten();
    elements.chain(json.as_object().into_iter().flat_map(|map| map.values()))
}

/// Recurses as deep as the body is nested, which its parser bounds.
fn deep<'j>(json: &'j Json, name: &str, next: &mut Vec<&'j Json>) {
    next.extend(json.as_object().and_then(|map| map.get(name)));
    children(json).for_each(|child| deep(child, name, next));
}

/// The steps of a JSONPath, behind its `$`.
fn many(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        rest = if let Some(behind) = rest.strip_prefix("..") {
            let (name, behind) = name(behind);
            if name.is_empty() || name == "*" {
                return Err("`..` must be followed by a name".to_owned());
            }
            steps.push(Step::Deep(name.into()));
            behind
        } else if let Some(behind) = rest.strip_prefix('[') {
            let (inner, behind) = behind.split_once(']').ok_or("`[` has no closing `]`")?;
            steps.push(selector(inner)?);
            behind
        } else {
            let (name, behind) = name(rest.strip_prefix('.').unwrap_or(rest));
            match name {
                "" => return Err("a name is missing beside a `.`".to_owned()),
                "*" => steps.push(Step::All),
                _ if name.contains('*') => return Err("`*` cannot be a part of a name".to_owned()),
                _ => steps.push(Step::Name(name.into())),
            }
            behind
        };
    }
    Ok(steps)
}

fn name(text: &str) -> (&str, &str) {
    text.split_at(text.find(['.', '[']).unwrap_or(text.len()))
}

/// What stands between brackets.
fn selector(inner: &str) -> Result<Step, String> {
    let quoted = |mark: char| inner.strip_prefix(mark)?.strip_suffix(mark);
    if let Some(name) = quoted('\'').or_else(|| quoted('"')) {
        return Ok(Step::Name(name.into()));
    }
    if inner == "*" {
        return Ok(Step::All);
    }
    let is_index = !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_digit());
    let index = inner.parse().ok().filter(|_| is_index);
    index.map(Step::Index).ok_or_else(|| {
        let kind = match inner.chars().next() {
            Some('?') => "filters",
            Some('(') => "scripts",
            Some('-') => "indices from the end",
            Some(_) if inner.contains(':') => "slices",
            Some(_) if inner.contains(',') => "unions",
            Some(_) | None => "other selectors",
        };
        format!("`[{inner}]`: {kind} of JSONPath cannot be had")
    })
}
