//! Scripted upstreams that remember what they received.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::http::{Framing, Head, Reader};
use crate::line::Line;
use crate::plan::{Step, steps};
use crate::script::{DEADLINE, Door, End, Received, Script};
use crate::websocket;

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
    connections_count: Mutex<usize>,
    changed: Condvar,
}

impl Origin {
    /// One on a socket of its own.
    pub fn on_loopback(script: Script) -> Self {
        Self::listening(script, plain)
    }

    /// One on a socket, with a layer such as TLS between TCP and HTTP.
    pub fn listening<S: Read + Write + 'static>(
        script: Script,
        welcome: impl Fn(Line) -> io::Result<S> + Send + Sync + 'static,
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

    /// How many connections were accepted so far; in memory every attempt has one of its own.
    pub fn connections_count(&self) -> usize {
        *self.record.connections_count.lock().unwrap()
    }

    /// How many requests ended early so far, because the other side went away.
    pub fn gone_count(&self) -> usize {
        self.record.requests.lock().unwrap().iter().filter(|request| request.gone).count()
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
    /// Counts a new connection; returns its number.
    pub fn connect(&self) -> usize {
        let mut count = self.connections_count.lock().unwrap();
        *count += 1;
        *count - 1
    }

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
    open: Arc<Mutex<Vec<Weak<TcpStream>>>>,
}

impl Server {
    fn start<S: Read + Write + 'static>(
        script: Script,
        record: Arc<Record>,
        welcome: Arc<dyn Fn(Line) -> io::Result<S> + Send + Sync>,
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
                let line = Line::new(stream);
                open.lock().unwrap().push(line.watch());
                let (script, record, welcome) =
                    (script.clone(), Arc::clone(&record), Arc::clone(&welcome));
                let number = record.connect();
                thread::spawn(move || {
                    let door = script.door(number);
                    // A client that breaks off is part of a scenario, not a failure of the origin.
                    let ended = enter(&line, door)
                        .and_then(|()| converse(welcome(line.clone())?, &line, &script, &record));
                    line.close();
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
        for stream in self.open.lock().unwrap().iter().filter_map(Weak::upgrade) {
            drop(stream.shutdown(std::net::Shutdown::Both));
        }
    }
}

/// Lets a connection in, or ends it, which is an error.
fn enter(line: &Line, door: Door) -> io::Result<()> {
    let bytes = match door {
        Door::Open => return Ok(()),
        Door::Closed => return Err(ErrorKind::ConnectionAborted.into()),
        Door::ResetAfter(bytes) => bytes,
    };
    line.clone().read_exact(&mut vec![0; bytes])?;
    line.reset();
    Err(ErrorKind::ConnectionReset.into())
}

/// A connection without TLS. Whoever speaks TLS is told so in HTTP, as servers do, and would
/// wait for a line to end in vain otherwise.
fn plain(mut line: Line) -> io::Result<Line> {
    const HANDSHAKE: u8 = 22;
    if line.first_byte()? == Some(HANDSHAKE) {
        line.write_all(b"HTTP/1.1 400 Speak HTTP\r\nContent-Length: 0\r\n\r\n")?;
        line.end_sending();
        io::copy(&mut line, &mut io::sink())?;
        return Err(ErrorKind::InvalidData.into());
    }
    Ok(line)
}

/// Serves one connection; returns the request behind whose answer it is to be closed.
fn converse<S: Read + Write>(
    stream: S,
    line: &Line,
    script: &Script,
    record: &Record,
) -> io::Result<Option<usize>> {
    let mut reader = Reader::new(stream);
    let mut earlier_count = 0;
    while let Some(head) = reader.head()? {
        let framing = head.framing(Framing::None);
        let number = record.begin(Received { earlier_count, ..received(&head, framing) });
        earlier_count += 1;
        let ended = exchange(&mut reader, line, script, &Entry { record, number, framing });
        match ended {
            Ok(None) => {}
            Ok(Some(End::Close)) => return Ok(Some(number)),
            Ok(Some(End::Reset)) => {
                line.reset();
                return Ok(Some(number));
            }
            Err(error) => {
                record.update(number, |request| request.gone = true);
                return Err(error);
            }
        }
    }
    Ok(None)
}

/// Where a request is written down.
struct Entry<'r> {
    record: &'r Record,
    number: usize,
    framing: Framing,
}

impl Entry<'_> {
    /// Reads the body of the request to its end.
    fn read_body<S: Read + Write>(&self, reader: &mut Reader<S>) -> io::Result<Received> {
        reader.body(self.framing, |piece| {
            self.record.update(self.number, |request| request.body.extend_from_slice(piece));
        })?;
        Ok(self.record.update(self.number, |request| request.complete = true))
    }
}

/// Does about one request what the script says; an error means that the other side went away.
fn exchange<S: Read + Write>(
    reader: &mut Reader<S>,
    line: &Line,
    script: &Script,
    entry: &Entry<'_>,
) -> io::Result<Option<End>> {
    if !script.is_early {
        let request = entry.read_body(reader)?;
        return perform(reader, line, steps(&script.act(&request), request.method == "HEAD"));
    }
    let request = entry.record.update(entry.number, |_| ());
    let ended = perform(reader, line, steps(&script.act(&request), request.method == "HEAD"))?;
    match ended {
        Some(End::Reset) => return Ok(ended),
        // What is unread when a connection is closed resets it, and the answer might be lost.
        Some(End::Close) => line.end_sending(),
        None => {}
    }
    entry.read_body(reader).map(|_| ended)
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

/// Takes these steps; returns how the connection is to end, unless it goes on.
fn perform<S: Read + Write>(
    reader: &mut Reader<S>,
    line: &Line,
    steps: Vec<Step>,
) -> io::Result<Option<End>> {
    for step in steps {
        match step {
            Step::Send(bytes) => send(reader, &bytes)?,
            Step::Wait(gate) if gate.wait() => {}
            Step::Wait(_) => return Ok(Some(End::Close)),
            Step::Pause(duration) => line.pause(duration)?,
            Step::WaitUntilGone => return Err(reader.wait_for_end()),
            Step::RepeatUntilGone(bytes) => loop {
                send(reader, &bytes)?;
            },
            Step::EchoFrames => {
                websocket::echo(reader)?;
                return Ok(Some(End::Close));
            }
            Step::End(end) => return Ok(Some(end)),
        }
    }
    Ok(None)
}

fn send<S: Read + Write>(reader: &mut Reader<S>, bytes: &[u8]) -> io::Result<()> {
    reader.stream().write_all(bytes)?;
    reader.stream().flush()
}
