//! Servers and etcd that are killed among writers: what was acknowledged is kept.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use splitway_tests::at_end::AtEnd;
use splitway_tests::message::Call;

use crate::etcd::Etcd;
use crate::node::{Node, await_that};

const ROUNDS: usize = 3;

/// How many writes are acknowledged before the axe falls.
const BEFORE: usize = 20;

/// Routes that were acknowledged.
type Acknowledged = Mutex<BTreeSet<String>>;

/// Writes routes until it is told to stop; those that were acknowledged are noted.
fn write(node: &Node, name: &str, stop: &AtomicBool, acknowledged: &Acknowledged) {
    for number in 0.. {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let id = format!("{name}-{number}");
        // The server may be gone before it answers.
        let put = || node.put(&id, "http://a.example").status;
        let status = catch_unwind(AssertUnwindSafe(put)).unwrap_or(0);
        if status == 201 {
            acknowledged.lock().unwrap().insert(id);
        }
    }
}

/// Everything acknowledged is there, on every server.
fn check(nodes: &[&Node], acknowledged: &Acknowledged) {
    let expected = acknowledged.lock().unwrap();
    for node in nodes {
        await_that("everything acknowledged is there", || {
            let list = node.ask(Call::get("/apisix/admin/routes"));
            let list = if list.status == 200 { list.json() } else { return false };
            let routes = list["list"].as_array().expect("a list").iter();
            let ids: BTreeSet<String> = routes
                .map(|route| route["value"]["id"].as_str().expect("an id").to_owned())
                .collect();
            expected.is_subset(&ids)
        });
    }
    await_that("all have the same", || {
        nodes
            .iter()
            .map(|node| node.document())
            .collect::<Vec<_>>()
            .windows(2)
            .all(|two| two[0] == two[1])
    });
}

fn await_count(acknowledged: &Acknowledged, count: usize) {
    await_that("writers write", || acknowledged.lock().unwrap().len() >= count);
}

#[test]
fn what_was_acknowledged_survives_the_loss_of_etcd() {
    let mut etcd = Etcd::start();
    let (a, b) = (Node::start(&etcd.store()), Node::start(&etcd.store()));
    let acknowledged = Acknowledged::default();
    for round in 0..ROUNDS {
        let stop = AtomicBool::new(false);
        let before = acknowledged.lock().unwrap().len();
        thread::scope(|scope| {
            let (stop, acknowledged) = (&stop, &acknowledged);
            for (name, node) in [("a", &a), ("b", &b)] {
                scope.spawn(move || write(node, &format!("{name}{round}"), stop, acknowledged));
            }
            let _stop = AtEnd(|| stop.store(true, Ordering::Release));
            await_count(acknowledged, before + BEFORE);
            etcd.kill();
            // Writers go on and are refused.
            etcd.restart();
            let kept = acknowledged.lock().unwrap().len();
            await_count(acknowledged, kept + BEFORE);
        });
        check(&[&a, &b], &acknowledged);
    }
}

#[test]
fn what_was_acknowledged_survives_the_loss_of_a_server() {
    let etcd = Etcd::start();
    let (mut a, b) = (Node::start(&etcd.store()), Node::start(&etcd.store()));
    let acknowledged = Acknowledged::default();
    for round in 0..ROUNDS {
        let stop = AtomicBool::new(false);
        let before = acknowledged.lock().unwrap().len();
        thread::scope(|scope| {
            let (stop, acknowledged) = (&stop, &acknowledged);
            for (name, node) in [("a", &a), ("b", &b)] {
                scope.spawn(move || write(node, &format!("{name}{round}"), stop, acknowledged));
            }
            let _stop = AtEnd(|| stop.store(true, Ordering::Release));
            await_count(acknowledged, before + BEFORE);
            a.signal_kill();
            let kept = acknowledged.lock().unwrap().len();
            await_count(acknowledged, kept + BEFORE);
        });
        a.kill();
        a.restart();
        check(&[&a, &b], &acknowledged);
    }
}
