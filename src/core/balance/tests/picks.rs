//! Which node an attempt goes to.

use serde_json::{Value, json};
use std::time::Duration;

use super::{Asked, Balancer, InFlight, Tried, Vital, balancer, pick, pick_for, sound, tried};
use crate::balance::Upstream;
use crate::checks::Probe;
use crate::time::Timestamp;

/// Numbers that look drawn by chance (SplitMix64; Steele, Lea, Flood, 2014).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }
}

/// Nodes with these weights and priorities, in this order of positions.
fn nodes(weights: &[(u32, i64)]) -> Value {
    let node = |(number, (weight, priority)): (usize, &(u32, i64))| json!({"host": format!("n{number}.test"), "weight": weight, "priority": priority});
    weights.iter().enumerate().map(node).collect()
}

fn of(kind: &str, weights: &[(u32, i64)]) -> Balancer {
    balancer(&json!({"type": kind, "nodes": nodes(weights)}))
}

/// Checks after which one result makes a node up or down.
fn quick_checks() -> Value {
    json!({"active": {"healthy": {"successes": 1}, "unhealthy": {"http_failures": 1}}})
}

pub(super) fn set_up_one(vital: &Vital, is_up: bool) {
    let upstream = sound(&json!({"nodes": {"a.test": 1}, "checks": quick_checks()}));
    let checks = upstream.care.checks.as_ref().expect("checks");
    vital.health.note_active(&checks.active, Probe::Status(if is_up { 200 } else { 500 }));
}

fn set_up(balancer: &Balancer, up: &[bool]) {
    for (index, up) in up.iter().enumerate() {
        set_up_one(balancer.vital(index), *up);
    }
}

fn counts(balancer: &Balancer, tried: &Tried, picks: usize) -> Vec<usize> {
    let mut counts = vec![0; balancer.upstream.nodes().len()];
    (0..picks).for_each(|_| counts[pick(balancer, tried).expect("a node")] += 1);
    counts
}

#[test]
fn the_rest_shares_by_weight_while_some_are_down() {
    let balancer = of("roundrobin", &[(3, 0), (2, 0), (1, 0), (4, 0)]);
    assert_eq!(counts(&balancer, &Tried::default(), 20), [6, 4, 2, 8]);
    set_up(&balancer, &[true, false, true, true]);
    for _ in 0..5 {
        assert_eq!(counts(&balancer, &Tried::default(), 8), [3, 0, 1, 4]);
    }
    set_up(&balancer, &[true, false, true, false]);
    assert_eq!(counts(&balancer, &Tried::default(), 4), [3, 0, 1, 0]);
    set_up(&balancer, &[true; 4]);
    assert_eq!(counts(&balancer, &Tried::default(), 10), [3, 2, 1, 4]);
}

#[test]
fn where_all_are_down_all_are_tried() {
    for kind in ["roundrobin", "least_conn", "ewma"] {
        let balancer = of(kind, &[(3, 0), (1, 0), (0, 0)]);
        set_up(&balancer, &[false; 3]);
        assert!(pick(&balancer, &tried(&[0])) == Some(1), "{kind}");
        assert!(pick(&balancer, &tried(&[1])) == Some(0), "{kind}");
        assert_eq!(
            pick(&balancer, &tried(&[0, 1])),
            None,
            "{kind}: one without weight gets nothing"
        );
        if kind == "roundrobin" {
            assert_eq!(counts(&balancer, &Tried::default(), 8), [6, 2, 0]);
        }
    }
}

/// With one tier only in the way of nodes that are up, and all combinations of what is up and tried.
#[test]
fn a_lower_priority_serves_only_where_no_higher_one_can() {
    let priorities = [9, 9, 4, 4, -1];
    for kind in ["roundrobin", "least_conn", "ewma", "chash"] {
        let weights: Vec<(u32, i64)> = priorities.iter().map(|priority| (1, *priority)).collect();
        let mut object = json!({"type": kind, "nodes": nodes(&weights)});
        if kind == "chash" {
            object["key"] = json!("uri");
        }
        let balancer = balancer(&object);
        for (up, was_tried) in (0..32).flat_map(|up| (0..32).map(move |tried| (up, tried))) {
            let is = |set: i32, index: usize| set >> index & 1 == 1;
            set_up(&balancer, &[0, 1, 2, 3, 4].map(|index| is(up, index)));
            let left: Vec<usize> = (0..5).filter(|index| !is(was_tried, *index)).collect();
            let healthy: Vec<usize> = left.iter().copied().filter(|index| is(up, *index)).collect();
            let can = if healthy.is_empty() { left } else { healthy };
            let best = can.iter().map(|index| priorities[*index]).max();
            let tried: Vec<usize> = (0..5).filter(|index| is(was_tried, *index)).collect();
            let picked = pick(&balancer, &super::tried(&tried));
            assert_eq!(picked.map(|index| priorities[index]), best, "{kind} {up:b} {was_tried:b}");
            assert!(picked.is_none_or(|index| can.contains(&index)), "{kind} {up:b} {was_tried:b}");
        }
    }
}

/// What fails on one node goes on to the others by weight, whichever of them fail, and the first
/// attempts stay exact.
#[test]
fn what_failed_is_shared_by_the_others_by_weight() {
    let balancer = of("roundrobin", &[(1, 0), (1, 0), (1, 0), (1, 0)]);
    let mut seconds = [[0; 4]; 4];
    for _ in 0..120 {
        let first = pick(&balancer, &Tried::default()).expect("a node");
        let second = pick(&balancer, &tried(&[first])).expect("another");
        seconds[first][second] += 1;
    }
    for (first, seconds) in seconds.iter().enumerate() {
        let expected: Vec<usize> = (0..4).map(|it| if it == first { 0 } else { 10 }).collect();
        assert_eq!(seconds[..], expected, "{first}");
    }
}

#[test]
fn the_least_busy_node_for_its_weight_is_picked() {
    let mut draw = Draw(7);
    for _ in 0..200 {
        let weights: Vec<(u32, i64)> =
            (0..2 + draw.below(5)).map(|_| (1 + draw.below(9) as u32, 0)).collect();
        let balancer = of("least_conn", &weights);
        let mut busy: Vec<Vec<InFlight>> = weights.iter().map(|_| Vec::new()).collect();
        for _ in 0..100 {
            let load =
                |index: usize| (busy[index].len() as f64 + 1.0) / f64::from(weights[index].0);
            let skipped = tried(&[draw.below(weights.len())]);
            let can: Vec<usize> = (0..weights.len()).filter(|index| !skipped.has(*index)).collect();
            let least = can.iter().map(|index| load(*index)).fold(f64::INFINITY, f64::min);
            let picked = pick(&balancer, &skipped).expect("a node");
            assert!(can.contains(&picked));
            assert!(load(picked) <= least + 1e-9, "{weights:?} {picked}");
            busy[picked].push(balancer.start(picked));
            let ended = draw.below(weights.len());
            if draw.below(2) == 0 {
                busy[ended].pop();
            }
        }
        for (index, busy) in busy.iter().enumerate() {
            assert_eq!(balancer.vital(index).in_flight() as usize, busy.len());
        }
    }
}

#[test]
fn nodes_that_are_equally_busy_take_turns() {
    let balancer = of("least_conn", &[(2, 0), (2, 0), (2, 0), (1, 0)]);
    assert_eq!(counts(&balancer, &Tried::default(), 30), [10, 10, 10, 0]);
    let _one = balancer.start(0);
    assert_eq!(counts(&balancer, &Tried::default(), 30), [0, 15, 15, 0]);
}

#[test]
fn of_two_nodes_drawn_by_chance_the_cheaper_is_picked() {
    let balancer = of("ewma", &[(1, 0), (9, 0), (1, 0)]);
    let now = Timestamp::from_millis(1000);
    for (index, millis) in [(0, 300), (1, 200), (2, 100)] {
        balancer.vital(index).observe(Duration::from_millis(millis), now);
    }
    let mut draw = Draw(1);
    let mut shares = |balancer: &Balancer| {
        let mut counts = [0; 3];
        for _ in 0..3000 {
            let drawn = draw.next();
            let picked = pick_for(balancer, &Asked::default(), &Tried::default(), 1000, &|| drawn);
            counts[picked.expect("a node")] += 1;
        }
        counts
    };
    // Of three pairs the slowest wins none, the one between wins one, the quickest two.
    let [slow, middle, quick] = shares(&balancer);
    assert_eq!(slow, 0);
    assert!((900..1100).contains(&middle) && (1900..2100).contains(&quick), "{middle} {quick}");
    // The quickest with three requests costs 400 ms for one more.
    let _busy = [balancer.start(2), balancer.start(2), balancer.start(2)];
    let [slow, middle, quick] = shares(&balancer);
    assert!((1900..2100).contains(&middle) && (900..1100).contains(&slow), "{slow} {middle}");
    assert_eq!(quick, 0);
}

#[test]
fn an_average_follows_a_peak_at_once_and_forgets_it_in_time() {
    let upstream = sound(&json!({"nodes": {"a.test": 1}}));
    let vital = &upstream.vitals()[0];
    let at = |millis: u64| Timestamp::from_millis(1_795_377_599_000 + millis);
    let ms = Duration::from_millis;
    assert_eq!((vital.latency_us(at(0)), vital.cost(at(0))), (0, 0));
    vital.observe(ms(100), at(0));
    vital.observe(ms(900), at(0));
    assert_eq!(vital.latency_us(at(0)), 900_000, "a peak counts at once");
    // exp(-1) = 0.36788, exp(-3) = 0.04979.
    let near =
        |found: u32, expected: u32| assert!(found.abs_diff(expected) <= 3, "{found} {expected}");
    near(vital.latency_us(at(10_000)), 331_091);
    near(vital.latency_us(at(30_000)), 44_808);
    assert_eq!(vital.latency_us(at(1_000_000)), 0);
    vital.observe(ms(100), at(10_000));
    near(vital.latency_us(at(10_000)), 331_091 + 63_212);
    // A clock that steps back neither forgets nor panics.
    near(vital.latency_us(at(0)), 394_303);
    vital.observe(ms(1), at(0));
    near(vital.latency_us(at(10_000)), 394_303);
    vital.observe(Duration::MAX, at(20_000));
    assert_eq!(vital.latency_us(at(20_000)), u32::MAX);
    vital.observe(Duration::ZERO, at(20_000));
    assert_eq!(vital.latency_us(at(20_000)), u32::MAX);
}

#[test]
fn attempts_of_many_threads_are_counted() {
    let balancer = of("least_conn", &[(1, 0), (1, 0), (1, 0)]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut held: Vec<InFlight> = Vec::new();
                for round in 0..2000 {
                    let none = Tried::default();
                    let picked = Asked::default().with(crate::facts::Body::Unread, |facts| {
                        let now = Timestamp::from_millis(round);
                        let ask = super::Ask {
                            facts: &facts,
                            now,
                            chance: &|| round,
                            tried: &none,
                            is_trial: false,
                        };
                        balancer.pick(&ask).expect("a node")
                    });
                    let guard = balancer.start(picked);
                    let vital = balancer.vital(picked);
                    vital.observe(Duration::from_micros(round), Timestamp::from_millis(round));
                    held.push(guard);
                    if held.len() > 5 {
                        held.remove(0);
                    }
                }
            });
        }
    });
    for index in 0..3 {
        assert_eq!(balancer.vital(index).in_flight(), 0);
    }
    let guard = balancer.start(0);
    std::thread::spawn(move || drop(guard)).join().expect("no panic");
    assert_eq!(balancer.vital(0).in_flight(), 0);
}

#[test]
fn what_is_known_is_handed_on_by_authority_and_scheme() {
    let with_checks = |mut upstream: Value| {
        upstream["checks"] = quick_checks();
        sound(&upstream)
    };
    let earlier = with_checks(json!({"nodes": {"a.test": 1, "b.test": 2, "b.test:8080": 1}}));
    let later = with_checks(json!({"type": "ewma", "nodes": {"0.test": 1, "B.test:80": 7}}));
    set_up_one(&earlier.vitals()[1], false);
    let is_up = |upstream: &Upstream, index: usize| upstream.vitals()[index].health.is_up();
    later.follow(Some(&earlier));
    assert!(is_up(&later, 0) && !is_up(&later, 1));
    // What was followed once, or used, is not changed by who comes next.
    let other = with_checks(json!({"nodes": {"b.test": 1}}));
    later.follow(Some(&other));
    assert!(!is_up(&later, 1));
    let secure = with_checks(json!({"scheme": "https", "nodes": {"b.test:80": 1}}));
    secure.follow(Some(&earlier));
    assert!(is_up(&secure, 0));
}

#[test]
fn sets_of_tried_nodes_hold_any_positions() {
    let mut tried = Tried::default();
    assert!(tried.is_empty() && tried.count() == 0);
    for index in [0, 63, 64, 65, 5000, 64, 0] {
        tried.add(index);
        assert!(tried.has(index));
    }
    assert_eq!(tried.count(), 5);
    assert!(!tried.has(1) && !tried.has(66) && !tried.has(128) && !tried.is_empty());
}

#[test]
fn nothing_is_allocated_to_pick_a_node() {
    for kind in ["roundrobin", "least_conn", "ewma"] {
        let balancer = of(kind, &[(3, 1), (1, 1), (1, 1), (4, 0)]);
        let (none, one) = (Tried::default(), tried(&[0]));
        pick(&balancer, &none);
        set_up_one(balancer.vital(1), false);
        Asked::default().with(crate::facts::Body::Unread, |facts| {
            let counted = allocation_counter::measure(|| {
                for tried in [&none, &one] {
                    let (facts, chance, now) = (&facts, &|| 5, Timestamp::default());
                    let ask = super::Ask { facts, now, chance, tried, is_trial: false };
                    drop(balancer.start(balancer.pick(&ask).expect("a node")));
                }
            });
            assert_eq!(counted.count_total, 0, "{kind}");
        });
    }
}
