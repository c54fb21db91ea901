//! What the requests of one split got, counted while they pass: nothing is kept of a request but the
//! branches of one window.

use std::collections::VecDeque;

/// The longest window whose picks are kept, two bytes each. One that is longer is not looked at.
const WINDOW_MAX: u64 = 1 << 24;

/// The first requests are all drawn, later ones at distances that grow by a fiftieth of what has passed.
const DRAWN_EACH: u64 = 100;
const DRAWN_GROWTH: u64 = 50;

/// What came of the requests of a split so far.
#[derive(Debug)]
pub(crate) struct Tally {
    picks: u64,
    branches: Vec<Branch>,
    window: Option<Window>,
    drawn: Vec<Drawn>,
    draw_at: u64,
}

/// How many requests each branch had when so many were done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drawn {
    pub(crate) picks: u64,
    pub(crate) counts: Box<[u64]>,
}

#[derive(Clone, Debug, Default)]
struct Branch {
    count: u64,
    /// The number of its last request, from 1; 0 before the first.
    last: u64,
    longest_gap: u64,
}

/// The last picks of one period.
#[derive(Debug)]
struct Window {
    length: u64,
    picks: VecDeque<u16>,
    /// How many more of each branch there are than should be.
    excess: Vec<i64>,
    /// The largest that one was off when the window was full.
    deviation: Option<u64>,
}

impl Tally {
    /// Of a split with these weights, whose walk is exact in every window of `period` requests.
    pub(crate) fn new(weights: &[u32], period: u64) -> Self {
        Self {
            picks: 0,
            branches: vec![Branch::default(); weights.len()],
            window: (period <= WINDOW_MAX).then(|| Window::new(weights, period)),
            drawn: Vec::new(),
            draw_at: 1,
        }
    }

    /// A request went to this branch.
    pub(crate) fn pick(&mut self, index: usize) {
        self.picks += 1;
        if let Some(branch) = self.branches.get_mut(index) {
            branch.longest_gap = branch.longest_gap.max(self.picks - branch.last - 1);
            branch.last = self.picks;
            branch.count += 1;
        }
        if let Some(window) = &mut self.window {
            window.pick(index);
        }
        if self.picks == self.draw_at {
            self.drawn.push(self.counts());
            let step = if self.picks < DRAWN_EACH { 1 } else { self.picks / DRAWN_GROWTH };
            self.draw_at += step;
        }
    }

    /// How many requests there were.
    pub(crate) fn picks(&self) -> u64 {
        self.picks
    }

    /// How many of them a branch got.
    pub(crate) fn count(&self, index: usize) -> u64 {
        self.branches.get(index).map_or(0, |branch| branch.count)
    }

    /// The most requests in a row that did not go to a branch.
    pub(crate) fn longest_gap(&self, index: usize) -> u64 {
        let gap = |branch: &Branch| branch.longest_gap.max(self.picks - branch.last);
        self.branches.get(index).map_or(0, gap)
    }

    /// By how many requests a branch was off, at worst, in a window of one period; nothing where there
    /// were fewer requests, or the period is longer than can be looked at.
    pub(crate) fn deviation(&self) -> Option<u64> {
        self.window.as_ref()?.deviation
    }

    /// How it went, up to the last request.
    pub(crate) fn drawn(&self) -> Vec<Drawn> {
        let mut drawn = self.drawn.clone();
        if drawn.last().is_none_or(|last| last.picks < self.picks) {
            drawn.push(self.counts());
        }
        drawn
    }

    fn counts(&self) -> Drawn {
        let counts = self.branches.iter().map(|branch| branch.count).collect();
        Drawn { picks: self.picks, counts }
    }
}

impl Window {
    fn new(weights: &[u32], period: u64) -> Self {
        let total: u64 = weights.iter().copied().map(u64::from).sum();
        // The period is the sum of the weights over what they have in common.
        let divisor = (total / period.max(1)).max(1);
        let due = |weight: &u32| -i64::from(*weight) / i64::try_from(divisor).unwrap_or(i64::MAX);
        let excess = weights.iter().map(due).collect();
        Self { length: period, picks: VecDeque::new(), excess, deviation: None }
    }

    fn pick(&mut self, index: usize) {
        let mut touched = [index; 2];
        self.add(index, 1);
        self.picks.push_back(u16::try_from(index).unwrap_or(u16::MAX));
        if self.picks.len() as u64 > self.length
            && let Some(first) = self.picks.pop_front()
        {
            self.add(usize::from(first), -1);
            touched = [index, usize::from(first)];
        }
        if self.picks.len() as u64 == self.length {
            let off = |excess: &i64| excess.unsigned_abs();
            let worst = match self.deviation {
                None => self.excess.iter().map(off).max(),
                // Only the branches that entered or left it can be off by more than before.
                Some(_) => touched.iter().filter_map(|it| self.excess.get(*it)).map(off).max(),
            };
            self.deviation = self.deviation.max(worst);
        }
    }

    fn add(&mut self, index: usize, step: i64) {
        if let Some(excess) = self.excess.get_mut(index) {
            *excess += step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use splitway_core::rotation::{Rotation, Weight};

    fn tally(weights: &[u32], period: u64, picks: &[usize]) -> Tally {
        let mut tally = Tally::new(weights, period);
        picks.iter().for_each(|pick| tally.pick(*pick));
        tally
    }

    #[test]
    fn the_walk_is_never_off_in_a_window() {
        for weights in [&[50, 50][..], &[95, 5], &[1, 2, 3, 0], &[7], &[997, 3], &[10, 20, 30]] {
            let list: Vec<Weight> = weights.iter().copied().map(Weight).collect();
            let walk = Rotation::new(&list, 0).expect("weights");
            let mut tally = Tally::new(weights, walk.period());
            (0..5000).for_each(|_| tally.pick(walk.next()));
            assert_eq!(tally.deviation(), Some(0), "{weights:?}");
        }
    }

    #[test]
    fn the_worst_window_is_told() {
        for (period, picks, expected) in [
            (2, &[0, 1, 0, 1][..], Some(0)),
            (2, &[0, 1, 1, 0], Some(1)),
            (4, &[0, 1, 0, 1, 0, 0, 0, 1, 1, 1], Some(1)),
            (4, &[0, 0, 0, 0, 1, 1], Some(2)),
            (4, &[1, 0, 1, 1, 1, 1], Some(2)),
            (4, &[0, 1, 0], None),
            (WINDOW_MAX + 1, &[0, 1], None),
        ] {
            assert_eq!(tally(&[2, 2], period, picks).deviation(), expected, "{picks:?}");
        }
    }

    #[test]
    fn gaps_count_from_the_beginning_and_to_the_end() {
        let tally = tally(&[1, 1, 1, 0], 3, &[0, 0, 1, 0, 0, 0]);
        let gaps: Vec<u64> = (0..4).map(|index| tally.longest_gap(index)).collect();
        assert_eq!(gaps, [1, 3, 6, 6]);
        assert_eq!((tally.picks(), tally.count(0), tally.count(1), tally.count(9)), (6, 5, 1, 0));
    }

    #[test]
    fn what_is_drawn_grows_slowly_and_ends_with_the_last_request() {
        let tally = tally(&[1, 1], 2, &[0, 1].repeat(500_000));
        let drawn = tally.drawn();
        assert!((300..1000).contains(&drawn.len()), "{}", drawn.len());
        assert_eq!(drawn.last(), Some(&Drawn { picks: 1_000_000, counts: [500_000; 2].into() }));
        assert!(drawn.is_sorted_by(|one, next| one.picks < next.picks));
    }
}
