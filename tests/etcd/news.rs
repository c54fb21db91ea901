//! What one server writes, the others serve.

use std::io::{Write, stderr};
use std::time::{Duration, Instant};

use serde_json::json;
use splitway_tests::document::upstream;
use splitway_tests::message::Call;

use crate::etcd::Etcd;
use crate::node::{Node, await_that, put};
use crate::process::origin;

/// How soon the others must serve a change.
const SOON: Duration = Duration::from_secs(1);

#[test]
fn a_change_on_one_serves_on_the_other_within_a_second() {
    let etcd = Etcd::start();
    let (a, b) = (Node::start(&etcd.store()), Node::start(&etcd.store()));
    let upstream = origin("one");
    let to = format!("http://{}", upstream.authority());
    let (mut writes, mut news) = (Vec::new(), Vec::new());
    for round in 1..=50 {
        let id = format!("r{round}");
        let began = Instant::now();
        assert_eq!(a.put(&id, &to).status, 201);
        writes.push(began.elapsed());
        await_that("the other serves it", || b.get(&format!("/{id}")).body == b"one");
        news.push(began.elapsed());
    }
    tell("answer to a write", &mut writes);
    tell("from a write to the other server", &mut news);
    assert!(news.iter().all(|time| *time < SOON), "{news:?}");
    assert_eq!(a.document(), b.document());
}

fn tell(what: &str, times: &mut [Duration]) {
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    // Straight to the stream: what a passing test prints is not shown otherwise.
    drop(writeln!(stderr(), "{what}: median {median:?}, worst {worst:?}"));
}

#[test]
fn a_split_goes_on_exactly_where_it_was_when_the_other_server_writes() {
    let etcd = Etcd::start();
    let (a, b) = (Node::start(&etcd.store()), Node::start(&etcd.store()));
    let (one, two) = (origin("one"), origin("two"));
    let branches = json!([{"upstream": upstream(&one)}, {"upstream": upstream(&two)}]);
    let split = json!({"traffic-split": {"rules": [{"weighted_upstreams": branches}]}});
    let route = json!({"uri": "/split", "plugins": split}).to_string();
    let call = Call::new("PUT", "/apisix/admin/routes/split").body(route);
    assert_eq!(a.ask(call).status, 201);
    b.await_revision(1);
    let mut bodies = Vec::new();
    for round in 0..20 {
        bodies.push(b.get("/split").text());
        assert_eq!(a.put(&format!("r{round}"), "http://a.example").status, 201);
        b.await_revision(2 + round);
    }
    assert_eq!(bodies.iter().filter(|body| *body == "one").count(), 10, "{bodies:?}");
}

#[test]
fn what_is_written_for_a_time_goes_everywhere_and_once() {
    let etcd = Etcd::start();
    let (a, b) = (Node::start(&etcd.store()), Node::start(&etcd.store()));
    let upstream = origin("one");
    let to = format!("http://{}", upstream.authority());
    assert_eq!(a.ask(put("short", &to, "?ttl=1")).status, 201);
    for node in [&a, &b] {
        await_that("its time is up", || node.get("/short").status == 404);
    }
    a.await_revision(2);
    b.await_revision(2);
    assert_eq!(a.put("next", &to).status, 201);
    let list = b.ask(Call::get("/splitway/v1/revisions")).json();
    let authors = list["revisions"].as_array().expect("a list").iter();
    let authors: Vec<_> = authors.filter(|it| it["by"] == "ttl").collect();
    assert_eq!(authors.len(), 1, "{list}");
}

#[test]
fn keys_are_the_fleets() {
    let etcd = Etcd::start();
    let (a, b) = (Node::start(&etcd.store()), Node::start(&etcd.store()));
    let key = "a-key-for-all-servers";
    let body = json!({"key": key, "role": "viewer"}).to_string();
    let made = a.ask(Call::new("PUT", "/splitway/v1/keys/reader").body(body));
    assert!(made.status < 300, "{}", made.text());
    await_that("the other knows the key", || {
        b.ask(Call::get("/splitway/v1/keys")).text().contains("reader")
    });
}
