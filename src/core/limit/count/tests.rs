use super::*;
use crate::limit::trial::{Clock, at, draw};

fn limit(count: u32, secs: u64, is_sliding: bool) -> Count {
    Count { count, window: Ticks::from_secs(secs), is_sliding }
}

/// What becomes of a request at this moment, and the state that it leaves.
fn hit(limit: &Count, state: &mut State, now: Timestamp) -> Reading {
    let (next, reading) = limit.step(*state, now);
    *state = next.unwrap_or(*state);
    reading
}

#[test]
fn a_fixed_window_begins_with_its_first_request() {
    let (limit, mut state) = (limit(2, 60, false), State::default());
    let mut reading = |millis| {
        let reading = hit(&limit, &mut state, at(millis));
        (reading.is_admitted, reading.remaining, reading.reset_ms.div_ceil(1000))
    };
    assert_eq!(reading(1_000), (true, 1, 60));
    assert_eq!(reading(31_000), (true, 0, 30));
    assert_eq!(reading(60_999), (false, 0, 1));
    assert_eq!(reading(61_000), (true, 1, 60));
}

#[test]
fn a_refused_request_changes_nothing() {
    for is_sliding in [false, true] {
        let (limit, mut state) = (limit(1, 60, is_sliding), State::default());
        assert!(hit(&limit, &mut state, at(5)).is_admitted);
        assert_eq!(limit.step(state, at(10_000)).0, None, "sliding: {is_sliding}");
    }
}

#[test]
fn a_fixed_window_counts_as_a_list_of_moments_does() {
    let mut seed = 7;
    for round in 0..300 {
        let limit = limit(1 + draw(&mut seed, 20), 1 + u64::from(draw(&mut seed, 5)), false);
        let window = limit.window.as_millis();
        let (mut state, mut clock) = (State::default(), Clock::new(seed));
        // The window that goes on: when it began, and what passed since.
        let mut model: Option<(u64, u32)> = None;
        for _ in 0..500 {
            let now = clock.tick(window / 4);
            let reading = hit(&limit, &mut state, at(now));
            let (begun, passed) = match model {
                // To the tick: a window ends within the hundredth of a second behind its end.
                Some((begun, passed)) if now / 10 * 10 < begun + window => (begun, passed),
                _ => (now, 0),
            };
            assert_eq!(reading.is_admitted, passed < limit.count, "round {round} at {now}");
            let passed = passed + u32::from(reading.is_admitted);
            assert_eq!(reading.remaining, limit.count - passed, "round {round} at {now}");
            assert!(reading.reset_ms <= window + 10, "round {round} at {now}");
            model = Some((begun, passed));
        }
    }
}

/// Lets requests come as they like, and gives the moments at which some passed.
fn passed(limit: &Count, seed: u64) -> Vec<u64> {
    let (mut state, mut clock, mut seed) = (State::default(), Clock::new(seed), seed);
    let mut passed = Vec::new();
    for _ in 0..400 {
        let now = clock.tick(limit.window.as_millis() / 3);
        for _ in 0..=draw(&mut seed, limit.count * 2) {
            if hit(limit, &mut state, at(now)).is_admitted {
                passed.push(now);
            }
        }
    }
    passed
}

#[test]
fn no_more_than_the_bound_pass_in_any_stretch() {
    for seed in 0..60 {
        for count in [1, 2, 5, 30] {
            for is_sliding in [false, true] {
                let limit = limit(count, 10, is_sliding);
                let (passed, window) = (passed(&limit, seed), limit.window.as_millis());
                for (index, first) in passed.iter().enumerate() {
                    let within = |most: u64| {
                        passed[index..].iter().take_while(|it| *it - first <= most).count()
                    };
                    for part in [0, window / 10, window / 2, window - 20] {
                        let found = u64::try_from(within(part)).unwrap();
                        let count = u64::from(count);
                        let bound = match is_sliding {
                            // By the tick.
                            true => count + (count * (part + 10)).div_ceil(window),
                            false => 2 * count,
                        };
                        assert!(
                            found <= bound,
                            "{found} of {bound} in {part} ms, {limit:?}, {seed}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_steady_stream_passes_a_sliding_window_as_it_should() {
    // Ten in a second, of which five are allowed.
    let (limit, mut state) = (limit(300, 60, true), State::default());
    let mut passed = 0;
    for step in 0..6_000_u64 {
        passed += u32::from(hit(&limit, &mut state, at(step * 100)).is_admitted);
    }
    // Ten windows: the first takes its count at once, and what it kept back is made up for.
    assert!((2_700..=3_300).contains(&passed), "{passed}");
}

#[test]
fn who_waits_as_long_as_told_passes() {
    for seed in 0..200 {
        for is_sliding in [false, true] {
            let mut seed_of_count = seed;
            let count = match seed % 4 {
                0 => 1,
                1 => 1 + draw(&mut seed_of_count, 20),
                2 => 8_192,
                _ => SLIDING_MAX - draw(&mut seed_of_count, 1_000),
            };
            let limit = limit(count, 10, is_sliding);
            let mut now = 1_000_000 + u64::from(draw(&mut seed_of_count, 10_000));
            let mut state = State::default();
            for _ in 0..5 {
                // As if others had used up a part of it.
                let load = count - draw(&mut seed_of_count, count.min(5));
                if !is_sliding {
                    state.load = load;
                } else if state != State::default() {
                    state.load = limit.packed(Pair { later: load, ..limit.pair(state, at(now)) });
                }
                let mut reading = hit(&limit, &mut state, at(now));
                for _ in 0..10 {
                    if !reading.is_admitted {
                        break;
                    }
                    reading = hit(&limit, &mut state, at(now));
                }
                if reading.is_admitted {
                    continue;
                }
                assert!(reading.reset_ms > 0 && reading.reset_ms <= 20_010, "{reading:?}");
                now += reading.reset_ms;
                let then = hit(&limit, &mut state, at(now));
                assert!(then.is_admitted, "{limit:?}, {reading:?}, {seed}");
            }
        }
    }
}

#[test]
fn a_long_memory_of_many_is_never_too_short() {
    for count in [1, 8_191, 8_192, 16_383, 65_536, 999_999, SLIDING_MAX] {
        let limit = limit(count, 60, true);
        for earlier in [0, 1, count / 3, count - 1, count] {
            for later in [0, 1, count / 2, count] {
                let pair = Pair { earlier, later, since: Moment::default() };
                let load = limit.packed(pair);
                assert!(load <= LOAD_MAX);
                let (kept, own) = limit.unpacked(load);
                assert_eq!(own, later, "{count}");
                assert!(
                    (earlier..=earlier + count / 100).contains(&kept),
                    "{earlier} of {count}: {kept}"
                );
                assert!(count > 8_191 || kept == earlier, "{earlier} of {count}: {kept}");
            }
        }
    }
}

#[test]
fn a_clock_that_jumps_does_no_harm() {
    const DAY: u64 = 86_400_000;
    for is_sliding in [false, true] {
        let limit = limit(3, 60, is_sliding);
        for jump in [1, 500, 59_000, 61_000, DAY, 400 * DAY] {
            let mut state = State::default();
            let then = 2_000 * DAY;
            (0..3).for_each(|_| assert!(hit(&limit, &mut state, at(then)).is_admitted));
            let back = then - jump;
            let reading = hit(&limit, &mut state, at(back));
            assert!(!reading.is_admitted, "what passed has passed");
            assert!(reading.reset_ms <= 120_010, "{reading:?}, {jump}");
            let end = back + reading.reset_ms;
            assert!(hit(&limit, &mut state, at(end)).is_admitted, "{jump}, sliding: {is_sliding}");
            // And forwards again.
            let reading = hit(&limit, &mut state, at(end + jump));
            assert!(reading.remaining <= 3 && reading.reset_ms <= 120_010, "{reading:?}");
        }
    }
}

#[test]
fn a_clock_at_its_ends_overflows_nothing() {
    let moments = [0, 1, 9, 10, 599_999, (1 << 34) * 10 - 1, u64::MAX - 1, u64::MAX];
    for is_sliding in [false, true] {
        for limit in
            [limit(1, 1, is_sliding), limit(SLIDING_MAX, WINDOW_SECS_MAX.into(), is_sliding)]
        {
            for (first, second) in
                moments.iter().flat_map(|a| moments.iter().map(move |b| (*a, *b)))
            {
                let mut state = State::default();
                for now in [first, second, first, first, second] {
                    let reading = hit(&limit, &mut state, at(now));
                    assert!(reading.remaining <= limit.count);
                    assert_eq!(State::of(state.packed()), state);
                }
            }
        }
    }
}
