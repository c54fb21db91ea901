//! `cargo xtask`: fetches what the Worker's build and tests need, then builds and tests.
//!
//! Given a Rust toolchain and any Node.js, everything else is made on demand: [`wasm`] finds a
//! Rust that can build for wasm32 (on an offline Debian, [`debian`] makes one), [`tools`]
//! installs the two cargo tools (one from a changed [`source`]), [`node`] the npm packages, [`etcd`] and
//! [`redis`] what a fleet is built and tested with, [`mod@prometheus`] what scrapes metrics in tests, and
//! [`browser`] what shows the page.
//! [`setup`] runs these in order and hands on a [`setup::Kit`]; [`mod@worker`] builds with it and
//! [`check`] tests with it.
//!
//! What is already there is never fetched again, so each command may start with the set-up.

mod browser;
mod check;
mod cost;
mod debian;
mod edge;
mod etcd;
mod gate;
mod node;
mod prometheus;
mod proxies;
mod redis;
mod release;
mod setup;
mod source;
mod step;
mod tools;
mod wasm;
mod worker;

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use step::Outcome;

const USAGE: &str = "\
Usage: cargo xtask <command>

  setup          make whatever building and testing needs and is not there yet
  worker         build the Worker into build/ (the build command of wrangler.toml)
  test [args]    build the Worker, try its deployment, run every test;
                 the arguments go to `cargo test --workspace`
  release        build `splitway` by what it does under load, into target/by-profile/: it takes a
                 fifth less CPU time in user mode (profile-guided optimization, 15 minutes)
  schema         write src/core/schema.json anew, from the types that read documents, and
                 tests/DIFFERENCES.md, from the tables that the tests go by
  ci             check the format, the lints and the docs, then do what `test` does, and have the
                 fuzz targets go on five times as long and the local server ended 200 times
  bench          print what each step of a request takes, in nanoseconds and, counted by
                 valgrind, in instructions
  bench-admin    print figures of the Admin API of the local server
  bench-proxies [--rounds N] [--seconds S] [--cases a,b] [--cores LOAD,PROXY] [--smoke]
                 print what requests cost beside nginx and HAProxy, and draw it (15 rounds of 2
                 seconds, an hour); of the `splitway` at SPLITWAY_BIN, or of the release build;
                 --smoke only tries whether all proxies answer right
  bench-edge [--rounds N] [--seconds S] [--smoke] [--built]
                 print what Splitway costs in workerd, beside the least that does the same in
                 JavaScript and beside @portkey-ai/gateway (15 rounds of 2 s, 10 minutes);
                 with --built of what is in build/ as it is
  cost [rounds]  print what each guard and recording cost in CPU per request, natively and in
                 workerd, as ratios to the same road without (15 rounds, 10 minutes)
  pictures       take the pictures of the page anew that the README shows
  crash [rounds] end the local server that often, at any moment, and compare what it kept (500)
  soak [--seconds N]
                 have the local server under load for so long (180) while its document, origins,
                 certificate and process change, and account for every request
  --help         print this
";

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let command = arguments.next();
    let rest: Vec<String> = arguments.collect();

    let outcome = match (command.as_deref(), rest.is_empty()) {
        (Some("setup"), true) => setup::ready(&root()).and_then(|_| programs()),
        (Some("worker"), true) => worker(),
        (Some("test"), _) => test(&rest),
        (Some("release"), true) => release::build(&root()),
        (Some("schema"), true) => check::schema(&root()),
        (Some("ci"), true) => ci(),
        (Some("bench"), true) => check::bench(&root()),
        (Some("bench-admin"), true) => check::bench_admin(&root()),
        (Some("bench-proxies"), _) => proxies::bench(&root(), &rest),
        (Some("bench-edge"), _) => bench_edge(&rest),
        (Some("cost"), _) => cost(&rest),
        (Some("pictures"), true) => pictures(),
        (Some("crash"), _) => check::crash(&root(), rest.first().map_or("500", String::as_str)),
        (Some("soak"), _) => soak(&rest),
        (Some("--help" | "-h"), _) => return help(),
        (Some(_) | None, _) => {
            step::report(USAGE.trim_end());
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn worker() -> Outcome {
    worker::build(&setup::ready(&root())?)
}

fn test(arguments: &[String]) -> Outcome {
    let kit = setup::ready(&root())?;
    programs()?;
    check::test(&kit, arguments)
}

/// What tests run that neither cargo nor npm brings.
fn programs() -> Outcome {
    etcd::ready()?;
    redis::ready()?;
    prometheus::ready()?;
    browser::ready()
}

/// The quick checks that need nothing come first; then the set-up and all that follows from it.
fn ci() -> Outcome {
    let root = root();
    check::format(&root)?;
    let kit = setup::ready(&root)?;
    programs()?;
    check::lints(&kit)?;
    check::docs(&kit)?;
    check::test(&kit, &[])?;
    gate::check(&root)?;
    check::fuzz(&kit)?;
    check::crash(&root, "200")
}

fn pictures() -> Outcome {
    let kit = setup::ready(&root())?;
    browser::ready()?;
    check::pictures(&kit)
}

fn cost(arguments: &[String]) -> Outcome {
    let rounds = match arguments {
        [] => Some(15),
        [rounds] => rounds.parse().ok().filter(|rounds| *rounds > 0),
        [..] => None,
    };
    let expected = || step::Failure::new("cost", "expected nothing, or a number of rounds");
    let rounds = rounds.ok_or_else(expected)?;
    cost::print(&setup::ready(&root())?, rounds)
}

fn bench_edge(arguments: &[String]) -> Outcome {
    let expected = "expected nothing, `--rounds N`, `--seconds S`, `--smoke` or `--built`";
    let amount = edge::Amount::parse(arguments);
    let amount = amount.ok_or_else(|| step::Failure::new("bench-edge", expected))?;
    edge::print(&setup::ready(&root())?, amount)
}

fn soak(arguments: &[String]) -> Outcome {
    let seconds = match arguments {
        [] => "180",
        [name, seconds] if name == "--seconds" && seconds.parse::<u32>().is_ok() => seconds,
        [..] => return Err(step::Failure::new("soak", "expected nothing, or `--seconds N`")),
    };
    check::soak(&root(), seconds)
}

fn help() -> ExitCode {
    match io::stdout().write_all(USAGE.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The repository's root, two folders above this package.
///
/// Cargo says at run time where the package is; the path known to the compiler may be another
/// clone's when several share one target folder.
fn root() -> PathBuf {
    let package =
        env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let mut root = PathBuf::from(package);
    root.pop();
    root.pop();
    root
}
