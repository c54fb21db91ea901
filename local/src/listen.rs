//! Listeners: the connections of clients are accepted here and each is served by a task of its own.
//!
//! `conversation` is the road of a connection: TLS (`tls`), HTTP/1.1 (`h1`) or HTTP/2, and its end. `patience` is
//! how long it may take. What it is busy with stands in `attendance`, `channel` is the stream of HTTP/2, `body` the
//! bodies, and `limits` what a client may take. A connection never changes threads, and threads share no limit.

mod answering;
mod attendance;
mod body;
mod channel;
mod connections;
mod conversation;
mod h1;
mod limits;
pub(crate) mod options;
mod patience;
mod socket;
pub(crate) mod tls;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

pub(crate) use self::answering::last;
pub(crate) use self::body::{ClientBody, Progress, TooLong};
pub(crate) use self::connections::AllConnections;
use self::connections::Open;
pub(crate) use self::conversation::{Edited, Host, Site, apply};
use self::h1::Later;
pub(crate) use self::h1::{CanSwitch, Torn};
pub(crate) use self::limits::Limits;
pub(crate) use self::socket::bind;

use crate::telemetry::{Level, Log};

/// How long to wait where accepting failed for want of something (file descriptors, memory): trying
/// again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long connections that are half open have to become whole before a listener is closed whose
/// port another process may have taken over.
const SETTLE: Duration = Duration::from_millis(250);

/// How often it is told that no more connections are accepted.
const TELL_AGAIN: Duration = Duration::from_secs(60);

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

/// Accepts connections and has `host` serve them until the server stops.
pub(crate) async fn serve<S: Site>(
    listener: TcpListener,
    mut phases: watch::Receiver<Phase>,
    log: &Log,
    host: Host<S>,
) {
    let is_shared = host.limits.is_shared;
    let (draining, later) = (watch::Sender::new(false), Rc::new(Later::default()));
    let floor = Floor { host: Arc::new(host), draining, later: Rc::clone(&later), log };
    // Ends with the thread.
    spawn_local(async move { later.write().await });
    let mut ending = phases.clone();
    tokio::select! {
        biased;
        _ = ending.wait_for(|phase| *phase > Phase::Serving) => {}
        () = floor.accept(&listener) => {}
    }
    floor.draining.send_replace(true);
    floor.close(listener, is_shared).await;
    tokio::select! {
        () = floor.draining.closed() => {}
        _ = phases.wait_for(|phase| *phase == Phase::Stopped) => {}
    }
}

/// Where the connections of one thread are.
struct Floor<'l, S> {
    host: Arc<Host<S>>,
    /// Closed when the last connection has ended.
    draining: watch::Sender<bool>,
    later: Rc<Later>,
    log: &'l Log,
}

impl<S: Site> Floor<'_, S> {
    /// Accepts connections for ever, as many at once as there are seats for.
    async fn accept(&self, listener: &TcpListener) {
        let mut is_short = false;
        let mut told = None;
        loop {
            let seat = self.seat(&mut told).await;
            match listener.accept().await {
                Ok((stream, peer)) => {
                    is_short = false;
                    self.receive(stream, peer, seat);
                }
                Err(error) if socket::is_about_one_connection(&error) => {}
                Err(error) => {
                    if !is_short {
                        let fields = json!({"detail": error.to_string()});
                        self.log.tell(Level::Error, "connections_not_accepted", fields);
                    }
                    is_short = true;
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// A seat for the next connection, when there is one.
    async fn seat(&self, told: &mut Option<Instant>) -> Option<OwnedSemaphorePermit> {
        let seats = Arc::clone(self.host.limits.seats.as_ref()?);
        if let Ok(seat) = Arc::clone(&seats).try_acquire_owned() {
            return Some(seat);
        }
        if told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
            *told = Some(Instant::now());
            let fields = json!({"detail": "no more connections until others end"});
            self.log.tell(Level::Warn, "connections_at_limit", fields);
        }
        seats.acquire_owned().await.ok()
    }

    fn receive(&self, stream: TcpStream, peer: SocketAddr, seat: Option<OwnedSemaphorePermit>) {
        // Without it small chunks of a stream wait for the acknowledgement of the last.
        let _ = stream.set_nodelay(true);
        let open = self.host.limits.connections.open();
        let (host, later) = (Arc::clone(&self.host), Rc::clone(&self.later));
        let (draining, place) = (self.draining.subscribe(), (seat, open));
        spawn_local(visit(host, later, stream, peer.ip(), draining, place));
    }

    /// Closes the listener and takes over, beyond all limits, what waits there: closing would reset it.
    async fn close(&self, listener: TcpListener, is_shared: bool) {
        if is_shared && socket::turn_away(&listener).is_ok() {
            let settled = Instant::now() + SETTLE;
            while let Ok(accepted) = timeout(settled - Instant::now(), listener.accept()).await {
                if let Ok((stream, peer)) = accepted {
                    self.receive(stream, peer, None);
                }
            }
        }
        let Ok(listener) = listener.into_std() else { return };
        for (stream, peer) in socket::waiting(&listener) {
            if let Ok(stream) = TcpStream::from_std(stream) {
                self.receive(stream, peer, None);
            }
        }
    }
}

/// Serves a connection until it ends, which has this place among them. All that is kept of one that rests is
/// in here.
async fn visit<S: Site>(
    host: Arc<Host<S>>,
    later: Rc<Later>,
    stream: TcpStream,
    client: IpAddr,
    draining: watch::Receiver<bool>,
    place: (Option<OwnedSemaphorePermit>, Open),
) {
    // Made where it stays: a future that is moved is there twice.
    host.serve(later, stream, client, draining).await;
    drop(place);
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::num::NonZeroUsize;

    use bytes::Bytes;
    use http::Response;
    use http::request::Parts;
    use http_body_util::Full;
    use splitway_core::problem::{Answer, Problem};

    use super::options::ListenOptions;
    use super::*;

    /// A site that has nothing to say.
    pub(super) struct Silent;

    impl Site for Silent {
        type Body = Full<Bytes>;

        async fn answer(&self, _: IpAddr, _: Box<Parts>, _: ClientBody) -> Response<Full<Bytes>> {
            Response::default()
        }

        fn refuse(&self, problem: Problem) -> Answer {
            problem.answer()
        }

        fn whole(answer: Answer) -> Response<Full<Bytes>> {
            Response::new(answer.body.into())
        }
    }

    /// What a connection that waits costs is this, and some 500 bytes of tokio's: thousands wait.
    #[tokio::test]
    async fn what_is_kept_of_a_connection_that_rests_is_small() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(address).await.expect("a connection");
        let limits = Limits::new(&ListenOptions::default(), 0, NonZeroUsize::MIN);
        let host = Arc::new(Host::new(Silent, limits, None));
        let (_draining, drains) = watch::channel(false);
        let open = host.limits.connections.open();
        let later = Rc::default();
        let size = size_of_val(&visit(host, later, stream, address.ip(), drains, (None, open)));
        assert!(size <= 1024, "{size} bytes");
    }
}
