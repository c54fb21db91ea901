use super::*;

const PACE: Pace = Pace { refresh: Duration::from_secs(30), check: None };
const CHECKING: Pace =
    Pace { refresh: Duration::from_secs(30), check: Some(Duration::from_secs(5)) };
const GOOD: &str = r#"{"routes": [{"uri": "/", "upstream": "http://a"}]}"#;

fn at(secs: f64) -> Timestamp {
    Timestamp::from_millis((secs * 1000.0) as u64)
}

fn found(text: Option<&str>) -> Found<'_> {
    text.map_or(Found::Nothing, |text| Found::Document(text.as_bytes()))
}

/// A document of a ledger at a revision.
fn published(ledger: &str, revision: u64) -> String {
    let told =
        format!(r#""published": {{"format": 1, "ledger": "{ledger}", "revision": {revision}}}"#);
    format!("{{{told}, {}", GOOD.trim_start_matches('{'))
}

/// What one that last heard at second 100 does at another second.
#[track_caller]
fn check_pace(held: &mut Held, pace: Pace, secs: f64, expected: &str) {
    let sources = |reads: Reads| match (reads.kv, reads.coordinator) {
        (Some(kv), None) => format!("kv for {} s", kv.as_secs()),
        (None, Some(it)) => format!("coordinator for {} s", it.as_secs()),
        (Some(kv), Some(it)) => {
            format!("kv for {} s, coordinator for {} s", kv.as_secs(), it.as_secs())
        }
        (None, None) => "nothing".to_owned(),
    };
    let plan = match held.plan(at(secs), pace) {
        Plan::Serve(Some(_)) => "serve".to_owned(),
        Plan::Serve(None) => "refuse".to_owned(),
        Plan::ServeAndRead(_, reads) => format!("serve and read {}", sources(reads)),
        Plan::ReadFirst(reads) => format!("read {}", sources(reads)),
    };
    assert_eq!(plan, expected, "at second {secs}");
}

#[track_caller]
fn check(held: &mut Held, secs: f64, expected: &str) {
    check_pace(held, PACE, secs, expected);
}

fn heard(text: Option<&str>) -> Held {
    let mut held = Held::default();
    held.take(found(text), at(100.0), 0);
    held
}

#[test]
fn a_busy_isolate_reads_once_a_refresh_time_and_never_waits() {
    let mut held = heard(Some(GOOD));
    check(&mut held, 100.0, "serve");
    check(&mut held, 129.9, "serve");
    check(&mut held, 130.0, "serve and read kv for 10 s");
    check(&mut held, 130.5, "serve");
    // The request that read was killed.
    check(&mut held, 131.0, "serve and read kv for 10 s");
    assert!(matches!(held.take(found(Some(GOOD)), at(131.2), 0), Taken::Unchanged));
    // The reservation of the read lasts on, to no harm.
    check(&mut held, 131.3, "serve");
    check(&mut held, 161.2, "serve and read kv for 10 s");
}

#[test]
fn after_idling_one_request_reads_first_and_the_others_serve() {
    let mut held = heard(Some(GOOD));
    check(&mut held, 160.0, "read kv for 1 s");
    check(&mut held, 160.1, "serve");
    held.miss(at(160.9));
    check(&mut held, 161.8, "serve");
    check(&mut held, 161.9, "read kv for 1 s");
}

#[test]
fn with_nothing_held_requests_read_but_not_all_the_time() {
    check(&mut Held::default(), 5.0, "read kv for 10 s");
    for nothing in [None, Some("{"), Some("{\"routes\": 1}")] {
        let mut held = heard(nothing);
        check(&mut held, 100.0, "refuse");
        check(&mut held, 100.9, "refuse");
        check(&mut held, 101.0, "read kv for 10 s");
        check(&mut held, 101.0, "read kv for 10 s");
    }
}

#[test]
fn what_is_no_good_changes_nothing() {
    let mut held = heard(Some(GOOD));
    let good = held.snapshot().map(|snapshot| snapshot.revision().clone());
    let later = r#"{"published": {"format": 2, "shape": "of things to come"}}"#;
    let cut = &GOOD[..GOOD.len() - 1];
    for (secs, broken) in (200_u32..).step_by(10).zip(["{", "", cut, later]) {
        let mut take = |secs: f64| held.take(found(Some(broken)), at(secs), 0);
        assert!(matches!(take(f64::from(secs)), Taken::Refused(..)), "{broken}");
        assert!(matches!(take(f64::from(secs) + 1.0), Taken::Unchanged), "{broken}");
    }
    for odd in [Found::Document(b"\xff{}"), Found::TooLong(20_000_000)] {
        assert!(matches!(held.take(odd, at(300.0), 0), Taken::Refused(..)), "{odd:?}");
        assert!(matches!(held.take(odd, at(301.0), 0), Taken::Unchanged), "{odd:?}");
    }
    assert!(matches!(held.take(Found::Nothing, at(302.0), 0), Taken::Absent));
    assert_eq!(held.snapshot().map(|snapshot| snapshot.revision().clone()), good);
    // What is held needs no second compilation.
    assert!(matches!(held.take(found(Some(GOOD)), at(303.0), 0), Taken::Unchanged));
}

#[test]
fn a_ledger_never_goes_back_in_an_isolate() {
    let mut held = heard(Some(&published("a", 7)));
    let mut take = |text: &str| match held.take(found(Some(text)), at(200.0), 0) {
        Taken::Loaded(revision) => format!("loaded {revision}"),
        Taken::Older(revision) => format!("older {revision}"),
        Taken::Unchanged => "unchanged".to_owned(),
        Taken::Absent | Taken::Refused(..) => "no good".to_owned(),
    };
    assert_eq!(take(&published("a", 7)), "unchanged");
    assert_eq!(take(&published("a", 6)), "older 6");
    assert_eq!(take(&published("a", 6)), "unchanged");
    assert_eq!(take(&published("a", 9)), "loaded 9");
    assert_eq!(take(&published("a", 8)), "older 8");
    assert_eq!(take(&published("b", 1)), "loaded 1");
    assert_eq!(take(GOOD), format!("loaded {}", Revision::of_text(GOOD)));
    assert_eq!(take(&published("a", 2)), "loaded 2");
}

#[test]
fn the_coordinator_is_asked_once_a_check_time_beside_requests() {
    let mut held = heard(Some(&published("a", 7)));
    let mut check = |secs: f64, expected: &str| check_pace(&mut held, CHECKING, secs, expected);
    check(100.0, "read coordinator for 1 s");
    check(100.1, "serve");
    check(104.9, "serve");
    check(105.0, "serve and read coordinator for 10 s");
    check(105.1, "serve");
    // The isolate was idle.
    check(115.1, "read coordinator for 1 s");
    check(125.0, "serve and read coordinator for 10 s");
    check(130.0, "serve and read kv for 10 s, coordinator for 10 s");
    check(130.1, "serve");
    check(161.0, "read kv for 1 s, coordinator for 1 s");
}

#[test]
fn a_coordinator_that_is_away_costs_nobody_time() {
    let mut held = heard(Some(&published("a", 7)));
    check_pace(&mut held, CHECKING, 100.0, "read coordinator for 1 s");
    assert!(held.miss_told());
    check_pace(&mut held, CHECKING, 115.0, "serve and read coordinator for 10 s");
    assert!(!held.miss_told());
    check_pace(&mut held, CHECKING, 116.0, "serve");
    check_pace(&mut held, CHECKING, 129.0, "serve and read coordinator for 10 s");
    assert!(matches!(held.take_told(Found::Nothing, 0), Taken::Unchanged));
    check_pace(&mut held, CHECKING, 146.0, "read kv for 1 s, coordinator for 1 s");
}

#[test]
fn an_isolate_with_nothing_asks_both_and_waits_for_the_coordinator_a_second() {
    let mut held = Held::default();
    let both = "read kv for 10 s, coordinator for 1 s";
    check_pace(&mut held, CHECKING, 100.0, both);
    check_pace(&mut held, CHECKING, 100.1, "read kv for 10 s");
    let told = published("a", 3);
    assert!(matches!(held.take_told(found(Some(&told)), 0), Taken::Loaded(_)));
    // KV has it a moment later, or still has the one before.
    assert!(matches!(held.take(found(Some(&told)), at(100.2), 0), Taken::Unchanged));
    let before = published("a", 2);
    assert!(matches!(held.take(found(Some(&before)), at(100.3), 0), Taken::Older(_)));
    check_pace(&mut held, CHECKING, 100.4, "serve");
}

#[test]
fn what_somebody_put_into_kv_by_hand_is_left_alone() {
    let mut held = heard(Some(GOOD));
    for secs in [100.0, 110.0, 125.0] {
        check_pace(&mut held, CHECKING, secs, "serve");
    }
}
