//! The configuration changes while requests are served.

use std::time::Instant;

use serde_json::json;
use splitway_core::snapshot::Revision;

use crate::document::{everything_to, routes, upstream};
use crate::message::{Answer, Call};
use crate::script::{DEADLINE, Reply};
use crate::target::Target;

/// How often a document is replaced: in some environments that takes a while.
const CHANGES: usize = 10;

fn revision_of(document: &str) -> Option<String> {
    Some(Revision::of_text(document).as_str().to_owned())
}

/// Asks until the configuration with this text answers; whatever answers before is `old`.
fn await_revision(target: &impl Target, old: &str, new: &str) -> Answer {
    let begin = Instant::now();
    loop {
        let answer = target.call(&Call::get("/x"));
        assert_eq!(answer.status, 200);
        if answer.revision() == revision_of(new) {
            return answer;
        }
        assert_eq!(answer.revision(), revision_of(old));
        assert!(begin.elapsed() < DEADLINE, "the new document does not take over");
    }
}

/// A new document takes over from the old one, between two requests.
pub(crate) fn a_new_document_takes_over(target: &mut impl Target) {
    let (first, second) = (target.origin(Reply::ok("first")), target.origin(Reply::ok("second")));
    let (old, new) = (everything_to(&first), everything_to(&second));
    target.start(&old);

    let answer = target.call(&Call::get("/x"));
    assert_eq!((answer.text(), answer.revision()), ("first".to_owned(), revision_of(&old)));
    target.replace(&new);
    assert_eq!(await_revision(target, &old, &new).text(), "second");
}

/// A document with faults never takes over; a later one without does.
pub(crate) fn a_faulty_document_changes_nothing(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let old = everything_to(&origin);
    let with_rewrite = |key: &str| {
        routes(&[json!({"id": "all", "uri": "/*", "plugins": {"traffic-split": {"rules": [
            {"weight": 1, "upstream": upstream(&origin), key: {"uri": "/y"}},
        ]}}})])
    };
    let (faulty, new) = (with_rewrite("rewrit"), with_rewrite("rewrite"));
    target.start(&old);

    assert_eq!(target.call(&Call::get("/x")).revision(), revision_of(&old));
    for broken in [faulty.as_str(), "{", ""] {
        target.replace(broken);
        target.wait_until_refused();
        let answer = target.call(&Call::get("/x"));
        assert_eq!((answer.status, answer.revision()), (200, revision_of(&old)));
    }
    target.replace(&new);
    assert_eq!(await_revision(target, &old, &new).branch().as_deref(), Some("b0"));
}

/// A split goes on with its walk whatever else is changed: shares are as exact as without.
pub(crate) fn a_split_stays_exact_while_other_routes_change(target: &mut impl Target) {
    let (one, two) = (target.origin(Reply::ok("")), target.origin(Reply::ok("")));
    let document = |number: usize| {
        let split = json!({"rules": [{"weighted_upstreams": [
            {"upstream": upstream(&one)},
            {"upstream": upstream(&two)},
        ]}]});
        routes(&[
            json!({"id": "split", "uri": "/x", "plugins": {"traffic-split": split}}),
            json!({"id": "other", "uri": format!("/{number}"), "upstream": upstream(&one)}),
        ])
    };
    target.start(&document(0));

    for number in 1..=CHANGES {
        target.replace(&document(number));
        await_revision(target, &document(number - 1), &document(number));
        let (one, two) = (one.count(), two.count());
        assert!(one.abs_diff(two) <= 1, "{one} to {two} after {number} changes");
    }
}
