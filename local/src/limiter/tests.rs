//! The stores against each other and against their promises, on a real `redis-server`.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::io::{self, Write};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use splitway_core::limit::account::Account;
use splitway_core::limit::{Leaving, Terms, Toll};
use splitway_core::time::Timestamp;
use splitway_tests::chance::Chance;
use splitway_tests::redis::RedisServer;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::script::TollScript;
use super::*;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// One thread of one server.
fn limiter(url: &str, timeout_ms: u64) -> Limiter {
    let options = LimiterOptions {
        redis: Some(url.parse().unwrap()),
        redis_timeout: Duration::from_millis(timeout_ms),
    };
    let (log, _) = Log::start(io::sink()).unwrap();
    Counting::new(&options, &log).unwrap().limiter()
}

fn toll(key: &str, terms: &Terms, want: u32) -> Toll {
    Toll { key: key.to_owned(), terms: terms.clone(), want }
}

fn fixed(count: u64, window_ms: u64) -> Terms {
    Terms::Fixed { count, window_ms }
}

fn leave(id: String) -> Terms {
    Terms::Leave { id }
}

fn below(chance: &mut Chance, bound: u64) -> u64 {
    chance.draw() % bound
}

/// Terms that are soon used up.
fn drawn_terms(kind: u64, chance: &mut Chance) -> Terms {
    let (count, window_ms) = (below(chance, 300), 1 + below(chance, 100_000));
    match kind {
        0 => Terms::Fixed { count, window_ms },
        1 => Terms::Sliding { count, window_ms },
        2 => {
            let (rate_milli, burst_milli) = (1 + below(chance, 9_000), below(chance, 200_000));
            Terms::Leaky { rate_milli, burst_milli }
        }
        _ => {
            let (conn, burst) = (1 + below(chance, 5), below(chance, 5));
            let (delay_ms, hold_ms) = (below(chance, 500), 1 + below(chance, 60_000));
            Terms::Enter { conn, burst, delay_ms, id: String::new(), hold_ms }
        }
    }
}

/// The same terms for the next request: places are entered and left by some who come again.
fn next_terms(terms: &Terms, chance: &mut Chance) -> Terms {
    let mut terms = terms.clone();
    if let Terms::Enter { id, .. } = &mut terms {
        *id = format!("node-{}", below(chance, 12));
        if below(chance, 3) == 0 {
            return leave(id.clone());
        }
    }
    terms
}

#[test]
fn the_script_does_what_an_account_does() {
    const ACCOUNTS: u64 = 160;
    const TOLLS: u64 = 100;
    let server = RedisServer::start();
    let client = Client::open(server.url()).unwrap();
    let script = TollScript::new();
    runtime().block_on(async {
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        for seed in 0..ACCOUNTS {
            let mut chance = Chance::new(seed);
            let mut account = Account::default();
            let terms = drawn_terms(seed % 4, &mut chance);
            let mut now_ms = 1_795_377_600_000 + below(&mut chance, 1_000_000);
            for number in 0..TOLLS {
                // Together, apart, far apart; now and then the clock is set back.
                now_ms += match below(&mut chance, 8) {
                    0..3 => 0,
                    3..7 => below(&mut chance, 2000),
                    _ => below(&mut chance, 100_000),
                };
                if below(&mut chance, 40) == 0 {
                    now_ms -= below(&mut chance, 300_000);
                }
                let want = u32::try_from(below(&mut chance, 40)).unwrap();
                let toll = toll(&format!("{seed:032x}"), &next_terms(&terms, &mut chance), want);
                let now = Timestamp::from_millis(now_ms);
                let given = script.run(&mut connection, &toll, Some(now)).await.unwrap();
                assert_eq!(given, account.take(&toll, now), "seed {seed}, toll {number}: {toll:?}");
            }
        }
    });
}

#[test]
fn whatever_is_kept_is_forgotten_in_time() {
    let server = RedisServer::start();
    let client = Client::open(server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let limiter = limiter(&server.url(), 10_000);
    let (conn, burst, delay_ms, hold_ms) = (1, 1, 0, 700);
    let enter = Terms::Enter { conn, burst, delay_ms, id: "a".to_owned(), hold_ms };
    let all = [
        ("a", fixed(5, 600)),
        ("b", Terms::Sliding { count: 5, window_ms: 600 }),
        ("c", Terms::Leaky { rate_milli: 10_000, burst_milli: 5000 }),
        ("d", enter),
    ];
    runtime().block_on(async {
        for _ in 0..5 {
            for (key, terms) in &all {
                limiter.toll(&toll(key, terms, 1)).await.unwrap();
            }
        }
    });
    for (key, _) in &all {
        let name = format!("splitway:limit:{key}");
        let ttl: i64 = ::redis::cmd("PTTL").arg(&name).query(&mut connection).unwrap();
        assert!((1..=720).contains(&ttl), "{key}: {ttl}");
    }
    let begin = Instant::now();
    let count = || -> usize {
        ::redis::cmd("DBSIZE").query(&mut client.get_connection().unwrap()).unwrap()
    };
    while count() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(10), "something stays");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

#[test]
fn a_script_that_redis_has_forgotten_is_told_again() {
    let server = RedisServer::start();
    let mut connection = Client::open(server.url()).unwrap().get_connection().unwrap();
    let limiter = limiter(&server.url(), 10_000);
    runtime().block_on(async {
        for used in 1..4 {
            let grant = limiter.toll(&toll("k", &fixed(9, 60_000), 1)).await.unwrap();
            assert_eq!((grant.granted, grant.remaining), (1, 9 - used));
            ::redis::cmd("SCRIPT").arg("FLUSH").exec(&mut connection).unwrap();
        }
    });
}

#[test]
fn a_password_opens_it_and_a_wrong_one_does_not() {
    let server = RedisServer::start_with(&["--requirepass", "sesame"]);
    let terms = fixed(9, 60_000);
    let with = |password: &str| server.url().replace("//", &format!("//:{password}@"));
    runtime().block_on(async {
        let toll = toll("k", &terms, 1);
        assert_eq!(limiter(&with("sesame"), 10_000).toll(&toll).await.unwrap().granted, 1);
        let in_another = limiter(&format!("{}/3", with("sesame")), 10_000);
        assert_eq!(in_another.toll(&toll).await.unwrap().remaining, 8);
        for url in [server.url(), with("other")] {
            assert!(limiter(&url, 10_000).toll(&toll).await.is_err());
        }
    });
}

#[test]
fn tls_is_spoken_with_one_that_is_trusted() {
    let folder = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str, pem: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let certificate = file("certificate", &made.cert.pem());
    let key = file("key", &made.signing_key.serialize_pem());
    let port = RedisServer::absent().port().to_string();
    let options = ["--tls-port", &port, "--tls-auth-clients", "no", "--tls-key-file", &key];
    let files = ["--tls-cert-file", &certificate, "--tls-ca-cert-file", &certificate];
    let _server = RedisServer::start_with(&[options.as_slice(), &files].concat());
    let url = format!("rediss://localhost:{port}");
    let root_cert = Some(made.cert.pem().into_bytes());
    let trusting = ::redis::TlsCertificates { client_tls: None, root_cert };
    let client = Client::build_with_tls(url.as_str(), trusting).unwrap();
    let (log, _) = Log::start(io::sink()).unwrap();
    let common = (Arc::new(Gate::new(log)), Arc::default());
    let redis = Arc::new(Redis::new(client, Duration::from_secs(10), common));
    runtime().block_on(async {
        let toll = toll("k", &fixed(9, 60_000), 1);
        assert_eq!(redis.toll(&toll).await.map(|grant| grant.remaining), Ok(8));
        assert!(limiter(&url, 10_000).toll(&toll).await.is_err(), "nobody vouches for it");
    });
}

/// Asks until it is answered; how long that took.
async fn until_answered(limiter: &Limiter, toll: &Toll) -> Duration {
    let begin = Instant::now();
    while limiter.toll(toll).await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it does not recover");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begin.elapsed()
}

#[test]
fn nobody_waits_for_a_store_that_is_away_and_it_recovers() {
    let mut server = RedisServer::start();
    let limiter = limiter(&server.url(), 300);
    let toll = toll("k", &fixed(1_000_000, 60_000), 1);
    let many_fail = async || {
        let begin = Instant::now();
        for _ in 0..1000 {
            assert!(limiter.toll(&toll).await.is_err());
        }
        begin.elapsed()
    };
    runtime().block_on(async {
        for round in 0..2 {
            assert_eq!(limiter.toll(&toll).await.map(|grant| grant.granted), Ok(1));
            server.kill();
            assert!(many_fail().await < Duration::from_millis(290), "round {round}");
            server.restart();
            let recovery = until_answered(&limiter, &toll).await;
            assert!(recovery < Duration::from_secs(2), "{recovery:?}");
        }
        // It is there and does not answer: one waits for it, and the others do not.
        server.freeze();
        let begin = Instant::now();
        assert_eq!(limiter.toll(&toll).await, Err(Failure::ConnectionTimeout));
        assert!(begin.elapsed() >= Duration::from_millis(290));
        assert!(many_fail().await < Duration::from_millis(290));
        server.wake();
        let recovery = until_answered(&limiter, &toll).await;
        assert!(recovery < Duration::from_secs(2), "{recovery:?}");
    });
}

#[test]
fn a_store_that_was_restarted_between_requests_is_not_noticed() {
    let mut server = RedisServer::start();
    let limiter = limiter(&server.url(), 10_000);
    runtime().block_on(async {
        for _ in 0..3 {
            let grant = limiter.toll(&toll("k", &fixed(5, 60_000), 1)).await.unwrap();
            assert_eq!(grant.remaining, 4, "it is empty after a restart");
            server.kill();
            server.restart();
        }
    });
}

/// The toll of a request that wants the only place.
fn enter(id: &str) -> Toll {
    let (conn, burst, delay_ms, id, hold_ms) = (1, 0, 0, id.to_owned(), 600_000);
    toll("k", &Terms::Enter { conn, burst, delay_ms, id, hold_ms }, 1)
}

/// Waits until the only place is free, which nobody asks the store for that was away.
async fn until_free(url: &str) {
    let (another, begin) = (limiter(url, 10_000), Instant::now());
    while another.toll(&enter("z")).await.unwrap().granted == 0 {
        assert!(begin.elapsed() < Duration::from_secs(10), "the place stays taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_place_that_was_left_while_the_store_was_away_is_free_when_it_is_back() {
    let server = RedisServer::start();
    let limiter = Arc::new(limiter(&server.url(), 300));
    runtime().block_on(async {
        assert_eq!(limiter.toll(&enter("a")).await.unwrap().granted, 1);
        server.freeze();
        assert!(limiter.toll(&enter("b")).await.is_err());
        // It is known to be away, so that nothing is sent.
        Doorman(Arc::clone(&limiter)).leave(toll("k", &leave("a".to_owned()), 1));
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.wake();
        until_free(&server.url()).await;
    });
}

#[test]
fn a_place_that_was_asked_for_in_vain_is_free_when_the_store_is_back() {
    let server = RedisServer::start();
    let limiter = Arc::new(limiter(&server.url(), 300));
    runtime().block_on(async {
        assert_eq!(limiter.toll(&toll("other", &fixed(9, 60_000), 1)).await.unwrap().granted, 1);
        server.freeze();
        let (asked, porter) = (enter("a"), Doorman(Arc::clone(&limiter)));
        let leaving = Leaving::of(&asked, || Arc::new(porter));
        assert_eq!(limiter.toll(&asked).await, Err(Failure::ConnectionTimeout));
        drop(leaving);
        server.wake();
        until_free(&server.url()).await;
    });
}

#[test]
fn the_oldest_that_wait_for_the_store_are_forgotten() {
    let backlog = Backlog::default();
    let left = |number: usize| toll("k", &leave(number.to_string()), 1);
    for number in 0..10_005 {
        assert!(backlog.keep(left(number)), "somebody is to tell it");
    }
    let mut sender = backlog.sender().unwrap();
    assert!(backlog.sender().is_none() && !backlog.keep(left(10_005)), "somebody does");
    assert_eq!(sender.next(1), [left(6)]);
    sender.give_back(vec![left(6)]);
    assert_eq!(sender.next(1), [left(6)]);
    assert_eq!(sender.next(usize::MAX).len(), 9_999);
    assert_eq!(sender.next(1), []);
    assert!(backlog.keep(left(0)) && backlog.sender().is_some());
    drop(sender);
}

/// How many pass that hammer at one key from so many nodes at once, each with its leases.
fn passed(url: Option<&str>, nodes: usize, count: u64) -> u64 {
    const REQUESTS: usize = 3000;
    let barrier = Arc::new(Barrier::new(nodes));
    let node = |_| {
        let (url, barrier) = (url.map(str::to_owned), Arc::clone(&barrier));
        thread::spawn(move || {
            let alone =
                Counting::new(&LimiterOptions::default(), &Log::start(io::sink()).unwrap().0);
            let limiter = url.map_or_else(|| alone.unwrap().limiter(), |url| limiter(&url, 10_000));
            let (mut left, mut want, mut passed) = (0, 1, 0);
            barrier.wait();
            runtime().block_on(async {
                for _ in 0..REQUESTS {
                    if left == 0 {
                        let toll = toll("k", &fixed(count, 600_000), want);
                        left = limiter.toll(&toll).await.unwrap().granted;
                        want = (want * 2).min(1000);
                    }
                    passed += u64::from(left > 0);
                    left = left.saturating_sub(1);
                }
            });
            passed
        })
    };
    let threads: Vec<_> = (0..nodes).map(node).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).sum()
}

#[test]
fn nodes_that_share_a_store_let_no_more_pass_than_one() {
    const COUNT: u64 = 1000;
    let mut table = String::from("nodes  policy  more than N = 1000\n");
    for nodes in [1, 2, 8] {
        let server = RedisServer::start();
        let shared = passed(Some(&server.url()), nodes, COUNT);
        let alone = passed(None, nodes, COUNT);
        assert_eq!(shared, COUNT);
        assert_eq!(alone, COUNT * nodes as u64);
        for (policy, passed) in [("shared", shared), ("alone", alone)] {
            table += &format!("{nodes:5}  {policy:6}  {:18}\n", passed - COUNT);
        }
    }
    drop(write!(io::stderr(), "{table}"));
}
