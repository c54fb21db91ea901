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

/// What a pattern captures stays one path, whatever the client has escaped in it.
pub(crate) fn the_first_pattern_that_matches_rewrites_the_path(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let rewrite = json!({"regex_uri": ["^/api/v1/(.*)", "/v1/$1", "^/api/(.*)$", "/new?rest=$1"]});
    let headers = json!({"set": {"x-rest": "[$1]"}});
    target.start(&split(&[json!({
        "upstream": upstream(&origin), "rewrite": rewrite, "headers": headers,
    })]));

    for (sent, expected, rest) in [
        ("/api/v1/a/b?c=d", "/v1/a/b?c=d", "[a/b]"),
        ("/api/v2/a&b?c", "/new?rest=v2/a%26b&c", "[v2/a&b]"),
        ("/api/v1/a%3Fb%23c%25", "/v1/a%3Fb%23c%25", "[a?b#c%]"),
        ("/api/v1/a%0d%0aX-Evil:%201", "/v1/a%0D%0AX-Evil:%201", "[a]"),
        ("/api/v1/caf%C3%A9", "/v1/caf%C3%A9", "[caf]"),
        ("/other%2F", "/other%2F", "[]"),
    ] {
        assert_eq!(target.call(&Call::get(sent)).status, 200, "{sent}");
        let received = origin.requests().pop().unwrap();
        assert_eq!(received.target, expected, "{sent}");
        assert_eq!(received.header("x-rest").as_deref(), Some(rest), "{sent}");
        assert!(!received.headers.has("x-evil"));
    }
}

/// A branch changes the method, removes arguments and sets others.
pub(crate) fn methods_and_arguments_are_changed_by_branch(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let query = json!({"set": {"api-version": 2, "q": "a&b c"}, "remove": ["key"]});
    let rewrite = json!({"method": "PUT", "query": query});
    target.start(&split(&[json!({"upstream": upstream(&origin), "rewrite": rewrite})]));

    let call = Call::post("/x?key=s&y=%20&api-version=1", "body");
    assert_eq!(target.call(&call).status, 200);
    let received = origin.only_request();
    assert_eq!(received.method, "PUT");
    assert_eq!(received.target, "/x?y=%20&api-version=2&q=a%26b%20c");
    assert_eq!(received.body, b"body");
}

/// What is not merged keeps its bytes; the length is the new one.
pub(crate) fn members_are_merged_into_a_json_body(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let rewrite = json!({"body": {"model": "v2", "options": {"seed": null, "n": 1}}});
    target.start(&split(&[json!({"upstream": upstream(&origin), "rewrite": rewrite})]));

    let body = r#"{"z": 1.0, "model": "v1", "options": {"seed": 7, "t": 1e400}}"#;
    let merged = r#"{"z":1.0,"model":"v2","options":{"t":1e400,"n":1}}"#;
    for call in [Call::post("/x", body), Call::post("/x", body).in_chunks()] {
        assert_eq!(target.call(&call).status, 200);
        let received = origin.requests().pop().unwrap();
        assert_eq!(String::from_utf8_lossy(&received.body), merged);
        assert!(received.chunked || received.header("content-length") == Some("50".to_owned()));
    }
    assert_eq!(target.call(&Call::get("/x")).status, 200);
    assert_eq!(origin.requests().pop().unwrap().body, b"");

    let count = origin.count();
    let answer = target.call(&Call::post("/x", "a=b"));
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error_msg"], "The body of the request is no JSON object");
    let encoded = Call::post("/x", "{}").header("Content-Encoding", "gzip");
    assert_eq!(target.call(&encoded).status, 415);
    assert_eq!(origin.count(), count, "neither was sent");
}

/// A branch sets, adds and removes headers of the responses that it gets.
pub(crate) fn responses_are_changed_by_branch(target: &mut impl Target) {
    let reply = Reply::ok("").header("X-Debug", "1").header("X-Tag", "origin");
    let origin = target.origin(reply);
    let headers = json!({
        "set": {"X-Api-Version": "v2"}, "add": {"x-tag": "branch"}, "remove": ["x-debug"],
    });
    target.start(&split(&[json!({"upstream": upstream(&origin), "response_headers": headers})]));

    let answer = target.call(&Call::get("/x"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-api-version").as_deref(), Some("v2"));
    assert!(!answer.headers.has("x-debug"));
    let tags = answer.headers.all("x-tag").join(b", ".as_slice());
    assert_eq!(String::from_utf8_lossy(&tags), "origin, branch");
}
