//! What an upstream does when it is asked: the same script serves over sockets and in memory.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::message::Headers;

/// No wait of a test is longer; a net for what would hang, never a way to be in time.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A request as an upstream received it.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The method.
    pub method: String,
    /// The request target, byte by byte.
    pub target: String,
    /// The header lines in their order.
    pub headers: Headers,
    /// The body so far, without its framing.
    pub body: Vec<u8>,
    /// Whether the body came in chunks.
    pub chunked: bool,
    /// Whether the body was there to its end.
    pub complete: bool,
    /// Whether the other side went away before it had its answer.
    pub gone: bool,
    /// Whether the connection was closed from here behind the answer.
    pub closed: bool,
}

impl Received {
    /// The one value of a header, or nothing.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.one(name)
    }
}

/// Decides by the request what to do.
#[derive(Clone)]
pub struct Script(Arc<dyn Fn(&Received) -> Act + Send + Sync>);

impl Script {
    /// Does what `act` says.
    pub fn new(act: impl Fn(&Received) -> Act + Send + Sync + 'static) -> Self {
        Self(Arc::new(act))
    }

    /// What to do about this request.
    pub fn act(&self, request: &Received) -> Act {
        (self.0)(request)
    }
}

impl From<Reply> for Script {
    fn from(reply: Reply) -> Self {
        Self::new(move |_| Act::Answer(reply.clone()))
    }
}

impl From<Act> for Script {
    fn from(act: Act) -> Self {
        Self::new(move |_| act.clone())
    }
}

/// What is done about one request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answer it.
    Answer(Reply),
    /// Close the connection without a word.
    Close,
    /// Say nothing and keep the connection until the other side goes away.
    Silence,
    /// Send bytes that are not HTTP, then close.
    Garbage(Vec<u8>),
}

/// A response.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The header lines; the framing is added.
    pub headers: Headers,
    /// The body.
    pub body: ReplyBody,
    /// Whether the connection is closed behind it, without a word about it before.
    pub closing: bool,
}

/// The body of a response.
#[derive(Clone, Debug)]
pub enum ReplyBody {
    /// None, and no framing either: for statuses that have no body.
    None,
    /// Without framing, until the connection is closed.
    UntilClose(Vec<u8>),
    /// With `Content-Length`.
    Whole(Vec<u8>),
    /// In chunks.
    Pieces(Vec<Piece>),
}

/// One step of a body that is sent in chunks.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Send a chunk.
    Send(Vec<u8>),
    /// Wait until the test opens the gate.
    Wait(Gate),
    /// Wait until the other side goes away.
    WaitUntilGone,
    /// Send this chunk again and again until the other side goes away.
    RepeatUntilGone(Vec<u8>),
    /// Close the connection without an end of the body.
    Cut,
}

impl Reply {
    /// A status and no body.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Headers::default(), body: ReplyBody::None, closing: false }
    }

    /// 200 with a body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).body(body)
    }

    /// Adds a header line.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Closes the connection behind it, as one does that was idle for too long.
    pub fn then_close(mut self) -> Self {
        self.closing = true;
        self
    }

    /// Gives it a body with `Content-Length`.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = ReplyBody::Whole(body.into());
        self
    }

    /// Gives it a body that ends with the connection.
    pub fn until_close(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = ReplyBody::UntilClose(body.into());
        self
    }

    /// Gives it a body in chunks.
    pub fn pieces(mut self, pieces: impl Into<Vec<Piece>>) -> Self {
        self.body = ReplyBody::Pieces(pieces.into());
        self
    }
}

/// A gate that a test opens once, for an upstream that waits in front of it.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Lets everyone through from now on.
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open; whether it was, in time.
    pub fn wait(&self) -> bool {
        let shut = self.0.0.lock().unwrap();
        *self.0.1.wait_timeout_while(shut, DEADLINE, |open| !*open).unwrap().0
    }
}
