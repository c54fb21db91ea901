//! The load of nobody: memory of a fresh proxy, and with thousands of connections that were used once.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use crate::client::{Client, request};
use crate::cores::Cores;
use crate::figures::Turn;
use crate::lane::Lane;
use crate::setup::{Target, World};
use crate::wrk::BODY;

/// How many connections are kept, where so many files may be open.
pub(crate) const CONNECTIONS: usize = 5_000;

/// Measures a proxy that was started for this.
pub(crate) fn measure(
    lane: &Lane,
    world: &World,
    cores: Cores,
    connections: usize,
) -> io::Result<Turn> {
    let running = lane.start(world, cores)?;
    let settle = || sleep(Duration::from_millis(300));
    settle();
    let memory = running.memory();
    let request = request(&running.path(Target::Chat), "", BODY.as_bytes());
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut client = Client::connect(running.at, None)?;
        let answer = client.ask(&request)?;
        if answer.status != 200 {
            return Err(io::Error::other(format!("{}: {}", lane.name, answer.status)));
        }
        clients.push(client);
    }
    settle();
    #[expect(clippy::cast_precision_loss, reason = "there are thousands")]
    let connection = (running.memory() - memory) / clients.len() as f64;
    Ok(Turn { memory, connection, ..Turn::default() })
}
