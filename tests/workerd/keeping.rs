//! What is acknowledged is kept: over restarts, and over the sudden end of workerd.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use splitway_tests::control::{Control, with_key};
use splitway_tests::document::upstream;
use splitway_tests::message::Call;
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
    let mut kept = Vec::new();
    for round in 0..ROUNDS {
        let edge = edge_in(folder.path());
        let address = edge.miniflare.address();
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let count = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (acknowledged, count) = (Arc::clone(&acknowledged), Arc::clone(&count));
                let body = body.clone();
                thread::spawn(move || {
                    let mut connection = Connection::open(address);
                    for number in 0.. {
                        let id = format!("{round}-{writer}-{number}");
                        let line = format!("PUT /routes/{id}");
                        connection.send(&with_key(&line, "/apisix/admin", &body));
                        match connection.next_answer() {
                            Some(answer) if answer.complete && answer.status == 201 => {
                                acknowledged.lock().unwrap().push(id);
                                count.fetch_add(1, Ordering::SeqCst);
                            }
                            // The end has come.
                            Some(_) | None => return,
                        }
                    }
                })
            })
            .collect();
        while count.load(Ordering::SeqCst) < ENOUGH {
            thread::yield_now();
        }
        edge.miniflare.kill();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        kept.append(&mut acknowledged.lock().unwrap());

        let mut edge = edge_in(folder.path());
        let list = edge.own("GET /config", &Value::Null).json();
        let there: Vec<&str> = list["routes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["id"].as_str().unwrap())
            .collect();
        for id in &kept {
            assert!(there.contains(&id.as_str()), "{id} was acknowledged and is gone");
        }
        // Nobody has changed anything since: what was due before the end is published after it.
        assert_eq!(edge.wait_until_published()["routes"].as_array().unwrap().len(), there.len());
    }
}
