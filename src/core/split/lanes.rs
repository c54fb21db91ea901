//! The numbers of the branches of a split, in the order of its rules: what is counted is counted by them.

use super::{Branch, Origin, Rule, Section, Split};
use crate::meter::LaneNumber;

/// A branch in its place.
#[derive(Clone, Copy)]
pub(crate) struct Placed<'s> {
    section: &'s Section,
    pub(crate) rule: &'s Rule,
    pub(crate) branch: &'s Branch,
}

impl<'s> Placed<'s> {
    /// Where the plugin is from that has the rule, if it is not the route's own.
    pub(crate) fn holder(&self) -> Option<&'s str> {
        match &self.section.origin {
            Origin::Shared(shared) => Some(&shared.holder),
            Origin::Route | Origin::Upstream => None,
        }
    }
}

/// Numbers the branches of rules that stand behind each other.
pub(super) fn number(rules: &mut [Rule]) {
    let mut next = 0;
    for rule in rules {
        rule.lane = next;
        next += rule.branches.list().len() as u32;
    }
}

fn width(rule: &Rule) -> LaneNumber {
    rule.branches.list().len() as LaneNumber
}

impl Section {
    fn width(&self) -> LaneNumber {
        self.rules.last().map_or(0, |last| LaneNumber::from(last.lane) + width(last))
    }

    /// Whether the rule is one of its own.
    fn holds(&self, rule: &Rule) -> bool {
        self.rules.as_ptr_range().contains(&std::ptr::from_ref(rule))
    }
}

impl Split {
    /// How many branches there are.
    pub(crate) fn width(&self) -> LaneNumber {
        self.sections.iter().map(|section| section.width()).sum()
    }

    /// The number of a branch of one of the rules.
    pub(crate) fn lane(&self, rule: &Rule, branch: &Branch) -> Option<LaneNumber> {
        let mut before = 0;
        for section in &self.sections {
            if section.holds(rule) {
                let mut list = rule.branches.list().iter();
                let place = list.position(|it| std::ptr::eq(it, branch))?;
                return Some(before + LaneNumber::from(rule.lane) + place as LaneNumber);
            }
            before += section.width();
        }
        None
    }

    /// The branch with this number.
    pub(crate) fn at_lane(&self, number: LaneNumber) -> Option<Placed<'_>> {
        let mut left = number;
        for section in &self.sections {
            if left < section.width() {
                let behind =
                    section.rules.partition_point(|rule| LaneNumber::from(rule.lane) <= left);
                let rule = section.rules.get(behind.checked_sub(1)?)?;
                let place = usize::try_from(left - LaneNumber::from(rule.lane)).ok()?;
                let branch = rule.branches.list().get(place)?;
                return Some(Placed { section, rule, branch });
            }
            left -= section.width();
        }
        None
    }

    /// The number of the branch that has the name, in the rule that has the number, in a plugin from the
    /// same place as this one of another split.
    pub(crate) fn lane_like(&self, other: &Placed<'_>) -> Option<LaneNumber> {
        let mut before = 0;
        for section in &self.sections {
            if section.origin.is(&other.section.origin) {
                let number = other.rule.number;
                let place = section.rules.binary_search_by_key(&number, |rule| rule.number).ok()?;
                let rule = section.rules.get(place)?;
                let mut names = rule.branches.names();
                let branch = names.position(|name| *name == *other.branch.name)?;
                return Some(before + LaneNumber::from(rule.lane) + branch as LaneNumber);
            }
            before += section.width();
        }
        None
    }

    /// Every branch with its number, in order.
    pub(crate) fn placed(&self) -> impl Iterator<Item = (LaneNumber, Placed<'_>)> {
        let all = self.sections.iter().flat_map(|section| {
            section.rules.iter().flat_map(move |rule| {
                let branches = rule.branches.list().iter();
                branches.map(move |branch| Placed { section, rule, branch })
            })
        });
        (0..).zip(all)
    }
}
