//! Whatever the upstream answers is what the client gets.

use crate::document::everything_to;
use crate::message::Call;
use crate::script::{Act, Reply, Script};
use crate::target::Target;

/// The status in the last segment of the path, with a body where it has one.
fn as_asked() -> Script {
    Script::new(|request| {
        let status = request.target.rsplit('/').next().unwrap().parse().unwrap();
        let reply = Reply::status(status).header("x-from", "upstream");
        Act::Answer(match status {
            204 | 304 => reply,
            status => reply.body(format!("{status} of the upstream")),
        })
    })
}

/// A status is relayed as it is, failures of the upstream too, never rewritten into a problem.
pub(crate) fn whatever_the_upstream_answers_is_relayed(target: &mut impl Target) {
    let origin = target.origin(as_asked());
    target.start(&everything_to(&origin));

    for status in [200, 201, 204, 206, 299, 304, 400, 401, 404, 418, 429, 500, 502, 503, 504, 599] {
        let answer = target.call(&Call::get(&format!("/{status}")));
        let body = match status {
            204 | 304 => String::new(),
            status => format!("{status} of the upstream"),
        };
        assert_eq!((answer.status, answer.text()), (status, body));
        assert_eq!(answer.header("x-from").as_deref(), Some("upstream"), "{status}");
        assert!(!answer.headers.has("proxy-status"), "{status}");
    }
}

/// A redirect is an answer like any other: the client follows it, or not.
pub(crate) fn redirects_are_relayed_not_followed(target: &mut impl Target) {
    let origin = target.origin(Script::new(|request| {
        let status = request.target.rsplit('/').next().unwrap().parse().unwrap();
        Act::Answer(Reply::status(status).header("Location", "/elsewhere?a#b").body("moved"))
    }));
    target.start(&everything_to(&origin));

    for (number, status) in [301, 302, 303, 307, 308].into_iter().enumerate() {
        let answer = target.call(&Call::post(&format!("/{status}"), "a body"));
        assert_eq!((answer.status, answer.text()), (status, "moved".to_owned()));
        assert_eq!(answer.header("location").as_deref(), Some("/elsewhere?a#b"));
        assert_eq!(origin.count(), number + 1);
    }
}
