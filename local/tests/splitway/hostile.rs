//! Requests that nobody should send to the Admin API: each is refused in a way that says what is
//! wrong, and changes nothing.

use std::path::Path;

use serde_json::{Value, json};
use splitway_tests::message::{Answer, Call};
use splitway_tests::wire::Connection;

use crate::api::{KEY, call, labels, route};
use crate::process::{Files, Serving, argument, splitway};

const ROUTES: &str = "/apisix/admin/routes";
const ROUTE: &str = "/apisix/admin/routes/1";
const CONFIG: &str = "/splitway/v1/config";

/// The most bytes of one resource, and of a document.
const BODY_MAX: usize = 1_572_864;
const DOCUMENT_MAX: usize = 8 * 1024 * 1024;

/// A server with some past, of which the oldest is forgotten: it is at revision 6 and knows 4 to 6.
fn serving(dir: &Path) -> Serving {
    let mut command = splitway();
    command.env("SPLITWAY_ADMIN_KEY", KEY);
    let dir = argument(dir);
    let options = ["--data-dir", &dir, "--admin-listen", "127.0.0.1:0", "--keep-revisions", "3"];
    let serving = Serving::start(command, &options);
    let upstream = json!({"nodes": {"127.0.0.1:1": 1}});
    assert_eq!(serving.send("PUT", "/apisix/admin/upstreams/u", &upstream).status, 201);
    for uri in ["/a", "/b", "/c", "/d", "/e"] {
        let mut route = route(uri, "127.0.0.1:1");
        route["labels"] = json!({"a": "b"});
        route["hosts"] = json!(["a.example"]);
        assert!(serving.send("PUT", ROUTE, &route).status < 300);
    }
    assert_eq!(serving.config().1, 6);
    serving
}

/// What has to be there for the refusal to be of use: the status, and words of the body.
type Case<'c> = (Call, u16, &'c str);

/// A refusal is JSON, says the words, and leaves everything as it was.
fn check(serving: &Serving, cases: Vec<Case<'_>>) {
    let before = serving.config();
    let keys = serving.ask("GET", "/splitway/v1/keys").json();
    for (call, status, words) in cases {
        let answer = serving.ask_admin(&call);
        let (line, text) = (format!("{} {}", call.method, call.target), answer.text());
        let shown: String = format!("{line:.200}: {text:.300}");
        assert_eq!(answer.status, status, "{shown}");
        let body: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {shown}"));
        let told = body.get("error_msg").or_else(|| body.get("message"));
        assert!(told.is_some_and(Value::is_string), "{shown}");
        assert!(text.contains(words), "`{words}` is not in {shown}");
    }
    assert_eq!(serving.config(), before, "nothing is changed");
    assert_eq!(serving.ask("GET", "/splitway/v1/keys").json(), keys);
}

fn put(path: &str, body: impl Into<Vec<u8>>) -> Call {
    call("PUT", path).body(body)
}

fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

#[test]
fn bodies_that_are_no_json_are_refused() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    let mut cases = Vec::new();
    for (body, words) in [
        (b"".to_vec(), ""),
        (b"{".to_vec(), "line 1 column 1"),
        (b"{\"uri\":\"/a\",}".to_vec(), "line 1 column 13"),
        (b"{'uri':'/a'}".to_vec(), "line 1 column 2"),
        (b"{\"uri\":\"/a\"} x".to_vec(), "trailing characters"),
        (b"\xef\xbb\xbf{}".to_vec(), "line 1 column 1"),
        (b"{\"uri\":\"\xff\"}".to_vec(), "line 1"),
        (b"{\"uri\":\"\xed\xa0\x80\"}".to_vec(), "line 1"),
        (br#"{"uri":"\ud800"}"#.to_vec(), "line 1"),
        (br#"{"uri":"\ud800\u0041"}"#.to_vec(), "line 1"),
        (br#"{"uri":"\udc00"}"#.to_vec(), "line 1"),
        (b"{\"uri\":\"/\x00\"}".to_vec(), "line 1 column"),
        (br#"{"priority":1e400}"#.to_vec(), "number out of range"),
        (br#"{"priority":NaN}"#.to_vec(), "line 1"),
        (br#"{"priority":01}"#.to_vec(), "line 1"),
        (br#"{"uri":"/a","uri":"/b"}"#.to_vec(), "`uri` stands twice"),
        (br#"{"upstream":{"nodes":{"a:1":1,"a:1":2}}}"#.to_vec(), "`a:1` stands twice"),
        (nested(100_000).into_bytes(), "recursion limit"),
        ("[".repeat(100_000).into_bytes(), "recursion limit"),
        ("{\"a\":".repeat(100_000).into_bytes(), "recursion limit"),
        (nested(128).into_bytes(), "recursion limit"),
    ] {
        for path in [ROUTE, CONFIG] {
            cases.push((put(path, body.clone()), 400, words));
        }
        cases.push((call("POST", ROUTES).body(body.clone()), 400, words));
        cases.push((call("PATCH", ROUTE).body(body.clone()), 400, words));
        cases.push((call("POST", "/apisix/admin/configs/validate").body(body.clone()), 400, words));
        cases.push((
            call("POST", "/apisix/admin/schema/validate/routes").body(body.clone()),
            400,
            words,
        ));
        // What was sent as a key is not repeated.
        cases.push((put("/splitway/v1/keys/k", body), 400, "the body is no JSON"));
    }
    for body in ["null", "true", "1", "\"a\"", "[]", &nested(127)] {
        for path in [ROUTE, CONFIG, "/splitway/v1/keys/k"] {
            cases.push((put(path, body), 400, "expected a"));
        }
        cases.push((call("PATCH", ROUTE).body(body), 400, "expected an object"));
    }
    check(&serving, cases);
}

#[test]
fn values_that_mean_nothing_are_refused_with_their_places() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    let mut cases = Vec::new();
    for (member, value, place) in [
        ("priority", "99999999999999999999", "/priority"),
        ("priority", "-99999999999999999999", "/priority"),
        ("priority", "1.5", "/priority"),
        ("status", "18446744073709551616", "/status"),
        ("status", "2", "/status"),
        ("uri", "null", "/uri"),
        ("uri", "[[[[[]]]]]", "/uri"),
        ("uri", "\"\\u0000\"", "/uri"),
        ("timeout", r#"{"connect":1e308,"send":1,"read":1}"#, "/timeout"),
        ("timeout", r#"{"connect":-1,"send":1,"read":1}"#, "/timeout"),
        ("plugins", r#"{"traffic-split":{"rules":[{"weight":99999999999999999999}]}}"#, "/weight"),
        ("plugins", r#"{"traffic-split":{"rules":[{"weight":-1}]}}"#, "/weight"),
        ("plugins", r#"{"\u0000":{}}"#, "unknown plugin"),
        ("upstream_id", "\"nobody\"", "`nobody`"),
        ("upstream_id", "-1", "/upstream_id"),
        ("upstraem", "1", "/upstraem"),
    ] {
        let body = format!(r#"{{"id":"1","{member}":{value}}}"#);
        cases.push((put(ROUTE, body), 400, place));
        let patch = format!(r#"{{"{member}":{value}}}"#);
        if value != "null" {
            cases.push((call("PATCH", ROUTE).body(patch), 400, place));
            cases.push((call("PATCH", &format!("{ROUTE}/{member}")).body(value), 400, place));
        }
        let document = format!(r#"{{"routes":[{{"id":"1","{member}":{value}}}]}}"#);
        cases.push((put(CONFIG, document), 400, "/routes/0"));
    }
    for (document, place) in [
        (r#"{"routes":{}}"#, "/routes"),
        (r#"{"routes":null}"#, "/routes"),
        (r#"{"routes":[null]}"#, "/routes/0"),
        (r#"{"ruotes":[]}"#, "/ruotes"),
        (r#"{"settings":[]}"#, "/settings"),
        (r#"{"settings":null}"#, "/settings"),
        (r#"{"published":{"format":99}}"#, "/published/format"),
        (r#"{"routes":[{"id":"a"},{"id":"a"}]}"#, "/routes/1"),
        (r#"{"upstreams":[{"id":0,"nodes":{"a:1":1}}]}"#, "/upstreams/0/id"),
        (r#"{"upstreams":[{"id":"a/b","nodes":{"a:1":1}}]}"#, "/upstreams/0/id"),
        (r#"{"keys":[]}"#, "/keys"),
    ] {
        cases.push((put(CONFIG, document), 400, place));
    }
    check(&serving, cases);
}

#[test]
fn ids_that_are_none_are_refused() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    let sound = route("/x", "127.0.0.1:1").to_string();
    let long = "a".repeat(65);
    let longer = "a".repeat(60_000);
    let mut cases = Vec::new();
    for id in [
        "%00",
        "a%00b",
        "a%2Fb",
        "%2F",
        "a%20b",
        "%ff",
        "%c3%28",
        "%",
        "%zz",
        "a%",
        "*",
        "@",
        "a:b",
        "ä",
        "...%2F..",
        "%EF%BF%BD",
        "%0d%0a",
        &long,
        &longer,
    ] {
        for kind in [ROUTES, "/apisix/admin/upstreams"] {
            let path = format!("{kind}/{id}");
            cases.push((put(&path, sound.clone()), 400, "invalid id"));
            cases.push((call("PATCH", &path).body("{}"), 400, "invalid id"));
            cases.push((call("GET", &path), 400, "invalid id"));
            cases.push((call("DELETE", &path), 400, "invalid id"));
        }
        let path = format!("/splitway/v1/keys/{id}");
        let key = json!({"role": "admin", "key": "a-key-that-is-long-enough"}).to_string();
        cases.push((put(&path, key), 400, "name of a key"));
    }
    // A dot segment leads elsewhere before the id is looked at (RFC 3986, section 5.2.4).
    for id in ["..", "%2e%2e", ".%2E", "../routes/..", "..%2f.."] {
        cases.push((
            put(&format!("{ROUTES}/{id}"), sound.clone()),
            if id.contains('f') { 400 } else { 404 },
            "",
        ));
    }
    for id in ["1/2", "1/", "1//", "/1"] {
        if id != "1/" {
            cases.push((put(&format!("{ROUTES}/{id}"), sound.clone()), 400, "invalid id"));
        }
    }
    for id in [
        json!(""),
        json!("."),
        json!("a/b"),
        json!("a\u{0}"),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(null),
        json!([]),
        json!({}),
        json!(true),
        json!("2"),
        json!(long),
    ] {
        let mut body = route("/x", "127.0.0.1:1");
        body["id"] = id;
        cases.push((put(ROUTE, body.to_string()), 400, "id"));
        if body["id"] != "2" {
            cases.push((put(ROUTES, body.to_string()), 400, "id"));
        }
        cases.push((call("POST", ROUTES).body(body.to_string()), 400, "id"));
        cases.push((
            call("PATCH", ROUTE).body(json!({"id": body["id"]}).to_string()),
            400,
            "wrong route id",
        ));
        let part = body["id"].to_string();
        cases.push((call("PATCH", &format!("{ROUTE}/id")).body(part), 400, "wrong route id"));
    }
    check(&serving, cases);
}

/// A path of 30,000 keys made a value that was too deep to let go of: the process ended.
#[test]
fn patches_that_lead_nowhere_are_refused() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    let patch = |path: &str, body: &str| call("PATCH", &format!("{ROUTE}/{path}")).body(body);
    let deep = |count: usize| vec!["a"; count].join("/");
    check(
        &serving,
        vec![
            (patch("uri/x", "1"), 400, "/uri is not an object"),
            (patch("hosts/0", "\"b.example\""), 400, "/hosts is not an object"),
            (patch("hosts/0/x", "1"), 400, "/hosts is not an object"),
            (patch("labels/a/b", "\"c\""), 400, "/labels/a is not an object"),
            (patch("upstream/nodes/127.0.0.1:1/x", "1"), 400, "is not an object"),
            (patch("upstream/nodes", "{}"), 400, "/upstream"),
            (patch("upstream", "null"), 400, "upstream"),
            (patch("uri", "null"), 400, "uri"),
            (patch("/uri", "\"/x\""), 400, "unknown key"),
            (patch("create_time", "\"x\""), 400, "/create_time"),
            (patch("create_time", "-1"), 400, "/create_time"),
            (patch("update_time", "1.5"), 400, "/update_time"),
            (patch(&format!("labels/{}", deep(100)), "1"), 400, "more than 100 keys"),
            (patch(&format!("labels/{}", deep(30_000)), "1"), 400, "more than 100 keys"),
            (patch(&format!("labels/{}", deep(90)), &nested(120)), 400, ""),
            (call("PATCH", ROUTES).body("{}"), 400, "missing route id"),
            (call("PATCH", "/apisix/admin/routes/none").body("{}"), 404, "Key not found"),
            (call("PATCH", ROUTE), 400, "missing new configuration"),
        ],
    );
}

/// What went deeper than the parser could be written, and the ledger could not be read again.
#[test]
fn what_is_as_deep_as_may_be_is_read_again() {
    let files = Files::new();
    let dir = files.path("data");
    let first = serving(&dir);
    let mut statuses = Vec::new();
    for levels in [90, 97, 98, 99, 100, 120, 127] {
        let path = format!("{ROUTE}/labels/{}", vec!["a"; levels].join("/"));
        statuses.push(first.ask_admin(&call("PATCH", &path).body("1")).status);
        let path = format!("{ROUTE}/labels/b");
        statuses.push(first.ask_admin(&call("PATCH", &path).body(nested(levels))).status);
    }
    assert!(statuses.iter().all(|status| [200, 400].contains(status)), "{statuses:?}");
    assert_eq!(statuses[8..], [400; 6]);
    let before = first.config();
    first.kill();
    let second = crate::api::serving(&dir);
    assert_eq!(second.config(), before);
    assert_eq!(second.send("PUT", CONFIG, &before.0).json()["changes"], json!([]));
}

#[test]
fn arguments_that_are_none_are_refused() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    let sound = route("/x", "127.0.0.1:1").to_string();
    let mut cases = Vec::new();
    for ttl in
        ["abc", "-1", "0", "1e99", "NaN", "inf", "-inf", "", "0.5", "1e400", "%00", "9%E2%82%AC"]
    {
        let argument = format!("?ttl={ttl}");
        cases.push((
            put(&format!("{ROUTE}{argument}"), sound.clone()),
            400,
            "invalid argument ttl",
        ));
        cases.push((
            call("PATCH", &format!("{ROUTE}{argument}")).body("{}"),
            400,
            "invalid argument ttl",
        ));
    }
    // One of the last kept everybody waiting for minutes.
    for pattern in [
        "(a|b|c|d|e){200}x",
        "(a?){500}b",
        "(",
        "[",
        "a{99999}",
        "((a{100}){100}){100}",
        "*",
        "\\",
        "(?P%3C",
        "[[:x:]]",
    ] {
        for name in ["name", "uri"] {
            let path = format!("{ROUTES}?{name}={}", pattern.replace('\\', "%5C"));
            cases.push((call("GET", &path), 400, "invalid argument"));
        }
    }
    let parens = "(".repeat(20_000) + &")".repeat(20_000);
    cases.push((call("GET", &format!("{ROUTES}?uri={parens}")), 400, "invalid argument uri"));
    let key = json!({"role": "admin", "key": "a-key-that-is-long-enough"}).to_string();
    cases.push((put("/splitway/v1/keys/k?dry_run=true", key), 400, "dry_run"));
    cases.push((call("DELETE", "/splitway/v1/keys/k?dry_run=true"), 400, "dry_run"));
    for format in ["xml", "", "YAML", "json%00"] {
        cases.push((call("GET", &format!("{CONFIG}?format={format}")), 400, "format"));
    }
    for revision in
        ["-1", "+6", "99999999999999999999", "1.0", "0x6", "six", "%36%00", "6e0", "%20"]
    {
        for (method, path) in [
            ("GET", format!("/splitway/v1/revisions/{revision}")),
            ("GET", format!("/splitway/v1/revisions/{revision}/diff/6")),
            ("GET", format!("/splitway/v1/revisions/6/diff/{revision}")),
            ("POST", format!("/splitway/v1/revisions/{revision}/rollback")),
        ] {
            cases.push((call(method, &path), 400, "number of a revision"));
        }
        let path = format!("/splitway/v1/revisions?limit={}", revision.replace('+', "%2B"));
        cases.push((call("GET", &path), 400, "invalid argument limit"));
        let path = path.replace("limit", "before");
        cases.push((call("GET", &path), 400, "invalid argument before"));
    }
    for (revision, status) in
        [("0", 404), ("7", 404), ("18446744073709551615", 404), ("1", 410), ("3", 410)]
    {
        for (method, path) in [
            ("GET", format!("/splitway/v1/revisions/{revision}")),
            ("GET", format!("/splitway/v1/revisions/{revision}/diff/6")),
            ("GET", format!("/splitway/v1/revisions/6/diff/{revision}")),
            ("POST", format!("/splitway/v1/revisions/{revision}/rollback")),
            ("POST", format!("/splitway/v1/revisions/{revision}/rollback?dry_run=true")),
        ] {
            cases.push((call(method, &path), status, ""));
        }
    }
    for tag in [
        "abc",
        "\"\"",
        "\"",
        "-1",
        "+6",
        "\"6",
        "6\"x",
        "\"5\", \"6\"",
        "W/",
        "W/\"x\"",
        "*6",
        "6 6",
    ] {
        let put = call("PUT", CONFIG).header("If-Match", tag).body(r#"{"routes":[]}"#);
        cases.push((put, 400, "If-Match"));
        let rollback = call("POST", "/splitway/v1/revisions/5/rollback").header("If-Match", tag);
        cases.push((rollback, 400, "If-Match"));
    }
    for tag in ["5", "\"5\"", "W/\"5\"", "7", "18446744073709551615", "0"] {
        let put = call("PUT", CONFIG).header("If-Match", tag).body(r#"{"routes":[]}"#);
        cases.push((put, 412, "\"revision\":6"));
    }
    check(&serving, cases);
    for pattern in
        ["^/api/(v1|v2)/[a-z0-9_-]{1,20}(/.*)?$", "(?i)chat|completions", "%5E/[^/]%2B/x"]
    {
        let answer = serving.ask("GET", &format!("{ROUTES}?uri={}", pattern.replace('^', "%5E")));
        assert_eq!(answer.json()["total"], 0, "{pattern}: {}", answer.text());
    }
    for arguments in
        ["page=abc&page_size=10", "page=-1&page_size=10", "page=1", "page_size=3", "ttl"]
    {
        let answer = serving.ask("GET", &format!("{ROUTES}?{arguments}"));
        let expected = if arguments == "ttl" { 400 } else { 200 };
        assert_eq!(answer.status, expected, "{arguments}: {}", answer.text());
    }
    for arguments in ["page=1&page_size=0", "page=1&page_size=501"] {
        let answer = serving.ask("GET", &format!("{ROUTES}?{arguments}"));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (400, "page_size must be between 10 and 500")
        );
    }
    let far = serving.ask("GET", &format!("{ROUTES}?page=18446744073709551615&page_size=500"));
    assert_eq!(far.json(), json!({"total": 1, "list": []}));
}

#[test]
fn methods_and_paths_that_are_none_are_refused() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    let mut cases = Vec::new();
    for method in ["POST", "DELETE", "PATCH", "OPTIONS", "PROPFIND"] {
        for path in
            [CONFIG, "/splitway/v1/keys", "/splitway/v1/revisions", "/splitway/v1/revisions/5"]
        {
            cases.push((call(method, path), 405, "This method is not for here"));
        }
    }
    for path in [
        "/splitway/v1",
        "/splitway/v1/",
        "/splitway/v1/nowhere",
        "/splitway/v2/config",
        "/apisix/admin",
        "/apisix/admin/",
        "/apisix",
        "/",
        "//apisix//admin//routes",
    ] {
        cases.push((call("GET", path), 404, ""));
    }
    for kind in
        ["nowhere", "ROUTES", "route", "credentials", "routes%00", "stream_routes", "secrets"]
    {
        cases.push((
            call("GET", &format!("/apisix/admin/{kind}")),
            404,
            "Unsupported resource type",
        ));
    }
    let yaml = put(CONFIG, "routes: []").header("Content-Type", "application/yaml");
    cases.push((yaml, 415, "JSON"));
    cases.push((put(ROUTE, r#"{"create_time":1}"#), 400, "create_time"));
    check(&serving, cases);
}

/// A body with so many bytes, of which those behind the value are blanks.
fn padded(value: &Value, length: usize) -> Vec<u8> {
    let mut body = value.to_string().into_bytes();
    body.resize(length, b' ');
    body
}

#[test]
fn bodies_are_taken_up_to_their_limits() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    let mut route = route("/x", "127.0.0.1:1");
    route["id"] = json!("1");
    let document =
        json!({"routes": [route], "upstreams": [{"id": "u", "nodes": {"127.0.0.1:1": 1}}]});
    let key = json!({"role": "admin", "key": "a-key-that-is-long-enough"});
    let mut cases = Vec::new();
    for is_chunked in [false, true] {
        let sized = |call: Call, value: &Value, length: usize| {
            let call = call.body(padded(value, length));
            if is_chunked { call.in_chunks() } else { call }
        };
        let max = "greater than the maximum size 1572864";
        cases.push((sized(call("PUT", ROUTE), &route, BODY_MAX + 1), 400, max));
        cases.push((sized(call("PATCH", ROUTE), &json!({}), BODY_MAX + 1), 400, max));
        let validate = call("POST", "/apisix/admin/configs/validate");
        let max = "greater than the maximum size 8388608";
        cases.push((sized(validate, &json!({}), DOCUMENT_MAX + 1), 400, max));
        cases.push((sized(call("PUT", CONFIG), &document, DOCUMENT_MAX + 1), 413, "8388608"));
        cases.push((sized(call("PUT", "/splitway/v1/keys/k"), &key, BODY_MAX + 1), 413, "1572864"));
    }
    // A resource that fits into a body and, with its times, into no row.
    let mut large = route.clone();
    large["labels"] = labels(0);
    large["labels"] = labels(BODY_MAX - large.to_string().len());
    cases.push((put(ROUTE, large.to_string()), 413, "1572864"));
    check(&serving, cases);

    let taken = |call: Call| {
        let answer = serving.ask_admin(&call);
        assert!(answer.status < 300, "{:.300}", answer.text());
    };
    taken(put(ROUTE, padded(&route, BODY_MAX)));
    taken(put(ROUTE, padded(&route, BODY_MAX)).in_chunks());
    taken(put(CONFIG, padded(&document, DOCUMENT_MAX)));
    taken(put(CONFIG, padded(&document, DOCUMENT_MAX)).in_chunks());
    taken(put("/splitway/v1/keys/k", padded(&key, BODY_MAX)));
}

/// The head of a PUT with the key, as it is on the wire, with these header lines more.
fn raw(target: &str, lines: &str) -> Vec<u8> {
    let head = format!("PUT {target} HTTP/1.1\r\nHost: admin\r\nX-API-KEY: {KEY}\r\n{lines}\r\n");
    head.into_bytes()
}

fn dial(serving: &Serving) -> Connection {
    Connection::open(serving.admin.expect("the Admin API is on"))
}

#[test]
fn bodies_that_break_off_are_told_from_those_that_are_too_large() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    let before = serving.config();
    let sound = route("/x", "127.0.0.1:1").to_string();
    for (target, words) in [(ROUTE, "broke off"), (CONFIG, "broke off")] {
        let mut connection = dial(&serving);
        let lines = format!("Content-Length: {}\r\n", sound.len() + 1);
        connection.send_raw("PUT", &[raw(target, &lines), sound.clone().into_bytes()].concat());
        connection.end_sending();
        if let Some(answer) = connection.next_answer() {
            assert_eq!(answer.status, 400, "{}", answer.text());
            assert!(answer.text().contains(words), "{}", answer.text());
        }
    }
    assert_eq!(serving.config(), before);
    // Less than was sent: what follows is no request, and no second write.
    let mut connection = dial(&serving);
    connection.send_raw("PUT", &[raw(ROUTE, "Content-Length: 3\r\n"), sound.into_bytes()].concat());
    let statuses: Vec<u16> =
        std::iter::from_fn(|| connection.next_answer()).map(|it| it.status).collect();
    assert!(statuses.iter().all(|status| *status == 400) && !statuses.is_empty(), "{statuses:?}");
    assert_eq!(serving.config(), before);
}

#[test]
fn framing_that_http_forbids_is_refused() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    let before = serving.config();
    let sound = route("/x", "127.0.0.1:1").to_string();
    let length = sound.len();
    for lines in [
        "Content-Length: abc\r\n".to_owned(),
        "Content-Length: -1\r\n".to_owned(),
        "Content-Length: 99999999999999999999999\r\n".to_owned(),
        format!("Content-Length: {length}\r\nContent-Length: {}\r\n", length - 1),
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        "Transfer-Encoding: gzip\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n".to_owned(),
    ] {
        let mut connection = dial(&serving);
        connection.send_raw("PUT", &[raw(ROUTE, &lines), sound.clone().into_bytes()].concat());
        connection.end_sending();
        let answer = connection.next_answer().map(|answer| answer.status);
        assert!(answer.is_none_or(|status| (400..=501).contains(&status)), "{lines}: {answer:?}");
        assert_eq!(serving.config(), before, "{lines}");
    }
}

/// A body that does not come holds up nobody but its sender.
#[test]
fn a_slow_body_holds_up_nobody_else() {
    let files = Files::new();
    let serving = serving(&files.path("data"));
    let sound = route("/slow", "127.0.0.1:1").to_string();
    let lines = format!("Content-Length: {}\r\n", sound.len());
    let mut slow: Vec<Connection> = (0..50)
        .map(|_| {
            let mut connection = dial(&serving);
            let part = sound.as_bytes()[..10].to_vec();
            connection.send_raw("PUT", &[raw(ROUTE, &lines), part].concat());
            connection
        })
        .collect();
    let answer = serving.send("PUT", "/apisix/admin/routes/2", &route("/x", "127.0.0.1:1"));
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(serving.config().1, 7);
    let mut last = slow.pop().expect("a connection");
    last.send_raw("PUT", &sound.as_bytes()[10..]);
    let answer: Answer = last.answer();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(serving.config().1, 8);
}
