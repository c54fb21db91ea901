use serde_json::{Value, json};

use super::*;
use crate::fault::Report;
use crate::rewrite::fake::Fake;
use crate::snapshot::compile_json;

/// Some hundred routes by exact path, each split by turns between two branches that rewrite the path.
fn snapshot() -> Snapshot {
    let rule = |weight: u32, uri: &str| json!({"weight": weight, "rewrite": {"uri": uri}});
    let rules = [rule(95, "/v1/chat/completions"), rule(5, "/v2/chat/completions")];
    let route = |number: usize| {
        json!({
            "id": format!("r{number}"),
            "uri": format!("/tenant-{number}/chat/completions"),
            "upstream_id": "provider",
            "plugins": {"traffic-split": {"rules": rules}},
        })
    };
    let upstream = json!({"id": "provider", "nodes": {"api.example.com:80": 1}});
    let routes: Vec<Value> = (0..300).map(route).collect();
    let document = json!({"routes": routes, "upstreams": [upstream]}).to_string();
    compile_json(&document, 0, &mut Report::default()).unwrap()
}

#[test]
fn nothing_is_allocated_for_a_request_that_goes_by_turns_and_has_its_path_replaced() {
    let snapshot = snapshot();
    let head = Fake::new("POST", "/tenant-150/chat/completions");
    let mut counts = [0; 2];
    for _ in 0..20 {
        let allocations = allocation_counter::measure(|| {
            let inquiry = Inquiry { snapshot: Some(&snapshot), head: &head };
            let decided = Exchange::decide(inquiry, Means::NONE, Body::Unread);
            let mut exchange = decided.unwrap_or_else(|_| panic!("nothing looks at a body"));
            assert_eq!(exchange.route(), Some("r150"));
            let draft = exchange.rewritten(&head, Body::Unread).unwrap();
            assert_eq!(draft.path.get(3..), Some("/chat/completions"));
            counts[usize::from(draft.path.starts_with("/v2"))] += 1;
        });
        assert_eq!(allocations.count_total, 0);
    }
    assert_eq!(counts, [19, 1]);
}
