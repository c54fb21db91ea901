//! Scripted upstreams that remember what they received.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::http::{Framing, Head, Reader, write_chunk, write_head};
use crate::script::{Act, DEADLINE, Piece, Received, Reply, ReplyBody, Script};

/// An upstream: an address, a script, and the record of what came.
#[derive(Debug)]
pub struct Origin {
    authority: String,
    record: Arc<Record>,
    _holds: Holds,
}

/// What stands behind an address until the origin is dropped.
#[derive(Debug)]
enum Holds {
    Nothing,
    Server(#[expect(dead_code, reason = "kept to be dropped")] Server),
    Socket(#[expect(dead_code, reason = "kept to be dropped")] Socket),
}

/// What an upstream received, and those who wait for it.
#[derive(Default, Debug)]
pub struct Record {
    requests: Mutex<Vec<Received>>,
    changed: Condvar,
}

/// How a connection is set up before HTTP is spoken on it.
pub type Welcome<S> = fn(TcpStream) -> io::Result<S>;

impl Origin {
    /// One on a socket of its own.
    pub fn on_loopback(script: Script) -> Self {
        Self::listening(script, Ok)
    }

    /// One on a socket, with a layer such as TLS between TCP and HTTP.
    pub fn listening<S: Read + Write + 'static>(
        script: Script,
        welcome: impl Fn(TcpStream) -> io::Result<S> + Send + Sync + 'static,
    ) -> Self {
        let record = Arc::new(Record::default());
        let server = Server::start(script, Arc::clone(&record), Arc::new(welcome));
        Self { authority: server.address.to_string(), record, _holds: Holds::Server(server) }
    }

    /// One that only memory knows, at an address made up.
    pub fn in_memory(authority: String) -> Self {
        Self { authority, record: Arc::default(), _holds: Holds::Nothing }
    }

    /// One that refuses connections: its port is taken, and nobody listens there.
    pub fn refusing() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let _holds = Holds::Socket(socket);
        Self { authority: address.to_string(), record: Arc::default(), _holds }
    }

    /// The same one under another name, which a target is told to look up here.
    pub fn named(self, authority: &str) -> Self {
        Self { authority: authority.to_owned(), ..self }
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.authority.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Where what it receives is written down.
    pub fn record(&self) -> Arc<Record> {
        Arc::clone(&self.record)
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Received> {
        self.record.requests.lock().unwrap().clone()
    }

    /// How many requests came so far.
    pub fn count(&self) -> usize {
        self.record.requests.lock().unwrap().len()
    }

    /// The only request so far; none or another one is a failure.
    pub fn only_request(&self) -> Received {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    /// Waits until what was received is as it should be.
    pub fn wait_until(&self, what: &str, holds: impl Fn(&[Received]) -> bool) {
        let requests = self.record.requests.lock().unwrap();
        let changed = &self.record.changed;
        let wait = changed.wait_timeout_while(requests, DEADLINE, |requests| !holds(requests));
        let (requests, waited) = wait.unwrap();
        assert!(!waited.timed_out(), "waited for: {what}; received: {requests:?}");
    }
}

impl Record {
    /// Writes a new request down; returns its number.
    pub fn begin(&self, request: Received) -> usize {
        let mut requests = self.requests.lock().unwrap();
        requests.push(request);
        self.changed.notify_all();
        requests.len() - 1
    }

    /// Changes what is written about a request, and returns it.
    pub fn update(&self, number: usize, change: impl FnOnce(&mut Received)) -> Received {
        let mut requests = self.requests.lock().unwrap();
        change(&mut requests[number]);
        self.changed.notify_all();
        requests[number].clone()
    }
}

/// Accepts connections until it is dropped.
#[derive(Debug)]
struct Server {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Server {
    fn start<S: Read + Write + 'static>(
        script: Script,
        record: Arc<Record>,
        welcome: Arc<dyn Fn(TcpStream) -> io::Result<S> + Send + Sync>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().unwrap();
        let (stopping, open) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let server = Self { address, stopping: Arc::clone(&stopping), open: Arc::clone(&open) };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopping.load(Ordering::SeqCst) {
                    break;
                }
                stream.set_nodelay(true).unwrap();
                open.lock().unwrap().push(stream.try_clone().unwrap());
                let (script, record, welcome) =
                    (script.clone(), Arc::clone(&record), Arc::clone(&welcome));
                thread::spawn(move || {
                    let socket = stream.try_clone().unwrap();
                    // A client that breaks off is part of a scenario, not a failure of the origin.
                    let ended =
                        welcome(stream).and_then(|stream| converse(stream, &script, &record));
                    drop(socket.shutdown(Shutdown::Both));
                    if let Ok(Some(number)) = ended {
                        record.update(number, |request| request.closed = true);
                    }
                });
            }
        });
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts; if it is gone already, so is the need.
        drop(TcpStream::connect(self.address));
        for stream in self.open.lock().unwrap().iter() {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

/// Serves one connection; returns the request behind whose answer it is to be closed.
fn converse<S: Read + Write>(
    stream: S,
    script: &Script,
    record: &Record,
) -> io::Result<Option<usize>> {
    let mut reader = Reader::new(stream);
    while let Some(head) = reader.head()? {
        let framing = head.framing(Framing::None);
        let number = record.begin(received(&head, framing));
        reader.body(framing, |piece| {
            record.update(number, |request| request.body.extend_from_slice(piece));
        })?;
        let request = record.update(number, |request| request.complete = true);
        let sent = match script.act(&request) {
            Act::Answer(reply) => answer(&mut reader, &reply, request.method == "HEAD"),
            Act::Close => Ok(Then::Close),
            Act::Garbage(bytes) => reader.stream().write_all(&bytes).map(|()| Then::Close),
            Act::Silence => Err(reader.wait_for_end()),
        };
        match sent {
            Ok(Then::Continue) => {}
            Ok(Then::Close) => return Ok(Some(number)),
            Err(error) => {
                record.update(number, |request| request.gone = true);
                return Err(error);
            }
        }
    }
    Ok(None)
}

/// What becomes of a connection after a response.
enum Then {
    Continue,
    Close,
}

fn received(head: &Head, framing: Framing) -> Received {
    let words = head.words();
    Received {
        method: words[0].clone(),
        target: words[1].clone(),
        headers: head.headers.clone(),
        chunked: framing == Framing::Chunked,
        ..Received::default()
    }
}

/// Sends a response; an error means that the other side went away.
fn answer<S: Read + Write>(
    reader: &mut Reader<S>,
    reply: &Reply,
    is_head: bool,
) -> io::Result<Then> {
    let mut headers = reply.headers.clone();
    match &reply.body {
        ReplyBody::None | ReplyBody::UntilClose(_) => {}
        ReplyBody::Whole(body) => headers.push("Content-Length", body.len().to_string()),
        ReplyBody::Pieces(_) => headers.push("Transfer-Encoding", "chunked"),
    }
    let start = format!("HTTP/1.1 {} Scripted", reply.status);
    write_head(reader.stream(), start.as_bytes(), &headers)?;
    match &reply.body {
        _ if is_head => Ok(Then::Continue),
        ReplyBody::None => Ok(Then::Continue),
        ReplyBody::Whole(body) => {
            reader.stream().write_all(body)?;
            let then = if reply.closing { Then::Close } else { Then::Continue };
            reader.stream().flush().map(|()| then)
        }
        ReplyBody::UntilClose(body) => {
            reader.stream().write_all(body)?;
            reader.stream().flush().map(|()| Then::Close)
        }
        ReplyBody::Pieces(pieces) => send_pieces(reader, pieces),
    }
}

fn send_pieces<S: Read + Write>(reader: &mut Reader<S>, pieces: &[Piece]) -> io::Result<Then> {
    for piece in pieces {
        match piece {
            Piece::Send(bytes) => write_chunk(reader.stream(), bytes)?,
            Piece::Wait(gate) if gate.wait() => {}
            Piece::Wait(_) | Piece::Cut => return Ok(Then::Close),
            Piece::WaitUntilGone => return Err(reader.wait_for_end()),
            Piece::RepeatUntilGone(bytes) => loop {
                write_chunk(reader.stream(), bytes)?;
            },
        }
    }
    write_chunk(reader.stream(), b"").map(|()| Then::Continue)
}
