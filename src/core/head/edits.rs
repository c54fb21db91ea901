//! Changes to the headers of a message.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use super::Text;

/// Changes to the headers of a message on its way here. While there are none, as of most messages, they are one
/// word, and nothing is allocated.
#[derive(Clone, Debug, Default)]
pub struct Edits(Option<Box<Lists>>);

/// The changes, made in the order of the fields. All names are lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Headers to remove, all values of each.
    pub remove: Vec<Text>,
    /// Headers to set, in place of what is there.
    pub set: Vec<(Text, Text)>,
    /// Values to add beside what is there.
    pub add: Vec<(Text, Text)>,
}

impl Edits {
    /// Adds a value beside what these changes leave of a header.
    pub(crate) fn append(&mut self, name: impl Into<Text>, value: impl Into<Text>) {
        self.add.push((name.into(), value.into()));
    }

    /// Sets a header in place of all that these changes leave of it.
    pub(crate) fn replace(&mut self, name: impl Into<Text>, value: impl Into<Text>) {
        let name = name.into();
        self.forget(&name);
        self.set.push((name, value.into()));
    }

    /// Removes all that these changes leave of a header.
    pub(crate) fn erase(&mut self, name: impl Into<Text>) {
        let name = name.into();
        self.forget(&name);
        self.remove.push(name);
    }

    /// Makes the changes to the headers of an answer of our own.
    pub(crate) fn apply(&self, headers: &mut Vec<(Cow<'static, str>, String)>) {
        let Lists { remove, set, add } = &**self;
        headers.retain(|(name, _)| !self.sets(name) && !remove.iter().any(|own| *own == **name));
        let owned = |(name, value): &(Text, Text)| (name.to_string().into(), value.to_string());
        headers.extend(set.iter().chain(add).map(owned));
    }

    fn sets(&self, name: &str) -> bool {
        self.set.iter().any(|(own, _)| own == name)
    }

    /// Whether nothing is changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_deref().is_none_or(Lists::is_empty)
    }

    fn forget(&mut self, name: &str) {
        if let Some(lists) = &mut self.0 {
            lists.set.retain(|(own, _)| own != name);
            lists.add.retain(|(own, _)| own != name);
        }
    }

    /// Whether whatever else is there of a header goes.
    fn replaces(&self, name: &str) -> bool {
        self.sets(name) || self.remove.iter().any(|own| own == name)
    }

    /// Makes the changes of `later`, too; where both name a header, `later` is right.
    pub(crate) fn follow(&mut self, later: Self) {
        if later.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = later;
            return;
        }
        self.set.retain(|(name, _)| !later.replaces(name));
        self.add.retain(|(name, _)| !later.replaces(name));
        let Lists { remove, set, add } = later.0.map(|lists| *lists).unwrap_or_default();
        self.remove.extend(remove);
        self.set.extend(set);
        self.add.extend(add);
    }
}

impl Lists {
    /// No changes.
    const NONE: &Self = &Self { remove: Vec::new(), set: Vec::new(), add: Vec::new() };

    fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

impl Deref for Edits {
    type Target = Lists;

    fn deref(&self) -> &Lists {
        self.0.as_deref().unwrap_or(Lists::NONE)
    }
}

impl DerefMut for Edits {
    fn deref_mut(&mut self) -> &mut Lists {
        self.0.get_or_insert_default()
    }
}

impl PartialEq for Edits {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Edits {}

/// So many headers are changed in every message: those that tell an upstream who asked
/// ([`forward`](super::forward)), or those that prove to a client who served.
const OWN_MAX: usize = 5;

/// Changes to the headers of a message that goes on, applied after [`HOP_BY_HOP`](super::HOP_BY_HOP) is
/// removed: first [`removed`](Self::removed), then [`set`](Self::set), then [`added`](Self::added). All names
/// are lower case.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// What this hop sets, or removes where there is no value. No other change here is of the same header.
    own: [Option<(&'static str, Option<Text>)>; OWN_MAX],
    count: usize,
    others: Edits,
}

impl Changes {
    /// Headers to remove, all values of each.
    pub fn removed(&self) -> impl Iterator<Item = &str> {
        let own = self.told().filter(|(_, value)| value.is_none()).map(|(name, _)| name);
        own.chain(self.others.remove.iter().map(Text::as_str))
    }

    /// Whether this header is one to remove.
    pub fn removes(&self, name: &str) -> bool {
        self.told().any(|(own, value)| value.is_none() && own == name)
            || self.others.remove.iter().any(|own| own == name)
    }

    /// Headers to set, in place of what is there. Of several values of one header the last one counts.
    pub fn set(&self) -> impl Iterator<Item = (&str, &Text)> {
        self.own().chain(self.set_by_others())
    }

    /// Those to set that are the same in every message. No other change is of one of them, and all are names.
    pub fn own(&self) -> impl Iterator<Item = (&str, &Text)> {
        self.told().filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }

    /// The others of those to set.
    pub fn set_by_others(&self) -> impl Iterator<Item = (&str, &Text)> {
        self.others.set.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Values to add beside what is there.
    pub fn added(&self) -> impl Iterator<Item = (&str, &Text)> {
        self.others.add.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many values there are to set and to add.
    pub fn count(&self) -> usize {
        self.count + self.others.set.len() + self.others.add.len()
    }

    fn told(&self) -> impl Iterator<Item = (&'static str, &Option<Text>)> {
        self.own.iter().take(self.count).flatten().map(|(name, value)| (*name, value))
    }

    /// Sets a header, each once, or removes it where there is no value.
    pub(super) fn tell(&mut self, name: &'static str, value: Option<Text>) {
        match self.own.get_mut(self.count) {
            Some(place) => {
                *place = Some((name, value));
                self.count += 1;
            }
            None => debug_assert!(false, "there are no more than {OWN_MAX}"),
        }
    }

    /// Takes a header away that a message nominates.
    pub(super) fn take_away(&mut self, name: Text) {
        self.others.remove.push(name);
    }

    /// Makes other changes, too, which are right where both name a header.
    pub(crate) fn follow(&mut self, later: Edits) {
        if later.is_empty() {
            return;
        }
        for place in &mut self.own {
            if place.as_ref().is_some_and(|(name, _)| later.replaces(name)) {
                *place = None;
            }
        }
        self.others.follow(later);
    }

    /// Adds a value beside what these changes leave of a header.
    pub(crate) fn append(&mut self, name: &'static str, value: Text) {
        self.others.append(name, value);
    }

    /// Sets a header in place of all that was set or added before, or removes it.
    pub(crate) fn overrule(&mut self, name: &'static str, value: Option<Text>) {
        if !self.others.is_empty() {
            self.others.forget(name);
        }
        self.tell(name, value);
    }
}

impl From<Edits> for Changes {
    fn from(others: Edits) -> Self {
        Self { others, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_one_header_are_made_in_their_order() {
        let name = || Text::fixed("x-a");
        let mut edits = Edits::default();
        edits.append("x-a", "1");
        edits.replace("x-a", "2");
        edits.append("x-a", "3");
        let two_and_three = (vec![(name(), "2".into())], vec![(name(), "3".into())]);
        assert_eq!((edits.set.clone(), edits.add.clone()), two_and_three);
        edits.erase("x-a");
        assert_eq!(*edits, Lists { remove: vec![name()], ..Lists::default() });
        edits.append("x-a", "4");
        assert_eq!((edits.remove.len(), edits.add.len()), (1, 1));
    }

    #[test]
    fn one_header_is_changed_once_by_this_hop_or_by_others() {
        let mut changes = Changes::default();
        changes.tell("x-a", Some("own".into()));
        changes.tell("x-b", Some("own".into()));
        let mut later = Edits::default();
        later.replace("x-a", "later");
        later.append("x-b", "beside");
        changes.follow(later);
        let set = |changes: &Changes| {
            let all = changes.set().map(|(name, value)| format!("{name}={value}"));
            all.collect::<Vec<_>>()
        };
        assert_eq!(set(&changes), ["x-b=own", "x-a=later"]);
        assert_eq!(changes.added().count(), 1);
        changes.overrule("x-a", None);
        assert_eq!(set(&changes), ["x-b=own"]);
        assert_eq!(changes.removed().collect::<Vec<_>>(), ["x-a"]);
    }
}
