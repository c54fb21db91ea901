//! One connection of a client, from its first byte to its last.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use splitway_core::head::Changes;
use splitway_core::problem::{Answer, Problem};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::answering::attend;
use super::attendance::Attendance;
use super::body::{ClientBody, Source};
use super::channel::Channel;
use super::h1::{Dialogue, Ending, Later, Wire};
use super::limits::Limits;
use super::patience::{End, PREFACE, Spoken, opening, watch_over};
use super::tls::Current;
use crate::message::change;

/// How often a client of HTTP/2 is asked whether it is there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);

/// The most streams of a connection that the client has reset before they were looked at, and that
/// were reset for a fault of the client; more end the connection (CVE-2023-44487).
const RESET_MAX: usize = 20;
const FAULTY_MAX: usize = 1024;

/// What a client of HTTP/2 may send ahead of being read: on a stream, and on all of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How long, and how much, is read of what a client still sends behind the last answer. To close at
/// once would reset the connection, and the answer with it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_MAX: usize = 1024 * 1024;

/// Who answers the requests of a listener.
pub(crate) trait Site: Send + Sync + 'static {
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>
        + Edited
        + Send
        + 'static;

    /// The answer to a request that came from `client`, whose head is handed on where it lies.
    fn answer(
        &self,
        client: IpAddr,
        parts: Box<Parts>,
        body: ClientBody,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// What is told to a client that is not answered further; notes that, too.
    fn refuse(&self, problem: Problem) -> Answer;

    /// A whole answer.
    fn whole(answer: Answer) -> Response<Self::Body>;
}

/// The body of an answer that says what is changed of the head, which is left to whoever writes that.
pub(crate) trait Edited {
    /// Takes what is to be changed, if something is.
    fn edits(&mut self) -> Option<Changes> {
        None
    }
}

impl Edited for Full<Bytes> {}

impl Edited for axum::body::Body {}

/// What the connections of a listener have in common.
pub(crate) struct Host<S> {
    pub(crate) site: S,
    pub(crate) limits: Limits,
    /// Present if the listener speaks TLS.
    pub(crate) tls: Option<Current>,
    http2: http2::Builder<TokioExecutor>,
}

impl<S: Site> Host<S> {
    pub(crate) fn new(site: S, limits: Limits, tls: Option<Current>) -> Self {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(limits.header_bytes)
            .max_pending_accept_reset_streams(RESET_MAX)
            .max_local_error_reset_streams(FAULTY_MAX)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG);
        Self { site, limits, tls, http2 }
    }

    /// Serves a connection until it ends; `draining` becomes true when that should be soon.
    pub(super) async fn serve(
        self: Arc<Self>,
        later: Rc<Later>,
        stream: TcpStream,
        client: IpAddr,
        draining: watch::Receiver<bool>,
    ) {
        let attendance = Attendance::new(Arc::clone(&self.limits.connections));
        let talk = Talk { host: self, later, client, attendance: Arc::new(attendance) };
        match talk.host.tls.as_ref().map(|tls| TlsAcceptor::from(tls.load_full())) {
            None => talk.go_on(stream, Tongue::Unknown, draining).await,
            // On the heap, as all of which a connection without it has no need.
            Some(tls) => Box::pin(talk.go_on_secured(tls, stream, draining)).await,
        }
    }
}

/// One connection and whom it is with.
struct Talk<S> {
    host: Arc<Host<S>>,
    later: Rc<Later>,
    client: IpAddr,
    attendance: Arc<Attendance>,
}

/// Which HTTP a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tongue {
    /// Its first bytes tell.
    Unknown,
    Http1,
    Http2,
}

impl<S: Site> Talk<S> {
    /// Comes to terms about TLS, then serves the requests.
    async fn go_on_secured(
        self,
        tls: TlsAcceptor,
        stream: TcpStream,
        draining: watch::Receiver<bool>,
    ) {
        let secured = Box::pin(secured(tls, stream, self.host.limits.tls)).await;
        // A client that does not come to terms ends its own connection only.
        let Some(stream) = secured else { return };
        let tongue = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Tongue::Http2,
            Some(_) | None => Tongue::Http1,
        };
        self.go_on(stream, tongue, draining).await;
    }

    /// Serves the requests of a connection. While it waits for one for long, nothing is kept of it but the
    /// stream: what is there for each request is many times as much.
    async fn go_on<T>(self, mut stream: T, tongue: Tongue, mut draining: watch::Receiver<bool>)
    where
        T: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin + 'static,
    {
        let (attendance, limits) = (&self.attendance, &self.host.limits);
        if tongue == Tongue::Http2 {
            return Box::pin(self.http2(stream, Bytes::new(), &draining)).await;
        }
        let mut can_be_http2 = tongue == Tongue::Unknown;
        let mut begun = Bytes::new();
        loop {
            if begun.is_empty() {
                begun = opening(&mut stream, attendance, limits, &mut draining, can_be_http2).await;
            }
            if begun.is_empty() {
                // Says so to a client of TLS. One that does not take it has had its chance.
                let _ = timeout(LINGER, stream.shutdown()).await;
                return;
            }
            if can_be_http2 && begun.starts_with(PREFACE) {
                return Box::pin(self.http2(stream, begun, &draining)).await;
            }
            can_be_http2 = false;
            let spoken = Box::pin(self.http1(stream, begun, &draining)).await;
            let Some(waiting) = spoken else { return };
            (stream, begun) = waiting;
        }
    }

    /// Speaks HTTP/1.1 until the connection ends or waits for a request for long: then it is returned,
    /// with what came of the request by now.
    async fn http1<T>(
        &self,
        stream: T,
        opening: Bytes,
        draining: &watch::Receiver<bool>,
    ) -> Option<(T, Bytes)>
    where
        T: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin + 'static,
    {
        let Self { host, later, client, attendance } = self;
        let wire = &Rc::new(Wire::new(stream, &opening));
        drop(opening);
        let ended = {
            let dialogue = Dialogue { wire, host, later, client: *client, attendance };
            let dialogue = pin!(dialogue.go_on());
            let mut speaking = Speaking { dialogue, wire, attendance };
            watch_over(&mut speaking, attendance, &host.limits, draining).await
        };
        // What was written later mostly is written by now. A client that does not take it has had its chance.
        let is_through = match &ended {
            End::Waits | End::Late => timeout(LINGER, wire.flush_all()).await.unwrap_or(false),
            End::Over(_) => true,
        };
        let (mut stream, read) = wire.take()?;
        let problem = match ended {
            End::Waits if is_through => return Some((stream, read)),
            End::Over(Ending::Switched(tunnel)) => {
                tunnel.join(stream, read).await;
                return None;
            }
            End::Over(Ending::Refused(problem)) => Some(problem),
            End::Over(Ending::Cut) => return None,
            End::Over(Ending::Closed) => None,
            End::Late if is_through => Some(Problem::RequestTimeout),
            End::Waits | End::Late => return None,
        };
        if problem.is_none() && !attendance.is_last() {
            // Says so to a client of TLS. One that does not take it has had its chance.
            let _ = timeout(LINGER, stream.shutdown()).await;
            return None;
        }
        let farewell = problem.map(|problem| written(&self.host.site.refuse(problem)));
        // A client that does not take it has had its chance.
        let _ = timeout(LINGER, part(stream, farewell.unwrap_or_default())).await;
        None
    }

    async fn http2<T>(&self, stream: T, opening: Bytes, draining: &watch::Receiver<bool>)
    where
        T: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin + 'static,
    {
        let Self { host, client, attendance, .. } = self;
        attendance.forget_read();
        let channel = Channel::new(stream, opening, Arc::clone(attendance));
        let (presence, of_stream, client) = (Arc::clone(attendance), Arc::clone(host), *client);
        let service = service_fn(move |request: Request<Incoming>| {
            let (host, presence) = (Arc::clone(&of_stream), presence.enter());
            let (parts, body) = request.into_parts();
            let (parts, body) = (Box::new(parts), Source::from(body));
            Box::pin(async move {
                let mut response = attend(&host, client, presence, parts, body).await;
                apply(&mut response);
                Ok::<_, Infallible>(response)
            })
        });
        let connection = host.http2.serve_connection(TokioIo::new(channel), service);
        let mut speaking = Multiplexing(pin!(connection));
        watch_over(&mut speaking, attendance, &host.limits, draining).await;
    }
}

/// HTTP/1.1 on a connection.
struct Speaking<'s, T, F> {
    dialogue: Pin<&'s mut F>,
    wire: &'s Wire<T>,
    attendance: &'s Attendance,
}

impl<T, F> Spoken for Speaking<'_, T, F>
where
    T: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Ending>,
{
    type Ending = Ending;

    const IS_MULTIPLEXED: bool = false;

    fn can_rest(&self) -> bool {
        self.wire.is_bare()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        self.dialogue.as_mut().poll(context)
    }

    fn wind_down(&mut self) {
        self.attendance.leave();
    }
}

/// HTTP/2 on a connection.
struct Multiplexing<'s, C>(Pin<&'s mut C>);

impl<C: GracefulConnection> Spoken for Multiplexing<'_, C> {
    type Ending = ();

    const IS_MULTIPLEXED: bool = true;

    fn can_rest(&self) -> bool {
        false
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context).map(drop)
    }

    fn wind_down(&mut self) {
        self.0.as_mut().graceful_shutdown();
    }
}

/// Makes the changes to the head of an answer that are left to be made.
pub(crate) fn apply<B: Edited>(response: &mut Response<B>) {
    if let Some(edits) = response.body_mut().edits() {
        change(response.headers_mut(), &edits);
    }
}

/// The stream within that of a client that comes to terms about TLS, in one place: it is too large to be moved
/// whenever the connection rests.
async fn secured(
    tls: TlsAcceptor,
    stream: TcpStream,
    limit: Option<Duration>,
) -> Option<Box<TlsStream<TcpStream>>> {
    let handshake = tls.accept(stream);
    let shaken = match limit {
        Some(limit) => timeout(limit, handshake).await.ok()?,
        None => handshake.await,
    };
    shaken.ok().map(Box::new)
}

/// An answer as it stands on the wire, the last of its connection.
fn written(answer: &Answer) -> Vec<u8> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reason = status.canonical_reason().unwrap_or_default();
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16());
    for (name, value) in &answer.headers {
        text += &format!("{name}: {value}\r\n");
    }
    let date = httpdate::fmt_http_date(SystemTime::now());
    let length = answer.body.len();
    text += &format!("connection: close\r\ncontent-length: {length}\r\ndate: {date}\r\n\r\n");
    (text + &answer.body).into_bytes()
}

/// Tells the last there is to tell, and waits until the client has gone or has said enough.
async fn part(mut stream: impl AsyncRead + AsyncWrite + Unpin, farewell: Vec<u8>) {
    if stream.write_all(&farewell).await.is_err() || stream.shutdown().await.is_err() {
        return;
    }
    let mut space = [0; 4096];
    let mut left = LINGER_MAX;
    while left > 0 {
        match stream.read(&mut space).await {
            Ok(count) if count > 0 => left = left.saturating_sub(count),
            Ok(_) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use tokio::io::duplex;
    use tokio::task::spawn_local;
    use tokio::time::Instant;

    use super::super::options::ListenOptions;
    use super::super::tests::Silent;
    use super::*;

    /// Nobody tells the connection that its answer was written with others'.
    #[tokio::test(flavor = "local", start_paused = true)]
    async fn a_connection_whose_answer_was_written_later_rests_soon() {
        let limits = Limits::new(&ListenOptions::default(), 0, NonZeroUsize::MIN);
        let attendance = Arc::new(Attendance::new(Arc::clone(&limits.connections)));
        let (later, client) = (Rc::new(Later::default()), IpAddr::from([127, 0, 0, 1]));
        let writing = Rc::clone(&later);
        spawn_local(async move {
            let _never = writing.write().await;
        });
        let talk =
            Talk { host: Arc::new(Host::new(Silent, limits, None)), later, client, attendance };
        let (near, mut far) = duplex(4096);
        let (_draining, drains) = watch::channel(false);
        let request = Bytes::from_static(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let began = Instant::now();
        let waiting = Box::pin(talk.http1(near, request, &drains)).await;
        let (_near, read) = waiting.expect("it goes on");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        assert!(read.is_empty());
        let mut answer = [0; 15];
        far.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }
}
