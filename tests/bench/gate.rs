//! What serving one request costs in instructions, held against a committed figure: `cargo xtask ci`.
//!
//! The request is unkeyed, among 10,000 routes; its path is rewritten, breakers look on, all of it is counted
//! and proven by headers. Instructions do not depend on what else a machine does, but on the compiler: the
//! figure is that of one version.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "what it prints is the product, and a panic is how it fails"
)]

mod chat;
mod memory;

use std::env;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use serde_json::{Value, json};
use splitway_core::fault::Report;
use splitway_core::snapshot::compile_json;

use chat::Chat;
use memory::Memory;

/// Serves, for callgrind to count.
const SERVE: &str = "--serve";

/// How many requests are counted, each another one.
const OPERATIONS: u64 = 512;

const ROUTES: usize = 10_000;

/// By how much the figure may be missed, in percent.
const PERCENT: u64 = 10;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    match arguments.next().as_deref() {
        Some(SERVE) => serve(),
        // Cargo passes `--bench`; tests of all targets pass nothing, and want no figures.
        Some("--bench") => return check(),
        Some(_) | None => {}
    }
    ExitCode::SUCCESS
}

/// Routes by exact path, each split by turns between two branches with a path and a breaker each.
fn document() -> String {
    let rule = |uri: &str| json!({"weight": 50, "rewrite": {"uri": uri}});
    let mut rules = json!([rule("/v1/chat/completions"), rule("/v2/chat/completions")]);
    if let Some(first) = rules.get_mut(0) {
        first["breaker"] = json!({"failures": 5});
    }
    let route = |number: usize| {
        json!({
            "id": format!("r{number}"),
            "uri": format!("/tenant-{number}/chat/completions"),
            "upstream_id": "provider",
            "plugin_config_id": "turns",
        })
    };
    let document = json!({
        "routes": (0..ROUTES).map(route).collect::<Vec<Value>>(),
        "upstreams": [{"id": "provider", "nodes": {"api.example.com:80": 1}}],
        "plugin_configs": [{"id": "turns", "plugins": {"traffic-split": {"rules": rules}}}],
    });
    document.to_string()
}

fn serve() {
    let mut report = Report::default();
    let snapshot = compile_json(&document(), 0, &mut report);
    let snapshot = snapshot.unwrap_or_else(|| panic!("{:?}", report.faults));
    let memory = Memory { snapshot: Arc::new(snapshot) };
    // A stride without a factor in common with the count comes by as many routes.
    let number = |turn: u64| usize::try_from(turn).unwrap() * 7_919 % ROUTES;
    let path = |turn| format!("/tenant-{}/chat/completions", number(turn));
    let requests: Vec<Chat> = (0..OPERATIONS).map(path).map(Chat::new).collect();
    // What is made once is made, for both branches.
    for _ in 0..2 {
        requests.iter().for_each(|request| memory.serve(request));
    }
    counted(&memory, &requests);
}

/// What callgrind counts, found by its name.
#[inline(never)]
fn counted(memory: &Memory, requests: &[Chat]) {
    for request in requests {
        memory.serve(black_box(request));
    }
}

/// Counts, and holds the count against the committed figure.
fn check() -> ExitCode {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/bench/decision.json");
    let committed: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let compiler = compiler();
    let counted = count();
    println!("one request among {ROUTES} routes: {counted} instructions, by {compiler}");
    let figure = committed.get("instructions").and_then(Value::as_u64);
    let version = committed.get("rustc").and_then(Value::as_str).unwrap_or_default();
    if version != compiler {
        println!(
            "not held against the committed figure, which is by {version}: where that is not the"
        );
        println!("compiler any more, write this one and {counted} into tests/bench/decision.json");
        return ExitCode::SUCCESS;
    }
    let figure = figure.expect("the committed figure is a number");
    let off = counted.abs_diff(figure) * 100;
    if off <= figure * PERCENT {
        println!("within {PERCENT} % of the committed figure, {figure}");
        return ExitCode::SUCCESS;
    }
    let what = if counted > figure {
        "more than the committed figure: find out what it is spent on, or say in the commit what it is \
         worth and write the new figure"
    } else {
        "less than the committed figure: write the lower figure, so that it is held"
    };
    println!("{counted} is {what} into tests/bench/decision.json ({figure} is there)");
    ExitCode::FAILURE
}

/// The compiler, as it calls itself.
fn compiler() -> String {
    let own = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = Command::new(own).arg("--version").output().expect("there is a compiler");
    String::from_utf8_lossy(&told.stdout).trim().to_owned()
}

/// The instructions of one request.
fn count() -> u64 {
    let own = env::current_exe().expect("this program is a file");
    let out: PathBuf = own.with_extension("callgrind");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={}::counted", module_path!()))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(own)
        .arg(SERVE)
        .status();
    let status = status.unwrap_or_else(|error| panic!("`valgrind` cannot be run: {error}"));
    assert!(status.success(), "`valgrind` ended with {status}");
    let text = fs::read_to_string(out).expect("callgrind has written it");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: u64 = total.and_then(|total| total.parse().ok()).expect("it has a total");
    total / OPERATIONS
}
