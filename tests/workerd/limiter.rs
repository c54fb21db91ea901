//! Shared limits: the object that counts one key, and what many isolates make of it.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use splitway_core::limit::{Grant, Terms, Toll};
use splitway_tests::document::upstream;
use splitway_tests::message::Call;
use splitway_tests::origin::Origin;
use splitway_tests::script::DEADLINE;
use splitway_tests::wire::Connection;
use tempfile::TempDir;

use crate::edge::answering;
use crate::miniflare::Miniflare;

fn toll(key: &str, terms: Terms, want: u32) -> Toll {
    Toll { key: key.to_owned(), terms, want }
}

fn fixed(count: u64, window_ms: u64) -> Terms {
    Terms::Fixed { count, window_ms }
}

fn in_folder(folder: &TempDir) -> Miniflare {
    Miniflare::start(&json!({"folder": folder.path()}))
}

/// Waits until so many values are stored.
fn await_stored(miniflare: &mut Miniflare, values: &str) {
    let begin = Instant::now();
    while miniflare.stored() != values {
        assert!(begin.elapsed() < DEADLINE, "there are {} and not {values}", miniflare.stored());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_object_grants_what_an_account_does() {
    let mut miniflare = Miniflare::start(&json!({}));
    let mut of = |key: &str, terms, want| miniflare.toll(&toll(key, terms, want));
    let (mut given, mut last) = (0, Grant::default());
    while given < 100 {
        last = of("a", fixed(100, 600_000), 10);
        assert!(last.granted > 0, "{given}: {last:?}");
        given += last.granted;
    }
    assert_eq!((given, last.remaining), (100, 0));
    let refused = of("a", fixed(100, 600_000), 10);
    assert_eq!(refused.granted, 0);
    assert!((1..=600_000).contains(&refused.reset_ms), "{refused:?}");
    assert_eq!(of("b", fixed(100, 600_000), 10).granted, 10, "another key is another object");
    let (rate_milli, burst_milli) = (1, 1000);
    let leaky = Terms::Leaky { rate_milli, burst_milli };
    assert_eq!(of("c", leaky.clone(), 1).granted, 1);
    let held_up = of("c", leaky, 1);
    assert!(
        held_up.granted == 1 && (900_000..=1_000_000).contains(&held_up.pause_ms),
        "{held_up:?}"
    );
    let enter = |id: &str| {
        let (conn, burst, delay_ms, hold_ms) = (1, 0, 0, 600_000);
        Terms::Enter { conn, burst, delay_ms, id: id.to_owned(), hold_ms }
    };
    assert_eq!(of("d", enter("one"), 1).granted, 1);
    assert_eq!(of("d", enter("two"), 1).granted, 0);
    of("d", Terms::Leave { id: "one".to_owned() }, 1);
    assert_eq!(of("d", enter("two"), 1).granted, 1);
}

#[test]
fn what_was_counted_outlives_its_object_and_the_runtime() {
    let folder = TempDir::new().unwrap();
    let mut miniflare = in_folder(&folder);
    assert_eq!(miniflare.toll(&toll("a", fixed(10, 600_000), 1)).remaining, 9);
    await_stored(&mut miniflare, "1");
    miniflare.evict("a");
    assert_eq!(miniflare.toll(&toll("a", fixed(10, 600_000), 1)).remaining, 8);
    // That one is written a second later.
    thread::sleep(Duration::from_millis(2500));
    miniflare.kill();
    let mut miniflare = in_folder(&folder);
    assert_eq!(miniflare.toll(&toll("a", fixed(10, 600_000), 1)).remaining, 7);
}

#[test]
fn what_has_expired_is_deleted() {
    let folder = TempDir::new().unwrap();
    let mut miniflare = in_folder(&folder);
    // One is written and deleted by its alarm, the other is never written.
    assert_eq!(miniflare.toll(&toll("a", fixed(10, 4000), 1)).remaining, 9);
    assert_eq!(miniflare.toll(&toll("b", fixed(10, 100), 1)).remaining, 9);
    await_stored(&mut miniflare, "1");
    await_stored(&mut miniflare, "0");
    assert_eq!(miniflare.toll(&toll("a", fixed(10, 4000), 1)).remaining, 9);
    let logged = miniflare.logged();
    assert!(logged.is_empty(), "{logged:?}");
}

/// How many may pass.
const MAY: usize = 200;

fn document(plugin: &Value, origin: &Origin) -> String {
    let plugins = json!({"limit-count": plugin});
    json!({"routes": [{"uri": "/", "plugins": plugins, "upstream": upstream(origin)}]}).to_string()
}

fn status(connection: &mut Connection, node: usize) -> u16 {
    let call = Call::get("/").header("host", "a.test").header("x-node", node.to_string());
    connection.send(&call);
    connection.next_answer().expect("the connection is kept").status
}

/// How many of the requests pass that come to so many isolates at once.
fn passed(policy: &str, nodes: usize, origin: &Origin) -> usize {
    const REQUESTS: usize = 300;
    let plugin = json!({"count": MAY, "time_window": 3600, "policy": policy, "rejected_code": 429});
    let document = document(&plugin, origin);
    let miniflare = Miniflare::start(&json!({"document": document, "nodes": nodes}));
    let address = miniflare.address();
    thread::scope(|scope| {
        let client = |node: usize| {
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                let statuses: Vec<u16> =
                    (0..REQUESTS).map(|_| status(&mut connection, node)).collect();
                assert!(statuses.iter().all(|it| [200, 429].contains(it)), "{statuses:?}");
                statuses.iter().filter(|status| **status == 200).count()
            })
        };
        let clients: Vec<_> = (1..=nodes).map(client).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    })
}

#[test]
fn no_more_pass_in_many_isolates_than_in_one() {
    let origin = answering();
    let mut table = format!("policy  isolates  more than N = {MAY}\n");
    for (policy, nodes) in ["shared", "local"].map(|it| [1, 2, 8].map(|n| (it, n))).concat() {
        let passed = passed(policy, nodes, &origin);
        let more = i64::try_from(passed).unwrap() - i64::try_from(MAY).unwrap();
        table += &format!("{policy:6}  {nodes:8}  {more:+}\n");
        match policy {
            // What an isolate was given and had no more use for is left.
            "shared" => assert!((MAY * 8 / 10..=MAY).contains(&passed), "{table}"),
            _ => assert_eq!(passed, nodes * MAY, "{table}"),
        }
    }
    drop(write!(io::stderr(), "{table}"));
}

#[test]
fn an_object_that_is_away_is_degraded_from_or_not() {
    let origin = answering();
    for limiter in [json!(false), json!("throws"), json!("hangs")] {
        for (may_degrade, expected) in [(false, 500), (true, 200)] {
            let plugin = json!({"count": 9, "time_window": 3600, "policy": "shared",
                "allow_degradation": may_degrade});
            let document = document(&plugin, &origin);
            let miniflare = Miniflare::start(&json!({"document": document, "limiter": limiter}));
            let mut connection = Connection::open(miniflare.address());
            let begin = Instant::now();
            for _ in 0..20 {
                assert_eq!(status(&mut connection, 1), expected, "{limiter}");
            }
            // Where it hangs one request in a second waits for it, for a second.
            let took = begin.elapsed();
            assert!(took < Duration::from_secs(6), "{limiter}: {took:?}");
            let logged = miniflare.logged();
            let is_said = |line: &String| line.contains("limits_store_lost");
            assert!(logged.iter().any(is_said), "{limiter}: {logged:?}");
        }
    }
}
