//! Faults of a document: what is wrong or remarkable, and where, as JSON pointers (RFC 6901).
//!
//! A place is a chain on the stack ([`At`]) that is rendered only when there is something to say
//! about it, so that a document without faults costs no pointers.

use std::fmt::{self, Write as _};

use crate::kind::Kind;

/// A place in a document, as a chain back to its root.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    /// The whole document.
    Root,
    /// The member of an object.
    Key(&'a At<'a>, &'a str),
    /// The element of a list.
    Index(&'a At<'a>, usize),
}

impl<'a> At<'a> {
    /// The member `key` of the object at this place.
    pub fn key(&'a self, key: &'a str) -> At<'a> {
        At::Key(self, key)
    }

    /// The place that has this pointer from here.
    pub(crate) fn pointer_to(self, inner: &str) -> String {
        // Most places are nearer than that to the root.
        let mut pointer = String::with_capacity(64);
        write!(pointer, "{self}{inner}").expect("text can be written to memory");
        pointer
    }

    /// The element `index` of the list at this place.
    pub fn index(&'a self, index: usize) -> At<'a> {
        At::Index(self, index)
    }
}

impl fmt::Display for At<'_> {
    /// Warnings are told of each of tens of thousands of routes: nothing is made that is not written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root => Ok(()),
            At::Key(parent, key) => {
                parent.fmt(f)?;
                f.write_str("/")?;
                match key.contains(['~', '/']) {
                    true => f.write_str(&key.replace('~', "~0").replace('/', "~1")),
                    false => f.write_str(key),
                }
            }
            At::Index(parent, index) => {
                parent.fmt(f)?;
                f.write_str("/")?;
                index.fmt(f)
            }
        }
    }
}

/// One thing to say about one place of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The JSON pointer of the place; empty for the whole document.
    pub at: String,
    /// What is wrong there, as a phrase that needs no pointer to be understood.
    pub what: String,
    /// The resource that is named there and does not exist, if that is what is wrong.
    pub missing: Option<Missing>,
}

/// A resource that is named and does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What it would be.
    pub kind: Kind,
    /// The id by which it is named.
    pub id: String,
}

impl Fault {
    /// A fault at a place that is known as a pointer.
    pub fn new(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into(), missing: None }
    }

    /// A fault at a place that names a resource which does not exist; `known` are the ids of those
    /// that do.
    pub(crate) fn missing<'k>(
        at: At<'_>,
        kind: Kind,
        id: &str,
        known: impl Iterator<Item = &'k str>,
    ) -> Self {
        // Thousands may be missing among as many: more than can be looked at is not collected.
        let known: Vec<&str> = known.take(WORDS_MAX + 1).collect();
        let what = format!("there is no {} `{id}`{}", kind.singular(), did_you_mean(id, &known));
        let missing = Some(Missing { kind, id: id.to_owned() });
        Self { missing, ..Self::new(at.to_string(), what) }
    }
}

/// What becomes of a name that leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dangling {
    /// It is a fault.
    Refused,
    /// It is a warning, and what needs it answers 503.
    Tolerated,
    /// It is not looked at: what it names is not there to be looked at.
    Ignored,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.at.is_empty() { "(document)" } else { &self.at };
        write!(f, "{at}: {}", self.what)
    }
}

/// What a compilation found: faults refuse the document, warnings do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What makes the document unusable.
    pub faults: Vec<Fault>,
    /// What works here and is different on APISIX, or cannot be had on one of the runtimes.
    pub warnings: Vec<Fault>,
}

impl Report {
    /// Notes a fault.
    pub fn fault(&mut self, at: At<'_>, what: impl Into<String>) {
        add(&mut self.faults, at, what.into());
    }

    /// Notes a name that leads nowhere, and says whether to go on without what it names.
    pub(crate) fn missing(&mut self, missing: Fault, dangling: Dangling) -> bool {
        match dangling {
            Dangling::Refused => self.faults.push(missing),
            Dangling::Tolerated => self.warnings.push(missing),
            Dangling::Ignored => {}
        }
        dangling != Dangling::Refused
    }

    /// Notes a warning.
    pub fn warn(&mut self, at: At<'_>, what: impl Into<String>) {
        add(&mut self.warnings, at, what.into());
    }
}

/// There are hundreds of places that have something to say: none of them has this in it.
#[inline(never)]
fn add(list: &mut Vec<Fault>, at: At<'_>, what: String) {
    list.push(Fault::new(at.pointer_to(""), what));
}

/// Looking for a near miss is worth it among so many words, and for words so long, and no more: the
/// effort is their product.
const WORDS_MAX: usize = 100;
const LENGTH_MAX: usize = 64;

/// The one of `known` that `word` was probably meant to be, as a phrase to append; else nothing.
pub(crate) fn did_you_mean(word: &str, known: &[&str]) -> String {
    if known.len() > WORDS_MAX || word.len() > LENGTH_MAX {
        return String::new();
    }
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .min()
        .map(|(_, candidate)| format!("; did you mean `{candidate}`?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_escapes_as_rfc_6901_says() {
        let root = At::Root;
        let paths = root.key("paths");
        let slash = paths.key("a/b~c");
        assert_eq!(slash.index(3).to_string(), "/paths/a~1b~0c/3");
        assert_eq!(At::Root.to_string(), "");
    }

    #[test]
    fn a_near_miss_is_named_and_a_far_one_is_not() {
        let known = ["weight", "upstream", "rewrite"];
        assert_eq!(did_you_mean("wieght", &known), "; did you mean `weight`?");
        assert_eq!(did_you_mean("colour", &known), "");
    }
}
