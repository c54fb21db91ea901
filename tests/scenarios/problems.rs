//! What Splitway answers by itself.

use serde_json::json;

use crate::document::{everything_to, routes, upstream};
use crate::message::{Answer, Call};
use crate::origin::Origin;
use crate::script::{Act, Reply, Script};
use crate::target::Target;

fn check(answer: &Answer, status: u16, title: &str, error_msg: &str) {
    assert_eq!(answer.status, status);
    assert_eq!(answer.header("content-type").as_deref(), Some("application/problem+json"));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string()));
    let token = token(answer);
    let expected = json!({
        "type": format!("urn:splitway:problem:{token}"),
        "title": title,
        "status": status,
        "error_msg": error_msg,
    });
    assert_eq!(answer.json(), expected);
}

/// Checks that an answer is a whole problem document of this status, whatever it says.
pub(super) fn is_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let problem = answer.json();
    let member = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    check(answer, status, &member("title"), &member("error_msg"));
    assert!(!member("title").is_empty() && !member("error_msg").is_empty(), "{problem}");
}

/// The error type of RFC 9209 that `Proxy-Status` carries.
pub(super) fn token(answer: &Answer) -> String {
    let status = answer.header("proxy-status").expect("a problem has a `Proxy-Status`");
    status.strip_prefix("splitway; error=").expect("it names this proxy").to_owned()
}

fn check_bad_gateway(answer: &Answer) {
    let title = "The upstream could not be reached";
    check(answer, 502, title, title);
    assert_eq!(answer.branch().as_deref(), Some("route"));
}

fn with_timeout(origin: &Origin, millis: u32) -> String {
    let third = f64::from(millis) / 3000.0;
    let timeout = json!({"connect": third, "send": third, "read": third});
    let upstream = upstream(origin);
    routes(&[json!({"id": "slow", "uri": "/*", "upstream": upstream, "timeout": timeout})])
}

/// Without a route the client gets a problem document, readable for clients of APISIX too.
pub(crate) fn no_route_is_a_404_problem(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&routes(&[json!({"id": "a", "uri": "/a", "upstream": upstream(&origin)})]));

    for call in [Call::get("/b"), Call::post("/", vec![b'x'; 100_000]), Call::new("DELETE", "/a/b")]
    {
        let answer = target.call(&call);
        check(&answer, 404, "No route takes this request", "404 Route Not Found");
        assert_eq!(token(&answer), "destination_not_found");
        assert_eq!(answer.header("x-splitway-route").as_deref(), Some("none"));
    }
    assert_eq!(origin.count(), 0);
}

/// A node that refuses connections is a bad gateway.
pub(crate) fn a_refused_connection_is_a_502_problem(target: &mut impl Target) {
    let refusing = target.refusing_origin();
    target.start(&everything_to(&refusing));

    check_bad_gateway(&target.call(&Call::get("/x")));
    check_bad_gateway(&target.call(&Call::post("/x", "a body")));
}

/// So is one that closes the connection without an answer.
pub(crate) fn a_connection_closed_before_the_head_is_a_502_problem(target: &mut impl Target) {
    let origin = target.origin(Act::Close);
    target.start(&everything_to(&origin));

    check_bad_gateway(&target.call(&Call::post("/x", "a body")));
    assert_eq!(origin.count(), 1, "a request with a body is not sent twice");
}

/// So is one that answers with something else than HTTP.
pub(crate) fn an_answer_that_is_not_http_is_a_502_problem(target: &mut impl Target) {
    let origin = target.origin(Act::Garbage(b"220 mail.example ESMTP\r\n\r\n".to_vec()));
    target.start(&everything_to(&origin));

    check_bad_gateway(&target.call(&Call::post("/x", "a body")));
}

/// So is one whose status is none of HTTP's, or that switches protocols though nobody asked.
pub(crate) fn a_status_that_cannot_be_relayed_is_a_502_problem(target: &mut impl Target) {
    let origin = target.origin(Script::new(|request| {
        let status = request.target.trim_start_matches('/').parse().unwrap();
        Act::Answer(Reply::status(status).body(""))
    }));
    target.start(&everything_to(&origin));

    for path in ["/101", "/600", "/999"] {
        check_bad_gateway(&target.call(&Call::get(path)));
    }
    assert_eq!(target.call(&Call::get("/599")).status, 599);
}

/// One that says nothing for as long as it may is a gateway timeout, and its connection is closed.
pub(crate) fn an_upstream_that_says_nothing_is_a_504_problem(target: &mut impl Target) {
    let origin = target.origin(Act::Silence);
    target.start(&with_timeout(&origin, 300));

    let answer = target.call(&Call::get("/x"));
    let title = "The upstream took too long";
    check(&answer, 504, title, title);
    assert_eq!(token(&answer), "http_response_timeout");
    assert_eq!(answer.branch().as_deref(), Some("route"));
    origin.wait_until("the attempt is given up", |requests| requests[0].gone);
    assert_eq!(origin.count(), 1);
}

/// The reason of a failed attempt is told apart by the error types of RFC 9209.
pub(crate) fn a_failed_attempt_says_which_way_it_failed(target: &mut impl Target) {
    let closing = target.origin(Act::Close);
    let garbled = target.origin(Act::Garbage(b"220 mail.example ESMTP\r\n\r\n".to_vec()));
    let refusing = target.refusing_origin();
    let route = |uri: &str, origin| json!({"uri": uri, "upstream": upstream(origin)});
    target.start(&routes(&[
        route("/refuses", &refusing),
        route("/closes", &closing),
        route("/garbles", &garbled),
    ]));

    for (path, expected) in [
        ("/refuses", "connection_refused"),
        ("/closes", "connection_terminated"),
        ("/garbles", "http_protocol_error"),
    ] {
        assert_eq!(token(&target.call(&Call::get(path))), expected, "{path}");
    }
}

/// A problem told in answer to HEAD has the head of a problem and nothing behind it.
pub(crate) fn a_problem_told_to_head_has_no_body(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&routes(&[json!({"id": "a", "uri": "/a", "upstream": upstream(&origin)})]));

    let answer = target.call(&Call::new("HEAD", "/b"));
    assert_eq!((answer.status, answer.body.len()), (404, 0));
    assert_eq!(answer.header("content-type").as_deref(), Some("application/problem+json"));
    assert_eq!(token(&answer), "destination_not_found");
}

/// A ledger may publish a route whose upstream was deleted by force; what is sound of it serves on.
pub(crate) fn what_names_an_upstream_that_is_gone_is_a_503_problem(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let split = json!({"rules": [{"weighted_upstreams": [{}, {"upstream_id": "gone"}]}]});
    let routes = json!([
        {"id": "a", "uri": "/a", "upstream_id": "gone"},
        {"id": "b", "uri": "/b", "upstream": upstream(&origin), "plugins": {"traffic-split": split}},
    ]);
    let published = json!({"format": 1, "ledger": "l", "revision": 7});
    target.start(&json!({"published": published, "routes": routes}).to_string());

    let answer = target.call(&Call::get("/a"));
    let title = "The upstream of this route is gone";
    check(&answer, 503, title, title);
    assert_eq!(token(&answer), "proxy_configuration_error");
    assert_eq!(answer.header("x-splitway-route").as_deref(), Some("a"));
    assert_eq!(answer.header("x-splitway-revision").as_deref(), Some("7"));

    let mut statuses: Vec<u16> = (0..4).map(|_| target.call(&Call::get("/b")).status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503, 503]);
    assert_eq!(origin.count(), 2);
}
