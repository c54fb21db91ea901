mod shares;

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

/// A document that has this route only.
fn document(route: &Value) -> Snapshot {
    let document = json!({"routes": [route]}).to_string();
    let mut report = Report::default();
    let snapshot = compile_json(&document, 0, &mut report);
    snapshot.unwrap_or_else(|| panic!("{:?}", report.faults))
}

fn decided<'a>(snapshot: &'a Snapshot, head: &'a Fake) -> Exchange<'a> {
    let inquiry = Inquiry { snapshot: Some(snapshot), head };
    let decided = Exchange::decide(inquiry, Means::NONE, Body::Unread);
    decided.unwrap_or_else(|_| panic!("nothing looks at a body"))
}

/// The changes to the headers of a request on this route.
fn sent(route: &Value, head: &Fake) -> Edits {
    decided(&document(route), head).attempt(head, Body::Unread, Means::NONE).unwrap().edits
}

#[test]
fn no_branch_proves_to_be_another_by_what_it_adds_to_a_response() {
    let route = json!({"id": "r", "uri": "/*", "upstream": {"nodes": {"a.example:80": 1}}});
    let (snapshot, head) = (document(&route), Fake::new("GET", "/"));
    let mut exchange = decided(&snapshot, &head);
    let fake = || (Cow::Borrowed(proof::BRANCH), "fake".to_owned());
    let response = &mut exchange.decision.as_mut().unwrap().response;
    response.add.push(fake());
    response.set.push(fake());
    let Edits { set, add, .. } = exchange.response_edits();
    assert_eq!(add, []);
    let branches = set.iter().filter(|(name, _)| name == proof::BRANCH);
    assert_eq!(branches.map(|(_, value)| &**value).collect::<Vec<_>>(), ["route"]);
}

#[test]
fn what_opens_a_branch_goes_no_further_whichever_rule_takes_the_request() {
    let rule = |by: &str, header: &str, cookie: &str| {
        json!({
            "match": [{"vars": [["http_x-by", "==", by]]}],
            "override": {"header": header, "cookie": cookie, "tokens": true},
            "weighted_upstreams": [{"weight": 1}],
        })
    };
    let route = json!({
        "id": "r", "uri": "/*", "upstream": {"nodes": {"a.example:80": 1}},
        "plugins": {
            "proxy-rewrite": {"headers": {"set": {"x-two": "v2~1~*~0"}}},
            "traffic-split": {"rules": [rule("1", "X-One", "one"), rule("2", "X-Two", "two")]},
        },
    });
    for by in ["1", "2", "nobody"] {
        let head = Fake::new("GET", "/")
            .header("x-by", by)
            .header("x-one", "v2~1~*~0")
            .header("x-two", "v2")
            .header("cookie", "a=1; two=v2~1~*~0; one=v2; b=~");
        let edits = sent(&route, &head);
        assert_eq!(head.sent("x-one", &edits), [""; 0], "{by}");
        assert_eq!(head.sent("x-two", &edits), [""; 0], "{by}");
        assert_eq!(head.sent("cookie", &edits), ["a=1; one=v2; b=~"], "{by}");
        let head = Fake::new("GET", "/").header("x-by", by).header("cookie", "one=v2~1~*~0");
        assert_eq!(head.sent("cookie", &sent(&route, &head)), [""; 0], "{by}");
    }
}

mod checks;
