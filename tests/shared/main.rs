//! Limits that a fleet shares: servers that count in one Redis, hammered at at once, and what becomes of them
//! when it goes away.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this program is tests: a panic is how they fail"
)]

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use splitway_local::{LimiterOptions, ServeOptions, Server};
use splitway_tests::document::{branches, upstream};
use splitway_tests::message::Call;
use splitway_tests::origin::Origin;
use splitway_tests::redis::RedisServer;
use splitway_tests::script::{DEADLINE, Gate, Reply, Script};
use splitway_tests::wire::Connection;

/// How many may pass.
const MAY: usize = 200;

fn server(document: &Value, redis: &RedisServer, timeout_ms: u64) -> Server {
    let options = ServeOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        workers: NonZeroUsize::new(2),
        limiter: LimiterOptions {
            redis: Some(redis.url().parse().unwrap()),
            redis_timeout: Duration::from_millis(timeout_ms),
        },
        is_silent: true,
        ..ServeOptions::default()
    };
    Server::start_with(&document.to_string(), options).unwrap()
}

/// A document with one route at `/`, which has this plugin.
fn document(name: &str, plugin: &Value, origin: &Origin) -> Value {
    let route = json!({"uri": "/", "plugins": {name: plugin}, "upstream": upstream(origin)});
    json!({"routes": [route]})
}

fn origin() -> Origin {
    Origin::on_loopback(Reply::ok("served").into())
}

/// How many of the requests pass that come to so many servers at once, each on several connections.
fn passed(document: &Value, nodes: usize) -> usize {
    const CONNECTIONS: usize = 3;
    const REQUESTS: usize = 150;
    let redis = RedisServer::start();
    let servers: Vec<Server> = (0..nodes).map(|_| server(document, &redis, 4000)).collect();
    let barrier = Barrier::new(nodes * CONNECTIONS);
    thread::scope(|scope| {
        let client = |number: usize| {
            let (address, barrier) = (servers[number % nodes].listen_addr(), &barrier);
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                barrier.wait();
                let statuses = (0..REQUESTS).map(|_| {
                    connection.send(&Call::get("/").header("host", "a.test"));
                    connection.next_answer().expect("the connection is kept").status
                });
                let statuses: Vec<u16> = statuses.collect();
                assert!(statuses.iter().all(|it| [200, 429].contains(it)), "{statuses:?}");
                statuses.iter().filter(|status| **status == 200).count()
            })
        };
        let clients: Vec<_> = (0..nodes * CONNECTIONS).map(client).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    })
}

#[test]
fn no_more_pass_on_many_servers_than_on_one() {
    let origin = origin();
    let count = json!({"count": MAY, "time_window": 3600});
    let sliding = json!({"count": MAY, "time_window": 3600, "window_type": "sliding"});
    let rate = json!({"rate": 0.01, "burst": MAY - 1, "nodelay": true, "key": "remote_addr"});
    let mut table = format!("limit                policy  servers  more than N = {MAY}\n");
    for (title, name, plugin) in [
        ("limit-count fixed", "limit-count", count),
        ("limit-count sliding", "limit-count", sliding),
        ("limit-req", "limit-req", rate),
    ] {
        for (policy, nodes) in ["shared", "local"].map(|it| [1, 2, 8].map(|n| (it, n))).concat() {
            let mut plugin = plugin.clone();
            plugin["policy"] = json!(policy);
            plugin["rejected_code"] = json!(429);
            let passed = passed(&document(name, &plugin, &origin), nodes);
            let more = i64::try_from(passed).unwrap() - i64::try_from(MAY).unwrap();
            table += &format!("{title:19}  {policy:6}  {nodes:7}  {more:+}\n");
            match policy {
                // What a server was given and had no more use for is left.
                "shared" => assert!((MAY * 8 / 10..=MAY).contains(&passed), "{table}"),
                _ => assert_eq!(passed, nodes * MAY, "{table}"),
            }
        }
    }
    drop(write!(io::stderr(), "{table}"));
}

/// How many of more requests than may are under way at once, which come to so many servers; and whether those
/// servers let others pass when these are over.
fn under_way(policy: &str, nodes: usize) -> usize {
    const CLIENTS: usize = 8;
    let gate = Gate::default();
    let door = gate.clone();
    let origin = Origin::on_loopback(Script::new(move |_| {
        door.wait();
        Reply::ok("served").into()
    }));
    let plugin = json!({"conn": PLACES, "burst": 0, "default_conn_delay": 0.1, "policy": policy,
        "key_type": "constant", "key": "all", "rejected_code": 429});
    let (redis, document) = (RedisServer::start(), document("limit-conn", &plugin, &origin));
    let servers: Vec<Server> = (0..nodes).map(|_| server(&document, &redis, 4000)).collect();
    let (all, refused) = (nodes * CLIENTS, AtomicUsize::new(0));
    thread::scope(|scope| {
        let client = |number: usize| {
            let (address, refused) = (servers[number % nodes].listen_addr(), &refused);
            scope.spawn(move || {
                let status = status(&mut Connection::open(address), "/");
                refused.fetch_add(usize::from(status == 429), Ordering::SeqCst);
                status
            })
        };
        let clients: Vec<_> = (0..all).map(client).collect();
        let begin = Instant::now();
        while origin.count() + refused.load(Ordering::SeqCst) < all {
            assert!(begin.elapsed() < DEADLINE, "some requests are neither here nor there");
            thread::sleep(Duration::from_millis(5));
        }
        gate.open();
        for client in clients {
            assert!([200, 429].contains(&client.join().unwrap()));
        }
    });
    let passed = origin.count();
    for server in &servers {
        await_status(&mut Connection::open(server.listen_addr()), "/", 200);
    }
    passed
}

/// How many may be under way.
const PLACES: usize = 5;

#[test]
fn no_more_are_under_way_on_many_servers_than_on_one() {
    let mut table = format!("limit                policy  servers  more than N = {PLACES}\n");
    for (policy, nodes) in ["shared", "local"].map(|it| [1, 2, 8].map(|n| (it, n))).concat() {
        let passed = under_way(policy, nodes);
        table += &format!("limit-conn           {policy:6}  {nodes:7}  {:+}\n", passed - PLACES);
        let expected = if policy == "shared" { PLACES } else { nodes * PLACES };
        assert_eq!(passed, expected, "{table}");
    }
    drop(write!(io::stderr(), "{table}"));
}

#[test]
fn a_branch_gets_no_more_on_many_servers_than_on_one() {
    const REQUESTS: usize = 200;
    const TAKES: usize = 50;
    let mut table = format!("limit                policy  servers  more than N = {TAKES}\n");
    for (policy, nodes) in ["shared", "local"].map(|it| [1, 2, 8].map(|n| (it, n))).concat() {
        let (v1, v2, redis) = (origin(), origin(), RedisServer::start());
        let limit = json!({"count": TAKES, "time_window": 3600, "policy": policy});
        let document = branches(&[
            json!({"name": "v1", "weight": 1, "upstream": upstream(&v1)}),
            json!({"name": "v2", "weight": 1, "upstream": upstream(&v2), "limit": limit}),
        ]);
        let document: Value = serde_json::from_str(&document).unwrap();
        let servers: Vec<Server> = (0..nodes).map(|_| server(&document, &redis, 4000)).collect();
        thread::scope(|scope| {
            for server in &servers {
                scope.spawn(|| {
                    let mut connection = Connection::open(server.listen_addr());
                    for _ in 0..REQUESTS {
                        assert_eq!(status(&mut connection, "/"), 200);
                    }
                });
            }
        });
        let taken = v2.count();
        assert_eq!(v1.count() + taken, nodes * REQUESTS);
        let more = i64::try_from(taken).unwrap() - i64::try_from(TAKES).unwrap();
        table += &format!("limit of a branch    {policy:6}  {nodes:7}  {more:+}\n");
        match policy {
            "shared" => assert!((TAKES * 8 / 10..=TAKES).contains(&taken), "{table}"),
            _ => assert_eq!(taken, nodes * TAKES, "{table}"),
        }
    }
    drop(write!(io::stderr(), "{table}"));
}

/// Asks until the status is this one.
fn await_status(connection: &mut Connection, path: &str, expected: u16) {
    let begin = Instant::now();
    while status(connection, path) != expected {
        assert!(begin.elapsed() < DEADLINE, "{path} is never answered {expected}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn status(connection: &mut Connection, path: &str) -> u16 {
    connection.send(&Call::get(path).header("host", "a.test"));
    connection.next_answer().expect("the connection is kept").status
}

#[test]
fn a_redis_that_goes_away_is_degraded_from_or_not_and_comes_back() {
    const TIMEOUT_MS: u64 = 500;
    let origin = origin();
    let route = |uri: &str, may_degrade: bool| {
        let plugin = json!({"count": 100_000, "time_window": 3600, "policy": "shared",
            "allow_degradation": may_degrade});
        json!({"uri": uri, "plugins": {"limit-count": plugin}, "upstream": upstream(&origin)})
    };
    let document = json!({"routes": [route("/strict", false), route("/lenient", true)]});
    let mut redis = RedisServer::start();
    let server = server(&document, &redis, TIMEOUT_MS);
    let mut connection = Connection::open(server.listen_addr());
    let both = ["/strict", "/lenient"];
    assert_eq!(both.map(|path| status(&mut connection, path)), [200, 200]);

    for frozen in [false, true] {
        match frozen {
            true => redis.freeze(),
            false => redis.kill(),
        }
        // What was given before is used up first.
        await_status(&mut connection, "/strict", 500);
        let begin = Instant::now();
        for _ in 0..100 {
            assert_eq!(both.map(|path| status(&mut connection, path)), [500, 200]);
        }
        // One in a second asks, and waits for no longer than that.
        let took = begin.elapsed();
        let most = Duration::from_millis(2 * TIMEOUT_MS) + took / 2;
        assert!(took < most, "200 requests took {took:?}");
        match frozen {
            true => redis.wake(),
            false => redis.restart(),
        }
        await_status(&mut connection, "/strict", 200);
    }
    server.stop();
}
