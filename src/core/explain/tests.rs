use std::borrow::Cow;

use serde_json::{Value, json};

use super::*;
use crate::fault::{Fault, Report};
use crate::seal::{Secret, token};
use crate::snapshot::compile_json;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_795_348_800_000);
const LATER: Timestamp = Timestamp::from_millis(1_795_352_400_000);
const CHAT: &str = "https://api.example.com/chat?a=1";

fn secret() -> Secret {
    Secret::new("a secret for tests").expect("long enough")
}

fn compile(document: &Value) -> Snapshot {
    let mut report = Report::default();
    let snapshot = compile_json(&document.to_string(), 0, &mut report);
    snapshot.unwrap_or_else(|| panic!("{report:?}"))
}

fn question(value: &Value) -> Question {
    let mut report = Report::default();
    Question::read(value, &mut report).unwrap_or_else(|| panic!("{:?}", report.faults))
}

fn told(document: &Value, value: &Value) -> Explanation {
    question(value).explain(&compile(document), Some(&secret()), NOW)
}

/// Routes, the first 1 of which have the id `r0`.
fn routes(list: &[Value]) -> Value {
    let with_id = |(number, route): (usize, &Value)| {
        let mut route = route.clone();
        route["id"] = format!("r{number}").into();
        if route.get("upstream").is_none() && route.get("bare").is_none() {
            route["upstream"] = "http://own.test".into();
        }
        route.as_object_mut().expect("an object").remove("bare");
        route
    };
    json!({"routes": list.iter().enumerate().map(with_id).collect::<Vec<_>>()})
}

/// One route at any path with these rules.
fn split(rules: &Value) -> Value {
    routes(&[json!({"uri": "/*", "plugins": {"traffic-split": {"rules": rules}}})])
}

/// Two branches and what else a rule says.
fn rule(more: Value) -> Value {
    let mut rule = json!({"weighted_upstreams": [
        {"name": "v1", "weight": 3, "rewrite": {"uri": "/v1"}},
        {"name": "v2", "weight": 1, "rewrite": {"uri": "/v2"}},
        {"name": "off", "weight": 0, "rewrite": {"uri": "/off"}},
    ]});
    let members = rule.as_object_mut().expect("an object");
    let Value::Object(more) = more else { panic!("an object") };
    members.extend(more);
    rule
}

fn passed(list: &[PassedRoute]) -> Vec<(&str, &str)> {
    list.iter().map(|it| (&*it.route, &*it.why)).collect()
}

#[test]
fn routes_that_are_passed_over_are_told_with_their_reasons() {
    let document = routes(&[
        json!({"uri": "/chat", "priority": 4, "methods": ["POST", "PUT"]}),
        json!({"uri": "/chat", "priority": 3, "remote_addrs": ["10.0.0.0/8", "::1"]}),
        json!({"uri": "/chat", "priority": 2, "vars": [["arg_a", "==", "1"], ["http_x", "~~", "^y"]]}),
        json!({"uri": "/chat", "priority": 1, "vars": ["!OR", ["arg_a", ">", 0], ["arg_b", "==", "2"]]}),
        json!({"uri": "/chat"}),
    ]);
    let asked = json!({"url": CHAT, "headers": {"X": "no"}, "client": "192.0.2.7"});
    let told = told(&document, &asked);
    assert_eq!(told.route.as_deref(), Some("r4"));
    assert_eq!(
        passed(&told.passed_over),
        [
            ("r0", "its methods are POST, PUT"),
            ("r1", "the client 192.0.2.7 is not in 10.0.0.0/8, ::1/128"),
            ("r2", "its `vars` do not hold: http_x ~~ \"^y\": it is \"no\""),
            ("r3", "its `vars` do not hold: arg_a > 0 holds and must not: it is \"1\""),
        ]
    );
    assert_eq!(told.not_asked, []);
    assert_eq!((told.rule, told.problem), (None, None));
}

/// Where hosts are a condition, and where they come first.
#[test]
fn hosts_are_told_of_by_either_router() {
    let mut document = routes(&[
        json!({"uri": "/chat", "hosts": ["a.test", "*.b.test"]}),
        json!({"uri": "/*", "host": "api.example.com"}),
    ]);
    let others = "its hosts are a.test, *.b.test";
    assert_eq!(passed(&told(&document, &json!({"url": CHAT})).not_asked), [("r0", others)]);
    document["settings"] = json!({"router": "radixtree_uri"});
    assert_eq!(passed(&told(&document, &json!({"url": CHAT})).passed_over), [("r0", others)]);
}

#[test]
fn routes_that_are_not_asked_are_told_of_nearest_first() {
    let document = routes(&[
        json!({"uris": ["/a", "/b/*"]}),
        json!({"uri": "/chat", "status": 0}),
        json!({"uri": "/*"}),
        json!({"uri": "/chat", "host": "other.test"}),
        json!({"uri": "/chat"}),
        json!({"uri": "/other"}),
    ]);
    let explained = told(&document, &json!({"url": CHAT}));
    assert_eq!(explained.route.as_deref(), Some("r4"));
    let not_asked = passed(&explained.not_asked);
    let off = ("r1", "it is switched off");
    let all = [
        ("r2", "it comes behind the one that takes the request"),
        ("r3", "its host is other.test"),
        off,
        ("r0", "its paths are /a, /b/*"),
        ("r5", "its path is /other"),
    ];
    // Whether one that is switched off is kept at all is not decided here.
    let all: Vec<_> = all.into_iter().filter(|it| *it != off || not_asked.contains(&off)).collect();
    assert_eq!(not_asked, all);
    let many: Vec<Value> = (0..50).map(|number| json!({"uri": format!("/r{number}")})).collect();
    let explained = told(&routes(&many), &json!({"url": CHAT}));
    assert_eq!((explained.not_asked.len(), explained.not_asked_more), (20, 30));
    let many: Vec<Value> = (0..150).map(|_| json!({"uri": "/chat", "methods": ["PUT"]})).collect();
    let explained = told(&routes(&many), &json!({"url": CHAT}));
    assert_eq!((explained.passed_over.len(), explained.passed_over_more), (100, 50));
    let refused = explained.problem.expect("no route");
    assert_eq!((refused.status, &*refused.error), (404, "destination_not_found"));
    assert_eq!((explained.route, explained.request), (None, None));
}

#[test]
fn a_route_that_is_asked_at_several_paths_is_told_of_once() {
    let document = routes(&[
        json!({"uris": ["/chat", "/ch*", "/*"], "methods": ["PUT"]}),
        json!({"uri": "/c*"}),
    ]);
    let told = told(&document, &json!({"url": CHAT}));
    assert_eq!(passed(&told.passed_over), [("r0", "its method is PUT")]);
    assert_eq!(told.not_asked, []);
}

#[test]
fn what_is_told_of_a_long_header_is_short() {
    let document = routes(&[json!({"uri": "/chat", "vars": [["http_x", "==", "y"]]})]);
    let explained = told(&document, &json!({"url": CHAT, "headers": {"x": "é".repeat(9000)}}));
    assert_eq!(explained.passed_over[0].why.chars().count(), 513);
}

#[test]
fn rules_that_are_passed_over_are_told_with_their_reasons() {
    let one = json!([{"vars": [["arg_a", "==", "2"]]}, {"vars": [["arg_b", "has", "x"]]}]);
    let two = json!([{"vars": [["arg_a", "==", "1"]]}]);
    let document = split(&json!([rule(json!({"match": one})), rule(json!({"match": two}))]));
    let explained = told(&document, &json!({"url": CHAT}));
    let why = "arg_a == \"2\": it is \"1\"; and arg_b has \"x\": it is absent".to_owned();
    assert_eq!(explained.rules_passed_over, [PassedRule { rule: 0, why }]);
    assert_eq!(explained.rule, Some(1));
    let own = told(&document, &json!({"url": "/chat?a=3"}));
    assert_eq!((own.rules_passed_over.len(), own.rule), (2, None));
    let pick = own.pick.expect("the route's own upstream");
    let (branch, whole) = ("route".to_owned(), Share { name: "route".to_owned(), weight: 1 });
    assert_eq!((pick.branch, pick.by, pick.branches), (branch, By::Whole, vec![whole]));
}

#[test]
fn rules_of_a_plugin_that_does_not_act_are_passed_over() {
    let mut document = split(&json!([rule(json!({}))]));
    document["routes"][0]["plugins"]["traffic-split"]["_meta"] =
        json!({"filter": [["http_x", "==", "y"]]});
    let explained = told(&document, &json!({"url": CHAT}));
    let why = "the `_meta.filter` of its plugin does not hold: http_x == \"y\": it is absent";
    assert_eq!(explained.rules_passed_over, [PassedRule { rule: 0, why: why.to_owned() }]);
    assert_eq!(told(&document, &json!({"url": CHAT, "headers": {"x": "y"}})).rule, Some(0));
}

#[test]
fn a_turn_is_told_and_not_taken() {
    let snapshot = compile(&split(&json!([rule(json!({}))])));
    let asked = question(&json!({"url": CHAT}));
    let (head, body) = asked.parts();
    let mut picked = Vec::new();
    for step in 0..8 {
        let pick = || asked.explain(&snapshot, None, NOW).pick.expect("a branch");
        for _ in 0..10 {
            assert_eq!(pick(), pick());
        }
        let Pick { branch, by, point, .. } = pick();
        assert_eq!((by, point), (By::Turn, Some(format!("step {} of 4", step % 4))));
        let inquiry = Inquiry { snapshot: Some(&snapshot), head };
        let mut exchange =
            Exchange::decide(&mut Visit::default(), inquiry, Means::NONE, Body::Whole(body))
                .expect("sent");
        assert_eq!(exchange.branch(), Some(&*branch));
        drop(exchange.attempt(head, Body::Unread, Means::NONE));
        picked.push(branch);
    }
    assert_eq!(picked.iter().filter(|branch| *branch == "v2").count(), 2);
}

#[test]
fn what_follows_a_failure_is_told() {
    let pick = |extra: Value, upstream: Value| {
        let mut document = split(&json!([rule(extra)]));
        document["upstreams"] = json!([]);
        for route in document["routes"].as_array_mut().into_iter().flatten() {
            route["upstream"] = upstream.clone();
            route.as_object_mut().expect("a route").remove("upstream_id");
        }
        told(&document, &json!({"url": CHAT})).pick.expect("a branch")
    };
    let told = pick(
        json!({"on_failure": {}}),
        json!({"type": "least_conn", "nodes": {"a": 1, "b": 1, "c": 1}}),
    );
    assert_eq!((told.upstream_type.as_deref(), told.retries), (Some("least_conn"), 2));
    assert_eq!(told.on_failure.as_deref(), Some("others"));
    let told = pick(json!({"on_failure": {"to": "v2"}}), json!({"nodes": {"a": 1}}));
    assert_eq!(
        (told.upstream_type, told.retries, told.on_failure.as_deref()),
        (None, 0, Some("v2"))
    );
    let plain = pick(json!({}), json!({"nodes": {"a": 1}}));
    let written = serde_json::to_value(&plain).expect("JSON");
    for key in ["upstream_type", "retries", "on_failure"] {
        assert_eq!(written.get(key), None);
    }
}

#[test]
fn a_key_is_told_with_its_place_and_its_point() {
    let document = split(&json!([rule(json!({"sticky": {"by": ["header:X-User", "arg:a"]}}))]));
    let pick = |headers: Value| {
        told(&document, &json!({"url": CHAT, "headers": headers})).pick.expect("a branch")
    };
    let by_header = pick(json!({"x-user": "u-17"}));
    assert_eq!(by_header.by, By::Key);
    let found = (by_header.found_in.as_deref(), by_header.key.as_deref());
    assert_eq!(found, (Some("header:X-User"), Some("u-17")));
    let point = by_header.point.expect("a point");
    assert!(point.len() == 32 && point.bytes().all(|b| b.is_ascii_hexdigit()), "{point}");
    let by_argument = pick(json!({}));
    assert_eq!(by_argument.found_in.as_deref(), Some("arg:a"));
    assert_ne!(by_argument.point, Some(point));
    let document = split(&json!([rule(json!({"sticky": {"by": ["header:X-User"]}}))]));
    assert_eq!(told(&document, &json!({"url": CHAT})).pick.expect("a branch").by, By::Turn);
}

#[test]
fn a_cookie_that_would_be_issued_is_told() {
    let document = split(&json!([rule(json!({"sticky": {"cookie": {"name": "who"}}}))]));
    let asked = json!({"url": CHAT});
    let explained = told(&document, &asked);
    let pick = explained.pick.as_ref().expect("a branch");
    assert_eq!((pick.by, pick.point.as_ref(), pick.key.as_ref()), (By::Issued, None, None));
    let response = explained.response_headers.as_ref().expect("a response");
    let (name, cookie) = response.add.first().expect("a cookie");
    assert_eq!(name, "set-cookie");
    assert_eq!(told(&document, &asked), explained, "the same question has the same answer");
    let value = cookie.split(';').next().expect("a value");
    let again = told(&document, &json!({"url": CHAT, "headers": {"cookie": value}}));
    let again = again.pick.expect("a branch");
    let found = (again.by, again.branch, again.found_in.as_deref());
    assert_eq!(found, (By::Key, pick.branch.clone(), Some("who")));
    let unsigned = question(&asked).explain(&compile(&document), None, NOW);
    assert_eq!(unsigned.pick.expect("a branch").by, By::Turn);
}

#[test]
fn an_override_is_taken_or_denied_for_a_reason() {
    let by = json!({"override": {"tokens": true, "addresses": ["10.0.0.0/8"]}});
    let document = split(&json!([rule(by)]));
    let pick = |text: &str, client: &str, at: Value| {
        let headers = json!({"x-splitway-branch": text});
        let asked = json!({"url": CHAT, "headers": headers, "client": client, "at": at});
        let pick = told(&document, &asked).pick.expect("a branch");
        (pick.branch, pick.by, pick.denied)
    };
    let near = |text: &str| pick(text, "10.1.2.3", Value::Null);
    let off = ("off".to_owned(), By::Override, None);
    assert_eq!(near("off"), off);
    let token = token(&secret(), "off", Some("r0"), LATER);
    assert_eq!(pick(&token, "192.0.2.7", Value::Null), off);
    let denied = |why: &str| ("v1".to_owned(), By::Turn, Some(why.to_owned()));
    assert_eq!(near("v9"), denied("there is no branch `v9` here"));
    let far = pick("off", "192.0.2.7", Value::Null);
    assert_eq!(far, denied("a bare name is not taken from this address"));
    let late = denied("the time of the token is over");
    assert_eq!(pick(&token, "192.0.2.7", json!(LATER.as_secs())), late);
    assert_eq!(pick(&token, "192.0.2.7", json!(LATER.to_string())), late);
    let headers = json!({"x-splitway-branch": token});
    let asked = question(&json!({"url": CHAT, "headers": headers}));
    let unchecked = asked.explain(&compile(&document), None, NOW).pick.expect("a branch");
    assert_eq!(unchecked.denied.as_deref(), Some("there is no secret to check tokens with"));
}

#[test]
fn what_is_not_sent_is_told_as_the_problem_it_would_be() {
    let problem = |document: &Value, asked: &Value| {
        let told = told(document, asked);
        assert_eq!((told.request, told.response_headers), (None, None));
        let problem = told.problem.expect("a problem");
        (told.route, problem.status, problem.title)
    };
    let title = |problem: Problem| problem.title().to_owned();
    let none = routes(&[]);
    let no_route = (None, 404, title(Problem::NoRoute));
    assert_eq!(problem(&none, &json!({"url": CHAT})), no_route);
    let not_here = (None, 405, title(Problem::MethodNotAllowed));
    assert_eq!(problem(&none, &json!({"url": CHAT, "method": "CONNECT"})), not_here);
    let unsound = json!({"url": CHAT, "headers": {"host": "a b"}});
    assert_eq!(problem(&none, &unsound), (None, 400, title(Problem::BadRequest)));
    let mut document =
        split(&json!([{"match": [{"vars": [["arg_a", "==", "2"]]}], "weighted_upstreams": [
            {"upstream": "http://a.test"}, {"upstream": "http://b.test"}]}]));
    document["routes"][0].as_object_mut().expect("an object").remove("upstream");
    let no_upstream = (Some("r0".to_owned()), 503, title(Problem::NoUpstream));
    assert_eq!(problem(&document, &json!({"url": CHAT})), no_upstream);
    let mut document = split(&json!([{"weighted_upstreams": [
        {"rewrite": {"body": {"model": "b"}}}, {"rewrite": {"uri": "/v2"}, "weight": 0}]}]));
    let asked = json!({"url": CHAT, "headers": {"content-type": "application/json"}, "body": "no"});
    let not_json = (Some("r0".to_owned()), 400, title(Problem::BodyNotJson));
    assert_eq!(problem(&document, &asked), not_json);
    document["settings"] = json!({"body_max": 4});
    let too_large = (Some("r0".to_owned()), 413, title(Problem::BodyTooLarge));
    assert_eq!(problem(&document, &json!({"url": CHAT, "body": {"model": "a"}})), too_large);
}

#[test]
fn a_body_is_read_only_where_something_looks_at_it() {
    let of_model = json!([{"vars": [["post_arg.model", "==", "gpt-4"]]}]);
    let mut document = split(&json!([rule(json!({"match": of_model}))]));
    let asked = json!({"url": CHAT, "body": {"model": "gpt-4"}});
    let explained = told(&document, &asked);
    assert_eq!((explained.reads_body, explained.rule), (true, Some(0)));
    assert_eq!(explained.request.expect("sent").body, None);
    let other = told(&document, &json!({"url": CHAT, "body": {"model": "gpt-5"}}));
    let why = "post_arg.model == \"gpt-4\": it is \"gpt-5\"".to_owned();
    assert_eq!(other.rules_passed_over, [PassedRule { rule: 0, why }]);
    // What does not say that it is JSON is not looked at.
    let text = json!({"url": CHAT, "body": "{\"model\": \"gpt-4\"}"});
    assert!(!told(&document, &text).reads_body);
    assert!(!told(&split(&json!([rule(json!({}))])), &asked).reads_body);
    document["settings"] = json!({"body_max": 4});
    let long = told(&document, &asked);
    assert_eq!((long.route, long.reads_body), (None, true));
    assert_eq!(long.problem.expect("too long").status, 413);
}

#[test]
fn the_request_is_told_as_it_would_be_sent() {
    let document = json!({"routes": [{
        "id": "chat", "uri": "/chat", "timeout": {"connect": 1, "send": 2, "read": 3},
        "upstream": "https://api.test:8443",
        "plugins": {"traffic-split": {"rules": [{"weighted_upstreams": [{
            "name": "v2",
            "rewrite": {"uri": "/v2/$arg_a", "method": "PUT", "body": {"model": "b", "user": null}},
            "headers": {"set": {"x-set": "1"}, "add": {"x-add": "2"}, "remove": ["x-gone"]},
            "response_headers": {"set": {"x-seen": "3"}},
        }, {"name": "v1", "weight": 0}]}]}},
    }]});
    let told = told(
        &document,
        &json!({
            "url": "https://gw.test/chat?a=1#top", "client": "192.0.2.7", "method": "POST",
            "headers": [["Connection", "close, x-hop"], ["X-Gone", "1"], ["x-gone", "2"]],
            "body": {"model": "a", "user": "u", "n": 1},
        }),
    );
    let request = told.request.expect("sent");
    assert_eq!(request.method, "PUT");
    assert_eq!(request.url, "https://api.test:8443/v2/1?a=1");
    assert_eq!((&*request.host, request.timeout_ms), ("api.test:8443", 6000));
    let body = request.body.expect("a merged body");
    assert_eq!(request.body_bytes, Some(body.len()));
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body, json!({"model": "b", "n": 1}));
    let Headers { remove, set, add } = request.headers;
    assert_eq!(remove, ["x-gone"]);
    assert_eq!(add, [("x-add".to_owned(), "2".to_owned())]);
    let set: Vec<String> = set.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(
        set,
        [
            "x-forwarded-for: 192.0.2.7",
            "x-forwarded-host: gw.test",
            "x-forwarded-port: 443",
            "x-forwarded-proto: https",
            "x-real-ip: 192.0.2.7",
            "x-set: 1",
        ]
    );
    let response = told.response_headers.expect("a response").set;
    let expected = [("x-seen", "3"), ("x-splitway-branch", "v2"), ("x-splitway-route", "chat")];
    for (name, value) in expected {
        assert_eq!(response.get(name).map(String::as_str), Some(value), "{response:?}");
    }
}

#[test]
fn an_explanation_is_read_as_it_was_written() {
    let document = split(&json!([rule(json!({"sticky": {"by": ["arg:a"], "cookie": {}}}))]));
    for asked in [json!({"url": CHAT}), json!({"url": "/"}), json!({"url": "*"})] {
        let told = told(&document, &asked);
        let written = serde_json::to_value(&told).expect("JSON");
        assert_eq!(serde_json::from_value::<Explanation>(written).expect("the same"), told);
    }
}

#[test]
fn questions_are_judged_as_strictly_as_documents() {
    let check = |value: Value, expected: &[&str]| {
        let mut report = Report::default();
        assert!(Question::read(&value, &mut report).is_none(), "{value}");
        let faults: Vec<String> = report.faults.iter().map(Fault::to_string).collect();
        assert_eq!(faults, expected, "{value}");
    };
    check(json!([]), &["(document): expected an object with at least `url`"]);
    check(json!({}), &["(document): `url` is missing"]);
    check(
        json!({"url": "api.example.com", "methd": "GET", "client": "here", "at": "now", "method": "A B"}),
        &[
            "/methd: unknown key; did you mean `method`?",
            "/url: expected a URL such as `https://api.example.com/chat`, or a path",
            "/method: expected a method such as `GET`",
            "/client: expected an address such as `192.0.2.1`",
            "/at: expected seconds since the Unix epoch, or a time such as `2026-11-22T19:00:00Z` (RFC 3339)",
        ],
    );
    check(json!({"url": "ftp://a.test/"}), &["/url: expected `http` or `https`"]);
    let escaped = "/url: blanks, control characters and letters beyond ASCII are written as `%20`";
    check(json!({"url": "/a b"}), &[escaped]);
    for url in ["https:///x", "https://u@h/", "https://h:99999/", "", "chat"] {
        let what = "/url: expected a URL such as `https://api.example.com/chat`, or a path";
        check(json!({ "url": url }), &[what]);
    }
    check(
        json!({"url": "/", "headers": {"a b": "", "c": 1, "d": "\n"}, "at": -1}),
        &[
            "/headers/a b: expected the name of a header, found \"a b\"",
            "/headers/c: expected a text, found 1",
            "/headers/d: expected a value without control characters",
            "/at: expected seconds since the Unix epoch, or a time such as `2026-11-22T19:00:00Z` (RFC 3339)",
        ],
    );
    let forms = "expected an object of texts, or a list of pairs such as [\"x-a\", \"1\"]";
    check(json!({"url": "/", "headers": "x: y"}), &[&format!("/headers: {forms}")]);
    check(
        json!({"url": "/", "headers": [["x"], "x: y"]}),
        &[&format!("/headers/0: {forms}"), &format!("/headers/1: {forms}")],
    );
    check(
        json!({"url": "/", "country": "de", "colo": "Frankfurt", "asn": "AS3320"}),
        &[
            "/country: expected two upper-case letters such as `DE`",
            "/colo: expected three upper-case letters such as `FRA`",
            "/asn: expected the number of a network such as 3320",
        ],
    );
    check(
        json!({"url": "/", "asn": 0.5}),
        &["/asn: expected the number of a network such as 3320"],
    );
    let twice = json!({"url": "/", "headers": [["Host", "a"], ["host", "b"]]});
    check(twice, &["/headers: `host` stands here twice"]);
}

#[test]
fn a_question_is_the_request_that_a_client_would_send() {
    let head = |value: Value| {
        let asked = question(&value);
        let (head, body) = asked.parts();
        let header = |name| head.header(name).map(Cow::into_owned);
        let target = format!("{}?{}", head.path(), head.query().unwrap_or_default());
        let place = format!("{} {target} {}:{}", head.method(), head.scheme(), head.port());
        let names = ["host", "content-length", "content-type"].map(header);
        let names: Vec<String> = names.into_iter().map(Option::unwrap_or_default).collect();
        (place, head.host().to_owned(), names.join("|"), body.to_vec())
    };
    let text = |place: &str, host: &str, lines: &str, body: &str| {
        (place.to_owned(), host.to_owned(), lines.to_owned(), body.as_bytes().to_vec())
    };
    let plain = head(json!({"url": "HTTPS://a.test:443/x/../y?z#f"}));
    assert_eq!(plain, text("GET /y?z https:443", "a.test", "a.test||", ""));
    let port = head(json!({"url": "http://[::1]:8080", "body": "a=b"}));
    assert_eq!(port, text("POST /? http:8080", "[::1]:8080", "[::1]:8080|3|", "a=b"));
    let named =
        head(json!({"url": "http://a.test/?", "headers": {"HOST": "b.test"}, "body": null}));
    assert_eq!(named, text("GET /? http:80", "b.test", "b.test||", ""));
    let json = json!({"url": "/p", "method": "QUERY", "body": [1]});
    assert_eq!(head(json), text("QUERY /p? http:80", "", "|3|application/json", "[1]"));
    let framed = json!({"url": "/", "headers": {"transfer-encoding": "chunked", "content-type": "x"}, "body": {}});
    assert_eq!(head(framed).2, "||x");
}

#[test]
fn cookies_in_several_lines_are_one_list_of_cookies() {
    let rules = json!([rule(json!({"match": [{"vars": [["cookie_b", "==", "2"]]}]}))]);
    let headers = json!([["cookie", "a=1"], ["x-a", "1"], ["Cookie", "b=2"], ["x-a", "2"]]);
    let asked = json!({"url": CHAT, "headers": headers});
    assert_eq!(told(&split(&rules), &asked).rule, Some(0));
    let asked = question(&asked);
    assert_eq!(asked.parts().0.header("cookie").as_deref(), Some("a=1; b=2"));
    assert_eq!(asked.parts().0.header("x-a").as_deref(), Some("1, 2"));
}

#[test]
fn a_request_comes_from_where_the_question_says() {
    let vars =
        json!([["cf_country", "==", "DE"], ["cf_colo", "==", "FRA"], ["cf_asn", "==", "3320"]]);
    let document = split(&json!([rule(json!({"match": [{ "vars": vars }]}))]));
    let taken = |more: &Value| {
        let mut asked = json!({"url": CHAT});
        let (members, Value::Object(more)) = (asked.as_object_mut().unwrap(), more) else {
            panic!("an object")
        };
        members.extend(more.clone());
        told(&document, &asked).rule
    };
    for asn in [json!(3320), json!("3320")] {
        assert_eq!(taken(&json!({"country": "DE", "colo": "FRA", "asn": asn})), Some(0));
    }
    assert_eq!(taken(&json!({"country": "DE", "colo": "FRA", "asn": null})), None);
    assert_eq!(taken(&json!({"country": "T1", "colo": "FRA", "asn": 3320})), None);
}

#[test]
fn who_was_recognised_is_told_and_decides() {
    let rules = json!([
        rule(json!({"match": [{"vars": [["consumer_group_id", "==", "gold"]]}]})),
        rule(json!({"sticky": {"by": ["consumer"]}})),
    ]);
    let mut document = split(&rules);
    document["routes"][0]["plugins"]["key-auth"] = json!({"anonymous_consumer": "guest"});
    document["routes"][0]["plugins"]["basic-auth"] = json!({"_meta": {"disable": true}});
    let key = json!({"key-auth": {"key": "jacks-key"}});
    document["consumers"] = json!([
        {"username": "jack", "group_id": "gold", "plugins": key},
        {"username": "guest"},
    ]);
    document["consumer_groups"] = json!([{"id": "gold", "plugins": {}}]);

    let jack = told(&document, &json!({"url": CHAT, "headers": {"apikey": "jacks-key"}}));
    assert_eq!((jack.consumer.as_deref(), jack.rule), (Some("jack"), Some(0)));
    let guards: Vec<&str> = jack.guards.iter().map(|guard| &*guard.plugin).collect();
    assert_eq!(guards, ["basic-auth", "key-auth"]);
    let guest = told(&document, &json!({"url": CHAT, "headers": {"apikey": "wrong"}}));
    assert_eq!((guest.consumer.as_deref(), guest.rule), (Some("guest"), Some(1)));

    document["routes"][0]["plugins"]["key-auth"] = json!({});
    let nobody = told(&document, &json!({"url": CHAT}));
    assert_eq!((nobody.consumer, nobody.rule), (None, None));
    assert_eq!(nobody.guards.last().and_then(|guard| guard.answers), Some(401));
    let problem = nobody.problem.expect("nobody comes in");
    assert_eq!((problem.status, &*problem.error), (401, "http_request_denied"));
}

/// Those of global rules come first, then those of the route, each in the one order of all guards, however
/// they are written.
#[test]
fn guards_are_told_in_the_order_in_which_they_are_passed() {
    let order = [
        "real-ip",
        "client-control",
        "request-id",
        "cors",
        "basic-auth",
        "jwt-auth",
        "key-auth",
        "ip-restriction",
        "limit-conn",
        "limit-count",
        "limit-req",
    ];
    let anonymous = json!({"anonymous_consumer": "guest"});
    let all = json!({
        "limit-req": {"rate": 100, "burst": 10, "key": "remote_addr"},
        "limit-count": {"count": 100, "time_window": 60},
        "limit-conn": {"conn": 10, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr"},
        "ip-restriction": {"blacklist": ["198.51.100.0/24"]},
        "key-auth": anonymous,
        "jwt-auth": anonymous,
        "basic-auth": anonymous,
        "cors": {},
        "request-id": {},
        "client-control": {"max_body_size": 1000},
        "real-ip": {"source": "http_x_real_ip", "trusted_addresses": ["10.0.0.0/8"]},
    });
    let mut document = routes(&[json!({"uri": "/*", "plugins": all})]);
    document["global_rules"] = json!([{"id": "1", "plugins": all}]);
    document["consumers"] = json!([
        {"username": "guest"},
        {"username": "jack", "plugins": {
            "key-auth": {"key": "jacks-key"}, "limit-count": {"count": 5, "time_window": 60},
        }},
    ]);
    // A guard of the consumer's own stands where the route's does.
    for headers in [json!({}), json!({"apikey": "jacks-key"})] {
        let asked = json!({"url": CHAT, "client": "192.0.2.7", "headers": headers});
        let explained = told(&document, &asked);
        let guards: Vec<&str> = explained.guards.iter().map(|guard| &*guard.plugin).collect();
        assert_eq!(guards, [order, order].concat(), "{headers}");
        assert!(explained.guards.iter().all(|guard| guard.answers.is_none()));
    }
}

mod agreement;
