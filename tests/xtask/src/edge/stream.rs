//! What a long body costs on its way through, in each direction.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use super::server::{Kind, Server};
use super::table::{median, paired};
use super::{Amount, failed, micros};
use crate::setup::Kit;
use crate::step::Outcome;

/// Where long bodies come from and go to.
const LONG: &str = "/long/body";

/// Each takes so many turns.
const TURNS: usize = 5;

/// Moves bodies of so many bytes, and says what that costs.
pub(super) fn table(
    kit: &Kit,
    folder: &Path,
    origin: SocketAddr,
    amount: Amount,
) -> Outcome<String> {
    let kinds =
        [("minimal JavaScript Worker", Kind::Minimal), ("Splitway", Kind::Splitway { routes: 1 })];
    let mut text = String::from(
        "\n| a long body, CPU in µs per MB | to the upstream | ratio | to the client | ratio |\n\
         |---|---|---|---|---|\n",
    );
    let mut lanes = Vec::new();
    for (name, kind) in &kinds {
        lanes.push((name, Server::start(kit, folder, kind, origin)?, [Vec::new(), Vec::new()]));
    }
    let turns = if amount.is_smoke { 1 } else { TURNS };
    for turn in 0..=turns {
        for (_, server, [up, down]) in &mut lanes {
            for (is_up, costs) in [(true, up), (false, down)] {
                let before = server.cpu()?;
                send(server.address(), amount.long, is_up).map_err(failed)?;
                let spent = micros(server.cpu()?.saturating_sub(before));
                #[expect(clippy::cast_precision_loss, reason = "it is only printed")]
                let megabytes = amount.long as f64 / 1e6;
                costs.extend((turn > 0).then_some(spent / megabytes));
            }
        }
    }
    let least = lanes.first().map(|lane| lane.2.clone()).unwrap_or_default();
    for (name, _, costs) in &lanes {
        let _ = write!(text, "| {name} |");
        for (costs, least) in costs.iter().zip(&least) {
            let ratio = paired(costs, least, |own, least| own / least);
            // A string takes whatever is written to it.
            let _ = write!(text, " {:.0} | {ratio:.2} |", median(costs.iter().copied()));
        }
        text.push('\n');
    }
    Ok(text)
}

/// Sends a body of so many bytes, or has one sent.
fn send(address: SocketAddr, length: u64, is_up: bool) -> io::Result<()> {
    let stream = TcpStream::connect(address)?;
    let mut requests = &stream;
    let host = "host: api.example.com";
    if is_up {
        write!(requests, "POST {LONG} HTTP/1.1\r\n{host}\r\ncontent-length: {length}\r\n\r\n")?;
        io::copy(&mut io::repeat(b'x').take(length), &mut requests)?;
    } else {
        write!(requests, "GET {LONG} HTTP/1.1\r\n{host}\r\nx-wants: {length}\r\n\r\n")?;
    }
    let got = answer(&mut BufReader::with_capacity(64 * 1024, &stream))?;
    if !is_up && got != length {
        return Err(io::Error::other(format!("{got} bytes came, not {length}")));
    }
    Ok(())
}

/// Reads an answer with status 200, and says how long its body was.
pub(super) fn answer(stream: &mut impl BufRead) -> io::Result<u64> {
    let mut head = String::new();
    let mut length = 0;
    while stream.read_line(&mut head)? > 2 {
        let line = head.lines().last().unwrap_or_default().to_ascii_lowercase();
        if let Some(told) = line.strip_prefix("content-length:") {
            length = told.trim().parse().map_err(io::Error::other)?;
        }
    }
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(io::Error::other(format!("expected a 200, got {head:?}")));
    }
    io::copy(&mut stream.take(length), &mut io::sink())
}
