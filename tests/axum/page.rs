//! The page of the local server.

use serde_json::{Value, json};
use splitway_local::{ServeOptions, Server};
use splitway_tests::control::{Control, KEY};
use splitway_tests::message::Call;
use splitway_tests::page::{PAGE, check_files, walk};
use splitway_tests::wire;
use tempfile::TempDir;

use crate::ledger::Ledgered;

/// Where APISIX has its dashboard.
const SHORT: &str = "/ui/";

fn walked(page: &str, name: &str) -> Value {
    let server = Ledgered::new();
    walk(&server, &format!("http://{}", server.admin()), page, name)
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
        assert_eq!(wire::call(server.admin_addr().unwrap(), &Call::get(path)).status, 403, "{path}");
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
