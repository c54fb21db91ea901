//! A client that asks one thing after the other on one connection: it checks answers, and keeps connections.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::wire::{Chunks, Framing, end_of_head, framing};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The field `x-version`, `v1` and so on; empty without one.
    pub(crate) version: String,
    /// The body, without chunks.
    pub(crate) body: Vec<u8>,
}

/// A request.
pub(crate) fn request(path: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         {fields}content-length: {length}\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

impl Client {
    /// Connects, with TLS if there is a configuration for it.
    pub(crate) fn connect(at: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let stream = TcpStream::connect(at)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let Some(tls) = tls else {
            return Ok(Self { stream: Box::new(stream) });
        };
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(tls), name).map_err(io::Error::other)?;
        Ok(Self { stream: Box::new(StreamOwned::new(session, stream)) })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request)?;
        self.stream.flush()?;
        let mut bytes = Vec::new();
        let end = loop {
            let seen = bytes.len();
            self.read(&mut bytes)?;
            if let Some(end) = end_of_head(&bytes, seen) {
                break end;
            }
        };
        let rest = bytes.split_off(end);
        let body = self.body(framing(&bytes), rest)?;
        let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
        let version = head.lines().find_map(|line| line.strip_prefix("x-version:"));
        Ok(Answer { status, version: version.unwrap_or_default().trim().to_owned(), body })
    }

    /// Reads the rest of a body, of which this much is there.
    fn body(&mut self, framing: Framing, mut there: Vec<u8>) -> io::Result<Vec<u8>> {
        match framing {
            Framing::Length(length) => {
                while there.len() < length {
                    self.read(&mut there)?;
                }
                Ok(there)
            }
            Framing::Chunks => {
                let (mut body, mut chunks) = (Vec::new(), Chunks::default());
                while !chunks.take(&there, |data| body.extend_from_slice(data)) {
                    there.clear();
                    self.read(&mut there)?;
                }
                Ok(body)
            }
        }
    }

    /// Reads some more.
    fn read(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let count = self.stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..count]);
        Ok(())
    }
}
