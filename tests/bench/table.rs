//! The cases as one table: nanoseconds by the clock, instructions by callgrind.
//!
//! Nanoseconds are another machine's tomorrow; instructions are the same whenever the same is built.
//! They are counted by the same program, run by valgrind with [`COUNT`] as its first argument.

use criterion::Criterion;
use serde_json::Value;
use std::env;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{cases, compile};

/// Prints the table.
pub(crate) const TABLE: &str = "--table";
/// Runs each case [`OPERATIONS`] times, for callgrind to count.
pub(crate) const COUNT: &str = "--count";

/// How often a case is run for its instructions, each time with another request.
const OPERATIONS: u64 = 512;

/// Measures, counts and prints.
pub(crate) fn print(mut criterion: Criterion) {
    let folder = output();
    criterion = criterion.output_directory(&folder);
    let mut names = Vec::new();
    cases::each(&mut |name, run| {
        criterion.bench_function(name, |bencher| bencher.iter(&mut *run));
        names.push(name.to_owned());
    });
    let instructions = instructions(&folder.join("callgrind.out"));
    assert_eq!(names.len(), instructions.len(), "callgrind dumps after each case");
    println!("\n{:<58} {:>8} {:>13}", "", "ns", "instructions");
    for (name, instructions) in names.iter().zip(instructions) {
        println!("{name:<58} {:>8.0} {instructions:>13}", nanoseconds(&folder.join(name)));
    }
    compile::print();
}

/// Runs each case between two dumps of callgrind.
pub(crate) fn count() {
    cases::each(&mut |_, run| {
        // What is made once is made.
        run();
        counted(run);
    });
}

/// What callgrind counts and dumps, found by its name.
#[inline(never)]
fn counted(run: &mut dyn FnMut()) {
    for _ in 0..black_box(OPERATIONS) {
        run();
    }
}

/// Where cargo puts what is made, and criterion with it.
fn output() -> PathBuf {
    let own = env::current_exe().expect("this program is a file");
    let target = own.ancestors().nth(3).expect("it is in release/deps of the target folder");
    target.join("criterion")
}

/// The median that criterion has kept for a case.
fn nanoseconds(case: &Path) -> f64 {
    let text = fs::read_to_string(case.join("new/estimates.json")).expect("criterion keeps them");
    let estimates: Value = serde_json::from_str(&text).expect("they are JSON");
    estimates["median"]["point_estimate"].as_f64().expect("a case has a median")
}

/// What each case takes for one operation, in the order of the cases.
fn instructions(out: &Path) -> Vec<u64> {
    let dump = |number: usize| out.with_added_extension(number.to_string());
    let dumps = || (1..).map(dump).take_while(|dump| dump.exists());
    dumps().for_each(|old| fs::remove_file(old).expect("it is ours"));
    let counted = concat!(module_path!(), "::counted");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={counted}"))
        .arg(format!("--dump-after={counted}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe().expect("this program is a file"))
        .arg(COUNT)
        .status();
    let status = status.unwrap_or_else(|error| panic!("`valgrind` cannot be run: {error}"));
    assert!(status.success(), "`valgrind` ended with {status}");
    dumps().map(|dump| total(&dump) / OPERATIONS).collect()
}

/// The instructions of a dump.
fn total(dump: &Path) -> u64 {
    let text = fs::read_to_string(dump).expect("callgrind has written it");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.parse().ok()).expect("a dump has a total")
}
