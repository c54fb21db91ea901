//! What it costs to compile a document, for each of its routes. What a route takes up is what a test counts
//! (`tests/allocations`): to count allocations makes them dearer.

use serde_json::{Value, json};
use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::{compile, counts, is_measured};

/// Whether the routes of a document go to the same upstreams and are rewritten alike.
#[derive(Clone, Copy)]
pub(crate) enum Tenants {
    Alike,
    Different,
}

/// A document of `count` routes like the guide's, half of them prefixes.
fn document(count: usize, tenants: Tenants) -> String {
    let route = |number: usize| {
        let of = match tenants {
            Tenants::Alike => String::new(),
            Tenants::Different => format!("-{number}"),
        };
        let node = format!("api{of}.example.com:443");
        let upstream = json!({"scheme": "https", "nodes": {node: 1}, "pass_host": "node"});
        let rule = |version: &str| {
            let uri = format!("/{version}{of}/chat/completions");
            json!({"weight": 50, "upstream": upstream, "rewrite": {"uri": uri}})
        };
        let split = json!({"rules": [rule("v1"), rule("v2")]});
        let star = if number.is_multiple_of(2) { "" } else { "/*" };
        json!({
            "id": format!("r{number}"),
            "uri": format!("/tenant-{number}/chat/completions{star}"),
            "upstream": upstream,
            "plugins": {"traffic-split": split},
        })
    };
    json!({"routes": (0..count).map(route).collect::<Vec<Value>>()}).to_string()
}

/// Compiles a document once, for callgrind to look at.
pub(crate) fn once(count: usize, tenants: Tenants) {
    drop(black_box(compile(black_box(&document(count, tenants)))));
}

/// Measures and prints.
pub(crate) fn print() {
    println!("\n{:<58} {:>8}", "compiling", "us/route");
    for (what, tenants) in [("", Tenants::Alike), (" that differ", Tenants::Different)] {
        for count in counts() {
            let routes = f64::from(u32::try_from(count).unwrap_or(1));
            let micros = took(count, tenants).as_secs_f64() * 1e6 / routes;
            println!("{:<58} {micros:>8.2}", format!("a document of {count} routes{what}"));
        }
    }
}

/// How long it takes to compile a document of so many routes: the shortest of some times.
fn took(count: usize, tenants: Tenants) -> Duration {
    let text = document(count, tenants);
    let once = |_| {
        let start = Instant::now();
        let snapshot = black_box(compile(black_box(&text)));
        let took = start.elapsed();
        drop(snapshot);
        took
    };
    let times = if is_measured() { (20_000 / count).clamp(5, 500) } else { 1 };
    (0..times).map(once).min().unwrap_or_default()
}
