//! The places of a request where its key may be.

use std::borrow::Cow;

use crate::address::household;
use crate::facts::Facts;
use crate::fault::did_you_mean;
use crate::head::is_header_name;
use crate::raw;
use crate::variable::{Value, Variable};

/// The most bytes of a place as it is written.
pub(super) const PLACE_MAX: usize = 256;

/// One place of a request to look for a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Arg(Variable),
    /// A JSON pointer into a body of JSON.
    Body(Box<str>),
    Consumer,
    Cookie(Box<str>),
    /// By its lower-case name.
    Header(Box<str>),
    Ip,
}

impl Place {
    /// The place that a text names, or what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const KINDS: [&str; 6] = ["arg:", "body:", "consumer", "cookie:", "header:", "ip"];
        if text.len() > PLACE_MAX || text.chars().any(char::is_control) {
            return Err(format!("expected up to {PLACE_MAX} bytes without control characters"));
        }
        let (kind, name) = match text.split_once(':') {
            None => (text, None),
            Some((kind, name)) => (kind, Some(name)),
        };
        match (kind, name) {
            ("consumer", None) => Ok(Self::Consumer),
            ("ip", None) => Ok(Self::Ip),
            ("arg", Some(name)) if !name.is_empty() => {
                Variable::parse(&format!("arg_{name}")).map(Self::Arg)
            }
            ("cookie", Some(name)) if is_header_name(name) => Ok(Self::Cookie(name.into())),
            ("header", Some(name)) if is_header_name(name) => {
                Ok(Self::Header(name.to_ascii_lowercase().into()))
            }
            ("arg", Some(_)) => Err("expected the name of an argument".to_owned()),
            ("cookie" | "header", Some(_)) => Err(format!("expected the name of a {kind}")),
            ("body", Some(pointer)) if is_pointer(pointer) => Ok(Self::Body(pointer.into())),
            ("body", Some(_)) => {
                Err("expected a JSON pointer such as `body:/user/id` (RFC 6901)".to_owned())
            }
            _ => {
                let word = if name.is_some() { format!("{kind}:") } else { kind.to_owned() };
                let hint = did_you_mean(&word, &KINDS);
                Err(format!(
                    "expected `consumer`, `ip`, or `header`, `cookie`, `arg`, `body` with `:` and a name{hint}"
                ))
            }
        }
    }

    /// What a request has there; numbers, truth and addresses as text.
    pub(super) fn value<'a>(&self, facts: &Facts<'a>) -> Option<Cow<'a, str>> {
        match self {
            Self::Arg(variable) => match variable.value(facts)? {
                Value::Text(text) => Some(text),
                // An argument without a value.
                Value::Json(_) => None,
            },
            Self::Body(pointer) => in_body(facts.body()?, pointer).map(Cow::Owned),
            // The anonymous consumer is many clients, who would all go to one branch.
            Self::Consumer if facts.caller.is_anonymous => None,
            Self::Consumer => facts.caller.consumer.map(Cow::Borrowed),
            Self::Cookie(name) => facts.cookie(name),
            Self::Header(name) => facts.header(name),
            // Of IPv6 the network: the rest changes under one and the same client, who could choose it.
            Self::Ip => facts.client().map(|client| Cow::Owned(household(client).to_string())),
        }
    }
}

/// Whether a text is a JSON pointer to something inside (RFC 6901, section 3).
fn is_pointer(text: &str) -> bool {
    let is_escape = |rest: &str| rest.starts_with(['0', '1']);
    text.starts_with('/') && text.split('~').skip(1).all(is_escape)
}

/// What a body of JSON has at `pointer`, if that is a text, a number (its digits as they are written)
/// or a truth value.
fn in_body(body: &[u8], pointer: &str) -> Option<String> {
    let mut found = raw::root(body)?;
    for segment in pointer.split('/').skip(1) {
        let name = segment.replace("~1", "/").replace("~0", "~");
        let as_element = || {
            let is_index = segment == "0" || !segment.starts_with(['0', '+']);
            let index = segment.parse().ok().filter(|_| is_index)?;
            raw::element(found, index)
        };
        found = raw::member(found, &name).or_else(as_element)?;
    }
    match found.get().bytes().next()? {
        b'"' => serde_json::from_slice(found.get().as_bytes()).ok(),
        b'-' | b'0'..=b'9' | b't' | b'f' => Some(found.get().to_owned()),
        _ => None,
    }
}
