use super::*;

fn rotation(weights: &[u32], phase: u64) -> Rotation {
    let weights: Vec<Weight> = weights.iter().copied().map(Weight).collect();
    Rotation::new(&weights, phase).expect("the weights can be picked from")
}

/// Every window of a period, at every phase, holds each choice exactly as often as it weighs.
#[test]
fn every_window_is_exact() {
    for weights in [
        &[1][..],
        &[50, 50],
        &[95, 5],
        &[1, 2, 3],
        &[0, 7, 0, 4],
        &[1, 1, 1, 1, 1],
        &[99, 1],
        &[33, 33, 34],
        &[997, 3],
    ] {
        let rotation = rotation(weights, 5);
        let period = usize::try_from(rotation.period()).expect("small");
        let picks: Vec<usize> = (0..3 * period).map(|_| rotation.next()).collect();
        let divisor = weights.iter().fold(0, |a, b| gcd(a, u64::from(*b)));
        for window in picks.windows(period) {
            for (choice, weight) in weights.iter().enumerate() {
                let count = window.iter().filter(|pick| **pick == choice).count();
                assert_eq!(count as u64, u64::from(*weight) / divisor, "{weights:?}");
            }
        }
    }
}

/// The gaps between picks of a share stay within a factor of five of the ideal (three-distance
/// theorem), so no share comes in a burst.
#[test]
fn shares_are_spread_evenly() {
    for (small, large) in
        (1..=60).flat_map(|small| [(small, 100 - small), (small, 997), (small, 9_999)])
    {
        let rotation = rotation(&[small, large], 0);
        let period = usize::try_from(rotation.period()).expect("small");
        let picks: Vec<usize> = (0..2 * period).filter(|_| rotation.next() == 0).collect();
        let ideal = f64::from(small + large) / f64::from(small);
        for pair in picks.windows(2) {
            let gap = (pair[1] - pair[0]) as f64;
            assert!(gap > ideal / 5.0 && gap < ideal * 5.0, "{small}:{large} gap {gap}");
        }
    }
}

#[test]
fn weights_that_cannot_be_picked_from_are_refused() {
    let new = |weights: &[Weight]| Rotation::new(weights, 0).map(|_| ()).unwrap_err();
    assert_eq!(new(&[]), Unpickable::NoWeight);
    assert_eq!(new(&[Weight(0), Weight(0)]), Unpickable::NoWeight);
    assert_eq!(new(&[Weight(u32::MAX), Weight(1)]), Unpickable::TooHeavy);
}

#[test]
fn a_walk_goes_on_over_the_same_weights_only() {
    let first = rotation(&[95, 5], 0);
    let mut counts = [0; 2];
    let mut current = rotation(&[95, 5], 0);
    current.follow(&first);
    for _ in 0..20 {
        let mut next = rotation(&[190, 10], 0);
        next.follow(&current);
        counts[next.next()] += 1;
        current = next;
    }
    assert_eq!(counts, [19, 1], "a new walk for each pick would never reach the small share");
    let mut other = rotation(&[90, 5, 5], 3);
    other.follow(&current);
    assert_eq!(other.step(), 3, "not the same choices");
}

/// Every window of `total / gcd` picks, wherever it begins, holds each choice as often as it weighs.
#[test]
fn walks_among_some_choices_are_exact_in_every_window() {
    let mut seed = 1_u64;
    let mut draw = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..200 {
        let count = 2 + draw(6) as usize;
        let all: Vec<u32> = (0..count).map(|_| 1 + draw(20) as u32).collect();
        let rotation = rotation(&all, draw(1 << 40));
        for _ in 0..3 {
            // In another unit, some of them out and some of them taking less.
            let weights: Vec<u64> = all
                .iter()
                .map(|weight| u64::from(*weight) * [0, 64, 256, 256][draw(4) as usize])
                .collect();
            let divisor = weights.iter().copied().fold(0, gcd);
            let Some(period) = weights.iter().sum::<u64>().checked_div(divisor) else {
                assert_eq!(rotation.next_among(|index| weights[index]), None);
                continue;
            };
            let period = period as usize;
            let next = || {
                let peeked = rotation.peek_among(|index| weights[index]);
                let picked = rotation.next_among(|index| weights[index]);
                assert_eq!(peeked, picked);
                picked.expect("something weighs")
            };
            let picks: Vec<usize> = (0..2 * period).map(|_| next()).collect();
            let mut counts = vec![0; count];
            for (number, pick) in picks.iter().enumerate() {
                counts[*pick] += 1;
                if let Some(left) = number.checked_sub(period) {
                    counts[picks[left]] -= 1;
                }
                if number + 1 >= period {
                    let expected: Vec<u64> = weights.iter().map(|it| it / divisor).collect();
                    assert_eq!(counts, expected, "round {round}: {weights:?}");
                }
            }
        }
    }
}

#[test]
fn walks_among_choices_of_any_weight_are_near_their_shares() {
    let walk = Walk::new(3);
    let weights = [u64::from(u32::MAX) * 256, u64::from(u32::MAX) * 255, 1, 0];
    let mut counts = [0_u32; 4];
    for _ in 0..10_000 {
        counts[walk.next(4, |index| weights[index]).expect("one weighs")] += 1;
    }
    assert!(counts[0].abs_diff(5_010) < 10 && counts[1].abs_diff(4_990) < 10, "{counts:?}");
    assert_eq!(counts[3], 0);
    assert_eq!(walk.next(0, |_| 1), None);
    assert_eq!(walk.next(3, |_| 0), None);
}

#[test]
fn a_walk_among_some_does_not_move_the_walk_among_all() {
    let (alone, mixed) = (rotation(&[3, 2, 1], 9), rotation(&[3, 2, 1], 9));
    for round in 0..20 {
        assert_eq!(alone.next(), mixed.next());
        mixed.next_among(|index| (index + round) as u64 % 3);
    }
}

/// How often the second choice is picked while its weight goes through `weights`, and how often it
/// should be, in picks of `whole`.
fn rollout(whole: u32, weights: impl Iterator<Item = u32>, each: usize, phase: u64) -> (f64, f64) {
    let mut current = rotation(&[1, 0], phase);
    let (mut count, mut ideal) = (0, 0.0);
    for weight in weights {
        let mut next = rotation(&[whole - weight, weight], phase);
        next.follow(&current);
        count += (0..each).filter(|_| next.next() == 1).count();
        ideal += each as f64 * f64::from(weight) / f64::from(whole);
        current = next;
    }
    (count as f64, ideal)
}

#[test]
fn a_small_share_comes_although_weights_change_more_often_than_it_does() {
    let mut failures = Vec::new();
    for phase in [0, 1, 77, 0xdead_beef] {
        for each in [1, 3, 6, 10] {
            for ((count, ideal), bound) in [
                (rollout(100, 1..=99, each, phase), 2.0),
                (rollout(100, (1..=99).rev(), each, phase), 2.0),
                (rollout(100, 1..=10, each, phase), 2.0),
                // Back and forth between small shares, 300 times: what does not fit adds up.
                (rollout(100, (1..=300).map(|step| 1 + step % 2), each, phase), 2.0),
                (rollout(997, (1..=300).map(|step| 3 + step % 5), each, phase), 5.0),
            ] {
                let off = (count - ideal).abs();
                if off > bound {
                    failures.push(format!("{phase} {each}: {count}, not {ideal}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn long_walks_go_on_at_the_same_fraction_of_the_circle() {
    let (earlier, mut later) = (rotation(&[1_000_000, 7], 123_456), rotation(&[2_000_000, 77], 0));
    later.follow(&earlier);
    let fraction = |walk: &Rotation| {
        let circle = walk.circle.as_ref().expect("two choices");
        (circle.step() * circle.stride() % circle.period()) as f64 / circle.period() as f64
    };
    assert!((fraction(&earlier) - fraction(&later)).abs() < 1e-6);
    for period in [1, 2, 3, 20, 997, 4_294_967_291] {
        let stride = stride(period);
        assert_eq!(stride * inverse(stride, period) % period, 1 % period, "{period}");
    }
}

#[test]
fn threads_share_one_exact_walk() {
    let rotation = rotation(&[3, 1], 0);
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let walkers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..1000).filter(|_| rotation.next() == 1).count()))
            .collect();
        walkers.into_iter().map(|walker| walker.join().expect("no panic")).collect()
    });
    assert_eq!(counts.iter().sum::<usize>(), 1000);
}
