//! The routes of a document one after the other, as values or as the text in which they are written.
//!
//! Routes are most of a document, and as values several times as large as their text. Where they are text,
//! each is read when it is its turn and given up before the next: all of them are never held at once.
//! What a route says word for word as one of those shortly before it did is not even read again.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::deeds::MOLDS;
use crate::json::{self, PARSED_MAX};
use crate::raw;

/// The routes of a document.
#[derive(Clone, Copy, Debug)]
pub(super) enum Listed<'d> {
    /// As they were read.
    Values(&'d [&'d Value]),
    /// As they are written.
    Texts(&'d [&'d RawValue]),
}

/// A route whose turn it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn<'v> {
    pub(super) index: usize,
    pub(super) value: &'v Value,
    /// Of its plugins, unless nothing shortly before it says the same: those that do have the same.
    pub(super) number: Option<usize>,
}

const PLUGINS: &str = "plugins";
const UPSTREAM: &str = "upstream";

/// How many levels of a document stand around a member of a route.
const LEVELS: usize = 3;

impl Listed<'_> {
    /// How many there are.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Texts(texts) => texts.len(),
        }
    }

    /// Has `visit` look at each; nothing, if there is one that cannot be read. Texts end where it says `false`.
    pub(super) fn each(self, visit: &mut dyn FnMut(Turn<'_>) -> bool) -> Option<()> {
        match self {
            Self::Values(values) => {
                let mut seen = Seen::default();
                for (index, value) in values.iter().enumerate() {
                    let plugins = value.get(PLUGINS);
                    let number = plugins.and_then(|plugins| seen.number(plugins, || Some(())));
                    visit(Turn { index, value, number: number.filter(|_| seen.is_known) });
                }
            }
            Self::Texts(texts) => {
                let mut reader = Reader::default();
                for (index, text) in texts.iter().enumerate() {
                    let value = reader.read(text)?;
                    let number = reader.plugins.lent.filter(|_| reader.plugins.seen.is_known);
                    if !visit(Turn { index, value: &value, number }) {
                        return None;
                    }
                    reader.take_back(value);
                }
            }
        }
        Some(())
    }
}

/// What was seen last, and what was made of it.
struct Seen<K, V> {
    last: Vec<(usize, K, V)>,
    /// How many there were.
    count: usize,
    /// Whether the one that was asked for last was there already.
    is_known: bool,
}

impl<K, V> Default for Seen<K, V> {
    fn default() -> Self {
        Self { last: Vec::new(), count: 0, is_known: false }
    }
}

impl<K: PartialEq, V> Seen<K, V> {
    /// The number of what is equal to this, or the next one with what is made of it.
    fn number(&mut self, key: K, make: impl FnOnce() -> Option<V>) -> Option<usize> {
        let known = self.last.iter().find(|(_, seen, _)| *seen == key);
        self.is_known = known.is_some();
        if let Some((number, ..)) = known {
            return Some(*number);
        }
        let number = self.count;
        let new = (number, key, make()?);
        self.count += 1;
        match self.last.get_mut(number % MOLDS) {
            Some(oldest) => *oldest = new,
            None => self.last.push(new),
        }
        Some(number)
    }

    fn get_mut(&mut self, number: usize) -> Option<&mut V> {
        self.last.get_mut(number % MOLDS).map(|(_, _, made)| made)
    }
}

/// Reads routes, one after the other.
struct Reader<'t> {
    plugins: Kept<'t>,
    upstreams: Kept<'t>,
}

/// The values of one member, as routes have said them.
struct Kept<'t> {
    key: &'static str,
    seen: Seen<&'t str, Value>,
    /// The number of the one that is in the route.
    lent: Option<usize>,
}

impl Default for Reader<'_> {
    fn default() -> Self {
        let kept = |key| Kept { key, seen: Seen::default(), lent: None };
        Self { plugins: kept(PLUGINS), upstreams: kept(UPSTREAM) }
    }
}

impl<'t> Reader<'t> {
    /// The value of a route, to be given back.
    fn read(&mut self, route: &'t RawValue) -> Option<Value> {
        let mut members = Map::new();
        for (key, text) in raw::members(route)? {
            let text = text.get();
            let value = match key.as_str() {
                PLUGINS => self.plugins.lend(text)?,
                UPSTREAM => self.upstreams.lend(text)?,
                _ => parse(text)?,
            };
            if members.insert(key, value).is_some() {
                return None;
            }
        }
        Some(Value::Object(members))
    }

    fn take_back(&mut self, mut route: Value) {
        self.plugins.take_back(&mut route);
        self.upstreams.take_back(&mut route);
    }
}

impl<'t> Kept<'t> {
    fn lend(&mut self, text: &'t str) -> Option<Value> {
        let number = self.seen.number(text, || parse(text))?;
        self.lent = Some(number);
        self.seen.get_mut(number).map(Value::take)
    }

    fn take_back(&mut self, route: &mut Value) {
        let place = self.lent.take().and_then(|number| self.seen.get_mut(number));
        if let Some((place, value)) = place.zip(route.get_mut(self.key)) {
            *place = value.take();
        }
    }
}

/// The value of a member, unless it would not be read inside of a document.
fn parse(text: &str) -> Option<Value> {
    let value = json::parse(text.as_bytes()).ok()?;
    // There are no more levels than brackets, which are counted sooner.
    let brackets = text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    let is_shallow = brackets + LEVELS <= PARSED_MAX;
    (is_shallow || json::depth(&value) + LEVELS <= PARSED_MAX).then_some(value)
}

#[cfg(test)]
mod tests;
