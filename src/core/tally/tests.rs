use std::cell::{Cell as Flag, RefCell};

use serde_json::{Value, json};

use super::*;
use crate::fault::Report;
use crate::meter::{Answered, Reason, Way};
use crate::snapshot::compile_json;
use crate::status::{BreakerStatus, Scope, Status, status};

/// A database in memory that knows the statements of this module.
#[derive(Debug, Default)]
struct Database {
    one: RefCell<Vec<Vec<Cell>>>,
    lanes: RefCell<BTreeMap<String, Cell>>,
    writes: Flag<usize>,
    is_full: Flag<bool>,
}

impl Sql for Database {
    fn query(&self, sql: &str, values: &[Cell]) -> Result<Vec<Vec<Cell>>, StorageError> {
        let key = match values.first() {
            Some(Cell::Text(key)) => key.clone(),
            Some(_) | None => String::new(),
        };
        match sql.split_whitespace().next().unwrap_or_default() {
            "CREATE" => {}
            "DELETE" => drop(self.lanes.borrow_mut().remove(&key)),
            "SELECT" if sql.contains("tally_lanes") => {
                let row = |(place, counts): (&String, &Cell)| {
                    vec![Cell::Text(place.clone()), counts.clone()]
                };
                return Ok(self.lanes.borrow().iter().map(row).collect());
            }
            "SELECT" => return Ok(self.one.borrow().clone()),
            "INSERT" if sql.contains("tally_lanes") => {
                self.lanes.borrow_mut().insert(key, values[1].clone());
            }
            "INSERT" => *self.one.borrow_mut() = vec![values.to_vec()],
            other => panic!("{other}"),
        }
        Ok(Vec::new())
    }

    fn atomically(
        &self,
        work: &mut dyn FnMut() -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        if self.is_full.get() {
            return Err(StorageError::Full("disk".to_owned()));
        }
        self.writes.set(self.writes.get() + 1);
        work()
    }
}

/// A published document with a route of this id for each list of branches.
fn document(routes: &[(&str, &[(&str, u32)])]) -> Snapshot {
    let route = |(id, branches): &(&str, &[(&str, u32)])| {
        let branch = |(name, weight): &(&str, u32)| json!({"name": name, "weight": weight});
        let branches: Vec<Value> = branches.iter().map(branch).collect();
        let rules = json!([{"weighted_upstreams": branches, "breaker": {"failures": 3}}]);
        json!({
            "id": id, "uri": format!("/{id}"), "upstream": {"nodes": {"a:80": 1}},
            "plugins": {"traffic-split": {"rules": rules}},
        })
    };
    let routes: Vec<Value> = routes.iter().map(route).collect();
    let published = json!({"format": 1, "ledger": "it", "revision": 1});
    let document = json!({"routes": routes, "published": published}).to_string();
    let mut report = Report::default();
    compile_json(&document, 0, &mut report).unwrap_or_else(|| panic!("{:?}", report.faults))
}

const SPLIT: &[(&str, &[(&str, u32)])] = &[("r", &[("v1", 95), ("v2", 5)])];

/// Counts a request that a branch of a route answered.
fn answer(snapshot: &Snapshot, route: &str, branch: &str, status: u16) {
    let is_it = |number: &u64| {
        let place = snapshot.at_lane(*number);
        place.is_some_and(|(found, placed)| {
            &*found.id == route && placed.is_some_and(|placed| &*placed.branch.name == branch)
        })
    };
    let number = (0..100_000).find(is_it).expect("there is such a branch");
    let meters = snapshot.meters();
    meters.lane(Some(number)).pick(Reason::Turn);
    let (at, until_head) = (Timestamp::from_millis(1000), Duration::from_millis(20));
    let answered = Answered { status, problem: None, at, until_head, waited: None };
    drop(meters.answer(Some(number), Way::default(), answered));
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

/// As it comes over a wire.
fn sent(message: Option<&Message>) -> Option<Message> {
    message.map(|message| {
        let text = serde_json::to_string(message).expect("names and numbers");
        assert!(text.len() < MESSAGE_MAX / 2, "{} bytes", text.len());
        serde_json::from_str(&text).expect("as it was")
    })
}

const ANSWERED: Option<Receipt> = Some(Receipt { pause_ms: 0 });

/// Tells what is to be told, without a loss.
fn tell(teller: &mut Teller, snapshot: &Snapshot, tally: &mut Tally, secs: u64) {
    if let Some(message) = sent(teller.message(snapshot, at(secs))) {
        let number = message.number;
        let receipt = tally.note(message, at(secs));
        assert!(!teller.answered(number, Some(receipt), at(secs)));
    }
}

fn told(snapshot: &Snapshot, tally: &Tally) -> Status {
    status(snapshot, tally.totals(), Scope::Edge, at(100_000))
}

/// What was counted; isolates do not say when they began.
fn beginless(snapshot: &Snapshot) -> Totals {
    Totals { since_ms: None, ..Totals::of_snapshot(snapshot) }
}

/// The requests of the branches of the first route.
fn requests(snapshot: &Snapshot, tally: &Tally) -> Vec<u64> {
    let told = told(snapshot, tally);
    told.routes[0].rules[0].branches.iter().map(|branch| branch.requests).collect()
}

#[test]
fn what_isolates_tell_adds_up_to_what_one_process_would_have_counted() {
    let (all, one, other) = (document(SPLIT), document(SPLIT), document(SPLIT));
    let mut tally = Tally::default();
    let (mut first, mut second) = (Teller::new("1", None), Teller::new("2", None));
    for round in 0..5 {
        for request in 0..100 {
            let branch = if request % 20 == 0 { "v2" } else { "v1" };
            let status = if request % 50 == 0 { 503 } else { 200 };
            answer(&all, "r", branch, status);
            answer(if request % 3 == 0 { &one } else { &other }, "r", branch, status);
        }
        tell(&mut first, &one, &mut tally, 10 * round);
        tell(&mut second, &other, &mut tally, 10 * round + 5);
    }
    assert_eq!(tally.totals(), &beginless(&all));
    let told = told(&all, &tally);
    let branches = &told.routes[0].rules[0].branches;
    assert_eq!((told.scope, branches[0].picked, branches[1].picked), (Scope::Edge, 475, 25));
    assert_eq!((branches[1].share, branches[1].errors), (Some(0.05), 5));
    // Those of the coordinator saw no request; those of isolates are not told.
    assert_eq!(branches[0].breaker, BreakerStatus::None);
    let own = status(&all, tally.totals(), Scope::Process, at(1));
    assert_eq!(own.routes[0].rules[0].branches[0].breaker, BreakerStatus::Closed);
}

#[test]
fn a_lost_message_is_repeated_and_a_lost_answer_counts_nothing_twice() {
    let snapshot = document(SPLIT);
    let (mut tally, mut teller) = (Tally::default(), Teller::new("1", None));
    answer(&snapshot, "r", "v1", 200);
    let lost = sent(teller.message(&snapshot, at(10))).expect("something was counted");
    assert!(teller.answered(lost.number, None, at(10)), "it is worth a line in the log");
    assert!(!teller.answered(lost.number, None, at(11)), "but one");
    // What came meanwhile waits for the next one.
    answer(&snapshot, "r", "v2", 200);
    let again = sent(teller.message(&snapshot, at(40))).expect("nobody knows that it arrived");
    assert_eq!(again, lost);
    // It arrives, twice even, and the answer is lost.
    tally.note(again.clone(), at(40));
    tally.note(again, at(41));
    assert_eq!(requests(&snapshot, &tally), [1, 0]);
    tell(&mut teller, &snapshot, &mut tally, 60);
    assert_eq!(requests(&snapshot, &tally), [1, 0]);
    tell(&mut teller, &snapshot, &mut tally, 80);
    assert_eq!(requests(&snapshot, &tally), [1, 1]);
    assert_eq!(teller.message(&snapshot, at(100)), None, "all is told");
    // An answer that comes late is of nothing that is waited for.
    answer(&snapshot, "r", "v1", 200);
    let next = sent(teller.message(&snapshot, at(110))).expect("something was counted");
    teller.answered(lost.number, ANSWERED, at(111));
    assert_eq!(sent(teller.message(&snapshot, at(120))), Some(next));
}

#[test]
fn any_losses_and_ends_of_the_object_end_in_the_exact_sums() {
    let mut seed = 11_u64;
    let mut chance = |of: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % of
    };
    for _ in 0..50 {
        let sql = Database::default();
        let mut tally = Tally::restore(&sql, at(1)).expect("it is in memory");
        let mut isolates: Vec<_> =
            ["a", "b", "c"].map(|name| (document(SPLIT), Teller::new(name, None))).into();
        let (mut v1, mut v2) = (0, 0);
        for secs in (0..1200).step_by(10) {
            let is_last = secs >= 1100;
            for (snapshot, teller) in &mut isolates {
                if !is_last && chance(3) > 0 {
                    answer(snapshot, "r", "v1", 200);
                    v1 += 1;
                }
                if !is_last && chance(20) == 0 {
                    answer(snapshot, "r", "v2", 500);
                    v2 += 1;
                }
                let Some(message) = sent(teller.message(snapshot, at(secs))) else { continue };
                let number = message.number;
                let is_sound = is_last || chance(4) > 0;
                if is_sound || chance(2) == 0 {
                    let receipt = tally.note(message, at(secs));
                    sql.is_full.set(!is_last && chance(6) == 0);
                    // The object ends before it has written.
                    if !is_last && chance(10) == 0 {
                        tally = Tally::restore(&sql, at(1)).expect("it is in memory");
                        teller.answered(number, None, at(secs));
                        continue;
                    }
                    let is_kept = tally.keep(Some(snapshot), at(secs), &sql).is_ok();
                    let is_heard = is_sound && is_kept;
                    teller.answered(number, is_heard.then_some(receipt), at(secs));
                } else {
                    teller.answered(number, None, at(secs));
                }
            }
        }
        let read = Tally::restore(&sql, at(1)).expect("it is in memory");
        for tally in [&tally, &read] {
            assert_eq!(requests(&isolates[0].0, tally), [v1, v2]);
            assert_eq!(tally.totals().since_ms, Some(1000));
            assert_eq!(tally.totals().requests, v1 + v2);
        }
    }
}

#[test]
fn what_the_configuration_has_no_more_is_forgotten_and_comes_back_from_nothing() {
    let sql = Database::default();
    let mut tally = Tally::restore(&sql, at(1)).expect("it is in memory");
    let mut teller = Teller::new("1", None);
    let first = document(&[("r", &[("v1", 95), ("v2", 5)]), ("s", &[("w", 1)])]);
    for _ in 0..9 {
        answer(&first, "r", "v1", 200);
        answer(&first, "s", "w", 200);
    }
    answer(&first, "r", "v2", 200);
    tell(&mut teller, &first, &mut tally, 10);
    tally.keep(Some(&first), at(10), &sql).expect("it is in memory");
    assert_eq!(sql.lanes.borrow().len(), 3);
    // Another branch, other weights, a route less.
    let second = document(&[("r", &[("v3", 1), ("v1", 1)])]).following(&first);
    answer(&second, "r", "v1", 200);
    answer(&second, "r", "v3", 200);
    tell(&mut teller, &second, &mut tally, 20);
    assert_eq!(requests(&second, &tally), [1, 10]);
    tally.keep(Some(&second), at(20), &sql).expect("it is in memory");
    assert_eq!(sql.lanes.borrow().len(), 2);
    // What was told is not told once more because its counters began anew.
    let third = document(&[("s", &[("w", 1)]), ("r", &[("v1", 1)])]).following(&second);
    (0..5).for_each(|_| answer(&third, "s", "w", 200));
    tell(&mut teller, &third, &mut tally, 30);
    assert_eq!(requests(&third, &tally), [5]);
    // Gone and back before anything is told: nothing is lost.
    let fourth = document(&[("r", &[("v1", 1)])]).following(&third);
    let fifth = document(&[("s", &[("w", 1)])]).following(&fourth);
    (0..3).for_each(|_| answer(&fifth, "s", "w", 200));
    tell(&mut teller, &fifth, &mut tally, 40);
    assert_eq!(requests(&fifth, &tally), [8]);
}

#[test]
fn an_isolate_and_the_object_begin_anew_without_a_loss_of_what_was_answered() {
    let sql = Database::default();
    let mut tally = Tally::restore(&sql, at(1)).expect("it is in memory");
    for (life, name) in ["1", "2", "3"].into_iter().enumerate() {
        let (snapshot, mut teller) = (document(SPLIT), Teller::new(name, None));
        (0..4).for_each(|_| answer(&snapshot, "r", "v1", 200));
        tell(&mut teller, &snapshot, &mut tally, 10);
        tally.keep(Some(&snapshot), at(10), &sql).expect("it is in memory");
        let writes = sql.writes.get();
        tally.keep(Some(&snapshot), at(11), &sql).expect("it is in memory");
        assert_eq!(sql.writes.get(), writes, "nothing new is not written");
        tally = Tally::restore(&sql, at(1)).expect("it is in memory");
        assert_eq!(requests(&snapshot, &tally), [4 * (life as u64 + 1), 0]);
    }
    assert_eq!(tally.isolates.len(), 3);
    // Isolates that are gone need no room.
    tally.is_dirty = true;
    tally.keep(None, at(3 * 3600), &sql).expect("it is in memory");
    assert_eq!(tally.isolates.len(), 0);
    // What another version wrote is forgotten, and no more than that.
    *sql.one.borrow_mut() = vec![vec![Cell::Text("?".to_owned()), Cell::Text("{}".to_owned())]];
    let tally = Tally::restore(&sql, at(1)).expect("it is in memory");
    assert_eq!((tally.sum.requests, tally.sum.lanes.len()), (0, 1));
}

#[test]
fn an_isolate_tells_a_while_after_a_request_and_once_in_a_pause() {
    let snapshot = document(SPLIT);
    let mut teller = Teller::new("1", None);
    let wait = teller.plan(&snapshot, at(100), || 2000).expect("nobody tells");
    assert_eq!(wait, Duration::from_secs(7));
    for secs in 100..112 {
        assert_eq!(teller.plan(&snapshot, at(secs), || 0), None, "somebody is about to");
    }
    // Whoever was about to was ended.
    assert!(teller.plan(&snapshot, at(112), || 0).is_some());
    answer(&snapshot, "r", "v1", 200);
    assert!(teller.message(&snapshot, at(117)).is_some());
    assert_eq!(teller.plan(&snapshot, at(117), || 0), Some(Duration::from_secs(10)));
    let mut others: Vec<Teller> = (0..64).map(|_| Teller::new("x", None)).collect();
    let waits = others.iter_mut().enumerate().map(|(number, teller)| {
        teller.plan(&snapshot, at(0), || (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    });
    let waits: BTreeSet<u128> = waits.map(|it| it.expect("a wait").as_millis() / 1000).collect();
    assert!(waits.iter().all(|secs| (5..=10).contains(secs)) && waits.len() >= 5, "{waits:?}");
    let by_hand = json!({"routes": [{"uri": "/", "upstream": {"nodes": {"a:80": 1}}}]});
    let by_hand = compile_json(&by_hand.to_string(), 0, &mut Report::default()).expect("sound");
    assert_eq!(Teller::new("1", None).plan(&by_hand, at(0), || 0), None, "no ledger has it");
}

#[test]
fn failures_and_many_isolates_make_pauses_longer() {
    let snapshot = document(SPLIT);
    let mut teller = Teller::new("1", None);
    answer(&snapshot, "r", "v1", 200);
    let number = teller.message(&snapshot, at(0)).expect("counted").number;
    teller.answered(number, None, at(0));
    assert_eq!(teller.plan(&snapshot, at(9), || 0), None);
    assert_eq!(teller.plan(&snapshot, at(12), || 0), Some(Duration::from_secs(8)));
    for _ in 0..40 {
        teller.message(&snapshot, at(20));
        teller.answered(number, None, at(20));
    }
    assert_eq!(teller.plan(&snapshot, at(300), || 0), None);
    assert!(teller.plan(&snapshot, at(315), || 0).is_some());
    teller.message(&snapshot, at(320));
    teller.answered(number, Some(Receipt { pause_ms: 50_000 }), at(320));
    answer(&snapshot, "r", "v1", 200);
    assert!(teller.message(&snapshot, at(330)).is_some());
    assert_eq!(teller.plan(&snapshot, at(369), || 0), None);
    assert!(teller.plan(&snapshot, at(371), || 0).is_some());
    // The coordinator asks for that by how many there are.
    let (sql, mut tally) = (Database::default(), Tally::default());
    let tells = |tally: &mut Tally, isolate: u64| {
        let isolate = isolate.to_string().into();
        tally.note(Message { isolate, number: 1, more: Totals::default() }, at(1000)).pause_ms
    };
    for isolate in 0..20_000 {
        assert_eq!(tells(&mut tally, isolate), 0);
    }
    tally.keep(Some(&snapshot), at(1000), &sql).expect("it is in memory");
    assert_eq!(tells(&mut tally, 20_000), 20_000 * 1000 / TOLD_PER_SECOND);
    assert!(tally.isolates.len() >= ISOLATES_MAX, "{}", tally.isolates.len());
}

#[test]
fn a_message_is_bounded_and_the_next_tells_of_the_rest() {
    let names: Vec<String> = (0..600).map(|number| format!("r{number}")).collect();
    let branches: &[(&str, u32)] = &[("v1", 1)];
    let routes: Vec<(&str, &[(&str, u32)])> =
        names.iter().map(|name| (name.as_str(), branches)).collect();
    let snapshot = document(&routes);
    let (mut tally, mut teller) = (Tally::default(), Teller::new("1", None));
    for round in 0..4 {
        names.iter().for_each(|name| answer(&snapshot, name, "v1", 200));
        tell(&mut teller, &snapshot, &mut tally, 10 * round);
        let known = (256 * (usize::try_from(round).expect("small") + 1)).min(600);
        assert_eq!(tally.totals().lanes.len(), known, "others first");
    }
    (4..8).for_each(|round| tell(&mut teller, &snapshot, &mut tally, 10 * round));
    assert_eq!(tally.totals(), &beginless(&snapshot));
}
