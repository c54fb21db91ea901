//! Copies of requests that go elsewhere, of which clients notice nothing.

use serde_json::{Value, json};

use crate::document::{split, upstream};
use crate::message::Call;
use crate::origin::Origin;
use crate::script::{Act, Piece, Reply, Script};
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
