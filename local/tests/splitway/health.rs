//! Health checks: nodes that fail get no requests until they are back, and where that can be seen.

use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use serde_json::{Value, json};
use splitway_tests::origin::Origin;
use splitway_tests::script::{Act, Reply, Script};
use splitway_tests::tls;

use crate::api::{KEY, serving};
use crate::process::{Files, PATIENCE, Serving, argument, run, splitway};

/// An upstream that answers probes with a status that a test sets, and requests with 200.
struct Node {
    origin: Origin,
    status: Arc<AtomicU16>,
}

impl Node {
    fn new() -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let told = Arc::clone(&status);
        let origin = Origin::on_loopback(Script::new(move |request| {
            let status = if request.target == "/up" { told.load(Ordering::SeqCst) } else { 200 };
            Act::Answer(Reply::status(status).body(""))
        }));
        Self { origin, status }
    }

    /// What probes get from here on.
    fn turn(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// How many requests it has had that are no probes.
    fn served(&self) -> usize {
        self.origin.requests().iter().filter(|request| request.target != "/up").count()
    }

    fn authority(&self) -> &str {
        self.origin.authority()
    }
}

/// Every second, and one result is enough.
fn checks() -> Value {
    json!({"active": {
        "http_path": "/up", "timeout": 20,
        "healthy": {"interval": 1, "successes": 1},
        "unhealthy": {"interval": 1, "http_failures": 1, "tcp_failures": 1, "timeouts": 1},
    }})
}

/// A server that sends everything to these nodes.
fn checked(files: &Files, nodes: &[&str], checks: &Value) -> Serving {
    let serving = serving(&files.path("data"));
    let nodes: Value = nodes.iter().map(|node| ((*node).to_owned(), json!(1))).collect();
    let upstream = json!({"nodes": nodes, "retries": 0, "checks": checks});
    let written = serving.send("PUT", "/apisix/admin/upstreams/u", &upstream);
    assert_eq!(written.status, 201, "{}", written.text());
    let route = json!({"uri": "/*", "upstream_id": "u"});
    assert_eq!(serving.send("PUT", "/apisix/admin/routes/r", &route).status, 201);
    serving
}

/// Waits until a node is told to be down or up; why.
fn await_event(serving: &mut Serving, event: &str, authority: &str) -> String {
    let is_it = |line: &Value| line["event"] == event && line["node"] == authority;
    let read = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_default();
    let line = read(&serving.line(|line| is_it(&read(line))));
    assert_eq!(line["upstream"], "u");
    line["why"].as_str().unwrap_or_default().to_owned()
}

/// How many of ten requests each node gets; all are answered with 200.
fn shares<const N: usize>(serving: &Serving, nodes: [&Node; N]) -> [usize; N] {
    let before = nodes.map(Node::served);
    for _ in 0..10 {
        assert_eq!(serving.get("/").status, 200);
    }
    let mut after = nodes.map(Node::served);
    after.iter_mut().zip(before).for_each(|(after, before)| *after -= before);
    after
}

#[test]
fn a_node_that_fails_gets_no_requests_until_it_is_back() {
    let (files, a, b) = (Files::new(), Node::new(), Node::new());
    let mut serving = checked(&files, &[a.authority(), b.authority()], &checks());
    assert_eq!(shares(&serving, [&a, &b]), [5, 5]);
    b.turn(503);
    assert_eq!(await_event(&mut serving, "node_down", b.authority()), "status 503");
    assert_eq!(shares(&serving, [&a, &b]), [10, 0]);
    // What is known of a node outlives a change of something else, and of its own upstream.
    let route = json!({"uri": "/other", "upstream_id": "u"});
    assert_eq!(serving.send("PUT", "/apisix/admin/routes/other", &route).status, 201);
    assert_eq!(shares(&serving, [&a, &b]), [10, 0]);
    let weight = json!({"nodes": {b.authority(): 7}});
    assert_eq!(serving.send("PATCH", "/apisix/admin/upstreams/u", &weight).status, 200);
    assert_eq!(shares(&serving, [&a, &b]), [10, 0]);

    // Where all are down, all are tried, by their weights.
    let weight = json!({"nodes": {b.authority(): 1}});
    assert_eq!(serving.send("PATCH", "/apisix/admin/upstreams/u", &weight).status, 200);
    a.turn(500);
    assert_eq!(await_event(&mut serving, "node_down", a.authority()), "status 500");
    assert_eq!(shares(&serving, [&a, &b]), [5, 5]);
    b.turn(200);
    assert_eq!(await_event(&mut serving, "node_up", b.authority()), "status 200");
    assert_eq!(shares(&serving, [&a, &b]), [0, 10]);
    a.turn(302);
    assert_eq!(await_event(&mut serving, "node_up", a.authority()), "status 302");
    assert_eq!(shares(&serving, [&a, &b]), [5, 5]);
}

#[test]
fn nodes_that_refuse_or_say_nothing_or_show_a_wrong_certificate_are_down() {
    let files = Files::new();
    let silent = Origin::on_loopback(Script::new(|request| match &*request.target {
        "/up" => Act::Silence,
        _ => Act::Answer(Reply::ok("")),
    }));
    let wrong = tls::origin("other.example", &files.path("ca.pem"), Reply::ok("").into());
    let mut quick = checks();
    quick["active"]["timeout"] = json!(0.5);
    let mut https = checks();
    https["active"]["type"] = json!("https");
    let mut tcp = checks();
    tcp["active"]["type"] = json!("tcp");
    for (bad, checks, why) in [
        (Origin::refusing(), checks(), "connection_refused"),
        (Origin::refusing(), tcp, "connection_refused"),
        (silent, quick, "timeout"),
        (wrong, https, "tls_certificate_error"),
    ] {
        let (files, good) = (Files::new(), Node::new());
        let mut serving = checked(&files, &[bad.authority()], &checks);
        assert_eq!(await_event(&mut serving, "node_down", bad.authority()), why);
        if why == "tls_certificate_error" {
            // The good node shows none at all.
            continue;
        }
        let nodes = json!({"nodes": {good.authority(): 1}});
        assert_eq!(serving.send("PATCH", "/apisix/admin/upstreams/u", &nodes).status, 200);
        let before = bad.requests().iter().filter(|request| request.target == "/").count();
        assert_eq!(shares(&serving, [&good]), [10], "{why}");
        let after = bad.requests().iter().filter(|request| request.target == "/").count();
        assert_eq!(after, before, "{why}");
    }
}

fn health(serving: &Serving, more: &[&str]) -> Output {
    let server = format!("http://{}", serving.admin.expect("the Admin API is on"));
    let mut command = splitway();
    command.args(["health", "--server", &server]).args(more).env("SPLITWAY_ADMIN_KEY", KEY);
    command.output().expect("it runs")
}

#[test]
fn how_nodes_are_is_told_to_whoever_has_a_key() {
    let (files, a, b) = (Files::new(), Node::new(), Node::new());
    b.turn(500);
    let mut serving = checked(&files, &[a.authority(), b.authority()], &checks());
    let plain = json!({
        "uri": "/plain",
        "upstream": {"nodes": {"[::1]:81": 1}, "breaker": {"failures": 1}},
    });
    assert_eq!(serving.send("PUT", "/apisix/admin/routes/plain", &plain).status, 201);
    await_event(&mut serving, "node_down", b.authority());

    let answer = serving.ask("GET", "/splitway/v1/health");
    assert_eq!(answer.status, 200);
    let told = answer.json();
    let node = |origin: &Node, status: &str| {
        let counter = match status {
            "healthy" => [0, 0],
            _ => [0, 1],
        };
        let [success, http_failure] = counter;
        json!({
            "host": "127.0.0.1", "port": origin.origin.port(), "status": status, "in_flight": 0,
            "counter": {
                "success": success, "http_failure": http_failure,
                "tcp_failure": 0, "timeout_failure": 0,
            },
        })
    };
    let mut nodes = [node(&a, "healthy"), node(&b, "unhealthy")];
    let first = told["upstreams"][0]["nodes"][0]["port"].clone();
    if first != nodes[0]["port"] {
        nodes.reverse();
    }
    let unchecked = json!({"host": "[::1]", "port": 81, "in_flight": 0, "breaker": "closed"});
    let expected = json!({"upstreams": [
        {"name": "u", "type": "http", "nodes": nodes},
        {"name": "plain/route", "nodes": [unchecked]},
    ]});
    assert_eq!(told, expected);
    let yaml = serving.ask("GET", "/splitway/v1/health?format=yaml").text();
    assert!(yaml.starts_with("upstreams:"), "{yaml}");

    let text = String::from_utf8(health(&serving, &[]).stdout).expect("text");
    let lines: Vec<Vec<&str>> = text.lines().map(|it| it.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["upstream", "node", "status", "in", "flight", "breaker"]);
    assert!(lines.contains(&vec!["u", a.authority(), "healthy", "0", "-"]), "{text}");
    assert!(lines.contains(&vec!["u", b.authority(), "unhealthy", "0", "-"]), "{text}");
    let plain = vec!["plain/route", "[::1]:81", "not", "checked", "0", "closed"];
    assert_eq!(lines[3], plain, "{text}");
    let json = health(&serving, &["--format", "json"]).stdout;
    assert_eq!(serde_json::from_slice::<Value>(&json).expect("JSON"), expected);
}

#[test]
fn a_probe_that_gets_no_answer_does_not_keep_the_server_from_ending() {
    let origin = Origin::on_loopback(Act::Silence.into());
    let files = Files::new();
    let document = json!({"upstreams": [{
        "id": "u", "nodes": {origin.authority(): 1},
        "checks": {"active": {"timeout": 3600, "healthy": {"interval": 1}}},
    }]});
    let path = files.write("split.json", &document.to_string());
    assert!(run(&["validate", &path], "").status.success());
    let serving = Serving::file(&argument(&files.path("split.json")), &[]);
    origin.wait_until("the probe is there", |requests| requests.len() == 1);
    let began = Instant::now();
    serving.signal("TERM");
    assert_eq!(serving.end().code(), Some(0));
    assert!(began.elapsed() < PATIENCE, "it waited for the probe");
}
