use super::*;
use crate::fault::Report;
use crate::snapshot::compile_json;
use serde_json::{Value, json};

fn compiled(document: &Value) -> Snapshot {
    let mut report = Report::default();
    let snapshot = compile_json(&document.to_string(), 0, &mut report);
    snapshot.unwrap_or_else(|| panic!("{:?}", report.faults))
}

/// Upstream `u` with these nodes and these active checks.
fn document(nodes: &Value, active: &Value) -> Snapshot {
    compiled(&json!({
        "upstreams": [{"id": "u", "nodes": nodes, "checks": {"active": active, "passive": {
            "unhealthy": {"tcp_failures": 1},
        }}}],
        "routes": [{"id": "r", "uri": "/*", "upstream_id": "u"}],
    }))
}

fn every_minute() -> Value {
    json!({"healthy": {"interval": 1, "successes": 2}, "unhealthy": {"interval": 1}})
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

fn node(authority: &str, phase: Phase, probed: u64) -> NodeTold {
    NodeTold { upstream: "u".into(), authority: authority.into(), phase, probed }
}

fn urls(errands: &[Errand]) -> Vec<&str> {
    errands.iter().map(|errand| &*errand.url).collect()
}

#[test]
fn a_probe_is_what_its_upstream_says() {
    let snapshot = document(
        &json!({"a.example:8080": 1, "[::1]:80": 1}),
        &json!({
            "type": "https", "port": 8443, "http_path": "/up?a#b", "http_method": "POST", "timeout": 60,
            "http_req_body": "{}", "req_headers": ["X-A: 1", "Content-Length: 7"], "healthy": {},
        }),
    );
    let errands = errands(&snapshot, &Told::default(), at(0));
    assert_eq!(urls(&errands), ["https://[::1]:8443/up?a%23b", "https://a.example:8443/up?a%23b"]);
    let [errand, _] = errands.as_slice() else { panic!("two") };
    assert_eq!((errand.method, errand.timeout), (Method::Post, TIMEOUT_MAX));
    assert_eq!(errand.headers, [("x-a".to_owned(), "1".to_owned())]);
    assert_eq!(errand.body.as_deref(), Some("{}"));
}

#[test]
fn what_the_edge_cannot_probe_and_what_has_no_checks_is_left_alone() {
    for active in [json!({"type": "tcp", "healthy": {}}), json!({})] {
        let snapshot = document(&json!({"a:80": 1}), &active);
        assert_eq!(errands(&snapshot, &Told::default(), at(0)).len(), 0, "{active}");
    }
    let plain = json!({"routes": [{"uri": "/", "upstream": "http://a"}]});
    assert_eq!(errands(&compiled(&plain), &Told::default(), at(0)).len(), 0);
    // `fetch` sends no body with it.
    let active = json!({"http_req_body": "{}", "healthy": {}});
    let snapshot = document(&json!({"a:80": 1}), &active);
    assert_eq!(errands(&snapshot, &Told::default(), at(0))[0].body, None);
}

#[test]
fn intervals_are_rounded_up_to_minutes() {
    use Phase::{Healthy, MostlyHealthy, MostlyUnhealthy, Unhealthy};
    for (up, down, phase, elapsed, expected) in [
        (1, 1, Healthy, 20, false),
        (1, 1, Healthy, 58, true),
        (60, 60, MostlyHealthy, 58, true),
        (61, 1, Healthy, 60, false),
        (61, 1, Healthy, 118, true),
        (61, 1, Unhealthy, 60, true),
        (1, 300, MostlyUnhealthy, 240, false),
        (1, 300, Unhealthy, 299, true),
    ] {
        let active = json!({"healthy": {"interval": up}, "unhealthy": {"interval": down}});
        let snapshot = document(&json!({"a:81": 1}), &active);
        let told = Told { round: 1_000_000, nodes: vec![node("a:81", phase, 1_000_000)] };
        let due = errands(&snapshot, &told, at(1000 + elapsed)).len() == 1;
        assert_eq!(due, expected, "{up} {down} {phase:?} {elapsed}");
    }
    // What is down and probed never stays down.
    let snapshot = document(&json!({"a:81": 1}), &json!({"healthy": {}}));
    let told = Told { round: 1, nodes: vec![node("a:81", Unhealthy, 1)] };
    assert_eq!(errands(&snapshot, &told, at(86_400)).len(), 0);
}

#[test]
fn a_round_probes_those_that_wait_longest() {
    let nodes: serde_json::Map<String, Value> =
        (0..60).map(|port| (format!("a:{}", 1000 + port), json!(1))).collect();
    let snapshot = document(&nodes.into(), &every_minute());
    let all = errands(&snapshot, &Told::default(), at(1000));
    assert_eq!(all.len(), PROBES_MAX);
    let probed = all.iter().map(|it| node(&it.authority, Phase::Healthy, 1_000_000)).collect();
    let next = errands(&snapshot, &Told { round: 1_000_000, nodes: probed }, at(1060));
    assert_eq!(next.len(), PROBES_MAX);
    let first: Vec<_> = all.iter().map(|it| &it.authority).collect();
    assert!(next.iter().take(10).all(|it| !first.contains(&&it.authority)), "the others first");
}

#[test]
fn what_cloudflare_answers_for_an_origin_is_what_it_says_of_it() {
    let snapshot = document(&json!({"a:80": 1}), &every_minute());
    let errands = errands(&snapshot, &Told::default(), at(0));
    let verdict = |probe| errands[0].finding(probe).verdict;
    for (probe, same_as) in [
        (Probe::Status(521), Probe::TcpFailure),
        (Probe::Status(530), Probe::TcpFailure),
        (Probe::Status(522), Probe::Timeout),
        (Probe::Status(520), Probe::Status(503)),
    ] {
        assert!(verdict(probe).is_some());
        assert_eq!(verdict(probe), verdict(same_as), "{probe:?}");
    }
    assert_eq!(verdict(Probe::Status(299)), None);
    // Unless the document names it.
    let named = json!({"healthy": {}, "unhealthy": {"http_statuses": [521], "http_failures": 7}});
    let snapshot = document(&json!({"a:80": 1}), &named);
    let errands = super::errands(&snapshot, &Told::default(), at(0));
    let finding = serde_json::to_value(errands[0].finding(Probe::Status(521))).unwrap_or_default();
    assert_eq!(finding["verdict"], json!({"counter": "http", "limit": 7}));
}

#[test]
fn what_is_told_comes_before_the_document() {
    let told = Told { round: 7, nodes: vec![node("a:80", Phase::Unhealthy, 7)] };
    let line = line(&told);
    assert_eq!(parts(line.as_bytes()), (Some(told.clone()), None));
    assert_eq!(parts(format!("{line}{{}}").as_bytes()), (Some(told), Some(&b"{}"[..])));
    assert_eq!(parts(b"{}"), (None, Some(&b"{}"[..])));
    assert_eq!(parts(b""), (None, None));
    assert_eq!(parts(b"round "), (None, None));
    assert_eq!(parts(b"round {\n{}"), (None, Some(&b"{}"[..])));
}

#[test]
fn changes_are_told() {
    let told = |phases: [Phase; 2]| Told {
        round: 1,
        nodes: vec![node("a:80", phases[0], 1), node("b:80", phases[1], 1)],
    };
    let before = told([Phase::Unhealthy, Phase::MostlyHealthy]);
    let after = told([Phase::Healthy, Phase::Unhealthy]);
    let names = |changes: Vec<(&NodeTold, bool)>| -> Vec<(String, bool)> {
        changes.iter().map(|(node, is_up)| (node.authority.to_string(), *is_up)).collect()
    };
    let expected = [("a:80".to_owned(), true), ("b:80".to_owned(), false)];
    assert_eq!(names(changes(&before, &after)), expected);
    assert_eq!(names(changes(&after, &after)), []);
    assert_eq!(names(changes(&Told::default(), &after)), expected[1..]);
}

fn is_up(snapshot: &Snapshot) -> bool {
    checkups(snapshot)[0].nodes[0].health.is_up()
}

#[test]
fn an_isolate_takes_over_what_is_down_until_it_is_up() {
    let snapshot = document(&json!({"a:81": 1, "b:81": 1}), &every_minute());
    let mut heard = Heard::default();
    let told = |round, phase| Told { round, nodes: vec![node("a:81", phase, round)] };
    for (round, phase, expected) in [
        (1, Phase::MostlyHealthy, true),
        (2, Phase::Unhealthy, false),
        (3, Phase::MostlyUnhealthy, false),
        (4, Phase::Healthy, true),
        (5, Phase::Unhealthy, false),
        // It missed some.
        (9, Phase::MostlyHealthy, true),
    ] {
        heard.take(&told(round, phase), Some(&snapshot));
        assert_eq!((is_up(&snapshot), heard.round()), (expected, round), "{round}");
        assert!(checkups(&snapshot)[0].nodes[1].health.is_up());
    }
    // Of what nobody knows anything any more nothing is believed.
    heard.take(&told(10, Phase::Unhealthy), Some(&snapshot));
    heard.take(&Told { round: 11, nodes: Vec::new() }, Some(&snapshot));
    assert!(is_up(&snapshot));
}

#[test]
fn a_configuration_that_comes_later_is_told_what_is_down() {
    let mut heard = Heard::default();
    let told = Told { round: 1, nodes: vec![node("a:81", Phase::Unhealthy, 1)] };
    heard.take(&told, None);
    let snapshot = document(&json!({"a:81": 1}), &every_minute());
    heard.apply(Some(&snapshot));
    assert!(!is_up(&snapshot));
}

#[test]
fn rounds_bring_back_what_requests_took_away() {
    let snapshot = document(&json!({"a:81": 1}), &every_minute());
    let checkup = &checkups(&snapshot)[0];
    let passive = checkup.checks.passive.clone().expect("it has some");
    checkup.nodes[0].health.note_passive(&passive, Probe::TcpFailure);
    assert!(!is_up(&snapshot));
    let mut heard = Heard::default();
    let mut take = |round, probed| {
        let nodes = vec![node("a:81", Phase::Healthy, probed)];
        heard.take(&Told { round, nodes }, Some(&snapshot));
        is_up(&snapshot)
    };
    assert!(!take(1, 1), "one success of two");
    assert!(!take(2, 1), "it was not probed");
    assert!(take(3, 3));
}
