//! Conditions that look at the body of a request.

use std::thread;

use serde_json::{Value, json};

use super::problems::is_problem;
use crate::document::{routes, upstream};
use crate::message::Call;
use crate::origin::Origin;
use crate::script::Reply;
use crate::target::Target;

/// What `body_max` is where a document does not say.
const DEFAULT_MAX: usize = 1 << 20;

/// A route whose rules are these conditions, each with a branch that has its number as name.
fn route(uri: &str, conditions: &[Value], origin: &Origin) -> Value {
    let rule = |(number, vars): (usize, &Value)| {
        let branch = json!({"name": number.to_string(), "upstream": upstream(origin)});
        json!({"match": [{"vars": vars}], "weighted_upstreams": [branch]})
    };
    let rules: Vec<Value> = conditions.iter().enumerate().map(rule).collect();
    json!({
        "uri": uri,
        "upstream": upstream(origin),
        "plugins": {"traffic-split": {"rules": rules}},
    })
}

/// A condition on a JSON body.
fn is_gpt() -> Value {
    json!([["post_arg.model", "==", "gpt-4"]])
}

/// One that every body fails, having been looked at.
fn never() -> Value {
    json!([["post_arg.model", "==", "none such"]])
}

fn json_of(body: impl Into<Vec<u8>>) -> Call {
    Call::post("/x", body).header("Content-Type", "application/json")
}

fn form_of(body: &str) -> Call {
    Call::post("/x", body).header("Content-Type", "application/x-www-form-urlencoded")
}

/// Checks which branch a request goes to, sized and in chunks, and that its body arrives as sent.
fn check(target: &impl Target, origin: &Origin, call: Call, expected: &str) {
    for call in [call.clone(), call.in_chunks()] {
        let answer = target.call(&call);
        assert_eq!((answer.status, answer.branch().as_deref()), (200, Some(expected)), "{call:?}");
        let request = origin.requests().pop().unwrap();
        assert!(request.complete, "{call:?}");
        assert_eq!(request.body, call.body.unwrap_or_default());
    }
}

/// A member of a JSON body decides, also one that lies deeper.
pub(crate) fn members_of_a_json_body_decide(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let conditions = [
        is_gpt(),
        json!([["post_arg.user.tier", "==", "gold"]]),
        json!([["post_arg.max_tokens", ">", 1000]]),
    ];
    target.start(&routes(&[route("/*", &conditions, &origin)]));

    let check = |body: &str, expected: &str| check(target, &origin, json_of(body), expected);
    check(r#"{"model":"gpt-4"}"#, "0");
    check(r#"{ "messages" : [], "model":"\u0067pt-4" }"#, "0");
    check(r#"{"model":"gpt-4o","user":{"tier":"gold"}}"#, "1");
    check(r#"{"user.tier":"gold"}"#, "route");
    check(r#"{"max_tokens":1001}"#, "2");
    check(r#"{"max_tokens":1000}"#, "route");
    check(r#"{"a":{"model":"gpt-4"}}"#, "route");
    check(r#"["model","gpt-4"]"#, "route");
}

/// A field of a form decides: the first of its name, decoded.
pub(crate) fn fields_of_a_form_decide(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let conditions = [json!([["post_arg_tier", "==", "gold member"]])];
    target.start(&routes(&[route("/*", &conditions, &origin)]));

    let check = |call: Call, expected: &str| check(target, &origin, call, expected);
    check(form_of("a=1&tier=gold+member"), "0");
    check(form_of("tier=gold%20member&tier=tin"), "0");
    check(form_of("tier=tin&tier=gold+member"), "route");
    check(form_of("Tier=gold+member"), "route");
    check(form_of(""), "route");
    let with_charset = "application/x-www-form-urlencoded; charset=utf-8";
    check(Call::post("/x", "tier=gold+member").header("Content-Type", with_charset), "0");
    check(Call::post("/x", "tier=gold+member").header("Content-Type", "text/plain"), "route");
    check(Call::post("/x?tier=gold+member", "").header("Content-Type", with_charset), "route");
}

/// What a GraphQL request asks for decides.
pub(crate) fn graphql_operations_decide(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let conditions = [
        json!([["graphql_operation", "==", "mutation"]]),
        json!([["graphql_name", "==", "GetBook"]]),
        json!([["graphql_root_fields", "has", "author"]]),
    ];
    target.start(&routes(&[route("/*", &conditions, &origin)]));

    let check = |query: &str, expected: &str| {
        check(target, &origin, json_of(json!({"query": query}).to_string()), expected);
        let bare = Call::post("/x", query).header("Content-Type", "application/graphql");
        check(target, &origin, bare, expected);
    };
    check("mutation AddBook { add(title: \"author\") { id } }", "0");
    check("query GetBook($id: ID!) { book(id: $id) { title } }", "1");
    check("{ book { title } author { name } }", "2");
    check("query Other { book { author { name } } }", "route");
}

/// Whatever is in a body that was looked at, all of it arrives, and nothing else.
pub(crate) fn what_was_looked_at_arrives_byte_for_byte(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&routes(&[route("/*", &[is_gpt()], &origin)]));

    let with_model = "\r\n{\t\"model\" : \"gpt-4\", \"id\":12345678901234567890.10, \"id\":0.0e1, \
                      \"s\":\"\\u00e9\\/\"}\n ";
    check(target, &origin, json_of(with_model), "0");
    for body in
        [b"{\"model\":\"gpt-4\"".to_vec(), Vec::new(), (0..=255).collect(), b"null".to_vec()]
    {
        check(target, &origin, json_of(body), "route");
    }
    check(target, &origin, Call::post("/x", (0..=255).collect::<Vec<u8>>()), "route");
}

/// A request without a body has nothing to look at, and gets none.
pub(crate) fn a_request_without_a_body_gets_none(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&routes(&[route("/*", &[is_gpt()], &origin)]));

    for method in ["GET", "HEAD", "DELETE"] {
        let call = Call::new(method, "/x").header("Content-Type", "application/json");
        let answer = target.call(&call);
        assert_eq!((answer.status, answer.branch().as_deref()), (200, Some("route")), "{method}");
        let request = origin.requests().pop().unwrap();
        assert!(request.body.is_empty() && !request.chunked, "{method}");
        assert!(request.header("content-length").is_none_or(|length| length == "0"), "{method}");
    }
}

/// What is too long to be looked at is refused, and no upstream hears of it.
pub(crate) fn a_body_too_long_to_be_looked_at_is_a_413_problem(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let routes = [route("/*", &[never()], &origin)];
    target.start(&json!({"settings": {"body_max": 1000}, "routes": routes}).to_string());

    for body in [vec![b'x'; 1001], vec![b'x'; 100_000]] {
        is_problem(&target.call(&json_of(body.clone())), 413);
        is_problem(&target.call(&json_of(body).in_chunks()), 413);
    }
    assert_eq!(origin.count(), 0);
    check(target, &origin, json_of(vec![b'x'; 1000]), "route");
}

/// Where the document does not say how much is looked at, it is one mebibyte.
pub(crate) fn a_mebibyte_is_looked_at(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&routes(&[route("/*", &[is_gpt()], &origin)]));

    let body = |length: usize| {
        let start = r#"{"model":"gpt-4"}"#;
        format!("{start}{}", " ".repeat(length - start.len()))
    };
    check(target, &origin, json_of(body(DEFAULT_MAX)), "0");
    let seen = origin.count();
    is_problem(&target.call(&json_of(body(DEFAULT_MAX + 1))), 413);
    assert_eq!(origin.count(), seen);
}

/// A route that looks at no body takes bodies of any length, whatever other routes look at.
pub(crate) fn other_routes_take_bodies_of_any_length(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let head_only = json!([["http_x_beta", "==", "1"]]);
    let routes = [
        route("/looks", &[is_gpt()], &origin),
        route("/*", &[head_only], &origin),
        json!({"uri": "/plain", "upstream": upstream(&origin)}),
    ];
    target.start(&json!({"settings": {"body_max": 10}, "routes": routes}).to_string());

    for path in ["/x", "/plain"] {
        let call = Call { target: path.to_owned(), ..json_of(vec![b'x'; 100_000]) };
        check(target, &origin, call, "route");
    }
}

/// Such a route forwards a body as it comes, as if no other looked at any.
pub(crate) fn other_routes_forward_bodies_as_they_come(target: &mut impl Target) {
    let origin = target.origin(Reply::ok("heard"));
    let head_only = json!([["http_x_beta", "==", "1"]]);
    target.start(&routes(&[
        route("/looks", &[is_gpt()], &origin),
        route("/*", &[head_only], &origin),
    ]));

    let mut connection = target.dial();
    connection.send_head(&json_of("").in_chunks().header("X-Beta", "1"));
    connection.send_chunk(b"first ");
    origin.wait_until("the first part", |requests| {
        requests.first().is_some_and(|request| request.body == b"first ")
    });
    connection.send_chunk(b"second");
    connection.send_chunk(b"");
    let answer = connection.answer();
    assert_eq!((answer.text(), answer.branch()), ("heard".to_owned(), Some("0".to_owned())));
    assert_eq!(origin.only_request().body, b"first second");
}

/// A request that is decided again with its body is one request to the split.
pub(crate) fn a_request_that_is_looked_at_is_counted_once(target: &mut impl Target) {
    let (old, new) = (target.origin(Reply::ok("")), target.origin(Reply::ok("")));
    let rule = |vars: Value| {
        let list = json!([
            {"name": "v1", "weight": 3, "upstream": upstream(&old)},
            {"name": "v2", "weight": 1, "upstream": upstream(&new)},
        ]);
        json!({"match": [{"vars": vars}], "weighted_upstreams": list})
    };
    let head_only = json!([["http_x_beta", "==", "1"]]);
    let rules = json!([rule(head_only), rule(is_gpt()), rule(json!([]))]);
    let route = json!({"uri": "/*", "plugins": {"traffic-split": {"rules": rules}}});
    target.start(&routes(&[route]));

    let gpt = json_of(r#"{"model":"gpt-4"}"#);
    let beta = gpt.clone().header("X-Beta", "1");
    let other = json_of(r#"{"model":"gpt-3"}"#).in_chunks();
    let mut picks = [(); 3].map(|()| Vec::new());
    for _ in 0..20 {
        for (picks, call) in picks.iter_mut().zip([&beta, &gpt, &other]) {
            picks.push(target.call(call).branch().as_deref() == Some("v2"));
        }
    }
    for picks in &picks {
        for window in picks.windows(4) {
            assert_eq!(window.iter().filter(|is_new| **is_new).count(), 1, "{picks:?}");
        }
    }
    assert_eq!((old.count(), new.count()), (45, 15));
}

/// However many ask at once, each request is counted once.
pub(crate) fn requests_looked_at_by_many_at_once_are_counted_once(target: &mut impl Target) {
    let (old, new) = (target.origin(Reply::ok("")), target.origin(Reply::ok("")));
    let list = json!([
        {"weight": 3, "upstream": upstream(&old)},
        {"weight": 1, "upstream": upstream(&new)},
    ]);
    let rules = json!([{"match": [{"vars": is_gpt()}], "weighted_upstreams": list}]);
    let route = json!({"uri": "/*", "plugins": {"traffic-split": {"rules": rules}}});
    target.start(&routes(&[route]));

    let target = &*target;
    let gpt = json_of(r#"{"model":"gpt-4"}"#);
    thread::scope(|scope| {
        for number in 0..16 {
            let call = if number % 2 == 0 { gpt.clone() } else { gpt.clone().in_chunks() };
            scope.spawn(move || (0..25).for_each(|_| assert_eq!(target.call(&call).status, 200)));
        }
    });
    assert_eq!((old.count(), new.count()), (300, 100));
}

/// The key of a rule can be in a body, of which then the same holds.
pub(crate) fn a_body_with_a_key_arrives_byte_for_byte(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let branch = json!({"name": "only", "upstream": upstream(&origin)});
    let rule = json!({"sticky": {"by": ["body:/user"]}, "weighted_upstreams": [branch]});
    let routes = json!([{"uri": "/*", "plugins": {"traffic-split": {"rules": [rule]}}}]);
    target.start(&json!({"settings": {"body_max": 100}, "routes": routes}).to_string());

    for body in ["{ \"user\" : 1.0 }\r\n", "{\"user\":", "user=1", ""] {
        check(target, &origin, json_of(body), "only");
    }
    let seen = origin.count();
    is_problem(&target.call(&json_of(vec![b' '; 101])), 413);
    is_problem(&target.call(&json_of(vec![b' '; 101]).in_chunks()), 413);
    assert_eq!(origin.count(), seen);
}

/// A compressed body is looked at by nobody, and arrives compressed.
pub(crate) fn a_compressed_body_is_not_understood(target: &mut impl Target) {
    // `printf '{"model":"gpt-4"}' | gzip -9n`
    const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\xca\xcd\x4f\x49\xcd\
        \x51\xb2\x52\x4a\x2f\x28\xd1\x35\x51\xaa\x05\x00\xf4\x62\xfb\x32\x11\x00\x00\x00";
    let origin = target.origin(Reply::ok(""));
    target.start(&routes(&[route("/*", &[is_gpt()], &origin)]));

    check(target, &origin, json_of(GZIP).header("Content-Encoding", "gzip"), "route");
    let encoding = origin.requests().pop().unwrap().header("content-encoding");
    assert_eq!(encoding.as_deref(), Some("gzip"));
}

/// What is nested deeper than anybody needs is not understood, and harms nobody.
pub(crate) fn bodies_nested_without_end_harm_nobody(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let conditions = [
        is_gpt(),
        json!([["post_arg.a[*]..b", "has", "c"]]),
        json!([["graphql_name", "==", "GetBook"]]),
        json!([["graphql_root_fields", "has", "book"]]),
    ];
    let sticky = json!({"uri": "/sticky", "plugins": {"traffic-split": {"rules": [{
        "sticky": {"by": ["body:/0/0"]},
        "weighted_upstreams": [{"name": "sticky", "upstream": upstream(&origin)}],
    }]}}});
    target.start(&routes(&[route("/*", &conditions, &origin), sticky]));

    let nested = |mark: &str| mark.repeat(100_000);
    let bodies = [
        nested("["),
        nested("{\"a\":"),
        format!("{{\"query\":\"{}\"}}", nested("{a")),
        format!("{{\"query\":\"{{book(a:{}\"}}", nested("[")),
        format!("{{\"a\":{}{}}}", nested("["), nested("]")),
    ];
    for body in &bodies {
        check(target, &origin, json_of(body.clone()), "route");
        let call = Call { target: "/sticky".to_owned(), ..json_of(body.clone()) };
        check(target, &origin, call, "sticky");
        let graphql = Call::post("/x", body.clone()).header("Content-Type", "application/graphql");
        check(target, &origin, graphql, "route");
    }
    check(target, &origin, json_of(r#"{"model":"gpt-4"}"#), "0");
}

/// A body of JSON is one whatever its numbers and texts are: no reader has to be able to hold them.
pub(crate) fn members_decide_beside_what_cannot_be_held(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&routes(&[route("/*", &[is_gpt()], &origin)]));

    for other in ["1e400", "-1E+999", "123456789012345678901234567890", r#""\ud83e""#] {
        let body = format!(r#"{{"other":{other},"model":"gpt-4"}}"#);
        check(target, &origin, json_of(body), "0");
    }
}
