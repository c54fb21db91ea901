//! What is told of the copies of requests.

use std::time::Duration;

use serde_json::{Value, json};
use splitway_tests::document::{split, upstream};
use splitway_tests::message::Call;
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, Reply, Script};
use splitway_tests::wire;

use crate::process::{Files, Serving};

/// The line of the next copy.
fn copy(serving: &mut Serving) -> Value {
    let is_copy = |line: &str| {
        let line: Option<Value> = serde_json::from_str(line).ok();
        line.is_some_and(|line| line["event"] == "copy")
    };
    serde_json::from_str(&serving.line(is_copy)).expect("it was read before")
}

/// How a copy went is told beside how its request went.
#[test]
fn a_copy_is_told_of_beside_its_request() {
    let late = |status: u16, millis: u64| {
        Act::from(Reply::status(status).body("")).late(Duration::from_millis(millis))
    };
    let served = Origin::on_loopback(late(201, 30).into());
    let copied = Origin::on_loopback(Script::in_turn([late(503, 60)], Act::Close));
    let rule = json!({
        "weighted_upstreams": [{"name": "v1", "upstream": upstream(&served)}],
        "mirror": {"upstream": upstream(&copied)},
    });
    let files = Files::new();
    let path = files.write("split.json", &split(&[rule]));
    let mut serving = Serving::file(&path, &[]);

    for (status, problem) in [(503, Value::Null), (502, json!("connection_terminated"))] {
        let answer = wire::call(serving.traffic, &Call::post("/x", "a body"));
        assert_eq!(answer.status, 201);
        let line = copy(&mut serving);
        let told = ["route", "branch", "status", "original_branch", "original_status", "revision"]
            .map(|name| line[name].clone());
        let revision = answer.revision().expect("the answer has it");
        let expected = [
            json!("split"),
            json!("mirror"),
            json!(status),
            json!("v1"),
            json!(201),
            json!(revision),
        ];
        assert_eq!(told, expected, "{line}");
        assert_eq!(line["problem"], problem, "{line}");
        assert!(line["original_duration_ms"].as_u64() >= Some(30), "{line}");
        let least = if status == 503 { 60 } else { 0 };
        assert!(line["duration_ms"].as_u64() >= Some(least), "{line}");
    }
}
