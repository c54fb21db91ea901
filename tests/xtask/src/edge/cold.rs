//! How long it takes from nothing to the first answer: a process is started, and asked as soon as it listens.

use std::fmt::Write as _;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Instant;

use super::server::{Kind, PATH, Server};
use super::table::{median, paired};
use super::{failed, stream};
use crate::setup::Kit;
use crate::step::Outcome;

/// The two times of a start, in ms: until it listens, and then until the answer is there.
type Start = [f64; 2];

/// Starts each candidate so many times, and says how long it took.
pub(super) fn table(
    kit: &Kit,
    folder: &Path,
    origin: SocketAddr,
    starts: usize,
) -> Outcome<String> {
    let kinds = [
        ("minimal JavaScript Worker", Kind::Minimal),
        ("Splitway, 1 route", Kind::Splitway { routes: 1 }),
        ("Splitway, 1,000 routes", Kind::Splitway { routes: 1_000 }),
    ];
    let mut rows: Vec<(&str, Vec<Start>)> = kinds.iter().map(|kind| (kind.0, Vec::new())).collect();
    // What is read for the first time comes from the disk, and is not counted.
    for round in 0..=starts {
        for ((_, kind), (_, times)) in kinds.iter().zip(&mut rows) {
            let time = start(kit, folder, kind, origin)?;
            times.extend((round > 0).then_some(time));
        }
    }
    let total = |times: &[Start]| times.iter().map(|[up, first]| up + first).collect::<Vec<f64>>();
    let least = rows.first().map(|(_, times)| total(times)).unwrap_or_default();
    let mut text = String::from(
        "\n| from the start of the process, ms | until it listens | then to the first answer | more in all |\n\
         |---|---|---|---|\n",
    );
    for (name, times) in &rows {
        let [up, first] =
            [0, 1].map(|at: usize| median(times.iter().filter_map(|start| start.get(at).copied())));
        let more = paired(&total(times), &least, |own, least| own - least);
        // A string takes whatever is written to it.
        let _ = writeln!(text, "| {name} | {up:.1} | {first:.1} | {more:+.1} |");
    }
    Ok(text)
}

fn start(kit: &Kit, folder: &Path, kind: &Kind, origin: SocketAddr) -> Outcome<Start> {
    let begin = Instant::now();
    let server = Server::start(kit, folder, kind, origin)?;
    let up = begin.elapsed();
    let ask = || {
        let mut stream = TcpStream::connect(server.address())?;
        write!(stream, "GET {PATH} HTTP/1.1\r\nhost: api.example.com\r\n\r\n")?;
        stream::answer(&mut BufReader::new(stream))
    };
    ask().map_err(failed)?;
    let whole = begin.elapsed();
    Ok([up, whole - up].map(|time| time.as_secs_f64() * 1e3))
}
