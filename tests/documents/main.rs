//! What is said about documents: every fault at once, each with its place, and what APISIX or the edge
//! would do differently.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

mod agreement;
mod consumers;
mod inheritance;
mod readme;
mod differences;
mod schema;
mod splits;
mod vectors;

use serde_json::{Value, json};
use splitway_core::config::{Published, Resources};
use splitway_core::fault::{Fault, Report};
use splitway_core::kind::Kind;
use splitway_core::snapshot::{self, Revision, compile_json};

fn check(document: &Value, faults: &[&str], warnings: &[&str]) {
    let mut report = Report::default();
    let snapshot = compile_json(&document.to_string(), 0, &mut report);
    let texts = |list: &[Fault]| list.iter().map(Fault::to_string).collect::<Vec<_>>();
    assert_eq!(texts(&report.faults), faults, "faults of {document}");
    assert_eq!(texts(&report.warnings), warnings, "warnings of {document}");
    assert_eq!(snapshot.is_some(), faults.is_empty());
}

fn upstream() -> Value {
    json!({"nodes": {"127.0.0.1:80": 1}, "pass_host": "node"})
}

fn route_with_split(split: &Value) -> Value {
    json!({"routes": [{"uri": "/*", "upstream": upstream(), "plugins": {"traffic-split": split}}]})
}

const AT: &str = "/routes/0/plugins/traffic-split";

#[test]
fn every_fault_of_a_document_is_reported_at_once() {
    check(
        &json!({
            "routes": [
                {"id": "a", "uri": "no-slash", "upstream_id": "u2", "methods": ["GTE"]},
                {"id": "a", "uris": [], "upstream": {"nodes": {"bad host": 1}, "pass_host": "node"}},
                {"uri": "/c", "plugins": {"traffic-spilt": {}}},
                {"uri": "/d", "upstream": "ftp://x", "filter_func": ""},
            ],
            "upstreams": [{"id": "u1", "nodes": {}, "type": "chash", "pass_host": "node"}],
            "setings": {},
            "services": [{"scrpt": 1}],
        }),
        &[
            "/setings: unknown key; did you mean `settings`?",
            "/upstreams/0/nodes: expected at least one node",
            "/upstreams/0: `key` is missing, `type` \"chash\" needs it",
            "/services/0/scrpt: unknown key; did you mean `script`?",
            "/routes/0/uri: expected a path of up to 4096 bytes that starts with `/`",
            "/routes/0/methods/0: unknown method; did you mean `GET`?",
            "/routes/0/upstream_id: there is no upstream `u2`; did you mean `u1`?",
            "/routes/1/id: another route has the id `a`",
            "/routes/1/uris: expected at least one",
            "/routes/1/upstream/nodes/bad host: expected a host name or address and a port from 1 to 65535",
            "/routes/2/plugins/traffic-spilt: unknown plugin [traffic-spilt]; did you mean `traffic-split`?",
            "/routes/3/filter_func: APISIX runs Lua here, which Splitway does not: `vars` can say much of it",
            "/routes/3/upstream: expected `http://host[:port]` or `https://host[:port]`, without a path",
        ],
        &["/routes/3/upstream: APISIX takes an upstream object here, not a URL"],
    );
}

#[test]
fn what_apisix_or_the_edge_does_differently_is_a_warning() {
    check(
        &json!({"routes": [{"id": "r", "uri": "/", "upstream": "https://api.example.com/"}]}),
        &[],
        &["/routes/0/upstream: APISIX takes an upstream object here, not a URL"],
    );
    check(
        &json!({"routes": [{"uri": "/", "upstream": {"nodes": {"a": 1}}}]}),
        &[],
        &[
            "/routes/0/upstream/pass_host: at the edge `Host` is always the node's name (\"node\"): a Worker cannot send another",
        ],
    );
    check(
        &route_with_split(&json!({"rules": []})),
        &[],
        &[&format!("{AT}/rules: no rules: the route's upstream serves; APISIX answers 500")],
    );
}

#[test]
fn text_that_is_no_document_is_one_fault() {
    for text in ["", "{", "[1]", "null", "{\"routes\": 1}"] {
        let mut report = Report::default();
        assert!(compile_json(text, 0, &mut report).is_none(), "{text}");
        assert_eq!(report.faults.len(), 1, "{text}: {:?}", report.faults);
    }
    let nested = "[".repeat(100_000);
    assert!(compile_json(&nested, 0, &mut Report::default()).is_none());
}

/// What was left out on reading must not shift the places that are found on checking.
#[test]
fn places_behind_a_faulty_element_are_its_own() {
    check(
        &json!({"routes": [{
            "uris": [1, "/a", "b", 2, "c"],
            "methods": [true, "GTE"],
            "upstream": {"nodes": [{"host": 1}, {"host": "a b", "weight": 1}], "pass_host": "node"},
        }]}),
        &[
            "/routes/0/methods/0: expected a string, found `true`",
            "/routes/0/upstream/nodes/0/host: expected a string, found `1`",
            "/routes/0/uris/0: expected a string, found `1`",
            "/routes/0/uris/3: expected a string, found `2`",
            "/routes/0/uris/2: expected a path of up to 4096 bytes that starts with `/`",
            "/routes/0/uris/4: expected a path of up to 4096 bytes that starts with `/`",
            "/routes/0/methods/1: unknown method; did you mean `GET`?",
            "/routes/0/upstream/nodes/1/host: expected a host name or address and a port from 1 to 65535",
        ],
        &[],
    );
}

#[test]
fn a_published_document_has_the_revision_of_its_ledger() {
    let document = json!({"published": {"format": 1, "ledger": "l-1", "revision": 17}});
    let snapshot = compile_json(&document.to_string(), 0, &mut Report::default());
    let snapshot = snapshot.expect("no faults");
    assert_eq!(snapshot.revision(), &Revision::of_ledger(17));
    assert_eq!(snapshot.published(), Some(&Published { ledger: "l-1".into(), revision: 17 }));
}

#[test]
fn a_document_of_a_later_format_names_both() {
    check(
        &json!({"published": {"format": 2, "ledger": "l-1", "revision": 17, "shards": 3}}),
        &[
            "/published/format: written by a later Splitway: its format is 2, this one knows formats up to 1",
        ],
        &[],
    );
    check(
        &json!({"published": {"format": 0, "ledger": "", "revision": 17}}),
        &[
            "/published/format: expected an integer from 1",
            "/published/ledger: expected the id of a ledger",
        ],
        &[],
    );
}

#[test]
fn a_published_document_may_name_what_is_gone() {
    let split = json!({"rules": [{"weighted_upstreams": [{}, {"upstream_id": "gone"}]}]});
    let routes =
        json!([{"uri": "/*", "upstream": upstream(), "plugins": {"traffic-split": split}}]);
    let at = format!("{AT}/rules/0/weighted_upstreams/1/upstream_id");
    let said = format!("{at}: there is no upstream `gone`");
    check(&json!({"routes": routes}), &[&said], &[]);
    let published = json!({"format": 1, "ledger": "l-1", "revision": 17});
    check(&json!({"routes": routes, "published": published}), &[], &[&said]);
}

#[test]
fn a_resource_is_checked_without_those_it_names() {
    let route = json!({"uri": "/*", "upstream_id": "u", "priorty": 1});
    let mut report = Report::default();
    snapshot::check(Kind::Route, &route, &mut report);
    let faults = [Fault::new("/priorty", "unknown key; did you mean `priority`?")];
    assert_eq!((&report.faults[..], &report.warnings[..]), (&faults[..], &[][..]));
}

#[test]
fn credentials_stand_among_the_consumers() {
    let document = json!({"consumers": [
        {"username": "jack"},
        {"id": "jack/credentials/c1", "plugins": {}},
        {"username": "jill"},
    ], "routes": [{}]});
    let mut resources = Resources::of(&document, &mut Report::default());
    let place = |resources: &Resources<'_>, kind, index| {
        let at = resources.at(kind, index);
        (at.clone(), document.pointer(&at) == resources.list(kind).get(index).copied())
    };
    assert_eq!(place(&resources, Kind::Consumer, 1), ("/consumers/2".to_owned(), true));
    assert_eq!(place(&resources, Kind::Credential, 0), ("/consumers/1".to_owned(), true));
    // Without a document they stand behind the consumers.
    resources.set(Kind::Credential, resources.list(Kind::Credential).to_vec());
    assert_eq!(resources.at(Kind::Consumer, 1), "/consumers/1");
    assert_eq!(resources.at(Kind::Credential, 0), "/consumers/2");
}

#[test]
fn labels_are_words_and_lists_have_nothing_twice() {
    check(
        &json!({"routes": [{
            "uris": ["/a", "/b", "/a"], "hosts": ["a", "a"], "methods": ["GET", "GET"],
            "labels": {"a": "b", "c": "two words", "d": "", "e": ["f"]},
            "upstream": {"nodes": {"a": 1}, "pass_host": "node", "labels": {"a": 1}},
        }]}),
        &[
            "/routes/0/labels/c: expected 1 to 256 characters and no white space",
            "/routes/0/labels/d: expected 1 to 256 characters and no white space",
            "/routes/0/labels/e: expected a string, found a list",
            "/routes/0/upstream/labels/a: expected a string, found `1`",
            "/routes/0/uris/2: `/a` stands here twice",
            "/routes/0/hosts/1: `a` stands here twice",
            "/routes/0/methods/1: `GET` stands here twice",
        ],
        &[],
    );
}

/// Each of them says more than is used, and is checked all the same.
#[test]
fn what_is_not_used_is_still_checked() {
    let unused = json!({"nodes": {}, "pass_host": "node"});
    let branch = json!({"upstream_id": "u", "upstream": unused, "rewrite": {"uri": "x"}});
    let split = json!({"_meta": {"disable": true}, "rules": [{"weighted_upstreams": [branch]}]});
    let at = format!("{AT}/rules/0/weighted_upstreams/0");
    check(
        &json!({
            "upstreams": [{"id": "u", "nodes": {"a": 1}, "pass_host": "node"}],
            "routes": [{
                "uri": "/", "upstream_id": "u", "upstream": unused, "plugins": {"traffic-split": split},
            }],
        }),
        &[
            "/routes/0/upstream/nodes: expected at least one node",
            &format!("{at}/rewrite/uri: expected a path that starts with `/`"),
            &format!("{at}/upstream/nodes: expected at least one node"),
        ],
        &[
            "/routes/0/upstream: not used: `upstream_id` beside it wins",
            &format!("{at}: APISIX ignores `name`, `rewrite` and `headers` of a branch"),
            &format!("{at}/upstream: not used: `upstream_id` beside it wins"),
        ],
    );
}

#[test]
fn null_is_no_empty_object() {
    check(
        &json!({"routes": [{"uri": "/", "upstream": upstream(), "plugins": null, "labels": null}]}),
        &[
            "/routes/0/labels: expected an object, found null",
            "/routes/0/plugins: expected an object, found null",
        ],
        &[],
    );
}
