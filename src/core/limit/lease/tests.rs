use super::*;
use crate::fault::{At, Report};
use crate::limit::account::Account;
use crate::limit::trial::{Clock, at, draw};
use crate::limit::{LimitCountWire, LimitReqWire};
use crate::wire;
use serde_json::{Value, json};

fn count(count: u32, window: u32, window_type: &str) -> Limit {
    let value = json!({"count": count, "time_window": window, "window_type": window_type, "policy": "shared"});
    let compile =
        |wire: LimitCountWire, report: &mut Report| Some(wire.compile("r", At::Root, report));
    wire::read(&value, At::Root, &mut Report::default(), compile).unwrap()
}

fn rate(value: &Value) -> Limit {
    let compile =
        |wire: LimitReqWire, report: &mut Report| Some(wire.compile("r", At::Root, report));
    wire::read(value, At::Root, &mut Report::default(), compile).unwrap()
}

/// Nodes that share a limit, and the store.
struct Fleet {
    limit: Limit,
    nodes: Vec<Counters>,
    account: Account,
    asked: u32,
}

impl Fleet {
    fn new(limit: Limit, nodes: usize) -> Self {
        let nodes = (0..nodes).map(|_| Counters::with_capacity(64)).collect();
        Self { limit, nodes, account: Account::default(), asked: 0 }
    }

    /// A request at a node; the store is so many milliseconds away, there and back.
    fn request(&mut self, node: usize, now: u64, (there, back): (u64, u64)) -> Reading {
        let spot = self.limit.spot(&self.nodes[node], "k", &|| 1);
        match spot.draw(at(now), false) {
            Draw::Known(reading) => reading,
            Draw::Asks(want) => {
                self.asked += 1;
                let toll = self.limit.toll("k", want).unwrap();
                let grant = self.account.take(&toll, at(now + there));
                spot.fund(&grant, at(now), at(now + there + back))
            }
        }
    }
}

#[test]
fn never_more_pass_than_may_on_any_number_of_nodes() {
    for nodes in [1, 2, 8] {
        for (count_of, window) in [(1, 10), (7, 10), (100, 10), (5_000, 10)] {
            let mut fleet = Fleet::new(count(count_of, window, "fixed"), nodes);
            let mut seed = u64::from(count_of);
            let (mut now, mut begin, mut passed, mut windows) =
                (1_000_000, None, 0_u32, Vec::new());
            for _ in 0..40_000 {
                now += u64::from(draw(&mut seed, 3));
                let node = draw(&mut seed, u32::try_from(nodes).unwrap()) as usize;
                if begin.is_some_and(|begin| now >= begin + u64::from(window) * 1000) {
                    windows.push(std::mem::take(&mut passed));
                    begin = None;
                }
                if fleet.request(node, now, (0, 0)).is_admitted {
                    begin.get_or_insert(now);
                    passed += 1;
                }
            }
            assert!(
                windows.iter().all(|passed| *passed <= count_of),
                "{nodes} nodes: {windows:?} of {count_of}"
            );
            // And nearly all that may: what is lost are the last of the leases.
            let least = windows.iter().min().copied().unwrap_or(count_of);
            assert!(least >= count_of - count_of / 10, "{nodes} nodes: {windows:?} of {count_of}");
        }
    }
}

#[test]
fn a_slow_store_lets_no_more_pass() {
    for seed in 0..40 {
        let mut fleet = Fleet::new(count(50, 5, "sliding"), 3);
        let (mut clock, mut passed, mut draws) = (Clock::new(seed), Vec::new(), seed);
        for _ in 0..2_000 {
            let now = clock.tick(200);
            let way = (u64::from(draw(&mut draws, 400)), u64::from(draw(&mut draws, 400)));
            let node = draw(&mut draws, 3) as usize;
            if fleet.request(node, now, way).is_admitted {
                passed.push(now);
            }
        }
        for (index, first) in passed.iter().enumerate() {
            let within = passed[index..].iter().take_while(|it| *it - first < 5_000 - 800).count();
            assert!(within <= 50, "seed {seed}: {within} from {first} on");
        }
    }
}

#[test]
fn far_from_the_limit_hardly_anybody_asks() {
    let mut fleet = Fleet::new(count(1_000_000, 3_600, "fixed"), 1);
    for step in 0..100_000 {
        assert!(fleet.request(0, 1_000 + step / 10, (1, 1)).is_admitted);
    }
    assert!(fleet.asked < 50, "{} questions", fleet.asked);
}

#[test]
fn a_refusal_is_remembered_until_its_reset() {
    let mut fleet = Fleet::new(count(2, 60, "fixed"), 1);
    let readings: Vec<_> = (0..5).map(|_| fleet.request(0, 5_000, (1, 1)).is_admitted).collect();
    assert_eq!((readings, fleet.asked), (vec![true, true, false, false, false], 3));
    let refused = fleet.request(0, 6_000, (1, 1));
    assert!((58_000..=60_000).contains(&refused.reset_ms), "{refused:?}");
    assert_eq!(fleet.asked, 3);
    assert!(fleet.request(0, 65_010, (1, 1)).is_admitted);
}

#[test]
fn what_is_left_is_told() {
    let mut fleet = Fleet::new(count(100, 60, "fixed"), 1);
    for passed in 1..=100 {
        let reading = fleet.request(0, 5_000, (0, 0));
        assert!(reading.is_admitted && reading.reset_ms >= 59_000, "{reading:?}");
        assert_eq!(reading.remaining, 100 - passed);
    }
    assert!(!fleet.request(0, 5_000, (0, 0)).is_admitted);
}

#[test]
fn who_waits_in_a_bucket_asks_for_himself() {
    let told = json!({"rate": 10, "burst": 5, "key": "remote_addr", "policy": "shared"});
    let mut fleet = Fleet::new(rate(&told), 2);
    let pauses: Vec<_> = (0..7).map(|step| fleet.request(step % 2, 1_000, (0, 0))).collect();
    let told: Vec<_> = pauses.iter().map(|it| it.is_admitted.then_some(it.pause_ms)).collect();
    assert_eq!(told, [Some(0), Some(100), Some(200), Some(300), Some(400), Some(500), None]);
}

#[test]
fn a_trial_draws_nothing() {
    let mut fleet = Fleet::new(count(100, 60, "fixed"), 1);
    (0..3).for_each(|_| assert!(fleet.request(0, 5_000, (0, 0)).is_admitted));
    let spot = fleet.limit.spot(&fleet.nodes[0], "k", &|| 1);
    assert_eq!(spot.draw(at(5_000), true), spot.draw(at(5_000), true));
}

#[test]
fn a_lease_is_what_its_state_says() {
    for held in [0, 1, HELD_MAX] {
        for size in [0, SIZE_MAX] {
            for is_spent in [false, true] {
                let lease = Lease { until: Moment::at(at(70)), held, size, is_spent };
                assert_eq!(Lease::of(State::of(lease.state().packed())), lease);
            }
        }
    }
}

#[test]
fn a_store_that_is_away_is_asked_once_a_second() {
    let counters = Counters::default();
    let mark = counters.mark(7, b"a", &|| 99);
    assert!(counters.may_ask(mark, at(10_000)) && counters.may_ask(mark, at(10_000)));
    counters.note_store(mark, false, at(10_000));
    assert!(!counters.may_ask(mark, at(10_999)));
    let asks = (0..5).filter(|_| counters.may_ask(mark, at(11_000))).count();
    assert_eq!(asks, 1);
    assert!(!counters.may_ask(mark, at(11_999)));
    assert!(counters.may_ask(mark, at(12_000)));
    assert!(counters.may_ask(mark, at(1_000)), "the clock was set back");
    counters.note_store(mark, true, at(1_001));
    assert!(counters.may_ask(mark, at(1_001)) && counters.may_ask(mark, at(1_001)));
}

#[test]
fn an_overloaded_object_of_one_key_does_not_make_the_store_away_for_all() {
    let counters = Counters::default();
    let mark = |key: u32| counters.mark(7, &key.to_le_bytes(), &|| 99);
    counters.note_store(mark(0), false, at(10_000));
    assert!(!counters.may_ask(mark(0), at(10_001)) && !counters.could_ask(mark(0), at(10_001)));
    let asks = |now| (1..=6_400).filter(|key| counters.could_ask(mark(*key), at(now))).count();
    assert!((6_200..6_400).contains(&asks(10_001)), "{}", asks(10_001));
    // Of a store that is away for all, no key is asked about all the time.
    (0..6_400).for_each(|key| counters.note_store(mark(key), false, at(10_000)));
    let asked = (0..6_400).filter(|key| counters.may_ask(mark(*key), at(11_000)));
    assert_eq!(asked.count(), 64);
}
