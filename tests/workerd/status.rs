//! How branches fare, as the coordinator tells it of what isolates tell it.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use splitway_local::{ServeOptions, Server};
use splitway_tests::control::{Control, KEY};
use splitway_tests::document::upstream;
use splitway_tests::message::{Answer, Call};
use splitway_tests::origin::Origin;
use splitway_tests::script::{DEADLINE, Reply};
use splitway_tests::target::Skip;
use splitway_tests::wire;
use tempfile::TempDir;

use crate::edge::{Edge, answering};

/// A Worker that hears of a change within a second, and tells what it counted once in one.
fn quick(more: &Value) -> Edge {
    let mut setup = json!({"coordinator": true, "vars": {
        "SPLITWAY_CHECK_SECONDS": "1", "SPLITWAY_REFRESH_SECONDS": "1", "SPLITWAY_STATUS_SECONDS": "1",
    }});
    setup.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Edge::start(&setup)
}

/// A local server, asked the same.
struct Local {
    server: Server,
    _folder: TempDir,
}

impl Control for Local {
    const SKIPS: &'static [Skip] = &[];

    fn new() -> Self {
        let (any_port, folder) = (SocketAddr::from(([127, 0, 0, 1], 0)), TempDir::new().unwrap());
        let server = Server::start(ServeOptions {
            listen: any_port,
            admin_listen: any_port,
            data_dir: folder.path().join("data"),
            admin_key: Some(KEY.to_owned()),
            is_silent: true,
            ..ServeOptions::default()
        });
        Self { server: server.unwrap(), _folder: folder }
    }

    fn ask(&self, call: &Call) -> Answer {
        wire::call(self.server.admin_addr().unwrap(), call)
    }
}

/// Route `r` under `/r`, of which `v2` gets 5 of 100 and answers 503.
fn put_split(control: &impl Control, v1: &Origin, v2: &Origin) {
    let branch = |name: &str, weight: u32, origin: &Origin| json!({"name": name, "weight": weight, "upstream": upstream(origin)});
    let branches = [branch("v1", 95, v1), branch("v2", 5, v2)];
    let rules = json!([{"weighted_upstreams": branches, "breaker": {"failures": 50}}]);
    let plugins = json!({"traffic-split": {"rules": rules}});
    let route = json!({
        "uri": "/r", "name": "the route", "plugins": plugins, "upstream": upstream(v1),
    });
    let answer = control.say("PUT /routes/r", &route);
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn status(control: &impl Control) -> Value {
    let answer = control.own("GET /status", &Value::Null);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The first route's first rule.
fn branches(status: &Value) -> &Vec<Value> {
    status["routes"][0]["rules"][0]["branches"].as_array().unwrap()
}

fn requests(status: &Value) -> u64 {
    branches(status).iter().map(|branch| branch["requests"].as_u64().unwrap()).sum()
}

/// Waits until so many requests are told of.
fn await_requests(edge: &Edge, count: u64) -> Value {
    let begin = Instant::now();
    loop {
        let told = status(edge);
        match requests(&told) {
            known if known == count => return told,
            known => assert!(known < count && begin.elapsed() < DEADLINE, "{known} of {count}"),
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// What is no time.
fn timeless(mut status: Value) -> Value {
    let top = status.as_object_mut().unwrap();
    for field in ["at_ms", "since_ms"] {
        assert!(top.remove(field).unwrap().as_u64().unwrap() > 0);
    }
    for branch in status["routes"][0]["rules"][0]["branches"].as_array_mut().unwrap() {
        let branch = branch.as_object_mut().unwrap();
        assert!(branch.remove("p50_ms").unwrap().is_number());
        assert!(branch.remove("p99_ms").unwrap().is_number());
        assert!(!branch.remove("buckets").unwrap().as_array().unwrap().is_empty());
    }
    status
}

#[test]
fn it_tells_what_a_local_server_would() {
    let (v1, v2) = (answering(), Origin::on_loopback(Reply::status(503).body("no").into()));
    let edge = quick(&json!({}));
    let local = Local::new();
    put_split(&edge, &v1, &v2);
    put_split(&local, &v1, &v2);
    edge.wait_until_served("/nowhere", 404);
    // The first requests are those by which the isolate hears of the route.
    let mut statuses = [0, 0];
    for _ in 0..100 {
        let (there, here) = (edge.call(&Call::get("/r")), Call::get("/r"));
        let here = wire::call(local.server.listen_addr(), &here);
        for status in [there.status, here.status] {
            statuses[usize::from(status == 503)] += 1;
        }
    }
    assert_eq!(statuses, [190, 10]);
    let told = await_requests(&edge, 100);
    assert_eq!((&told["scope"], &told["revision"]), (&json!("edge"), &json!("1")));
    let [first, second] = &branches(&told)[..] else { panic!("{told}") };
    assert_eq!((&first["share"], &second["share"]), (&json!(0.95), &json!(0.05)));
    assert_eq!(
        (&first["statuses"], &second["statuses"]),
        (&json!({"200": 95}), &json!({"503": 5}))
    );
    let (mut there, mut here) = (timeless(told), timeless(status(&local)));
    assert_eq!((there["scope"].take(), here["scope"].take()), (json!("edge"), json!("process")));
    // Each isolate has its own, and none of them tells.
    for branch in here["routes"][0]["rules"][0]["branches"].as_array_mut().unwrap() {
        assert_eq!(branch["breaker"], "closed");
        branch["breaker"] = json!("none");
    }
    there["problems"] = json!({});
    assert_eq!(there, here);
}

#[test]
fn it_goes_on_after_a_restart_and_knows_no_route_that_is_gone() {
    let folder = TempDir::new().unwrap();
    let origin = answering();
    let mut edge = quick(&json!({"folder": folder.path()}));
    edge.put_route("r", "/r", &origin);
    edge.put_route("s", "/s", &origin);
    edge.wait_until_published();
    edge.wait_until_served("/s", 200);
    for _ in 0..10 {
        assert_eq!(edge.call(&Call::get("/r")).text(), "here");
    }
    await_requests(&edge, 10);
    // It is written before the isolate is answered, some seconds later.
    thread::sleep(splitway_core::tally::HOLD + Duration::from_secs(3));
    edge.miniflare.kill();
    let edge = quick(&json!({"folder": folder.path()}));
    assert_eq!(requests(&status(&edge)), 10);
    edge.wait_until_served("/r", 200);
    assert_eq!(requests(&await_requests(&edge, 11)), 11);
    assert_eq!(edge.say("DELETE /routes/r", &Value::Null).status, 200);
    let told = status(&edge);
    assert_eq!((told["routes"].as_array().unwrap().len(), &told["revision"]), (1, &json!("3")));
}

#[test]
fn without_a_coordinator_or_with_one_that_is_away_requests_are_served_all_the_same() {
    let origin = answering();
    let route = json!({"id": "r", "uri": "/r", "upstream": upstream(&origin)});
    let published = json!({"format": 1, "ledger": "it", "revision": 1});
    let document = json!({"routes": [route], "published": published}).to_string();
    for (coordinator, is_said) in [(json!(false), false), (json!("throws"), true)] {
        let vars = json!({"SPLITWAY_STATUS_SECONDS": "1"});
        let setup = json!({"coordinator": coordinator, "document": document, "vars": vars});
        let edge = Edge::start(&setup);
        let (begin, mut lines) = (Instant::now(), 0);
        while begin.elapsed() < Duration::from_secs(4) {
            assert_eq!(edge.call(&Call::get("/r")).text(), "here");
            thread::sleep(Duration::from_millis(20));
            let logged = edge.miniflare.logged();
            lines += logged.iter().filter(|line| line.contains("counts_not_told")).count();
        }
        assert_eq!(lines, usize::from(is_said), "{coordinator}");
    }
}
