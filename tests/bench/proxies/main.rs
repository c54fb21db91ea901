//! What Splitway costs beside other proxies: `cargo xtask bench-proxies`.
//!
//! nginx (`split_clients`), HAProxy and Splitway do the guide's 50/50 split and rewrite, with one worker each and
//! kept connections to an origin. They have a core for themselves; the load and the origin have another one. In
//! each round all take a turn, in random order, and what is compared is compared inside of a round, so that
//! whatever else the machine does moves both. Rounds in which others had the proxies' core do not count.
//!
//! | module            | what it is                                                            |
//! |-------------------|-----------------------------------------------------------------------|
//! | [`case`]          | what is asked of whom                                                 |
//! | [`setup`]         | what proxies are set up for                                           |
//! | [`splitway`], [`nginx`], [`haproxy`], [`floor`] | how each is                             |
//! | [`lane`]          | one of them in one setup, started                                     |
//! | [`process`], [`cores`] | what a process took, and who else was on its core                |
//! | [`origin`]        | who answers                                                           |
//! | [`wrk`], [`h2load`], [`events`], [`idle`] | who asks                                      |
//! | [`measure`]       | the rounds                                                            |
//! | [`smoke`]         | whether they do what they are measured for                            |
//! | [`train`]         | the load that a build by profile is made by                           |
//! | [`figures`]       | medians and quartiles                                                 |
//! | [`table`], [`chart`], [`machine`] | how it is shown                                       |
//!
//! The program starts itself as origin (`origin DIR`) and as floor (`floor PORT ORIGIN`).

#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the figures are the product, and a panic is how it fails"
)]

mod case;
mod certificates;
mod chart;
mod client;
mod cores;
mod events;
mod figures;
mod floor;
mod h2load;
mod haproxy;
mod idle;
mod lane;
mod machine;
mod measure;
mod nginx;
mod options;
mod origin;
mod process;
mod setup;
mod smoke;
mod splitway;
mod table;
mod train;
mod wire;
mod wrk;

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

use splitway_tests::chance::Chance;

use crate::case::Case;
use crate::cores::{Cores, many_files};
use crate::measure::Plan;
use crate::options::Options;
use crate::setup::World;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["origin", folder] => origin::serve(Path::new(folder)),
        ["floor", port, origin] => match (port.parse(), origin.parse()) {
            (Ok(port), Ok(origin)) => floor::serve(port, origin),
            _ => Err(io::Error::other("floor PORT ORIGIN")),
        },
        _ => Options::read(arguments.into_iter()).map_err(io::Error::other).and_then(run),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Tells how far it is; a line that cannot be written is nobody's loss.
fn say(line: &str) {
    drop(writeln!(io::stderr(), "bench-proxies: {line}"));
}

/// A runtime of one thread.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn run(options: Options) -> io::Result<()> {
    let cases = chosen(&options.cases)?;
    let splitway = env::var_os("SPLITWAY_BIN").map(PathBuf::from);
    let splitway = splitway.ok_or_else(|| {
        io::Error::other(
            "SPLITWAY_BIN says where `splitway` is; `cargo xtask bench-proxies` sets it",
        )
    })?;
    let cores = Cores::take(options.cores)?;
    // Each of a proxy's connections from a client may have one to the origin beside it.
    let idle = idle::CONNECTIONS.min(many_files()?.saturating_sub(500) / 2);
    if idle < idle::CONNECTIONS {
        say(&format!("only {idle} idle connections, since so many files may be open"));
    }
    fs::create_dir_all(&options.out)?;
    let folder = options.out.canonicalize()?;
    certificates::write(&folder)?;
    let (world, _origin) = origin_of(folder, splitway)?;
    if options.smoke {
        return smoke(&cases, &world, cores);
    }
    let plan = Plan { rounds: options.rounds, seconds: options.seconds, cores, idle };
    if options.train {
        return train::all(&cases, &world, &plan);
    }
    measured(&cases, &world, &plan)
}

/// The cases whose names begin as one of these does.
fn chosen(names: &[String]) -> io::Result<Vec<Case>> {
    let mut cases = case::all();
    let known: Vec<&str> = cases.iter().map(|case| case.id).collect();
    for name in names {
        if !known.iter().any(|id| id.starts_with(name.as_str())) {
            return Err(io::Error::other(format!(
                "no case `{name}`; there are: {}",
                known.join(", ")
            )));
        }
    }
    // A whole name is that one alone: `routes` is not `routes-10000`.
    let is = |id: &str, name: &str| id == name || (!known.contains(&name) && id.starts_with(name));
    let wanted: Vec<bool> =
        known.iter().map(|id| names.is_empty() || names.iter().any(|name| is(id, name))).collect();
    let mut wanted = wanted.into_iter();
    cases.retain(|_| wanted.next().unwrap_or(false));
    Ok(cases)
}

/// An origin that ends when this is dropped.
struct Origin(Child);

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts the origin on the core of this process.
fn origin_of(folder: PathBuf, splitway: PathBuf) -> io::Result<(World, Origin)> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("origin").arg(&folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut origin = Origin(command.spawn()?);
    let told = origin.0.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut lines = BufReader::new(told).lines();
    let mut address = || {
        let line = lines.next().transpose()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        line.parse().map_err(io::Error::other)
    };
    let (plain, secure) = (address()?, address()?);
    Ok((World { folder, splitway, plain, secure }, origin))
}

/// Tries all cases, and fails with the first that does not work.
fn smoke(cases: &[Case], world: &World, cores: Cores) -> io::Result<()> {
    let start = Instant::now();
    for (number, case) in cases.iter().enumerate() {
        smoke::case(case, world, cores, number == 0)?;
        say(&format!("{}: works ({:.0?})", case.id, start.elapsed()));
    }
    Ok(())
}

/// Measures all cases, prints the tables and writes them and the picture. One that fails leaves the others.
fn measured(cases: &[Case], world: &World, plan: &Plan) -> io::Result<()> {
    let mut chance = Chance::new(origin::stamp());
    let (mut measured, mut failed) = (Vec::new(), 0);
    for case in cases {
        match measure::case(case, world, plan, &mut chance) {
            Ok(series) => {
                let rounds = series.iter().map(figures::Series::len).min().unwrap_or(0);
                say(&format!("{}: {rounds} rounds count", case.id));
                measured.push((case, series));
            }
            Err(error) => {
                say(&format!("{}: failed: {error}", case.id));
                failed += 1;
            }
        }
    }
    let machine = machine::line(&world.splitway, plan.rounds, plan.seconds);
    let text = table::markdown(&measured, &machine);
    fs::write(world.folder.join("table.md"), &text)?;
    if let Some(picture) = chart::svg(&measured, &machine) {
        fs::write(world.folder.join("proxies.svg"), picture)?;
    }
    println!("{text}");
    say(&format!("also in {}: table.md, proxies.svg", world.folder.display()));
    match failed {
        0 => Ok(()),
        _ => Err(io::Error::other(format!("{failed} cases"))),
    }
}
