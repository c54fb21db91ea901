//! Which node of an upstream an attempt goes to.

use std::ops::Range;
use std::sync::Arc;

use super::ask::{Ask, Tried};
use super::object::Method;
use super::ring::Ring;
use super::vital::{InFlight, Vital};
use super::{Spec, Upstream};
use crate::breaker::WHOLE;
use crate::few::Few;
use crate::node::{Node, Placed};
use crate::rotation::{Rotation, Unpickable, Walk, Weight};
use crate::time::Timestamp;

/// One use of an upstream, with its own walk over the nodes: two branches that share an upstream and
/// one walk would each see only every other node.
#[derive(Debug)]
pub(crate) struct Balancer {
    pub(crate) upstream: Arc<Upstream>,
    /// One for each tier of the upstream, the one that serves first before all others; none where there is
    /// no choice, because the upstream has one node, or is gone.
    tiers: Few<Tier>,
}

/// The nodes of one priority.
#[derive(Debug, Default)]
struct Tier {
    /// The walk over them, by weight.
    rotation: Rotation,
    /// The walks over what is left of them, by what was tried before: requests that failed on one node
    /// would else take every other step from those that failed on another. Where there are two nodes, at
    /// most one is left.
    again: Option<Arc<[Walk; AGAIN]>>,
}

/// What is left of an upstream for a request that failed on some of its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// A node that takes something at the moment, or any where all are down.
    Up,
    /// Nodes that are down, where one that failed the request is not: to be asked where nobody else is.
    Down,
    /// None: all were tried.
    None,
}

/// How many walks there are for requests that failed before.
const AGAIN: usize = 8;

impl Balancer {
    pub(crate) fn new(upstream: Arc<Upstream>, phase: u64) -> Result<Self, Unpickable> {
        let tier = |places: &Range<usize>| Tier::new(upstream.placed(places), phase);
        let has_choice = upstream.members.len() > 1;
        let tiers = upstream.tiers.iter().filter(|_| has_choice).map(tier);
        let tiers = tiers.collect::<Result<_, _>>()?;
        Ok(Self { upstream, tiers })
    }

    /// Whether it is a use of this very upstream.
    pub(crate) fn is_of(&self, upstream: &Arc<Upstream>) -> bool {
        Arc::ptr_eq(&self.upstream, upstream)
    }

    /// The upstream for another use that says the same: one that nobody else holds was written where it is
    /// used, and would be another there, of which nothing is known.
    pub(crate) fn upstream_again(&self) -> Arc<Upstream> {
        match Arc::strong_count(&self.upstream) {
            1 => Arc::new(Arc::clone(self.upstream.spec()).into()),
            _ => Arc::clone(&self.upstream),
        }
    }

    /// Goes on where `earlier` has come to, if it walks over as many nodes with the same weights, and
    /// with what is known of nodes that are still there.
    pub(crate) fn follow(&mut self, earlier: &Self) {
        self.upstream.follow(Some(&earlier.upstream));
        let places = self.upstream.tiers.iter().zip(&earlier.upstream.tiers);
        let tiers = self.tiers.iter_mut().zip(&earlier.tiers);
        for ((tier, earlier), (own, other)) in tiers.zip(places) {
            tier.rotation.follow(&earlier.rotation);
            if own == other {
                tier.again.clone_from(&earlier.again);
            }
        }
    }

    /// The node for an attempt; `None` if all were tried, or the upstream is gone.
    ///
    /// A node can be picked if it has weight, was not tried and takes something at the moment. Nodes of
    /// a lower priority serve only where none before them can be picked. Where health alone leaves
    /// nothing, it counts no more: better a node that may be down than none.
    pub(crate) fn pick(&self, ask: &Ask<'_>) -> Option<usize> {
        let Spec { members, method, .. } = &**self.upstream.spec();
        // The only node is picked whatever its health, and most upstreams have one. A ring asks for its key
        // all the same: the body may be wanted for it.
        if members.len() == 1 && !matches!(method, Method::Chash { .. }) {
            return (!ask.tried.has(0)).then_some(0);
        }
        let vitals = self.upstream.vitals();
        let share = |index: usize| vitals.get(index).map_or(WHOLE, |vital| vital.share(ask.now));
        let alone = Tier::default();
        let tier = |number| self.tiers.get(number).unwrap_or(&alone);
        let numbers = 0..self.upstream.tiers.len();
        let by_health = numbers.clone().map(|it| self.pick_in(it, tier(it), ask, &share));
        let whatever = numbers.map(|it| self.pick_in(it, tier(it), ask, &|_| WHOLE));
        by_health.chain(whatever).flatten().next()
    }

    /// Which nodes are left for another attempt.
    pub(crate) fn left(&self, tried: &Tried, now: Timestamp) -> Left {
        let mut left = Left::None;
        let mut is_any_up = false;
        let members = self.upstream.members.iter().zip(self.upstream.vitals()).enumerate();
        for (index, (_, vital)) in members.filter(|(_, (placed, _))| placed.weight > Weight(0)) {
            let is_up = vital.share(now) > 0;
            is_any_up |= is_up;
            left = match tried.has(index) {
                true => left,
                false if is_up => return Left::Up,
                false => Left::Down,
            };
        }
        // Where all of them are down, that says nothing of one more than of another.
        if left == Left::Down && !is_any_up { Left::Up } else { left }
    }

    /// The node at this position.
    pub(crate) fn node(&self, index: usize) -> &Node {
        self.upstream.node(index).expect("positions come from `pick` of the same balancer")
    }

    /// What is known of the node at this position.
    pub(crate) fn vital(&self, index: usize) -> &Vital {
        self.upstream.vitals().get(index).expect("positions come from `pick` of the same balancer")
    }

    /// Notes that an attempt goes to the node at this position, until what is returned is dropped.
    pub(crate) fn start(&self, index: usize) -> InFlight {
        InFlight::start(self.vital(index))
    }

    fn pick_in(
        &self,
        number: usize,
        tier: &Tier,
        ask: &Ask<'_>,
        share: &dyn Fn(usize) -> u32,
    ) -> Option<usize> {
        let Spec { members, tiers, method, .. } = &**self.upstream.spec();
        let places = tiers.get(number)?;
        let first = places.start;
        let members = members.get(places.clone()).unwrap_or_default();
        let eligible = Eligible { first, members, ask, share };
        match method {
            Method::RoundRobin => tier.by_turns(&eligible),
            Method::LeastConn => tier.least_busy(&eligible, self.upstream.vitals()),
            Method::Ewma => quicker(&eligible, self.upstream.vitals()),
            Method::Chash { key, rings } => {
                let key = key.of(ask.facts);
                let owner = |ring: &Ring| ring.owner(key.as_bytes(), |index| eligible.has(index));
                return rings.get(number).filter(|_| eligible.any()).and_then(owner);
            }
        }
        .map(|offset| first + offset)
    }
}

/// Which nodes of a tier can be picked.
struct Eligible<'e> {
    /// The position of the first of them.
    first: usize,
    members: &'e [Placed],
    ask: &'e Ask<'e>,
    share: &'e dyn Fn(usize) -> u32,
}

impl Eligible<'_> {
    /// The weight of the node this far behind the first, times the share that it takes; 0 if it cannot
    /// be picked.
    fn weight(&self, offset: usize) -> u64 {
        let Some(Placed { weight: Weight(weight), .. }) = self.members.get(offset) else {
            return 0;
        };
        let index = self.first + offset;
        if *weight == 0 || self.ask.tried.has(index) {
            return 0;
        }
        u64::from(*weight) * u64::from((self.share)(index))
    }

    /// Whether the node at this position of the upstream can be picked.
    fn has(&self, index: usize) -> bool {
        index.checked_sub(self.first).is_some_and(|offset| self.weight(offset) > 0)
    }

    fn any(&self) -> bool {
        self.offsets().next().is_some()
    }

    /// Those that can be picked.
    fn offsets(&self) -> impl Iterator<Item = usize> {
        (0..self.members.len()).filter(|offset| self.weight(*offset) > 0)
    }

    /// Whether nothing hinders any of them.
    fn is_all(&self) -> bool {
        let places = self.first..self.first + self.members.len();
        self.ask.tried.is_empty() && places.into_iter().all(|index| (self.share)(index) == WHOLE)
    }
}

impl Tier {
    fn new(members: &[Placed], phase: u64) -> Result<Self, Unpickable> {
        let weights: Vec<Weight> = members.iter().map(|placed| placed.weight).collect();
        let rotation = Rotation::new(&weights, phase)?;
        let again =
            (members.len() > 2).then(|| Arc::new(std::array::from_fn(|_| Walk::new(phase))));
        Ok(Self { rotation, again })
    }

    /// The node whose turn it is.
    fn by_turns(&self, eligible: &Eligible<'_>) -> Option<usize> {
        if eligible.is_all() {
            let is_trial = eligible.ask.is_trial;
            return Some(if is_trial { self.rotation.peek() } else { self.rotation.next() });
        }
        self.among(eligible, |offset| eligible.weight(offset))
    }

    /// The node with the fewest requests for its weight, this one counted. Of several they take turns.
    fn least_busy(&self, eligible: &Eligible<'_>, vitals: &[Vital]) -> Option<usize> {
        // Read once: they change all the time, and the walk looks at each several times.
        let busy = |offset: usize| {
            let vital = vitals.get(eligible.first + offset);
            vital.map_or(1, |vital| u128::from(vital.in_flight()) + 1)
        };
        let mut least: Option<(u128, u128)> = None;
        let mut ties = 0_usize;
        for offset in eligible.offsets() {
            let (own, weight) = (busy(offset), u128::from(eligible.weight(offset)));
            // own / weight against least, without division: all factors are below 2^41.
            match least.map(|(other, of)| (own * of).cmp(&(other * weight))) {
                None | Some(std::cmp::Ordering::Less) => (least, ties) = (Some((own, weight)), 1),
                Some(std::cmp::Ordering::Equal) => ties += 1,
                Some(std::cmp::Ordering::Greater) => {}
            }
        }
        let (other, of) = least?;
        let is_least =
            |offset: &usize| busy(*offset) * of <= other * u128::from(eligible.weight(*offset));
        if ties == 1 {
            return eligible.offsets().find(is_least).or_else(|| eligible.offsets().next());
        }
        let weight = |offset: usize| u64::from(eligible.weight(offset) > 0 && is_least(&offset));
        self.among(eligible, weight).or_else(|| eligible.offsets().next())
    }

    /// The next by weight among those that weigh something.
    fn among(&self, eligible: &Eligible<'_>, weight: impl Fn(usize) -> u64) -> Option<usize> {
        let (ask, count) = (eligible.ask, eligible.members.len());
        let walk = self.again.as_ref().filter(|_| !ask.tried.is_empty());
        match walk.and_then(|walks| walks.get(ask.tried.mark() % AGAIN)) {
            Some(walk) if ask.is_trial => walk.peek(count, weight),
            Some(walk) => walk.next(count, weight),
            None if ask.is_trial => self.rotation.peek_among(weight),
            None => self.rotation.next_among(weight),
        }
    }
}

/// The cheaper of two nodes drawn by chance (Mitzenmacher, The Power of Two Choices in Randomized Load
/// Balancing, 2001). Weights are not looked at, as in APISIX.
fn quicker(eligible: &Eligible<'_>, vitals: &[Vital]) -> Option<usize> {
    let count = eligible.offsets().count();
    let nth = |number: usize| eligible.offsets().nth(number);
    if count < 2 {
        return nth(0);
    }
    let chance = (eligible.ask.chance)();
    let first = below(chance >> 32, count);
    // Another one: those from `first` on move up by one.
    let second = below(chance & u64::from(u32::MAX), count - 1);
    let second = second + usize::from(second >= first);
    let (first, second) = (nth(first)?, nth(second)?);
    let cost = |offset: usize| {
        vitals.get(eligible.first + offset).map_or(0, |vital| vital.cost(eligible.ask.now))
    };
    Some(if cost(second) < cost(first) { second } else { first })
}

/// A number below `count` from 32 random bits.
fn below(bits: u64, count: usize) -> usize {
    let scaled = (u128::from(bits) * count as u128) >> 32;
    usize::try_from(scaled).unwrap_or_default()
}
