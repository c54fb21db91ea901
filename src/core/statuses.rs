//! Sets of status codes, and lists of them as documents write them.

use crate::fault::{At, Report};

/// The status codes that can be told apart; what is below is no final response (RFC 9110, section 15).
const FIRST: u16 = 200;
const LAST: u16 = 599;

/// Status codes from 200 to 599, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statuses([u64; 7]);

impl Statuses {
    /// Whether `status` is one of these.
    pub fn contains(&self, status: u16) -> bool {
        let place = place(status).and_then(|(word, bit)| Some(self.0.get(word)? & bit));
        place.is_some_and(|bit| bit != 0)
    }

    /// Adds `status`, unless it is not from 200 to 599.
    pub(crate) fn insert(&mut self, status: u16) {
        if let Some((word, bit)) = place(status)
            && let Some(word) = self.0.get_mut(word)
        {
            *word |= bit;
        }
    }

    /// Reads a list of statuses from 200 to 599, at least one and none twice, as APISIX has them.
    pub(crate) fn compile(list: &[u16], at: At<'_>, report: &mut Report) -> Self {
        let mut statuses = Self::default();
        if list.is_empty() {
            report.fault(at, "expected at least one status");
        }
        for (index, status) in list.iter().copied().enumerate() {
            if !(FIRST..=LAST).contains(&status) {
                let what = format!("expected a status from {FIRST} to {LAST}, found `{status}`");
                report.fault(at.index(index), what);
            } else if statuses.contains(status) {
                report.fault(at.index(index), format!("{status} stands twice"));
            }
            statuses.insert(status);
        }
        statuses
    }
}

impl FromIterator<u16> for Statuses {
    fn from_iter<I: IntoIterator<Item = u16>>(statuses: I) -> Self {
        let mut set = Self::default();
        statuses.into_iter().for_each(|status| set.insert(status));
        set
    }
}

/// The word and the bit that stand for a status.
fn place(status: u16) -> Option<(usize, u64)> {
    let place = status.checked_sub(FIRST).filter(|_| status <= LAST)?;
    Some((usize::from(place / 64), 1 << (place % 64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        for chosen in 0..=700 {
            let set: Statuses = [chosen].into_iter().collect();
            for asked in 0..=700 {
                let expected = asked == chosen && (200..=599).contains(&asked);
                assert_eq!(set.contains(asked), expected, "{asked} in [{chosen}]");
            }
        }
        assert!(!Statuses::default().contains(u16::MAX));
    }

    #[test]
    fn a_list_is_checked_place_by_place() {
        for (list, faults) in [
            (&[200, 302][..], &[][..]),
            (&[], &["(document): expected at least one status"]),
            (&[200, 199], &["/1: expected a status from 200 to 599, found `199`"]),
            (&[600], &["/0: expected a status from 200 to 599, found `600`"]),
            (&[404, 500, 404], &["/2: 404 stands twice"]),
        ] {
            let mut report = Report::default();
            Statuses::compile(list, At::Root, &mut report);
            let found: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
            assert_eq!(found, faults, "{list:?}");
        }
    }
}
