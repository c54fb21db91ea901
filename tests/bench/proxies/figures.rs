//! What is measured in a turn, and what becomes of the turns of all rounds.

use crate::cores::FOREIGN;

/// The figures of one turn. What is not measured in a case is not a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// CPU time of the proxy per request, or per event of a stream, in µs.
    pub(crate) cpu: f64,
    /// Of that in user mode.
    pub(crate) user: f64,
    /// Requests (events) per second.
    pub(crate) rate: f64,
    /// How long an answer took (how much later than it was sent an event came), in µs: the median.
    pub(crate) p50: f64,
    /// The same of the slowest 100th.
    pub(crate) p99: f64,
    /// How long the first byte of a stream took, in µs: the median.
    pub(crate) first: f64,
    /// Resident memory, in KiB: after the load, or without any.
    pub(crate) memory: f64,
    /// Resident memory for each idle connection, in KiB.
    pub(crate) connection: f64,
}

impl Default for Turn {
    fn default() -> Self {
        let none = f64::NAN;
        Self {
            cpu: none,
            user: none,
            rate: none,
            p50: none,
            p99: none,
            first: none,
            memory: none,
            connection: none,
        }
    }
}

/// A figure of a turn.
pub(crate) type Figure = fn(&Turn) -> f64;

/// A turn, and whether something else was on the core meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// The figures.
    pub(crate) turn: Turn,
    /// The share of the core that others had.
    pub(crate) foreign: f64,
}

impl Taken {
    /// Whether the figures say little.
    pub(crate) fn is_spoilt(&self) -> bool {
        self.foreign > FOREIGN
    }
}

/// All turns of a lane, and in the same rounds of the lane that it is compared with.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pairs: Vec<(Turn, Turn)>,
    /// Whether rounds with others on the core had to be counted, too.
    pub(crate) busy: bool,
}

/// Fewer pairs than this say nothing.
const LEAST: usize = 3;

impl Series {
    /// Pairs the turns; those that are spoilt are left out while enough others are there.
    pub(crate) fn new(own: &[Taken], other: &[Taken]) -> Self {
        let pairs = || own.iter().zip(other);
        let sound: Vec<(Turn, Turn)> = pairs()
            .filter(|(own, other)| !own.is_spoilt() && !other.is_spoilt())
            .map(|(own, other)| (own.turn, other.turn))
            .collect();
        if sound.len() >= LEAST.min(own.len()) {
            return Self { pairs: sound, busy: false };
        }
        Self { pairs: pairs().map(|(own, other)| (own.turn, other.turn)).collect(), busy: true }
    }

    /// How many rounds count.
    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// The median of a figure.
    pub(crate) fn median(&self, figure: Figure) -> f64 {
        let mut values: Vec<f64> = self.pairs.iter().map(|(own, _)| figure(own)).collect();
        quartiles(&mut values)[1]
    }

    /// The quartiles of the ratio to the other lane, round by round, with the median in the middle.
    pub(crate) fn ratio(&self, figure: Figure) -> [f64; 3] {
        let ratio = |(own, other): &(Turn, Turn)| figure(own) / figure(other);
        quartiles(&mut self.pairs.iter().map(ratio).collect::<Vec<f64>>())
    }
}

/// The quartiles, the median in the middle; not numbers if there is nothing.
pub(crate) fn quartiles(values: &mut [f64]) -> [f64; 3] {
    [0.25, 0.5, 0.75].map(|share| quantile(values, share))
}

/// The value below which this share of the values is.
#[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is inside")]
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = share * values.len().saturating_sub(1) as f64;
    let value = |at: f64| values.get(at as usize).copied().unwrap_or(f64::NAN);
    let (low, high) = (value(at.floor()), value(at.ceil()));
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(cpu: f64, foreign: f64) -> Taken {
        Taken { turn: Turn { cpu, ..Turn::default() }, foreign }
    }

    #[test]
    fn ratios_are_made_inside_of_rounds() {
        let own = [taken(2.0, 0.0), taken(20.0, 0.0), taken(200.0, 0.0)];
        let other = [taken(1.0, 0.0), taken(10.0, 0.0), taken(100.0, 0.0)];
        let series = Series::new(&own, &other);
        assert_eq!(series.ratio(|turn| turn.cpu), [2.0; 3]);
        assert_eq!((series.median(|turn| turn.cpu), series.busy), (20.0, false));
    }

    #[test]
    fn spoilt_rounds_count_only_where_there_are_no_others() {
        let mut own = vec![taken(2.0, 0.0); 3];
        own.push(taken(9.0, 0.5));
        let other = [taken(1.0, 0.0); 4];
        assert_eq!(Series::new(&own, &other).len(), 3);
        let busy = Series::new(&own[2..], &other[2..]);
        assert_eq!((busy.len(), busy.busy), (2, true));
    }

    #[test]
    fn quartiles_lie_between_values() {
        assert_eq!(quartiles(&mut [4.0, 1.0, 2.0, 3.0]), [1.75, 2.5, 3.25]);
        assert!(quartiles(&mut []).iter().all(|value| value.is_nan()));
    }
}
