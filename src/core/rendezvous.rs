//! Who always gets the same branch: weighted rendezvous hashing, in integers only.
//!
//! Each branch draws a number for a key, from nothing but the salt, the key and the branch's name
//! (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998). The number is the
//! time at which the branch arrives in a race of exponential clocks whose rates are the weights, and the
//! first to arrive owns the key: `-log2(u) / weight` for a `u` spread evenly in (0, 1), so that each
//! branch owns a key as likely as its weight says (Efraimidis and Spirakis, "Weighted random sampling
//! with a reservoir", 2006; the logarithmic method of Schindelhauer and Schomaker, "Weighted distributed
//! hash tables", 2005). There is no state: every node that knows the weights gives the same answer, on
//! every platform to the last bit, because nothing here is a float.
//!
//! So can a client that knows the salt and the names work out where a key falls: a salt is no secret, and
//! rendezvous hashing keeps nobody from choosing a key. Signed cookies do (`affinity`).
//!
//! ## What moves when weights change
//!
//! What a branch draws does not depend on any weight. So, exactly and not only on average:
//!
//! - Raising one weight moves keys to that branch only, lowering it from that branch only, and just as
//!   many as its share changes by: nothing moves between others. A new branch is one raised from 0, a
//!   removed one is one lowered to 0.
//! - With two branches every change is of that kind, as only the ratio counts: 5:95, 10:90, ... are
//!   nested sets.
//! - When several weights change, a key moves only to a branch whose weight grew in relation to that of
//!   the branch it leaves.
//!
//! Then more keys may move than the shares differ by, and no rule that looks at key and weights alone
//! could always avoid it. Take three branches and the weights A = (1, 1, 0), B = (1, 0, 1), C = (0, 1, 1).
//! Any two of them differ by half of the keys. Were just half to move between A and B, the halves that the
//! first branch has in both would be the same; likewise the halves of the second in A and C, and of the
//! third in B and C. A key of the first half is then the first's in A and B, so not the third's in B and
//! C, so the second's in C and A: but it is the first's in A. The most that can be kept in general is what
//! is lost here, 2d/(1+d) of the keys where the shares differ by d (Bavarian, Ghazi, Haramaty, Kamath,
//! Rivest and Sudan, "The Optimality of Correlated Sampling", arXiv:1612.01041, 2016); Moulton and Jiang
//! show in which sense exponential races are the best possible ("Maximally Consistent Sampling and the
//! Jaccard Index of Probability Distributions", arXiv:1809.04052, 2018).

use sha2::{Digest as _, Sha256};
use siphasher::sip128::SipHasher24;

use crate::rotation::{Unpickable, Weight};

/// A fixed list of weighted branches, each of which owns its share of all keys.
#[derive(Debug)]
pub struct Rendezvous {
    /// Keyed with the salt, so that splits with different salts divide the same keys independently.
    hasher: SipHasher24,
    /// The branches that can own something, in order.
    racers: Box<[Racer]>,
}

/// A branch with a weight.
#[derive(Clone, Copy, Debug)]
struct Racer {
    /// Its position among all branches, those of weight 0 included.
    index: usize,
    /// Not 0.
    weight: u32,
    /// What its name becomes.
    name: [u64; 2],
}

impl Rendezvous {
    /// The branches by name, all names different, with the weight of each. Names count and positions do
    /// not, so that branches can be put elsewhere in the list.
    pub fn new(names: &[&str], weights: &[Weight], salt: &str) -> Result<Self, Unpickable> {
        debug_assert_eq!(names.len(), weights.len(), "each branch has a weight");
        let racers: Box<[Racer]> = (0..)
            .zip(names.iter().zip(weights))
            .filter(|(_, (_, weight))| weight.0 > 0)
            .map(|(index, (name, weight))| Racer {
                index,
                weight: weight.0,
                name: digest("branch", name),
            })
            .collect();
        if racers.is_empty() {
            return Err(Unpickable::NoWeight);
        }
        let [key0, key1] = digest("salt", salt);
        Ok(Self { hasher: SipHasher24::new_with_keys(key0, key1), racers })
    }

    /// The hash of `key` by which the branches race for it.
    pub fn point(&self, key: &[u8]) -> u128 {
        self.hasher.hash(key).as_u128()
    }

    /// The position of the branch that owns `key`, of any length.
    pub fn owner(&self, key: &[u8]) -> usize {
        let owner = self.owner_among(key, |_| 1);
        owner.expect("the constructor refuses to race without racers")
    }

    /// The same with each weight times what `scale` makes of the branch's position; 0 leaves it out. Keys
    /// of a branch that is left out are divided among the others by weight, and no other key moves.
    pub fn owner_among(&self, key: &[u8], scale: impl Fn(usize) -> u32) -> Option<usize> {
        let scaled = |racer: &Racer| u64::from(racer.weight) * u64::from(scale(racer.index));
        let racing = self.racers.iter().map(|racer| (racer, scaled(racer)));
        let mut racing = racing.filter(|(_, weight)| *weight > 0);
        let (first, weight) = racing.next()?;
        let Some(second) = racing.next() else { return Some(first.index) };
        let (h1, h2) = self.hasher.hash(key).as_u64();
        let mut best = (first.index, first.arrival([h1, h2]), weight);
        for (racer, weight) in std::iter::once(second).chain(racing) {
            let arrival = racer.arrival([h1, h2]);
            // arrival / weight < best's arrival / best's weight; of two at once the earlier in the list.
            if u128::from(arrival) * u128::from(best.2) < u128::from(best.1) * u128::from(weight) {
                best = (racer.index, arrival, weight);
            }
        }
        Some(best.0)
    }
}

impl Racer {
    /// When the branch would arrive for a key if its weight were 1.
    fn arrival(&self, key: [u64; 2]) -> u64 {
        let [k1, k2] = key;
        let [n1, n2] = self.name;
        negative_log2(finalise(finalise(k1 ^ n1).wrapping_add(k2 ^ n2)))
    }
}

/// 128 bits of SHA-256, for what is hashed once; `part` keeps salts and names apart.
fn digest(part: &str, text: &str) -> [u64; 2] {
    let hasher = Sha256::new().chain_update(format!("splitway {part} ")).chain_update(text);
    let digest: [u8; 32] = hasher.finalize().into();
    let (words, _) = digest.as_chunks::<8>();
    [0, 1].map(|index| {
        let word = words.get(index).expect("32 bytes are four words");
        u64::from_le_bytes(*word)
    })
}

/// The finaliser of SplitMix64 with the constants of Stafford's variant 13: a bijection in which each bit
/// of what goes in changes each of what comes out with a chance near one half.
fn finalise(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// How many bits of an arrival stand behind the point: the largest is 64, which must fit before it.
const FRACTION: u32 = 57;

/// `-log2(u)` with 57 bits behind the point, where `u` is `hash | 1` over 2^64: in (0, 1), so that the
/// result is in 1..=2^63. It is off by less than 2^-55, as a test finds, and so a share `p` is off by a
/// factor of about 1 + 2^-55 / p: 2^-41 for one in 10,000.
///
/// `u` is 2^-(1 + zeros) times a mantissa in [1, 2). A table has, for each of 128 intervals of mantissas,
/// a short reciprocal and its logarithm. The product of mantissa and reciprocal is 1 + r with r below
/// 2^-6.9, and seven terms of the series of log2(1 + r) are enough: the eighth is below 2^-57.
fn negative_log2(hash: u64) -> u64 {
    let u = hash | 1;
    let zeros = u.leading_zeros();
    let mantissa = u << zeros;
    let interval = ((mantissa >> 56) & 0x7f) as usize;
    let reciprocal = RECIPROCALS.get(interval).expect("seven bits are below 128");
    let log2 = LOGARITHMS.get(interval).expect("seven bits are below 128");
    // Of 63 + 15 bits behind the point 64 are kept, and the 1 before it falls off.
    let r = ((u128::from(mantissa) * u128::from(*reciprocal)) >> 14) as u64;
    let log2 = log2.wrapping_add(log2_of_one_plus(r));
    let whole = u64::from(zeros + 1) << FRACTION;
    whole.saturating_sub(log2 >> (63 - FRACTION)).max(1)
}

/// `log2(1 + r)` with 63 bits behind the point, of `r` with 64 and below 1/64.
fn log2_of_one_plus(r: u64) -> u64 {
    /// The binary logarithm of e.
    const LOG2_E: u64 = 0xb8aa_3b29_5c17_f0bc;
    // Horner's scheme of r - r^2/2 + r^3/3 - ...; no difference is below 0 because r is small.
    let series =
        [6, 5, 4, 3, 2, 1].iter().fold(LOG2_E / 7, |sum, divisor| LOG2_E / divisor - high(sum, r));
    high(series, r)
}

/// The upper half of a product.
fn high(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

/// The reciprocals of the lower ends of the intervals, rounded up, with 15 bits behind the point.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which refuses a panic")]
static RECIPROCALS: [u16; 128] = {
    let mut reciprocals = [0; 128];
    let mut interval = 0;
    while interval < 128 {
        reciprocals[interval] = (1_u32 << 22).div_ceil(128 + interval as u32) as u16;
        interval += 1;
    }
    reciprocals
};

/// `-log2` of each reciprocal, with 63 bits behind the point.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which refuses a panic")]
static LOGARITHMS: [u64; 128] = {
    let mut logarithms = [0; 128];
    let mut interval = 1;
    while interval < 128 {
        let from_half = (RECIPROCALS[interval] as u64) << 49;
        logarithms[interval] = (1 << 63) - log2_by_squaring(from_half);
        interval += 1;
    }
    logarithms
};

/// `log2(x)` for `x` in [1, 2), both with 63 bits behind the point: a square of 2 or more is one more bit.
const fn log2_by_squaring(mut x: u64) -> u64 {
    let mut log2 = 0;
    let mut bit = 0;
    while bit < 63 {
        let square = (x as u128 * x as u128) >> 63;
        let carry = (square >> 64) as u64;
        log2 = log2 << 1 | carry;
        x = (square >> carry) as u64;
        bit += 1;
    }
    log2
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Chi-squared below which a fair draw stays in 999 of 1000 cases (p = 0.001), by degrees of freedom.
    const CRITICAL: [(usize, f64); 4] = [(1, 10.828), (2, 13.816), (8, 26.124), (19, 43.820)];

    /// SplitMix64: chance that is the same in every run of a seed.
    struct Chance(u64);

    impl Chance {
        fn draw(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            finalise(self.0)
        }

        fn below(&mut self, bound: u64) -> u64 {
            self.draw() % bound
        }

        /// Some weights of 0, some small, some of any size.
        fn weight(&mut self) -> u32 {
            match self.below(4) {
                0 => 0,
                1 => self.draw() as u32,
                _ => self.below(100) as u32 + 1,
            }
        }
    }

    fn rendezvous(names: &[&str], weights: &[u32], salt: &str) -> Rendezvous {
        let weights: Vec<Weight> = weights.iter().copied().map(Weight).collect();
        Rendezvous::new(names, &weights, salt).expect("the weights can be picked from")
    }

    const NAMES: [&str; 20] = [
        "b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9", "v1", "v2", "v3", "v1.1",
        "stable", "canary", "a", "b", "c", "d",
    ];

    /// Numbered users, random UUIDs, addresses one after the other and short numbers, in turn.
    fn keys(count: u64) -> impl Iterator<Item = String> {
        let mut chance = Chance(7);
        (0..count).map(move |index| match (index % 4, index / 4) {
            (0, user) => format!("user-{user:04}"),
            (1, _) => {
                let (a, b) = (chance.draw(), chance.draw());
                let (c, d) = (a >> 16 & 0xffff, a & 0xfff);
                let (e, f) = (b >> 48 & 0x3fff | 0x8000, b & 0xffff_ffff_ffff);
                format!("{:08x}-{c:04x}-4{d:03x}-{e:04x}-{f:012x}", a >> 32)
            }
            (2, host) => format!("10.{}.{}.{}", host >> 16 & 255, host >> 8 & 255, host & 255),
            (_, number) => number.to_string(),
        })
    }

    /// How far counts are from what they should be in so many draws, and the bound for that.
    fn check_fair(counts: &[u32], shares: &[f64], what: &str) {
        let total: f64 = counts.iter().copied().map(f64::from).sum();
        let terms = counts.iter().zip(shares).filter(|(_, share)| **share > 0.0);
        let far = |(count, share): (&u32, &f64)| {
            (f64::from(*count) - total * share).powi(2) / (total * share)
        };
        let freedom = terms.clone().count() - 1;
        let chi_squared: f64 = terms.map(far).sum();
        let (_, critical) = CRITICAL.iter().find(|(of, _)| *of == freedom).expect("in the table");
        assert!(chi_squared < *critical, "{what}: {chi_squared} of {critical}, {counts:?}");
    }

    fn shares(weights: &[u32]) -> Vec<f64> {
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        weights.iter().map(|weight| f64::from(*weight) / total).collect()
    }

    #[test]
    fn each_branch_owns_its_share_of_a_million_keys() {
        let one_to_twenty: Vec<u32> = (1..=20).collect();
        for weights in
            [&[95, 5][..], &[1, 9_999], &[50, 50], &[33, 33, 34], &[0, 7, 0, 4], &one_to_twenty]
        {
            let rendezvous = rendezvous(&NAMES[..weights.len()], weights, "chat");
            let mut counts = vec![0; weights.len()];
            keys(1_000_000).for_each(|key| counts[rendezvous.owner(key.as_bytes())] += 1);
            check_fair(&counts, &shares(weights), &format!("{weights:?}"));
        }
    }

    /// All pairs of owners are as frequent as the shares say, and so are neighbours among the keys.
    #[test]
    fn salts_divide_the_same_keys_independently() {
        let weights = [33, 33, 34];
        let [first, second] = ["chat", "chat2"].map(|salt| rendezvous(&NAMES[..3], &weights, salt));
        let (mut salts, mut neighbours) = ([0; 9], [0; 9]);
        let mut before = 0;
        for key in keys(1_000_000) {
            let owner = first.owner(key.as_bytes());
            salts[owner * 3 + second.owner(key.as_bytes())] += 1;
            neighbours[owner * 3 + before] += 1;
            before = owner;
        }
        let pairs = shares(&weights);
        let pairs: Vec<f64> = pairs.iter().flat_map(|a| pairs.iter().map(move |b| a * b)).collect();
        check_fair(&salts, &pairs, "two salts");
        check_fair(&neighbours, &pairs, "neighbours");
    }

    #[test]
    fn one_weight_moves_keys_to_its_branch_or_from_it_and_no_others() {
        let mut chance = Chance(11);
        let keys: Vec<String> = keys(400).collect();
        for _ in 0..300 {
            let count = 2 + chance.below(19) as usize;
            let mut weights: Vec<u32> = (0..count).map(|_| chance.weight()).collect();
            let changed = chance.below(count as u64) as usize;
            // Others keep something, so that this one may go to 0 and come from it.
            weights[(changed + 1) % count] += u32::from(weights[(changed + 1) % count] == 0);
            let before = rendezvous(&NAMES[..count], &weights, "s");
            let earlier = std::mem::replace(&mut weights[changed], chance.weight());
            let after = rendezvous(&NAMES[..count], &weights, "s");
            let is_raised = weights[changed] > earlier;
            for key in &keys {
                let (old, new) = (before.owner(key.as_bytes()), after.owner(key.as_bytes()));
                let is_allowed = old == new || changed == if is_raised { new } else { old };
                assert!(is_allowed, "{key}: {old} to {new}, {weights:?}, before {earlier}");
                assert!(weights[new] > 0, "a weight of 0 owns nothing");
            }
        }
    }

    #[test]
    fn a_branch_that_comes_or_goes_moves_no_keys_between_others() {
        let mut chance = Chance(13);
        let keys: Vec<String> = keys(400).collect();
        for _ in 0..300 {
            let count = 2 + chance.below(19) as usize;
            let weights: Vec<u32> = (0..count).map(|_| chance.weight().max(1)).collect();
            let gone = chance.below(count as u64) as usize;
            let with = rendezvous(&NAMES[..count], &weights, "s");
            let (mut names, mut weights) = (NAMES[..count].to_vec(), weights);
            names.remove(gone);
            weights.remove(gone);
            let without = rendezvous(&names, &weights, "s");
            for key in &keys {
                let old = NAMES[with.owner(key.as_bytes())];
                let new = names[without.owner(key.as_bytes())];
                assert!(old == new || old == NAMES[gone], "{key}: {old} to {new}, {weights:?}");
            }
        }
    }

    #[test]
    fn keys_move_only_to_what_grew_beside_what_they_leave() {
        let mut chance = Chance(17);
        let keys: Vec<String> = keys(400).collect();
        for _ in 0..300 {
            let count = 2 + chance.below(19) as usize;
            let mut draw = || (0..count).map(|_| chance.weight().max(1)).collect::<Vec<u32>>();
            let (earlier, later) = (draw(), draw());
            let before = rendezvous(&NAMES[..count], &earlier, "s");
            let after = rendezvous(&NAMES[..count], &later, "s");
            for key in &keys {
                let (old, new) = (before.owner(key.as_bytes()), after.owner(key.as_bytes()));
                let product = |a: u32, b: u32| u64::from(a) * u64::from(b);
                let grew = product(later[new], earlier[old]) > product(earlier[new], later[old]);
                assert!(old == new || grew, "{key}: {old} to {new}, {earlier:?} to {later:?}");
            }
        }
    }

    #[test]
    fn a_growing_share_keeps_what_it_has() {
        let steps = (10..=100).step_by(10);
        let splits: Vec<_> =
            steps.map(|share| rendezvous(&["v1", "v2"], &[100 - share, share], "chat")).collect();
        for key in keys(20_000) {
            let owners: Vec<usize> =
                splits.iter().map(|split| split.owner(key.as_bytes())).collect();
            assert!(owners.is_sorted(), "{key} came back: {owners:?}");
            assert_eq!(owners.last(), Some(&1));
        }
    }

    #[test]
    fn only_the_ratio_of_weights_counts_and_not_where_branches_stand() {
        let percents = rendezvous(&["v1", "v2"], &[90, 10], "chat");
        let tenths = rendezvous(&["v1", "v2"], &[9, 1], "chat");
        let turned = rendezvous(&["v2", "v0", "v1"], &[1, 0, 9], "chat");
        for key in keys(20_000) {
            let owner = percents.owner(key.as_bytes());
            assert_eq!(tenths.owner(key.as_bytes()), owner);
            assert_eq!(turned.owner(key.as_bytes()), [2, 0][owner]);
        }
    }

    /// The example of the module's documentation: shares that differ by one half lose 2/3.
    #[test]
    fn no_more_is_lost_than_must_be_lost_in_general() {
        let names = &NAMES[..3];
        let splits = [[1, 1, 0], [1, 0, 1], [0, 1, 1]];
        let splits = splits.map(|weights| rendezvous(names, &weights, "chat"));
        let mut counts = [[0; 2]; 3];
        for key in keys(100_000) {
            let owners = splits.each_ref().map(|split| split.owner(key.as_bytes()));
            for (pair, (a, b)) in [(0, 1), (1, 2), (2, 0)].into_iter().enumerate() {
                counts[pair][usize::from(owners[a] == owners[b])] += 1;
            }
        }
        counts.iter().for_each(|counts| check_fair(counts, &[2.0 / 3.0, 1.0 / 3.0], "moved"));
    }

    /// Computed outside of this crate, with SipHash from its paper and logarithms of 60 digits.
    #[test]
    fn owners_are_those_of_the_table() {
        let rows = include_str!("../../tests/scenarios/vectors/rendezvous.json");
        let rows: Vec<Value> = serde_json::from_str(rows).unwrap();
        assert_eq!(rows.len(), 63);
        for row in rows {
            let text = |value: &Value| value.as_str().map(str::to_owned).unwrap();
            let names: Vec<String> = row["names"].as_array().unwrap().iter().map(text).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let weights = row["weights"].as_array().unwrap().iter();
            let weights: Vec<u32> =
                weights.map(|weight| weight.as_u64().unwrap().try_into().unwrap()).collect();
            let split = rendezvous(&names, &weights, &text(&row["salt"]));
            let owner = split.owner(text(&row["key"]).as_bytes());
            assert_eq!(Some(owner as u64), row["owner"].as_u64(), "{row}");
        }
    }

    #[test]
    fn what_nobody_can_own_is_refused() {
        for weights in [&[][..], &[Weight(0), Weight(0)]] {
            let names = &NAMES[..weights.len()];
            let refused = Rendezvous::new(names, weights, "s").map(|_| ());
            assert_eq!(refused, Err(Unpickable::NoWeight));
        }
    }

    /// Bit by bit, from 126 bits of mantissa: wrong by less than 2^-61.
    fn reference(hash: u64) -> u64 {
        let u = hash | 1;
        let zeros = u.leading_zeros();
        let log2 = log2_by_squaring(u << zeros);
        (u64::from(zeros + 1) << FRACTION).saturating_sub(log2 >> 6)
    }

    #[test]
    fn the_logarithm_is_as_exact_as_it_says() {
        let mut chance = Chance(1);
        let mut worst = 0;
        let random = (0..100_000).map(|_| chance.draw()).flat_map(|u| [u, u >> (u & 63)]);
        let edges = (0..128_u64).flat_map(|k| {
            let edge = (128 + k) << 56;
            [edge - 1, edge, edge + 1]
        });
        let powers = (0..64).map(|bit| 1 << bit);
        for hash in random.chain(edges).chain(powers).chain([u64::MAX, u64::MAX - 1]) {
            let log2 = negative_log2(hash);
            assert!((1..=1 << 63).contains(&log2), "{hash:x}");
            worst = worst.max(log2.abs_diff(reference(hash)));
        }
        assert!(worst < 4, "{worst} of 2^-57");
        assert_eq!(negative_log2(0), 64 << FRACTION);
    }
}
