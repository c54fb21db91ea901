//! Nodes that ask at random and use what they were given at random, against what is promised.

use super::*;

const MINUTE: u64 = 60_000;
const START: u64 = 1_795_377_600_000;

fn toll(terms: &Terms, want: u32) -> Toll {
    Toll { key: "0".repeat(32), terms: terms.clone(), want }
}

fn fixed(count: u64, window_ms: u64) -> Terms {
    Terms::Fixed { count, window_ms }
}

fn sliding(count: u64, window_ms: u64) -> Terms {
    Terms::Sliding { count, window_ms }
}

fn leaky(rate: u64, burst: u64) -> Terms {
    Terms::Leaky { rate_milli: rate * 1000, burst_milli: burst * 1000 }
}

fn enter(id: &str) -> Terms {
    let (conn, burst, delay_ms, hold_ms) = (2, 3, 100, MINUTE);
    Terms::Enter { conn, burst, delay_ms, id: id.to_owned(), hold_ms }
}

fn leave(id: &str) -> Terms {
    Terms::Leave { id: id.to_owned() }
}

/// Takes `want` of an account `ms` after the start.
fn take(account: &mut Account, terms: &Terms, want: u32, ms: u64) -> Grant {
    account.take(&toll(terms, want), Timestamp::from_millis(START + ms))
}

fn grant(granted: u32, remaining: u64, reset_ms: u64, pause_ms: u64, good_ms: u64) -> Grant {
    Grant { granted, remaining, reset_ms, pause_ms, good_ms }
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What a node has left of what it was given.
#[derive(Clone, Copy, Default)]
struct Lease {
    left: u32,
    until_ms: u64,
    want: u32,
}

/// The moments, in order, at which requests pass that come to `nodes` nodes at random, and how many did not.
fn passed(terms: &Terms, nodes: usize, rate_per_s: u64, chance: &mut Chance) -> (Vec<u64>, usize) {
    const REQUESTS: usize = 4000;
    let mut account = Account::default();
    let mut leases = vec![Lease::default(); nodes];
    let (mut at_us, mut passed, mut refused) = (START * 1000, Vec::new(), 0);
    for _ in 0..REQUESTS {
        // Together, or apart.
        at_us += if chance.below(4) == 0 { 0 } else { chance.below(2_700_000 / rate_per_s) };
        let asked_ms = at_us / 1000;
        let pick = usize::try_from(chance.below(nodes as u64)).unwrap();
        let lease = &mut leases[pick];
        if lease.left > 0 && asked_ms < lease.until_ms {
            lease.left -= 1;
            passed.push(asked_ms);
            continue;
        }
        let want = if lease.left == 0 { (lease.want * 2).clamp(1, 1000) } else { 1 };
        // The store is asked a while later; nobody else asks in between, so that moments are in order.
        at_us += chance.below(3000);
        let now = Timestamp::from_millis(at_us / 1000);
        let grant = account.take(&toll(terms, want), now);
        assert!(grant.granted <= want);
        if grant.granted == 0 {
            refused += 1;
            continue;
        }
        passed.push(now.as_millis());
        let until_ms = asked_ms + grant.good_ms;
        *lease = Lease { left: grant.granted - 1, until_ms, want };
    }
    (passed, refused)
}

/// The most that pass in any interval of this length; its beginning counts, its end does not.
fn most_in(passed: &[u64], length_ms: u64) -> usize {
    let ends = passed
        .iter()
        .enumerate()
        .map(|(from, first)| passed.partition_point(|moment| *moment < first + length_ms) - from);
    ends.max().unwrap_or(0)
}

#[test]
fn a_fixed_window_begins_with_its_first_request() {
    let (mut account, terms) = (Account::default(), fixed(2, MINUTE));
    let mut at = |ms| take(&mut account, &terms, 1, ms);
    assert_eq!(at(500), grant(1, 1, MINUTE, 0, MINUTE));
    assert_eq!(at(1500), grant(1, 0, 59_000, 0, 59_000));
    assert_eq!(at(60_499), grant(0, 0, 1, 0, 1));
    assert_eq!(at(60_500), grant(1, 1, MINUTE, 0, MINUTE));
    assert_eq!(account.until().as_millis(), START + 120_500);
}

#[test]
fn batches_shrink_towards_the_end_and_all_is_given() {
    let (mut account, terms) = (Account::default(), fixed(100, MINUTE));
    let mut given = Vec::new();
    loop {
        let grant = take(&mut account, &terms, 10, 0);
        if grant.granted == 0 {
            break;
        }
        given.push(grant.granted);
        assert_eq!(grant.remaining + u64::from(given.iter().sum::<u32>()), 100);
    }
    assert_eq!(given[..6], [10, 10, 10, 8, 7, 6]);
    assert_eq!(given[given.len() - 15..], [1; 15]);
    assert_eq!(given.iter().sum::<u32>(), 100);
}

#[test]
fn no_more_than_its_count_pass_in_a_fixed_window() {
    for seed in 0..60 {
        let mut chance = Chance(seed);
        let (count, window_ms) = (1 + chance.below(200), 1 + chance.below(3000));
        let nodes = 1 + usize::try_from(chance.below(8)).unwrap();
        let terms = fixed(count, window_ms);
        let (passed, _) = passed(&terms, nodes, 400, &mut chance);
        // A window begins with the first that passes when there is none.
        let (mut begin, mut used) = (0, 0);
        for moment in passed {
            if moment >= begin + window_ms {
                (begin, used) = (moment, 0);
            }
            used += 1;
            assert!(used <= count, "seed {seed}: {used} of {count} by {nodes} nodes");
        }
    }
}

#[test]
fn no_more_than_its_count_pass_in_any_interval_of_a_sliding_window() {
    for seed in 0..60 {
        let mut chance = Chance(seed);
        let (count, window_ms) = (1 + chance.below(200), 1 + chance.below(3000));
        let nodes = 1 + usize::try_from(chance.below(8)).unwrap();
        let terms = sliding(count, window_ms);
        let (passed, _) = passed(&terms, nodes, 400, &mut chance);
        let most = u64::try_from(most_in(&passed, window_ms)).unwrap();
        assert!(most <= count, "seed {seed}: {most} of {count} by {nodes} nodes");
    }
}

#[test]
fn what_passes_a_leaky_bucket_is_what_it_takes() {
    for seed in 0..60 {
        let mut chance = Chance(seed);
        let (rate, burst) = (1 + chance.below(300), chance.below(200));
        let nodes = 1 + usize::try_from(chance.below(8)).unwrap();
        let (passed, _) = passed(&leaky(rate, burst), nodes, 400, &mut chance);
        let (mut level, mut before) = (0, 0);
        for moment in passed {
            level = u64::saturating_sub(level, (moment - before) * rate) + 1000;
            before = moment;
            let takes = (burst + 1) * 1000;
            assert!(level <= takes, "seed {seed}: {level} of {takes} by {nodes} nodes");
        }
    }
}

#[test]
fn leases_cost_little_of_what_may_pass() {
    for (terms, nodes) in [(fixed(1000, MINUTE), 8), (sliding(1000, MINUTE), 8), (leaky(9, 600), 8)]
    {
        let (passed, refused) = passed(&terms, nodes, 400, &mut Chance(7));
        let most = most_in(&passed, 10_000);
        assert!(refused > 0, "there were enough to fill it");
        let may = if matches!(terms, Terms::Leaky { .. }) { 601 + 90 } else { 1000 };
        assert!(most * 100 >= may * 85, "{most} of {may} passed: {terms:?}");
    }
}

#[test]
fn a_sliding_window_frees_its_oldest_slice_first() {
    let (mut account, terms) = (Account::default(), sliding(3, 3200));
    let mut at = |ms| take(&mut account, &terms, 1, ms);
    // Slices are of 100 ms, and a window reaches into 33 of them.
    assert_eq!(at(10), grant(1, 2, 3290, 0, 90));
    assert_eq!(at(20), grant(1, 1, 3280, 0, 80));
    assert_eq!(at(1000), grant(1, 0, 2300, 0, 100));
    assert_eq!(at(3299), grant(0, 0, 1, 0, 1));
    assert_eq!(at(3300), grant(1, 1, 1000, 0, 100));
    assert_eq!(account.until().as_millis(), START + 6600);
}

#[test]
fn a_leaky_bucket_holds_up_and_overflows() {
    let (mut account, terms) = (Account::default(), leaky(2, 2));
    let mut at = |ms| take(&mut account, &terms, 1, ms);
    assert_eq!(at(0), grant(1, 2, 0, 0, 0));
    assert_eq!(at(0), grant(1, 1, 0, 500, 0));
    assert_eq!(at(100), grant(1, 0, 400, 900, 0));
    assert_eq!(at(499), grant(0, 0, 1, 0, 0));
    assert_eq!(at(500), grant(1, 0, 500, 1000, 0));
    assert_eq!(account.until().as_millis(), START + 2000);
}

#[test]
fn several_from_a_leaky_bucket_are_good_for_as_long_as_was_counted_with() {
    let (mut account, terms) = (Account::default(), leaky(10, 79));
    assert_eq!(take(&mut account, &terms, 4, 0), grant(4, 66, 0, 0, 1000));
    assert_eq!(take(&mut account, &terms, 4, 0), grant(4, 62, 0, 1400, 800));
}

#[test]
fn places_are_held_until_left_or_outlived() {
    let mut account = Account::default();
    let mut at = |terms: Terms, ms| take(&mut account, &terms, 1, ms);
    for (id, remaining, pause_ms) in
        [("a", 4, 0), ("b", 3, 0), ("c", 2, 100), ("d", 1, 100), ("e", 0, 200), ("e", 0, 200)]
    {
        assert_eq!(at(enter(id), 0), grant(1, remaining, 0, pause_ms, 0), "{id}");
    }
    assert_eq!(at(enter("f"), 10), Grant::default());
    assert_eq!(at(leave("c"), 20), Grant::default());
    assert_eq!(at(leave("nobody"), 20), Grant::default());
    assert_eq!(at(enter("f"), 30), grant(1, 0, 0, 200, 0));
    assert_eq!(at(enter("g"), 59_999), Grant::default());
    assert_eq!(at(enter("g"), MINUTE), grant(1, 3, 0, 0, 0));
    assert_eq!(account.until().as_millis(), START + 2 * MINUTE);
}

#[test]
fn an_account_is_the_same_after_it_was_kept() {
    for terms in [fixed(90, MINUTE), sliding(90, MINUTE), leaky(3, 90), enter("a")] {
        let mut account = Account::default();
        for ms in 0..40 {
            let before = serde_json::to_string(&account).unwrap();
            assert!(before.len() < 1000, "{before}");
            let mut kept: Account = serde_json::from_str(&before).unwrap();
            assert_eq!(kept, account);
            let is_place = matches!(terms, Terms::Enter { .. });
            let terms = if is_place && ms % 3 == 2 { leave("a") } else { terms.clone() };
            let now = ms * 700;
            assert_eq!(take(&mut kept, &terms, 3, now), take(&mut account, &terms, 3, now));
        }
    }
}

#[test]
fn an_account_that_has_expired_is_as_good_as_a_new_one() {
    for terms in [fixed(90, MINUTE), sliding(90, MINUTE), leaky(3, 90), enter("a")] {
        let mut account = Account::default();
        for ms in [0, 100, 30_000] {
            take(&mut account, &terms, 20, ms);
        }
        let then = account.until().as_millis() - START;
        let fresh = take(&mut Account::default(), &terms, 20, then);
        assert_eq!(take(&mut account, &terms, 20, then), fresh);
    }
}

#[test]
fn a_clock_that_was_set_back_locks_nobody_out_for_longer_than_the_terms_say() {
    const DAY: u64 = 86_400_000;
    for terms in [fixed(1, MINUTE), sliding(1, MINUTE), leaky(1, 0)] {
        let mut account = Account::default();
        assert_eq!(take(&mut account, &terms, 1, DAY).granted, 1);
        let refused = take(&mut account, &terms, 1, 0);
        assert_eq!(refused.granted, 0, "{terms:?}");
        assert!(refused.reset_ms <= MINUTE + MINUTE / 32, "{refused:?}");
        assert_eq!(take(&mut account, &terms, 1, refused.reset_ms).granted, 1, "{terms:?}");
    }
    let mut account = Account::default();
    for id in ["a", "b", "c", "d", "e"] {
        assert_eq!(take(&mut account, &enter(id), 1, DAY).granted, 1);
    }
    assert_eq!(take(&mut account, &enter("f"), 1, 0).granted, 0);
    assert_eq!(take(&mut account, &enter("f"), 1, MINUTE).granted, 1);
}

#[test]
fn no_numbers_make_it_panic() {
    let large = [0, 1, 1000, u64::MAX / 2, u64::MAX];
    for (a, b, want) in large
        .iter()
        .flat_map(|a| large.iter().map(move |b| (*a, *b)))
        .flat_map(|(a, b)| [0, 1, u32::MAX].map(|want| (a, b, want)))
    {
        let (conn, burst, delay_ms, id, hold_ms) = (a, b, a, String::new(), b);
        for terms in [
            Terms::Fixed { count: a, window_ms: b },
            Terms::Sliding { count: a, window_ms: b },
            Terms::Leaky { rate_milli: a, burst_milli: b },
            Terms::Enter { conn, burst, delay_ms, id, hold_ms },
        ] {
            let mut account = Account::default();
            for ms in [0, 1, 5] {
                take(&mut account, &terms, want, ms);
            }
        }
    }
}
