//! Figures to hold later work against: `cargo bench`.
//!
//! What it costs to decide one request, in the [`cases`] that `cargo xtask bench` makes a [`table`] of;
//! to find the route alone among up to 100,000 of each kind; to compile documents; and how large the
//! built Worker is.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the figures are the product, and a panic is how it fails"
)]

mod cases;
mod chat;
mod compile;
mod memory;
mod table;

use criterion::{Criterion, criterion_group};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use splitway_core::fault::Report;
use splitway_core::snapshot::{Snapshot, compile_json};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use cases::exchange;
use chat::Chat;
use compile::Tenants;

/// With how many routes it is measured. Where each is only to run once, small documents do: there is one for
/// each kind of path and host.
fn counts() -> impl Iterator<Item = usize> {
    let most = if is_measured() { usize::MAX } else { 1_000 };
    [10, 1_000, 10_000, 100_000].into_iter().filter(move |count| *count <= most)
}

/// Whether figures are wanted: tests of all targets run what is here once, without what cargo passes to benches.
fn is_measured() -> bool {
    std::env::args().skip(1).any(|it| ["--bench", table::TABLE, table::COUNT].contains(&&*it))
}

fn compile(text: &str) -> Snapshot {
    compile_json(text, 0, &mut Report::default()).expect("the document has no faults")
}

/// Routes of one kind, and requests for them.
struct Kind {
    name: &'static str,
    router: &'static str,
    /// `host` and `uri` of a route, and of a request for it.
    route: fn(usize) -> (Option<String>, String),
    request: fn(usize) -> (String, String),
}

const HOST: &str = "gateway.example.com";

const KINDS: [Kind; 6] = [
    Kind {
        name: "exact paths",
        router: "radixtree_host_uri",
        route: |n| (None, format!("/tenant-{n}/chat/completions")),
        request: |n| (HOST.to_owned(), format!("/tenant-{n}/chat/completions")),
    },
    Kind {
        name: "prefixes",
        router: "radixtree_host_uri",
        route: |n| (None, format!("/tenant-{n}/chat/*")),
        request: |n| (HOST.to_owned(), format!("/tenant-{n}/chat/completions")),
    },
    Kind {
        name: "hosts",
        router: "radixtree_host_uri",
        route: |n| (Some(format!("tenant-{n}.example.com")), "/chat/*".to_owned()),
        request: |n| (format!("tenant-{n}.example.com"), "/chat/completions".to_owned()),
    },
    Kind {
        name: "hosts behind paths",
        router: "radixtree_uri",
        route: |n| (Some(format!("tenant-{n}.example.com")), "/chat/*".to_owned()),
        request: |n| (format!("tenant-{n}.example.com"), "/chat/completions".to_owned()),
    },
    Kind {
        name: "parameters",
        router: "radixtree_uri_with_parameter",
        route: |n| (None, format!("/tenant-{n}/users/:id/chat")),
        request: |n| (HOST.to_owned(), format!("/tenant-{n}/users/{n}/chat")),
    },
    Kind {
        name: "parameters first",
        router: "radixtree_uri_with_parameter",
        route: |n| (None, format!("/:tenant/service-{n}/chat")),
        request: |n| (HOST.to_owned(), format!("/acme/service-{n}/chat")),
    },
];

/// How many different requests are made in turn: more than the nearest caches hold the routes of.
const REQUESTS: usize = 4096;

/// What it costs to find the route of one of many requests, none of which is like the one before.
fn find(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find");
    group.sample_size(20);
    for kind in &KINDS {
        for count in counts() {
            let route = |number: usize| {
                let (host, uri) = (kind.route)(number);
                let mut route = json!({"id": format!("r{number}"), "uri": uri, "upstream_id": "u"});
                host.into_iter().for_each(|host| route["host"] = json!(host));
                route
            };
            let upstream = json!({"id": "u", "nodes": {"api.example.com:80": 1}});
            let document = json!({
                "routes": (0..count).map(route).collect::<Vec<Value>>(),
                "upstreams": [upstream],
                "settings": {"router": kind.router},
            });
            let snapshot = compile(&document.to_string());
            // A stride without a factor in common with the counts comes by every route.
            let request = |number: usize| {
                let (host, path) = (kind.request)(number * 7_919 % count);
                Chat { host, path }
            };
            let requests: Vec<Chat> = (0..REQUESTS).map(request).collect();
            let mut turns = requests.iter().cycle();
            let mut run = || {
                let head = turns.next().expect("there are requests, in a cycle");
                assert!(exchange(&snapshot, black_box(head)).route().is_some());
            };
            group.bench_function(format!("{}/{count} routes", kind.name), |b| b.iter(&mut run));
        }
    }
}

/// The size of the Worker: printed, so that it is seen when it grows. That what every isolate loads has not
/// grown is checked where it is built.
fn worker_size(_: &mut Criterion) {
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("build");
    let size = |names: [&str; 2]| {
        let files = names.map(|name| std::fs::read(build.join(name)).ok());
        let [Some(script), Some(wasm)] = files else { return None };
        let zipped = |bytes: &[u8]| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
            let packed = gzip.write_all(bytes).and_then(|()| gzip.finish());
            packed.expect("memory can be written").len()
        };
        Some((script.len() + wasm.len(), zipped(&script) + zipped(&wasm)))
    };
    let serving = size(["index.js", "index_bg.wasm"]);
    let (Some(serving), Some(control)) = (serving, size(["control.js", "control_bg.wasm"])) else {
        println!("Worker size: not built; run `cargo xtask worker`");
        return;
    };
    let told = |(plain, packed)| format!("{} KB, {} KB gzipped", plain / 1000, packed / 1000);
    let all = (serving.0 + control.0, serving.1 + control.1);
    println!("Worker size: what serves {}; the upload {}", told(serving), told(all));
}

/// Short: what a machine does beside it moves the figures more than longer measuring steadies them.
fn settings() -> Criterion {
    let criterion = Criterion::default().sample_size(50);
    criterion.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800))
}

fn all_cases(criterion: &mut Criterion) {
    cases::each(&mut |name, run| {
        criterion.bench_function(name, |bencher| bencher.iter(&mut *run));
    });
}

criterion_group! {
    name = figures;
    config = settings();
    targets = all_cases, find, worker_size
}

/// Compiles a document, for callgrind: of routes that say the same, or of such that differ.
const COMPILE: &str = "--compile";
const COMPILE_DIFFERENT: &str = "--compile-different";

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some(table::TABLE) => table::print(settings()),
        Some(table::COUNT) => table::count(),
        Some(COMPILE) => compile::once(10_000, Tenants::Alike),
        Some(COMPILE_DIFFERENT) => compile::once(10_000, Tenants::Different),
        Some(_) | None => {
            figures();
            compile::print();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}
