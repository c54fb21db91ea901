//! A branch changes members of a JSON body, and leaves all the others as they are.

use serde_json::{Value, json};

use super::problems::is_problem;
use crate::document::{branches, split, upstream};
use crate::message::Call;
use crate::origin::Origin;
use crate::script::{Received, Reply};
use crate::target::Target;

/// A branch that merges this into bodies.
fn merging(name: &str, body: &Value, origin: &Origin) -> Value {
    json!({"name": name, "upstream": upstream(origin), "rewrite": {"body": body}})
}

fn json_of(body: impl Into<Vec<u8>>) -> Call {
    Call::post("/x", body).header("Content-Type", "application/json")
}

/// The body that was received, which must be whole and as long as its head says.
fn body(request: &Received) -> &[u8] {
    assert!(request.complete, "{request:?}");
    if !request.chunked {
        assert_eq!(request.header("content-length"), Some(request.body.len().to_string()));
    }
    &request.body
}

/// The same text without blanks, of which the texts here have none that count.
fn compact(body: &[u8]) -> String {
    let is_blank = |c: &char| c.is_ascii_whitespace();
    String::from_utf8_lossy(body).chars().filter(|c| !is_blank(c)).collect()
}

/// Sends a body, sized and in chunks, and checks what arrives.
fn check(target: &impl Target, origin: &Origin, sent: &str, expected: &str) {
    for call in [json_of(sent), json_of(sent).in_chunks()] {
        let answer = target.call(&call);
        assert_eq!(answer.status, 200, "{sent}: {}", answer.text());
        let request = origin.requests().pop().unwrap();
        assert_eq!(compact(body(&request)), expected, "{sent}");
    }
}

/// Members that the branch does not name keep their places and every digit.
pub(crate) fn members_that_are_not_named_stay_as_written(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&branches(&[merging("mini", &json!({"model": "gpt-4o-mini"}), &origin)]));

    check(target, &origin, r#"{"model":"gpt-4"}"#, r#"{"model":"gpt-4o-mini"}"#);
    check(
        target,
        &origin,
        r#"{"z":12345678901234567890123,"model":"gpt-4","a":1.0,"e":1e400,"n":-0,"f":0.10}"#,
        r#"{"z":12345678901234567890123,"model":"gpt-4o-mini","a":1.0,"e":1e400,"n":-0,"f":0.10}"#,
    );
    check(
        target,
        &origin,
        r#"{"messages":[{"role":"user","content":"\u00e9\/\ud83e\udd80é"}],"model":null}"#,
        r#"{"messages":[{"role":"user","content":"\u00e9\/\ud83e\udd80é"}],"model":"gpt-4o-mini"}"#,
    );
    check(
        target,
        &origin,
        "{\n \"b\": 1,\n \"a\": 2\n}\n",
        r#"{"b":1,"a":2,"model":"gpt-4o-mini"}"#,
    );
    check(target, &origin, "{}", r#"{"model":"gpt-4o-mini"}"#);
}

/// Objects are merged member by member; null takes a member away, and a list takes a list's place.
pub(crate) fn objects_are_merged_and_null_removes(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let patch = json!({
        "options": {"temperature": 0, "seed": null, "limits": {"tokens": 10}},
        "stop": ["end"],
        "user": null,
    });
    target.start(&branches(&[merging("strict", &patch, &origin)]));

    check(
        target,
        &origin,
        r#"{"options":{"top_p":0.10,"temperature":1.0,"seed":7},"stop":["a","b"],"user":"u","n":1}"#,
        r#"{"options":{"top_p":0.10,"temperature":0,"limits":{"tokens":10}},"stop":["end"],"n":1}"#,
    );
    check(
        target,
        &origin,
        r#"{"options":"none","n":1.0,"stop":null}"#,
        r#"{"options":{"limits":{"tokens":10},"temperature":0},"n":1.0,"stop":["end"]}"#,
    );
    check(
        target,
        &origin,
        r#"{"options":{"limits":{"time":1}},"stop":{},"user":{"user":1}}"#,
        r#"{"options":{"limits":{"time":1,"tokens":10},"temperature":0},"stop":["end"]}"#,
    );
}

/// A body that gets longer or shorter is framed as what it has become.
pub(crate) fn lengths_are_those_of_the_new_body(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let long = "v".repeat(5000);
    target.start(&branches(&[
        merging("longer", &json!({"model": long}), &origin),
        merging("shorter", &json!({"messages": null}), &origin),
    ]));

    let sent = json!({"messages": "m".repeat(70_000), "model": "gpt-4"}).to_string();
    for call in [json_of(sent.clone()), json_of(sent).in_chunks()] {
        for _ in 0..2 {
            let answer = target.call(&call);
            let request = origin.requests().pop().unwrap();
            let received: Value = serde_json::from_slice(body(&request)).unwrap();
            let expected = match answer.branch().as_deref() {
                Some("longer") => json!({"messages": "m".repeat(70_000), "model": long}),
                Some("shorter") => json!({"model": "gpt-4"}),
                other => panic!("branch {other:?}"),
            };
            assert_eq!(received, expected);
        }
    }
}

/// Only the requests of the branch that says so are changed; those of the others are not touched.
pub(crate) fn other_branches_leave_bodies_alone(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&branches(&[
        merging("changed", &json!({"model": "gpt-4o-mini"}), &origin),
        json!({"name": "untouched", "upstream": upstream(&origin)}),
    ]));

    let sent = "{ \"model\" : \"gpt-4\" ,\r\n\"model\":\"\\u0067\", \"n\": 1e0 }\n";
    for call in [json_of(sent), json_of(sent).in_chunks()] {
        let mut branches = Vec::new();
        for _ in 0..2 {
            let branch = target.call(&call).branch().unwrap();
            let request = origin.requests().pop().unwrap();
            assert_eq!(body(&request) == sent.as_bytes(), branch == "untouched", "{branch}");
            branches.push(branch);
        }
        branches.sort();
        assert_eq!(branches, ["changed", "untouched"]);
    }
}

/// Where there is no body, none is made.
pub(crate) fn a_request_without_a_body_stays_without(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&branches(&[merging("mini", &json!({"model": "gpt-4o-mini"}), &origin)]));

    for call in [Call::get("/x"), Call::new("DELETE", "/x"), json_of(""), json_of("").in_chunks()] {
        let answer = target.call(&call);
        assert_eq!(answer.status, 200, "{call:?}: {}", answer.text());
        let request = origin.requests().pop().unwrap();
        assert!(request.complete && request.body.is_empty(), "{call:?}");
        assert!(request.header("content-length").is_none_or(|length| length == "0"), "{call:?}");
    }
}

/// What cannot be merged into is the client's mistake, and no upstream hears of it.
pub(crate) fn a_body_that_is_not_json_is_refused(target: &mut impl Target) {
    // `printf '{}' | gzip -9n`
    const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\
        \x02\x00\x00\x00";
    let origin = target.origin(Reply::ok(""));
    target.start(&branches(&[merging("mini", &json!({"model": "gpt-4o-mini"}), &origin)]));

    for body in ["model=gpt-4", "{\"model\":", "{\"a\":1}{}", "{'a':1}", "{\"a\":\"\u{1}\"}", " "] {
        for call in [json_of(body), json_of(body).in_chunks()] {
            let answer = target.call(&call);
            assert!([400, 415].contains(&answer.status), "{body}: {}", answer.status);
            is_problem(&answer, answer.status);
        }
    }
    let answer = target.call(&json_of(GZIP).header("Content-Encoding", "gzip"));
    assert!([400, 415].contains(&answer.status), "{}", answer.status);
    is_problem(&answer, answer.status);
    assert_eq!(origin.count(), 0);
}

/// What is too long to be changed is refused by the branch that would change it, and by no other.
pub(crate) fn a_body_too_long_to_be_changed_is_a_413_problem(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let list = json!([
        merging("changed", &json!({"model": "gpt-4o-mini"}), &origin),
        {"name": "untouched", "upstream": upstream(&origin)},
    ]);
    let split = json!({"rules": [{"weighted_upstreams": list}]});
    let routes = json!([{"uri": "/*", "plugins": {"traffic-split": split}}]);
    target.start(&json!({"settings": {"body_max": 100}, "routes": routes}).to_string());

    let sent = json!({"text": "x".repeat(100)}).to_string();
    for call in [json_of(sent.clone()), json_of(sent.clone()).in_chunks()] {
        let answers = [target.call(&call), target.call(&call)];
        let mut statuses = answers.each_ref().map(|answer| answer.status);
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 413]);
        let refused = answers.iter().find(|answer| answer.status == 413).unwrap();
        is_problem(refused, 413);
        assert_eq!(refused.branch().as_deref(), Some("changed"));
        assert_eq!(origin.requests().pop().unwrap().body, sent.as_bytes());
    }
    assert_eq!(origin.count(), 2);
}

/// A condition and a branch can both use the body of one request.
pub(crate) fn a_body_can_decide_and_be_changed(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let split = json!({"rules": [{
        "match": [{"vars": [["post_arg.model", "==", "gpt-4"]]}],
        "weighted_upstreams": [merging("mini", &json!({"model": "gpt-4o-mini"}), &origin)],
    }]});
    let plugins = json!({"traffic-split": split});
    let route = json!({"uri": "/*", "upstream": upstream(&origin), "plugins": plugins});
    target.start(&json!({"routes": [route]}).to_string());

    check(target, &origin, r#"{"model":"gpt-4","n":1.0}"#, r#"{"model":"gpt-4o-mini","n":1.0}"#);
    check(target, &origin, r#"{"model":"gpt-3","n":1.0}"#, r#"{"model":"gpt-3","n":1.0}"#);
}

/// Whoever reads the new body finds what the branch says and nothing else, however the client wrote the
/// member: with escapes in its name, or several times.
pub(crate) fn no_writing_of_a_member_gets_around_the_branch(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let patch = json!({"model": "mini", "user": null});
    target.start(&branches(&[merging("mini", &patch, &origin)]));

    for sent in [
        r#"{"mod\u0065l":"large","n":1}"#,
        r#"{"model":"large","n":1,"model":"large"}"#,
        r#"{"model":"large","n":1,"\u006dodel":"large"}"#,
        r#"{"user":"large","n":1,"us\u0065r":"large"}"#,
    ] {
        assert_eq!(target.call(&json_of(sent)).status, 200, "{sent}");
        let received = compact(body(&origin.requests().pop().unwrap()));
        assert!(!received.contains("large"), "{sent}: {received}");
        assert_eq!(received.matches("mini").count(), 1, "{sent}: {received}");
        let received: Value = serde_json::from_str(&received).unwrap();
        assert_eq!(received, json!({"model": "mini", "n": 1}), "{sent}");
    }
}

/// What is nested deeper than anybody needs is refused or merged into, and harms nobody.
pub(crate) fn bodies_nested_without_end_harm_nobody(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&branches(&[merging("mini", &json!({"model": "gpt-4o-mini"}), &origin)]));

    let nested = |open: &str, close: &str| {
        let (open, close) = (open.repeat(100_000), close.repeat(100_000));
        [format!("{{\"a\":{open}1{close}}}"), format!("{{\"a\":{open}")]
    };
    for sent in [nested("[", "]"), nested("{\"a\":", "}"), nested("{\"model\":", "}")].concat() {
        let answer = target.call(&json_of(sent));
        assert!([200, 400].contains(&answer.status), "{}", answer.status);
    }
    check(target, &origin, "{}", r#"{"model":"gpt-4o-mini"}"#);
}

/// So can a key, and what a value is made of.
pub(crate) fn a_body_can_have_the_key_and_be_changed(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let mut branch = merging("mini", &json!({"model": "gpt-4o-mini"}), &origin);
    branch["headers"] = json!({"set": {"X-Asked": "$post_arg.model"}});
    let rule = json!({"sticky": {"by": ["body:/user"]}, "weighted_upstreams": [branch]});
    target.start(&split(&[rule]));

    let (sent, expected) = (r#"{"model":"gpt-4","user":7}"#, r#"{"model":"gpt-4o-mini","user":7}"#);
    check(target, &origin, sent, expected);
    assert_eq!(origin.requests().pop().unwrap().header("x-asked").as_deref(), Some("gpt-4"));
}
