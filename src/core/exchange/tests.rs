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

/// What is made of a request by this document, which has one route for everything.
fn of_route<T>(route: &Value, head: &Fake, then: impl FnOnce(Exchange<'_>) -> T) -> T {
    let document = json!({"routes": [route]}).to_string();
    let mut report = Report::default();
    let snapshot = compile_json(&document, 0, &mut report);
    let snapshot = snapshot.unwrap_or_else(|| panic!("{:?}", report.faults));
    let inquiry = Inquiry { snapshot: Some(&snapshot), head };
    let decided = Exchange::decide(inquiry, Means::NONE, Body::Unread);
    then(decided.unwrap_or_else(|_| panic!("nothing looks at a body")))
}

#[test]
fn no_branch_proves_to_be_another_by_what_it_adds_to_a_response() {
    let route = json!({"id": "r", "uri": "/*", "upstream": {"nodes": {"a.example:80": 1}}});
    of_route(&route, &Fake::new("GET", "/"), |mut exchange| {
        let fake = || (Cow::Borrowed(proof::BRANCH), "fake".to_owned());
        let response = &mut exchange.decision.as_mut().unwrap().response;
        response.add.push(fake());
        response.set.push(fake());
        let Edits { set, add, .. } = exchange.response_edits();
        assert_eq!(add, []);
        let branches = set.iter().filter(|(name, _)| name == proof::BRANCH);
        assert_eq!(branches.map(|(_, value)| &**value).collect::<Vec<_>>(), ["route"]);
    });
}
