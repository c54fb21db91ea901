//! Methods are the client's business.

use crate::document::everything_to;
use crate::message::Call;
use crate::script::Reply;
use crate::target::Target;

fn check(target: &mut impl Target, methods: &[&str]) {
    let origin = target.origin(Reply::ok("done"));
    target.start(&everything_to(&origin));

    for method in methods {
        let answer = target.call(&Call::new(method, "/x").header("x-a", "b"));
        assert_eq!((answer.status, answer.text()), (200, "done".to_owned()), "{method}");
        let request = origin.requests().pop().unwrap();
        assert_eq!((request.method.as_str(), request.body.len()), (*method, 0));
        assert!(!request.chunked, "{method} went up with a body nobody sent");
    }
}

/// Every method that is registered arrives as it was sent.
pub(crate) fn every_method_arrives(target: &mut impl Target) {
    check(
        target,
        &[
            "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "PROPFIND",
            "REPORT",
        ],
    );
}

/// A method is any token.
pub(crate) fn a_method_nobody_registered_arrives(target: &mut impl Target) {
    check(target, &["LINK", "FROBNICATE", "get", "X-1~!"]);
}

/// A body is forwarded with whatever method it came.
pub(crate) fn a_get_with_a_body_keeps_it(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&everything_to(&origin));

    for method in ["GET", "DELETE", "OPTIONS", "PROPFIND"] {
        assert_eq!(target.call(&Call::new(method, "/x").body("a body")).status, 200, "{method}");
        let request = origin.requests().pop().unwrap();
        assert_eq!((request.method.as_str(), request.body.as_slice()), (method, &b"a body"[..]));
        assert_eq!(request.header("content-length").as_deref(), Some("6"), "{method}");
    }
}

/// The answer to HEAD says how long the body would be, and has none.
pub(crate) fn the_answer_to_head_keeps_its_length(target: &mut impl Target) {
    let origin = target.origin(Reply::ok("fourteen bytes").header("ETag", "\"a\""));
    target.start(&everything_to(&origin));

    let answer = target.call(&Call::new("HEAD", "/x"));
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-length").as_deref(), Some("14"));
    assert_eq!(answer.header("etag").as_deref(), Some("\"a\""));
    assert_eq!(origin.only_request().method, "HEAD");
}
