//! Figures of the control plane: `cargo xtask bench-admin`.
//!
//! How many writes a second the Admin API of the local server makes durable, with few and with many
//! routes in the ledger; what a large document costs; and what the settings of `SQLite` cost.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "the figures are the product, and a panic is how it fails"
)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use splitway_core::fault::Report;
use splitway_core::snapshot::compile_json;
use splitway_tests::message::{Answer, Call};
use splitway_tests::origin::Origin;
use splitway_tests::script::Reply;
use splitway_tests::wire::Connection;
use tempfile::TempDir;

const KEY: &str = "the-key-of-the-bench";

fn main() {
    // Cargo passes `--bench`; tests of all targets pass nothing, and want no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    compiling();
    commits();
    for count in [10, 1_000, 10_000] {
        writes(count);
    }
}

/// A route like the guide's, to one upstream.
fn route(number: usize, authority: &str) -> Value {
    let upstream = json!({"nodes": {authority: 1}, "pass_host": "node"});
    let rule = |uri: &str| json!({"weight": 50, "upstream": upstream, "rewrite": {"uri": uri}});
    let split = json!({"rules": [rule("/v1/chat/completions"), rule("/v2/chat/completions")]});
    json!({
        "id": format!("r{number}"),
        "uri": format!("/tenant-{number}/chat/completions"),
        "upstream": upstream,
        "plugins": {"traffic-split": split},
    })
}

fn document(count: usize, authority: &str) -> String {
    let routes: Vec<Value> = (0..count).map(|number| route(number, authority)).collect();
    json!({"routes": routes}).to_string()
}

/// A line of `/proc/{process}/status`, in kB.
fn memory_kb(process: &str, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix(line)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

fn compiling() {
    let text = document(10_000, "127.0.0.1:80");
    // Has the peak begin here (proc(5)).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = memory_kb("self", "VmHWM:");
    let start = Instant::now();
    let snapshot = compile_json(&text, 0, &mut Report::default());
    let took = start.elapsed();
    let peak = memory_kb("self", "VmHWM:") - before;
    assert!(snapshot.is_some());
    let size = text.len() / 1000;
    println!("compile 10,000 routes ({size} KB): {took:.0?}, {} MB at its peak", peak / 1000);
}

/// What a durable commit of a small change costs, by the settings of `SQLite`.
fn commits() {
    for (name, settings) in [
        ("WAL, FULL (what is used)", "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"),
        (
            "WAL, NORMAL (loses power, loses writes)",
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
        ),
        ("DELETE, EXTRA", "PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA;"),
    ] {
        let dir = TempDir::new().unwrap();
        let database = rusqlite::Connection::open(dir.path().join("bench.db")).unwrap();
        database.execute_batch("PRAGMA locking_mode = EXCLUSIVE;").unwrap();
        database.execute_batch(settings).unwrap();
        database.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, value TEXT)").unwrap();
        let value = route(1, "127.0.0.1:80").to_string();
        let mut times = Vec::new();
        for _ in 0..500 {
            let start = Instant::now();
            let step = database.unchecked_transaction().unwrap();
            for id in 0..3 {
                let insert = "INSERT OR REPLACE INTO t VALUES (?1, ?2)";
                step.prepare_cached(insert).unwrap().execute((id, &value)).unwrap();
            }
            step.commit().unwrap();
            times.push(start.elapsed());
        }
        let total = times.iter().sum();
        println!("commit, {name}: {}", spread(times, total));
    }
}

/// How many a second, and how long half of them and nearly all of them take at most.
fn spread(mut times: Vec<Duration>, total: Duration) -> String {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    #[expect(clippy::cast_precision_loss, reason = "it is only printed")]
    let rate = times.len() as f64 / total.as_secs_f64();
    format!("{rate:.0} a second, p50 {:.1?}, p99 {:.1?}", at(50), at(99))
}

/// A server with a ledger of its own.
struct Serving {
    child: Child,
    traffic: SocketAddr,
    admin: SocketAddr,
}

impl Serving {
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_splitway"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(dir).env("SPLITWAY_ADMIN_KEY", KEY);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut address = |label: &str| {
            let line = lines.find(|line| line.trim_start().starts_with(label)).unwrap();
            let (_, url) = line.split_once("http://").unwrap();
            url.split('/').next().unwrap().parse().unwrap()
        };
        let (traffic, admin) = (address("traffic"), address("admin API"));
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, traffic, admin }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn ask(connection: &mut Connection, method: &str, path: &str, body: String) -> Answer {
    connection.send(&Call::new(method, path).header("X-API-KEY", KEY).body(body));
    let answer = connection.answer();
    assert!(answer.status < 300, "{}", answer.text());
    answer
}

fn writes(count: usize) {
    let dir = TempDir::new().unwrap();
    let upstream = Origin::on_loopback(Reply::ok("one").into());
    let serving = Serving::start(dir.path());
    let mut admin = Connection::open(serving.admin);
    let start = Instant::now();
    ask(&mut admin, "PUT", "/splitway/v1/config", document(count, upstream.authority()));
    let process = serving.child.id().to_string();
    let (peak, now) = (memory_kb(&process, "VmHWM:"), memory_kb(&process, "VmRSS:"));
    println!(
        "{count} routes: the whole document is written in {:.0?}; the server has {} MB, {} MB at its peak",
        start.elapsed(),
        now / 1000,
        peak / 1000
    );
    for writers in [1, 8] {
        let each = if count > 1_000 { 40 } else { 400 } / writers;
        println!(
            "{count} routes, {writers} writers: {}",
            write(&serving, upstream.authority(), writers, each)
        );
    }
    // The first connection was idle for too long by now.
    let mut admin = Connection::open(serving.admin);
    let mut traffic = Connection::open(serving.traffic);
    for _ in 0..20 {
        let body = route(0, upstream.authority()).to_string();
        ask(&mut admin, "PUT", "/apisix/admin/routes/r0", body);
        let tag = ask(&mut admin, "GET", "/splitway/v1/revisions?limit=1", String::new()).json();
        traffic.send(&Call::get("/tenant-0/chat/completions"));
        let served = traffic.answer().revision().unwrap();
        assert_eq!(served, tag["current"].to_string(), "the first request after a write");
    }
    println!("{count} routes: no request after a write was served by what was before it");
    drop(serving);
    let start = Instant::now();
    let serving = Serving::start(dir.path());
    let (took, memory) = (start.elapsed(), memory_kb(&serving.child.id().to_string(), "VmRSS:"));
    println!("{count} routes: started again in {took:.0?}, with {} MB", memory / 1000);
}

/// So many writers, so many writes each, of a route of their own.
fn write(serving: &Serving, authority: &str, writers: usize, each: usize) -> String {
    let start = Instant::now();
    let times: Vec<Duration> = std::thread::scope(|scope| {
        let writing = |writer: usize| {
            move || {
                let mut connection = Connection::open(serving.admin);
                let body = route(writer, authority).to_string();
                let path = format!("/apisix/admin/routes/r{writer}");
                let one = |_| {
                    let start = Instant::now();
                    ask(&mut connection, "PUT", &path, body.clone());
                    start.elapsed()
                };
                (0..each).map(one).collect::<Vec<_>>()
            }
        };
        let writing: Vec<_> = (0..writers).map(|writer| scope.spawn(writing(writer))).collect();
        writing.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    spread(times, start.elapsed())
}
