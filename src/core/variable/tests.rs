use std::net::IpAddr;

use super::*;
use crate::facts::{Body, Matched, Read};
use crate::head::Head;

/// A request whose target and headers are data.
struct Asked {
    method: &'static str,
    path: &'static str,
    query: Option<&'static str>,
    headers: Vec<(&'static str, &'static str)>,
}

impl Head for Asked {
    fn method(&self) -> &str {
        self.method
    }

    fn path(&self) -> &str {
        self.path
    }

    fn query(&self) -> Option<&str> {
        self.query
    }

    fn host(&self) -> &str {
        "API.example.com.:8080"
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut headers = self.headers.iter();
        headers.find(|(own, _)| *own == name).map(|(_, value)| Cow::Borrowed(*value))
    }

    fn client(&self) -> Option<IpAddr> {
        "::ffff:192.0.2.7".parse().ok()
    }

    fn scheme(&self) -> &str {
        "https"
    }

    fn port(&self) -> u16 {
        443
    }

    fn place(&self, what: Place) -> Option<Cow<'_, str>> {
        (what == Place::Country).then_some(Cow::Borrowed("DE"))
    }

    fn is_fronted(&self) -> bool {
        false
    }
}

fn get(path: &'static str, query: Option<&'static str>) -> Asked {
    Asked { method: "GET", path, query, headers: Vec::new() }
}

fn post(kind: &'static str) -> Asked {
    let headers = vec![("content-type", kind)];
    Asked { method: "POST", path: "/", query: None, headers }
}

/// The value of a variable as JSON; `null` where it is absent.
fn json_of(value: Option<Value<'_>>) -> Json {
    match value {
        None => Json::Null,
        Some(Value::Text(text)) => Json::from(&*text),
        Some(Value::Json(json)) => json,
    }
}

fn of_facts(name: &str, facts: &Facts<'_>) -> Json {
    json_of(Variable::parse(name).unwrap().value(facts))
}

fn of(name: &str, head: &Asked) -> Json {
    let draft = Draft::of(head);
    of_facts(name, &Facts::new(head, &draft, Body::Unread))
}

fn of_body(name: &str, head: &Asked, body: &str) -> Json {
    let draft = Draft::of(head);
    of_facts(name, &Facts::new(head, &draft, Body::Whole(body.as_bytes())))
}

fn text(json: &str) -> Json {
    serde_json::from_str(json).unwrap()
}

#[test]
fn arguments_are_decoded_and_the_first_counts() {
    let head = get("/", Some("a=1&a=2&b&c=&=x&d=%C3%A9+%zz&A=3&x-y=z&%65=f&bad=%FF&&"));
    for (name, value) in [
        ("arg_a", r#""1""#),
        ("arg_A", r#""3""#),
        ("arg_b", "true"),
        ("arg_c", r#""""#),
        ("arg_d", "\"\u{e9} %zz\""),
        ("arg_x-y", r#""z""#),
        ("arg_e", r#""f""#),
        ("arg_bad", "\"\u{fffd}\""),
        ("arg_none", "null"),
    ] {
        assert_eq!(of(name, &head), text(value), "{name}");
    }
    assert_eq!(of("arg_a", &get("/", None)), Json::Null);
}

#[test]
fn the_request_line_and_the_connection_are_told() {
    let head = get("/caf%C3%A9//a/../b", Some("k=%20"));
    for (name, value) in [
        ("uri", "/caf\u{e9}/b"),
        ("document_uri", "/caf\u{e9}/b"),
        ("request_uri", "/caf\u{e9}/b?k=%20"),
        ("real_request_uri", "/caf%C3%A9//a/../b?k=%20"),
        ("args", "k=%20"),
        ("query_string", "k=%20"),
        ("is_args", "?"),
        ("host", "api.example.com"),
        ("http_host", "API.example.com.:8080"),
        ("remote_addr", "192.0.2.7"),
        ("scheme", "https"),
        ("https", "on"),
        ("server_port", "443"),
        ("method", "GET"),
        ("request_method", "GET"),
        ("cf_country", "DE"),
    ] {
        assert_eq!(of(name, &head), Json::from(value), "{name}");
    }
    for name in
        ["cf_colo", "cf_asn", "consumer_name", "consumer_group_id", "route_id", "service_id"]
    {
        assert_eq!(of(name, &head), Json::Null, "{name}");
    }
    let bare = get("/", None);
    assert_eq!(of("args", &bare), Json::Null);
    assert_eq!(of("is_args", &bare), Json::from(""));
    assert_eq!(of("request_uri", &bare), Json::from("/"));
    assert_eq!(of("uri", &get("/%ff", None)), Json::from("/\u{fffd}"));
}

#[test]
fn what_can_be_borrowed_is_borrowed() {
    let head = Asked { headers: vec![("x-a", "1"), ("cookie", "a=1")], ..get("/a", Some("k=v")) };
    let draft = Draft::of(&head);
    let facts = Facts::new(&head, &draft, Body::Unread);
    for name in ["uri", "arg_k", "args", "http_x_a", "cookie_a", "method", "http_host"] {
        let value = Variable::parse(name).unwrap().value(&facts);
        assert!(matches!(value, Some(Value::Text(Cow::Borrowed(_)))), "{name}: {value:?}");
    }
}

#[test]
fn headers_and_cookies_are_found_by_name() {
    let headers = vec![
        ("x-api-key", "k"),
        ("x_under", "u"),
        ("content-type", "text/plain"),
        ("cookie", "a=1; b = \"2\" ;a=3; c; A=4; d=x=y"),
    ];
    let head = Asked { headers, ..get("/", None) };
    for (name, value) in [
        ("http_x_api_key", Some("k")),
        ("http_X-Api-Key", Some("k")),
        ("http_x_under", Some("u")),
        ("http_none", None),
        ("content_type", Some("text/plain")),
        ("content_length", None),
        ("cookie_a", Some("1")),
        ("cookie_b", Some("\"2\"")),
        ("cookie_c", None),
        ("cookie_A", Some("4")),
        ("cookie_d", Some("x=y")),
    ] {
        assert_eq!(of(name, &head), value.map_or(Json::Null, Json::from), "{name}");
    }
}

#[test]
fn what_was_rewritten_is_seen_rewritten() {
    let head = Asked { headers: vec![("x-canary", "no")], ..get("/old", Some("a=1&b=2")) };
    let mut draft = Draft::of(&head);
    draft.method = Cow::Borrowed("PUT");
    draft.path = Cow::Borrowed("/new//x");
    draft.query = Some(Cow::Borrowed("a=9&a=1&b=2"));
    draft.edits.replace("x-canary", "yes");
    let facts = Facts::new(&head, &draft, Body::Unread);
    for (name, value) in [
        ("uri", "/new/x"),
        ("args", "a=9&a=1&b=2"),
        ("arg_a", "9"),
        ("arg_b", "2"),
        ("method", "PUT"),
        ("http_x_canary", "yes"),
        ("real_request_uri", "/old?a=1&b=2"),
        ("request_uri", "/old?a=1&b=2"),
    ] {
        assert_eq!(of_facts(name, &facts), Json::from(value), "{name}");
    }
}

#[test]
fn a_route_tells_its_name_and_its_parameters() {
    let head = get("/users/7", None);
    let draft = Draft::of(&head);
    let route = Matched {
        id: "r1",
        name: Some("users"),
        service_id: Some("s1"),
        service_name: None,
        params: vec![("id", "7".to_owned())],
    };
    let facts = Facts::new(&head, &draft, Body::Unread).of_route(&route);
    for (name, value) in [
        ("route_id", Some("r1")),
        ("route_name", Some("users")),
        ("service_id", Some("s1")),
        ("service_name", None),
        ("uri_param_id", Some("7")),
        ("uri_param_no", None),
    ] {
        assert_eq!(of_facts(name, &facts), value.map_or(Json::Null, Json::from), "{name}");
    }
}

#[test]
fn a_body_is_wished_for_only_where_it_can_be_read() {
    for (kind, name, wished) in [
        ("application/x-www-form-urlencoded; charset=utf-8", "post_arg_a", true),
        ("application/json", "post_arg_a", false),
        ("application/json", "post_arg.a", true),
        ("image/png", "post_arg.a", false),
        ("application/graphql", "graphql_name", true),
        ("application/json", "arg_a", false),
    ] {
        let head = post(kind);
        let draft = Draft::of(&head);
        let facts = Facts::new(&head, &draft, Body::Unread);
        assert_eq!(of_facts(name, &facts), Json::Null, "{kind} {name}");
        assert_eq!(facts.wants_body(), wished, "{kind} {name}");
    }
    for (name, needs) in [("post_arg_a", true), ("graphql_operation", true), ("uri", false)] {
        assert_eq!(Variable::parse(name).unwrap().needs_body(), needs, "{name}");
    }
}

#[test]
fn fields_of_forms_are_found() {
    let head = post("Application/X-WWW-form-urlencoded; charset=utf-8");
    let body = "a=1+2&a=3&b&c=%C3%A9";
    for (name, value) in [
        ("post_arg_a", r#""1 2""#),
        ("post_arg_b", "true"),
        ("post_arg_c", "\"\u{e9}\""),
        ("post_arg_d", "null"),
        ("post_arg.a", r#"["1 2", "3"]"#),
        ("post_arg.c", "\"\u{e9}\""),
    ] {
        assert_eq!(of_body(name, &head, body), text(value), "{name}");
    }
}

#[test]
fn a_field_of_a_form_is_looked_for_once() {
    let head = post("application/x-www-form-urlencoded");
    let draft = Draft::of(&head);
    let facts = Facts::new(&head, &draft, Body::Whole(b"a=1&b&bad=\xff"));
    for _ in 0..2 {
        assert_eq!(of_facts("post_arg_a", &facts), Json::from("1"));
        assert_eq!(of_facts("post_arg_b", &facts), Json::from(true));
        assert_eq!(of_facts("post_arg_bad", &facts), Json::from("\u{fffd}"));
        assert_eq!(of_facts("post_arg_c", &facts), Json::Null);
    }
    assert_eq!(facts.read().form.borrow().len(), 4);
}

#[test]
fn parts_of_forms_are_found() {
    let head = post("multipart/form-data; boundary=\"xYz\"");
    let body = "preamble\r\n--xYz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt\r\n--xYz\r\n\
        content-disposition: form-data; name=f; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n\
        a\r\nb\r\n--xYz--\r\n--xYz\r\nContent-Disposition: form-data; name=\"late\"\r\n\r\n1\r\n";
    assert_eq!(of_body("post_arg.model", &head, body), Json::from("gpt"));
    assert_eq!(of_body("post_arg.f", &head, body), Json::from("a\r\nb"));
    assert_eq!(of_body("post_arg.late", &head, body), Json::Null);
    assert_eq!(of_body("post_arg.a", &post("multipart/form-data"), body), Json::Null);
}

#[test]
fn places_in_json_are_found() {
    let head = post("application/json; charset=utf-8");
    let body = r#"{"model": "gpt", "n": 2, "nothing": null, "meta": {"user": {"tier": "gold"}, "type": "t0"},
        "messages": [{"role": "user", "content": [{"type": "text"}, {"type": "image_url"}]}, {"role": "tool"}]}"#;
    for (name, value) in [
        ("post_arg.model", r#""gpt""#),
        ("post_arg.n", "2"),
        ("post_arg.nothing", "null"),
        ("post_arg.meta.user.tier", r#""gold""#),
        ("post_arg.meta.none.tier", "null"),
        ("post_arg.model.x", "null"),
        ("post_arg.messages[0].role", r#"["user"]"#),
        ("post_arg.messages[9].role", "null"),
        ("post_arg.messages[*].role", r#"["user", "tool"]"#),
        ("post_arg.$.messages[*]['role']", r#"["user", "tool"]"#),
        ("post_arg.messages[*].content[*].type", r#"["text", "image_url"]"#),
        ("post_arg.meta.user.*", r#"["gold"]"#),
        ("post_arg.messages..type", r#"["text", "image_url"]"#),
        ("post_arg...tier", r#"["gold"]"#),
    ] {
        assert_eq!(of_body(name, &head, body), text(value), "{name}");
    }
    assert_eq!(of_body("post_arg.a", &head, "{no json"), Json::Null);
    assert_eq!(of_body("post_arg.a", &head, &"[".repeat(100_000)), Json::Null);
    assert_eq!(of_body("post_arg...a", &head, &("[".repeat(100) + &"]".repeat(100))), Json::Null);
}

/// A body is never told more than once and a bit, however its finds stand in one another.
#[test]
fn finds_in_one_another_are_told_up_to_a_bound() {
    let head = post("application/json");
    let nested = |depth: usize, text: &str| {
        format!("{}\"{text}\"{}", "{\"a\":".repeat(depth), "}".repeat(depth))
    };
    let count = |body: &str| of_body("post_arg...a", &head, body).as_array().map(Vec::len);
    assert_eq!(count(&nested(100, "text")), Some(100));
    let large = nested(100, &"x".repeat(1_000_000));
    assert_eq!(count(&large), Some(1), "each holds all of the text");
    let flat = format!("[{}]", vec![r#"{"a":""}"#; 100_000].join(","));
    assert_eq!(count(&flat), Some(100_000));
}

/// What was asked for once is not looked for again.
#[test]
fn a_body_is_parsed_once_for_all_that_is_asked() {
    let head = post("application/json");
    let draft = Draft::of(&head);
    let body = br#"{"model": "gpt", "say": "a\"b", "n": 1e400, "query": "query Q { a }"}"#;
    let facts = Facts::new(&head, &draft, Body::Whole(body));
    for _ in 0..3 {
        let model = Variable::parse("post_arg.model").unwrap().value(&facts);
        assert!(matches!(model, Some(Value::Text(Cow::Borrowed("gpt")))), "{model:?}");
        assert_eq!(of_facts("post_arg.say", &facts), Json::from("a\"b"));
        assert_eq!(of_facts("post_arg.none", &facts), Json::Null);
        assert_eq!(of_facts("post_arg...model", &facts), Json::Null, "beside what cannot be held");
        assert_eq!(of_facts("graphql_name", &facts), Json::from("Q"));
        assert_eq!(of_facts("graphql_operation", &facts), Json::from("query"));
        assert_eq!(of_facts("graphql_root_fields", &facts), text(r#"["a"]"#));
    }
    let Read { places, parsed, operation, root_fields, .. } = facts.read();
    assert_eq!(
        places.borrow().keys().map(|at| &**at).collect::<Vec<_>>(),
        ["model", "none", "say"]
    );
    assert!(parsed.get().is_some());
    assert!(operation.get().is_some() && root_fields.get().is_some());
}

#[test]
fn graphql_is_read_wherever_it_stands() {
    let document = "query getRepo { owner { name } repo { created } }";
    let in_json = Json::Object([("query".to_owned(), Json::from(document))].into_iter().collect());
    for (head, body) in [
        (post("application/graphql"), document.to_owned()),
        (post("application/json"), in_json.to_string()),
        (get("/graphql", Some("query=query+getRepo{owner{name}+repo{created}}")), String::new()),
    ] {
        assert_eq!(of_body("graphql_operation", &head, &body), Json::from("query"));
        assert_eq!(of_body("graphql_name", &head, &body), Json::from("getRepo"));
        assert_eq!(of_body("graphql_root_fields", &head, &body), text(r#"["owner", "repo"]"#));
    }
    let head = post("application/graphql");
    assert_eq!(of_body("graphql_name", &head, "{a}"), Json::from(""));
    assert_eq!(of_body("graphql_name", &head, "no graphql"), Json::Null);
    let large = format!("{{a}}{}", " ".repeat(1 << 20));
    assert_eq!(of_body("graphql_operation", &head, &large), Json::Null);
}

#[test]
fn an_unknown_name_is_refused_with_what_was_meant() {
    for (name, what) in [
        ("", "unknown variable ``"),
        ("urii", "unknown variable `urii`; did you mean `uri`?"),
        ("agr_name", "unknown variable `agr_name`; did you mean `arg_name`?"),
        ("htp_x_a", "unknown variable `htp_x_a`; did you mean `http_x_a`?"),
        ("header_x_a", "unknown variable `header_x_a`; did you mean `http_x_a`?"),
        ("ARG_x", "unknown variable `ARG_x`; did you mean `arg_x`?"),
        ("remote_adr", "unknown variable `remote_adr`; did you mean `remote_addr`?"),
        ("path", "unknown variable `path`; did you mean `uri`?"),
        ("post_args.a", "unknown variable `post_args.a`; did you mean `post_arg.a`?"),
        ("$uri", "unknown variable `$uri`; variables are named without `$`: `uri`"),
        ("weather", "unknown variable `weather`"),
        ("é_a", "unknown variable `é_a`"),
        ("arg_", "`arg_` must go on with the name of an argument"),
        ("post_arg.", "`post_arg.` must go on with the name of a place in the body"),
        ("balancer_ip", "APISIX has this variable, Splitway does not: `balancer_ip`"),
        ("upstream_addr", "APISIX has this variable, Splitway does not: `upstream_addr`"),
        (
            "post_arg.a[?(@.b)]",
            "`post_arg.a[?(@.b)]`: `[?(@.b)]`: filters of JSONPath cannot be had",
        ),
        ("post_arg.a[0:2]", "`post_arg.a[0:2]`: `[0:2]`: slices of JSONPath cannot be had"),
        (
            "post_arg.a[-1]",
            "`post_arg.a[-1]`: `[-1]`: indices from the end of JSONPath cannot be had",
        ),
        ("post_arg...a..b", "`post_arg...a..b`: `..` can be had only once"),
        ("post_arg.a[0", "`post_arg.a[0`: `[` has no closing `]`"),
    ] {
        assert_eq!(Variable::parse(name), Err(what.to_owned()), "{name}");
    }
}
