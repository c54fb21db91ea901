//! Variables: what expressions, templates and keys can ask about a request (APISIX.md 3.3).

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::facts::Facts;

/// What a variable stands for in a request. An absent one has no value at all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    /// Anything else: `true` for an argument without a value, numbers and lists from bodies.
    Json(Json),
}

/// A variable, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// The first value of an argument of the query.
    Arg(Box<str>),
}

impl Variable {
    /// The variable with this name (without `$`), or what is wrong with the name.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        match name.strip_prefix("arg_") {
            Some(name) if !name.is_empty() => Ok(Self::Arg(name.into())),
            Some(_) | None => Err(format!("unknown variable `{name}`")),
        }
    }

    /// Whether its value is in the body of the request.
    pub(crate) fn needs_body(&self) -> bool {
        false
    }

    /// Its value in a request.
    pub(crate) fn value<'a>(&self, _facts: &Facts<'a>) -> Option<Value<'a>> {
        None
    }
}
