use super::*;
use crate::limit::count::Count;
use crate::limit::state::Ticks;
use crate::limit::trial::{at, draw};
use std::sync::atomic::AtomicUsize;
use std::thread;

fn limit(count: u32) -> Count {
    Count { count, window: Ticks::from_secs(60), is_sliding: false }
}

/// Whether a request of this key passes.
fn passes(counters: &Counters, limit: &Count, key: &[u8], now: u64) -> bool {
    let mark = counters.mark(7, key, &|| 99);
    counters.change(mark, at(now), |state| limit.step(state, at(now))).is_admitted
}

#[test]
fn nothing_is_allocated_before_something_counts() {
    let counters = Counters::default();
    assert!(counters.table.get().is_none());
    assert_eq!(counters.used(), 0);
    assert!(passes(&counters, &limit(1), b"a", 0));
    assert_eq!(counters.used(), 1);
}

#[test]
fn keys_and_limits_are_told_apart() {
    let counters = Counters::default();
    let mark = |salt, key: &[u8]| counters.mark(salt, key, &|| 4);
    assert_eq!(mark(1, b"a"), mark(1, b"a"));
    assert_ne!(mark(1, b"a"), mark(2, b"a"));
    assert_ne!(mark(1, b"a"), mark(1, b"b"));
    let other = Counters::default();
    assert_ne!(mark(1, b"a"), other.mark(1, b"a", &|| 5), "nobody knows where a key falls");
}

#[test]
fn as_many_pass_as_may_whatever_threads_do() {
    for capacity in [16, 64, 65_536] {
        let (counters, limit) = (Counters::with_capacity(capacity), limit(1_000));
        // One key for all, and a few for each: as many as one set has room for.
        let keys: Vec<Vec<u8>> = (0..8_u8).map(|key| vec![key]).collect();
        let passed: Vec<AtomicUsize> = keys.iter().map(|_| AtomicUsize::default()).collect();
        for window in 0..4 {
            thread::scope(|scope| {
                for thread in 0..4_u64 {
                    let (counters, limit, keys, passed) = (&counters, &limit, &keys, &passed);
                    scope.spawn(move || {
                        let mut seed = thread;
                        for _ in 0..16_000 {
                            let key = draw(&mut seed, 8) as usize;
                            if passes(counters, limit, &keys[key], window * 60_000 + 10) {
                                passed[key].fetch_add(1, SeqCst);
                            }
                        }
                    });
                }
            });
            let expected = 1_000 * (usize::try_from(window).unwrap() + 1);
            let passed: Vec<usize> = passed.iter().map(|it| it.load(SeqCst)).collect();
            assert_eq!(passed, [expected; 8], "of {capacity} slots");
        }
    }
}

#[test]
fn a_key_gets_one_slot_even_if_all_come_with_it_at_once() {
    let limit = limit(3);
    for round in 0..150_u32 {
        let counters = Counters::with_capacity(4_096);
        let (passed, ready) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // Others let go at the same time: slots of a window that is over.
        for old in 0..4_000_u32 {
            passes(&counters, &limit, &old.to_le_bytes(), 0);
        }
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    ready.fetch_add(1, SeqCst);
                    while ready.load(SeqCst) < 3 {
                        std::hint::spin_loop();
                    }
                    for key in 0..400_u32 {
                        let key = [round.to_le_bytes(), key.to_le_bytes()].concat();
                        let own = (0..2).filter(|_| passes(&counters, &limit, &key, 100_000));
                        passed.fetch_add(own.count(), SeqCst);
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 1_200, "round {round}");
    }
}

#[test]
fn a_million_keys_take_no_more_room_and_free_nobody_who_is_refused() {
    let (counters, limit) = (Counters::with_capacity(4_096), limit(100));
    let refused: Vec<[u8; 1]> = (0..100).map(|key| [key]).collect();
    for key in &refused {
        (0..100).for_each(|_| assert!(passes(&counters, &limit, key, 0)));
        assert!(!passes(&counters, &limit, key, 0));
    }
    for key in 0..1_000_000_u32 {
        passes(&counters, &limit, &key.to_le_bytes(), 1 + u64::from(key) / 20);
    }
    assert_eq!(counters.used(), 4_096);
    let free = refused.iter().filter(|key| passes(&counters, &limit, &key[..], 50_001));
    assert_eq!(free.count(), 0);
}

#[test]
fn a_flood_of_one_limit_frees_nobody_whom_another_refuses() {
    let counters = Counters::default();
    let login = limit(5);
    let daily = Count { count: 1, window: Ticks::from_secs(86_400), is_sliding: false };
    let passes = |limit: &Count, key: u32, now: u64| {
        let salt = u128::from(limit.count) << 120;
        let mark = counters.mark(salt, &key.to_le_bytes(), &|| 99);
        counters.change(mark, at(now), |state| limit.step(state, at(now))).is_admitted
    };
    for key in 0..100 {
        assert_eq!((0..9).filter(|_| passes(&login, key, 0)).count(), 5);
    }
    (0..200_000).for_each(|key| assert!(passes(&daily, key, 1)));
    assert_eq!((0..100).filter(|key| passes(&login, *key, 2)).count(), 0);
    // Nor does it keep anybody from being counted who comes later, or is slow.
    for round in 0..20 {
        let passed = (1_000..1_100).filter(|key| passes(&login, *key, 3)).count();
        assert_eq!(passed, if round < 5 { 100 } else { 0 }, "round {round}");
        let made_up = 1_000_000 + round * 20_000..1_020_000 + round * 20_000;
        assert_eq!(made_up.filter(|key| passes(&daily, *key, 3)).count(), 20_000);
    }
}

#[test]
fn slots_of_what_is_over_are_taken_first() {
    let (counters, limit) = (Counters::with_capacity(16), limit(1));
    for key in 0..16_u8 {
        assert!(passes(&counters, &limit, &[key], u64::from(key / 8) * 30_000));
    }
    // The first half is over.
    for key in 16..24_u8 {
        assert!(passes(&counters, &limit, &[key], 61_000));
    }
    for key in 8..24_u8 {
        assert!(!passes(&counters, &limit, &[key], 61_000), "{key}");
    }
}

#[test]
fn a_look_counts_nothing() {
    let counters = Counters::default();
    let mark = counters.mark(7, b"a", &|| 99);
    assert_eq!(counters.look(mark), State::default());
    assert_eq!(counters.used(), 0);
    assert!(passes(&counters, &limit(2), b"a", 0));
    assert_eq!(counters.look(mark), counters.look(mark));
    assert_eq!(limit(2).step(counters.look(mark), at(0)).1.remaining, 0);
}
