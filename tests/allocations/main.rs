//! What the road of a request allocates: nothing, where nothing is made.

#![allow(clippy::indexing_slicing, reason = "this program is tests: a panic is how they fail")]

#[path = "../bench/memory.rs"]
mod memory;

use std::sync::Arc;

use allocation_counter::{AllocationInfo, measure};
use serde_json::{Value, json};
use splitway_core::fault::Report;
use splitway_core::snapshot::{Snapshot, compile_json};

use memory::{Chat, Memory};

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
            "upstream_id": UPSTREAM,
        });
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
