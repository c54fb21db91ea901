//! What guards and recording cost: CPU per request, as a ratio to the same road without them.
//!
//! Servers are built for release and each has a core, their clients (`wrk`) and the origin the other one.
//! What a process costs is the CPU time of its threads, by the kernel's own account. All roads take turns in
//! rounds of a second each, and a ratio is made inside of a round: what else the machine does then moves both
//! of its figures.

pub(crate) mod road;
mod server;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use self::road::{AGAIN, ALL, BARE, GUARDS, LOAD};
use self::server::Server;
use crate::setup::Kit;
use crate::step::{Failure, Outcome, ask, run, say};
use crate::wasm::WasmRust;
use crate::worker;

const STEP: &str = "cost";

/// The rows beside the roads, each with a server of its own.
const LOG: &str = "access log, each request";
const TRACES: &str = "traces of 1 %";
const RECORDING: &str = "metrics and status";

/// How many connections clients keep.
const CONNECTIONS: u32 = 16;

/// A road of a server, and what it cost in each round: µs per request.
struct Lane<'a> {
    name: &'static str,
    server: &'a Server,
    url: String,
    costs: Vec<f64>,
}

/// The figures of a row: the quartiles of its ratios.
type Row = (&'static str, [f64; 3]);

/// Measures in so many rounds, and prints the table.
pub(crate) fn print(kit: &Kit, rounds: usize) -> Outcome {
    let load = ready(kit)?;
    let recording = recording(kit);
    // The origin, too, and whatever is started from here.
    pin(0, process::id());
    let origin = road::origin().map_err(failed)?;

    say(&format!("natively, {rounds} rounds"));
    let (bare, mut native) = natively(kit, origin, &load, rounds)?;
    if let Some((once, again)) = recording {
        native.push((RECORDING, [1.0 + (again.ns - once.ns) / 1000.0 / bare; 3]));
    }
    say(&format!("in workerd, {rounds} rounds"));
    let document = road::document(origin);
    let quiet = Server::workerd(kit, &document, "off")?;
    let logging = Server::workerd(kit, &document, "all")?;
    let (bare_edge, edge) = measure(&quiet, &[(LOG, &logging)], &load, rounds)?;

    let mut text = table(&native, &edge);
    let _ = writeln!(text, "\nbare: {bare:.1} us natively, {bare_edge:.1} us in workerd");
    text.push_str(&told(recording));
    io::stdout().write_all(text.as_bytes()).map_err(failed)
}

/// Measures the local server: one that tells of nothing, one that logs and one that traces.
fn natively(kit: &Kit, origin: SocketAddr, load: &Path, rounds: usize) -> Outcome<(f64, Vec<Row>)> {
    let (config, log) = (load.with_file_name("roads.json"), load.with_file_name("access.log"));
    fs::write(&config, road::document(origin)).map_err(failed)?;
    let plain = Server::native(kit, &config, &[])?;
    let logging = Server::native(kit, &config, &["--access-log", &log.to_string_lossy()])?;
    let collector = format!("http://{origin}");
    let options = ["--otlp", &collector, "--trace-sample", "0.01"];
    let tracing = Server::native(kit, &config, &options)?;
    let measured = measure(&plain, &[(LOG, &logging), (TRACES, &tracing)], load, rounds);
    // It has a line for every request.
    let _ = fs::remove_file(log);
    measured
}

/// Builds what is measured, and writes the script of the load.
fn ready(kit: &Kit) -> Outcome<PathBuf> {
    // Its version is all it tells, and ends with 1.
    if Command::new("wrk").arg("--version").output().is_err() {
        let reason = "`wrk` is not there, which makes the load: install it (`apt-get install wrk`)";
        return Err(Failure::new(STEP, reason));
    }
    let mut cargo = kit.command(WasmRust::Own.cargo());
    cargo.args(["build", "--release", "--package", "splitway-local", "--bin", "splitway"]);
    run("cost: build", &mut cargo)?;
    worker::build(kit)?;
    let folder = kit.root.join("target/cost");
    fs::create_dir_all(&folder).map_err(failed)?;
    let load = folder.join("load.lua");
    fs::write(&load, LOAD).map_err(failed)?;
    Ok(load)
}

/// What deciding on one request takes.
#[derive(Clone, Copy)]
struct Deciding {
    ns: f64,
    instructions: u64,
}

/// What it takes without and with all that is counted, as the bench has it.
fn recording(kit: &Kit) -> Option<(Deciding, Deciding)> {
    say("what is counted of a request, by `cargo xtask bench`");
    let mut cargo = kit.command(WasmRust::Own.cargo());
    cargo.args(["bench", "--package", "splitway", "--bench", "decide", "--", "--table"]);
    let text = ask(&mut cargo)?;
    let case = |name: &str| {
        // Criterion names its cases, too; the table is at the end.
        let line = text.lines().rev().find_map(|line| line.strip_prefix(name))?;
        let mut figures = line.split_whitespace();
        let ns = figures.next()?.parse().ok()?;
        Some(Deciding { ns, instructions: figures.next()?.parse().ok()? })
    };
    case("match + pick + rewrite, 10000 routes")
        .zip(case("the same and all that is counted, 10000 routes"))
}

/// How the row of what is recorded came about.
fn told(recording: Option<(Deciding, Deciding)>) -> String {
    match recording {
        None => format!("{RECORDING}: no figures, because `cargo xtask bench` fails\n"),
        Some((once, again)) => format!(
            "{RECORDING}: always on, so computed from the bench of the core: deciding takes {} \
             instructions ({:.0} ns), with all that is counted {} ({:.0} ns)\n",
            once.instructions, once.ns, again.instructions, again.ns
        ),
    }
}

/// Measures all roads of a server, and the bare one of others: what the bare one costs, in µs per request,
/// and the ratios of the others to it.
fn measure(
    plain: &Server,
    others: &[(&'static str, &Server)],
    load: &Path,
    rounds: usize,
) -> Outcome<(f64, Vec<Row>)> {
    let guards = GUARDS.iter().map(|guard| guard.0);
    let roads = [BARE, AGAIN].into_iter().chain(guards).chain([ALL]);
    let mut lanes: Vec<Lane<'_>> = roads.map(|road| Lane::new(road, plain, road)).collect();
    lanes.extend(others.iter().map(|(name, server)| Lane::new(name, server, BARE)));
    // The first of all makes connections and is not counted.
    for round in 0..=rounds {
        for at in order(lanes.len(), round) {
            let Some(lane) = lanes.get_mut(at) else { continue };
            let cost = lane.cost(load)?;
            lane.costs.extend((round > 0).then_some(cost));
        }
    }
    let mut bare = lanes.remove(0).costs;
    let ratios = |lane: Lane<'_>| {
        let ratios = lane.costs.iter().zip(&bare).map(|(cost, bare)| cost / bare);
        (lane.name, quartiles(&mut ratios.collect::<Vec<f64>>()))
    };
    let rows = lanes.into_iter().map(ratios).collect();
    let [_, bare, _] = quartiles(&mut bare);
    Ok((bare, rows))
}

/// In which order the lanes are measured in a round: each time another begins, once forwards and once
/// backwards.
pub(crate) fn order(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |at| match round % 2 {
        0 => (at + round) % count,
        _ => (2 * count - 1 - at + round) % count,
    })
}

impl<'a> Lane<'a> {
    fn new(name: &'static str, server: &'a Server, road: &str) -> Self {
        let url = format!("{}{}", server.url, road::path(road));
        Self { name, server, url, costs: Vec::new() }
    }

    /// What a request costs, in µs, while clients ask for a second.
    #[expect(clippy::cast_precision_loss, reason = "it is only printed")]
    fn cost(&self, load: &Path) -> Outcome<f64> {
        let before = self.server.cpu_ns()?;
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", "-d1s", &format!("-c{CONNECTIONS}"), "-s"]).arg(load).arg(&self.url);
        let text = ask(&mut wrk).unwrap_or_default();
        let spent = self.server.cpu_ns()?.saturating_sub(before);
        let told = text.lines().find_map(|line| line.strip_prefix("done "));
        match told.and_then(|told| told.split_once(' ')) {
            Some((requests, "0")) => {
                let requests: u32 = requests.parse().unwrap_or_default();
                Ok(spent as f64 / 1000.0 / f64::from(requests.max(1)))
            }
            Some(_) | None => {
                let reason = format!("{}: not everybody was answered well:\n{text}", self.name);
                Err(Failure::new(STEP, reason))
            }
        }
    }
}

/// The quartiles, the median in the middle.
#[expect(clippy::cast_precision_loss, reason = "there are few rounds")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is inside")]
pub(crate) fn quartiles(values: &mut [f64]) -> [f64; 3] {
    values.sort_unstable_by(f64::total_cmp);
    [0.25, 0.5, 0.75].map(|share| {
        let at = share * values.len().saturating_sub(1) as f64;
        let value = |at: f64| values.get(at as usize).copied().unwrap_or(f64::NAN);
        let (low, high) = (value(at.floor()), value(at.ceil()));
        low + (high - low) * at.fract()
    })
}

fn table(native: &[Row], edge: &[Row]) -> String {
    let show = |row: Option<&Row>| match row {
        Some((RECORDING, [_, median, _])) => format!("{median:.3} | computed"),
        Some((_, [low, median, high])) => format!("{median:.2} | {low:.2}-{high:.2}"),
        None => "- | -".to_owned(),
    };
    let mut text = String::from(
        "| CPU per request | natively | quartiles | in workerd | quartiles |\n|---|---|---|---|---|\n\
         | bare: split and rewrite | 1 | | 1 | |\n",
    );
    for row in native {
        let other = edge.iter().find(|other| other.0 == row.0);
        let _ = writeln!(text, "| {} | {} | {} |", row.0, show(Some(row)), show(other));
    }
    text
}

/// Has a process on one core alone, if there are two and `taskset` is there; else it moves about.
pub(crate) fn pin(core: usize, process: u32) {
    drop(ask(Command::new("taskset").args(["-apc", &core.to_string(), &process.to_string()])));
}

/// How long the threads of a process have been on a core until now, in ns.
pub(crate) fn cpu_ns(process: u32) -> io::Result<u64> {
    let threads = fs::read_dir(format!("/proc/{process}/task"))?;
    // A thread that ends meanwhile has no part.
    let spent = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Ok(spent.sum())
}

fn failed(error: io::Error) -> Failure {
    Failure::new(STEP, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lane_has_its_turn_in_every_round() {
        for round in 0..20 {
            let mut turns: Vec<usize> = order(7, round).collect();
            turns.sort_unstable();
            assert_eq!(turns, [0, 1, 2, 3, 4, 5, 6]);
        }
    }

    #[test]
    fn quartiles_lie_between_values() {
        assert_eq!(quartiles(&mut [4.0, 1.0, 2.0, 3.0]), [1.75, 2.5, 3.25]);
        assert_eq!(quartiles(&mut [5.0]), [5.0; 3]);
    }
}
