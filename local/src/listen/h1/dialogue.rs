//! Requests and answers in turn, until one side ends it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use hyper::body::Body as _;
use splitway_core::problem::Problem;
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::answering::attend;
use super::super::attendance::{Attendance, Presence};
use super::super::body::{Attended, Source};
use super::super::conversation::{Edited as _, Host, Site};
use super::head::{self, Bounds, Follows, Head, Manner};
use super::intake::Intake;
use super::later::Later;
use super::reply::{Body, Reply};
use super::wire::{Ends, Flushed, Wire};
use crate::h1::field::has_word;
use crate::h1::may_end;
use crate::reply::{Handover, Tunnel};
use crate::spare;

/// So much is gathered of an answer before it is written.
const GATHERED_MAX: usize = 64 * 1024;

/// How a dialogue ended.
#[derive(Debug)]
pub(in crate::listen) enum Ending {
    /// One of both sides ended it, and all that was to be said is.
    Closed,
    /// In the middle.
    Cut,
    /// What came is no request that can be answered, for this reason.
    Refused(Problem),
    /// It is another protocol from here on.
    Switched(Box<Tunnel>),
}

/// A connection with a client.
pub(in crate::listen) struct Dialogue<'d, T, S> {
    pub(in crate::listen) wire: &'d Rc<Wire<T>>,
    pub(in crate::listen) host: &'d Host<S>,
    pub(in crate::listen) later: &'d Later,
    pub(in crate::listen) client: IpAddr,
    pub(in crate::listen) attendance: &'d Arc<Attendance>,
}

/// What is handed to whoever answers, and what is handed back. Both stay where they are until they are used:
/// they are large.
struct Desk<S: Site> {
    asked: Option<(Presence, Box<Parts>, Source)>,
    answered: Option<Response<Attended<S::Body>>>,
}

/// A desk that is used by one task. Nobody keeps it for himself while somebody else could want it.
type Papers<S> = RefCell<Desk<S>>;

impl<T, S> Dialogue<'_, T, S>
where
    T: AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static,
    S: Site,
{
    /// Goes on until one side ends it.
    pub(in crate::listen) async fn go_on(self) -> Ending {
        let ending = self.take_turns().await;
        if let Ending::Closed | Ending::Refused(_) = ending {
            // The last answer may be among those that are written later.
            let _is_written = self.wire.flush_all().await;
        }
        ending
    }

    async fn take_turns(&self) -> Ending {
        let papers = &RefCell::new(Desk { asked: None, answered: None });
        // What answers a request is a future of some kilobytes, and to make one for each is to move all of it.
        let mut clerk = pin!(self.clerk(papers));
        loop {
            let manner = match poll_fn(|context| self.poll_asked(papers, context)).await {
                Ok(Some(manner)) => manner,
                Ok(None) => return Ending::Closed,
                Err(problem) => return Ending::Refused(problem),
            };
            let answered = poll_fn(|context| self.poll_answered(clerk.as_mut(), papers, context));
            if answered.await.is_err() {
                return Ending::Cut;
            }
            match self.deliver(papers, manner).await {
                // A body may still be on its way to a node that has answered.
                Ok(Next::Request) => {
                    if !poll_fn(|context| self.wire.with(|ends| ends.poll_taken(context))).await {
                        return Ending::Closed;
                    }
                }
                Ok(Next::Nothing) => return Ending::Closed,
                Ok(Next::Tunnel(tunnel)) => return Ending::Switched(tunnel),
                Err(Broken) => return Ending::Cut,
            }
        }
    }

    /// Answers one request after the other for ever.
    async fn clerk(&self, papers: &Papers<S>) -> Infallible {
        loop {
            // Nobody is woken for it: who brings one polls.
            let next = poll_fn(|_| match papers.borrow_mut().asked.take() {
                Some(asked) => Poll::Ready(asked),
                None => Poll::Pending,
            });
            let (presence, parts, body) = next.await;
            let response = attend(self.host, self.client, presence, parts, body).await;
            papers.borrow_mut().answered = Some(response);
        }
    }

    /// Takes the next request, if another comes.
    fn poll_asked(
        &self,
        papers: &Papers<S>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Manner>, Problem>> {
        let limits = &self.host.limits;
        let bytes = usize::try_from(limits.header_bytes).unwrap_or(usize::MAX);
        let bounds = Bounds { bytes, headers: limits.headers };
        self.wire.reclaim();
        let head = match ready!(self.wire.with(|ends| self.poll_head(ends, bounds, context))?) {
            Some(head) => head,
            None => return Poll::Ready(Ok(None)),
        };
        let Head { parts, follows, manner } = head;
        let body = self.body(follows, manner);
        papers.borrow_mut().asked = Some((self.attendance.enter(), parts, body));
        Poll::Ready(Ok(Some(manner)))
    }

    /// The head of the next request.
    fn poll_head(
        &self,
        ends: &mut Ends<T>,
        bounds: Bounds,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Head>, Problem>> {
        // A client that takes no answers has no other requests read.
        if ready!(ends.poll_rest(context)).is_err() {
            return Poll::Ready(Ok(None));
        }
        loop {
            let is_worth_it = may_end(&ends.read, ends.seen) || ends.read.len() > bounds.bytes;
            if is_worth_it && let Some(head) = head::parse(&mut ends.read, bounds)? {
                ends.seen = 0;
                return Poll::Ready(Ok(Some(head)));
            }
            ends.seen = ends.read.len();
            if ends.is_ended || self.attendance.is_leaving() {
                return Poll::Ready(Ok(None));
            }
            if !ends.read.is_empty() {
                self.attendance.read();
            }
            // The end is seen above.
            let _has_more = ready!(ends.poll_fill(context));
        }
    }

    /// The body of a request. Most are there already, and then there is nothing to wait for.
    fn body(&self, follows: Follows, manner: Manner) -> Source {
        let length = match follows {
            Follows::Length(length) => usize::try_from(length).ok(),
            Follows::Chunks => None,
        };
        let whole = self.wire.with(|ends| {
            if let Some(length) = length.filter(|length| *length <= ends.read.len()) {
                ends.intake = Intake::Done;
                return Some(ends.read.split_to(length).freeze());
            }
            ends.intake = follows.into();
            ends.expects = manner.expects;
            None
        });
        whole.map_or_else(|| Source::Streamed(self.wire.share()), Source::Whole)
    }

    /// Ready when there is an answer, or the client has gone.
    fn poll_answered(
        &self,
        clerk: Pin<&mut impl Future<Output = Infallible>>,
        papers: &Papers<S>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        // It never ends.
        if let Poll::Ready(never) = clerk.poll(context) {
            match never {}
        }
        if papers.borrow().answered.is_some() {
            return Poll::Ready(Ok(()));
        }
        let is_gone = self.wire.with(|ends| {
            // That of an answer before this one.
            let _is_written = ends.poll_rest(context);
            // Nobody comes to write it later where the dialogue ends.
            ends.poll_gone(context) && ends.poll_flush(context).is_ready()
        });
        if is_gone { Poll::Ready(Err(Broken)) } else { Poll::Pending }
    }

    /// Writes the answer, and returns what follows it.
    async fn deliver(&self, papers: &Papers<S>, manner: Manner) -> Result<Next, Broken> {
        let Some(response) = papers.borrow_mut().answered.take() else { return Err(Broken) };
        let (mut parts, mut body) = response.into_parts();
        let edits = body.edits();
        let is_switch = parts.status == StatusCode::SWITCHING_PROTOCOLS;
        let tunnel = match is_switch {
            true => parts.extensions.remove::<Handover>().and_then(|handover| handover.take()),
            false => None,
        };
        let mut is_last = !is_switch && (!manner.is_kept || says_close(&parts.headers));
        let reply = Reply { parts: &parts, edits: edits.as_ref(), size: body.size_hint() };
        let mut framed = self.wire.with(|ends| {
            ends.expects = false;
            // Nothing behind a body that broke off is a request.
            is_last |= !ends.intake.is_open() && !ends.intake.is_done();
            reply.write(ends.out.bytes(), manner, is_last)
        });
        spare::put(parts.headers);
        drop(edits);
        let is_last = is_last || framed.is_rest();
        let mut body = pin!(Some(body));
        if manner.is_head {
            body.set(None);
        }
        let can_wait = !is_last && !is_switch;
        let deliver = |context: &mut Context<'_>| {
            self.poll_deliver(body.as_mut(), &mut framed, can_wait, context)
        };
        poll_fn(deliver).await?;
        self.attendance.flush();
        Ok(match tunnel {
            Some(tunnel) => Next::Tunnel(Box::new(tunnel)),
            None if is_last || is_switch => Next::Nothing,
            None => Next::Request,
        })
    }

    /// Writes what there is of an answer; an error if it cannot be all.
    fn poll_deliver(
        &self,
        mut body: Pin<&mut Option<Attended<S::Body>>>,
        framed: &mut Body,
        can_wait: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        loop {
            let gathered = self.gather(body.as_mut(), framed, context);
            if can_wait && matches!(gathered, Gathered::All) && self.writes_later(context) {
                return Poll::Ready(Ok(()));
            }
            let is_written = self.wire.with(|ends| ends.poll_flush(context));
            let is_written = is_written.map_err(|_| Broken)?;
            match gathered {
                Gathered::All => return is_written.map(Ok),
                Gathered::Full => ready!(is_written),
                Gathered::Some => match self.wire.with(|ends| ends.poll_gone(context)) {
                    true => return Poll::Ready(Err(Broken)),
                    false => return Poll::Pending,
                },
                // What came before it is written.
                Gathered::Broken => return is_written.map(|()| Err(Broken)),
            }
        }
    }

    /// Whether a whole answer is written with those of other connections.
    fn writes_later(&self, context: &mut Context<'_>) -> bool {
        match self.wire.with(|ends| ends.wait_to_flush(context)) {
            Flushed::Not => return false,
            Flushed::Later => self.later.flush(Rc::<Wire<T>>::clone(self.wire)),
            Flushed::LaterAnyway => {}
        }
        true
    }

    /// Takes of the body what is there. It is dropped at its end: it tells when it is through.
    fn gather(
        &self,
        mut body: Pin<&mut Option<Attended<S::Body>>>,
        framed: &mut Body,
        context: &mut Context<'_>,
    ) -> Gathered {
        while let Some(open) = body.as_mut().as_pin_mut() {
            let (unwritten, has_piece) =
                self.wire.with(|ends| (ends.out.unwritten(), ends.out.has_piece()));
            if unwritten >= GATHERED_MAX || (has_piece && !open.is_end_stream()) {
                return Gathered::Full;
            }
            let is_over = framed.is_over() && open.is_end_stream();
            let piece = match if is_over { Poll::Ready(None) } else { open.poll_frame(context) } {
                Poll::Ready(piece) => piece.transpose(),
                Poll::Pending => return Gathered::Some,
            };
            let is_last = !matches!(piece, Ok(Some(_)));
            self.wire.with(|ends| match piece {
                Ok(Some(frame)) => framed.piece(&mut ends.out, frame),
                Ok(None) => framed.finish(ends.out.bytes()),
                Err(_) => framed.cut(),
            });
            if is_last || framed.is_cut() {
                body.set(None);
            }
        }
        if framed.is_cut() { Gathered::Broken } else { Gathered::All }
    }
}

/// What follows an answer.
enum Next {
    Request,
    Nothing,
    Tunnel(Box<Tunnel>),
}

/// How much of a body was taken.
enum Gathered {
    All,
    /// As much as is there.
    Some,
    /// As much as is written at once.
    Full,
    /// As much as there is of one that is not whole.
    Broken,
}

/// An answer that the client does not have in whole.
struct Broken;

/// Whether an answer says that it is the last.
fn says_close(headers: &HeaderMap) -> bool {
    headers.get_all(CONNECTION).iter().any(|words| has_word(words.as_bytes(), b"close"))
}
