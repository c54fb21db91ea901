//! A client of a server that may be gone at any moment.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use splitway_tests::http::{Framing, Reader, write_head};
use splitway_tests::message::{Answer, Call};
use splitway_tests::script::DEADLINE;

/// A connection that is used until it breaks.
pub(crate) struct Client(Reader<TcpStream>);

impl Client {
    pub(crate) fn open(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        Some(Self(Reader::new(stream)))
    }

    /// The whole answer, or nothing where the server went away before its end.
    pub(crate) fn call(&mut self, call: &Call) -> Option<Answer> {
        let start = format!("{} {} HTTP/1.1", call.method, call.target);
        write_head(self.0.stream(), start.as_bytes(), &call.lines()).ok()?;
        self.0.stream().write_all(call.body.as_deref().unwrap_or_default()).ok()?;
        let head = self.0.head().ok()??;
        let status = head.words().get(1)?.parse().ok()?;
        let mut body = Vec::new();
        let framing = head.framing(Framing::None);
        self.0.body(framing, |piece| body.extend_from_slice(piece)).ok()?;
        Some(Answer { status, headers: head.headers, body, complete: true })
    }
}
