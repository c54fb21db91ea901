//! What requests find out about nodes, and what probes say later.

use std::borrow::Cow;

use super::*;
use crate::checks::Probe;
use crate::checkup::{Checkup, checkups};
use crate::problem::Failure;

/// A response without anything to say.
struct Status(u16);

impl ResponseHead for Status {
    fn status(&self) -> u16 {
        self.0
    }

    fn header(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

/// Nodes `a` and `b`, each of which is down after 3 bad statuses, 2 failures without one or 4 that took
/// too long, and up after 2 successes of probes.
fn checked() -> Snapshot {
    document(&json!({"id": "r", "uri": "/*", "upstream": {
        "nodes": {"a": 1, "b": 1}, "retries": 0,
        "checks": {
            "active": {"type": "tcp", "healthy": {"interval": 1, "successes": 2}},
            "passive": {"healthy": {"successes": 5}, "unhealthy": {
                "http_statuses": [500, 429], "http_failures": 3, "tcp_failures": 2, "timeouts": 4,
            }},
        },
    }}))
}

/// Which nodes so many requests go to, where this comes of them.
fn served(
    snapshot: &Snapshot,
    count: usize,
    answer: impl Fn(&str) -> Result<u16, Failure>,
) -> String {
    let head = Fake::new("GET", "/");
    let serve = |_| {
        let mut exchange = decided(snapshot, &head);
        let attempt = exchange.attempt(&head, Body::Unread, Means::NONE).unwrap();
        let node = attempt.node.host().to_owned();
        let (event, response) = match answer(&node) {
            Ok(status) => (exchange.event(&Status(status)), Some(Status(status))),
            Err(failure) => (Some(Event::Failed(failure)), None),
        };
        let again = exchange.settle(event.as_ref(), response.as_ref(), &head, true, Means::NONE);
        assert_eq!(again, None);
        node
    };
    (0..count).map(serve).collect()
}

fn sorted(nodes: &str) -> String {
    let mut nodes: Vec<char> = nodes.chars().collect();
    nodes.sort_unstable();
    nodes.into_iter().collect()
}

fn fine(_: &str) -> Result<u16, Failure> {
    Ok(200)
}

fn probe(checkup: &Checkup, node: usize, probe: Probe) {
    checkup.nodes[node].health.note_active(&checkup.checks.active, probe);
}

#[test]
fn a_node_of_which_requests_tell_nothing_good_is_left_alone_until_probes_do() {
    for (answer, count) in [
        (Ok(500), 3),
        (Ok(429), 3),
        // What is not HTTP counts as a status.
        (Ok(999), 3),
        (Err(Failure::HttpProtocolError), 3),
        (Err(Failure::ConnectionRefused), 2),
        (Err(Failure::ConnectionTerminated), 2),
        (Err(Failure::TlsCertificateError), 2),
        (Err(Failure::DnsError), 2),
        (Err(Failure::HttpResponseTimeout), 4),
        (Err(Failure::ConnectionTimeout), 4),
    ] {
        let snapshot = checked();
        let bad = |node: &str| if node == "a" { answer } else { Ok(200) };
        assert_eq!(served(&snapshot, count * 2, bad), "ab".repeat(count), "{answer:?}");
        assert_eq!(served(&snapshot, 10, bad), "b".repeat(10), "{answer:?}");
        // Requests do not bring it back: it gets none. One good probe is not enough.
        let checkup = &checkups(&snapshot)[0];
        probe(checkup, 0, Probe::Connected);
        assert_eq!(served(&snapshot, 10, fine), "b".repeat(10), "{answer:?}");
        probe(checkup, 0, Probe::Connected);
        assert_eq!(sorted(&served(&snapshot, 10, fine)), "aaaaabbbbb", "{answer:?}");
    }
}

#[test]
fn what_does_not_speak_against_a_node_is_not_counted_against_it() {
    // A status that is in no list, and a client that breaks off.
    for answer in [Ok(503), Ok(404), Ok(200), Err(Failure::HttpRequestError)] {
        let snapshot = checked();
        assert_eq!(served(&snapshot, 40, |_| answer), "ab".repeat(20), "{answer:?}");
    }
}

#[test]
fn successes_in_between_clear_what_was_counted() {
    let snapshot = checked();
    for _ in 0..9 {
        assert_eq!(served(&snapshot, 4, |_| Ok(500)), "abab");
        // It counts from nothing again.
        assert_eq!(served(&snapshot, 2, fine), "ab");
    }
}

#[test]
fn where_all_nodes_are_down_all_are_tried() {
    let snapshot = checked();
    let refused = |_: &str| Err(Failure::ConnectionRefused);
    assert_eq!(sorted(&served(&snapshot, 14, refused)), "aaaaaaabbbbbbb");
    let checkup = &checkups(&snapshot)[0];
    assert!(checkup.nodes.iter().all(|node| !node.health.is_up()));
}

#[test]
fn what_was_found_out_holds_for_the_next_configuration() {
    let snapshot = checked();
    served(&snapshot, 6, |node| if node == "b" { Ok(500) } else { Ok(200) });
    let next = checked().following(&snapshot);
    assert_eq!(served(&next, 10, fine), "a".repeat(10));
}
