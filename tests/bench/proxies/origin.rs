//! The origin: one thread that answers as fast as it can, so that the proxy in front of it is what is measured.
//!
//! It answers on paths that begin with a version, `/v1` to `/v20`, and nothing else, so that what a proxy did not
//! rewrite is an error: `chat/completions` with a small JSON, `large` with 64 KiB, `events` with a stream of
//! [`EVENTS`] events. Which version answered stands in the field `x-version`.

use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;

use crate::certificates;
use crate::wire::{Chunks, Framing, end_of_head, framing};

/// How many events a stream has.
pub(crate) const EVENTS: usize = 50;
/// How far apart they are.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);
/// The bytes of a large answer.
pub(crate) const LARGE: usize = 64 * 1024;
/// The versions that there are.
const VERSIONS: usize = 20;
/// How much is read at once.
const BUFFER: usize = 64 * 1024;

/// All answers, made once.
#[derive(Debug)]
struct Answers {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    events: Vec<Vec<u8>>,
    unknown: Vec<u8>,
}

/// Serves until standard input ends; says on standard output where, without and with TLS, a line each.
///
/// `folder` holds the certificate.
pub(crate) fn serve(folder: &Path) -> io::Result<()> {
    let tls = certificates::server(folder)?;
    crate::runtime()?.block_on(async move {
        let plain = TcpListener::bind(("127.0.0.1", 0)).await?;
        let secure = TcpListener::bind(("127.0.0.1", 0)).await?;
        say(&[plain.local_addr()?, secure.local_addr()?])?;
        let answers: &'static Answers = Box::leak(Box::new(Answers::new()));
        tokio::spawn(accept(plain, move |stream| converse(stream, answers)));
        let acceptor = TlsAcceptor::from(tls);
        tokio::spawn(accept(secure, move |stream| {
            let acceptor = acceptor.clone();
            async move { converse(acceptor.accept(stream).await?, answers).await }
        }));
        until_input_ends().await
    })
}

/// Tells whoever started this process where it listens.
pub(crate) fn say(addresses: &[SocketAddr]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    for address in addresses {
        writeln!(output, "{address}")?;
    }
    output.flush()
}

/// Waits for the end of whoever started this process.
pub(crate) async fn until_input_ends() -> io::Result<()> {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = ended.send(());
    });
    end.await.map_err(io::Error::other)
}

/// Has each connection converse in a task of its own.
pub(crate) async fn accept<F, W>(listener: TcpListener, converse: F)
where
    F: Fn(TcpStream) -> W,
    W: Future<Output = io::Result<()>> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        if stream.set_nodelay(true).is_ok() {
            tokio::spawn(converse(stream));
        }
    }
}

/// Answers request after request, until there is none.
async fn converse<S>(mut stream: S, answers: &'static Answers) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = vec![0; BUFFER];
    loop {
        let (mut filled, mut seen) = (0, 0);
        let end = loop {
            let count = stream.read(&mut buffer[filled..]).await?;
            if count == 0 {
                return Ok(());
            }
            filled += count;
            if let Some(end) = end_of_head(&buffer[..filled], seen) {
                break end;
            }
            seen = filled;
        };
        let (kind, version) = asked(&buffer[..end]);
        let (answer, is_stream) = (answers.find(kind, version), kind == "events");
        let framing = framing(&buffer[..end]);
        discard(&mut stream, &mut buffer, end..filled, framing).await?;
        if is_stream && answer != answers.unknown {
            stream_events(&mut stream, answer).await?;
        } else {
            stream.write_all(answer).await?;
            stream.flush().await?;
        }
    }
}

/// Reads the rest of the body, of which `there` is in the buffer.
async fn discard<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut [u8],
    there: std::ops::Range<usize>,
    framing: Framing,
) -> io::Result<()> {
    let mut chunks = Chunks::default();
    let mut done = match framing {
        Framing::Length(length) => length <= there.len(),
        Framing::Chunks => chunks.take(&buffer[there.clone()], |_| {}),
    };
    let mut got = there.len();
    while !done {
        let count = stream.read(buffer).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        got += count;
        done = match framing {
            Framing::Length(length) => got >= length,
            Framing::Chunks => chunks.take(&buffer[..count], |_| {}),
        };
    }
    Ok(())
}

/// What is asked for in a head, and of which version: `POST /v2/large HTTP/1.1`.
fn asked(head: &[u8]) -> (&str, usize) {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let path = std::str::from_utf8(line).ok().and_then(|line| line.split(' ').nth(1));
    let parts = path.and_then(|path| path.strip_prefix("/v")?.split_once('/'));
    let (version, kind) = parts.unwrap_or_default();
    (kind, version.parse().unwrap_or(0))
}

/// Sends the head and the events, each with the time at which it was sent; the first goes with the head.
async fn stream_events<S: AsyncWrite + Unpin>(stream: &mut S, head: &[u8]) -> io::Result<()> {
    let start = Instant::now();
    let mut piece = head.to_vec();
    for number in 0..EVENTS {
        if number > 0 {
            sleep_until(start + PAUSE * u32::try_from(number).unwrap_or(0)).await;
        }
        let event = format!("data: {}\n\n", stamp());
        let end = if number + 1 == EVENTS { "0\r\n\r\n" } else { "" };
        write!(piece, "{:x}\r\n{event}\r\n{end}", event.len())?;
        stream.write_all(&piece).await?;
        stream.flush().await?;
        piece.clear();
    }
    Ok(())
}

/// The time, in ns since 1970, which all processes of the machine have in common.
pub(crate) fn stamp() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(0)
}

impl Answers {
    fn new() -> Self {
        let each = |make: fn(usize) -> Vec<u8>| (1..=VERSIONS).map(make).collect();
        Self {
            small: each(|version| answer(version, &small(version))),
            large: each(|version| answer(version, &"y".repeat(LARGE))),
            events: each(|version| {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                            transfer-encoding: chunked\r\nx-version: v";
                format!("{head}{version}\r\n\r\n").into_bytes()
            }),
            unknown: b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
        }
    }

    fn find(&self, kind: &str, version: usize) -> &[u8] {
        let all = match kind {
            "chat/completions" => &self.small,
            "large" => &self.large,
            "events" => &self.events,
            _ => return &self.unknown,
        };
        version.checked_sub(1).and_then(|at| all.get(at)).unwrap_or(&self.unknown)
    }
}

fn answer(version: usize, body: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-version: v";
    format!("{head}{version}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A completion of some 300 bytes.
fn small(version: usize) -> String {
    let text = "a".repeat(120);
    format!(
        r#"{{"id":"chatcmpl-000000000000000000000000","object":"chat.completion","created":1700000000,"model":"m-{version:02}","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}]}}"#
    )
}

/// Shared by all connections with TLS.
pub(crate) type Tls = Arc<rustls::ServerConfig>;
