//! Copies of requests that go elsewhere, of which clients notice nothing.

use std::thread;

use serde_json::{Value, json};

use crate::document::{split, upstream};
use crate::message::Call;
use crate::origin::Origin;
use crate::script::{Act, Gate, Piece, Reply, Script};
use crate::target::Target;

/// A document that serves everything from `served` and copies what `more` says to `copied`.
fn mirrored(served: &Origin, copied: &Origin, more: &Value) -> String {
    let mut mirror = json!({"upstream": upstream(copied), "rewrite": {"uri": "/v3/chat"}});
    mirror.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let branch =
        json!({"name": "v1", "upstream": upstream(served), "rewrite": {"uri": "/v1/chat"}});
    split(&[json!({"weighted_upstreams": [branch], "mirror": mirror})])
}

/// The copy is made of the request as it came, body and all.
pub(crate) fn a_copy_is_rewritten_by_itself(target: &mut impl Target) {
    let served = target.origin(Reply::ok("of v1"));
    let copied = target.origin(Reply::ok("of v3"));
    target.start(&mirrored(&served, &copied, &json!({})));

    for number in 1..4 {
        let body = format!("body {number}");
        let answer = target.call(&Call::post("/chat?a=1", body.as_str()).header("X-Own", "1"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "of v1"));
        assert_eq!(answer.branch().as_deref(), Some("v1"));
        assert_eq!(answer.header("x-splitway-attempts"), None);
        copied.wait_until("the copy", |requests| {
            requests.len() == number && requests[number - 1].complete
        });
        let copy = copied.requests().pop().unwrap();
        assert_eq!((copy.method.as_str(), copy.target.as_str()), ("POST", "/v3/chat?a=1"));
        assert_eq!(String::from_utf8_lossy(&copy.body), body);
        assert_eq!(copy.header("x-own").as_deref(), Some("1"));
    }
    assert!(served.requests().iter().all(|request| request.target == "/v1/chat?a=1"));
}

/// Whatever becomes of a copy, and however long it takes, the client has its answer.
pub(crate) fn what_becomes_of_a_copy_harms_nobody(target: &mut impl Target) {
    let served = target.origin(Reply::ok("of v1"));
    let endless = Reply::ok("").pieces([Piece::RepeatUntilGone(vec![b'x'; 10_000])]);
    let acts = [Act::Close, Act::Reset, Reply::status(500).body("no").into(), endless.into()];
    let count = acts.len();
    let copied = target.origin(Script::in_turn(acts, Reply::ok("")));
    target.start(&mirrored(&served, &copied, &json!({})));

    for number in 1..=count {
        let answer = target.call(&Call::post("/chat", "a body"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "of v1"));
        copied.wait_until("the copy", |requests| requests.len() == number);
    }
    copied.wait_until("nobody reads its answer", |requests| requests[count - 1].gone);
}

/// Exactly so many are copied as are to be.
pub(crate) fn so_many_are_copied_as_are_to_be(target: &mut impl Target) {
    let (served, copied) = (target.origin(Reply::ok("")), target.origin(Reply::ok("")));
    target.start(&mirrored(&served, &copied, &json!({"percent": 25})));

    for _ in 0..20 {
        assert_eq!(target.call(&Call::get("/chat")).status, 200);
    }
    copied.wait_until("the copies", |requests| requests.len() == 5);
    assert_eq!((served.count(), copied.count()), (20, 5));
}

/// While as many copies are under way as may be, requests go without one; later ones have theirs.
pub(crate) fn no_more_copies_are_under_way_than_may_be(target: &mut impl Target) {
    let gate = Gate::default();
    let door = gate.clone();
    let served = target.origin(Reply::ok(""));
    let copied = target.origin(Script::new(move |_| {
        door.wait();
        Reply::ok("").into()
    }));
    target.start(&mirrored(&served, &copied, &json!({"in_flight": 2})));

    let target = &*target;
    let call = || assert_eq!(target.call(&Call::get("/chat")).status, 200);
    thread::scope(|scope| {
        for number in 1..=2 {
            scope.spawn(call);
            copied.wait_until("a copy", |requests| requests.len() == number);
        }
        (0..6).for_each(|_| call());
        assert_eq!((served.count(), copied.count()), (8, 2));
        gate.open();
    });
    let before = served.count();
    while copied.count() == 2 {
        call();
        assert!(served.count() < before + 10_000, "no copy is sent any more");
    }
}

/// Copies can go to a branch of the rule, with what that one rewrites; those it serves are not copied.
pub(crate) fn copies_can_go_to_a_branch(target: &mut impl Target) {
    let (v1, v3) = (target.origin(Reply::ok("of v1")), target.origin(Reply::ok("of v3")));
    let branch = |name: &str, origin: &Origin| {
        json!({
            "name": name,
            "weight": 1,
            "upstream": upstream(origin),
            "rewrite": {"uri": format!("/{name}/chat")},
        })
    };
    target.start(&split(&[json!({
        "weighted_upstreams": [branch("v1", &v1), branch("v3", &v3)],
        "mirror": {"branch": "v3"},
    })]));

    let mut own = 0;
    for _ in 0..12 {
        let answer = target.call(&Call::post("/chat", "a body"));
        assert_eq!(answer.status, 200);
        own += usize::from(answer.text() == "of v3");
    }
    assert_eq!((own, v1.count()), (6, 6));
    v3.wait_until("the copies", |requests| {
        requests.iter().filter(|request| request.complete).count() == 12
    });
    let requests = v3.requests();
    assert!(requests.iter().all(|it| it.target == "/v3/chat" && it.body == b"a body"));
}

/// Copies can go to an upstream by its id.
pub(crate) fn copies_can_go_to_a_named_upstream(target: &mut impl Target) {
    let (served, copied) = (target.origin(Reply::ok("")), target.origin(Reply::ok("")));
    let mut named = upstream(&copied);
    named["id"] = json!("copies");
    let rule = json!({
        "weighted_upstreams": [{"name": "v1", "upstream": upstream(&served)}],
        "mirror": {"upstream_id": "copies"},
    });
    let route = json!({"uri": "/*", "plugins": {"traffic-split": {"rules": [rule]}}});
    target.start(&json!({"upstreams": [named], "routes": [route]}).to_string());

    assert_eq!(target.call(&Call::get("/chat")).status, 200);
    copied.wait_until("the copy", |requests| requests.len() == 1);
    assert_eq!(copied.only_request().target, "/chat");
}

/// A part of the requests of every branch is copied, not all of one and none of another.
pub(crate) fn every_branch_has_its_copies(target: &mut impl Target) {
    let (a, b) = (target.origin(Reply::ok("a")), target.origin(Reply::ok("b")));
    let copied = target.origin(Reply::ok(""));
    let branch = |name: &str, origin: &Origin| json!({"name": name, "weight": 1, "upstream": upstream(origin)});
    target.start(&split(&[json!({
        "weighted_upstreams": [branch("a", &a), branch("b", &b)],
        "mirror": {"upstream": upstream(&copied), "percent": 50},
    })]));

    let call = |number: usize| target.call(&Call::get(&format!("/{number}"))).text();
    let served_by: Vec<String> = (0..40).map(call).collect();
    copied.wait_until("the copies", |requests| requests.len() == 20);
    let copies = copied.requests();
    let numbers = copies.iter().map(|copy| copy.target[1..].parse::<usize>().unwrap());
    let of_a = numbers.filter(|number| served_by[*number] == "a").count();
    assert_eq!(of_a, 10, "of 20 copies");
}
