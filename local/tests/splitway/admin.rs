//! The Admin API, its key and what it writes.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::http::{Response, ask, get, origin};
use crate::process::{Files, Serving, argument, run, splitway};

fn serving(dir: &Path) -> Serving {
    Serving::ledger(dir, splitway())
}

fn admin(serving: &Serving) -> SocketAddr {
    serving.admin.expect("the Admin API is on")
}

fn key(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("admin.key")).expect("a key").trim().to_owned()
}

fn put(serving: &Serving, key: &str, id: &str, body: &str) -> Response {
    let path = format!("PUT /apisix/admin/routes/{id}");
    ask(admin(serving), &path, &[&format!("X-API-KEY: {key}")], body)
}

#[test]
fn the_key_is_for_its_owner_alone_and_is_not_printed() {
    let files = Files::new();
    let dir = files.path("data");
    let mut serving = serving(&dir);
    let metadata = std::fs::metadata(dir.join("admin.key")).expect("a file");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let key = key(&dir);
    assert_eq!(key.len(), 64);
    let line = serving.line(|line| line.contains("admin key"));
    assert!(line.ends_with("admin.key"), "{line}");
    assert_eq!(
        put(&serving, &key, "r", r#"{"uri":"/r","upstream":"http://a.example"}"#).status,
        201
    );
    serving.line(|line| line.contains("configuration_written"));
    assert!(!serving.told().contains(&key));
}

#[test]
fn a_wrong_key_or_none_opens_nothing() {
    let files = Files::new();
    let dir = files.path("data");
    let serving = serving(&dir);
    for (headers, why) in [(vec![], "missing apikey"), (vec!["X-API-KEY: wrong"], "wrong apikey")] {
        let response = ask(admin(&serving), "GET /apisix/admin/routes", &headers, "");
        assert_eq!(response.status, 401);
        assert!(response.body.contains(why), "{}", response.body);
    }
    let elsewhere = get(admin(&serving), "/chat/completions");
    assert_eq!((elsewhere.status, &*elsewhere.body), (404, r#"{"error_msg":"not found"}"#));
}

#[test]
fn an_address_that_is_not_allowed_is_refused() {
    let files = Files::new();
    let mut command = splitway();
    command.env("SPLITWAY_ALLOW_ADMIN", "10.0.0.0/8,192.168.0.0/16");
    let serving = Serving::ledger(&files.path("data"), command);
    assert_eq!(get(admin(&serving), "/apisix/admin/routes").status, 403);
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let files = Files::new();
    let dir = files.path("data");
    let upstream = origin("one");
    let first = serving(&dir);
    let key = key(&dir);
    let route = format!(r#"{{"uri":"/r","upstream":{{"nodes":{{"{upstream}":1}}}}}}"#);
    assert_eq!(put(&first, &key, "r", &route).status, 201);
    // It serves before it is acknowledged.
    assert_eq!(get(first.traffic, "/r").body, "one");
    assert_eq!(get(first.traffic, "/r").header("x-splitway-revision"), Some("1"));
    assert_eq!(put(&first, &key, "r", r#"{"uri":"/r","upstraem":{}}"#).status, 400);
    first.signal("KILL");
    first.end();

    let second = serving(&dir);
    assert_eq!(get(second.traffic, "/r").body, "one");
    let headers = [&*format!("X-API-KEY: {key}")];
    let read = ask(admin(&second), "GET /apisix/admin/routes/r", &headers, "");
    assert_eq!(read.status, 200);
    assert!(read.body.contains(r#""createdIndex":1"#), "{}", read.body);
    let gone = ask(admin(&second), "DELETE /apisix/admin/routes/r", &headers, "");
    assert_eq!(gone.status, 200);
    assert_eq!(get(second.traffic, "/r").status, 404);
}

#[test]
fn the_environment_can_give_the_key() {
    let files = Files::new();
    let dir = files.path("data");
    let mut command = splitway();
    command.env("SPLITWAY_ADMIN_KEY", "of-my-own");
    let serving = Serving::ledger(&dir, command);
    let route = r#"{"uri":"/r","upstream":"http://a.example"}"#;
    assert_eq!(put(&serving, "of-my-own", "r", route).status, 201);
    assert!(!dir.join("admin.key").exists());
}

#[test]
fn one_process_at_a_time_has_the_ledger() {
    let files = Files::new();
    let dir = files.path("data");
    let first = serving(&dir);
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let output = run(&[&["serve", "--data-dir", &argument(&dir)], &listen[..]].concat(), "");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("splitway.db cannot be used: another process uses it"), "{stderr}");
    drop(first);
}

#[test]
fn what_cannot_be_written_is_refused_and_serving_goes_on() {
    let files = Files::new();
    let dir = files.path("data");
    // No file may grow beyond 100 KiB, and to try is an error, not the end.
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"trap "" XFSZ; ulimit -f 200; exec "$0" "$@""#]);
    limited.arg(splitway().get_program());
    let mut serving = Serving::ledger(&dir, limited);
    let key = key(&dir);
    let nodes = format!(r#""uri":"/r","upstream":{{"nodes":{{"{}":1}}}}"#, origin("one"));
    assert_eq!(put(&serving, &key, "r", &format!("{{{nodes}}}")).status, 201);
    let large = format!(r#"{{{nodes},"labels":{{"large":"{}"}}}}"#, "x".repeat(300_000));
    let refused = put(&serving, &key, "r", &large);
    assert_eq!(refused.status, 503, "{}", refused.body);
    serving.line(|line| line.contains("configuration_not_written"));
    assert_eq!(get(serving.traffic, "/r").body, "one");
    assert_eq!(get(serving.traffic, "/r").header("x-splitway-revision"), Some("1"));
    assert_eq!(put(&serving, &key, "r", &format!("{{{nodes}}}")).status, 200);
    assert_eq!(get(serving.traffic, "/r").header("x-splitway-revision"), Some("2"));
}
