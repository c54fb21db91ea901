//! Writers on several servers at once.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};
use splitway_tests::message::Call;

use crate::etcd::Etcd;
use crate::node::{Node, await_that};

/// So many writers on each server, and so many writes by each.
const WRITERS: usize = 3;
const WRITES: usize = 15;

fn same_on_both(a: &Node, b: &Node) -> (Value, u64) {
    await_that("both have the same", || a.document() == b.document());
    a.document()
}

fn ids(document: &Value) -> BTreeSet<String> {
    let routes = document["routes"].as_array().expect("routes").iter();
    routes.map(|route| route["id"].as_str().expect("an id").to_owned()).collect()
}

/// The numbers of all revisions, the newest first.
pub(crate) fn revisions(node: &Node) -> Vec<u64> {
    let list = node.ask(Call::get("/splitway/v1/revisions?limit=500")).json();
    let list = list["revisions"].as_array().expect("a list").clone();
    list.iter().map(|it| it["revision"].as_u64().expect("a number")).collect()
}

/// Replaces the document by one of a single route; the status of the answer.
fn replace(node: &Node, id: &str, expected: u64) -> u16 {
    let route = json!({"id": id, "uri": "/r", "upstream": "http://a.example"});
    let document = json!({"routes": [route]}).to_string();
    let call = Call::new("PUT", "/splitway/v1/config").body(document);
    node.ask(call.header("If-Match", format!("\"{expected}\""))).status
}

#[test]
fn writers_on_both_servers_lose_nothing() {
    let etcd = Etcd::start();
    let (a, b) = (Node::start(&etcd.store()), Node::start(&etcd.store()));
    thread::scope(|scope| {
        for (name, node) in [("a", &a), ("b", &b)] {
            for writer in 0..WRITERS {
                scope.spawn(move || {
                    for number in 0..WRITES {
                        let own = format!("{name}-{writer}-{number}");
                        let answer = node.put(&own, "http://a.example");
                        assert_eq!(answer.status, 201, "{}", answer.text());
                        let shared = node.put("shared", "http://b.example");
                        assert!(shared.status < 300, "{}", shared.text());
                    }
                });
            }
        }
    });
    let (document, revision) = same_on_both(&a, &b);
    assert_eq!(ids(&document).len(), 2 * WRITERS * WRITES + 1);
    let writes = 4 * WRITERS * WRITES;
    assert_eq!(revision, u64::try_from(writes).unwrap());
    let expected: Vec<u64> = (1..=revision).rev().collect();
    assert_eq!(revisions(&a), expected);
    assert_eq!(revisions(&b), expected);
}

#[test]
fn of_two_that_go_on_from_one_revision_one_is_refused() {
    let etcd = Etcd::start();
    let (a, b) = (Node::start(&etcd.store()), Node::start(&etcd.store()));
    assert_eq!(a.put("first", "http://a.example").status, 201);
    for round in 0..10 {
        let (_, revision) = a.document();
        let (of_a, of_b) = thread::scope(|scope| {
            let of_a = scope.spawn(|| replace(&a, &format!("a{round}"), revision));
            let of_b = scope.spawn(|| replace(&b, &format!("b{round}"), revision));
            (of_a.join().unwrap(), of_b.join().unwrap())
        });
        let mut statuses = [of_a, of_b];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412]);
        let winner = if of_a == 200 { "a" } else { "b" };
        let (document, after) = same_on_both(&a, &b);
        assert_eq!(after, revision + 1);
        assert_eq!(ids(&document), BTreeSet::from([format!("{winner}{round}")]));
        a.await_revision(after);
        b.await_revision(after);
    }
}

#[test]
fn a_condition_may_be_ahead_of_the_news() {
    let etcd = Etcd::start();
    let nodes = [Node::start(&etcd.store()), Node::start(&etcd.store())];
    for (revision, node) in (0..20).zip(nodes.iter().cycle()) {
        assert_eq!(replace(node, &format!("r{revision}"), revision), 200);
    }
}
