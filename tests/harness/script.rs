//! What an upstream does when it is asked, faults included: the same script serves over sockets and
//! in memory. [`plan`](crate::plan) says which bytes that are.

use std::sync::atomic::{AtomicUsize, Ordering};
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
    /// Whether the other side went away before it had its answer, or had sent its request.
    pub gone: bool,
    /// Whether the connection was closed from here behind the answer.
    pub closed: bool,
    /// How many requests came before it on its connection.
    pub earlier_count: usize,
}

impl Received {
    /// The one value of a header, or nothing.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.one(name)
    }
}

/// Decides by the connection and by the request what to do.
#[derive(Clone)]
pub struct Script {
    door: Arc<dyn Fn(usize) -> Door + Send + Sync>,
    act: Arc<dyn Fn(&Received) -> Act + Send + Sync>,
    /// Whether it acts as soon as the head of a request is there.
    pub is_early: bool,
}

impl Script {
    /// Does what `act` says.
    pub fn new(act: impl Fn(&Received) -> Act + Send + Sync + 'static) -> Self {
        Self { door: Arc::new(|_| Door::Open), act: Arc::new(act), is_early: false }
    }

    /// Does one after the other about the first requests, and `then` about all others.
    pub fn in_turn(first: impl Into<Vec<Act>>, then: impl Into<Act>) -> Self {
        let (first, then, count) = (first.into(), then.into(), AtomicUsize::new(0));
        Self::new(move |_| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            first.get(number).unwrap_or(&then).clone()
        })
    }

    /// Answers the first requests with these statuses, and all others with 200.
    pub fn statuses(first: &[u16]) -> Self {
        let first = first.iter().map(|status| Reply::status(*status).body("").into());
        Self::in_turn(first.collect::<Vec<_>>(), Reply::ok(""))
    }

    /// Does about the connection of each number, from 0, what `door` says.
    pub fn behind(mut self, door: impl Fn(usize) -> Door + Send + Sync + 'static) -> Self {
        self.door = Arc::new(door);
        self
    }

    /// Acts before it has read the body of a request.
    pub fn early(mut self) -> Self {
        self.is_early = true;
        self
    }

    /// What to do about this request.
    pub fn act(&self, request: &Received) -> Act {
        (self.act)(request)
    }

    /// What to do about the connection of this number.
    pub fn door(&self, number: usize) -> Door {
        (self.door)(number)
    }
}

impl From<Reply> for Script {
    fn from(reply: Reply) -> Self {
        Act::from(reply).into()
    }
}

impl From<Act> for Script {
    fn from(act: Act) -> Self {
        Self::new(move |_| act.clone())
    }
}

impl From<Door> for Script {
    fn from(door: Door) -> Self {
        Self::from(Reply::ok("")).behind(move |_| door)
    }
}

/// What is done about a connection before any request is read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Requests are read from it.
    Open,
    /// It is closed at once.
    Closed,
    /// It is reset once so many bytes of requests were read; with 0, at once.
    ResetAfter(usize),
}

/// What is done about one request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answer it.
    Answer(Reply),
    /// Close the connection without a word.
    Close,
    /// Reset the connection without a word.
    Reset,
    /// Say nothing and keep the connection until the other side goes away.
    Silence,
    /// Send bytes that are not HTTP, then close.
    Garbage(Vec<u8>),
    /// Wait so long before doing it.
    Late(Duration, Box<Self>),
}

impl Act {
    /// The same, so much later.
    pub fn late(self, by: Duration) -> Self {
        Self::Late(by, Box::new(self))
    }
}

impl From<Reply> for Act {
    fn from(reply: Reply) -> Self {
        Self::Answer(reply)
    }
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
    /// The heads of interim responses before it.
    pub interim: Vec<(u16, Headers)>,
    /// How long to wait before each byte.
    pub drip: Option<Duration>,
    /// How the connection ends after so many bytes of it, framing included.
    pub broken_off: Option<(usize, End)>,
}

/// How a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is closed.
    Close,
    /// It is reset.
    Reset,
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
    /// None: the protocol is WebSocket from then on, and every frame is sent back.
    EchoedFrames,
    /// As it is: what frames it, or does not, stands among the header lines.
    Raw(Vec<u8>),
}

/// One step of a body that is sent in chunks.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Send a chunk.
    Send(Vec<u8>),
    /// Send bytes that need not be a chunk.
    Raw(Vec<u8>),
    /// Wait until the test opens the gate.
    Wait(Gate),
    /// Wait so long.
    Pause(Duration),
    /// Wait until the other side goes away.
    WaitUntilGone,
    /// Send this chunk again and again until the other side goes away.
    RepeatUntilGone(Vec<u8>),
    /// Close the connection without an end of the body.
    Cut,
    /// Reset the connection.
    Reset,
}

impl Reply {
    /// A status and no body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Headers::default(),
            body: ReplyBody::None,
            closing: false,
            interim: Vec::new(),
            drip: None,
            broken_off: None,
        }
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

    /// Gives it a body without a framing of its own.
    pub fn raw(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = ReplyBody::Raw(body.into());
        self
    }

    /// Sends back every frame of WebSocket behind it.
    pub fn echoing_frames(mut self) -> Self {
        self.body = ReplyBody::EchoedFrames;
        self
    }

    /// Sends an interim response before it, with one header line.
    pub fn after(mut self, status: u16, name: &str, value: &str) -> Self {
        let mut headers = Headers::default();
        headers.push(name, value);
        self.interim.push((status, headers));
        self
    }

    /// Sends it byte by byte, and waits so long before each.
    pub fn drip(mut self, each: Duration) -> Self {
        self.drip = Some(each);
        self
    }

    /// Closes the connection after so many bytes of it, framing included.
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.broken_off = Some((bytes, End::Close));
        self
    }

    /// Resets the connection after so many bytes of it, framing included.
    pub fn reset_after(mut self, bytes: usize) -> Self {
        self.broken_off = Some((bytes, End::Reset));
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
