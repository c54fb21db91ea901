//! The arguments of a request.

use percent_encoding::percent_decode_str;
use std::time::Duration;

use crate::fault::did_you_mean;

/// The arguments of a request, decoded as forms are, in their order.
pub(super) struct Query(Vec<(String, String)>);

/// The longest time after which a resource may go: ten years, in seconds.
const TTL_MAX_S: f64 = 315_360_000.0;

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Self {
        let pairs = query.into_iter().flat_map(|query| query.split('&'));
        let pairs = pairs.filter(|pair| !pair.is_empty());
        let split = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (form(name), form(value))
        };
        Self(pairs.map(split).collect())
    }

    /// The first value of an argument.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// An argument that is none of these, with what it may have been meant to be.
    pub(super) fn unknown(&self, known: &[&str]) -> Option<String> {
        let (name, _) = self.0.iter().find(|(name, _)| !known.contains(&name.as_str()))?;
        Some(format!("unknown argument `{name}`{}", did_you_mean(name, known)))
    }

    /// Whether an argument is there and not `false`.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(value, "false" | "0"))
    }

    /// A whole number; an error that names the argument where it is none.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, String> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = whole_number(text).map(Some);
        number.ok_or_else(|| format!("invalid argument {name}: should be a number"))
    }

    /// After how long a resource goes.
    pub(super) fn ttl(&self) -> Result<Option<Duration>, String> {
        let Some(text) = self.get("ttl") else { return Ok(None) };
        let secs: Option<f64> = text.parse().ok();
        match secs.filter(|secs| (1.0..=TTL_MAX_S).contains(secs)) {
            Some(secs) => Ok(Some(Duration::from_secs_f64(secs.ceil()))),
            None if secs.is_some_and(f64::is_finite) => {
                Err(format!("invalid argument ttl: expected seconds from 1 to {TTL_MAX_S}"))
            }
            None => Err("invalid argument ttl: should be a number".to_owned()),
        }
    }
}

/// A number as it is written, in digits alone.
pub(super) fn whole_number(text: &str) -> Option<u64> {
    // Rust would take a sign, too.
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

/// A part of a path, decoded.
pub(super) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn form(text: &str) -> String {
    decode(&text.replace('+', " "))
}
