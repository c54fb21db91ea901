//! What goes on when a configuration replaces another: the walks of all rules that are still there.
//!
//! A section that many routes share is followed once for all of them, also for routes that are new; of
//! sections of which each route has a copy, the copies walk on together.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;

use super::{Origin, Rule, Section, Shared, Split};
use crate::rotation::Rotation;

/// Has splits go on where `earlier` has come to. Each is given with the split that the same route had.
pub(crate) fn follow<'s>(
    splits: impl Iterator<Item = (&'s mut Split, Option<&'s Split>)>,
    earlier: impl Iterator<Item = &'s Split>,
) {
    let mut sections = Sections::default();
    let mut taken = Vec::new();
    for (split, before) in splits {
        let own = mem::take(&mut split.sections).into_vec().into_iter();
        let numbers: Vec<usize> = own.map(|section| sections.put(section)).collect();
        taken.push((split, before, numbers));
    }
    let mut trail = Trail::of(earlier);
    let mut next = 0;
    for (_, before, numbers) in &taken {
        for number in numbers.iter().copied().filter(|number| *number >= next) {
            // It is held here and nowhere else, until it is given back.
            if let Some(section) = sections.list.get_mut(number).and_then(Arc::get_mut) {
                trail.follow(section, *before);
            }
        }
        next = numbers.iter().fold(next, |next, number| next.max(number + 1));
    }
    for (split, _, numbers) in taken {
        let section = |number: usize| sections.list.get(number).map(Arc::clone);
        split.sections = numbers.into_iter().filter_map(section).collect();
    }
}

/// Sections, each of them held once, in the order in which they were first seen.
#[derive(Default)]
struct Sections {
    list: Vec<Arc<Section>>,
    /// The numbers of those that are shared as a whole, by address.
    shared: BTreeMap<*const Section, usize>,
}

impl Sections {
    /// Takes a section, and says which number it has.
    fn put(&mut self, section: Arc<Section>) -> usize {
        let number = self.list.len();
        if let Origin::Shared(shared) = &section.origin
            && shared.is_whole
        {
            let known = *self.shared.entry(Arc::as_ptr(&section)).or_insert(number);
            if known != number {
                return known;
            }
        }
        self.list.push(section);
        number
    }
}

/// What shared sections go on with.
struct Trail<'s> {
    /// One of each holder, as it was.
    earlier: BTreeMap<&'s str, &'s Section>,
    /// The walks of the first of each holder, as it is.
    walks: BTreeMap<Box<str>, Vec<Rotation>>,
}

impl<'s> Trail<'s> {
    fn of(splits: impl Iterator<Item = &'s Split>) -> Self {
        let mut earlier = BTreeMap::new();
        for section in splits.flat_map(|split| &split.sections) {
            if let Origin::Shared(shared) = &section.origin {
                earlier.entry(&*shared.holder).or_insert(&**section);
            }
        }
        Self { earlier, walks: BTreeMap::new() }
    }

    /// Has a section go on, of a route that had `before`.
    fn follow(&mut self, section: &mut Section, before: Option<&Split>) {
        let of_route = before.and_then(|split| split.section_of(&section.origin));
        let Origin::Shared(shared) = section.origin.clone() else {
            if let Some(before) = of_route {
                follow_rules(&mut section.rules, &before.rules, true);
            }
            return;
        };
        let Shared { holder, is_whole } = *shared;
        // The nodes of a copy may be those of another route's upstream.
        let with_nodes = is_whole || of_route.is_some();
        if let Some(before) = of_route.or_else(|| self.earlier.get(&*holder).copied()) {
            follow_rules(&mut section.rules, &before.rules, with_nodes);
        }
        match self.walks.get(&holder) {
            Some(walks) => {
                for (rule, walk) in section.rules.iter_mut().zip(walks) {
                    rule.branches.join(walk);
                }
            }
            None => {
                let walks = section.rules.iter().map(|rule| rule.branches.joint()).collect();
                self.walks.insert(holder, walks);
            }
        }
    }
}

impl Origin {
    /// Whether both are the same place, in two documents.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Shared(shared), Self::Shared(other)) => shared.holder == other.holder,
            _ => self == other,
        }
    }
}

impl Rule {
    /// Goes on where `earlier`, the same rule, has come to, with or without the walks over nodes.
    fn follow_walks(&mut self, earlier: &Self, with_nodes: bool) {
        self.branches.follow_walks(&earlier.branches, with_nodes);
        let own = self.extras.as_mut().and_then(|extras| extras.mirror.as_mut());
        if let (Some(own), Some(earlier)) = (own, earlier.mirror()) {
            own.follow(earlier);
        }
    }
}

impl Split {
    fn section_of(&self, origin: &Origin) -> Option<&Section> {
        let found = self.sections.iter().find(|section| section.origin.is(origin));
        found.map(|section| &**section)
    }
}

/// Has each rule go on where the one of `earlier` has come to that is the same. There may be tens of
/// thousands, of which mostly none or few have changed.
fn follow_rules(rules: &mut [Rule], earlier: &[Rule], with_nodes: bool) {
    let mut unchanged = 0;
    let mut moved = Vec::new();
    for rule in rules {
        match earlier.get(unchanged) {
            Some(before) if moved.is_empty() && rule.is(before) => {
                rule.follow_walks(before, with_nodes);
                unchanged += 1;
            }
            _ => moved.push(rule),
        }
    }
    let mut by_key: BTreeMap<_, VecDeque<&Rule>> = BTreeMap::new();
    if !moved.is_empty() {
        for rule in earlier.iter().skip(unchanged) {
            by_key.entry(rule.key()).or_default().push_back(rule);
        }
    }
    let mut same = Vec::with_capacity(moved.len());
    for rule in &moved {
        let before = by_key.get_mut(&rule.key()).and_then(VecDeque::pop_front);
        same.push(before.filter(|before| rule.is(before)));
    }
    for (rule, before) in moved.into_iter().zip(same) {
        if let Some(before) = before {
            rule.follow_walks(before, with_nodes);
        }
    }
}
