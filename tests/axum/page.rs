//! The page of the local server.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};
use splitway_core::fault::Report;
use splitway_core::snapshot::compile_json;
use splitway_core::survey::{RuleView, routes};
use splitway_local::{ServeOptions, Server};
use splitway_tests::control::{Control, KEY};
use splitway_tests::message::Call;
use splitway_tests::node;
use splitway_tests::page::{PAGE, Place, check_files, walk};
use splitway_tests::wire;
use tempfile::TempDir;

use crate::ledger::Ledgered;

/// Where APISIX has its dashboard.
const SHORT: &str = "/ui/";

fn walked(page: &'static str, name: &str) -> Value {
    let server = Ledgered::new();
    walk(&server, Place { admin: server.admin(), traffic: server.traffic(), page }, name)
}

#[test]
fn files_are_sent_without_a_key() {
    let server = Ledgered::new();
    for folder in [SHORT, PAGE] {
        check_files(folder, |call| server.ask(call));
    }
    // On the port of the traffic there is none of it.
    assert_eq!(wire::call(server.traffic(), &Call::get(SHORT)).status, 404);
}

#[test]
fn only_addresses_that_may_use_the_admin_api_get_them() {
    let folder = TempDir::new().unwrap();
    let any_port = ([127, 0, 0, 1], 0).into();
    let server = Server::start(ServeOptions {
        listen: any_port,
        admin_listen: any_port,
        data_dir: folder.path().join("data"),
        admin_key: Some(KEY.to_owned()),
        allow_admin: vec!["192.0.2.0/24".parse().unwrap()],
        is_silent: true,
        ..ServeOptions::default()
    })
    .unwrap();
    for path in [SHORT, PAGE, "/ui/page.js"] {
        assert_eq!(
            wire::call(server.admin_addr().unwrap(), &Call::get(path)).status,
            403,
            "{path}"
        );
    }
}

#[test]
fn by_the_mouse_weights_are_changed_and_rolled_back() {
    let seen = walked(SHORT, "mouse");
    assert_eq!(seen["revision"], json!(5), "{seen}");
}

#[test]
fn by_the_keyboard_on_a_phone_too() {
    walked(PAGE, "keyboard");
}

#[test]
fn what_is_served_is_shown() {
    walked(SHORT, "live");
}

#[test]
fn what_goes_wrong_is_said() {
    walked(SHORT, "trouble");
}

#[test]
fn a_page_of_another_origin_changes_nothing() {
    walked(SHORT, "forgery");
}

/// With SPLITWAY_PICTURES, which names a folder, they are kept: `cargo xtask pictures`.
#[test]
fn pictures_are_taken() {
    walked(SHORT, "pictures");
}

/// Documents in all forms of splits, with and without names, numbers and weights.
fn documents() -> Vec<Value> {
    let to = "http://a.test";
    let list = |rules: Value| json!({"traffic-split": {"rules": rules}});
    let routes = json!([
        {"id": "list", "uri": "/1", "upstream": to, "plugins": list(json!([
            {"weighted_upstreams": [{"name": "v1", "weight": 3}, {"weight": 0}, {"upstream": to}]},
            {"match": [{"vars": [["arg_a", "==", "1"]]}], "weighted_upstreams": [{"upstream": to, "weight": 7}]},
        ]))},
        {"id": 7, "uri": "/2", "upstream": to, "plugins": list(json!([
            {"name": "a", "weight": 1, "upstream": to},
            {"match": [{"vars": [["arg_a", "==", "1"]]}], "weight": 2, "upstream": to},
            {"weight": 3, "upstream": to, "rewrite": {"uri": "/x"}},
            {"match": [{"vars": [["arg_a", "==", "1"]]}], "upstream": to},
            {"match": [], "upstream": to},
        ]))},
        {"id": "config", "uri": "/3", "upstream": to, "service_id": "s", "plugin_config_id": "c"},
        {"id": "service", "uri": "/4", "service_id": "s"},
        {"id": "none", "uri": "/5", "upstream": to},
        {"id": "empty", "uri": "/6", "upstream": to, "plugins": list(json!([]))},
        {"id": "off", "uri": "/7", "upstream": to, "plugins":
            {"traffic-split": {"rules": [{"weighted_upstreams": [{}, {}]}], "_meta": {"disable": true}}}},
        {"id": "own", "uri": "/8", "service_id": "s", "plugins": list(json!([
            {"weighted_upstreams": [{"weight": 1}, {"weight": 1, "rewrite": {"uri": "/2"}}]}]))},
    ]);
    let split = |a: u32, b: u32| {
        list(
            json!([{"weighted_upstreams": [{"name": "a", "weight": a}, {"name": "b", "weight": b}]}]),
        )
    };
    let services = json!([{"id": "s", "upstream": to, "plugins": split(1, 2)}]);
    let configs = json!([{"id": "c", "plugins": split(3, 4)}]);
    vec![json!({}), json!({"routes": routes, "services": services, "plugin_configs": configs})]
}

/// The page finds rules, branches and weights in a document where the server does, so that a slider changes
/// what it shows.
#[test]
fn the_page_reads_documents_as_the_server_does() {
    let documents = documents();
    let mut script = node::script("tests/harness/splits.mjs");
    let script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut script = script.spawn().unwrap();
    script.stdin.take().unwrap().write_all(json!(documents).to_string().as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (document, read) in documents.iter().zip(read.as_array().unwrap()) {
        let mut report = Report::default();
        let snapshot = compile_json(&document.to_string(), 0, &mut report);
        let snapshot = snapshot.unwrap_or_else(|| panic!("{report:?}"));
        let branches = |rule: &RuleView<'_>| {
            let branches = rule.branches().map(|(name, weight)| json!([name, weight.0]));
            branches.collect::<Vec<_>>()
        };
        let mut known: Vec<Value> = routes(&snapshot)
            .map(|route| {
                let splits = route.splits().map(|(number, rule)| json!([number, branches(&rule)]));
                json!([route.id(), splits.collect::<Vec<_>>()])
            })
            .collect();
        let mut read = read.as_array().unwrap().clone();
        known.sort_by_key(Value::to_string);
        read.sort_by_key(Value::to_string);
        assert_eq!(read, known);
    }
}
