//! The published guide, command by command, with the real `curl` and `xargs`.

use std::process::{Command, Output};

use serde_json::{Value, json};
use splitway_local::{ServeOptions, Server};
use splitway_tests::scenarios::guide::{ANSWER, check_halves, command};
use splitway_tests::script::Reply;
use splitway_tests::tls;
use tempfile::TempDir;

const ADMIN_KEY: &str = "an-admin-key-of-32-letters-or-more";
const API_KEY: &str = "an-api-key";

/// Runs a command of the guide in which only keys and ports are other than printed.
fn run(server: &Server, name: &str) -> Output {
    let script = command(name)
        .replace("YOUR_ADMIN_KEY_HERE", ADMIN_KEY)
        .replace("<AIML_API_KEY>", API_KEY)
        .replace("127.0.0.1:9080", &server.listen_addr().to_string())
        .replace("127.0.0.1:9180", &server.admin_addr().unwrap().to_string());
    let mut bash = Command::new("bash");
    // curl would ask a proxy of the surroundings even for loopback.
    bash.arg("-c").arg(script).env("no_proxy", "*");
    let output = bash.output().expect("bash runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}: {told}", output.status);
    output
}

/// Runs a command that puts a route; returns what the Admin API answered.
fn put_route(server: &Server, name: &str) -> Value {
    let output = String::from_utf8(run(server, name).stdout).unwrap();
    let (head, body) = output.split_once("\r\n\r\n").expect("`curl -i` shows the head");
    assert!(head.starts_with("HTTP/1.1 201 "), "{name}: {output}");
    serde_json::from_str(body).unwrap()
}

/// The guide does here what it says: three routes are made, and of its 100 requests exactly 50 go
/// to each version, unchanged but for the path.
#[test]
fn the_guide_works_as_printed() {
    let folder = TempDir::new().unwrap();
    let ca = folder.path().join("ca.pem");
    let reply = Reply::ok(ANSWER).header("Content-Type", "application/json");
    let origin = tls::origin("api.aimlapi.com", &ca, reply.into());
    let resolve = format!("api.aimlapi.com:443:127.0.0.1:{}", origin.port());
    let server = Server::start(ServeOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        admin_listen: ([127, 0, 0, 1], 0).into(),
        data_dir: folder.path().join("data"),
        resolve: vec![resolve.parse().unwrap()],
        ca: Some(ca),
        admin_key: Some(ADMIN_KEY.to_owned()),
        is_silent: true,
        ..ServeOptions::default()
    })
    .unwrap();

    for (name, key, uri) in [
        ("route-v1", "/apisix/routes/test-v1", "/test/v1"),
        ("route-v2", "/apisix/routes/test-v2", "/test/v2"),
        ("route-split", "/apisix/routes/aimlapi-split", "/chat/completions"),
    ] {
        let written = put_route(&server, name);
        assert_eq!((&written["key"], &written["value"]["uri"]), (&json!(key), &json!(uri)));
    }

    let verified = run(&server, "verify");
    assert_eq!(String::from_utf8_lossy(&verified.stdout), ANSWER);
    let told = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(told.contains("x-splitway-route: aimlapi-split"), "{told}");

    // The one before and one after make the count even, and the 100 in between exact.
    let before = origin.requests().remove(0).target;
    run(&server, "load-test");
    let hundred = &origin.requests()[1..];
    for version in ["/v1/chat/completions", "/v2/chat/completions"] {
        let of_version = hundred.iter().filter(|request| request.target == version);
        assert_eq!(of_version.count(), 50, "{version}, after {before}");
    }
    run(&server, "verify");
    check_halves(&origin, 102, API_KEY);
    for request in origin.requests() {
        assert_eq!(request.header("host").as_deref(), Some("api.aimlapi.com"));
    }
}
