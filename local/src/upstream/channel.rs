//! One connection that speaks HTTP/2: many requests at once, driven by a task of its own.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use splitway_core::problem::Failure;

use super::{Unsent, Upload};
use crate::connect::Stream;
use crate::failure;

/// After how long a node that says nothing at all to a request that is then given up may be gone.
const SILENCE: Duration = Duration::from_secs(1);

/// What a node may send of one response ahead of being read, and of all on a connection: so many that slow
/// clients do not keep the others waiting.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;

/// A connection that takes many requests at once. The connection ends with the last clone and the last
/// request.
#[derive(Clone)]
pub(crate) struct Channel {
    sender: SendRequest<Upload>,
    pub(super) vital: Arc<Vital>,
}

/// What is to be known of a connection.
#[derive(Debug, Default)]
pub(super) struct Vital {
    /// How many requests are under way.
    streams: AtomicUsize,
    /// How many the node takes at once.
    streams_max: AtomicUsize,
    /// How many requests it has taken.
    uses: AtomicU64,
    /// How often it was heard of.
    heard: Arc<AtomicU64>,
    /// Whether the node may be gone without a word.
    is_suspect: AtomicBool,
}

impl Channel {
    pub(super) async fn open(mut stream: Stream) -> Result<Self, Failure> {
        let vital = Arc::new(Vital::default());
        stream.count(Arc::clone(&vital.heard));
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let opened = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|error| failure::name(&error))?;
        vital.streams_max.store(connection.current_max_send_streams(), Ordering::Relaxed);
        let told = Arc::clone(&vital);
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            poll_fn(move |context| {
                let polled = connection.as_mut().poll(context);
                told.streams_max.store(connection.current_max_send_streams(), Ordering::Relaxed);
                // How it ended, the requests on it are told.
                polled.map(drop)
            })
            .await;
        });
        Ok(Self { sender, vital })
    }

    /// Sends a request, until the head of its response is there. The [`Lease`] is to be kept until the
    /// response is at its end.
    pub(super) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<(Response<Incoming>, Lease), Unsent> {
        let lease = Lease::take(&self.vital);
        let watch = Watch::begin(&self.vital);
        let response = self.sender.try_send_request(request).await;
        watch.end();
        Ok((response.map_err(Unsent::of)?, lease))
    }

    /// Whether it takes another request now.
    pub(super) fn has_room(&self) -> bool {
        self.vital.streams.load(Ordering::Relaxed) < self.vital.streams_max.load(Ordering::Relaxed)
    }

    /// Whether it is to be let go: closed, or worn out, or silent.
    pub(super) fn is_done(&self, uses_max: u64) -> bool {
        self.sender.is_closed()
            || self.vital.is_suspect.load(Ordering::Relaxed)
            || self.uses() >= uses_max
    }

    /// How many requests it has taken.
    pub(super) fn uses(&self) -> u64 {
        self.vital.uses.load(Ordering::Relaxed)
    }

    /// Whether no request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.vital.streams.load(Ordering::Relaxed) == 0
    }

    /// Whether both are the same connection.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.vital, &other.vital)
    }
}

/// One request on a [`Channel`].
#[derive(Debug)]
pub(crate) struct Lease(Arc<Vital>);

impl Lease {
    fn take(vital: &Arc<Vital>) -> Self {
        vital.streams.fetch_add(1, Ordering::Relaxed);
        vital.uses.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(vital))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Looks whether anything is heard while a request waits for its response. Where that is given up in
/// silence, the next request gets another connection: to find out by PING is what servers of gRPC take
/// for an attack.
struct Watch<'v> {
    vital: &'v Vital,
    heard: u64,
    since: Instant,
}

impl<'v> Watch<'v> {
    fn begin(vital: &'v Vital) -> Self {
        let heard = vital.heard.load(Ordering::Relaxed);
        Self { vital, heard, since: Instant::now() }
    }

    /// It was not given up.
    fn end(self) {
        std::mem::forget(self);
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let is_silent = self.vital.heard.load(Ordering::Relaxed) == self.heard;
        if is_silent && self.since.elapsed() >= SILENCE {
            self.vital.is_suspect.store(true, Ordering::Relaxed);
        }
    }
}
