//! The page of the Worker.

use serde_json::{Value, json};
use splitway_tests::control::{Control, KEY};
use splitway_tests::document::everything_to;
use splitway_tests::message::Call;
use splitway_tests::page::{PAGE, Place, check_files, walk};

use crate::edge::{Edge, answering};

fn walked(name: &str) {
    walked_through(&Edge::new(), name);
}

fn walked_through(edge: &Edge, name: &str) {
    let address = edge.miniflare.address();
    walk(edge, Place { admin: address, traffic: address, page: PAGE }, name);
}

#[test]
fn files_are_sent_without_a_key() {
    let edge = Edge::new();
    check_files(PAGE, |call| edge.ask(call));
}

/// It stands behind the prefix, and its short path is a route's.
#[test]
fn it_takes_no_path_of_a_route() {
    let origin = answering();
    let vars = json!({"SPLITWAY_ADMIN_PREFIX": "/ops"});
    let edge = Edge::start(
        &json!({"coordinator": true, "vars": vars, "document": everything_to(&origin)}),
    );
    check_files(&format!("/ops{PAGE}"), |call| edge.call(call));
    assert_eq!(origin.count(), 0);
    for path in ["/ui/", "/ops/ui/", PAGE] {
        assert_eq!(edge.call(&Call::get(path)).text(), "here", "{path}");
    }
}

#[test]
fn only_addresses_that_may_use_the_admin_api_get_it() {
    let vars = json!({"SPLITWAY_ALLOW_ADMIN": "192.0.2.0/24"});
    let edge = Edge::start(&json!({"coordinator": true, "vars": vars}));
    let status =
        |client: &str| edge.call(&Call::get(PAGE).header("cf-connecting-ip", client)).status;
    assert_eq!((status("192.0.2.9"), status("192.0.3.1")), (200, 403));
    let off = Edge::start(&json!({"coordinator": true, "vars": {"ADMIN_KEY": ""}}));
    assert_eq!(off.call(&Call::get(PAGE).header("x-api-key", KEY)).status, 404);
}

#[test]
fn by_the_mouse_weights_are_changed_and_rolled_back() {
    walked("mouse");
}

#[test]
fn by_the_keyboard_on_a_phone_too() {
    walked("keyboard");
}

#[test]
fn what_is_served_is_shown() {
    let names = ["SPLITWAY_CHECK_SECONDS", "SPLITWAY_REFRESH_SECONDS", "SPLITWAY_STATUS_SECONDS"];
    let vars: Value = names.into_iter().map(|name| (name, json!("1"))).collect();
    walked_through(&Edge::with(&vars), "live");
}

#[test]
fn what_goes_wrong_is_said() {
    walked("trouble");
}

#[test]
fn a_page_of_another_origin_changes_nothing() {
    walked("forgery");
}
