//! A request whose branch or node fails goes to another one, if that is safe.

use std::time::Duration;

use serde_json::{Value, json};

use crate::document::{routes, split, upstream};
use crate::events;
use crate::message::{Answer, Call};
use crate::origin::Origin;
use crate::script::{Act, Gate, Piece, Reply, Script};
use crate::target::Target;

/// How long an attempt may take where one takes too long.
const SHORT: Duration = Duration::from_millis(400);

/// An upstream whose attempts end after [`SHORT`].
fn impatient(origin: &Origin) -> Value {
    let third = SHORT.as_secs_f64() / 3.0;
    let mut upstream = upstream(origin);
    upstream["timeout"] = json!({"connect": third, "send": third, "read": third});
    upstream
}

/// A route for `uri` with `v2`, which is picked always, and `v1`, which is only for those whom `v2` fails.
fn route(uri: &str, v2: &Value, v1: &Value, on_failure: &Value) -> Value {
    let rule = json!({
        "weighted_upstreams": [
            {"name": "v2", "weight": 1, "upstream": v2, "rewrite": {"uri": "/v2/chat"}},
            {"name": "v1", "weight": 0, "upstream": v1, "rewrite": {"uri": "/v1/chat"}},
        ],
        "on_failure": on_failure,
    });
    json!({"uri": uri, "plugins": {"traffic-split": {"rules": [rule]}}})
}

/// A document with one such route for every path.
fn versions(v2: &Value, v1: &Value, on_failure: &Value) -> String {
    routes(&[route("/*", v2, v1, on_failure)])
}

/// A path for each number.
fn path(number: usize) -> String {
    format!("/{number}")
}

/// Checks that `v1` served what `v2` was picked for, and says so.
#[track_caller]
fn check_served_by_v1(answer: &Answer, what: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (200, "of v1"), "{what}");
    assert_eq!(answer.branch().as_deref(), Some("v1"), "{what}");
    assert_eq!(answer.header("x-splitway-picked").as_deref(), Some("v2"), "{what}");
    assert_eq!(answer.header("x-splitway-attempts").as_deref(), Some("2"), "{what}");
}

/// Checks that `v2` had the last word, and that nothing else was tried.
#[track_caller]
fn check_left_to_v2(answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    assert_eq!(answer.branch().as_deref(), Some("v2"), "{what}");
    assert_eq!(answer.header("x-splitway-picked"), None, "{what}");
    assert_eq!(answer.header("x-splitway-attempts"), None, "{what}");
}

/// Ways to fail: the words that stand for each, what the upstream does, and the status that the client
/// gets if nothing is done about it.
fn failures() -> Vec<(&'static str, Value, Act, u16)> {
    let status = |status: u16| Reply::status(status).body("failed").into();
    vec![
        ("a 500", json!(["5xx"]), status(500), 500),
        ("a 503", json!(["5xx"]), status(503), 503),
        ("a 429", json!(["429"]), status(429), 429),
        ("a status by its number", json!([418]), status(418), 418),
        ("closed before a head", json!(["reset"]), Act::Close, 502),
        ("no HTTP", json!(["reset"]), Act::Garbage(b"220 mail\r\n\r\n".to_vec()), 502),
        ("no head in time", json!(["timeout"]), Act::Silence, 504),
        ("a stream without events", json!(["empty"]), events::none().into(), 200),
        ("comments only", json!(["empty"]), events::comments_only().into(), 200),
        ("an error first", json!(["first_event_error"]), events::first_is_error().into(), 200),
    ]
}

/// Starts with a route for each way to fail, and what `on_failure` makes of the words for it; returns the
/// upstreams that fail.
fn start_failing(
    target: &mut impl Target,
    v1: &Origin,
    on_failure: impl Fn(&Value) -> Value,
) -> Vec<Origin> {
    let failing: Vec<Origin> =
        failures().into_iter().map(|(_, _, act, _)| target.origin(act)).collect();
    let list = failures().into_iter().zip(&failing).enumerate().map(|(number, (failure, v2))| {
        route(&path(number), &impatient(v2), &upstream(v1), &on_failure(&failure.1))
    });
    target.start(&routes(&list.collect::<Vec<_>>()));
    failing
}

/// Each word of `when` sends on what it stands for.
pub(crate) fn each_word_sends_on_what_it_stands_for(target: &mut impl Target) {
    let v1 = target.origin(Reply::ok("of v1"));
    let _failing = start_failing(target, &v1, |words| json!({"to": "v1", "when": words}));
    for (number, (what, ..)) in failures().into_iter().enumerate() {
        check_served_by_v1(&target.call(&Call::get(&path(number))), what);
    }
    let requests = v1.requests();
    assert!(requests.iter().all(|request| request.target == "/v1/chat"), "{requests:?}");
}

/// Where nothing is said all words are meant.
pub(crate) fn all_words_are_meant_where_none_is_said(target: &mut impl Target) {
    let v1 = target.origin(Reply::ok("of v1"));
    let _failing = start_failing(target, &v1, |_| json!({"to": "v1"}));
    for (number, (what, _, _, status)) in failures().into_iter().enumerate() {
        let answer = target.call(&Call::get(&path(number)));
        match status {
            // Below 500 there is a word for 429 only.
            418 => check_left_to_v2(&answer, 418, what),
            _ => check_served_by_v1(&answer, what),
        }
    }
}

/// No word sends on what it does not stand for.
pub(crate) fn no_word_sends_on_anything_else(target: &mut impl Target) {
    let v1 = target.origin(Reply::ok("of v1"));
    let all =
        json!(["5xx", "429", 418, "connect", "reset", "timeout", "empty", "first_event_error"]);
    let others = |words: &Value| {
        let all = all.as_array().unwrap().iter();
        all.filter(|word| **word != words[0]).cloned().collect::<Vec<_>>()
    };
    let failing = start_failing(target, &v1, |words| json!({"to": "v1", "when": others(words)}));
    for (number, (what, _, _, status)) in failures().into_iter().enumerate() {
        check_left_to_v2(&target.call(&Call::get(&path(number))), status, what);
        assert_eq!(failing[number].count(), 1, "{what}");
    }
    assert_eq!(v1.count(), 0);
}

/// A connection that is refused has a word of its own; nothing of a request was sent, so that even one
/// that must not be sent twice goes on.
pub(crate) fn whatever_was_never_sent_goes_on(target: &mut impl Target) {
    let refusing = target.refusing_origin();
    let v1 = target.origin(Reply::ok("of v1"));
    let on_failure = json!({"to": "v1", "when": ["connect"]});
    target.start(&versions(&upstream(&refusing), &upstream(&v1), &on_failure));
    check_served_by_v1(&target.call(&Call::post("/chat", "a body")), "refused");
}

/// A refused connection sends on, whatever an environment can tell of it.
pub(crate) fn a_refused_connection_goes_on(target: &mut impl Target) {
    let refusing = target.refusing_origin();
    let v1 = target.origin(Reply::ok("of v1"));
    target.start(&versions(&upstream(&refusing), &upstream(&v1), &json!({"to": "v1"})));
    for _ in 0..3 {
        check_served_by_v1(&target.call(&Call::get("/chat")), "refused");
    }
}

/// What the other branch gets is made of the request as it came, and not of what the first one made.
pub(crate) fn the_other_branch_rewrites_what_the_client_sent(target: &mut impl Target) {
    let v2 = target.origin(Reply::status(503).body("no"));
    let v1 = target.origin(Reply::ok("of v1"));
    let branch = |name: &str, weight: u32, origin: &Origin| {
        json!({
            "name": name,
            "weight": weight,
            "upstream": upstream(origin),
            "rewrite": {"uri": format!("/{name}/chat"), "body": {"model": name, name: true}},
            "headers": {"set": {"x-version": name, format!("x-{name}"): "1"}},
            "response_headers": {"add": {"x-from": name}},
        })
    };
    let list = [branch("v2", 1, &v2), branch("v1", 0, &v1)];
    let rule = json!({"weighted_upstreams": list, "on_failure": {"to": "v1"}});
    target.start(&split(&[rule]));

    let sent = r#"{"model":"any","n":1.0}"#;
    let call = Call::post("/chat?a=1", sent).header("Content-Type", "application/json");
    for call in [call.clone(), call.in_chunks()] {
        let answer = target.call(&call);
        check_served_by_v1(&answer, "a merged body");
        assert_eq!(answer.headers.all("x-from"), [b"v1".as_slice()]);
        for (origin, name) in [(&v2, "v2"), (&v1, "v1")] {
            let request = origin.requests().pop().unwrap();
            assert_eq!(request.target, format!("/{name}/chat?a=1"));
            assert_eq!(request.header("x-version").as_deref(), Some(name));
            let body = format!(r#"{{"model":"{name}","n":1.0,"{name}":true}}"#);
            assert_eq!(String::from_utf8_lossy(&request.body), body);
            assert!(request.complete);
        }
        assert_eq!(v1.requests().pop().unwrap().header("x-v2"), None);
    }
}

/// The body that goes to the other branch is the client's, byte for byte.
pub(crate) fn bodies_go_on_byte_for_byte(target: &mut impl Target) {
    let v2 = target.origin(Reply::status(503).body("no"));
    let v1 = target.origin(Reply::ok("of v1"));
    target.start(&versions(&upstream(&v2), &upstream(&v1), &json!({"to": "v1"})));

    let all_bytes: Vec<u8> = (0..=255).cycle().take(60_000).collect();
    for body in [all_bytes, b"a".to_vec(), Vec::new()] {
        check_served_by_v1(&target.call(&Call::post("/chat", body.clone())), "a body");
        for origin in [&v2, &v1] {
            let request = origin.requests().pop().unwrap();
            assert!(request.body == body, "{} bytes of {}", request.body.len(), body.len());
            assert!(request.complete);
        }
    }
}

/// A body that is too long to be kept is sent once, whatever comes of it.
pub(crate) fn a_body_too_long_to_be_kept_is_sent_once(target: &mut impl Target) {
    let v2 = target.origin(Reply::status(503).body("no"));
    let v1 = target.origin(Reply::ok("of v1"));
    target.start(&versions(&upstream(&v2), &upstream(&v1), &json!({"to": "v1"})));

    let long = Call::post("/chat", vec![b'x'; 200_000]);
    // How long a body in chunks gets is not known before it is there.
    for call in [long, Call::post("/chat", "a body").in_chunks()] {
        check_left_to_v2(&target.call(&call), 503, "a body that is not kept");
    }
    assert_eq!(v1.count(), 0);
}

/// After a failure that tells nothing of what became of it, a request is sent again only if to execute
/// it twice is as good as once.
pub(crate) fn nothing_is_executed_twice_that_must_not_be(target: &mut impl Target) {
    let v1 = target.origin(Reply::ok("of v1"));
    let closing = target.origin(Act::Close);
    let silent = target.origin(Act::Silence);
    let unavailable = target.origin(Reply::status(503).body("no"));
    let (to_v1, v1_upstream) = (json!({"to": "v1"}), upstream(&v1));
    let allowed = json!({"to": "v1", "non_idempotent": true});
    target.start(&routes(&[
        route("/closed", &impatient(&closing), &v1_upstream, &to_v1),
        route("/silent", &impatient(&silent), &v1_upstream, &to_v1),
        route("/answers", &upstream(&unavailable), &v1_upstream, &to_v1),
        route("/allowed", &upstream(&closing), &v1_upstream, &allowed),
    ]));
    let body = |call: Call| call.body("a body");
    for (path, status) in [("/closed", 502), ("/silent", 504)] {
        let before = v1.count();
        for method in ["POST", "PATCH"] {
            let call = body(Call::new(method, path));
            check_left_to_v2(&target.call(&call), status, path);
        }
        assert_eq!(v1.count(), before, "{path}");
        let keyed = body(Call::new("POST", path)).header("Idempotency-Key", "\"8e03978e\"");
        for call in [keyed, body(Call::new("PUT", path)), Call::get(path)] {
            check_served_by_v1(&target.call(&call), path);
        }
    }
    // Of these the upstream says itself that it failed, or whoever knows better says that it may be.
    for path in ["/answers", "/allowed"] {
        check_served_by_v1(&target.call(&body(Call::new("POST", path))), path);
    }
}

/// So many other branches are tried as `attempts` says, each at most once.
pub(crate) fn so_many_branches_are_tried_as_are_to_be(target: &mut impl Target) {
    let failing: Vec<Origin> =
        (0..3).map(|_| target.origin(Reply::status(503).body("no"))).collect();
    let list: Vec<Value> = (1..).zip(&failing).map(|(number, origin)| {
        json!({"name": format!("b{number}"), "weight": 1, "upstream": upstream(origin)})
    }).collect();
    let split = |attempts: u32| {
        let rule = json!({"weighted_upstreams": list, "on_failure": {"attempts": attempts}});
        let plugins = json!({"traffic-split": {"rules": [rule]}});
        json!({"id": attempts, "uri": format!("/{attempts}"), "plugins": plugins})
    };
    target.start(&routes(&[1, 2, 3, 20].map(split)));
    for (attempts, tried) in [(1, 2), (2, 3), (3, 3), (20, 3)] {
        let before: usize = failing.iter().map(Origin::count).sum();
        let answer = target.call(&Call::get(&format!("/{attempts}")));
        assert_eq!(answer.status, 503, "{attempts}");
        assert_eq!(answer.header("x-splitway-attempts"), Some(tried.to_string()), "{attempts}");
        let after: usize = failing.iter().map(Origin::count).sum();
        assert_eq!(after - before, tried, "{attempts}");
    }
}

/// `others` never means a branch without weight.
pub(crate) fn others_are_those_with_a_weight(target: &mut impl Target) {
    let failing = target.origin(Reply::status(503).body("no"));
    let idle = target.origin(Reply::ok(""));
    target.start(&split(&[json!({
        "weighted_upstreams": [
            {"name": "all", "weight": 1, "upstream": upstream(&failing)},
            {"name": "idle", "weight": 0, "upstream": upstream(&idle)},
        ],
        "on_failure": {},
    })]));
    let answer = target.call(&Call::get("/x"));
    assert_eq!((answer.status, answer.branch().as_deref()), (503, Some("all")));
    assert_eq!(idle.count(), 0);
}

/// Whoever asks for a branch by name gets that one, failures and all.
pub(crate) fn a_branch_that_was_asked_for_by_name_has_the_last_word(target: &mut impl Target) {
    let v2 = target.origin(Reply::status(503).body("no"));
    let v1 = target.origin(Reply::ok("of v1"));
    target.start(&split(&[json!({
        "weighted_upstreams": [
            {"name": "v2", "weight": 1, "upstream": upstream(&v2)},
            {"name": "v1", "weight": 1, "upstream": upstream(&v1)},
        ],
        "on_failure": {"to": "v1"},
        "override": {"header": "x-branch", "addresses": ["127.0.0.1"]},
    })]));
    let answer = target.call(&Call::get("/x").header("X-Branch", "v2"));
    check_left_to_v2(&answer, 503, "by name");
    assert_eq!(v1.count(), 0);
}

/// A stream whose beginning was looked at arrives whole, whatever it begins with.
pub(crate) fn a_stream_that_was_looked_into_arrives_whole(target: &mut impl Target) {
    let v1 = target.origin(Reply::ok("of v1"));
    let long = format!("data: {}\n\n", "x".repeat(100_000));
    let comments = [events::COMMENT, events::COMMENT, events::DELTA];
    let error_later = [events::DELTA, events::ERROR];
    let whole = [events::DELTA, events::DELTA, events::DONE].concat();
    let table = [
        ("events", events::whole(), whole.clone()),
        ("comments first", events::stream(&comments, []), comments.concat()),
        ("byte by byte", events::whole().drip(Duration::from_millis(1)), whole),
        ("a long event", events::stream(&[&long, events::DONE], []), long.clone() + events::DONE),
        ("an error later", events::stream(&error_later, []), error_later.concat()),
    ];
    let origins: Vec<Origin> =
        table.iter().map(|(_, reply, _)| target.origin(reply.clone())).collect();
    let list = origins.iter().enumerate().map(|(number, v2)| {
        route(&path(number), &upstream(v2), &upstream(&v1), &json!({"to": "v1"}))
    });
    target.start(&routes(&list.collect::<Vec<_>>()));
    for (number, (what, _, expected)) in table.into_iter().enumerate() {
        let answer = target.call(&Call::post(&path(number), r#"{"stream":true}"#));
        check_left_to_v2(&answer, 200, what);
        assert_eq!((answer.text(), answer.complete), (expected, true), "{what}");
    }
    assert_eq!(v1.count(), 0);
}

/// The first event is with the client before the second is there, though it was looked at.
pub(crate) fn a_stream_that_was_looked_into_flows(target: &mut impl Target) {
    let gate = Gate::default();
    let rest = [Piece::Wait(gate.clone()), Piece::Send(events::DONE.into())];
    let v2 = target.origin(events::stream(&[events::COMMENT, events::DELTA], rest));
    let v1 = target.origin(Reply::ok("of v1"));
    target.start(&versions(&upstream(&v2), &upstream(&v1), &json!({"to": "v1"})));

    let mut connection = target.dial();
    connection.send(&Call::post("/chat", r#"{"stream":true}"#));
    assert_eq!(connection.start().status, 200);
    connection.expect_bytes([events::COMMENT, events::DELTA].concat().as_bytes());
    gate.open();
    connection.expect_bytes(events::DONE.as_bytes());
    assert_eq!(connection.chunk(), None);
}

/// A response that is not relayed is not read to its end either: its upstream is let go.
pub(crate) fn a_response_that_is_given_up_is_ended(target: &mut impl Target) {
    let endless = [Piece::RepeatUntilGone(b"again ".repeat(1000))];
    let failing = target.origin(Reply::status(503).pieces(endless));
    let stalling = [Piece::Send(events::ERROR.into()), Piece::WaitUntilGone];
    let erring = target.origin(events::stream(&[], stalling));
    let silent = target.origin(events::then_stall(&[events::COMMENT]));
    let v1 = target.origin(Reply::ok("of v1"));
    let (v1_upstream, to_v1) = (upstream(&v1), json!({"to": "v1"}));
    let list = [("/endless", &failing), ("/error", &erring), ("/no-event", &silent)];
    let to = |(uri, v2): (&str, &Origin)| route(uri, &impatient(v2), &v1_upstream, &to_v1);
    target.start(&routes(&list.map(to)));
    for (path, v2) in list {
        check_served_by_v1(&target.call(&Call::get(path)), path);
        v2.wait_until(path, |requests| requests.len() == 1 && requests[0].gone);
    }
}

/// An upstream with two nodes, asked one after the other, and more about it.
fn two_nodes(first: &Origin, second: &Origin, more: &Value) -> String {
    let node = |origin: &Origin| json!({"host": "127.0.0.1", "port": origin.port(), "weight": 1});
    let mut upstream = json!({"nodes": [node(first), node(second)], "pass_host": "node"});
    upstream.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    routes(&[json!({"id": "r", "uri": "/*", "upstream": upstream})])
}

/// What one node fails is asked of another, and the answer says how often it was asked.
pub(crate) fn another_node_is_asked(target: &mut impl Target) {
    for (what, act) in [("closed", Act::Close), ("no HTTP", Act::Garbage(b"?\r\n\r\n".to_vec()))] {
        let (bad, good) = (target.origin(act), target.origin(Reply::ok("good")));
        target.start(&two_nodes(&bad, &good, &json!({})));
        let mut attempts = Vec::new();
        for _ in 0..6 {
            let answer = target.call(&Call::get("/x"));
            assert_eq!((answer.status, answer.text().as_str()), (200, "good"), "{what}");
            attempts.extend(answer.header("x-splitway-attempts"));
        }
        assert_eq!(good.count(), 6, "{what}");
        assert!(bad.count() >= 3, "{what}: it is asked in its turn");
        assert_eq!(attempts, vec!["2"; bad.count()], "{what}");
        // These may have been executed.
        let before = good.count();
        let posts: Vec<_> = (0..4).map(|_| target.call(&Call::post("/x", "a body"))).collect();
        let answered = posts.iter().filter(|answer| answer.status == 200).count();
        assert!(posts.iter().all(|answer| answer.header("x-splitway-attempts").is_none()));
        assert_eq!(good.count() - before, answered, "{what}");
        assert!((1..4).contains(&answered), "{what}: {answered}");
    }
}

/// Statuses are answers, unless the document says that they are failures.
pub(crate) fn statuses_are_retried_where_it_is_said(target: &mut impl Target) {
    for (when, expected) in [(json!(["5xx"]), 200), (json!([503]), 200), (json!(["reset"]), 503)] {
        let bad = target.origin(Reply::status(503).body("no"));
        let good = target.origin(Reply::ok("good"));
        target.start(&two_nodes(&bad, &good, &json!({"retry": {"when": when}})));
        let statuses = (0..4).map(|_| target.call(&Call::post("/x", "a body")).status);
        assert_eq!(statuses.max(), Some(expected), "{when}");
    }
}

/// An upstream of one node that is asked again after it answered 503.
fn one_node(origin: &Origin, more: &Value) -> String {
    let mut upstream = upstream(origin);
    upstream["retries"] = json!(1);
    upstream["retry"] = json!({"when": [503], "backoff": {"base": 0.0, "max": 2.0}});
    let retry = upstream["retry"].as_object_mut().unwrap();
    retry.extend(more.as_object().unwrap().clone());
    routes(&[json!({"id": "r", "uri": "/*", "upstream": upstream})])
}

/// An upstream that asks for time has it, if that is not too long for the client.
pub(crate) fn an_upstream_that_asks_for_time_has_it(target: &mut impl Target) {
    let busy = |secs: &str| Act::from(Reply::status(503).header("Retry-After", secs).body("busy"));
    let origin = target.origin(Script::in_turn([busy("1")], Reply::ok("rested")));
    target.start(&one_node(&origin, &json!({})));
    let begin = target.time();
    let answer = target.call(&Call::get("/x"));
    let waited = target.time() - begin;
    assert_eq!((answer.status, answer.text().as_str()), (200, "rested"));
    assert_eq!(answer.header("x-splitway-attempts").as_deref(), Some("2"));
    assert!(waited >= Duration::from_secs(1), "{waited:?}");

    let origin = target.origin(Script::in_turn([busy("30")], Reply::ok("rested")));
    target.start(&one_node(&origin, &json!({})));
    let begin = target.time();
    let answer = target.call(&Call::get("/x"));
    let waited = target.time() - begin;
    assert_eq!((answer.status, answer.text().as_str()), (503, "busy"));
    assert_eq!(answer.header("retry-after").as_deref(), Some("30"));
    assert_eq!(origin.count(), 1);
    assert!(waited < Duration::from_secs(10), "{waited:?}");
}

/// Where everything fails, retries add no more than their budget.
pub(crate) fn retries_have_a_budget(target: &mut impl Target) {
    let origin = target.origin(Reply::status(503).body("no"));
    target.start(&one_node(&origin, &json!({"budget": {"percent": 0, "burst": 3}})));
    for _ in 0..10 {
        assert_eq!(target.call(&Call::get("/x")).status, 503);
    }
    assert_eq!(origin.count(), 10 + 3);
}

/// A node that refuses connections costs no request, however many there are: that somebody is not there adds
/// nothing to what the others have to bear, and takes no budget.
pub(crate) fn a_node_that_is_not_there_costs_no_request(target: &mut impl Target) {
    let (gone, good) = (target.refusing_origin(), target.origin(Reply::ok("good")));
    target.start(&two_nodes(&gone, &good, &json!({"retry": {"backoff": {"base": 0.0}}})));
    for number in 0..60 {
        let answer = target.call(&Call::post("/x", "a body"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "good"), "call {number}");
    }
    assert_eq!(good.count(), 60);
}

/// What answers HEAD has no events, and is no empty stream.
pub(crate) fn the_answer_to_head_is_no_empty_stream(target: &mut impl Target) {
    let v2 = target.origin(events::whole());
    let v1 = target.origin(Reply::ok("of v1"));
    target.start(&versions(&upstream(&v2), &upstream(&v1), &json!({"to": "v1"})));
    for _ in 0..3 {
        check_left_to_v2(&target.call(&Call::new("HEAD", "/x")), 200, "HEAD");
    }
    assert_eq!((v2.count(), v1.count()), (3, 0));
}

/// A stream that breaks off before its first event is as good as an empty one: the request was answered, and
/// goes on whatever its method.
pub(crate) fn a_stream_that_breaks_off_before_its_first_event_goes_on(target: &mut impl Target) {
    let half = events::DELTA.trim_end();
    let streams = [
        ("at once", events::then_cut(&[])),
        ("behind a comment", events::then_cut(&[events::COMMENT])),
        ("within the first event", events::then_cut(&[half])),
        ("reset", events::then_reset(&[])),
    ];
    let v1 = target.origin(Reply::ok("of v1"));
    let v2s: Vec<Origin> = streams.iter().map(|(_, it)| target.origin(it.clone())).collect();
    let list = v2s.iter().enumerate().map(|(number, v2)| {
        route(&path(number), &upstream(v2), &upstream(&v1), &json!({"to": "v1"}))
    });
    target.start(&routes(&list.collect::<Vec<_>>()));
    for (number, (what, _)) in streams.iter().enumerate() {
        let answer = target.call(&Call::post(&path(number), r#"{"stream":true}"#));
        check_served_by_v1(&answer, what);
    }
    assert!(v2s.iter().all(|v2| v2.count() == 1));
}
