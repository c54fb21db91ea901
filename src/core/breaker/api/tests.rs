//! The plugin by itself, and as routes have it.

use super::*;
use crate::facts::Body;
use crate::facts::fake::Asked;
use crate::snapshot::{Snapshot, compile_json};
use crate::wire;
use serde_json::{Value, json};

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn compile(conf: &Value) -> (Option<ApiBreaker>, Report) {
    let mut report = Report::default();
    let check = |wire: ApiBreakerWire, report: &mut Report| Some(wire.compile(At::Root, report));
    (wire::read(conf, At::Root, &mut report, check), report)
}

fn breaker(conf: &Value) -> ApiBreaker {
    let (breaker, report) = compile(conf);
    assert_eq!(report, Report::default(), "{conf}");
    breaker.expect("it has no faults")
}

fn note(breaker: &ApiBreaker, statuses: &[u16], now: u64) {
    statuses.iter().for_each(|status| breaker.note(*status, at(now)));
}

/// For how many milliseconds it stays open, looked at from `now` on in steps of 1.
fn open_for(breaker: &ApiBreaker, now: u64) -> u64 {
    (0..).find(|millis| !breaker.is_open(at(now + millis))).unwrap()
}

#[test]
fn failures_need_not_be_in_a_row() {
    let breaker = breaker(&json!({"break_response_code": 599}));
    note(&breaker, &[500, 500, 200, 200], 0);
    assert!(!breaker.is_open(at(0)), "two failures");
    note(&breaker, &[500], 0);
    assert!(breaker.is_open(at(0)), "three, and two successes are not enough to forget any");
    note(&breaker, &[201, 404, 502, 503], 0);
    note(&breaker, &[200, 200], 0);
    assert!(breaker.is_open(at(0)), "statuses that are in no list count for nothing");
    note(&breaker, &[200], 0);
    assert!(!breaker.is_open(at(0)), "three successes");
    note(&breaker, &[200, 200, 200, 500, 500], 0);
    assert!(!breaker.is_open(at(0)), "successes are counted after failures only");
}

#[test]
fn the_time_doubles_with_each_multiple_of_failures() {
    let conf =
        json!({"break_response_code": 502, "max_breaker_sec": 10, "unhealthy": {"failures": 2}});
    let breaker = breaker(&conf);
    note(&breaker, &[500, 500], 10_000);
    // Whole seconds: until 2 s after that one have begun and the last of them has passed.
    assert_eq!(open_for(&breaker, 10_000), 3_000);
    note(&breaker, &[500], 20_000);
    assert!(!breaker.is_open(at(20_000)), "three is no multiple");
    for (round, secs) in [(1, 4), (2, 8)] {
        note(&breaker, if round == 1 { &[500] } else { &[500, 500] }, 30_000 * round + 700);
        assert_eq!(open_for(&breaker, 30_000 * round + 700), (secs + 1) * 1_000 - 700);
    }
    for round in 3..100 {
        note(&breaker, &[500, 500], 30_000 * round + 700);
        assert_eq!(
            open_for(&breaker, 30_000 * round + 700),
            10_001,
            "lost after `max_breaker_sec`"
        );
    }
}

#[test]
fn a_clock_that_is_set_back_leaves_nothing_open_for_longer() {
    for jump in [1, 1_000, 100_000, 1_000_000_000] {
        let breaker = breaker(&json!({"break_response_code": 502, "unhealthy": {"failures": 1}}));
        note(&breaker, &[500], 2_000_000_000);
        let after = 2_000_000_000 - jump;
        assert!(breaker.is_open(at(after)), "{jump}");
        assert!(open_for(&breaker, after) <= 3_000, "{jump}");
    }
    let breaker = breaker(&json!({"break_response_code": 502, "unhealthy": {"failures": 1}}));
    for now in [u64::MAX, 0, u64::MAX - 1, u64::MAX] {
        note(&breaker, &[500], now);
        breaker.is_open(at(now));
    }
}

#[test]
fn it_answers_with_headers_only_beside_a_body() {
    let headers = json!([{"key": "X-B", "value": "$remote_addr"}, {"key": "x-c", "value": "${arg_a ?? none}"}]);
    let conf = json!({"break_response_code": 599, "break_response_body": "{}", "break_response_headers": headers});
    let with_body = breaker(&conf);
    let asked = Asked::default().from("127.0.0.1");
    let broken = asked.with(Body::Unread, |facts| with_body.answer(&facts));
    let headers = vec![("x-b", "127.0.0.1".to_owned()), ("x-c", "none".to_owned())];
    assert_eq!(broken, Broken { status: 599, body: Some("{}"), headers: headers.clone() });
    let conf =
        json!({"break_response_code": 502, "break_response_headers": [{"key": "a", "value": "b"}]});
    let (without, report) = compile(&conf);
    assert_eq!(report.warnings.len(), 1);
    let without = without.unwrap();
    let broken = asked.with(Body::Unread, |facts| without.answer(&facts));
    assert_eq!(broken, Broken { status: 502, body: None, headers: Vec::new() });
}

#[test]
fn what_it_is_told_is_checked() {
    let header = |key: &str, value: &str| json!({"break_response_code": 502, "break_response_body": "", "break_response_headers": [{"key": key, "value": value}]});
    for (conf, expected) in [
        (json!({}), "(document): `break_response_code` is missing"),
        (
            json!({"break_response_code": 199}),
            "/break_response_code: expected a status from 200 to 599, found 199",
        ),
        (
            json!({"break_response_code": 600}),
            "/break_response_code: expected a status from 200 to 599, found 600",
        ),
        (
            json!({"break_response_code": 502, "max_breaker_sec": 2}),
            "/max_breaker_sec: expected an integer from 3, found 2",
        ),
        (
            json!({"break_response_code": 502, "unhealthy": {"http_statuses": [500, 499]}}),
            "/unhealthy/http_statuses/1: expected a status from 500 to 599, found 499",
        ),
        (
            json!({"break_response_code": 502, "unhealthy": {"http_statuses": [500, 500]}}),
            "/unhealthy/http_statuses/1: 500 stands here twice",
        ),
        (
            json!({"break_response_code": 502, "unhealthy": {"http_statuses": []}}),
            "/unhealthy/http_statuses: expected at least one status",
        ),
        (
            json!({"break_response_code": 502, "unhealthy": {"failures": 0}}),
            "/unhealthy/failures: expected an integer from 1, found 0",
        ),
        (
            json!({"break_response_code": 502, "healthy": {"http_statuses": [500]}}),
            "/healthy/http_statuses/0: expected a status from 200 to 499, found 500",
        ),
        (
            json!({"break_response_code": 502, "healthy": {"successes": 0}}),
            "/healthy/successes: expected an integer from 1, found 0",
        ),
        (
            json!({"break_response_code": 502, "healthy": {"success": 1}}),
            "/healthy/success: unknown key; did you mean `successes`?",
        ),
        (header("", "a"), "/break_response_headers/0/key: expected a header name"),
        (header("a b", "a"), "/break_response_headers/0/key: expected a header name"),
        (
            header("Content-Length", "1"),
            "/break_response_headers/0/key: this header belongs to the connection and cannot be edited",
        ),
        (
            header("X-Splitway-Route", "1"),
            "/break_response_headers/0/key: this header proves who served and cannot be edited",
        ),
        (
            header("a", ""),
            "/break_response_headers/0/value: expected visible ASCII as header value",
        ),
        (
            header("a", "\n"),
            "/break_response_headers/0/value: expected visible ASCII as header value",
        ),
    ] {
        let (_, report) = compile(&conf);
        let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, [expected], "{conf}");
    }
}

const GLOBAL: u16 = 501;
const OF_SERVICE: u16 = 502;
const OF_CONFIG: u16 = 503;
const OWN: u16 = 504;

/// Routes `a` and `b` with a service, `c` with a plugin config, too, `d` with a plugin of its own.
fn document() -> Value {
    let plugins =
        |code| json!({"api-breaker": {"break_response_code": code, "unhealthy": {"failures": 1}}});
    let route = |id: &str| json!({"id": id, "uri": format!("/{id}"), "service_id": "s"});
    let mut document = json!({
        "routes": [route("a"), route("b"), route("c"), route("d")],
        "services": [{"id": "s", "upstream": "http://a.test", "plugins": plugins(OF_SERVICE)}],
        "plugin_configs": [{"id": "p", "plugins": plugins(OF_CONFIG)}],
        "global_rules": [{"id": "g", "plugins": plugins(GLOBAL)}],
    });
    document["routes"][2]["plugin_config_id"] = json!("p");
    document["routes"][3]["plugins"] = plugins(OWN);
    document
}

fn snapshot(document: &Value) -> Snapshot {
    let mut report = Report::default();
    let snapshot = compile_json(&document.to_string(), 0, &mut report);
    snapshot.unwrap_or_else(|| panic!("{:?}", report.faults))
}

/// The codes of the plugins of each route, and whether they are open.
fn codes(snapshot: &Snapshot) -> Vec<Vec<(u16, bool)>> {
    let codes = |breakers: &[ApiBreaker]| {
        let codes = breakers.iter().map(|it| (it.terms.status, it.is_open(at(0))));
        codes.collect()
    };
    snapshot.routes().iter().map(|route| codes(&route.breakers)).collect()
}

#[test]
fn each_route_counts_by_itself() {
    let snapshot = snapshot(&document());
    let closed = |code| vec![(GLOBAL, false), (code, false)];
    let all = [OF_SERVICE, OF_SERVICE, OF_CONFIG, OWN].map(closed);
    assert_eq!(codes(&snapshot), all, "the nearest has the last word, the global one the first");
    note(&snapshot.routes()[0].breakers[1], &[500], 0);
    note(&snapshot.routes()[1].breakers[0], &[500], 0);
    let [_, _, of_config, own] = all;
    let first = vec![(GLOBAL, false), (OF_SERVICE, true)];
    let second = vec![(GLOBAL, true), (OF_SERVICE, false)];
    assert_eq!(codes(&snapshot), [first, second, of_config, own]);
}

#[test]
fn what_was_counted_outlives_a_change_of_something_else() {
    let earlier = snapshot(&document());
    let breakers = earlier.routes().iter().flat_map(|route| &route.breakers);
    breakers.for_each(|breaker| note(breaker, &[500], 0));
    let mut changed = document();
    // Another code, no global rule of before, another order, another route.
    changed["routes"][3]["plugins"]["api-breaker"]["break_response_code"] = json!(599);
    changed["global_rules"][0]["plugins"]["api-breaker"]["max_breaker_sec"] = json!(3);
    changed["routes"].as_array_mut().unwrap().reverse();
    changed["routes"][2]["id"] = json!("e");
    changed["routes"][1]["uri"] = json!("/other");
    let later = snapshot(&changed).following(&earlier);
    let of = |code, is_open| vec![(GLOBAL, false), (code, is_open)];
    let expected =
        [of(599, false), of(OF_CONFIG, true), of(OF_SERVICE, false), of(OF_SERVICE, true)];
    assert_eq!(codes(&later), expected);
}

#[test]
fn two_that_are_told_the_same_are_not_mixed_up() {
    let mut list =
        [0, 1].map(|_| breaker(&json!({"break_response_code": 502, "unhealthy": {"failures": 1}})));
    note(&list[1], &[500], 0);
    let earlier = list.clone();
    list = list.map(|breaker| breaker.for_route());
    ApiBreaker::follow_all(&mut list, &earlier);
    assert_eq!(list.map(|breaker| breaker.is_open(at(0))), [false, true]);
}

#[test]
fn meta_says_when_it_acts() {
    let acts = |meta: Value| {
        let breaker = breaker(&json!({"break_response_code": 502, "_meta": meta}));
        Asked::default().from("127.0.0.1").with(Body::Unread, |facts| breaker.acts_on(&facts))
    };
    assert!(acts(json!({})));
    assert!(!acts(json!({"disable": true})));
    assert!(acts(json!({"filter": [["remote_addr", "==", "127.0.0.1"]]})));
    assert!(!acts(json!({"filter": [["remote_addr", "==", "127.0.0.2"]]})));
}
