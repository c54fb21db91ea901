//! Environment variables in APISIX's standalone files: `${{NAME}}` and `${{NAME:=default}}`.
//!
//! As in APISIX, texts are replaced after the YAML has been read, so a variable cannot add keys, and a
//! text with a variable that then is a number or a boolean becomes one (apisix/cli/file.lua).

use std::fmt;

use serde_json::{Map, Number, Value};

/// A variable that is not set and has no default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unset {
    /// Its name.
    pub name: String,
    /// The first line that names it, from 1; 0 where it is not known.
    pub line: usize,
}

impl fmt::Display for Unset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, line } = self;
        if *line > 0 {
            write!(f, "line {line}: ")?;
        }
        write!(f, "the environment variable `{name}` is not set and has no default here")
    }
}

const OPEN: &str = "${{";
const CLOSE: &str = "}}";

/// Replaces the variables in every key and text of a document that was read from `text`.
pub(super) fn substitute(
    document: Value,
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Value, Vec<Unset>> {
    let mut environment = Environment { variable, unset: Vec::new() };
    let document = environment.value(document);
    match environment.unset.is_empty() {
        true => Ok(document),
        false => {
            let place = |name: String| Unset { line: line_of(text, &name), name };
            Err(environment.unset.into_iter().map(place).collect())
        }
    }
}

struct Environment<'v> {
    variable: &'v dyn Fn(&str) -> Option<String>,
    unset: Vec<String>,
}

impl Environment<'_> {
    fn value(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) => match self.replace(&text) {
                Some(replaced) => scalar(replaced),
                None => Value::String(text),
            },
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(members) => {
                let replaced = members.into_iter().map(|(key, value)| {
                    let key = self.replace(&key).unwrap_or(key);
                    (key, self.value(value))
                });
                Value::Object(replaced.collect::<Map<_, _>>())
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
        }
    }

    /// The text with its variables replaced; `None` where it has none.
    fn replace(&mut self, text: &str) -> Option<String> {
        let (mut replaced, mut rest, mut is_used) = (String::new(), text, false);
        while let Some((before, after)) = rest.split_once(OPEN) {
            let Some((inner, behind)) = after.split_once(CLOSE) else { break };
            replaced.push_str(before);
            match self.look_up(inner.trim()) {
                Some(value) => {
                    is_used = true;
                    replaced.push_str(&value);
                }
                None => [OPEN, inner, CLOSE].iter().for_each(|part| replaced.push_str(part)),
            }
            rest = behind;
        }
        replaced.push_str(rest);
        is_used.then_some(replaced)
    }

    /// The value of `NAME` or `NAME:=default`; `None` for what is no variable, or is noted as unset.
    fn look_up(&mut self, inner: &str) -> Option<String> {
        if !inner.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return None;
        }
        let (name, default) = match inner.split_once(":=") {
            Some((name, default)) => (name.trim(), Some(default.trim().to_owned())),
            None => (inner, None),
        };
        let value = (self.variable)(name).or(default);
        if value.is_none() && !self.unset.iter().any(|unset| unset == name) {
            self.unset.push(name.to_owned());
        }
        value
    }
}

/// What a text with a variable became: a number or a boolean where it looks like one.
fn scalar(text: String) -> Value {
    match text.as_str() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        other => number(other.trim()).map_or(Value::String(text), Value::Number),
    }
}

/// The number that Lua's `tonumber` takes a text for.
fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        let number = i64::from_str_radix(hex, 16).ok().filter(|_| !hex.starts_with(['-', '+']))?;
        return Some(if text.starts_with('-') { -number } else { number }.into());
    }
    match text.parse::<i64>() {
        Ok(number) => Some(number.into()),
        Err(_) => Number::from_f64(text.parse().ok()?),
    }
}

/// The first line that names a variable, comments aside.
fn line_of(text: &str, name: &str) -> usize {
    let names = |line: &str| {
        let after = line.split(OPEN).skip(1);
        let is_comment = line.trim_start().starts_with('#');
        !is_comment && after.into_iter().any(|rest| rest.trim_start().starts_with(name))
    };
    text.lines().position(names).map_or(0, |index| index + 1)
}
