//! The responses of upstreams in memory: the bytes that a socket would bring, at the time it would.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::future::pending;

use splitway_core::exchange::Relay;
use splitway_core::head::ResponseHead;
use splitway_core::problem::Failure;
use splitway_core::serve::within;
use splitway_tests::http::{Framing, Head, Reader};
use splitway_tests::message::{Answer, Headers};
use splitway_tests::plan::Step;
use splitway_tests::script::End;

use crate::clock::Clock;
use crate::platform::{Leaving, edit, joined};

/// What an upstream is sending.
pub(crate) struct Incoming {
    steps: VecDeque<Step>,
    /// What came and was not read.
    bytes: Vec<u8>,
    leaving: Leaving,
}

/// What came, or that nothing more does.
enum News {
    Bytes,
    End(End),
    /// Nothing more comes, and the connection stays open.
    Silence,
}

/// A response whose head is there.
pub(crate) struct Response {
    status: u16,
    headers: Headers,
    framing: Framing,
    /// Whether it has no body, whatever its head says.
    pub(crate) is_bodiless: bool,
    body: Incoming,
    /// How many bytes of the body were looked at before it is relayed.
    peeked: usize,
}

impl Incoming {
    /// What an upstream sends that takes these steps.
    pub(crate) fn new(steps: Vec<Step>, leaving: Leaving) -> Self {
        Self { steps: steps.into(), bytes: Vec::new(), leaving }
    }

    /// The response, once its head is there; interim ones are read over.
    pub(crate) async fn head(mut self, clock: &Clock) -> Result<Response, Failure> {
        loop {
            while let Some((head, length)) = self.next_head()? {
                self.bytes.drain(..length);
                let status = status(&head).ok_or(Failure::HttpProtocolError)?;
                if (100..200).contains(&status) && status != 101 {
                    continue;
                }
                let framing = framing(&head.headers).ok_or(Failure::HttpProtocolError)?;
                let is_bodiless = matches!(status, 101 | 204 | 304);
                let headers = head.headers;
                let peeked = 0;
                return Ok(Response { status, headers, framing, is_bodiless, body: self, peeked });
            }
            match self.next(clock).await {
                News::Bytes => {}
                News::End(end) => {
                    self.leaving.over(end == End::Close);
                    return Err(Failure::ConnectionTerminated);
                }
                News::Silence => return pending().await,
            }
        }
    }

    /// A head among what came, and how long it is.
    fn next_head(&self) -> Result<Option<(Head, usize)>, Failure> {
        let start = b"HTTP/1.1 ";
        let length = start.len().min(self.bytes.len());
        if self.bytes[..length] != start[..length] {
            return Err(Failure::HttpProtocolError);
        }
        let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let length = end + 4;
        let head = Reader::new(&self.bytes[..length]).head();
        let head = head.map_err(|_| Failure::HttpProtocolError)?;
        Ok(head.map(|head| (head, length)))
    }

    /// Waits for what comes next.
    async fn next(&mut self, clock: &Clock) -> News {
        while let Some(step) = self.steps.pop_front() {
            match step {
                Step::Send(bytes) => {
                    self.bytes.extend(bytes);
                    return News::Bytes;
                }
                // Whoever could open it is the one who waits here.
                Step::Wait(_) => {}
                Step::Pause(duration) => clock.sleep(duration).await,
                Step::WaitUntilGone | Step::RepeatUntilGone(_) | Step::EchoFrames => {
                    return News::Silence;
                }
                Step::End(end) => return News::End(end),
            }
        }
        News::Silence
    }
}

fn status(head: &Head) -> Option<u16> {
    let words = head.words();
    words.get(1).filter(|word| word.len() == 3)?.parse().ok()
}

/// Where the body of a response ends (RFC 9112, section 6.3), unless that cannot be known.
fn framing(headers: &Headers) -> Option<Framing> {
    let codings = headers.all("transfer-encoding");
    if let Some(coding) = codings.first() {
        let is_chunked = codings.len() == 1 && coding.eq_ignore_ascii_case(b"chunked");
        return is_chunked.then_some(Framing::Chunked);
    }
    let lengths = headers.all("content-length").join(b",".as_slice());
    if !headers.has("content-length") {
        return Some(Framing::UntilClose);
    }
    let lengths: Vec<&[u8]> = lengths.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
    let first = lengths.first().filter(|first| lengths.iter().all(|length| length == *first))?;
    let is_number = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    let length = std::str::from_utf8(first).ok()?.parse().ok()?;
    is_number.then_some(Framing::Length(length))
}

impl ResponseHead for Response {
    fn status(&self) -> u16 {
        self.status
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        joined(&self.headers, name)
    }
}

impl Response {
    /// The next piece of the body, which stays in it.
    pub(crate) async fn peek(&mut self, clock: &Clock) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            let (read, is_whole) = read(&self.body.bytes, self.framing);
            if let Some(piece) = read.get(self.peeked..).filter(|piece| !piece.is_empty()) {
                self.peeked = read.len();
                return Ok(Some(piece.to_vec()));
            }
            if self.is_bodiless || is_whole && self.framing != Framing::UntilClose {
                return Ok(None);
            }
            match self.body.next(clock).await {
                News::Bytes => {}
                News::End(End::Close) if self.framing == Framing::UntilClose => return Ok(None),
                News::End(_) => return Err(Failure::ConnectionTerminated),
                News::Silence => pending().await,
            }
        }
    }

    /// What the client has of it in the end.
    pub(crate) async fn relay(self, clock: &Clock, relay: Relay) -> Answer {
        let Relay { edits, tail } = relay;
        let Self { status, mut headers, framing, is_bodiless, mut body, .. } = self;
        edit(&mut headers, &edits);
        if framing != Framing::UntilClose && !is_bodiless {
            headers.remove("content-length");
        }
        if let Framing::Length(length) = framing
            && !is_bodiless
        {
            headers.push("Content-Length", length.to_string());
        }
        if is_bodiless {
            body.leaving.over(false);
            return Answer { status, headers, body: Vec::new(), complete: true };
        }
        loop {
            let (read, is_whole) = read(&body.bytes, framing);
            let is_closing = matches!(body.steps.front(), Some(Step::End(End::Close)));
            if is_whole && framing != Framing::UntilClose {
                body.leaving.over(is_closing);
                return Answer { status, headers, body: read, complete: true };
            }
            let broken = match within(body.next(clock), clock.sleep(tail.idle)).await {
                Some(News::Bytes) => continue,
                Some(News::End(end)) => {
                    body.leaving.over(end == End::Close);
                    let is_whole = framing == Framing::UntilClose && end == End::Close;
                    (!is_whole).then_some(Failure::ConnectionTerminated)
                }
                Some(News::Silence) => {
                    clock.sleep(tail.idle).await;
                    Some(Failure::HttpResponseTimeout)
                }
                None => Some(Failure::HttpResponseTimeout),
            };
            let farewell = broken.and_then(|failure| tail.farewell(failure));
            let complete = broken.is_none() || farewell.is_some();
            let body = [read, farewell.unwrap_or_default().into_bytes()].concat();
            return Answer { status, headers, body, complete };
        }
    }
}

/// What of a body is there, and whether that is all.
fn read(bytes: &[u8], framing: Framing) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    let ended = Reader::new(bytes).body(framing, |piece| body.extend_from_slice(piece));
    (body, ended.is_ok())
}
