//! What is acknowledged is kept: over restarts, and over the sudden end of workerd.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use splitway_tests::control::{Control, with_key};
use splitway_tests::document::upstream;
use splitway_tests::message::Call;
use splitway_tests::script::DEADLINE;
use splitway_tests::wire::Connection;
use tempfile::TempDir;

use crate::edge::{Edge, answering};

fn edge_in(folder: &Path) -> Edge {
    Edge::start(&json!({"coordinator": true, "folder": folder}))
}

#[test]
fn a_restart_keeps_everything() {
    let folder = TempDir::new().unwrap();
    let origin = answering();
    let edge = edge_in(folder.path());
    edge.put_route("a", "/a", &origin);
    edge.put_route("b", "/b", &origin);
    let key = json!({"role": "viewer", "key": "the-key-of-a-viewer"});
    assert_eq!(edge.own("PUT /keys/looker", &key).status, 201);
    let told = |edge: &Edge| {
        let lines = ["GET /config", "GET /revisions", "GET /keys", "GET /revisions/1"];
        let all = edge.say("GET /routes", &Value::Null).text();
        lines.map(|line| edge.own(line, &Value::Null).text()).join("\n") + &all
    };
    let before = told(&edge);
    drop(edge);

    let mut edge = edge_in(folder.path());
    assert_eq!(told(&edge), before);
    assert_eq!(edge.wait_until_published()["published"]["revision"], 3);
    edge.wait_until_served("/b", 200);
    let looker = Call::get("/splitway/v1/config").header("x-api-key", "the-key-of-a-viewer");
    assert_eq!(edge.call(&looker).status, 200);
    edge.put_route("c", "/c", &origin);
    assert_eq!(edge.wait_until_published()["published"]["revision"], 4);
}

/// Routes that were acknowledged, by id.
type Acknowledged = Arc<Mutex<Vec<String>>>;

/// Puts one route after the other on one connection until that ends.
fn write(address: SocketAddr, name: &str, body: &Value, acknowledged: &Acknowledged) {
    let mut connection = Connection::open(address);
    for number in 0.. {
        let id = format!("{name}-{number}");
        connection.send(&with_key(&format!("PUT /routes/{id}"), "/apisix/admin", body));
        match connection.next_answer() {
            Some(answer) if answer.complete => {
                assert_eq!(answer.status, 201, "{}", answer.text());
                acknowledged.lock().unwrap().push(id);
            }
            Some(_) | None => return,
        }
    }
}

/// Writers put routes one after the other until workerd is killed; each that was answered is there
/// afterwards, and what is published by then is the newest.
#[test]
fn what_is_acknowledged_survives_a_kill() {
    const ROUNDS: usize = 4;
    const WRITERS: usize = 3;
    const ENOUGH: usize = 40;
    let folder = TempDir::new().unwrap();
    let origin = answering();
    let body = json!({"uri": "/x", "upstream": upstream(&origin)});
    let acknowledged = Acknowledged::default();
    let count = || acknowledged.lock().unwrap().len();
    for round in 0..ROUNDS {
        let edge = edge_in(folder.path());
        let address = edge.miniflare.address();
        let before = count();
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (body, acknowledged) = (&body, &acknowledged);
                scope.spawn(move || {
                    write(address, &format!("{round}-{writer}"), body, acknowledged);
                });
            }
            let begin = Instant::now();
            while count() < before + ENOUGH {
                assert!(begin.elapsed() < DEADLINE, "the writers get nowhere");
                thread::yield_now();
            }
            edge.miniflare.kill();
        });

        let mut edge = edge_in(folder.path());
        let document = edge.own("GET /config", &Value::Null).json();
        let ids = |document: &Value| -> BTreeSet<String> {
            let routes = document["routes"].as_array().unwrap().iter();
            routes.map(|route| route["id"].as_str().unwrap().to_owned()).collect()
        };
        let there = ids(&document);
        for id in acknowledged.lock().unwrap().iter() {
            assert!(there.contains(id), "{id} was acknowledged and is gone");
        }
        // Nobody has changed anything since: what was due before the end is published after it.
        assert_eq!(ids(&edge.wait_until_published()), there);
    }
    drop(writeln!(io::stderr(), "{} writes survived {ROUNDS} kills", count()));
}
