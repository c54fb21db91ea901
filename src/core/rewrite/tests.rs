use super::fake::Fake;
use super::*;
use crate::wire;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BranchWire {
    rewrite: Option<RewriteWire>,
    headers: Option<HeadersWire>,
    response_headers: Option<HeadersWire>,
}

fn compile(value: &Value) -> (Option<Rewrite>, Report) {
    let mut report = Report::default();
    let check = |wire: BranchWire, report: &mut Report| {
        let BranchWire { rewrite, headers, response_headers } = &wire;
        let (headers, response) = (headers.as_ref(), response_headers.as_ref());
        Some(Rewrite::compile(rewrite.as_ref(), headers, response, At::Root, report))
    };
    let rewrite = wire::read(value, At::Root, &mut report, check);
    (rewrite, report)
}

fn rewrite(value: &Value) -> Rewrite {
    let (rewrite, report) = compile(value);
    assert_eq!(report.faults, [], "{value}");
    rewrite.unwrap()
}

/// Checks what becomes of targets.
fn check(wire: &Value, targets: &[(&str, &str)]) {
    let rewrite = rewrite(&json!({"rewrite": wire}));
    for (sent, expected) in targets {
        let head = Fake::new("GET", sent);
        assert_eq!(head.through(&rewrite).unwrap().target(), *expected, "{sent} by {wire}");
    }
}

#[test]
fn the_query_of_the_client_is_kept_behind_the_own_one() {
    check(&json!({}), &[("/a%2fb", "/a%2fb"), ("/a?", "/a?"), ("/a?b&b=%20", "/a?b&b=%20")]);
    check(&json!({"uri": "/v1/a"}), &[("/a", "/v1/a"), ("/a?b=c", "/v1/a?b=c")]);
    check(
        &json!({"uri": "/v1/a?x=y"}),
        &[("/a", "/v1/a?x=y"), ("/a?b=?c", "/v1/a?x=y&b=?c"), ("/a?", "/v1/a?x=y")],
    );
    check(&json!({"uri": "/v1?"}), &[("/a?b", "/v1?b"), ("/a", "/v1?")]);
}

#[test]
fn a_plain_path_is_lent_and_not_copied() {
    let rewrite = rewrite(&json!({"rewrite": {"uri": "/v1/a%20b?c=d", "host": "b:1"}}));
    let head = Fake::new("GET", "/a");
    let draft = head.through(&rewrite).unwrap();
    assert!(matches!(draft.path, Cow::Borrowed("/v1/a%20b")));
    assert!(matches!(draft.query, Some(Cow::Borrowed("c=d"))));
    assert!(matches!(draft.host, Some(Cow::Borrowed("b:1"))));
    assert!(matches!(draft.method, Cow::Borrowed("GET")));
}

#[test]
fn the_first_pattern_that_matches_is_replaced_once() {
    check(
        &json!({"regex_uri": ["^/api/(v\\d)/(.*)$", "/${1}x/$2", "o", "0", "^/z", "/y?q=$0"]}),
        &[
            ("/api/v2/a/b?c", "/v2x/a/b?c"),
            ("/foo/o", "/f0o/o"),
            ("/zab?c", "/y?q=/zab&c"),
            ("/%61pi/v2//a", "/v2x/a"),
            ("/q%2Fr", "/q%2Fr"),
        ],
    );
    check(&json!({"regex_uri": ["^/a(b)?(.*)", "$1$$&$2"]}), &[("/acd", "/$&cd"), ("/ab", "/b$&")]);
}

#[test]
fn what_a_pattern_captures_stays_in_its_place() {
    check(
        &json!({"regex_uri": ["^/p/(.*)", "/$1", "^/q/(.*)", "/q?v=$1"]}),
        &[
            ("/p/a%3Fb%23c%25d%20e", "/a%3Fb%23c%25d%20e"),
            ("/p/new%0d%0aInjected", "/new%0D%0AInjected"),
            ("/p/caf%c3%a9/%e9", "/caf%C3%A9/%E9"),
            ("/p/caf%c3%a9", "/caf%C3%A9"),
            ("/p//x.example/", "/x.example/"),
            ("/q/a&b=c+d'e%3Ff%00", "/q?v=a%26b%3Dc%2Bd%27e?f%00"),
        ],
    );
    check(&json!({"regex_uri": ["^/a(.*)", "/b/.$1"]}), &[("/a.", "/b/"), ("/a./c", "/b/c")]);
}

#[test]
fn what_variables_stand_for_stays_in_its_place() {
    check(
        &json!({"uri": "/v/$arg_p/end?q=${arg_q ?? none}&r=1"}),
        &[
            ("/a?p=b", "/v/b/end?q=none&r=1&p=b"),
            ("/a?p=x%2Fy", "/v/x/y/end?q=none&r=1&p=x%2Fy"),
            ("/a?p=%3Fa%23b%0d%0a", "/v/%3Fa%23b%0D%0A/end?q=none&r=1&p=%3Fa%23b%0d%0a"),
            ("/a?p=..%2F..%2Fb", "/v/b/end?q=none&r=1&p=..%2F..%2Fb"),
            ("/a?p=%252e%252e", "/v/%252e%252e/end?q=none&r=1&p=%252e%252e"),
            ("/a?q=%26admin%3D1", "/v//end?q=%26admin%3D1&r=1&q=%26admin%3D1"),
            ("/a?p=%5C%C3%A9+", "/v/%5C%C3%A9%20/end?q=none&r=1&p=%5C%C3%A9+"),
        ],
    );
    check(&json!({"uri": "/old$uri"}), &[("/%252e%252e/%2525%20", "/old/%252e%252e/%2525%20")]);
    check(&json!({"uri": "/log?$args"}), &[("/a?b=%20&c=#", "/log?b=%20&c=%23&b=%20&c=#")]);
}

#[test]
fn arguments_are_removed_and_set_and_the_others_kept() {
    check(
        &json!({"query": {"set": {"v": 2, "a b": "$arg_x&"}, "remove": ["key", "x"]}}),
        &[
            ("/p", "/p?a%20b=%26&v=2"),
            ("/p?v=1&y=%20&v&k%65y=s&&z&a+b=1", "/p?y=%20&&z&a%20b=%26&v=2"),
            ("/p?x=1%262", "/p?a%20b=1%262%26&v=2"),
        ],
    );
    check(&json!({"query": {"remove": ["a"]}}), &[("/p?a=1", "/p"), ("/p", "/p"), ("/p?", "/p?")]);
    check(
        &json!({"uri": "/u?a=1&b=2", "query": {"set": {"a": ["3", 4]}}}),
        &[("/p?c&a=0", "/u?b=2&c&a=3&a=4")],
    );
}

#[test]
fn headers_are_added_then_set_then_removed() {
    let rewrite = rewrite(&json!({"headers": {
        "add": {"X-Both": "lost", "x-tag": ["a", 1.5], "x-gone": "lost"},
        "set": {"x-both": ["one", "two"], "x-gone": "lost"},
        "remove": ["X-Gone"],
    }}));
    let head =
        Fake::new("GET", "/").header("x-both", "c").header("x-tag", "c").header("x-gone", "c");
    let edits = head.through(&rewrite).unwrap().edits;
    assert_eq!(head.sent("x-both", &edits), ["one", "two"]);
    assert_eq!(head.sent("x-tag", &edits), ["c", "a", "1.5"]);
    assert_eq!(head.sent("x-gone", &edits), [""; 0]);
}

#[test]
fn a_later_rewrite_wins_over_an_earlier_one() {
    let first = rewrite(&json!({
        "rewrite": {"uri": "/first", "method": "PUT"},
        "headers": {"set": {"x-a": "1", "x-b": "1"}, "add": {"x-c": "1"}, "remove": ["x-d"]},
    }));
    let second = rewrite(&json!({
        "rewrite": {"regex_uri": ["^/f(.*)", "/w$1"]},
        "headers": {"set": {"x-a": "$1", "x-d": "2"}, "add": {"x-c": "2"}, "remove": ["x-b"]},
    }));
    let head = Fake::new("GET", "/").header("x-d", "c");
    let between = head.through(&first).unwrap();
    let mut draft = between.clone();
    let facts = Facts::new(&head, &between, crate::facts::Body::Whole(b""));
    second.apply(&facts, &mut draft).unwrap();
    assert_eq!((&*draft.method, &*draft.target()), ("PUT", "/wirst"));
    let sent = |name: &str| head.sent(name, &draft.edits);
    assert_eq!((sent("x-a"), sent("x-b")), (vec!["irst".to_owned()], vec![]));
    assert_eq!((sent("x-c"), sent("x-d")), (vec!["1".into(), "2".into()], vec!["2".into()]));
}

#[test]
fn a_header_cannot_be_broken_by_what_is_filled_in() {
    let rewrite = rewrite(&json!({
        "rewrite": {"regex_uri": ["^/(.*)/x", "/"]},
        "headers": {"set": {"x-v": "[$arg_v]", "x-w": "$arg_v", "x-c": "[$1]", "x-p": "a\\$arg_v $"}},
        "response_headers": {"set": {"x-v": "$arg_v"}},
    }));
    let head = Fake::new("GET", "/a%0Ab%E9$arg_v/x?v=%20a%0d%0aX-Evil:%201%00%C3%A9%7F")
        .header("x-w", "c");
    let edits = head.through(&rewrite).unwrap().edits;
    assert_eq!(head.sent("x-v", &edits), ["[ aX-Evil: 1]"]);
    assert_eq!(head.sent("x-w", &edits), ["aX-Evil: 1"]);
    assert_eq!(head.sent("x-c", &edits), ["[]"], "a `.` is no line break");
    assert_eq!(head.sent("x-p", &edits), ["a\\$arg_v $"]);
    assert_eq!(head.response(&rewrite).set, [("x-v".into(), "aX-Evil: 1".into())]);
    let head = Fake::new("GET", "/b%E9%0d$arg_v/x");
    let edits = head.through(&rewrite).unwrap().edits;
    assert_eq!(head.sent("x-c", &edits), ["[b$arg_v]"], "a value is not filled in again");
    assert_eq!(head.sent("x-w", &edits), [""]);
}

#[test]
fn members_are_merged_into_a_body_and_what_describes_it_is_removed() {
    let rewrite = rewrite(&json!({"rewrite": {"body": {"model": "v2", "stream": null}}}));
    assert!(rewrite.needs_body());
    let post = |body: &str| Fake::new("POST", "/").header("digest", "a=b").body(body);
    let head = post(r#"{"stream": true, "model": "v1", "n": 1.0}"#);
    let draft = head.through(&rewrite).unwrap();
    assert_eq!(draft.body.as_deref(), Some(br#"{"model":"v2","n":1.0}"#.as_slice()));
    assert_eq!(head.sent("digest", &draft.edits), [""; 0]);

    let head = post("");
    let draft = head.through(&rewrite).unwrap();
    assert_eq!((draft.body, draft.edits), (None, Edits::default()));
    for (head, problem) in [
        (post("a=b"), Problem::BodyNotJson),
        (post("{}").header("content-encoding", "gzip"), Problem::BodyEncoded),
        (post("{}").header("content-encoding", "identity, br"), Problem::BodyEncoded),
    ] {
        assert_eq!(head.through(&rewrite).unwrap_err(), problem);
    }
    assert!(post("{}").header("content-encoding", "Identity").through(&rewrite).is_ok());
}

#[test]
fn a_body_that_has_not_been_read_is_asked_for() {
    let rewrite = rewrite(&json!({"rewrite": {"body": {"a": 1}}}));
    let head = Fake::new("POST", "/").body("{}");
    let received = Draft::of(&head);
    let facts = Facts::new(&head, &received, crate::facts::Body::Unread);
    let mut draft = received.clone();
    assert_eq!(rewrite.apply(&facts, &mut draft), Ok(()));
    assert!(facts.wants_body() && draft.body.is_none());
}

#[test]
fn segments_of_dots_are_not_written_in_a_path() {
    let faults = |wire: Value| {
        let (_, report) = compile(&json!({ "rewrite": wire }));
        report.faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let is_refused = |wire: Value, at: &str| {
        let faults = faults(wire.clone());
        let expected = format!("{at}: the segments `.` and `..`, also escaped");
        assert!(matches!(&*faults, [one] if one.starts_with(&expected)), "{wire}: {faults:?}");
    };
    for uri in ["/base/../up", "/%2e%2E/a", "/a/.", "/.%2e?b", "/$arg_a/../b", "/../$arg_a"] {
        is_refused(json!({ "uri": uri }), "/rewrite/uri");
    }
    is_refused(json!({"regex_uri": ["^/a(.*)", "/v/../$1"]}), "/rewrite/regex_uri/1");
    for uri in ["/...", "/.a/b..", "/a?b=/../", "/.$arg_a/b", "/$arg_a..", "/.${arg_a}./"] {
        assert_eq!(faults(json!({ "uri": uri })), [""; 0], "{uri}");
    }
    for replacement in ["..", "/a/.", "./a", ".$0."] {
        assert_eq!(faults(json!({"regex_uri": ["o", replacement]})), [""; 0], "{replacement}");
    }
}

#[test]
fn values_and_replacements_have_a_length() {
    let wire = |length: usize| {
        let text = "a".repeat(length);
        json!({
            "rewrite": {"regex_uri": ["^/", text], "query": {"set": {"a": text}}},
            "headers": {"set": {"x-a": ["", text]}},
            "response_headers": {"add": {"x-a": text}},
        })
    };
    rewrite(&wire(8192));
    let (_, report) = compile(&wire(8193));
    let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
    let places = [
        "/rewrite/regex_uri/1",
        "/rewrite/query/set/a",
        "/headers/set/x-a",
        "/response_headers/add/x-a",
    ];
    let what = "expected at most 8192 bytes, found 8193";
    assert_eq!(faults, places.map(|at| format!("{at}: {what}")));
}

#[test]
fn what_proves_who_served_is_not_for_a_response_to_change() {
    let edits = |verb: &str, name: &str| match verb {
        "remove" => json!({verb: [name]}),
        _ => json!({verb: {name: "fake"}}),
    };
    for name in ["X-Splitway-Route", "x-splitway-branch", "x-splitway-revision"] {
        for verb in ["set", "add", "remove"] {
            let (_, report) = compile(&json!({"response_headers": edits(verb, name)}));
            let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
            let key = if verb == "remove" { "0" } else { name };
            let what = "this header proves who served and cannot be edited";
            assert_eq!(faults, [format!("/response_headers/{verb}/{key}: {what}")]);
            rewrite(&json!({"headers": edits(verb, name)}));
        }
    }
}

#[test]
fn faults_are_told_with_their_places() {
    let (_, report) = compile(&json!({
        "rewrite": {
            "uri": "v1/a b", "regex_uri": ["(", "/$`", "(?=x)"], "host": "a/b", "method": "PSOT",
            "query": {"set": {"a": []}, "remove": ["a"]}, "body": [],
        },
        "headers": {"set": {"Host": "a", "x-v": "2\r\n", "x y": true}, "remove": ["te", ""]},
    }));
    let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
    let expected = [
        "/headers/set/x y: expected a text, a number or a list, found `true`",
        "/rewrite/body: expected an object, found a list",
        "/rewrite/method: unknown value `PSOT`, expected one of",
        "/rewrite/regex_uri: expected pairs of a pattern and a replacement",
        "/rewrite/regex_uri/1: behind `$` a number or a name is expected",
        "/rewrite/regex_uri/0: cannot be used as a regular expression",
        "/rewrite/uri: expected a path that starts with `/`",
        "/rewrite/uri: a character cannot stand in a URI (RFC 3986)",
        "/rewrite/query/remove/0: this argument is also set",
        "/rewrite/query/set/a: expected at least one value",
        "/rewrite/host: expected `host` or `host:port`",
        "/headers/set/Host: this header belongs to the connection",
        "/headers/set/x-v: expected visible ASCII as header value",
        "/headers/remove/0: this header belongs to the connection",
        "/headers/remove/1: expected a header name",
    ];
    for expected in expected {
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{expected}: {faults:#?}");
    }
    assert_eq!(faults.len(), expected.len() + 1, "{faults:#?}");
    let (_, report) = compile(&json!({"rewrite": {"uri": "/a$helle/b"}}));
    assert_eq!((report.faults.len(), report.warnings.len()), (0, 1));
    let (_, report) = compile(&json!({"rewrite": {"regex_uri": ["^/(a)", "/$1?b=$2"]}}));
    let warnings: Vec<String> = report.warnings.iter().map(ToString::to_string).collect();
    let expected = "/rewrite/regex_uri/1: nothing is filled in here: the pattern has no group 2";
    assert_eq!(warnings, [expected]);
}
