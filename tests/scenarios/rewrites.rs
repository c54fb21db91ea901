//! A branch changes what it says it changes, and nothing else.

use serde_json::json;

use crate::document::{everything_to, split, upstream};
use crate::message::Call;
use crate::script::Reply;
use crate::target::Target;

/// The client's query goes along, behind the one of the rewrite.
pub(crate) fn the_query_is_kept(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let rule =
        |uri: &str| json!({"weight": 1, "upstream": upstream(&origin), "rewrite": {"uri": uri}});
    target.start(&split(&[rule("/v1/chat"), rule("/v2/chat?stage=canary")]));

    let check = |sent: &str, expected: [&str; 2]| {
        let seen = origin.count();
        for _ in 0..2 {
            assert_eq!(target.call(&Call::get(sent)).status, 200);
        }
        let mut targets: Vec<String> =
            origin.requests().drain(seen..).map(|request| request.target).collect();
        targets.sort();
        assert_eq!(targets, expected, "{sent}");
    };
    check("/chat", ["/v1/chat", "/v2/chat?stage=canary"]);
    check("/chat?a=b&a=%20c", ["/v1/chat?a=b&a=%20c", "/v2/chat?stage=canary&a=b&a=%20c"]);
    check("/chat?a=?b", ["/v1/chat?a=?b", "/v2/chat?stage=canary&a=?b"]);
}

/// Without a rewrite the target goes up as it came: escapes, slashes and all.
pub(crate) fn a_target_that_is_not_rewritten_is_unchanged(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&everything_to(&origin));

    for sent in [
        "/",
        "/a/b/c",
        "/a//b///c",
        "/a%2Fb%20c%zz%",
        "/caf%C3%A9/%E2%82%AC",
        "/a;b=c,d:e@f!$&'()*+",
        "/a?b=c&d=%26e%zz#",
        "/a?q=/../b//c",
        "/a?x=http://y/z?",
    ] {
        assert_eq!(target.call(&Call::get(sent)).status, 200, "{sent}");
        let received = origin.requests().pop().unwrap().target;
        assert_eq!(received, sent.trim_end_matches('#'), "{sent}");
    }
}

/// A branch sets headers in place of the client's, adds to them, and removes them.
pub(crate) fn headers_are_set_added_and_removed_by_branch(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let headers = json!({
        "set": {"X-Api-Version": "v2"},
        "add": {"X-Tag": "split"},
        "remove": ["X-Debug", "Cookie"],
    });
    target
        .start(&split(&[json!({"weight": 1, "upstream": upstream(&origin), "headers": headers})]));

    let call = Call::get("/x")
        .header("x-api-version", "v1")
        .header("x-api-version", "v0")
        .header("X-Tag", "client")
        .header("X-DEBUG", "1")
        .header("Cookie", "a=b")
        .header("X-Other", "kept");
    assert_eq!(target.call(&call).status, 200);
    let headers = origin.only_request().headers;
    assert_eq!(headers.all("x-api-version"), [b"v2"]);
    assert_eq!(headers.all("x-other"), [b"kept"]);
    assert_eq!((headers.has("x-debug"), headers.has("cookie")), (false, false));
    let tags = headers.all("x-tag").join(b", ".as_slice());
    assert_eq!(String::from_utf8_lossy(&tags), "client, split");
}
