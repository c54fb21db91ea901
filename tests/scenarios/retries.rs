//! Another node is asked, or the same once more: until when, and which.

use serde_json::json;

use crate::document::{routes, upstream};
use crate::message::Call;
use crate::origin::Origin;
use crate::script::Reply;
use crate::target::Target;

/// A document with one node that is asked again after a 503, twice at most.
fn repeated(origin: &Origin, retry_timeout: f64) -> String {
    let mut upstream = upstream(origin);
    upstream["retries"] = json!(2);
    upstream["retry_timeout"] = json!(retry_timeout);
    upstream["retry"] = json!({"when": [503], "backoff": {"base": 0.0, "max": 5.0}});
    routes(&[json!({"id": "r", "uri": "/*", "upstream": upstream})])
}

/// No retry begins later than the upstream says, however many are left.
pub(crate) fn no_retry_begins_too_late(target: &mut impl Target) {
    // A slow machine may have no time for the second of two.
    for (retry_timeout, expected) in [(0.5, 1..=1), (1.5, 1..=2), (60.0, 3..=3)] {
        // Each asks for a second.
        let origin = target.origin(Reply::status(503).header("Retry-After", "1").body("busy"));
        target.start(&repeated(&origin, retry_timeout));
        let answer = target.call(&Call::get("/x"));
        assert_eq!((answer.status, answer.text().as_str()), (503, "busy"));
        let count = origin.count();
        assert!(expected.contains(&count), "{retry_timeout}: {count} attempts");
    }
}

/// A node without a weight is none to go to, neither at first nor afterwards.
pub(crate) fn a_node_of_weight_0_is_not_asked(target: &mut impl Target) {
    let (failing, idle) =
        (target.origin(Reply::status(503).body("no")), target.origin(Reply::ok("idle")));
    let node = |origin: &Origin, weight: u32| json!({"host": "127.0.0.1", "port": origin.port(), "weight": weight});
    let upstream = json!({
        "nodes": [node(&failing, 1), node(&idle, 0)],
        "pass_host": "node",
        "retries": 3,
        "retry": {"when": ["5xx"], "backoff": {"base": 0.0, "max": 0.1}},
    });
    target.start(&routes(&[json!({"id": "r", "uri": "/*", "upstream": upstream})]));
    for number in 1..=4 {
        let answer = target.call(&Call::get("/x"));
        assert_eq!((answer.status, answer.text().as_str()), (503, "no"), "call {number}");
    }
    assert!(failing.count() >= 4, "{}", failing.count());
    assert_eq!(idle.count(), 0);
}
