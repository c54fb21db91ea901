//! Request targets that are written in unusual ways.

use serde_json::json;

use crate::document::{routes, upstream};
use crate::message::Call;
use crate::script::Reply;
use crate::target::Target;

/// The same request takes the same route and arrives as the same target, in every environment.
pub(crate) fn odd_targets_mean_the_same_everywhere(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let route = |id: &str, uri: &str| json!({"id": id, "uri": uri, "upstream": upstream(&origin)});
    target.start(&routes(&[
        route("y", "/y"),
        route("y-below", "/y/*"),
        route("host", "/h/*"),
        route("all", "/*"),
    ]));

    let mut others = Vec::new();
    for (sent, route, received) in [
        ("/x/../y", "y", "/y"),
        ("/x/%2e%2e/y", "y", "/y"),
        ("/x/%2E./y?q=/../z", "y", "/y?q=/../z"),
        ("/x/.%2e/y", "y", "/y"),
        ("/./y", "y", "/y"),
        ("/x/../../../y", "y", "/y"),
        ("/y/.", "y-below", "/y/"),
        ("/y/z/..", "y-below", "/y/"),
        ("/y/", "y-below", "/y/"),
        ("/x\\..\\y", "y", "/y"),
        ("/x?a\\b", "all", "/x?a\\b"),
        ("//h/a", "host", "//h/a"),
        ("/h//a", "host", "/h//a"),
        ("//", "all", "//"),
        ("/%zz", "all", "/%zz"),
        ("/%", "all", "/%"),
        ("/|[a]", "all", "/|[a]"),
        ("/%79", "y", "/%79"),
        ("/a/...", "all", "/a/..."),
        ("/?", "all", "/?"),
        ("/?a=|{}^`[]\\", "all", "/?a=|{}^`[]\\"),
        ("http://other.example/y", "y", "/y"),
        ("http://other.example/x/../y?z", "y", "/y?z"),
        ("http://other.example", "all", "/"),
        ("HTTP://other.example/y", "y", "/y"),
    ] {
        let seen = origin.count();
        let answer = target.call(&Call::get(sent));
        let taken = answer.header("x-splitway-route").unwrap_or_default();
        let targets: Vec<String> =
            origin.requests().drain(seen..).map(|request| request.target).collect();
        if (answer.status, taken.as_str()) != (200, route) || targets != [received] {
            others.push(format!("{sent}: {} by {taken}, as {targets:?}", answer.status));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
}

/// Marks that a URL should escape and that clients send all the same; `'` is one in a query only.
const MARKS: [&str; 5] = ["/a\"b", "/a^b", "/a{b", "/a}b", "/a?b'c"];

/// Such a mark goes up as it was sent.
pub(crate) fn marks_that_should_be_escaped_arrive_as_sent(target: &mut impl Target) {
    check_marks(target, |received, sent| received == sent);
}

/// At the least it goes up as itself or as its escape, and nothing else changes.
pub(crate) fn marks_that_should_be_escaped_keep_their_meaning(target: &mut impl Target) {
    check_marks(target, |received, sent| {
        let mut escaped = String::new();
        for character in sent.chars() {
            match character {
                '"' | '^' | '{' | '}' | '\'' => escaped += &format!("%{:X}", u32::from(character)),
                other => escaped.push(other),
            }
        }
        received == sent || received == escaped
    });
}

fn check_marks(target: &mut impl Target, fits: impl Fn(&str, &str) -> bool) {
    let origin = target.origin(Reply::ok(""));
    target.start(&routes(&[json!({"id": "all", "uri": "/*", "upstream": upstream(&origin)})]));

    for sent in MARKS {
        assert_eq!(target.call(&Call::get(sent)).status, 200, "{sent}");
        let received = origin.requests().pop().unwrap().target;
        assert!(fits(&received, sent), "{sent} arrived as {received}");
    }
}
