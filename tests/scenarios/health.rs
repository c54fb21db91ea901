//! Nodes that are known to be down by what real requests came to.

use serde_json::{Value, json};

use crate::document::routes;
use crate::message::Call;
use crate::origin::Origin;
use crate::script::{Act, Reply};
use crate::target::Target;

/// A document with these nodes, which go down as `passive` says. No probe comes while a test runs.
fn checked(origins: &[&Origin], passive: &Value) -> String {
    let node = |origin: &&Origin| json!({"host": "127.0.0.1", "port": origin.port(), "weight": 1});
    let long = json!({"interval": 3600});
    let upstream = json!({
        "nodes": origins.iter().map(node).collect::<Vec<_>>(),
        "pass_host": "node",
        "retries": 0,
        "checks": {
            "active": {"http_path": "/health", "healthy": long, "unhealthy": long},
            "passive": passive,
        },
    });
    routes(&[json!({"id": "r", "uri": "/*", "upstream": upstream})])
}

/// How many answers of so many had each status.
fn count_ok(target: &impl Target, calls: usize) -> usize {
    (0..calls).filter(|_| target.call(&Call::get("/x")).status == 200).count()
}

/// After so many failures of requests a node gets no more of them, whatever the kind of failure.
pub(crate) fn a_node_whose_requests_fail_goes_down(target: &mut impl Target) {
    let status: Act = Reply::status(503).body("no").into();
    let table = [
        ("statuses", status, json!({"http_statuses": [503], "http_failures": 3}), 3),
        ("connections", Act::Close, json!({"tcp_failures": 2}), 2),
    ];
    for (what, act, unhealthy, failures) in table {
        let (bad, good) = (target.origin(act), target.origin(Reply::ok("")));
        target.start(&checked(&[&bad, &good], &json!({"unhealthy": unhealthy})));
        assert_eq!(count_ok(target, 20), 20 - failures, "{what}");
        assert_eq!((bad.count(), good.count()), (failures, 20 - failures), "{what}");
    }
}

/// Statuses that are not listed say nothing against a node.
pub(crate) fn only_what_is_listed_counts_against_a_node(target: &mut impl Target) {
    let (odd, good) = (target.origin(Reply::status(404).body("no")), target.origin(Reply::ok("")));
    let unhealthy = json!({"http_statuses": [503], "http_failures": 1});
    target.start(&checked(&[&odd, &good], &json!({"unhealthy": unhealthy})));
    assert_eq!(count_ok(target, 10), 5);
    assert_eq!((odd.count(), good.count()), (5, 5));
}

/// With all of them down, all are tried.
pub(crate) fn with_all_nodes_down_all_are_tried(target: &mut impl Target) {
    let bad = || Reply::status(503).body("no");
    let (one, two) = (target.origin(bad()), target.origin(bad()));
    let unhealthy = json!({"http_statuses": [503], "http_failures": 1});
    target.start(&checked(&[&one, &two], &json!({"unhealthy": unhealthy})));
    for number in 0..22 {
        assert_eq!(target.call(&Call::get("/x")).text(), "no", "call {number}");
    }
    assert_eq!((one.count(), two.count()), (11, 11));
}
