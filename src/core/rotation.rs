//! The walk behind every weighted choice: shares that are exact in every window and even inside it.
//!
//! The weights, divided by their greatest common divisor, lie side by side on a circle of `period`
//! points. A counter walks the circle in steps of a stride near `period / phi` that is coprime to
//! `period`: `period` steps visit every point once, so each choice is made exactly as often as its
//! weight says in *any* `period` consecutive picks; and because the golden ratio is the number worst
//! approximated by fractions, the visits of each share are spread almost evenly over the window
//! (three-distance theorem; Knuth, The Art of Computer Programming, vol. 3, section 6.4).
//! 95:5 is one pick of the small share in every 20, not a burst of 19 and then one.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How large a share is, beside the others; 0 gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(pub u32);

/// A point on the circle of a [`Rotation`], below its period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point(u64);

/// Why weights cannot be picked from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpickable {
    /// All weights are 0, or there are none.
    NoWeight,
    /// The weights add up to more than `u32::MAX`, even after division by what they share.
    TooHeavy,
}

/// A fixed list of weighted choices and the position of the walk through them. A clone walks the same
/// walk. The default is one choice.
#[derive(Clone, Debug, Default)]
pub struct Rotation {
    /// Shared with the rotations that continue this one. Of a single choice there is nothing to keep, and
    /// most upstreams have one node.
    circle: Option<Arc<Circle>>,
}

/// Several choices, and the only things of a [`Rotation`] that change after compilation.
#[derive(Debug)]
struct Circle {
    /// Where the arc of each choice ends on the circle; the arc of a weight 0 is empty.
    ends: Box<[u32]>,
    period: u32,
    stride: u32,
    /// One relaxed add per pick.
    position: AtomicU64,
    /// The walk over some of the choices.
    among: Walk,
}

/// A walk over choices whose weights are not known before each pick.
#[derive(Debug, Default)]
pub struct Walk {
    position: AtomicU64,
    /// The last period and its stride, each in one half: strides take long to find.
    laid_out: AtomicU64,
}

impl Walk {
    /// A walk that starts at `phase`.
    pub fn new(phase: u64) -> Self {
        Self { position: AtomicU64::new(phase), laid_out: AtomicU64::new(0) }
    }

    /// Takes the next step over choices of these weights and says which it falls on; `None` if all are
    /// 0. As long as the weights stay the same, any `total / gcd` consecutive picks are exact.
    pub fn next(&self, count: usize, weight: impl Fn(usize) -> u64) -> Option<usize> {
        self.choice(count, weight, || self.position.fetch_add(1, Ordering::Relaxed))
    }

    /// Which choice the next step falls on, without taking it.
    pub fn peek(&self, count: usize, weight: impl Fn(usize) -> u64) -> Option<usize> {
        self.choice(count, weight, || self.position.load(Ordering::Relaxed))
    }

    fn choice(
        &self,
        count: usize,
        weight: impl Fn(usize) -> u64,
        step: impl FnOnce() -> u64,
    ) -> Option<usize> {
        // Weights may change between two looks at them: they are added up as they are found, and the
        // last choice that weighed something takes what is left.
        let divisor = (0..count).map(&weight).fold(0, gcd);
        if divisor == 0 {
            return None;
        }
        let total = |shift: u32| -> u64 {
            let parts = (0..count).map(|index| part(weight(index) / divisor, shift));
            parts.fold(0, u64::saturating_add)
        };
        // Products of two numbers below 2^32 do not overflow; larger totals lose their last digits.
        let mut shift = 0;
        let mut period = total(shift);
        while period > u64::from(u32::MAX) {
            shift += 1;
            period = total(shift);
        }
        let period = period.max(1);
        // A single choice takes no step from others that walk here at other times.
        let mut point = match period {
            1 => 0,
            _ => step() % period * self.stride(period) % period,
        };
        let mut last = None;
        for index in 0..count {
            let arc = part(weight(index) / divisor, shift);
            if arc > 0 {
                last = Some(index);
                match point.checked_sub(arc) {
                    None => return last,
                    Some(rest) => point = rest,
                }
            }
        }
        last
    }

    /// The stride of a period below 2^32, kept from one pick to the next.
    fn stride(&self, period: u64) -> u64 {
        let laid_out = self.laid_out.load(Ordering::Relaxed);
        if laid_out >> 32 == period {
            return laid_out & u64::from(u32::MAX);
        }
        let stride = stride(period);
        self.laid_out.store(period << 32 | stride, Ordering::Relaxed);
        stride
    }
}

/// A weight in a coarser unit; what weighs something keeps doing so.
fn part(weight: u64, shift: u32) -> u64 {
    if weight == 0 { 0 } else { (weight >> shift).max(1) }
}

impl Rotation {
    /// Lays the weights out, and starts the walk at `phase`: any number, 0 where a known order is
    /// wanted and a random one where many short-lived isolates each start a walk of their own.
    pub fn new(weights: &[Weight], phase: u64) -> Result<Self, Unpickable> {
        let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, u64::from(weight.0)));
        if divisor == 0 {
            return Err(Unpickable::NoWeight);
        }
        let parts = weights.iter().map(|weight| u64::from(weight.0) / divisor);
        let Ok(period) = u32::try_from(parts.clone().sum::<u64>()) else {
            return Err(Unpickable::TooHeavy);
        };
        debug_assert!(period > 0, "a divisor means a positive weight");
        if weights.len() == 1 {
            return Ok(Self { circle: None });
        }
        let ends = parts.scan(0, |end, part| {
            // At most the period.
            *end += part as u32;
            Some(*end)
        });
        let stride = stride(u64::from(period)) as u32;
        let circle = Circle::new(ends.collect(), period, stride, phase);
        Ok(Self { circle: Some(Arc::new(circle)) })
    }

    /// A walk of its own over the same weights, which starts at `phase`.
    pub(crate) fn anew(&self, phase: u64) -> Self {
        let anew = |circle: &Circle| {
            let Circle { ref ends, period, stride, .. } = *circle;
            Arc::new(Circle::new(ends.clone(), period, stride, phase))
        };
        Self { circle: self.circle.as_deref().map(anew) }
    }

    /// Goes on with the walk of `earlier`: a change of something else must not start a walk again, or its
    /// first picks would be made too often. Where the same choices weigh otherwise it starts where the
    /// choices are owed as much as they were: weights that change more often than a small share comes
    /// would else never let it come.
    pub fn follow(&mut self, earlier: &Self) {
        let (Some(own), Some(earlier)) = (&mut self.circle, &earlier.circle) else { return };
        if own.ends == earlier.ends {
            *own = Arc::clone(earlier);
        } else if own.ends.len() == earlier.ends.len() {
            let among = Walk::new(earlier.among.position.load(Ordering::Relaxed));
            let position = AtomicU64::new(own.step_after(earlier));
            let Circle { ends, period, stride, .. } = &**own;
            let (ends, period, stride) = (ends.clone(), *period, *stride);
            *own = Arc::new(Circle { ends, period, stride, position, among });
        }
    }

    /// In how many consecutive picks the shares are exact.
    pub fn period(&self) -> u64 {
        self.circle.as_ref().map_or(1, |circle| circle.period())
    }

    /// Which step of a period is next, from 0.
    pub fn step(&self) -> u64 {
        self.circle.as_ref().map_or(0, |circle| circle.step())
    }

    /// Takes the next step of the walk and says which choice it falls on.
    pub fn next(&self) -> usize {
        let Some(circle) = &self.circle else { return 0 };
        match circle.period {
            1 => circle.at(Point(0)),
            _ => circle.choice(circle.position.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Which choice the next step falls on, without taking it.
    pub fn peek(&self) -> usize {
        let Some(circle) = &self.circle else { return 0 };
        circle.choice(circle.position.load(Ordering::Relaxed))
    }

    /// Takes the next step of a walk of its own among choices that weigh something at the moment, and
    /// says which it falls on; `None` if none does. The weights are in any unit: those that this was
    /// laid out with, 0 where a choice cannot be made, less where it takes less. As long as they stay
    /// the same, the picks are exact in every window of their total divided by what they share. It looks
    /// at each choice a few times and allocates nothing.
    pub fn next_among(&self, weight: impl Fn(usize) -> u64) -> Option<usize> {
        match &self.circle {
            Some(circle) => circle.among.next(circle.ends.len(), weight),
            None => (weight(0) > 0).then_some(0),
        }
    }

    /// The same, without taking the step.
    pub fn peek_among(&self, weight: impl Fn(usize) -> u64) -> Option<usize> {
        match &self.circle {
            Some(circle) => circle.among.peek(circle.ends.len(), weight),
            None => (weight(0) > 0).then_some(0),
        }
    }
}

impl Circle {
    fn new(ends: Box<[u32]>, period: u32, stride: u32, phase: u64) -> Self {
        let (position, among) = (AtomicU64::new(phase % u64::from(period)), Walk::new(phase));
        Self { ends, period, stride, position, among }
    }

    fn period(&self) -> u64 {
        self.period.into()
    }

    fn stride(&self) -> u64 {
        self.stride.into()
    }

    fn step(&self) -> u64 {
        self.position.load(Ordering::Relaxed) % self.period()
    }

    /// The step of this walk that goes best with where `earlier` has come to.
    fn step_after(&self, earlier: &Self) -> u64 {
        let (Some(owed), Some(before)) = (self.owed(), earlier.owed()) else {
            return self.step_at_fraction(earlier);
        };
        let at = usize::try_from(earlier.step()).unwrap_or_default();
        let before = before.get(at).map_or(&[][..], |row| row);
        let distance = |row: &[i64]| -> i64 {
            row.iter().zip(before).map(|(own, other)| (own - other).pow(2)).sum()
        };
        let nearest = (0..).zip(&owed).min_by_key(|(step, row)| (distance(row), *step));
        nearest.map_or(0, |(step, _): (u64, _)| step)
    }

    /// The step whose point is as far around the circle as that of `earlier`: a coarser answer, for
    /// periods too long to look at each step.
    fn step_at_fraction(&self, earlier: &Self) -> u64 {
        let point = earlier.step() * earlier.stride() % earlier.period();
        let point = point * self.period() / earlier.period();
        point * inverse(self.stride(), self.period()) % self.period()
    }

    /// What each choice is owed before each step of a period: its share of the picks made so far less
    /// those that it got, both counted from the mean of the period, in 2^-20 picks. `None` where that is
    /// too much to look at.
    fn owed(&self) -> Option<Vec<Vec<i64>>> {
        const COST_MAX: u64 = 1 << 11;
        const SHIFT: u32 = 20;
        let count = u64::try_from(self.ends.len()).ok()?;
        let is_short = self.period().checked_mul(count).is_some_and(|cost| cost <= COST_MAX);
        let period = is_short.then_some(i64::from(self.period))?;
        let ends = self.ends.iter().map(|end| i64::from(*end));
        let mut last = 0;
        let weights: Vec<i64> = ends.map(|end| end - std::mem::replace(&mut last, end)).collect();
        // In picks times the period, so that nothing is rounded yet.
        let mut row = vec![0; weights.len()];
        let mut sums = row.clone();
        let mut rows = Vec::new();
        for step in 0..self.period() {
            rows.push(row.clone());
            let choice = self.choice(step);
            for (index, (owed, weight)) in row.iter_mut().zip(&weights).enumerate() {
                if let Some(sum) = sums.get_mut(index) {
                    *sum += *owed;
                }
                *owed += weight - if index == choice { period } else { 0 };
            }
        }
        // A walk owes a few picks at most: what is shifted stays below 2^60.
        for (owed, sum) in rows.iter_mut().flat_map(|row| row.iter_mut().zip(&sums)) {
            *owed = ((*owed * period - sum) << SHIFT) / (period * period);
        }
        Some(rows)
    }

    fn choice(&self, step: u64) -> usize {
        // Both factors are below 2^32, so the product cannot overflow.
        self.at(Point((step % self.period()) * self.stride() % self.period()))
    }

    /// The choice on whose arc `point` lies.
    fn at(&self, point: Point) -> usize {
        debug_assert!(point.0 < self.period(), "points lie on the circle");
        self.ends.partition_point(|end| u64::from(*end) <= point.0)
    }
}

/// A step near `period / phi` that is coprime to `period` and whose multiples stay away from 0 for as
/// long as possible: the one with the smallest partial quotients of `stride / period` as a continued
/// fraction (a large quotient means that a few steps come back almost to where they started, which
/// would serve a small share in bursts).
fn stride(period: u64) -> u64 {
    /// How far around the golden section to look; good strides are dense (Zaremba).
    const REACH: u64 = 64;
    // 0.618... of 2^32, rounded: integers only, so that every platform walks the same way.
    const PHI_INVERSE: u64 = 2_654_435_769;
    // Half and half, or one choice.
    if period < 3 {
        return 1;
    }
    let golden = (period * PHI_INVERSE) >> 32;
    (golden.saturating_sub(REACH)..=golden + REACH)
        .filter(|stride| (1..period).contains(stride))
        .filter_map(|stride| {
            Some((largest_quotient(stride, period)?, stride.abs_diff(golden), stride))
        })
        .min()
        .map_or(1, |(_, _, stride)| stride)
}

/// The largest partial quotient of `stride / period`; `None` if they share a factor.
fn largest_quotient(stride: u64, period: u64) -> Option<u64> {
    let (mut a, mut b, mut largest) = (period, stride, 0);
    while b != 0 {
        largest = largest.max(a / b);
        (a, b) = (b, a % b);
    }
    (a == 1).then_some(largest)
}

/// By what to multiply to undo a multiplication by `factor` on a circle of `period` points; both are
/// coprime and below 2^32.
fn inverse(factor: u64, period: u64) -> u64 {
    let (mut a, mut b, mut x, mut y) = (period, factor, 0, 1 % period);
    while b != 0 {
        let quotient = a / b % period;
        (x, y) = (y, (x + period - quotient * y % period) % period);
        (a, b) = (b, a % b);
    }
    x
}

pub(crate) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
