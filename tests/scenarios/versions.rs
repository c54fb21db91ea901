//! What a branch makes of a request for its version, and of the response of that version.

use serde_json::{Value, json};

use crate::document::{branches, routes, upstream};
use crate::message::Call;
use crate::origin::Origin;
use crate::script::Reply;
use crate::target::Target;

/// The parts of a query, sorted: where set ones stand among the others is not promised.
fn sorted_query(target: &str) -> Vec<&str> {
    let (_, query) = target.split_once('?').unwrap_or((target, ""));
    let mut parts: Vec<&str> = query.split('&').filter(|part| !part.is_empty()).collect();
    parts.sort_unstable();
    parts
}

/// A document with one branch, which rewrites like this.
fn one_branch(origin: &Origin, changes: &Value) -> String {
    let mut branch = changes.clone();
    branch["upstream"] = upstream(origin);
    branches(&[branch])
}

/// Of several patterns the first that matches makes the new path, with what it captured.
pub(crate) fn patterns_make_new_paths(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let patterns = json!(["^/api/(\\w+)/(.*)$", "/$2/of/$1", "^/(api.*)$", "/old/$1", "b", "c"]);
    target.start(&one_branch(&origin, &json!({"rewrite": {"regex_uri": patterns}})));

    for (sent, expected) in [
        ("/api/chat/1/2?q=%20", "/1/2/of/chat?q=%20"),
        ("/api", "/old/api"),
        ("/abb", "/acb"),
        ("/x%2Fy?b", "/x%2Fy?b"),
    ] {
        assert_eq!(target.call(&Call::get(sent)).status, 200, "{sent}");
        assert_eq!(origin.requests().pop().unwrap().target, expected, "{sent}");
    }
}

/// Arguments are set in place of the client's, or removed; the others are left as they were written.
pub(crate) fn arguments_are_set_and_removed(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let query = json!({"set": {"version": "2", "tag": "a b&c"}, "remove": ["debug", "none"]});
    target.start(&one_branch(&origin, &json!({"rewrite": {"query": query}})));

    for (sent, kept) in [
        ("/x", &[][..]),
        ("/x?a=%20b&a=+&c", &["a=%20b", "a=+", "c"]),
        ("/x?version=1&debug=1&a=1&version=0&debug", &["a=1"]),
        ("/x?versions=1&de%62ug=1", &["versions=1"]),
    ] {
        assert_eq!(target.call(&Call::get(sent)).status, 200, "{sent}");
        let received = origin.requests().pop().unwrap().target;
        let mut expected = [kept, &["tag=a%20b%26c", "version=2"]].concat();
        expected.sort_unstable();
        assert!(received.starts_with("/x?"), "{received}");
        assert_eq!(sorted_query(&received), expected, "{sent}");
    }
}

/// It can make a GET of a request without a body.
pub(crate) fn a_branch_can_make_a_get_of_a_post(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&one_branch(&origin, &json!({"rewrite": {"method": "GET"}})));
    assert_eq!(target.call(&Call::new("POST", "/x").header("Content-Length", "0")).status, 200);
    let requests = origin.requests();
    let request = requests.first().expect("it arrived");
    assert_eq!((request.method.as_str(), request.body.as_slice()), ("GET", &b""[..]));
}

/// A branch can ask with another method; the body goes along.
pub(crate) fn a_branch_can_ask_with_another_method(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&one_branch(&origin, &json!({"rewrite": {"method": "PUT"}})));

    let sized = Call::post("/x", "a body");
    for call in [sized.clone(), sized.in_chunks()] {
        assert_eq!(target.call(&call).status, 200);
        let request = origin.requests().pop().unwrap();
        assert_eq!((request.method.as_str(), request.body.as_slice()), ("PUT", &b"a body"[..]));
    }
}

/// New paths, arguments and headers can be made of what the request says.
pub(crate) fn values_can_be_made_of_the_request(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let changes = json!({
        "rewrite": {"uri": "/${arg_v ?? v1}/$arg_name", "query": {"set": {"by": "$http_x_by"}}},
        "headers": {"set": {"X-Asked": "${http_x_by ?? nobody}", "X-Plain": "5$ and more"}},
        "response_headers": {"set": {"X-Version": "${arg_v ?? v1}"}},
    });
    target.start(&one_branch(&origin, &changes));

    let call = Call::get("/x?v=v2&name=chat").header("X-By", "alice");
    assert_eq!(target.call(&call).header("x-version").as_deref(), Some("v2"));
    let request = origin.requests().pop().unwrap();
    assert!(request.target.starts_with("/v2/chat?"), "{}", request.target);
    assert_eq!(sorted_query(&request.target), ["by=alice", "name=chat", "v=v2"]);
    assert_eq!(request.header("x-asked").as_deref(), Some("alice"));
    assert_eq!(request.header("x-plain").as_deref(), Some("5$ and more"));

    assert_eq!(target.call(&Call::get("/x")).header("x-version").as_deref(), Some("v1"));
    let request = origin.requests().pop().unwrap();
    assert_eq!(request.target, "/v1/?by=");
    assert_eq!(request.header("x-asked").as_deref(), Some("nobody"));
}

/// What a client puts into a value ends neither the path nor the line it is put into.
pub(crate) fn values_stay_where_they_are_put(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let changes = json!({
        "rewrite": {"uri": "/u/$arg_name/end"},
        "headers": {"set": {"X-Name": "$arg_name"}},
        "response_headers": {"set": {"X-Name": "$arg_name"}},
    });
    target.start(&one_branch(&origin, &changes));

    for sent in ["/x?name=a%0d%0aX-Own:%201", "/x?name=a%3Fadmin=1", "/x?name=a%23b"] {
        let answer = target.call(&Call::get(sent));
        assert_eq!(answer.status, 200, "{sent}");
        assert!(!answer.headers.has("x-own"), "{sent}");
        let request = origin.requests().pop().unwrap();
        let (path, query) = request.target.split_once('?').unwrap();
        assert!(path.starts_with("/u/a") && path.ends_with("/end"), "{path}");
        assert_eq!(Some(query), sent.split_once('?').map(|(_, query)| query));
        assert!(!request.headers.has("x-own"), "{sent}");
    }
}

/// A branch changes the headers of its responses; what proves who served is not its to change.
pub(crate) fn headers_of_responses_are_set_added_and_removed(target: &mut impl Target) {
    let reply = Reply::ok("pong")
        .header("X-Api-Version", "1")
        .header("X-Tag", "upstream")
        .header("X-Powered-By", "something")
        .header("X-Other", "kept");
    let origin = target.origin(reply);
    let changes = json!({"name": "v2", "response_headers": {
        "set": {"X-Api-Version": "2"},
        "add": {"X-Tag": "split"},
        "remove": ["X-Powered-By"],
    }});
    target.start(&one_branch(&origin, &changes));

    let answer = target.call(&Call::get("/x"));
    assert_eq!((answer.status, answer.text()), (200, "pong".to_owned()));
    assert_eq!(answer.headers.all("x-api-version"), [b"2"]);
    assert_eq!(answer.headers.all("x-other"), [b"kept"]);
    assert!(!answer.headers.has("x-powered-by"));
    let tags = answer.headers.all("x-tag").join(b", ".as_slice());
    assert_eq!(String::from_utf8_lossy(&tags), "upstream, split");
    assert_eq!(answer.branch().as_deref(), Some("v2"));
}

/// A branch can ask for another host, where its upstream passes hosts on.
pub(crate) fn a_branch_can_ask_for_another_host(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let branch = |pass_host: &str| {
        let mut upstream = upstream(&origin);
        upstream["pass_host"] = json!(pass_host);
        json!({"upstream": upstream, "rewrite": {"host": "v2.example:8"}})
    };
    let route = |uri: &str, branch: Value| {
        let rules = json!([{"weighted_upstreams": [branch]}]);
        json!({"uri": uri, "plugins": {"traffic-split": {"rules": rules}}})
    };
    target.start(&routes(&[route("/pass", branch("pass")), route("/node", branch("node"))]));

    for (path, expected) in [("/pass", "v2.example:8"), ("/node", origin.authority())] {
        assert_eq!(target.call(&Call::get(path)).status, 200, "{path}");
        let host = origin.requests().pop().unwrap().header("host");
        assert_eq!(host.as_deref(), Some(expected), "{path}");
    }
}

/// Values can be made of the body, too, which then arrives as it was sent.
pub(crate) fn values_can_be_made_of_the_body(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    let changes = json!({
        "rewrite": {"uri": "/v2/$post_arg.model"},
        "headers": {"set": {"X-User": "${post_arg.user.id ?? nobody}"}},
        "response_headers": {"set": {"X-Model": "$post_arg.model"}},
    });
    target.start(&one_branch(&origin, &changes));

    let sent = r#"{ "model":"gpt-4", "user":{"id":17} }"#;
    let call = Call::post("/x", sent).header("Content-Type", "application/json");
    for call in [call.clone(), call.in_chunks()] {
        assert_eq!(target.call(&call).header("x-model").as_deref(), Some("gpt-4"));
        let request = origin.requests().pop().unwrap();
        assert_eq!(request.target, "/v2/gpt-4");
        assert_eq!(request.header("x-user").as_deref(), Some("17"));
        assert_eq!(request.body, sent.as_bytes());
    }
}
