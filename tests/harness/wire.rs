//! A client that sends exactly what it is told and shows exactly what comes back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::http::{Framing, Head, Reader, write_chunk, write_head};
use crate::message::{Answer, Call};
use crate::script::DEADLINE;
use crate::websocket::{Frame, Side};

/// A connection of a client.
#[derive(Debug)]
pub struct Connection {
    reader: Reader<TcpStream>,
    method: String,
}

/// The head of a response, and how its body is framed.
#[derive(Clone, Debug)]
pub struct Start {
    /// The status code.
    pub status: u16,
    /// The head.
    pub head: Head,
    /// The framing of the body.
    pub framing: Framing,
}

/// Sends a request on a connection of its own and reads the whole answer.
pub fn call(address: SocketAddr, call: &Call) -> Answer {
    let mut connection = Connection::open(address);
    connection.send(call);
    connection.answer()
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("the target listens"))
    }

    /// Connects from this address.
    pub fn open_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).expect("an address of this machine");
        socket.connect(&address.into()).expect("the target listens");
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { reader: Reader::new(stream), method: String::new() }
    }

    /// Sends a request with its whole body.
    ///
    /// Whoever answers early and closes ends the writing; what was answered is read then.
    pub fn send(&mut self, call: &Call) {
        self.send_head(call);
        match &call.body {
            Some(body) if call.chunked => {
                self.send_chunk(body);
                if !body.is_empty() {
                    self.send_chunk(b"");
                }
            }
            Some(body) => drop(self.reader.stream().write_all(body)),
            None => {}
        }
    }

    /// Sends the head of a request only.
    pub fn send_head(&mut self, call: &Call) {
        self.method.clone_from(&call.method);
        let start = format!("{} {} HTTP/1.1", call.method, call.target);
        drop(write_head(self.reader.stream(), start.as_bytes(), &call.lines()));
    }

    /// Sends one chunk of a body; an empty one is the last.
    pub fn send_chunk(&mut self, bytes: &[u8]) {
        drop(write_chunk(self.reader.stream(), bytes));
    }

    /// Sends bytes as they are; `method` is what they ask with.
    pub fn send_raw(&mut self, method: &str, bytes: &[u8]) {
        self.method = method.to_owned();
        self.reader.stream().write_all(bytes).expect("it is read");
    }

    /// Reads the next response, or nothing if the connection is closed before one.
    pub fn next_answer(&mut self) -> Option<Answer> {
        let start = self.next_start()?;
        Some(self.rest(start))
    }

    /// Reads the head of the response.
    pub fn start(&mut self) -> Start {
        self.next_start().expect("a head before the end")
    }

    /// Interim responses are read over.
    fn next_start(&mut self) -> Option<Start> {
        loop {
            let start = self.next_head()?;
            if start.status >= 200 || start.status == 101 {
                return Some(start);
            }
        }
    }

    fn next_head(&mut self) -> Option<Start> {
        let head = match self.reader.head() {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            head => head.expect("a head in time"),
        }?;
        let words = head.words();
        let status = words[1].parse().expect("a status is a number");
        let framing = match status {
            100..200 | 204 | 304 => Framing::None,
            _ if self.method == "HEAD" => Framing::None,
            _ => head.framing(Framing::UntilClose),
        };
        Some(Start { status, head, framing })
    }

    /// Reads the next chunk of a chunked body; `None` after the last.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        self.reader.chunk().expect("a chunk in time")
    }

    /// Reads chunks until all of `expected` is there.
    pub fn expect_bytes(&mut self, expected: &[u8]) {
        let mut bytes = Vec::new();
        while bytes.len() < expected.len() {
            bytes.extend(self.chunk().expect("the body goes on"));
        }
        assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(expected));
    }

    /// Sends a frame, on a connection that speaks WebSocket.
    pub fn send_frame(&mut self, frame: &Frame) {
        frame.write(Side::Client, self.reader.stream()).expect("it is read");
    }

    /// Reads the next frame, on a connection that speaks WebSocket.
    pub fn frame(&mut self) -> Frame {
        Frame::read(&mut self.reader).expect("a frame in time")
    }

    /// Waits until the other side has closed the connection.
    pub fn wait_for_end(&mut self) {
        let error = self.reader.wait_for_end();
        assert_ne!(error.kind(), ErrorKind::WouldBlock, "it did not end in time");
    }

    /// Reads a whole response.
    pub fn answer(&mut self) -> Answer {
        let start = self.start();
        self.rest(start)
    }

    fn rest(&mut self, start: Start) -> Answer {
        let Start { status, head, framing } = start;
        let mut body = Vec::new();
        let read = self.reader.body(framing, |piece| body.extend_from_slice(piece));
        if let Err(error) = &read {
            assert_ne!(error.kind(), ErrorKind::WouldBlock, "the body did not end in time");
        }
        Answer { status, headers: head.headers, body, complete: read.is_ok() }
    }

    /// Reads a frame of HTTP/2 and checks its kind.
    pub fn expect_frame(&mut self, kind: u8) {
        let stream = self.reader.stream();
        let mut head = [0; 9];
        stream.read_exact(&mut head).expect("a frame in time");
        assert_eq!(head[3], kind, "{head:?}");
        let length = u64::from(u32::from_be_bytes([0, head[0], head[1], head[2]]));
        io::copy(&mut stream.take(length), &mut io::sink()).expect("its payload in time");
    }

    /// Reads to the end of the connection, whatever comes before.
    pub fn expect_end(&mut self) {
        let end = self.reader.wait_for_end();
        assert_ne!(end.kind(), ErrorKind::WouldBlock, "the connection did not end in time");
    }

    /// Sends no more, and reads on.
    pub fn end_sending(&mut self) {
        self.reader.stream().shutdown(Shutdown::Write).expect("it is open");
    }

    /// Goes away.
    pub fn leave(mut self) -> io::Result<()> {
        self.reader.stream().shutdown(Shutdown::Both)
    }
}
