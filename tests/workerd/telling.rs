//! What the Worker tells of requests: lines in its log, and points of Analytics Engine.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use splitway_core::telemetry::{BLOBS, DOUBLES, FIELDS};
use splitway_tests::document::{routes, upstream};
use splitway_tests::message::Call;
use splitway_tests::origin::Origin;
use splitway_tests::script::{DEADLINE, Reply};
use splitway_tests::wire;

use crate::edge::answering;
use crate::miniflare::Miniflare;

/// What was logged of an event, once `last` is, which is asked for behind all else.
fn told(worker: &Miniflare, event: &str, last: &str) -> Vec<Value> {
    let begin = Instant::now();
    let mut lines: Vec<Value> = Vec::new();
    loop {
        let logged = worker.logged();
        lines.extend(logged.iter().filter_map(|line| serde_json::from_str(line).ok()));
        if lines.iter().any(|line| line.to_string().contains(last)) {
            return lines.into_iter().filter(|line| line["event"] == event).collect();
        }
        assert!(begin.elapsed() < DEADLINE, "{last} is not among {lines:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Something remarkable, of which every setting but one tells.
fn last(worker: &Miniflare) {
    wire::call(worker.address(), &Call::get("/elsewhere/last"));
}

/// A Worker that takes everything but what is elsewhere, with these variables and this dataset.
fn start(origin: &Origin, vars: &Value, analytics: Option<&str>) -> Miniflare {
    let here = json!({"id": "here", "uri": "/here/*", "upstream": upstream(origin)});
    let document = routes(&[here]);
    Miniflare::start(&json!({"document": document, "vars": vars, "analytics": analytics}))
}

#[test]
fn only_what_is_remarkable_is_told_unless_something_else_is_asked_for() {
    let origin = answering();
    for vars in [json!({}), json!({"SPLITWAY_LOG": "remarkable"})] {
        let worker = start(&origin, &vars, None);
        assert_eq!(wire::call(worker.address(), &Call::get("/here/a")).status, 200);
        last(&worker);
        let lines = told(&worker, "request", "elsewhere");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0]["problem"], "destination_not_found");
    }
}

#[test]
fn a_line_has_the_members_that_are_explained() {
    let origin = answering();
    let worker = start(&origin, &json!({"SPLITWAY_LOG": "all"}), None);
    let call = Call::post("/here/a?token=secret", "secret body")
        .header("authorization", "Bearer secret")
        .header("cf-connecting-ip", "192.0.2.7");
    assert_eq!(wire::call(worker.address(), &call).status, 200);
    last(&worker);
    let lines = told(&worker, "request", "elsewhere");
    let [line, refused] = lines.as_slice() else { panic!("{lines:?}") };
    for (name, value) in [
        ("level", json!("info")),
        ("status", json!(200)),
        ("route", json!("here")),
        ("branch", json!("route")),
        ("reason", json!("whole")),
        ("node", json!(origin.authority())),
        ("method", json!("POST")),
        ("path", json!("/here/a")),
        ("host", json!("splitway.test")),
        ("bytes_in", json!(11)),
        ("bytes_out", json!(4)),
    ] {
        assert_eq!(line[name], value, "{name} in {line}");
    }
    assert!(line["at_ms"].is_u64() && line["duration_ms"].is_u64(), "{line}");
    assert_eq!(refused["level"], "warn");
    assert!(!format!("{lines:?}").contains("secret"), "{lines:?}");
    for name in line.as_object().unwrap().keys() {
        assert!(FIELDS.iter().any(|(known, _)| known == name), "{name} is not explained");
    }
}

#[test]
fn a_share_is_told_of_and_all_that_fails() {
    let origin = Origin::on_loopback(splitway_tests::script::Script::new(|request| {
        let status = if request.target.ends_with("/failed") { 500 } else { 200 };
        Reply::status(status).body("here").into()
    }));
    let vars = json!({"SPLITWAY_LOG": "0.25", "SPLITWAY_LOG_SLOW_SECONDS": "0"});
    let worker = start(&origin, &vars, None);
    for number in 0..40 {
        let path = if number % 10 == 0 { "/here/failed" } else { "/here/fine" };
        wire::call(worker.address(), &Call::get(path));
    }
    last(&worker);
    let lines = told(&worker, "request", "elsewhere");
    let of = |path: &str| lines.iter().filter(|line| line["path"] == path).collect::<Vec<_>>();
    assert_eq!((of("/here/failed").len(), of("/here/fine").len()), (4, 9), "{lines:?}");
    assert!(of("/here/fine").iter().all(|line| line["sample"] == 0.25));
    assert!(of("/here/failed").iter().all(|line| line.get("sample").is_none()));
}

#[test]
fn a_log_can_be_off_and_what_makes_no_sense_is_told_of() {
    let origin = answering();
    let worker = start(&origin, &json!({"SPLITWAY_LOG": "off"}), Some("recorded"));
    last(&worker);
    // The point of it comes behind the line that there is not.
    assert_eq!(told(&worker, "point", "destination_not_found").len(), 1);
    assert_eq!(worker.logged(), [""; 0]);
    let vars = json!({
        "SPLITWAY_LOG": "sometimes",
        "SPLITWAY_LOG_SLOW_SECONDS": "soon",
        "SPLITWAY_ANALYTICS_SAMPLE": "2",
    });
    let worker = start(&origin, &vars, None);
    last(&worker);
    let ignored = told(&worker, "setting_ignored", "elsewhere");
    let names: Vec<_> = ignored.iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["SPLITWAY_LOG", "SPLITWAY_ANALYTICS_SAMPLE"], "no share, none is slow");
}

#[test]
fn a_point_has_what_is_explained_and_says_how_many_requests_it_stands_for() {
    let origin = answering();
    let vars = json!({"SPLITWAY_LOG": "off", "SPLITWAY_ANALYTICS_SAMPLE": "0.5"});
    let worker = start(&origin, &vars, Some("recorded"));
    let call = Call::post("/here/a?token=secret", "secret body").header("x-api-key", "secret");
    for _ in 0..20 {
        assert_eq!(wire::call(worker.address(), &call).status, 200);
    }
    for _ in 0..2 {
        last(&worker);
    }
    let points = told(&worker, "point", "destination_not_found");
    let of =
        |status: f64| points.iter().filter(|line| line["point"]["doubles"][1] == status).count();
    assert_eq!((of(200.0), of(404.0)), (10, 1), "{points:?}");
    let point = &points[0]["point"];
    assert_eq!(point["indexes"], json!(["here"]));
    let text = |name: &str| {
        let place = BLOBS.iter().position(|(known, _)| *known == name);
        point["blobs"][place.unwrap()].as_str().unwrap().to_owned()
    };
    for (name, value) in [
        ("event", "request"),
        ("route", "here"),
        ("branch", "route"),
        ("picked", "route"),
        ("reason", "whole"),
        ("problem", ""),
        ("node", origin.authority()),
        ("method", "POST"),
        ("host", "splitway.test"),
    ] {
        assert_eq!(text(name), value, "{name} in {point}");
    }
    let number = |name: &str| {
        let place = DOUBLES.iter().position(|(known, _)| *known == name);
        point["doubles"][place.unwrap()].as_f64().unwrap()
    };
    assert_eq!((number("sample"), number("status"), number("attempts")), (0.5, 200.0, 1.0));
    assert_eq!(number("bytes_in"), 11.0);
    assert_eq!(point["blobs"].as_array().unwrap().len(), BLOBS.len());
    assert_eq!(point["doubles"].as_array().unwrap().len(), DOUBLES.len());
    assert!(!format!("{points:?}").contains("secret"));
}

#[test]
fn a_dataset_of_the_runtime_takes_points_without_a_word() {
    let origin = answering();
    let worker = start(&origin, &json!({}), Some("stub"));
    assert_eq!(wire::call(worker.address(), &Call::get("/here/a")).status, 200);
    last(&worker);
    assert_eq!(told(&worker, "point_unwritten", "elsewhere"), [Value::Null; 0]);
}
