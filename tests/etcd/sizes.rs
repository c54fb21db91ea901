//! Documents and histories that are larger than what etcd takes at once.

use std::thread;

use serde_json::{Map, Value, json};
use splitway_tests::message::Call;

use crate::etcd::Etcd;
use crate::node::{Node, await_that};
use crate::races::revisions;

/// A document of some 3 MB, all of whose routes say which one it is.
fn large(name: &str) -> Value {
    let long: Map<String, Value> =
        (0..5).map(|number| (format!("l{number}"), json!("x".repeat(200)))).collect();
    let route = |number: usize| {
        let (id, uri) = (format!("r{number}"), format!("/{number}"));
        let upstream = "http://a.example";
        json!({"id": id, "uri": uri, "desc": name, "labels": &long, "upstream": upstream})
    };
    json!({"routes": (0..2700).map(route).collect::<Vec<_>>()})
}

fn replace(node: &Node, document: &Value) {
    let call = Call::new("PUT", "/splitway/v1/config").body(document.to_string());
    let answer = node.ask(call);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// What the routes of a document say which one it is; each once.
fn names(document: &Value) -> Vec<String> {
    let routes = document["routes"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<String> =
        routes.iter().map(|route| route["desc"].as_str().expect("a text").to_owned()).collect();
    names.dedup();
    names
}

#[test]
fn a_document_larger_than_a_transaction_is_taken_as_a_whole() {
    let etcd = Etcd::start();
    let (a, b) = (Node::start(&etcd.store()), Node::start(&etcd.store()));
    for (revision, name) in [(1, "one"), (2, "two"), (3, "six")] {
        let document = large(name);
        thread::scope(|scope| {
            let writing = scope.spawn(|| replace(&a, &document));
            while !writing.is_finished() {
                let seen = names(&b.document().0);
                assert!(seen.len() <= 1, "{seen:?}");
            }
        });
        b.await_revision(revision);
        assert_eq!(b.document(), a.document());
        assert_eq!(names(&b.document().0), [name]);
    }
    // What is told of the past comes from the parts as well.
    let past = b.ask(Call::get("/splitway/v1/revisions/1"));
    assert_eq!(names(&past.json()["document"]), ["one"]);
    let third = Node::start(&etcd.store());
    assert_eq!(third.document(), a.document());
}

#[test]
fn the_past_goes_when_it_is_longer_than_asked_for() {
    let etcd = Etcd::start();
    let mut a = Node::prepare(&etcd.store(), &["--keep-revisions", "5"]);
    a.restart();
    for number in 1..=205 {
        assert!(
            a.put(&format!("r{}", number % 7), &format!("http://a{number}.example")).status < 300
        );
    }
    // The last that was tidied was the 200th.
    let kept: Vec<u64> = (196..=205).rev().collect();
    assert_eq!(revisions(&a), kept);
    assert_eq!(etcd.keys("/splitway/log").len(), kept.len());
    assert_eq!(etcd.keys("/splitway/bases").len(), 1);
    let b = Node::start(&etcd.store());
    assert_eq!(b.document(), a.document());
    assert_eq!(b.ask(Call::get("/splitway/v1/revisions/3")).status, 410);
    assert_eq!(b.ask(Call::get("/splitway/v1/revisions/200")).status, 200);
}

#[test]
fn parts_of_writers_that_died_are_never_read_and_go() {
    let etcd = Etcd::start();
    let mut a = Node::prepare(&etcd.store(), &["--keep-revisions", "5"]);
    a.restart();
    etcd.ask(async |client| {
        let orphan = format!("/splitway/parts/{:020}-dead/000000", 1);
        client.put(orphan, "half a change", None).await.unwrap();
    });
    for number in 1..=101 {
        assert!(a.put("r", &format!("http://a{number}.example")).status < 300);
    }
    await_that("it is gone", || etcd.keys("/splitway/parts").is_empty());
    let b = Node::start(&etcd.store());
    assert_eq!(b.document(), a.document());
}
