//! One connection of a client, from its first byte to its last.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1::Parts;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use splitway_core::problem::{Answer, Problem};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::attendance::{Attendance, Presence};
use super::body::{Attended, ClientBody, News, Source};
use super::channel::Channel;
use super::limits::Limits;
use super::patience::{End, Manner, PREFACE, opening, watch_over};
use super::tls::Current;
use crate::reply::Handover;

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

/// How much is read, and for how long, of a body that nobody wants, so that its connection can go on.
const LEFT_MAX: u64 = 64 * 1024;
const LEFT_TIME: Duration = Duration::from_secs(1);

/// Who answers the requests of a listener.
pub(crate) trait Site: Send + Sync + 'static {
    /// The body of an answer.
    type Body: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// The answer to a request that came from `client`.
    fn answer(
        &self,
        client: IpAddr,
        request: Request<ClientBody>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// What is told to a client that is not answered further; notes that, too.
    fn refuse(&self, problem: Problem) -> Answer;

    /// A whole answer.
    fn whole(answer: Answer) -> Response<Self::Body>;
}

/// What the connections of a listener have in common.
pub(crate) struct Host<S> {
    pub(crate) site: S,
    pub(crate) limits: Limits,
    /// Present if the listener speaks TLS.
    pub(crate) tls: Option<Current>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl<S: Site> Host<S> {
    pub(crate) fn new(site: S, limits: Limits, tls: Option<Current>) -> Self {
        let mut http1 = http1::Builder::new();
        // The time it may take is watched here: hyper would close without a word.
        http1.timer(TokioTimer::new()).header_read_timeout(None);
        // One copy of a small body costs less than a scattered write.
        http1.writev(false);
        http1.max_header_size(usize::try_from(limits.header_bytes).unwrap_or(usize::MAX));
        if limits.headers > HEADERS_FREE {
            http1.max_headers(limits.headers);
        }
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
        Self { site, limits, tls, http1, http2 }
    }

    /// Serves a connection until it ends; `draining` becomes true when that should be soon.
    pub(crate) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        client: IpAddr,
        draining: watch::Receiver<bool>,
    ) {
        let attendance = Attendance::new(Arc::clone(&self.limits.connections));
        let talk = Talk { host: self, client, attendance: Arc::new(attendance) };
        let Some(tls) = &talk.host.tls else {
            return talk.go_on(stream, Tongue::Unknown, draining).await;
        };
        let handshake = TlsAcceptor::from(tls.load_full()).accept(stream);
        // On the heap, as all of which a connection that waits has no need.
        let shaken = match talk.host.limits.tls {
            Some(limit) => Box::pin(timeout(limit, handshake)).await,
            None => Ok(Box::pin(handshake).await),
        };
        // A client that does not come to terms ends its own connection only.
        let Ok(Ok(stream)) = shaken else { return };
        let tongue = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Tongue::Http2,
            Some(_) | None => Tongue::Http1,
        };
        Box::pin(talk.go_on(stream, tongue, draining)).await;
    }
}

/// So many headers hyper has room for without an allocation for each request.
const HEADERS_FREE: usize = 100;

/// One connection and whom it is with.
struct Talk<S> {
    host: Arc<Host<S>>,
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
    /// Serves the requests of a connection. While it waits for one for long, nothing is kept of it but the
    /// stream: what hyper has for each connection is many times as much.
    async fn go_on<T>(self, mut stream: T, tongue: Tongue, mut draining: watch::Receiver<bool>)
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
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
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self { host, client, attendance } = self;
        let channel = Channel::http1(stream, opening, Arc::clone(attendance));
        let tunnel = Mutex::new(None);
        // On the heap: hyper would keep room for it with each connection, and move it there.
        let service = service_fn(|request| {
            Box::pin(async {
                let response = attend(host, *client, attendance.enter(), request).await;
                if let Some(handover) = response.extensions().get::<Handover>() {
                    *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = handover.take();
                }
                Ok::<_, Infallible>(response)
            })
        });
        let mut connection = host.http1.serve_connection(TokioIo::new(channel), service);
        let limits = &host.limits;
        let watched = watch_over(&mut connection, Manner::Rests, attendance, limits, draining);
        let mut ended = watched.await;
        if ended == End::Waits {
            // At once only if hyper, too, is between two requests; otherwise when it is.
            Pin::new(&mut connection).graceful_shutdown();
            let is_left = poll_fn(|context| {
                Poll::Ready(connection.poll_without_shutdown(context).is_ready())
            });
            if !is_left.await {
                let watched =
                    watch_over(&mut connection, Manner::Ends, attendance, limits, draining);
                ended = watched.await;
            }
        }
        let Parts { io, read_buf, .. } = connection.into_parts();
        let (stream, unread, refused) = io.into_inner().into_parts();
        if ended == End::Waits && refused.is_none() {
            let begun =
                if unread.is_empty() { read_buf } else { [read_buf, unread].concat().into() };
            return Some((stream, begun));
        }
        if let Some(tunnel) = tunnel.into_inner().unwrap_or_else(PoisonError::into_inner) {
            tunnel.join(stream, read_buf).await;
            return None;
        }
        let problem = match ended {
            End::Closed | End::Waits => refused,
            End::Late => Some(Problem::RequestTimeout),
        };
        if problem.is_none() && !attendance.is_last() {
            return None;
        }
        let farewell = problem.map(|problem| written(&host.site.refuse(problem)));
        // A client that does not take it has had its chance.
        let _ = timeout(LINGER, part(stream, farewell.unwrap_or_default())).await;
        None
    }

    async fn http2<T>(&self, stream: T, opening: Bytes, draining: &watch::Receiver<bool>)
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self { host, client, attendance } = self;
        attendance.forget_read();
        let channel = Channel::http2(stream, opening, Arc::clone(attendance));
        let (presence, of_stream, client) = (Arc::clone(attendance), Arc::clone(host), *client);
        let service = service_fn(move |request| {
            let (host, presence) = (Arc::clone(&of_stream), presence.enter());
            Box::pin(
                async move { Ok::<_, Infallible>(attend(&host, client, presence, request).await) },
            )
        });
        let mut connection = host.http2.serve_connection(TokioIo::new(channel), service);
        let limits = &host.limits;
        watch_over(&mut connection, Manner::Multiplexes, attendance, limits, draining).await;
    }
}

/// Has the site answer a request, unless there is no place for it or its body does not come.
async fn attend<S: Site>(
    host: &Host<S>,
    client: IpAddr,
    mut presence: Presence,
    request: Request<Incoming>,
) -> Response<Attended<S::Body>> {
    let is_http2 = request.version() == Version::HTTP_2;
    let refused = match &host.limits.gate {
        None => None,
        Some(gate) => pass(gate, host.limits.wait, &mut presence).await.err(),
    };
    let mut response = match refused {
        Some(problem) => S::whole(host.site.refuse(problem)),
        None => answer(host, client, request).await,
    };
    if !is_http2 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        if presence.is_draining() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        } else if response.headers().contains_key(CONNECTION) {
            presence.end();
        }
    }
    response.map(|body| Attended::new(body, presence))
}

/// Takes a place among the requests under way.
async fn pass(
    gate: &Arc<Semaphore>,
    wait: Duration,
    presence: &mut Presence,
) -> Result<(), Problem> {
    let place = match Arc::clone(gate).try_acquire_owned() {
        Ok(place) => Ok(place),
        Err(_) => match timeout(wait, Arc::clone(gate).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Problem::Overloaded),
        },
    };
    presence.place = Some(place?);
    Ok(())
}

async fn answer<S: Site>(
    host: &Host<S>,
    client: IpAddr,
    request: Request<Incoming>,
) -> Response<S::Body> {
    let (parts, incoming) = request.into_parts();
    let is_http2 = parts.version == Version::HTTP_2;
    let has_to_be_asked = parts.headers.contains_key(EXPECT);
    let (body, told) = ClientBody::new(incoming, host.limits.body);
    // In one place: a future that is moved is there twice, and this is a large one.
    let mut answering = pin!(host.site.answer(client, Request::from_parts(parts, body)));
    let Some(mut told) = told else { return answering.await };
    let mut left = None;
    let response = loop {
        tokio::select! {
            biased;
            Ok(news) = &mut told, if left.is_none() => match news {
                News::Stalled => return last(S::whole(host.site.refuse(Problem::RequestTimeout))),
                News::Left(rest) => left = Some(rest),
            },
            response = answering.as_mut() => break response,
        }
    };
    if left.is_none()
        && let Ok(News::Left(rest)) = told.try_recv()
    {
        left = Some(rest);
    }
    // HTTP/2 ends the request alone. Who waits to be asked for a body is not asked for one in vain.
    let goes_on = match left.filter(|_| !is_http2) {
        Some(rest) => !has_to_be_asked && drained(rest).await,
        None => true,
    };
    if goes_on { response } else { last(response) }
}

/// Reads the rest of a body that nobody wants, and whether that was done: the connection can go on then.
/// Otherwise it has to end, and the client is to know before it sends another request on it.
async fn drained(mut rest: Source) -> bool {
    let mut left = LEFT_MAX;
    if rest.size_hint().lower() > left {
        return false;
    }
    let draining = async {
        while let Some(frame) = rest.frame().await {
            let Ok(frame) = frame else { return false };
            let count = frame.data_ref().map_or(0, |data| data.len());
            let Some(less) = left.checked_sub(u64::try_from(count).unwrap_or(u64::MAX)) else {
                return false;
            };
            left = less;
        }
        true
    };
    timeout(LEFT_TIME, draining).await.unwrap_or(false)
}

/// The same answer, behind which the connection is closed.
pub(crate) fn last<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
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
