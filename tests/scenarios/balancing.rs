//! Which node of an upstream gets a request, and that upstreams of branches lack nothing.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::document::routes;
use crate::message::Call;
use crate::origin::Origin;
use crate::script::{Act, Gate, Reply, Script};
use crate::target::Target;

/// An upstream with these nodes, each with its priority, and more about it.
fn upstream_of(nodes: &[(&Origin, i32)], more: &Value) -> Value {
    let node = |(origin, priority): &(&Origin, i32)| json!({"host": "127.0.0.1", "port": origin.port(), "weight": 1, "priority": priority});
    let nodes: Vec<Value> = nodes.iter().map(node).collect();
    let mut upstream = json!({"nodes": nodes, "pass_host": "node"});
    upstream.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    upstream
}

fn everything_to(upstream: &Value) -> String {
    routes(&[json!({"id": "r", "uri": "/*", "upstream": upstream})])
}

/// While a node is at work, the one with less to do gets what comes.
pub(crate) fn the_least_busy_node_is_asked(target: &mut impl Target) {
    let gate = Gate::default();
    let script = |name: &'static str| {
        let door = gate.clone();
        Script::new(move |request| {
            if request.target == "/held" {
                door.wait();
            }
            Reply::ok(name).into()
        })
    };
    let (one, two) = (target.origin(script("one")), target.origin(script("two")));
    let more = json!({"type": "least_conn"});
    target.start(&everything_to(&upstream_of(&[(&one, 0), (&two, 0)], &more)));

    let target = &*target;
    thread::scope(|scope| {
        let held = scope.spawn(|| target.call(&Call::get("/held")).text());
        let is_held = || one.count() + two.count() == 1;
        while !is_held() {
            thread::yield_now();
        }
        let free = if one.count() == 0 { "one" } else { "two" };
        let told: Vec<String> = (0..6).map(|_| target.call(&Call::get("/x")).text()).collect();
        gate.open();
        assert_eq!(told, vec![free; 6]);
        assert_ne!(held.join().unwrap(), free);
    });
}

/// A node that takes its time is asked for less.
pub(crate) fn the_quicker_node_is_asked_more(target: &mut impl Target) {
    let slow = target.origin(Act::from(Reply::ok("slow")).late(Duration::from_millis(300)));
    let quick = target.origin(Reply::ok("quick"));
    let more = json!({"type": "ewma"});
    target.start(&everything_to(&upstream_of(&[(&slow, 0), (&quick, 0)], &more)));
    for _ in 0..24 {
        assert_eq!(target.call(&Call::get("/x")).status, 200);
    }
    assert!(slow.count() <= 6, "{} of 24 were asked of the slow one", slow.count());
    assert_eq!(slow.count() + quick.count(), 24);
}

/// A spare node gets nothing while one before it serves, and all that this one fails.
pub(crate) fn a_spare_node_serves_where_the_first_fails(target: &mut impl Target) {
    let failing = Script::new(|request| match request.target.as_str() {
        "/bad" => Reply::status(503).body("no").into(),
        _ => Reply::ok("first").into(),
    });
    let (first, spare) = (target.origin(failing), target.origin(Reply::ok("spare")));
    for kind in ["roundrobin", "least_conn", "ewma", "chash"] {
        let before = (first.count(), spare.count());
        let more = json!({"type": kind, "retry": {"when": [503]}});
        let mut upstream = upstream_of(&[(&spare, 0), (&first, 1)], &more);
        if kind == "chash" {
            upstream["key"] = json!("uri");
        }
        target.start(&everything_to(&upstream));
        for _ in 0..6 {
            assert_eq!(target.call(&Call::get("/x")).text(), "first", "{kind}");
        }
        assert_eq!((first.count(), spare.count()), (before.0 + 6, before.1), "{kind}");
        for _ in 0..3 {
            assert_eq!(target.call(&Call::get("/bad")).text(), "spare", "{kind}");
        }
        assert_eq!((first.count(), spare.count()), (before.0 + 9, before.1 + 3), "{kind}");
    }
}

/// Which node serves each of these users, by the value of a header.
fn owners(target: &impl Target) -> Vec<String> {
    let owner = |user: usize| {
        let call = Call::get("/x").header("X-User", format!("user-{user}"));
        target.call(&call).text()
    };
    (0..24).map(owner).collect()
}

/// The same key goes to the same node, and keys go to all nodes.
pub(crate) fn a_key_stays_at_its_node(target: &mut impl Target) {
    let names = ["a", "b", "c"];
    let origins = names.map(|name| target.origin(Reply::ok(name)));
    let nodes = [(&origins[0], 0), (&origins[1], 0), (&origins[2], 0)];
    let more = json!({"type": "chash", "hash_on": "header", "key": "x-user"});
    target.start(&everything_to(&upstream_of(&nodes, &more)));
    let first = owners(target);
    assert!(names.iter().all(|name| first.iter().any(|owner| owner == name)), "{first:?}");
    assert_eq!(owners(target), first);
}

/// A way to write where the requests of a branch go.
type Form = fn(Value) -> String;

fn branch(upstream: &Value) -> Value {
    let mut branch = json!({"name": "v2"});
    branch.as_object_mut().unwrap().extend(upstream.as_object().unwrap().clone());
    json!({"traffic-split": {"rules": [{"weighted_upstreams": [branch]}]}})
}

/// Written into the branch, and named there.
const FORMS: [(&str, Form); 2] = [
    ("inline", |upstream| {
        let plugins = branch(&json!({"upstream": upstream}));
        routes(&[json!({"id": "r", "uri": "/*", "plugins": plugins})])
    }),
    ("named", |mut upstream| {
        upstream["id"] = json!("u");
        let plugins = branch(&json!({"upstream_id": "u"}));
        let route = json!({"id": "r", "uri": "/*", "plugins": plugins});
        json!({"upstreams": [upstream], "routes": [route]}).to_string()
    }),
];

/// An upstream that is written into a branch does all that a named one does.
pub(crate) fn upstreams_of_branches_lack_nothing(target: &mut impl Target) {
    let bad = || Reply::status(503).body("bad");
    let once = json!({"retry": {"when": [503], "backoff": {"base": 0.0, "max": 0.1}}});
    let guarded = json!({"retries": 0, "breaker": {"failures": 3, "open": 60}});
    let keyed = json!({"type": "chash", "hash_on": "header", "key": "x-user"});
    for (what, more, priorities, ok_count, bad_count) in [
        ("retries", &once, [0, 0], 12..=12, 5..=7),
        ("a breaker for each node", &guarded, [0, 0], 9..=9, 3..=3),
        ("priorities", &json!({}), [0, 1], 12..=12, 0..=0),
    ] {
        for (form, document) in FORMS {
            let (failing, fine) = (target.origin(bad()), target.origin(Reply::ok("fine")));
            let nodes = [(&failing, priorities[0]), (&fine, priorities[1])];
            target.start(&document(upstream_of(&nodes, more)));
            let ok = (0..12).filter(|_| target.call(&Call::get("/x")).status == 200).count();
            assert!(ok_count.contains(&ok), "{what}, {form}: {ok} were answered");
            assert!(bad_count.contains(&failing.count()), "{what}, {form}: {}", failing.count());
        }
    }
    let (a, b) = (target.origin(Reply::ok("a")), target.origin(Reply::ok("b")));
    let of_both = FORMS.map(|(_, document)| {
        target.start(&document(upstream_of(&[(&a, 0), (&b, 0)], &keyed)));
        owners(target)
    });
    assert_eq!(of_both[0], of_both[1]);
    assert!(a.count() > 0 && b.count() > 0);
}
