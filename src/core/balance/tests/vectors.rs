//! What APISIX does with nodes, as data.

use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::{Balancer, Tried, balancer, pick_for};
use crate::exchange::{Exchange, Inquiry, Visit};
use crate::facts::Body;
use crate::facts::fake::Asked;
use crate::fault::Report;
use crate::rewrite::fake::Fake;
use crate::snapshot::compile_json;
use crate::split::Means;

fn vectors(family: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_json::from_str(include_str!("../vectors.json")).expect("JSON");
    let is_of = |vector: &Value| vector["id"].as_str().is_some_and(|id| id.starts_with(family));
    let found: Vec<Value> = all.into_iter().filter(is_of).collect();
    assert!(!found.is_empty());
    found
}

/// Host and port of the node for a key in the header `x-key`.
fn owner(balancer: &Balancer, key: &str, tried: &Tried) -> Option<String> {
    let asked = Asked::default().header("x-key", key);
    let index = pick_for(balancer, &asked, tried, 0, &|| 0)?;
    let node = balancer.node(index);
    Some(format!("{}:{}", node.host(), node.port()))
}

#[test]
fn keys_belong_to_the_nodes_that_apisix_gives_them_to() {
    for vector in vectors("chash") {
        let upstream = json!({
            "type": "chash", "hash_on": "header", "key": "x-key", "nodes": vector["nodes"],
        });
        let balancer = balancer(&upstream);
        for (key, node) in vector["expect"].as_object().expect("keys with nodes") {
            let found = owner(&balancer, key, &Tried::default());
            assert_eq!(found.as_deref(), node.as_str(), "{} {key}", vector["id"]);
        }
    }
}

#[test]
fn requests_go_to_the_nodes_that_apisix_sends_them_to() {
    for vector in vectors("balance") {
        let id = &vector["id"];
        let document = json!({"routes": vector["routes"]}).to_string();
        let mut report = Report::default();
        let snapshot = compile_json(&document, 0, &mut report);
        let snapshot = snapshot.unwrap_or_else(|| panic!("{id}: {:?}", report.faults));
        for step in vector["steps"].as_array().expect("steps") {
            let request = &step["request"];
            let mut head = Fake::new("GET", request["uri"].as_str().expect("a target"));
            for (name, value) in request["headers"].as_object().into_iter().flatten() {
                head = head.header(name, value.as_str().expect("a value"));
            }
            let mut counts = BTreeMap::new();
            for _ in 0..step["repeat"].as_u64().unwrap_or(1) {
                let inquiry = Inquiry { snapshot: Some(&snapshot), head: &head };
                let decided =
                    Exchange::decide(&mut Visit::default(), inquiry, Means::NONE, Body::Unread);
                let mut exchange = decided.unwrap_or_else(|_| panic!("nothing asks for a body"));
                let attempt = exchange.attempt(&head, Body::Unread, Means::NONE).expect("a node");
                let node = format!("{}:{}", attempt.node.host(), attempt.node.port());
                for (key, expected) in step["expect"].as_object().expect("an object") {
                    let is_expected = match key.as_str() {
                        "nodes" => true,
                        "node_in" => {
                            expected.as_array().is_some_and(|all| all.contains(&json!(node)))
                        }
                        "host" => json!(attempt.host) == *expected,
                        "scheme" => json!(attempt.scheme.as_str()) == *expected,
                        other => panic!("{id} expects something of `{other}`"),
                    };
                    assert!(is_expected, "{id}: {key} of {attempt:?}");
                }
                *counts.entry(node).or_insert(0) += 1;
            }
            if let Some(expected) = step["expect"].get("nodes") {
                assert_eq!(json!(counts), *expected, "{id}");
            }
        }
    }
}

/// Another reading of the same ring: all points in one list, and a search from its start.
#[test]
fn keys_of_a_node_that_fails_go_to_the_next_point_of_another() {
    let nodes = [("10.0.0.1:80", 6), ("10.0.0.2:80", 4), ("10.0.0.3:8080", 2), ("10.0.0.4:80", 0)];
    let weights: Value =
        nodes.iter().map(|(node, weight)| ((*node).to_owned(), json!(weight))).collect();
    let upstream = json!({"type": "chash", "hash_on": "header", "key": "x-key", "nodes": weights});
    let balancer = balancer(&upstream);
    let mut points = Vec::new();
    for (node, weight) in nodes {
        let mut bytes = node.replace(':', "\0").into_bytes();
        let start = bytes.len();
        bytes.extend([0; 4]);
        for _ in 0..160 * weight / 2 {
            let point = super::super::crc32::crc32([&*bytes]);
            bytes[start..].copy_from_slice(&point.to_le_bytes());
            points.push((point, node));
        }
    }
    points.sort_unstable();
    let position = |name: &str| {
        let at = |index: &usize| {
            let node = balancer.node(*index);
            format!("{}:{}", node.host(), node.port()) == name
        };
        (0..4).find(at).expect("a node")
    };
    let mut moved = 0;
    for number in 0..500 {
        let key = format!("user-{number}");
        let hash = super::super::crc32::crc32([key.as_bytes()]);
        let clockwise = || {
            let behind = points.iter().filter(|(point, _)| *point >= hash);
            behind.chain(&points).map(|(_, node)| *node)
        };
        let (mut failed, mut tried) = (Vec::new(), Tried::default());
        while let Some(node) = owner(&balancer, &key, &tried) {
            assert_eq!(clockwise().find(|node| !failed.contains(node)), Some(&*node), "{key}");
            tried.add(position(&node));
            failed.push(clockwise().find(|other| *other == node).expect("it was found"));
        }
        assert_eq!(failed.len(), 3, "the node without weight has no keys");

        // The same by health: and only keys of the node that is down move.
        let before = owner(&balancer, &key, &Tried::default());
        super::picks::set_up_one(balancer.vital(position(nodes[1].0)), false);
        let after = owner(&balancer, &key, &Tried::default());
        super::picks::set_up_one(balancer.vital(position(nodes[1].0)), true);
        assert_ne!(after.as_deref(), Some(nodes[1].0));
        if before.as_deref() != Some(nodes[1].0) {
            assert_eq!(after, before);
        } else {
            moved += 1;
        }
    }
    assert!((100..250).contains(&moved), "{moved}");
}
