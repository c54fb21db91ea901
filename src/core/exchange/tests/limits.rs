//! Who passes a limit, and where those go for whom a branch has no room.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use serde_json::{Value, json};

use super::super::*;
use crate::fault::Report;
use crate::guard::{Effect, Found};
use crate::limit::account::Account;
use crate::limit::{Grant, Leaving, Porter, Toll};
use crate::rewrite::fake::Fake;
use crate::snapshot::compile_json;
use crate::time::Timestamp;

fn compiled(document: &Value) -> Snapshot {
    let mut report = Report::default();
    let snapshot = compile_json(&document.to_string(), 0, &mut report);
    snapshot.unwrap_or_else(|| panic!("{:?}", report.faults))
}

/// A route with these plugins.
fn guarded(plugins: &Value) -> Snapshot {
    let upstream = json!({"nodes": {"a.test:80": 1}});
    compiled(
        &json!({"routes": [{"id": "r", "uri": "/*", "plugins": plugins, "upstream": upstream}]}),
    )
}

/// A rule with branches of these names, weights and limits, and this beside.
fn split(branches: &[(&str, u32, Value)], beside: &Value) -> Snapshot {
    let branch = |(name, weight, limit): &(&str, u32, Value)| {
        let mut branch = json!({"name": name, "weight": weight,
            "upstream": format!("http://{name}.test")});
        if !limit.is_null() {
            branch["limit"] = limit.clone();
        }
        branch
    };
    let mut rule = json!({"weighted_upstreams": branches.iter().map(branch).collect::<Vec<_>>()});
    rule.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
    let plugins = json!({"traffic-split": {"rules": [rule]}});
    compiled(&json!({"routes": [{"id": "r", "uri": "/*", "plugins": plugins}]}))
}

fn means(now: u64) -> Means<'static> {
    Means { now: Timestamp::from_millis(now), ..Means::NONE }
}

/// What becomes of a request: it goes on, or this is answered.
fn decide<'a>(snapshot: &'a Snapshot, head: &'a Fake, now: u64) -> Exchange<'a> {
    let inquiry = Inquiry { snapshot: Some(snapshot), head };
    let decided = Exchange::decide(&mut Visit::default(), inquiry, means(now), Body::Unread);
    decided.unwrap_or_else(|needs| panic!("{needs:?}"))
}

/// The status of what is answered here; 200 if it goes on.
fn status(snapshot: &Snapshot, head: &Fake, now: u64) -> u16 {
    decide(snapshot, head, now).own_answer().map_or(200, |(answer, _)| answer.status)
}

/// How many of so many requests go to which branch.
fn shares(snapshot: &Snapshot, head: &Fake, requests: usize, now: u64) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        let exchange = decide(snapshot, head, now);
        let branch = exchange.branch().unwrap_or("none").to_owned();
        *shares.entry(branch).or_default() += 1;
    }
    shares
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.map(|(branch, count)| (branch.to_owned(), count)).into()
}

#[test]
fn addresses_of_one_64_pass_as_one() {
    let snapshot = guarded(&json!({"limit-count": {"count": 3, "time_window": 60}}));
    let passed = |network: &str| {
        let client = |host: u32| Fake::new("GET", "/").from(&format!("{network}::{host:x}"));
        (1..1_000).filter(|host| status(&snapshot, &client(*host), 0) == 200).count()
    };
    assert_eq!(passed("2001:db8:0:1"), 3);
    assert_eq!(passed("2001:db8:0:2"), 3);
    let mapped = Fake::new("GET", "/").from("::ffff:192.0.2.1");
    let plain = Fake::new("GET", "/").from("192.0.2.1");
    let statuses = [&mapped, &plain, &mapped, &plain].map(|head| status(&snapshot, head, 0));
    assert_eq!(statuses, [200, 200, 200, 503]);
}

#[test]
fn headers_that_anybody_can_send_free_nobody() {
    let snapshot = guarded(&json!({"limit-count": {"count": 2, "time_window": 60}}));
    let heads = (0..50_u32).map(|number| {
        let address = format!("203.0.113.{number}");
        ["X-Real-IP", "x-forwarded-for", "X-FORWARDED-FOR", "Forwarded", "CF-Connecting-IP"]
            .into_iter()
            .fold(Fake::new("GET", &format!("/{number}")), |head, name| {
                head.header(name, &address).header(name, "198.51.100.1")
            })
    });
    let passed = heads.filter(|head| status(&snapshot, head, 0) == 200).count();
    assert_eq!(passed, 2);
}

#[test]
fn a_million_keys_free_nobody_who_is_refused() {
    let by_address = json!({"count": 20, "time_window": 3600});
    let by_header = json!({"rate": 1, "burst": 5, "key": "http_x_key", "nodelay": true});
    let snapshot = guarded(&json!({"limit-count": by_address, "limit-req": by_header}));
    let client = Fake::new("GET", "/").from("192.0.2.1");
    assert_eq!((0..30).filter(|_| status(&snapshot, &client, 0) == 200).count(), 6, "by the rate");
    let others = |number: u32| {
        let address = std::net::Ipv4Addr::from(0x0b00_0000 + number);
        Fake::new("GET", "/").from(&address.to_string()).header("x-key", &number.to_string())
    };
    for number in 0..300_000 {
        status(&snapshot, &others(number), 1 + u64::from(number) / 100);
    }
    let client = client.header("x-key", "another");
    assert_eq!(status(&snapshot, &client, 4_000), 503, "by its address");
}

#[test]
fn what_a_trial_sees_does_not_count() {
    let snapshot = guarded(&json!({
        "limit-count": {"count": 1, "time_window": 60},
        "limit-req": {"rate": 1, "burst": 0, "key": "remote_addr"},
        "limit-conn": {"conn": 1, "burst": 0, "default_conn_delay": 1, "key": "remote_addr"},
    }));
    let head = Fake::new("GET", "/");
    for _ in 0..5 {
        let means = Means { is_trial: true, ..means(0) };
        let inquiry = Inquiry { snapshot: Some(&snapshot), head: &head };
        let decided = Exchange::decide(&mut Visit::default(), inquiry, means, Body::Unread);
        assert!(decided.is_ok_and(|it| it.own_answer().is_none()));
    }
    assert_eq!([status(&snapshot, &head, 0), status(&snapshot, &head, 0)], [200, 503]);
}

#[test]
fn a_request_holds_its_place_until_it_is_dropped() {
    let conn = json!({"conn": 1, "burst": 1, "default_conn_delay": 0.4, "key": "remote_addr"});
    let (snapshot, head) = (guarded(&json!({"limit-conn": conn})), Fake::new("GET", "/"));
    let first = decide(&snapshot, &head, 0);
    assert_eq!(first.pause(), Duration::ZERO);
    let second = decide(&snapshot, &head, 0);
    assert_eq!(second.pause(), Duration::from_millis(400));
    assert_eq!(status(&snapshot, &head, 0), 503);
    drop(first);
    assert_eq!(status(&snapshot, &head, 0), 200, "and that one is gone again");
    assert_eq!(status(&snapshot, &head, 0), 200);
}

#[test]
fn a_shared_limit_is_asked_for_and_decides() {
    let plugin = json!({"count": 3, "time_window": 60, "policy": "shared"});
    let (snapshot, head) = (guarded(&json!({"limit-count": plugin})), Fake::new("GET", "/"));
    let mut account = Account::default();
    let mut request = |now: u64| {
        let inquiry = Inquiry { snapshot: Some(&snapshot), head: &head };
        let mut visit = Visit::default();
        loop {
            match Exchange::decide(&mut visit, inquiry, means(now), Body::Unread) {
                Ok(decided) => {
                    return decided.own_answer().map_or(200, |(answer, _)| answer.status);
                }
                Err(Needs::Effect(Effect::Toll(toll))) => {
                    let grant = account.take(&toll, Timestamp::from_millis(now));
                    visit.bring(Found::Granted(Ok(grant)));
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    };
    let statuses: Vec<u16> = (0..5).map(|_| request(1_000)).collect();
    assert_eq!(statuses, [200, 200, 200, 503, 503]);
    assert_eq!(request(62_000), 200);
}

#[test]
fn while_the_store_is_away_it_is_as_told() {
    for (may, expected) in [(true, 200), (false, 500)] {
        let plugin =
            json!({"count": 3, "time_window": 60, "policy": "shared", "allow_degradation": may});
        let (snapshot, head) = (guarded(&json!({"limit-count": plugin})), Fake::new("GET", "/"));
        let inquiry = Inquiry { snapshot: Some(&snapshot), head: &head };
        let mut asked = 0;
        let mut request = |now: u64, is_away: bool| {
            let mut visit = Visit::default();
            loop {
                match Exchange::decide(&mut visit, inquiry, means(now), Body::Unread) {
                    Ok(decided) => return decided.own_answer(),
                    Err(Needs::Effect(Effect::Toll(_))) if is_away => {
                        asked += 1;
                        visit.bring(Found::Granted(Err(Failure::DestinationUnavailable)));
                    }
                    Err(Needs::Effect(Effect::Toll(toll))) => {
                        let grant = Account::default().take(&toll, Timestamp::from_millis(now));
                        visit.bring(Found::Granted(Ok(grant)));
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
        };
        for step in 0..20 {
            let answer = request(10_000 + step * 100, true);
            assert_eq!(answer.as_ref().map_or(200, |(answer, _)| answer.status), expected);
            if let Some((answer, _)) = answer {
                assert_eq!(answer.body, "{\"error_msg\":\"failed to limit count\"}\n");
            }
        }
        assert!(request(13_000, false).is_none(), "it recovers");
        assert_eq!(asked, 2, "once a second");
    }
}

/// Who has been told what is over.
#[derive(Debug)]
struct Told(Sender<Toll>);

impl Porter for Told {
    fn leave(&self, toll: Toll) {
        self.0.send(toll).unwrap();
    }
}

#[test]
fn a_shared_place_is_given_back_once() {
    let conn = json!({"conn": 1, "burst": 1, "default_conn_delay": 0.4, "key": "remote_addr",
        "policy": "shared"});
    let (snapshot, head) = (guarded(&json!({"limit-conn": conn})), Fake::new("GET", "/"));
    let (sender, left) = channel();
    let (mut account, told) = (Account::default(), Arc::new(Told(sender)));
    let drawn = Cell::new(0);
    let chance = || drawn.replace(drawn.get() + 1);
    let inquiry = Inquiry { snapshot: Some(&snapshot), head: &head };
    let request = |account: &mut Account, is_away: bool, now: u64| {
        let means = Means { chance: &chance, ..means(now) };
        let mut visit = Visit::default();
        loop {
            match Exchange::decide(&mut visit, inquiry, means, Body::Unread) {
                Ok(decided) => return decided,
                Err(Needs::Effect(Effect::Toll(toll))) if is_away => {
                    drop(Leaving::of(&toll, || Arc::clone(&told) as _));
                    visit.bring(Found::Granted(Err(Failure::ConnectionTimeout)));
                }
                Err(Needs::Effect(Effect::Toll(toll))) => {
                    let leaving = Leaving::of(&toll, || Arc::clone(&told) as _).expect("it enters");
                    let grant = account.take(&toll, means.now);
                    visit.bring(match grant.granted {
                        0 => {
                            leaving.forget();
                            Found::Granted(Ok(grant))
                        }
                        _ => Found::Entered(grant, Arc::new(leaving)),
                    });
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    };
    let status = |it: &Exchange<'_>| it.own_answer().map_or(200, |(answer, _)| answer.status);
    let first = request(&mut account, false, 0);
    let second = request(&mut account, false, 0);
    assert_eq!([first.pause(), second.pause()].map(|it| it.as_millis()), [0, 400]);
    let third = request(&mut account, false, 0);
    assert_eq!([&first, &second, &third].map(status), [200, 200, 503]);
    drop(third);
    assert_eq!(left.try_iter().count(), 0, "who got no place gives none back");
    drop(first);
    let gone: Vec<Toll> = left.try_iter().collect();
    assert_eq!(gone.len(), 1);
    account.take(&gone[0], Timestamp::from_millis(5));
    let fourth = request(&mut account, false, 10);
    assert_eq!(status(&fourth), 200);
    drop((second, fourth));
    let ids: BTreeSet<String> = left.try_iter().map(|it| format!("{it:?}")).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");

    // Nobody knows whether that one got as far as the store.
    assert_eq!(status(&request(&mut account, true, 20)), 500);
    assert_eq!(left.try_iter().count(), 1);
    assert_eq!(status(&request(&mut account, true, 30)), 500);
    assert_eq!(left.try_iter().count(), 0, "it is asked once a second");
    assert_eq!(status(&request(&mut Account::default(), false, 1_100)), 200, "it recovers");
}

#[test]
fn a_branch_that_is_full_leaves_the_rest_to_the_others() {
    let limit = json!({"count": 10, "time_window": 60});
    let snapshot = split(&[("v1", 50, Value::Null), ("v2", 50, limit)], &json!({}));
    let head = Fake::new("GET", "/");
    assert_eq!(shares(&snapshot, &head, 100, 0), counts([("v1", 90), ("v2", 10)]));
    assert_eq!(shares(&snapshot, &head, 20, 61_000), counts([("v1", 10), ("v2", 10)]));
    assert_eq!(shares(&snapshot, &head, 20, 61_000), counts([("v1", 20)]));

    let limit = json!({"count": 6, "time_window": 60});
    let three = [("a", 2, Value::Null), ("b", 1, Value::Null), ("c", 3, limit)];
    let snapshot = split(&three, &json!({}));
    assert_eq!(shares(&snapshot, &head, 12, 0), counts([("a", 4), ("b", 2), ("c", 6)]));
    assert_eq!(shares(&snapshot, &head, 30, 0), counts([("a", 20), ("b", 10)]));
}

#[test]
fn with_all_branches_full_the_least_wait_is_told() {
    let limit = |secs: u32| json!({"count": 1, "time_window": secs});
    let snapshot = split(&[("v1", 1, limit(60)), ("v2", 1, limit(20))], &json!({}));
    let head = Fake::new("GET", "/");
    assert_eq!(shares(&snapshot, &head, 2, 0), counts([("v1", 1), ("v2", 1)]));
    let (answer, problem) = decide(&snapshot, &head, 0).own_answer().expect("both are full");
    assert_eq!((answer.status, problem), (503, Some(Problem::Limited)));
    let told = answer.headers.iter().find(|(name, _)| name == "retry-after");
    assert_eq!(told.map(|(_, value)| value.as_str()), Some("20"));
    assert_eq!(shares(&snapshot, &head, 1, 20_010), counts([("v2", 1)]));
}

#[test]
fn keys_go_to_the_owner_among_those_that_have_room() {
    let limit = json!({"count": 5, "time_window": 60});
    let sticky = json!({"sticky": {"by": ["header:x-user"]}});
    let branches = |limit| [("v1", 1, Value::Null), ("v2", 1, limit), ("v3", 1, Value::Null)];
    let (free, limited) =
        (split(&branches(Value::Null), &sticky), split(&branches(limit), &sticky));
    let owner = |snapshot: &Snapshot, user: u32| {
        let head = Fake::new("GET", "/").header("x-user", &user.to_string());
        decide(snapshot, &head, 0).branch().unwrap_or("none").to_owned()
    };
    let mut of_v2 = 0;
    for user in 0..300 {
        let (own, given) = (owner(&free, user), owner(&limited, user));
        of_v2 += usize::from(given == "v2");
        assert!(own == given || (own == "v2" && of_v2 == 5), "{user}: {own}, {given}");
        assert!(own != "v2" || of_v2 == 5 || given == "v2", "{user} has room there");
    }
    assert_eq!(of_v2, 5);
}

#[test]
fn a_branch_can_count_by_key_and_by_what_is_under_way() {
    let limit = json!({"count": 1, "time_window": 60, "key": "http_x_user"});
    let snapshot = split(&[("v1", 0, Value::Null), ("v2", 1, limit)], &json!({}));
    let status = |user: &str| status(&snapshot, &Fake::new("GET", "/").header("x-user", user), 0);
    assert_eq!(["a", "a", "b", "b"].map(status), [200, 503, 200, 503]);

    let snapshot = split(&[("v1", 1, Value::Null), ("v2", 1, json!({"conn": 2}))], &json!({}));
    let head = Fake::new("GET", "/");
    let under_way: Vec<Exchange<'_>> = (0..10).map(|_| decide(&snapshot, &head, 0)).collect();
    let at_v2 = || under_way.iter().filter(|it| it.branch() == Some("v2")).count();
    assert_eq!(at_v2(), 2);
    drop(under_way);
    assert_eq!(shares(&snapshot, &head, 10, 0), counts([("v1", 5), ("v2", 5)]));
}

#[test]
fn a_rate_of_a_branch_is_not_waited_for() {
    let limit = json!({"rate": 2, "burst": 1});
    let snapshot = split(&[("v1", 1, Value::Null), ("v2", 1, limit)], &json!({}));
    let head = Fake::new("GET", "/");
    assert_eq!(shares(&snapshot, &head, 10, 0), counts([("v1", 8), ("v2", 2)]));
    assert_eq!(decide(&snapshot, &head, 500).pause(), Duration::ZERO);
}

/// The copies that many requests to another branch bring about.
fn copies(snapshot: &Snapshot, head: &Fake, requests: usize, now: u64) -> Vec<Shadow> {
    let copy = |_| {
        let mut exchange = decide(snapshot, head, now);
        exchange.attempt(head, Body::Whole(b""), means(now)).unwrap();
        assert_eq!(exchange.branch(), Some("v1"));
        exchange.shadow(head, b"", (200, Duration::ZERO), means(now)).map(|copy| *copy)
    };
    (0..requests).filter_map(copy).collect()
}

#[test]
fn copies_keep_to_the_limit_of_the_branch_that_they_go_to() {
    let head = Fake::new("GET", "/");
    let mirrored = |limit: Value, in_flight: u32| {
        let mirror = json!({"mirror": {"branch": "v2", "in_flight": in_flight}});
        split(&[("v1", 1, Value::Null), ("v2", 0, limit)], &mirror)
    };
    let count = |in_flight| mirrored(json!({"count": 2, "time_window": 60}), in_flight);
    let snapshot = count(32);
    assert_eq!(copies(&snapshot, &head, 20, 0).len(), 2);
    assert_eq!(copies(&snapshot, &head, 20, 1_000).len(), 0, "they are counted");
    assert_eq!(copies(&snapshot, &head, 20, 61_000).len(), 2);

    let snapshot = count(1);
    assert_eq!(copies(&snapshot, &head, 20, 0).len(), 1, "one at a time");
    assert_eq!(copies(&snapshot, &head, 20, 0).len(), 1, "what was not sent was not counted");

    let snapshot = mirrored(json!({"conn": 2}), 32);
    let under_way = copies(&snapshot, &head, 20, 0);
    assert_eq!(under_way.len(), 2);
    assert_eq!(copies(&snapshot, &head, 20, 0).len(), 0, "until they are dropped");
    drop(under_way);
    assert_eq!(copies(&snapshot, &head, 20, 0).len(), 2);

    let shared = json!({"count": 2, "time_window": 60, "policy": "shared"});
    assert_eq!(copies(&mirrored(shared, 32), &head, 20, 0).len(), 0, "nobody asks for a copy");
}

#[test]
fn another_revision_goes_on_with_what_branches_have_taken() {
    let document = |count: u32| {
        [("v1", 1, Value::Null), ("v2", 1, json!({"count": count, "time_window": 60}))]
    };
    let first = split(&document(5), &json!({}));
    let head = Fake::new("GET", "/");
    assert_eq!(shares(&first, &head, 20, 0), counts([("v1", 15), ("v2", 5)]));
    let same = split(&document(5), &json!({})).following(&first);
    assert_eq!(shares(&same, &head, 10, 0), counts([("v1", 10)]));
    let other = split(&document(6), &json!({})).following(&same);
    assert_eq!(shares(&other, &head, 20, 0), counts([("v1", 14), ("v2", 6)]));
}

/// What a failing upstream answers.
struct Unavailable;

impl ResponseHead for Unavailable {
    fn status(&self) -> u16 {
        503
    }

    fn header(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

/// A branch that fails and is retried twice, with this limit, and `v1` with what is beside.
fn failing(weight: u32, limit: &Value, beside: &Value) -> Snapshot {
    let retry = json!({"when": [503], "backoff": {"base": 0.0, "max": 0.0}, "budget": {"percent": 1000, "burst": 1000}});
    let upstream = json!({"nodes": {"a.test:80": 1}, "retries": 2, "retry": retry});
    let other = json!({"name": "v1", "weight": 0, "upstream": "http://v1.test"});
    let branch = json!({"name": "v2", "weight": weight, "upstream": upstream, "limit": limit});
    let mut rule = json!({"weighted_upstreams": [other, branch]});
    rule.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
    let plugins = json!({"traffic-split": {"rules": [rule]}});
    compiled(&json!({"routes": [{"id": "r", "uri": "/*", "plugins": plugins}]}))
}

/// How many attempts so many requests make at each branch, while `v2` fails all of them.
fn attempts(snapshot: &Snapshot, requests: usize, now: u64) -> BTreeMap<String, usize> {
    let (mut store, head, mut made) = (Store::default(), Fake::new("GET", "/"), BTreeMap::new());
    for _ in 0..requests {
        let mut exchange = store.decide(snapshot, &head, now);
        while let Ok(attempt) = exchange.attempt(&head, Body::Whole(b""), means(now)) {
            let branch = attempt.part.branch.to_owned();
            let event = (branch == "v2").then_some(Event::Status(503));
            *made.entry(branch).or_default() += 1;
            let again =
                exchange.settle(event.as_ref(), Some(&Unavailable), &head, true, means(now));
            if again.is_none() || store.admit(&mut exchange, now).is_err() {
                break;
            }
        }
    }
    made
}

#[test]
fn retries_at_a_branch_count_against_its_limit() {
    for limit in [
        json!({"count": 10, "time_window": 60}),
        json!({"count": 10, "time_window": 60, "window_type": "sliding"}),
        json!({"rate": 0.1, "burst": 9}),
        json!({"count": 10, "time_window": 60, "policy": "shared"}),
        json!({"rate": 0.1, "burst": 9, "policy": "shared"}),
    ] {
        let made = attempts(&failing(1, &limit, &json!({})), 20, 0);
        assert_eq!(made, counts([("v2", 10)]), "{limit}");
    }
    let made = attempts(&failing(1, &json!({"conn": 1}), &json!({})), 20, 0);
    assert_eq!(made, counts([("v2", 60)]), "each keeps its place");
}

#[test]
fn where_a_branch_has_no_room_for_a_retry_the_request_fails_over() {
    let over = json!({"on_failure": {"to": "v1", "when": ["5xx"]}});
    for policy in ["local", "shared"] {
        let limit = json!({"count": 10, "time_window": 60, "policy": policy});
        // Three attempts at v2 each, but the fourth makes one.
        let made = attempts(&failing(1, &limit, &over), 4, 0);
        assert_eq!(made, counts([("v1", 4), ("v2", 10)]), "{policy}");
    }
}

/// The store of shared limits, which may be away.
#[derive(Default)]
struct Store {
    accounts: BTreeMap<String, Account>,
    is_away: bool,
    asked: usize,
}

impl Store {
    fn take(&mut self, toll: &Toll, now: u64) -> Result<Grant, Failure> {
        self.asked += 1;
        let account = self.accounts.entry(toll.key.clone()).or_default();
        match self.is_away {
            true => Err(Failure::DestinationUnavailable),
            false => Ok(account.take(toll, Timestamp::from_millis(now))),
        }
    }

    /// Asks as long as there is something to ask for.
    fn admit(&mut self, exchange: &mut Exchange<'_>, now: u64) -> Result<(), Problem> {
        while let Some(toll) = exchange.toll() {
            let at = Timestamp::from_millis(now);
            exchange.granted(&self.take(&toll, now), (at, at))?;
        }
        Ok(())
    }

    /// What becomes of a request.
    fn decide<'a>(&mut self, snapshot: &'a Snapshot, head: &'a Fake, now: u64) -> Exchange<'a> {
        let mut exchange = decide(snapshot, head, now);
        // What stands against it is in the exchange.
        let _ = self.admit(&mut exchange, now);
        exchange
    }

    /// How many of so many requests go to which branch.
    fn shares(
        &mut self,
        snapshot: &Snapshot,
        requests: usize,
        now: u64,
    ) -> BTreeMap<String, usize> {
        let head = Fake::new("GET", "/");
        let mut shares = BTreeMap::new();
        for _ in 0..requests {
            let exchange = self.decide(snapshot, &head, now);
            assert_ne!(exchange.reason(), Some("failover"));
            *shares.entry(exchange.branch().unwrap_or("none").to_owned()).or_default() += 1;
        }
        shares
    }
}

#[test]
fn a_branch_that_is_full_for_all_leaves_the_rest_to_the_others() {
    for limit in [
        json!({"count": 10, "time_window": 60, "policy": "shared"}),
        json!({"count": 10, "time_window": 60, "policy": "shared", "window_type": "sliding"}),
        json!({"rate": 0.2, "burst": 9, "policy": "shared"}),
    ] {
        let snapshot = split(&[("v1", 50, Value::Null), ("v2", 50, limit.clone())], &json!({}));
        let mut store = Store::default();
        assert_eq!(store.shares(&snapshot, 100, 0), counts([("v1", 90), ("v2", 10)]), "{limit}");
        let asked = store.asked;
        assert_eq!(store.shares(&snapshot, 100, 0), counts([("v1", 100)]), "{limit}");
        assert_eq!(store.asked, asked, "a refusal is remembered");
        assert_eq!(
            store.shares(&snapshot, 20, 63_000),
            counts([("v1", 10), ("v2", 10)]),
            "{limit}"
        );
    }

    let limit = json!({"count": 6, "time_window": 60, "policy": "shared"});
    let three = [("a", 2, Value::Null), ("b", 1, Value::Null), ("c", 3, limit)];
    let (snapshot, mut store) = (split(&three, &json!({})), Store::default());
    assert_eq!(store.shares(&snapshot, 12, 0), counts([("a", 4), ("b", 2), ("c", 6)]));
    assert_eq!(store.shares(&snapshot, 30, 0), counts([("a", 20), ("b", 10)]));
}

#[test]
fn many_nodes_give_a_branch_no_more_than_one() {
    let limit = json!({"count": 100, "time_window": 60, "policy": "shared"});
    for nodes in [1, 2, 8] {
        let node = || split(&[("v1", 1, Value::Null), ("v2", 1, limit.clone())], &json!({}));
        let snapshots: Vec<Snapshot> = (0..nodes).map(|_| node()).collect();
        let (mut store, head, mut at_v2) = (Store::default(), Fake::new("GET", "/"), 0);
        for number in 0..1_000 * nodes {
            let exchange = store.decide(&snapshots[number % nodes], &head, 0);
            assert!(exchange.own_answer().is_none());
            at_v2 += usize::from(exchange.branch() == Some("v2"));
        }
        assert_eq!(at_v2, 100, "{nodes} nodes");
    }
}

#[test]
fn without_its_store_a_branch_takes_nothing_or_all_that_comes() {
    for may_degrade in [false, true] {
        let limit = json!({"count": 4, "time_window": 60, "policy": "shared",
            "allow_degradation": may_degrade});
        let snapshot = split(&[("v1", 1, Value::Null), ("v2", 1, limit)], &json!({}));
        let mut store = Store { is_away: true, ..Store::default() };
        let expected = match may_degrade {
            true => counts([("v1", 10), ("v2", 10)]),
            false => counts([("v1", 20)]),
        };
        for now in [0, 500, 900] {
            assert_eq!(store.shares(&snapshot, 20, now), expected, "{may_degrade}");
        }
        assert_eq!(store.asked, 1);
        assert_eq!(store.shares(&snapshot, 20, 2_000), expected);
        assert_eq!(store.asked, 2, "it is asked once a second");
        store.is_away = false;
        assert_eq!(store.shares(&snapshot, 20, 4_000), counts([("v1", 16), ("v2", 4)]));
    }
}

#[test]
fn who_finds_all_branches_full_for_all_is_told_the_least_wait() {
    let limit = |secs: u32| json!({"count": 1, "time_window": secs, "policy": "shared"});
    let forced = json!({"override": {"header": "x-branch", "addresses": ["192.0.2.0/24"]}});
    let snapshot = split(&[("v1", 1, limit(60)), ("v2", 1, limit(20))], &forced);
    let mut store = Store::default();
    assert_eq!(store.shares(&snapshot, 2, 0), counts([("v1", 1), ("v2", 1)]));
    let mut check = |head: &Fake, expected: &str| {
        let exchange = store.decide(&snapshot, head, 0);
        let (answer, problem) = exchange.own_answer().expect("there is no room");
        assert_eq!((answer.status, problem), (503, Some(Problem::Limited)));
        assert_eq!(exchange.refuse(Problem::Limited).status, 503);
        let told = answer.headers.iter().find(|(name, _)| name == "retry-after");
        assert_eq!(told.map(|(_, value)| value.as_str()), Some(expected));
    };
    check(&Fake::new("GET", "/"), "20");
    check(&Fake::new("GET", "/").from("192.0.2.1").header("x-branch", "v1"), "60");
    assert_eq!(store.shares(&snapshot, 1, 20_010), counts([("v2", 1)]));
}

#[test]
fn keys_of_a_branch_that_is_full_for_all_go_to_their_owner_among_the_others() {
    let local = json!({"count": 5, "time_window": 60});
    let shared = json!({"count": 5, "time_window": 60, "policy": "shared"});
    let sticky = json!({"sticky": {"by": ["header:x-user"]}});
    let branches = |limit| [("v1", 1, Value::Null), ("v2", 1, limit), ("v3", 1, Value::Null)];
    let (local, shared) = (split(&branches(local), &sticky), split(&branches(shared), &sticky));
    let mut store = Store::default();
    for user in 0..300 {
        let head = Fake::new("GET", "/").header("x-user", &user.to_string());
        let expected = decide(&local, &head, 0).branch().map(str::to_owned);
        let found = store.decide(&shared, &head, 0).branch().map(str::to_owned);
        assert_eq!(found, expected, "{user}");
    }
}

#[test]
fn who_cannot_fail_over_to_a_branch_that_is_full_for_all_stays() {
    let limit = json!({"count": 1, "time_window": 60, "policy": "shared"});
    let on_failure = json!({"on_failure": {"to": "v2", "when": ["5xx"]}});
    let snapshot = split(&[("v1", 1, Value::Null), ("v2", 0, limit)], &on_failure);
    let (mut store, head) = (Store::default(), Fake::new("GET", "/"));
    let mut request = || {
        let mut exchange = store.decide(&snapshot, &head, 0);
        exchange.attempt(&head, Body::Unread, means(0)).unwrap();
        let event = exchange.event(&Unavailable);
        let pause = exchange.settle(event.as_ref(), Some(&Unavailable), &head, true, means(1));
        let admitted = pause.map(|_| store.admit(&mut exchange, 1));
        let node = exchange.node().map(str::to_owned);
        (admitted, exchange.branch().map(str::to_owned), node)
    };
    let at = |branch: &str| Some(branch.to_owned());
    assert_eq!(request(), (Some(Ok(())), at("v2"), None), "it goes there next");
    let v1 = || Some("v1.test".to_owned());
    assert_eq!(request(), (Some(Err(Problem::Limited)), at("v1"), v1()));
    assert_eq!(request(), (None, at("v1"), v1()), "that is remembered");
}

#[test]
fn another_revision_goes_on_with_what_is_held_of_a_branch() {
    let document = |may: bool| {
        let limit = json!({"count": 100, "time_window": 60, "policy": "shared",
            "allow_degradation": may});
        split(&[("v1", 1, Value::Null), ("v2", 1, limit)], &json!({}))
    };
    let (first, mut store) = (document(false), Store::default());
    store.shares(&first, 150, 0);
    let second = document(true).following(&first);
    assert_eq!(store.shares(&second, 100, 0), counts([("v1", 75), ("v2", 25)]));
}

#[test]
fn what_a_branch_is_told_is_checked() {
    for (limit, expected) in [
        (json!({}), "expected one of `count` with `time_window`, `rate`, and `conn`"),
        (json!({"count": 1}), "`time_window` is missing, which `count` needs"),
        (json!({"count": 1, "time_window": 1, "conn": 1}), "expected one of"),
        (json!({"rate": 1, "time_window": 1}), "/time_window: has no meaning without `count`"),
        (json!({"conn": 1, "burst": 1}), "/burst: has no meaning without `rate`"),
        (
            json!({"conn": 1, "policy": "shared"}),
            "/policy: what is under way at a branch is counted by each process",
        ),
        (
            json!({"rate": 0.0001, "policy": "shared"}),
            "/rate: expected at least 0.001 where it is shared",
        ),
        (json!({"conn": 0}), "/conn: expected an integer from 1 to 8191, found 0"),
        (json!({"cont": 1}), "/cont: unknown key; did you mean `conn`?"),
    ] {
        for is_list in [true, false] {
            let branch = json!({"weight": 1, "upstream": "http://a.test", "limit": limit});
            let rule = if is_list { json!({"weighted_upstreams": [branch]}) } else { branch };
            let plugins = json!({"traffic-split": {"rules": [rule]}});
            let document = json!({"routes": [{"id": "r", "uri": "/*", "plugins": plugins}]});
            let mut report = Report::default();
            assert!(compile_json(&document.to_string(), 0, &mut report).is_none());
            let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
            assert!(faults.len() == 1 && faults[0].contains(expected), "{limit}: {faults:?}");
        }
    }
}
