//! The Admin API, its key and what it writes.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use splitway_tests::document::upstream;
use splitway_tests::message::{Answer, Call};

use crate::process::{Files, Serving, argument, origin, run, splitway};

fn serving(dir: &Path) -> Serving {
    Serving::ledger(dir, splitway())
}

fn key(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("admin.key")).expect("a key").trim().to_owned()
}

fn put(serving: &Serving, key: &str, id: &str, body: &str) -> Answer {
    let call = Call::new("PUT", &format!("/apisix/admin/routes/{id}"));
    serving.ask_admin(&call.header("X-API-KEY", key).body(body))
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
    let call = Call::get("/apisix/admin/routes");
    for (call, why) in
        [(call.clone(), "missing apikey"), (call.header("X-API-KEY", "wrong"), "wrong apikey")]
    {
        let answer = serving.ask_admin(&call);
        assert_eq!(answer.status, 401);
        assert!(answer.text().contains(why), "{}", answer.text());
    }
    let elsewhere = serving.ask_admin(&Call::get("/chat/completions"));
    assert_eq!((elsewhere.status, &*elsewhere.body), (404, &br#"{"error_msg":"not found"}"#[..]));
}

#[test]
fn an_address_that_is_not_allowed_is_refused() {
    let files = Files::new();
    let mut command = splitway();
    command.env("SPLITWAY_ALLOW_ADMIN", "10.0.0.0/8,192.168.0.0/16");
    let serving = Serving::ledger(&files.path("data"), command);
    assert_eq!(serving.ask_admin(&Call::get("/apisix/admin/routes")).status, 403);
}

#[test]
fn addresses_that_are_allowed_replace_the_default() {
    let files = Files::new();
    for (allowed, status) in [
        (&["--allow-admin", "127.0.0.1"][..], 401),
        (&["--allow-admin", "10.1.2.3", "--allow-admin", "127.0.0.1"], 401),
        (&["--allow-admin", "10.1.2.3"], 403),
        (&["--allow-admin", "::1"], 403),
    ] {
        let data = argument(&files.path("data"));
        let options = ["--data-dir", &data, "--admin-listen", "127.0.0.1:0"];
        let serving = Serving::start(splitway(), &[&options, allowed].concat());
        let answer = serving.ask_admin(&Call::get("/apisix/admin/routes"));
        assert_eq!(answer.status, status, "{allowed:?}");
    }
    let output = run(&["serve", "--allow-admin", "localhost"], "");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("expected an address or a network"), "{stderr}");
}

#[test]
fn a_key_that_others_can_read_or_guess_is_warned_of() {
    let files = Files::new();
    let dir = files.path("data");
    let file = dir.join("admin.key");
    let mut first = serving(&dir);
    first.line(|line| line.contains("admin key"));
    assert!(!first.told().contains("warning"), "{}", first.told());
    drop(first);

    std::fs::write(&file, "too-short\n").expect("written");
    for (mode, is_open) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).expect("a mode");
        let mut serving = serving(&dir);
        let short = serving.line(|line| line.starts_with("warning: "));
        assert!(short.ends_with("admin.key has fewer than 16 characters"), "{short}");
        if is_open {
            let open = serving.line(|line| line.starts_with("warning: "));
            assert!(open.contains(&format!("`chmod 600 {}`", file.display())), "{open}");
        }
        let route = r#"{"uri":"/r","upstream":"http://a.example"}"#;
        assert!(put(&serving, "too-short", "r", route).status < 300);
        serving.line(|line| line.contains("configuration_written"));
        let told = serving.told();
        assert_eq!(told.contains("chmod"), is_open, "{mode:o}: {told}");
        assert!(!told.contains("too-short"), "{told}");
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let files = Files::new();
    let dir = files.path("data");
    let upstream = origin("one");
    let first = serving(&dir);
    let key = key(&dir);
    let node = upstream.authority();
    let route = format!(r#"{{"uri":"/r","upstream":{{"nodes":{{"{node}":1}}}}}}"#);
    assert_eq!(put(&first, &key, "r", &route).status, 201);
    // It serves before it is acknowledged.
    assert_eq!(first.get("/r").body, b"one");
    assert_eq!(first.get("/r").revision().as_deref(), Some("1"));
    assert_eq!(put(&first, &key, "r", r#"{"uri":"/r","upstraem":{}}"#).status, 400);
    first.signal("KILL");
    first.end();

    let second = serving(&dir);
    assert_eq!(second.get("/r").body, b"one");
    let ask = |method| Call::new(method, "/apisix/admin/routes/r").header("X-API-KEY", &key);
    let read = second.ask_admin(&ask("GET"));
    assert_eq!((read.status, read.json().get("createdIndex")), (200, Some(&1.into())));
    assert_eq!(second.ask_admin(&ask("DELETE")).status, 200);
    assert_eq!(second.get("/r").status, 404);
}

#[test]
fn the_environment_can_give_the_key() {
    let files = Files::new();
    let dir = files.path("data");
    let mut command = splitway();
    command.env("SPLITWAY_ADMIN_KEY", "of-my-own");
    let mut serving = Serving::ledger(&dir, command);
    let warning = serving.line(|line| line.starts_with("warning: "));
    assert!(warning.contains("SPLITWAY_ADMIN_KEY has fewer than 16 characters"), "{warning}");
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
    let upstream = origin("one");
    let nodes = format!(r#""uri":"/r","upstream":{{"nodes":{{"{}":1}}}}"#, upstream.authority());
    assert_eq!(put(&serving, &key, "r", &format!("{{{nodes}}}")).status, 201);
    let large = format!(r#"{{{nodes},"labels":{{"{}":"large"}}}}"#, "x".repeat(300_000));
    let refused = put(&serving, &key, "r", &large);
    assert_eq!(refused.status, 503, "{}", refused.text());
    serving.line(|line| line.contains("configuration_not_written"));
    assert_eq!(serving.get("/r").body, b"one");
    assert_eq!(serving.get("/r").revision().as_deref(), Some("1"));
    assert_eq!(put(&serving, &key, "r", &format!("{{{nodes}}}")).status, 200);
    assert_eq!(serving.get("/r").revision().as_deref(), Some("2"));
}

#[test]
fn a_split_stays_exact_while_other_routes_are_written() {
    let files = Files::new();
    let dir = files.path("data");
    let serving = serving(&dir);
    let key = key(&dir);
    let (one, two) = (origin("one"), origin("two"));
    let branches = json!([{"upstream": upstream(&one)}, {"upstream": upstream(&two)}]);
    let split = json!({"traffic-split": {"rules": [{"weighted_upstreams": branches}]}});
    let route = json!({"uri": "/r", "plugins": split}).to_string();
    assert_eq!(put(&serving, &key, "split", &route).status, 201);
    for number in 0..100 {
        let other = format!(r#"{{"uri":"/{number}","upstream":"http://a.example"}}"#);
        assert!(put(&serving, &key, "other", &other).status < 300);
        assert_eq!(serving.get("/r").status, 200);
    }
    assert_eq!((one.count(), two.count()), (50, 50));
}
