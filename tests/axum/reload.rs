//! The configuration changes while clients call without a pause: none of them notices.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};
use splitway_tests::control::Control;
use splitway_tests::document::upstream;
use splitway_tests::message::Call;
use splitway_tests::origin::Origin;
use splitway_tests::script::Reply;
use splitway_tests::wire::Connection;

use crate::ledger::Ledgered;

/// How many clients call at once, each on one connection that is kept.
const CLIENTS: usize = 8;

/// How many configurations there are.
const CHANGES: u32 = 50;

/// A route whose weights and rewrites are others each time.
fn route(v1: &Origin, v2: &Origin, number: u32) -> Value {
    let branch = |name: &str, weight: u32, origin: &Origin| {
        json!({
            "name": name,
            "weight": weight,
            "upstream": upstream(origin),
            "rewrite": {"uri": format!("/{name}/{number}")},
        })
    };
    let list = [branch("v1", 1 + number % 7, v1), branch("v2", 1 + number % 5, v2)];
    let rule = json!({"weighted_upstreams": list});
    json!({"uri": "/*", "plugins": {"traffic-split": {"rules": [rule]}}})
}

/// Calls until it is told to stop, and says how many calls were answered and what went wrong first.
fn call_until(done: &AtomicBool, calls: &AtomicUsize, server: &Ledgered) -> Result<(), String> {
    let mut connection = Connection::open(server.traffic());
    while !done.load(Ordering::SeqCst) {
        connection.send(&Call::post("/x", "a body"));
        let answer = connection.next_answer().ok_or("the connection ended")?;
        if answer.status != 200 || !answer.complete {
            return Err(format!("{}: {}", answer.status, answer.text()));
        }
        calls.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

#[test]
fn nobody_notices_that_the_configuration_changes() {
    let [v1, v2] = ["of v1", "of v2"].map(|text| Origin::on_loopback(Reply::ok(text).into()));
    let server = Ledgered::new();
    let put = |number: u32| {
        let answer = server.say("PUT /routes/r", &route(&v1, &v2, number));
        assert!(matches!(answer.status, 200 | 201), "{}: {}", answer.status, answer.text());
    };
    put(0);
    let (done, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let client = || call_until(&done, &calls, &server);
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        for number in 1..=CHANGES {
            put(number);
            // Each of them serves for a while.
            let before = calls.load(Ordering::SeqCst);
            while calls.load(Ordering::SeqCst) < before + CLIENTS
                && !clients.iter().any(|client| client.is_finished())
            {
                thread::yield_now();
            }
        }
        done.store(true, Ordering::SeqCst);
        for client in clients {
            assert_eq!(client.join().unwrap(), Ok(()));
        }
    });
    let calls = calls.load(Ordering::SeqCst);
    assert!(calls >= CLIENTS * 50, "{calls}");
    assert_eq!(v1.count() + v2.count(), calls, "each is sent once");
    assert!(v1.count() > 0 && v2.count() > 0);
    let last = format!("/v1/{CHANGES}");
    assert!(v1.requests().iter().any(|request| request.target == last));
}
