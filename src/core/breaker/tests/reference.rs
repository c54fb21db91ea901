//! The breaker beside one with plain fields, which does the same by other means: numbers that do not come
//! round, all outcomes in a list, the passes themselves in the slots.

use super::*;
use threads::draw;

#[derive(Debug)]
struct Told {
    failures: usize,
    percent: usize,
    window: u64,
    min_samples: usize,
    open: u64,
    open_max: u64,
    probes: usize,
    successes: usize,
    slow_start: u64,
}

impl Told {
    fn policy(&self) -> Policy {
        let secs = |millis: u64| millis as f64 / 1000.0;
        let mut value = json!({
            "failures": self.failures, "open": secs(self.open), "open_max": secs(self.open_max),
            "probes": self.probes, "successes": self.successes, "slow_start": secs(self.slow_start),
        });
        if self.percent > 0 {
            value["percent"] = json!(self.percent);
            value["window"] = json!(secs(self.window));
            value["min_samples"] = json!(self.min_samples);
        }
        policy(&value)
    }
}

#[derive(Debug)]
enum Stage {
    Closed { since: Option<u64>, in_row: usize, outcomes: Vec<(u64, bool)> },
    Shut { since: u64, successes: usize, slots: Vec<Option<(usize, u64)>> },
}

/// A request on its way: in which turn it began, and its slot or whether it had none.
#[derive(Clone, Copy, Debug)]
enum Way {
    Free(usize),
    Probe(usize, usize),
    Forced,
}

#[derive(Debug)]
struct Plain {
    told: Told,
    turns: usize,
    trips: u32,
    stage: Stage,
    passes: Vec<Way>,
}

impl Plain {
    fn new(told: Told) -> Self {
        let stage = Stage::Closed { since: None, in_row: 0, outcomes: Vec::new() };
        Self { told, turns: 0, trips: 0, stage, passes: Vec::new() }
    }

    /// In how many milliseconds probes pass; nothing where all pass.
    fn shut_for(&mut self, now: u64) -> Option<u64> {
        let shut = self.told.open.saturating_mul(1 << self.trips.saturating_sub(1).min(40));
        let shut = shut.min(self.told.open_max);
        match &mut self.stage {
            Stage::Closed { .. } => None,
            Stage::Shut { since, .. } => {
                *since = now.min(*since);
                Some((*since + shut).saturating_sub(now))
            }
        }
    }

    fn phase(&mut self, now: u64) -> Phase {
        match self.shut_for(now) {
            None => Phase::Closed,
            Some(0) => Phase::HalfOpen,
            Some(_) => Phase::Open,
        }
    }

    fn wait(&mut self, now: u64) -> u64 {
        match (self.shut_for(now), &mut self.stage) {
            (Some(0), Stage::Shut { slots, .. }) => {
                let until = slots.iter_mut().map(|slot| {
                    slot.as_mut().map_or(0, |(_, since)| {
                        *since = now.min(*since);
                        (*since + self.told.open).saturating_sub(now)
                    })
                });
                until.min().unwrap()
            }
            (wait, _) => wait.unwrap_or(0),
        }
    }

    fn share(&mut self, now: u64) -> u32 {
        let wait = self.wait(now);
        match &self.stage {
            Stage::Closed { since: Some(since), .. }
                if (*since..since + self.told.slow_start).contains(&now) =>
            {
                let part = (now - since) as f64 / self.told.slow_start as f64;
                (16.0 + 240.0 * part + 1e-9) as u32
            }
            Stage::Closed { .. } | Stage::Shut { .. } if wait > 0 => 0,
            Stage::Closed { .. } | Stage::Shut { .. } => 256,
        }
    }

    fn enter(&mut self, now: u64) -> Way {
        let shut_for = self.shut_for(now);
        let way = match (&mut self.stage, shut_for) {
            (Stage::Closed { .. }, _) => Way::Free(self.turns),
            (Stage::Shut { slots, .. }, Some(0)) => {
                let mut way = Way::Forced;
                for (number, slot) in slots.iter_mut().enumerate() {
                    if let Some((_, since)) = slot {
                        *since = now.min(*since);
                    }
                    if slot.is_none_or(|(_, since)| since + self.told.open <= now) {
                        *slot = Some((self.passes.len(), now));
                        way = Way::Probe(self.turns, number);
                        break;
                    }
                }
                way
            }
            (Stage::Shut { .. }, _) => Way::Forced,
        };
        self.passes.push(way);
        way
    }

    fn leave(&mut self, pass: usize, outcome: Outcome, now: u64) {
        let number = now / (self.told.window / 2);
        match (&mut self.stage, self.passes[pass]) {
            (Stage::Closed { in_row, outcomes, .. }, Way::Free(turn)) if turn == self.turns => {
                let failed = match outcome {
                    Outcome::Neither => return,
                    Outcome::Failure => true,
                    Outcome::Success => false,
                };
                *in_row = if failed { *in_row + 1 } else { 0 };
                outcomes.push((number, failed));
                let of_window = outcomes.iter().filter(|(at, _)| at + 1 >= number);
                let all = of_window.clone().count();
                let failures = of_window.filter(|(_, failed)| *failed).count();
                let is_much = self.told.percent > 0
                    && all >= self.told.min_samples
                    && failures * 100 >= all * self.told.percent;
                if is_much || (self.told.failures > 0 && *in_row >= self.told.failures) {
                    self.trip(now);
                }
            }
            (Stage::Shut { successes, slots, .. }, Way::Probe(turn, slot))
                if turn == self.turns && slots[slot].is_some_and(|(holder, _)| holder == pass) =>
            {
                slots[slot] = None;
                match outcome {
                    Outcome::Neither => {}
                    Outcome::Failure => self.trip(now),
                    Outcome::Success => {
                        *successes += 1;
                        if *successes >= self.told.successes {
                            (self.turns, self.trips) = (self.turns + 1, 0);
                            let since = Some(now);
                            self.stage = Stage::Closed { since, in_row: 0, outcomes: Vec::new() };
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn trip(&mut self, now: u64) {
        (self.turns, self.trips) = (self.turns + 1, self.trips + 1);
        let slots = vec![None; self.told.probes];
        self.stage = Stage::Shut { since: now, successes: 0, slots };
    }
}

/// Does the same to both, and says what it did with the phases that came of it.
fn compare(seed: u64) -> [usize; 3] {
    let mut chance = seed;
    let mut below = |bound: u64| draw(&mut chance) % bound;
    let jumps_back = seed.is_multiple_of(3);
    let percent = if jumps_back { 0 } else { [0, 1, 30, 50, 100][below(5) as usize] };
    let open = 100 + below(2_000);
    let told = Told {
        failures: (below(5) + u64::from(percent == 0)) as usize,
        percent,
        window: 100 + 2 * below(2_000),
        min_samples: 1 + below(20) as usize,
        open,
        open_max: open * (1 + below(20)),
        probes: 1 + below(4) as usize,
        successes: 1 + below(4) as usize,
        slow_start: below(2) * below(3_000),
    };
    let mut breaker = Breaker::new(told.policy());
    let mut plain = Plain::new(told);
    let failing = 1 + below(9);
    let mut now = below(1 << 41);
    let (mut passes, mut phases): (Vec<Pass>, _) = (Vec::new(), [0; 3]);
    for step in 0..300 {
        now = match below(20) {
            0 if jumps_back => now.saturating_sub(below(20_000)),
            0..=2 => now + below(3 * open),
            _ => now + below(50),
        };
        match below(8) {
            0..=2 => {
                passes.push(breaker.enter(at(now)));
                let (pass, way) = (passes[passes.len() - 1], plain.enter(now));
                assert_eq!(pass.is_probe(), matches!(way, Way::Probe(..)), "{seed} {step}");
                assert_eq!(pass.is_admitted(), !matches!(way, Way::Forced), "{seed} {step}");
            }
            3..=5 if !passes.is_empty() => {
                // Mostly one of the last, now and then one from long ago, which may have left before.
                let bound = if below(10) == 0 { 100 } else { 4 };
                let back = below(bound) as usize;
                let pass = passes.len().saturating_sub(1 + back);
                let outcome = match below(10) {
                    0 => Outcome::Neither,
                    number if number <= failing => Outcome::Failure,
                    _ => Outcome::Success,
                };
                breaker.leave(passes[pass], outcome, at(now));
                plain.leave(pass, outcome, now);
            }
            6 => assert_eq!(breaker.share(at(now)), plain.share(now), "{seed} {step} {plain:?}"),
            _ if below(10) == 0 => {
                let mut next = Breaker::new(breaker.policy);
                next.follow(&breaker);
                breaker = next;
            }
            _ => {
                let wait = breaker.wait(at(now)).as_millis();
                assert_eq!(wait, u128::from(plain.wait(now)), "{seed} {step} {plain:?}");
            }
        }
        let phase = breaker.phase(at(now));
        assert_eq!(phase, plain.phase(now), "{seed} {step} {now} {plain:?}");
        phases[phase as usize] += 1;
    }
    phases
}

#[test]
fn it_does_what_a_plain_one_does() {
    let mut phases = [0; 3];
    for seed in 0..6_000 {
        for (sum, count) in phases.iter_mut().zip(compare(seed)) {
            *sum += count;
        }
    }
    assert!(phases.iter().all(|count| *count > 100_000), "each phase is reached: {phases:?}");
}
