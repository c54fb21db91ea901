//! The load of streams: clients that read events on kept connections, and tell how late each came.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::client::request;
use crate::figures::{Turn, quantile};
use crate::lane::Running;
use crate::origin::{EVENTS, PAUSE, stamp};
use crate::setup::Target;
use crate::wire::{Chunks, Framing, end_of_head, framing};
use crate::wrk::BODY;

/// How many streams there are at once.
const STREAMS: usize = 16;

/// What clients saw, in µs.
#[derive(Debug, Default)]
struct Seen {
    /// From the request to the first byte.
    first: Vec<f64>,
    /// From the origin to the client, of each event.
    late: Vec<f64>,
}

/// Has clients read streams for at least so long; the second figure is the number of events, with those of the
/// first stream of each client, which are not looked at.
pub(crate) fn load(running: &Running<'_>, time: Duration) -> io::Result<(Turn, f64)> {
    let asked = request(&running.path(Target::Events), "", BODY.as_bytes());
    let at = running.at;
    let start = Instant::now();
    let mut seen = crate::runtime()?.block_on(async move {
        let mut clients = Vec::new();
        for number in 0..STREAMS {
            clients.push(tokio::spawn(read(at, asked.clone(), number, time)));
        }
        let mut all = Seen::default();
        for client in clients {
            let seen = client.await.map_err(io::Error::other)??;
            all.first.extend(seen.first);
            all.late.extend(seen.late);
        }
        Ok::<Seen, io::Error>(all)
    })?;
    #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52")]
    let count = (seen.late.len() + STREAMS * EVENTS) as f64;
    let turn = Turn {
        rate: count / start.elapsed().as_secs_f64(),
        first: quantile(&mut seen.first, 0.5),
        p50: quantile(&mut seen.late, 0.5),
        p99: quantile(&mut seen.late, 0.99),
        ..Turn::default()
    };
    Ok((turn, count))
}

/// Reads stream after stream on a connection until the time is over. The first makes the connection, to the
/// origin as well, and does not count.
async fn read(at: SocketAddr, request: Vec<u8>, number: usize, time: Duration) -> io::Result<Seen> {
    let mut stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    once(&mut stream, &request, &mut Seen::default()).await?;
    // Streams begin all over a pause, so that events do not come all at once.
    let part = u32::try_from(number).unwrap_or(0);
    sleep(PAUSE * part / u32::try_from(STREAMS).unwrap_or(1)).await;
    let mut seen = Seen::default();
    let start = Instant::now();
    while seen.first.is_empty() || start.elapsed() < time {
        once(&mut stream, &request, &mut seen).await?;
    }
    Ok(seen)
}

/// Reads a stream.
async fn once(stream: &mut TcpStream, request: &[u8], seen: &mut Seen) -> io::Result<()> {
    let start = Instant::now();
    stream.write_all(request).await?;
    let (mut buffer, mut filled) = (vec![0; 16 * 1024], 0);
    let end = loop {
        let count = some(stream, &mut buffer[filled..]).await?;
        if filled == 0 {
            seen.first.push(start.elapsed().as_secs_f64() * 1e6);
        }
        filled += count;
        if let Some(end) = end_of_head(&buffer[..filled], 0) {
            break end;
        }
    };
    if !buffer.starts_with(b"HTTP/1.1 200") || framing(&buffer[..end]) != Framing::Chunks {
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        return Err(io::Error::other(format!("no stream of events: {head}")));
    }
    let (mut events, mut chunks) = (Events::default(), Chunks::default());
    let mut ended = chunks.take(&buffer[end..filled], |data| events.take(data, &mut seen.late));
    while !ended {
        let count = some(stream, &mut buffer).await?;
        ended = chunks.take(&buffer[..count], |data| events.take(data, &mut seen.late));
    }
    if events.count == EVENTS {
        return Ok(());
    }
    Err(io::Error::other(format!("a stream of {} events in place of {EVENTS}", events.count)))
}

/// Reads something.
async fn some(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    match stream.read(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}

/// Events that are read: each line `data:` has the time at which it was sent, in ns.
#[derive(Debug, Default)]
struct Events {
    /// The time, as far as it was read.
    time: u64,
    count: usize,
}

impl Events {
    fn take(&mut self, data: &[u8], late: &mut Vec<f64>) {
        for byte in data {
            if let Some(digit) = char::from(*byte).to_digit(10) {
                self.time = self.time.wrapping_mul(10).wrapping_add(u64::from(digit));
            } else if *byte == b'\n' && self.time > 0 {
                let ns = stamp().saturating_sub(self.time);
                #[expect(clippy::cast_precision_loss, reason = "it is only printed")]
                late.push(ns as f64 / 1000.0);
                self.time = 0;
                self.count += 1;
            }
        }
    }
}
