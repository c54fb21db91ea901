//! Listeners and the connections of clients: HTTP/1.1, one task for each connection.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::telemetry::{Level, Log};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

/// How long the head of a request may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait where accepting failed for want of something (file descriptors, memory): trying
/// again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Taking requests.
    Serving,
    /// Finishing those that it has.
    Draining,
    /// Nothing more.
    Stopped,
}

/// Binds `count` listeners to one address; the kernel spreads connections among them.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    if count <= 1 {
        return Ok(vec![listener(address, false)?]);
    }
    // A shared port can also be shared with another process by accident, a second Splitway for
    // example. One that is not shared is refused then.
    if address.port() != 0 {
        drop(listener(address, false)?);
    }
    let first = listener(address, true)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..count {
        listeners.push(listener(address, true)?);
    }
    Ok(listeners)
}

fn listener(address: SocketAddr, is_shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts connections and has `answer` answer their requests until the server stops.
pub(crate) async fn serve<A, F, B>(
    listener: TcpListener,
    mut phases: watch::Receiver<Phase>,
    log: &Log,
    answer: A,
) where
    A: Fn(IpAddr, Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    // One copy of a small body costs less than a scattered write.
    builder.writev(false);
    let connections = GracefulShutdown::new();
    let mut ending = phases.clone();
    let mut is_short = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ending.wait_for(|phase| *phase > Phase::Serving) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_about_one_connection(&error) => continue,
            Err(error) => {
                if !is_short {
                    let fields = json!({"detail": error.to_string()});
                    log.tell(Level::Error, "connections_not_accepted", fields);
                }
                is_short = true;
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        is_short = false;
        // Without it small chunks of a stream wait for the acknowledgement of the last.
        let _ = stream.set_nodelay(true);
        let answer = answer.clone();
        let service = service_fn(move |request| answer(peer.ip(), request));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off or does not speak HTTP ends its own connection only.
            let _ = connection.await;
        });
    }
    drop(listener);
    tokio::select! {
        () = connections.shutdown() => {}
        _ = phases.wait_for(|phase| *phase == Phase::Stopped) => {}
    }
}

/// Whether accepting failed because the client is gone already, which says nothing of the next.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}
