//! What a request costs, case by case: each a closure, so that a clock and callgrind run the same.

use serde_json::{Value, json};
use splitway_core::exchange::{Exchange, Inquiry};
use splitway_core::explain::explain;
use splitway_core::facts::Body;
use splitway_core::head::Head;
use splitway_core::rendezvous::Rendezvous;
use splitway_core::rotation::{Rotation, Weight};
use splitway_core::snapshot::Snapshot;
use splitway_core::split::Means;
use splitway_core::time::Timestamp;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use crate::chat::Chat;
use crate::memory::Memory;
use crate::{compile, counts};

/// How many different requests are made in turn: more than the nearest caches hold the routes of.
const REQUESTS: usize = 4096;

/// What becomes of a case: its name, and what it does once.
pub(crate) type Visit<'v> = dyn FnMut(&str, &mut dyn FnMut()) + 'v;

/// Visits all cases, in an order that is always the same.
pub(crate) fn each(visit: &mut Visit<'_>) {
    for count in counts() {
        matches(count, visit);
        serves(count, visit);
    }
    rewrites(visit);
    picks(visit);
    expressions(visit);
    explanations(visit);
}

/// Decides on a request that nobody needs the body of.
pub(crate) fn exchange<'a>(snapshot: &'a Snapshot, head: &'a dyn Head) -> Exchange<'a> {
    let inquiry = Inquiry { snapshot: Some(snapshot), head };
    let mut visit = splitway_core::exchange::Visit::default();
    let decided = Exchange::decide(&mut visit, inquiry, Means::NONE, Body::Unread);
    decided.unwrap_or_else(|_| panic!("nothing here looks at a body"))
}

/// Routes by exact path. Of each four two are split, one by turns and one by a key; in both each branch
/// has a path of its own. One is not split; the last is guarded by an expression.
fn document(count: usize) -> String {
    let route = |number: usize| {
        let mut route = json!({
            "id": format!("r{number}"),
            "uri": format!("/tenant-{number}/chat/completions"),
            "upstream_id": "provider",
        });
        let special = match Kind::of(number) {
            Kind::Whole => None,
            Kind::Turns => Some(("plugin_config_id", json!("turns"))),
            Kind::Keyed => Some(("plugin_config_id", json!("keyed"))),
            Kind::Guarded => Some(("vars", terms())),
        };
        special.into_iter().for_each(|(key, value)| route[key] = value);
        route
    };
    let rule = |uri: &str| json!({"weight": 50, "rewrite": {"uri": uri}});
    let turns = json!([rule("/v1/chat/completions"), rule("/v2/chat/completions")]);
    let mut keyed = turns.clone();
    keyed[0]["sticky"] = json!({"by": ["header:x-user"]});
    let config =
        |id: &str, rules: &Value| json!({"id": id, "plugins": {"traffic-split": {"rules": rules}}});
    let document = json!({
        "routes": (0..count).map(route).collect::<Vec<Value>>(),
        "upstreams": [{"id": "provider", "nodes": {"api.example.com:80": 1}}],
        "plugin_configs": [config("turns", &turns), config("keyed", &keyed)],
    });
    document.to_string()
}

/// Five terms that all hold of a [`Chat`], so that all are asked.
fn terms() -> Value {
    json!([
        ["http_x_user", "~~", "^user-[0-9]+$"],
        ["request_method", "IN", ["POST", "PUT"]],
        ["http_x_tier", "!", "==", "free"],
        ["host", "==", "gateway.example.com"],
        ["server_port", ">", 1024]
    ])
}

/// What a route of the document does beside taking a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Turns,
    Keyed,
    Guarded,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Whole, Self::Turns, Self::Keyed, Self::Guarded];

    fn of(number: usize) -> Self {
        Self::ALL.into_iter().cycle().nth(number % 4).expect("it goes on for ever")
    }
}

/// Requests for the routes of one kind, none like the one before.
struct Requests {
    heads: Vec<Chat>,
    next: usize,
}

impl Requests {
    fn new(kind: Kind, count: usize) -> Self {
        // A stride without a factor in common with the counts comes by every route.
        let numbers = (0..).map(|turn: usize| turn * 7_919 % count);
        let numbers = numbers.filter(|number| Kind::of(*number) == kind).take(REQUESTS);
        let path = |number| format!("/tenant-{number}/chat/completions");
        Self { heads: numbers.map(path).map(Chat::new).collect(), next: 0 }
    }

    fn next(&mut self) -> &Chat {
        self.next = (self.next + 1) % REQUESTS;
        black_box(self.heads.get(self.next).expect("there are so many"))
    }
}

fn matches(count: usize, visit: &mut Visit<'_>) {
    let snapshot = compile(&document(count));
    let mut requests = Requests::new(Kind::Whole, count);
    visit(&format!("match, {count} routes"), &mut || {
        assert!(exchange(&snapshot, requests.next()).route().is_some());
    });
    let mut requests = Requests::new(Kind::Turns, count);
    visit(&format!("match + pick + rewrite, {count} routes"), &mut || {
        rewrite(&snapshot, requests.next());
    });
    if count != 10_000 {
        return;
    }
    let again = requests.next();
    visit(&format!("the same for one request again, {count} routes"), &mut || {
        rewrite(&snapshot, black_box(again));
    });
    let mut requests = Requests::new(Kind::Turns, count);
    visit(&format!("the same and all that is counted, {count} routes"), &mut || {
        let head = requests.next();
        let mut exchange = exchange(&snapshot, head);
        let draft = exchange.rewritten(head, Body::Unread).expect("the route takes the request");
        assert!(black_box(draft).path.starts_with("/v"));
        let at = Timestamp::from_millis(1_000_000);
        let running = exchange.note(at, Duration::from_millis(20), 200, None);
        let running = running.expect("there is a configuration");
        running.pass(100, 1000);
        running.end(Timestamp::from_millis(1_000_030));
    });
    let mut requests = Requests::new(Kind::Keyed, count);
    visit(&format!("the same by a key, {count} routes"), &mut || {
        rewrite(&snapshot, requests.next());
    });
    let mut requests = Requests::new(Kind::Turns, count);
    visit(&format!("the same with the headers of this hop, {count} routes"), &mut || {
        let head = requests.next();
        let mut exchange = exchange(&snapshot, head);
        drop(black_box(
            exchange.attempt(head, Body::Unread, Means::NONE).expect("there is a node"),
        ));
    });
}

/// A request from its head to its end: decided, sent, relayed and counted, by a runtime that does nothing.
fn serves(count: usize, visit: &mut Visit<'_>) {
    let memory = Memory { snapshot: Arc::new(compile(&document(count))) };
    let mut requests = Requests::new(Kind::Turns, count);
    visit(&format!("all of a request, {count} routes"), &mut || memory.serve(requests.next()));
}

/// The rewrite alone, of a request that is decided.
fn rewrites(visit: &mut Visit<'_>) {
    let snapshot = compile(&document(10));
    let mut requests = Requests::new(Kind::Turns, 10);
    let head = requests.next();
    let mut exchange = exchange(&snapshot, head);
    visit("rewrite of the path, 10 routes", &mut || {
        let draft = exchange.rewritten(black_box(head), Body::Unread);
        assert!(black_box(draft).is_ok());
    });
}

fn rewrite(snapshot: &Snapshot, head: &Chat) {
    let mut exchange = exchange(snapshot, head);
    let draft = exchange.rewritten(head, Body::Unread).expect("the route takes the request");
    assert!(black_box(draft).path.starts_with("/v"));
}

/// The picks alone.
fn picks(visit: &mut Visit<'_>) {
    let weights = [Weight(95), Weight(5)];
    let rotation = Rotation::new(&weights, 0).expect("there are weights");
    visit("pick by turns, 2 branches", &mut || {
        black_box(rotation.next());
    });
    let rendezvous = Rendezvous::new(&["v1", "v2"], &weights, "salt").expect("there are weights");
    visit("pick by a key, 2 branches", &mut || {
        black_box(rendezvous.owner(black_box(b"user-4711")));
    });
}

/// An expression, with what it takes to come to it: a route is asked for.
fn expressions(visit: &mut Visit<'_>) {
    let snapshot = compile(&document(10));
    let mut requests = Requests::new(Kind::Guarded, 10);
    visit("match with an expression of 5 terms, 10 routes", &mut || {
        assert!(exchange(&snapshot, requests.next()).route().is_some());
    });
}

fn explanations(visit: &mut Visit<'_>) {
    let count = counts().take(3).last().unwrap_or_default();
    let snapshot = compile(&document(count));
    let mut requests = Requests::new(Kind::Turns, count);
    visit(&format!("explain, {count} routes"), &mut || {
        let told = explain(&snapshot, requests.next(), Means::NONE, b"");
        assert!(black_box(told).problem.is_none());
    });
}
