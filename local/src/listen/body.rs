//! Bodies on their way through a listener: those of clients, which may not take for ever, and those
//! of answers, which tell when they are through.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use pin_project_lite::pin_project;
use splitway_core::head::Changes;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};

use super::attendance::Presence;
use super::conversation::Edited;
use super::h1::Streamed;

/// Any error, as bodies made of bodies have it. One of hyper stays one of hyper.
type AnyError = Box<dyn Error + Send + Sync>;

/// The body of a client's request. If nothing comes of it for too long, whoever answers is told, who
/// can still say so; if the answer has begun already, the body breaks off.
#[derive(Debug)]
pub(crate) struct ClientBody {
    /// Gone when it is dropped.
    incoming: Option<Source>,
    is_ended: bool,
    /// None where all of it is there: it is moved often, and most bodies are.
    care: Option<Box<Care>>,
}

/// What is kept of a body that comes piece by piece.
#[derive(Debug)]
struct Care {
    coming: Arc<Coming>,
    /// None where there is no limit.
    patience: Option<Patience>,
    /// None when something was told.
    news: Option<oneshot::Sender<News>>,
    /// How many more bytes may come, where there is a limit.
    room: Option<u64>,
}

/// Where the body of a client's request comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// HTTP/1.1, and all of it is there.
    Whole(Bytes),
    /// HTTP/1.1.
    Streamed(Streamed),
    /// HTTP/2.
    Multiplexed(Incoming),
    /// That of an application.
    Foreign(axum::body::Body),
}

impl From<Incoming> for Source {
    fn from(incoming: Incoming) -> Self {
        Self::Multiplexed(incoming)
    }
}

impl From<axum::body::Body> for Source {
    fn from(body: axum::body::Body) -> Self {
        Self::Foreign(body)
    }
}

impl Body for Source {
    type Data = Bytes;
    type Error = AnyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnyError>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Streamed(body) => body.poll(context).map_err(AnyError::from),
            Self::Multiplexed(body) => Pin::new(body).poll_frame(context).map_err(AnyError::from),
            Self::Foreign(body) => {
                Pin::new(body).poll_frame(context).map_err(axum::Error::into_inner)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Streamed(body) => body.is_end_stream(),
            Self::Multiplexed(body) => body.is_end_stream(),
            Self::Foreign(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            Self::Streamed(body) => body.size_hint(),
            Self::Multiplexed(body) => body.size_hint(),
            Self::Foreign(body) => body.size_hint(),
        }
    }
}

/// How far the body of a client has come, for whoever gave it away.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// All of it was there with the head: as many bytes.
    Whole(u64),
    /// It comes piece by piece.
    Coming(Arc<Coming>),
}

impl Progress {
    /// Whether nothing came of it when it was last asked for more, so that it is the client for whom
    /// everybody waits.
    pub(crate) fn is_awaited(&self) -> bool {
        self.is(Coming::AWAITED)
    }

    /// Whether it ended before it was whole.
    pub(crate) fn is_broken(&self) -> bool {
        self.is(Coming::BROKEN)
    }

    /// Whether more came of it than may come.
    pub(crate) fn is_too_long(&self) -> bool {
        self.is(Coming::TOO_LONG)
    }

    /// How many bytes of it have come.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Whole(bytes) => *bytes,
            Self::Coming(coming) => coming.bytes.load(Ordering::Relaxed),
        }
    }

    fn is(&self, state: u8) -> bool {
        match self {
            Self::Whole(_) => false,
            Self::Coming(coming) => coming.state.load(Ordering::Relaxed) == state,
        }
    }
}

/// What is known of a body that comes piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Coming {
    state: AtomicU8,
    bytes: AtomicU64,
}

impl Coming {
    /// All that was asked for is there, or nobody has asked.
    const GIVEN: u8 = 0;
    /// Somebody waits for more of it.
    const AWAITED: u8 = 1;
    /// It broke off.
    const BROKEN: u8 = 2;
    /// More came than may come.
    const TOO_LONG: u8 = 3;

    fn note(&self, polled: &Poll<Option<Result<Frame<Bytes>, AnyError>>>) {
        if let Poll::Ready(Some(Ok(frame))) = polled
            && let Some(bytes) = frame.data_ref()
        {
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.bytes.fetch_add(length, Ordering::Relaxed);
        }
        let state = match polled {
            Poll::Pending => Self::AWAITED,
            Poll::Ready(Some(Err(error))) if error.is::<TooLong>() => Self::TOO_LONG,
            Poll::Ready(Some(Err(_))) => Self::BROKEN,
            Poll::Ready(Some(Ok(_)) | None) => Self::GIVEN,
        };
        self.state.store(state, Ordering::Relaxed);
    }
}

/// What whoever answers is told of a body.
#[derive(Debug)]
pub(crate) enum News {
    /// Nothing comes of it.
    Stalled,
    /// Nobody wants this rest of it.
    Left(Source),
}

#[derive(Debug)]
struct Patience {
    timeout: Duration,
    /// From the first time that nothing is there.
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    /// Whoever answers was told, and drops this.
    is_told: bool,
}

/// The client sends nothing more of a body that has not ended.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("nothing came of the body of the request for too long")]
pub(crate) struct Stalled;

/// More came of a body than may come.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body of the request is longer than it may be")]
pub(crate) struct TooLong;

impl ClientBody {
    /// A body, and where it is told if nothing comes of it for as long as `timeout`, or if it is dropped
    /// before its end.
    pub(crate) fn new(
        incoming: impl Into<Source>,
        timeout: Option<Duration>,
    ) -> (Self, Option<oneshot::Receiver<News>>) {
        let incoming = incoming.into();
        let is_ended = incoming.is_end_stream();
        if is_ended || matches!(incoming, Source::Whole(_)) {
            // Nobody waits for it, and nothing is left to be read of it.
            return (Self { incoming: Some(incoming), is_ended, care: None }, None);
        }
        let (news, told) = oneshot::channel();
        let patience = timeout.map(|timeout| Patience {
            timeout,
            timer: None,
            is_waiting: false,
            is_told: false,
        });
        let care = Care { coming: Arc::default(), patience, news: Some(news), room: None };
        let care = Some(Box::new(care));
        (Self { incoming: Some(incoming), is_ended, care }, Some(told))
    }

    /// The same, which fails where more than `max` bytes come of it. How much that is of one that is there,
    /// its hint says.
    pub(crate) fn limited(self, max: u64) -> Self {
        let mut limited = self;
        if let Some(care) = &mut limited.care {
            care.room = Some(max);
        }
        limited
    }

    /// How far it has come, if anything is to come.
    pub(crate) fn progress(&self) -> Option<Progress> {
        match (&self.care, &self.incoming) {
            (Some(care), _) => Some(Progress::Coming(Arc::clone(&care.coming))),
            (None, Some(whole)) if !self.is_ended => {
                Some(Progress::Whole(whole.size_hint().lower()))
            }
            (None, _) => None,
        }
    }

    /// A piece, if there is room for it. What is not let through is left to come, so that whoever answers
    /// knows of it.
    fn fitting(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, AnyError> {
        let room = self.care.as_mut().and_then(|care| care.room.as_mut());
        if let (Some(room), Some(data)) = (room, frame.data_ref()) {
            let size = u64::try_from(data.len()).unwrap_or(u64::MAX);
            let left = room.checked_sub(size);
            *room = left.unwrap_or(0);
            left.ok_or(TooLong)?;
        }
        Ok(frame)
    }

    /// The next piece of it.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnyError>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(incoming).poll_frame(context) {
            self.is_ended |= !matches!(frame, Some(Ok(_)));
            if let Some(patience) = self.care.as_mut().and_then(|care| care.patience.as_mut()) {
                patience.is_waiting = false;
            }
            return Poll::Ready(frame.map(|frame| frame.and_then(|frame| self.fitting(frame))));
        }
        match self.care.as_deref_mut() {
            Some(Care { patience: Some(patience), news, .. }) => {
                let stalled = patience.poll(context, news);
                stalled.map(|()| Some(Err(AnyError::from(Stalled))))
            }
            Some(_) | None => Poll::Pending,
        }
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        let news = self.care.as_mut().and_then(|care| care.news.take());
        let Some(news) = news else { return };
        match self.incoming.take() {
            // Where the answer has begun already, nobody is there to be told.
            Some(rest) if !self.is_ended && !rest.is_end_stream() => {
                drop(news.send(News::Left(rest)));
            }
            Some(_) | None => {}
        }
    }
}

impl Patience {
    /// Waits for bytes; ready if that took too long and there is nobody to tell it to.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        news: &mut Option<oneshot::Sender<News>>,
    ) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.timeout)));
        if !self.is_waiting {
            self.is_waiting = true;
            timer.as_mut().reset(Instant::now() + self.timeout);
        }
        ready!(timer.as_mut().poll(context));
        if let Some(news) = news.take() {
            self.is_told = news.send(News::Stalled).is_ok();
        }
        if self.is_told { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = AnyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnyError>>> {
        let polled = self.poll(context);
        if let Some(care) = &self.care {
            care.coming.note(&polled);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended || self.incoming.as_ref().is_none_or(Source::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map(Source::size_hint).unwrap_or_default()
    }
}

pin_project! {
    /// The body of an answer, with the request that it answers.
    #[derive(Debug)]
    pub(crate) struct Attended<B> {
        #[pin]
        body: B,
        // Until the body is sent or given up.
        presence: Presence,
    }
}

impl<B> Attended<B> {
    pub(crate) fn new(body: B, presence: Presence) -> Self {
        Self { body, presence }
    }
}

impl<B: Edited> Edited for Attended<B> {
    fn edits(&mut self) -> Option<Changes> {
        self.body.edits()
    }
}

impl<B: Body> Body for Attended<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
