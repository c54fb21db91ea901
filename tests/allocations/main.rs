//! What the road of a request allocates, which is nothing where nothing is made, and what a route takes up.

#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "this program is tests: a panic is how they fail, and figures are told"
)]

#[path = "../bench/chat.rs"]
mod chat;
#[path = "../bench/memory.rs"]
mod memory;

use std::sync::Arc;

use allocation_counter::{AllocationInfo, measure};
use serde_json::{Value, json};
use splitway_core::fault::Report;
use splitway_core::snapshot::{Snapshot, compile_json};

use chat::Chat;
use memory::Memory;

const UPSTREAM: &str = "provider";

/// Two branches of one weight, each with a path.
fn rules() -> Value {
    let rule = |uri: &str| json!({"weight": 50, "rewrite": {"uri": uri}});
    json!([rule("/v1/chat/completions"), rule("/v2/chat/completions")])
}

/// So many routes of these members.
fn document(count: usize, more: &Value, rules: &Value) -> String {
    let route = |number: usize| {
        let mut route = json!({
            "id": format!("r{number}"),
            "uri": format!("/tenant-{number}/chat/completions"),
        });
        if more.get("upstream").is_none() {
            route["upstream_id"] = json!(UPSTREAM);
        }
        for (key, value) in more.as_object().into_iter().flatten() {
            route[key] = value.clone();
        }
        route
    };
    let config = json!({"id": "turns", "plugins": {"traffic-split": {"rules": rules}}});
    let document = json!({
        "routes": (0..count).map(route).collect::<Vec<Value>>(),
        "upstreams": [{"id": UPSTREAM, "nodes": {"api.example.com:80": 1}}],
        "plugin_configs": [config],
    });
    document.to_string()
}

fn compile(text: &str) -> Snapshot {
    let mut report = Report::default();
    let snapshot = compile_json(text, 0, &mut report);
    snapshot.unwrap_or_else(|| panic!("{:?}", report.faults))
}

/// What serving a request allocates, when requests like it were served before.
fn served(rules: &Value) -> AllocationInfo {
    let text = document(100, &json!({"plugin_config_id": "turns"}), rules);
    let memory = Memory { snapshot: Arc::new(compile(&text)) };
    let request = Chat::new("/tenant-42/chat/completions".to_owned());
    (0..10).for_each(|_| memory.serve(&request));
    measure(|| memory.serve(&request))
}

#[test]
fn nothing_is_allocated_for_a_request_that_goes_by_turns() {
    let mut guarded = rules();
    guarded[0]["breaker"] = json!({"failures": 5, "percent": 50});
    for rules in [rules(), guarded] {
        assert_eq!(served(&rules).count_total, 0, "{rules}");
    }
}

#[test]
fn a_key_is_all_that_is_allocated_for_a_request_that_has_one() {
    let mut keyed = rules();
    keyed[0]["sticky"] = json!({"by": ["header:x-user"]});
    assert_eq!(served(&keyed).count_total, 3);
}

/// A route like the guide's: an upstream, and two branches with nodes and a path each.
fn of_guide() -> Value {
    let upstream =
        json!({"scheme": "https", "nodes": {"api.example.com:443": 1}, "pass_host": "node"});
    let mut rules = rules();
    for rule in rules.as_array_mut().into_iter().flatten() {
        rule["upstream"] = upstream.clone();
    }
    json!({"upstream": upstream, "plugins": {"traffic-split": {"rules": rules}}})
}

/// How many bytes a route takes up in a snapshot.
fn bytes(more: &Value) -> i64 {
    const COUNT: usize = 10_000;
    let text = document(COUNT, more, &rules());
    let mut snapshot = None;
    let kept = measure(|| snapshot = Some(compile(&text))).bytes_current;
    assert_eq!(snapshot.map(|it| it.routes_count()), Some(COUNT));
    kept / i64::try_from(COUNT).expect("small")
}

#[test]
fn a_route_takes_up_less_than_a_kilobyte() {
    let own = json!({"plugins": {"traffic-split": {"rules": rules()}}});
    for (name, more, most) in [
        ("that is not split", json!({}), 1000),
        ("that shares a split", json!({"plugin_config_id": "turns"}), 1000),
        ("with a split of its own", own, 1000),
        ("as in the guide", of_guide(), 1000),
    ] {
        let bytes = bytes(&more);
        println!("a route {name}: {bytes} bytes");
        assert!(bytes < most, "a route {name}: {bytes} bytes");
    }
}
