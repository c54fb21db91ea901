use super::*;
use crate::limit::trial::{Clock, at, draw};

fn hit(limit: &Rate, state: &mut State, now: Timestamp) -> Reading {
    let (next, reading) = limit.step(*state, now);
    *state = next.unwrap_or(*state);
    reading
}

#[test]
fn what_is_more_than_the_rate_waits_and_what_is_more_than_the_burst_is_refused() {
    let (limit, mut state) = (Rate::new(2.0, 2.0, false), State::default());
    let mut hit = |millis| {
        let reading = hit(&limit, &mut state, at(millis));
        (reading.is_admitted, reading.pause_ms, reading.remaining)
    };
    assert_eq!(hit(1_003), (true, 0, 2));
    assert_eq!(hit(1_003), (true, 500, 1));
    assert_eq!(hit(1_003), (true, 1_000, 0));
    assert_eq!(hit(1_003), (false, 0, 0));
    assert_eq!(hit(1_502), (false, 0, 0), "not yet");
    assert_eq!(hit(1_503), (true, 1_000, 0));
    assert_eq!(hit(9_000), (true, 0, 2));
}

#[test]
fn a_burst_without_delay_passes_at_once() {
    let (limit, mut state) = (Rate::new(1.0, 3.0, true), State::default());
    let readings: Vec<_> = (0..5).map(|_| hit(&limit, &mut state, at(0))).collect();
    let passed: Vec<_> = readings.iter().map(|it| (it.is_admitted, it.pause_ms)).collect();
    assert_eq!(passed, [(true, 0), (true, 0), (true, 0), (true, 0), (false, 0)]);
    assert_eq!(readings[4].reset_ms, 1_000);
}

/// The excess as nginx has it: what came, less what has run out since the last that passed.
#[derive(Default)]
struct Excess {
    last: Option<(u64, f64)>,
}

impl Excess {
    /// The excess of another request; far from `burst` on the other side of it than the bucket is wrong.
    fn of(&self, rate: f64, now: u64) -> f64 {
        let elapsed = |last| f64::from(u32::try_from(now - last).unwrap()) / 1000.0;
        self.last.map_or(0.0, |(last, excess)| (excess - rate * elapsed(last) + 1.0).max(0.0))
    }
}

#[test]
fn it_is_the_bucket_of_nginx() {
    let mut seed = 3;
    for round in 0..300 {
        let rate = f64::from(1 + draw(&mut seed, 2_000)) / 10.0;
        let burst = f64::from(draw(&mut seed, 40)) / 4.0;
        let limit = Rate::new(rate, burst, false);
        let (mut state, mut clock) = (State::default(), Clock::new(seed));
        let mut model = Excess::default();
        for _ in 0..300 {
            let now = clock.tick(1 + (2_000.0 / rate) as u64);
            let excess = model.of(rate, now);
            let reading = hit(&limit, &mut state, at(now));
            if (excess - burst).abs() > 1e-6 {
                assert_eq!(
                    reading.is_admitted,
                    excess <= burst,
                    "round {round} at {now}: {excess} of {burst}"
                );
            }
            if reading.is_admitted {
                let pause = excess / rate * 1000.0;
                let is_so = (reading.pause_ms as f64 - pause).abs() <= 1.001;
                assert!(is_so, "round {round} at {now}: {reading:?}, {pause}");
                model.last = Some((now, excess));
            }
        }
    }
}

#[test]
fn no_more_than_the_bound_pass_in_any_stretch() {
    for seed in 0..40 {
        for (rate, burst) in [(1.0, 0.0), (10.0, 5.0), (0.5, 2.0), (333.3, 20.0)] {
            let limit = Rate::new(rate, burst, true);
            let (mut state, mut clock) = (State::default(), Clock::new(seed));
            let mut passed = Vec::new();
            for _ in 0..500 {
                let now = clock.tick((4_000.0 / rate) as u64);
                (0..3)
                    .filter(|_| hit(&limit, &mut state, at(now)).is_admitted)
                    .for_each(|_| passed.push(now));
            }
            for (index, first) in passed.iter().enumerate() {
                for (count, last) in passed[index..].iter().enumerate().step_by(7) {
                    let most = burst + 1.0 + (last - first) as f64 * rate / 1000.0;
                    assert!(
                        count as f64 + 1.0 <= most + 1e-3,
                        "{seed}: {count} in {first}..={last}"
                    );
                }
            }
        }
    }
}

#[test]
fn who_waits_as_long_as_told_passes() {
    let mut seed = 11;
    for _ in 0..500 {
        let limit = Rate::new(
            f64::from(1 + draw(&mut seed, 10_000)) / 100.0,
            f64::from(draw(&mut seed, 5)),
            true,
        );
        let (mut state, mut now) = (State::default(), u64::from(draw(&mut seed, 100_000)));
        for _ in 0..50 {
            let reading = hit(&limit, &mut state, at(now));
            if !reading.is_admitted {
                now += reading.reset_ms;
                assert!(hit(&limit, &mut state, at(now)).is_admitted, "{limit:?}");
            }
        }
    }
}

#[test]
fn a_clock_that_is_set_back_keeps_nobody_out_for_longer() {
    const DAY: u64 = 86_400_000;
    for jump in [1, 999, 5_000, DAY, 400 * DAY] {
        let (limit, mut state) = (Rate::new(1.0, 2.0, true), State::default());
        let then = 2_000 * DAY + 7;
        (0..3).for_each(|_| assert!(hit(&limit, &mut state, at(then)).is_admitted));
        let mut now = then - jump;
        assert!(!hit(&limit, &mut state, at(now)).is_admitted);
        now += 1_000;
        assert!(hit(&limit, &mut state, at(now)).is_admitted, "{jump}");
        assert!(!hit(&limit, &mut state, at(now)).is_admitted, "{jump}");
        assert!(hit(&limit, &mut state, at(now + 3 * DAY)).is_admitted, "{jump}");
    }
}

#[test]
fn a_clock_at_its_ends_overflows_nothing() {
    let moments = [0, 1, 9, 10, (1 << 34) * 10 - 1, u64::MAX - 1, u64::MAX];
    for limit in [Rate::new(RATE_MAX, 0.0, true), Rate::new(2.0 / DRAIN_SECS_MAX, 1.0, false)] {
        for (first, second) in moments.iter().flat_map(|a| moments.iter().map(move |b| (*a, *b))) {
            let mut state = State::default();
            for now in [first, second, first, first, second] {
                hit(&limit, &mut state, at(now));
                assert_eq!(State::of(state.packed()), state);
            }
        }
    }
}

#[test]
fn the_rate_of_a_shared_limit_is_not_rounded_up() {
    let milli = |rate, burst| Rate::new(rate, burst, true).milli();
    assert_eq!(milli(0.0015, 0.0), (1, 0), "one third fewer, not one third more");
    assert_eq!(milli(0.0019, 2.0009), (1, 2_000));
    assert_eq!(milli(0.0005, 0.0), (1, 0), "the least that stores count");
    for told in 1..20_000_u32 {
        let number = f64::from(told) / 1000.0;
        assert_eq!(milli(number, number), (told.into(), told.into()));
    }
}
