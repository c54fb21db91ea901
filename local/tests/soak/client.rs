//! One client: a connection that takes one request after the other, and what came of each.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use splitway_tests::http::{Framing, Head, Reader, write_head};
use splitway_tests::message::Headers;

use crate::kind::Kind;
use crate::process::PATIENCE;
use crate::pulse::Pulse;

/// The name that the server goes by.
pub(crate) const NAME: &str = "a.test";

/// After so long a server that drains may close a connection that rests.
const REST: Duration = Duration::from_millis(900);

/// What came of a request.
pub(crate) enum Ended {
    Whole(Head, Vec<u8>),
    /// The head came and not all of the body.
    Cut(Head, Vec<u8>, io::Error),
    /// No answer.
    Lost(io::Error),
    /// The connection had rested for so long that it was closed.
    Closed,
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// A connection.
pub(crate) struct Client {
    reader: Reader<Box<dyn Stream>>,
    /// What is below, TLS or not.
    socket: TcpStream,
    /// When its last answer was complete, if it had any.
    rests_since: Option<Instant>,
}

impl Client {
    pub(crate) fn open(pulse: &Pulse) -> io::Result<Self> {
        let stream = TcpStream::connect(pulse.to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let socket = stream.try_clone()?;
        let stream: Box<dyn Stream> = match &pulse.tls {
            None => Box::new(stream),
            Some(config) => {
                let name = ServerName::try_from(NAME).expect("a name");
                let session =
                    ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                Box::new(StreamOwned::new(session, stream))
            }
        };
        Ok(Self { reader: Reader::new(stream), socket, rests_since: None })
    }

    /// Sends a request; its answer, and whether the connection goes on.
    pub(crate) fn ask(&mut self, kind: Kind, number: u64) -> (Ended, bool) {
        let rested = self.rests_since.is_some_and(|since| since.elapsed() > REST);
        let head = match self.send(kind, number).and_then(|()| self.reader.head()) {
            Ok(Some(head)) => head,
            Ok(None) if rested => return (Ended::Closed, false),
            Ok(None) => return (Ended::Lost(ErrorKind::UnexpectedEof.into()), false),
            Err(_) if rested => return (Ended::Closed, false),
            Err(error) => return (Ended::Lost(error), false),
        };
        let mut body = Vec::new();
        let framing = head.framing(Framing::UntilClose);
        if let Err(error) = self.reader.body(framing, |piece| body.extend_from_slice(piece)) {
            return (Ended::Cut(head, body, error), false);
        }
        self.rests_since = Some(Instant::now());
        let ends =
            head.headers.one("connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
        (Ended::Whole(head, body), !ends)
    }

    /// Ends the connection; what is answered though nothing was asked.
    pub(crate) fn end(mut self) -> Option<Head> {
        // The server may have closed it.
        drop(self.socket.shutdown(Shutdown::Write));
        self.reader.head().ok().flatten()
    }

    fn send(&mut self, kind: Kind, number: u64) -> io::Result<()> {
        let body = kind.body(number);
        let start = format!("{} /{}/{number} HTTP/1.1", kind.method(), kind.word());
        let mut headers = Headers::default();
        headers.push("Host", NAME);
        headers.push("X-Number", number.to_string());
        if kind == Kind::KeyedPost {
            headers.push("Idempotency-Key", number.to_string());
        }
        if kind.method() == "POST" {
            headers.push("Content-Length", body.len().to_string());
        }
        let mut bytes = Vec::new();
        write_head(&mut bytes, start.as_bytes(), &headers)?;
        bytes.extend(body);
        self.reader.stream().write_all(&bytes)?;
        self.reader.stream().flush()
    }
}
