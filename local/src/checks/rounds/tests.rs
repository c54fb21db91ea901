//! The rounds by a clock that nobody waits for: probes are counted and answered by the test.

#![allow(clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use splitway_core::checks::{Passive, Probe};
use splitway_core::snapshot::Snapshot;
use tokio::time::sleep;

use super::*;
use crate::document::{self, Format};
use crate::telemetry::Writer;

/// What probes find, and which there were.
#[derive(Clone, Default)]
struct World(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// When which node was asked, in milliseconds from the begin.
    asked: Vec<(u128, String)>,
    /// Nodes that do not answer with success, and what is found instead.
    found: BTreeMap<String, Probe>,
    /// How long an answer takes.
    takes: Duration,
    now_count: usize,
    most_count: usize,
}

impl World {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// When a node was asked, in seconds; taken out.
    fn asked(&self, node: &str) -> Vec<u128> {
        self.with(|inner| {
            let (own, other) = inner.asked.drain(..).partition(|(_, asked)| asked == node);
            inner.asked = other;
            let own: Vec<(u128, String)> = own;
            own.into_iter().map(|(at, _)| at / 1000).collect()
        })
    }

    fn find(&self, node: &str, probe: Probe) {
        self.with(|inner| inner.found.insert(node.to_owned(), probe));
    }

    async fn answer(self, began: Instant, subject: Arc<Subject>, node: usize) -> Finding {
        let node = subject.checkup.nodes.get(node).expect("a node").authority.to_string();
        let takes = self.with(|inner| {
            inner.asked.push((began.elapsed().as_millis(), node.clone()));
            inner.now_count += 1;
            inner.most_count = inner.most_count.max(inner.now_count);
            inner.takes
        });
        sleep(takes).await;
        let probe = self.with(|inner| {
            inner.now_count -= 1;
            inner.found.get(&node).copied().unwrap_or(Probe::Connected)
        });
        Finding { probe, why: "found".into() }
    }
}

/// A log that is kept.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Rounds that go on beside the test.
struct Running {
    store: Arc<Store>,
    world: World,
    paper: Paper,
    writer: Writer,
    rounds: tokio::task::JoinHandle<Infallible>,
}

impl Running {
    async fn start(documents: &str, probes_max: usize) -> Self {
        let (world, paper) = (World::default(), Paper::default());
        let (log, writer) = Log::start(paper.clone()).expect("a thread");
        let store = Arc::<Store>::default();
        store.publish(snapshot(documents));
        let (began, answering) = (Instant::now(), world.clone());
        let probe = move |subject, node| answering.clone().answer(began, subject, node);
        let rounds = Rounds::new(Arc::clone(&store), log, probes_max, probe);
        let rounds = tokio::spawn(async move { rounds.run().await });
        // The first look is at the begin; whoever looks on never does at the same moment.
        sleep(Duration::from_millis(500)).await;
        Self { store, world, paper, writer, rounds }
    }

    /// Lets so many seconds go by.
    async fn pass(&self, secs: u64) {
        sleep(Duration::from_secs(secs)).await;
    }

    fn health(&self, node: usize) -> (Passive, Health) {
        let snapshot = self.store.snapshot().expect("a snapshot");
        let checkup = checkups(&snapshot).remove(0);
        let passive = checkup.checks.passive.expect("passive checks");
        (passive, checkup.nodes.get(node).expect("a node").health.clone())
    }

    /// Ends it, and gives what was told: event, node and why.
    fn end(self) -> Vec<String> {
        self.rounds.abort();
        self.writer.end();
        let paper = self.paper.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8(paper.clone()).expect("text");
        let told = text.lines().map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            ["level", "event", "upstream", "node", "why"].map(word).join(" ")
        });
        told.collect()
    }
}

fn snapshot(text: &str) -> Snapshot {
    let read = document::read(text, Format::of(Path::new(""), text));
    let (snapshot, _) = read.unwrap_or_else(|defect| panic!("{defect:?}"));
    snapshot
}

/// One upstream with these nodes, checked so.
fn upstream(nodes: &[&str], checks: &Value) -> String {
    let nodes: BTreeMap<&str, u32> = nodes.iter().map(|node| (*node, 1)).collect();
    json!({"upstreams": [{"id": "u", "nodes": nodes, "checks": checks}]}).to_string()
}

fn tcp(healthy_secs: u64, unhealthy_secs: u64) -> Value {
    json!({"active": {
        "type": "tcp",
        "healthy": {"interval": healthy_secs, "successes": 1},
        "unhealthy": {"interval": unhealthy_secs, "tcp_failures": 2},
    }})
}

#[tokio::test(start_paused = true)]
async fn each_node_is_asked_by_its_own_interval() {
    let running = Running::start(&upstream(&["a:1", "b:1"], &tcp(10, 3)), 9).await;
    running.world.find("b:1", Probe::TcpFailure);
    running.pass(41).await;
    assert_eq!(running.world.asked("a:1"), [10, 20, 30, 40]);
    // After two failures it is down, and asked more often.
    assert_eq!(running.world.asked("b:1"), [10, 20, 23, 26, 29, 32, 35, 38, 41]);
    running.world.find("b:1", Probe::Connected);
    running.pass(20).await;
    assert_eq!(running.world.asked("b:1"), [44, 54]);
    assert_eq!(running.end(), ["warn node_down u b:1 found", "info node_up u b:1 found"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_does_not_bring_a_second_question() {
    let running = Running::start(&upstream(&["a:1"], &tcp(2, 2)), 9).await;
    running.world.with(|inner| inner.takes = Duration::from_secs(5));
    running.pass(20).await;
    assert_eq!(running.world.asked("a:1"), [2, 7, 12, 17]);
    assert_eq!(running.world.with(|inner| inner.most_count), 1);
}

#[tokio::test(start_paused = true)]
async fn neither_an_upstream_nor_all_of_them_have_more_probes_than_they_may() {
    let nodes: Vec<String> = (0..40).map(|number| format!("n{number}:1")).collect();
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    for (concurrency, probes_max, most) in [(3, 9, 3), (100, 9, 9), (100, 256, 40)] {
        let mut checks = tcp(10, 10);
        checks["active"]["concurrency"] = concurrency.into();
        let running = Running::start(&upstream(&nodes, &checks), probes_max).await;
        running.world.with(|inner| inner.takes = Duration::from_millis(100));
        running.pass(15).await;
        assert_eq!(running.world.with(|inner| inner.most_count), most);
        // Nobody is forgotten.
        nodes.iter().for_each(|node| assert_eq!(running.world.asked(node).len(), 1, "{node}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_configuration_keeps_nodes_in_their_turn() {
    let running = Running::start(&upstream(&["a:1", "b:1"], &tcp(10, 3)), 9).await;
    running.world.find("a:1", Probe::TcpFailure);
    running.pass(22).await;
    assert_eq!(running.world.asked("a:1"), [10, 20]);
    // `b` goes, `c` comes, and what is known of `a` stays.
    running.store.publish(snapshot(&upstream(&["a:1", "c:1"], &tcp(10, 4))));
    running.pass(14).await;
    assert_eq!(running.world.asked("a:1"), [24, 28, 32, 36]);
    assert_eq!(running.world.asked("b:1"), [10, 20]);
    assert_eq!(running.world.asked("c:1"), [32]);
    running.store.publish(snapshot("{}"));
    running.pass(100).await;
    assert_eq!(running.world.with(|inner| inner.asked.len()), 0);
    assert_eq!(running.end(), ["warn node_down u a:1 found"]);
}

#[tokio::test(start_paused = true)]
async fn changes_that_come_all_the_time_do_not_keep_nodes_from_being_asked() {
    let running = Running::start(&upstream(&["a:1"], &tcp(10, 10)), 9).await;
    running.world.with(|inner| inner.takes = Duration::from_secs(2));
    running.world.find("a:1", Probe::TcpFailure);
    for second in 0..31 {
        let other = format!("x{second}:1");
        running.store.publish(snapshot(&upstream(&["a:1", &other], &tcp(10, 10))));
        running.pass(1).await;
    }
    assert_eq!(running.world.asked("a:1"), [10, 20, 30]);
    assert_eq!(running.end(), ["warn node_down u a:1 found"]);
}

#[tokio::test(start_paused = true)]
async fn a_question_to_a_node_that_is_gone_is_broken_off() {
    let running = Running::start(&upstream(&["a:1"], &tcp(1, 1)), 9).await;
    running.world.with(|inner| inner.takes = Duration::from_secs(50));
    running.pass(2).await;
    assert_eq!(running.world.asked("a:1"), [1]);
    running.store.publish(snapshot(&upstream(&["b:1"], &tcp(1, 1))));
    running.pass(2).await;
    // The first one went without an answer.
    assert_eq!(running.world.asked("b:1"), [3]);
    assert_eq!(running.world.with(|inner| inner.now_count), 2, "neither has answered");
}

#[tokio::test(start_paused = true)]
async fn what_requests_find_out_is_told_and_asked_after() {
    let mut checks = tcp(3600, 2);
    checks["passive"] = json!({"unhealthy": {"http_failures": 3}});
    let running = Running::start(&upstream(&["a:1", "b:1"], &checks), 9).await;
    running.pass(100).await;
    let (passive, health) = running.health(0);
    for _ in 0..3 {
        health.note_passive(&passive, Probe::Status(500));
    }
    assert!(!health.is_up());
    running.pass(10).await;
    assert_eq!(running.world.asked("a:1"), [101], "at the next look, for it waits for long");
    assert_eq!(running.world.asked("b:1"), []);
    assert!(health.is_up());
    assert_eq!(running.end(), ["warn node_down u a:1 requests", "info node_up u a:1 found"]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_is_as_if_it_had_not_been() {
    let (log, _writer) = Log::start(io::sink()).expect("a thread");
    let store = Arc::<Store>::default();
    store.publish(snapshot(&upstream(&["a:1"], &tcp(1, 1))));
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    let probe = move |_, _| {
        *counted.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        async { panic!("half-way") }
    };
    let rounds = Rounds::new(store, log, 9, probe);
    let rounds = tokio::time::timeout(Duration::from_millis(5500), rounds.run());
    assert!(rounds.await.is_err());
    assert_eq!(*count.lock().unwrap_or_else(PoisonError::into_inner), 5);
}

/// As many as a large installation has, all at the same moment.
#[tokio::test(start_paused = true)]
async fn many_upstreams_all_get_their_turn() {
    let upstream = |number: usize| {
        let nodes: BTreeMap<String, u32> =
            (0..5).map(|node| (format!("n{node}-{number}:1"), 1)).collect();
        json!({"id": format!("u{number}"), "nodes": nodes, "checks": tcp(1, 1)})
    };
    let upstreams: Vec<Value> = (0..1000).map(upstream).collect();
    let running = Running::start(&json!({"upstreams": upstreams}).to_string(), 256).await;
    running.world.with(|inner| inner.takes = Duration::from_millis(10));
    running.pass(10).await;
    let count = running.world.with(|inner| inner.asked.len());
    // 5000 nodes of which 256 are asked at once take 200 ms a round.
    assert_eq!(count, 50_000);
    assert_eq!(running.world.with(|inner| inner.most_count), 256);
}
