//! Every answer proves who served it.

use serde_json::json;
use splitway_core::snapshot::Revision;

use crate::document::{everything_to, routes, split, upstream};
use crate::message::{Answer, Call};
use crate::script::Reply;
use crate::target::Target;

fn proof(answer: &Answer) -> [Option<String>; 3] {
    ["x-splitway-route", "x-splitway-branch", "x-splitway-revision"].map(|name| answer.header(name))
}

fn some<const N: usize>(texts: [&str; N]) -> [Option<String>; N] {
    texts.map(|text| Some(text.to_owned()))
}

/// Route, branch and revision are on every answer: of an upstream, and of Splitway itself.
pub(crate) fn every_answer_names_who_served(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let refusing = target.refusing_origin();
    let document = routes(&[
        json!({"id": "plain", "uri": "/plain", "upstream": upstream(&origin)}),
        json!({"id": "split", "uri": "/split", "plugins": {"traffic-split": {"rules": [
            {"name": "new", "weight": 1, "upstream": upstream(&origin)},
        ]}}}),
        json!({"id": "down", "uri": "/down", "upstream": upstream(&refusing)}),
    ]);
    target.start(&document);

    let revision = Revision::of_text(&document);
    for (path, status, route, branch) in [
        ("/plain", 200, "plain", "route"),
        ("/split", 200, "split", "new"),
        ("/down", 502, "down", "route"),
        ("/elsewhere", 404, "none", "none"),
    ] {
        let answer = target.call(&Call::get(path));
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(proof(&answer), some([route, branch, revision.as_str()]), "{path}");
    }
}

/// A setting takes the proof away, from relayed answers and from problems.
pub(crate) fn proof_can_be_switched_off(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let route = json!({"id": "r", "uri": "/a", "upstream": upstream(&origin)});
    target.start(&json!({"routes": [route], "settings": {"proof_headers": false}}).to_string());

    for (path, status) in [("/a", 200), ("/b", 404)] {
        let answer = target.call(&Call::get(path));
        assert_eq!((answer.status, proof(&answer)), (status, [None, None, None]), "{path}");
    }
}

/// What an upstream writes into these headers never reaches the client.
pub(crate) fn an_upstream_cannot_forge_it(target: &mut impl Target) {
    let reply = Reply::ok("")
        .header("X-Splitway-Branch", "forged")
        .header("x-splitway-branch", "forged again")
        .header("x-splitway-revision", "7");
    let origin = target.origin(reply);
    let document = split(&[json!({"weight": 1, "upstream": upstream(&origin)})]);
    target.start(&document);

    let answer = target.call(&Call::get("/x"));
    assert_eq!(proof(&answer), some(["split", "b0", Revision::of_text(&document).as_str()]));
}

/// The revision of a document outside a ledger depends on its bytes alone.
pub(crate) fn the_revision_is_a_digest_of_the_text(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let document = format!("  {}\n", everything_to(&origin));
    target.start(&document);

    let revision = target.call(&Call::get("/x")).revision();
    assert_eq!(revision.as_deref(), Some(Revision::of_text(&document).as_str()));
}
