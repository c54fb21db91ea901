//! One breaker, used by several threads.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;

const THREADS: usize = 4;

/// A generator that is good enough to mix things (Steele and others, SplitMix64).
pub(super) fn draw(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[test]
fn never_more_probes_than_slots() {
    for probes in [1, 2, 3] {
        let told = json!({"failures": 1, "probes": probes, "successes": 10_000});
        let breaker = breaker(&told);
        fail(&breaker, 1, 0);
        let (on_their_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for seed in 0..THREADS {
                let (breaker, on_their_way, most) = (&breaker, &on_their_way, &most);
                scope.spawn(move || {
                    let mut seed = seed as u64;
                    for _ in 0..2_000 {
                        let pass = breaker.enter(at(6_000));
                        if !pass.is_probe() {
                            continue;
                        }
                        let count = on_their_way.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(count, Ordering::SeqCst);
                        (0..draw(&mut seed) % 50).for_each(|_| std::hint::spin_loop());
                        on_their_way.fetch_sub(1, Ordering::SeqCst);
                        breaker.leave(pass, Outcome::Success, at(6_000));
                    }
                });
            }
        });
        assert!(most.into_inner() <= probes, "{probes}");
        assert_eq!(breaker.share(at(6_000)), WHOLE, "all slots were given back");
    }
}

#[test]
fn lost_probes_are_replaced_by_as_many() {
    for probes in [1, 2, 3] {
        let breaker = breaker(&json!({"failures": 1, "probes": probes}));
        fail(&breaker, 1, 0);
        for round in 1..500 {
            let now = 5_000 * round;
            let taken = AtomicUsize::new(0);
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        let probes = (0..3).filter(|_| breaker.enter(at(now)).is_probe());
                        taken.fetch_add(probes.count(), Ordering::SeqCst);
                    });
                }
            });
            assert_eq!(taken.into_inner(), probes, "round {round}");
        }
    }
}

#[test]
fn it_trips_and_closes_once_however_many_say_so() {
    let breaker = breaker(&json!({"failures": 2, "probes": 8, "successes": 1, "open_max": 20}));
    let mut now = 0;
    for round in 0..300 {
        let epoch = |breaker: &Breaker| Gate::of(breaker.state.gate.load(Ordering::Relaxed)).epoch;
        let before = epoch(&breaker);
        let outcome = if round % 2 == 0 { Outcome::Failure } else { Outcome::Success };
        let passes: Vec<Pass> = (0..THREADS * 2).map(|_| breaker.enter(at(now))).collect();
        assert!(passes.iter().all(|pass| pass.is_admitted()), "{round}");
        thread::scope(|scope| {
            for passes in passes.chunks(2) {
                let breaker = &breaker;
                scope.spawn(move || {
                    passes.iter().for_each(|pass| breaker.leave(*pass, outcome, at(now)));
                });
            }
        });
        assert_eq!(epoch(&breaker), Epoch(before.0.wrapping_add(1)), "{round}");
        let phase = if round % 2 == 0 { Phase::Open } else { Phase::Closed };
        assert_eq!(breaker.phase(at(now)), phase, "{round}");
        now += 5_000;
    }
}

/// Whatever they do to it, while the clock jumps about, it comes to rest closed.
#[test]
fn threads_that_do_anything_leave_it_usable() {
    let told = json!({"failures": 3, "percent": 40, "min_samples": 5, "window": 1, "open": 0.2,
        "open_max": 2, "probes": 2, "successes": 2, "slow_start": 0.5});
    let breaker = breaker(&told);
    let is_sound = AtomicBool::new(true);
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (breaker, is_sound) = (&breaker, &is_sound);
            scope.spawn(move || {
                let (mut seed, mut passes) = (seed as u64, Vec::new());
                for step in 0..20_000_u64 {
                    let jump = if draw(&mut seed).is_multiple_of(100) { 5_000 } else { 20 };
                    let now = at(100_000 + step + draw(&mut seed) % jump);
                    match draw(&mut seed) % 5 {
                        0 | 1 => passes.push(breaker.enter(now)),
                        2 => {
                            let is_share = breaker.share(now) <= WHOLE;
                            is_sound.fetch_and(is_share, Ordering::Relaxed);
                        }
                        3 => {
                            let is_bounded = breaker.wait(now) <= Duration::from_secs(2);
                            is_sound.fetch_and(is_bounded, Ordering::Relaxed);
                        }
                        _ => {
                            let outcomes = [Outcome::Success, Outcome::Failure, Outcome::Neither];
                            let outcome = outcomes[draw(&mut seed) as usize % 3];
                            if let Some(pass) = passes.pop() {
                                breaker.leave(pass, outcome, now);
                            }
                        }
                    }
                }
            });
        }
    });
    assert!(is_sound.into_inner());
    let mut now = 1_000_000;
    while breaker.phase(at(now)) != Phase::Closed {
        assert!(now < 1_010_000, "it does not close");
        succeed(&breaker, 1, now);
        now += 100;
    }
    assert!(now <= 1_000_000 + 2_000 + 2_000, "{now}");
}
