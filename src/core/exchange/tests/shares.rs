//! Who serves while a branch is left alone, and when it comes back.

use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

use super::super::*;
use crate::fault::Report;
use crate::rewrite::fake::Fake;
use crate::snapshot::compile_json;
use crate::time::Timestamp;

/// No response. Never asked.
struct Nothing;

impl ResponseHead for Nothing {
    fn status(&self) -> u16 {
        0
    }

    fn header(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

/// Branches `v0`, `v1` and so on with these weights.
fn snapshot(weights: &[u32], sticky: Option<Value>, breaker: Value) -> Snapshot {
    let branch = |(number, weight): (usize, &u32)| {
        let upstream = format!("http://n{number}.test");
        json!({"name": format!("v{number}"), "weight": weight, "upstream": upstream})
    };
    let list: Vec<Value> = weights.iter().enumerate().map(branch).collect();
    let mut rule = json!({"weighted_upstreams": list, "breaker": breaker});
    if let Some(sticky) = sticky {
        rule["sticky"] = sticky;
    }
    let plugins = json!({"traffic-split": {"rules": [rule]}});
    let document = json!({"routes": [{"id": "r", "uri": "/*", "plugins": plugins}]});
    let mut report = Report::default();
    let snapshot = compile_json(&document.to_string(), 0x5eed, &mut report);
    snapshot.unwrap_or_else(|| panic!("{:?}", report.faults))
}

fn decide<'a>(snapshot: &'a Snapshot, head: &'a Fake, now: u64) -> Exchange<'a> {
    let means = Means { now: Timestamp::from_millis(now), ..Means::NONE };
    let inquiry = Inquiry { snapshot: Some(snapshot), head };
    let decided = Exchange::decide(&mut Visit::default(), inquiry, means, Body::Unread);
    decided.unwrap_or_else(|_| panic!("nothing looks at a body"))
}

/// The branch of a request of `user`, of which nothing else becomes.
fn owner(snapshot: &Snapshot, user: &str, now: u64) -> String {
    let head = Fake::new("GET", "/").header("x-user", user);
    decide(snapshot, &head, now).branch().unwrap().to_owned()
}

/// The branch of a request of `user`, which fails at `broken`.
fn send(snapshot: &Snapshot, user: &str, now: u64, broken: Option<&str>) -> String {
    let head = Fake::new("GET", "/").header("x-user", user);
    let means = Means { now: Timestamp::from_millis(now), ..Means::NONE };
    let mut exchange = decide(snapshot, &head, now);
    exchange.attempt(&head, Body::Unread, means).unwrap();
    let branch = exchange.branch().unwrap().to_owned();
    let event = Event::Failed(Failure::ConnectionRefused);
    let event = Some(&event).filter(|_| broken == Some(&*branch));
    assert_eq!(exchange.settle(event, None::<&Nothing>, &head, true, means), None);
    branch
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[test]
fn the_others_get_exactly_their_shares_in_any_window_while_one_is_left_alone() {
    for weights in
        [&[50, 30, 20][..], &[95, 5, 100], &[1, 2, 3, 4], &[7, 11, 13], &[1, 1], &[6, 0, 4, 10]]
    {
        for broken in (0..weights.len()).filter(|it| weights[*it] > 0) {
            let snapshot = snapshot(weights, None, json!({"failures": 1, "open": 1000}));
            let name = format!("v{broken}");
            while send(&snapshot, "u", 0, Some(&name)) != name {}

            let left = weights.iter().enumerate().filter(|(index, _)| *index != broken);
            let left: BTreeMap<String, u32> =
                left.map(|(index, weight)| (format!("v{index}"), *weight)).collect();
            let divisor = left.values().fold(0, |divisor, weight| gcd(divisor, *weight));
            let period = usize::try_from(left.values().sum::<u32>() / divisor).unwrap();
            let picks: Vec<String> =
                (0..4 * period).map(|_| send(&snapshot, "u", 1, Some(&name))).collect();
            for window in picks.windows(period) {
                for (name, weight) in &left {
                    let count = window.iter().filter(|picked| *picked == name).count();
                    let share = usize::try_from(weight / divisor).unwrap();
                    assert_eq!(count, share, "{weights:?} without v{broken}: {name}");
                }
            }
        }
    }
}

const USERS: u32 = 600;

fn owners(snapshot: &Snapshot, now: u64) -> Vec<String> {
    (0..USERS).map(|user| owner(snapshot, &format!("u{user}"), now)).collect()
}

fn user_of(owners: &[String], branch: &str) -> String {
    format!("u{}", owners.iter().position(|owner| owner == branch).unwrap())
}

#[test]
fn only_keys_of_a_branch_that_is_left_alone_move_and_they_come_back() {
    let weights = [50, 30, 20, 7];
    for broken in 0..weights.len() {
        let breaker = json!({"failures": 2, "open": 1, "successes": 3});
        let snapshot = snapshot(&weights, Some(json!({"by": ["header:x-user"]})), breaker);
        let before = owners(&snapshot, 0);
        let name = format!("v{broken}");
        let user = user_of(&before, &name);
        for _ in 0..2 {
            assert_eq!(send(&snapshot, &user, 0, Some(&name)), name);
        }
        let during = owners(&snapshot, 1);
        for (before, during) in before.iter().zip(&during) {
            assert!(*during != name && (*before == name || before == during), "{before} {during}");
        }
        let takers = during.iter().zip(&before).filter(|(_, before)| **before == name);
        let takers: BTreeMap<&String, usize> = takers.fold(BTreeMap::new(), |mut counts, it| {
            *counts.entry(it.0).or_default() += 1;
            counts
        });
        assert!(takers.len() > 1, "the keys go to all others, not to one: {takers:?}");

        // Probes are the branch's own keys.
        for _ in 0..3 {
            assert_eq!(send(&snapshot, &user, 1001, None), name);
        }
        assert_eq!(owners(&snapshot, 1002), before);
    }
}

#[test]
fn a_key_that_has_come_back_stays_while_the_branch_starts_slowly() {
    let breaker = json!({"failures": 1, "open": 1, "successes": 1, "slow_start": 100});
    let snapshot = snapshot(&[50, 30, 20], Some(json!({"by": ["header:x-user"]})), breaker);
    let before = owners(&snapshot, 0);
    let user = user_of(&before, "v1");
    send(&snapshot, &user, 0, Some("v1"));
    let mut last = owners(&snapshot, 1);
    assert!(!last.contains(&"v1".to_owned()));
    assert_eq!(send(&snapshot, &user, 1001, None), "v1", "the probe closes it");

    let mut counts = Vec::new();
    for step in 0..=100 {
        let now = owners(&snapshot, 1001 + step * 1000);
        for ((earlier, now), before) in last.iter().zip(&now).zip(&before) {
            assert!(now == earlier || (now == "v1" && before == "v1"), "{earlier} {now} {before}");
        }
        counts.push(now.iter().filter(|owner| *owner == "v1").count());
        last = now;
    }
    assert_eq!(last, before);
    let all = counts.last().copied().unwrap();
    let between = counts.iter().filter(|count| (1..all).contains(*count)).count();
    assert!(between > 50, "it grows all the time: {counts:?}");
}
