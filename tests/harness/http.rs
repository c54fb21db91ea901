//! HTTP/1.1 as bytes on a stream: just enough to see and send exactly what a test means.

use std::io::{self, ErrorKind, Read, Write};

use crate::message::Headers;

/// The start line and the header lines of a message.
#[derive(Clone, Debug)]
pub struct Head {
    /// The start line, without its end.
    pub start: Vec<u8>,
    /// The header lines.
    pub headers: Headers,
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// After so many bytes.
    Length(usize),
    /// After the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

impl Head {
    /// What the header lines say about the body; `unframed` is what holds if they say nothing.
    pub fn framing(&self, unframed: Framing) -> Framing {
        let encoding = self.headers.one("transfer-encoding").unwrap_or_default();
        match self.headers.one("content-length") {
            _ if encoding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
            Some(length) => Framing::Length(length.parse().expect("a length is a number")),
            None => unframed,
        }
    }

    /// The words of the start line.
    pub fn words(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.start);
        text.splitn(3, ' ').map(str::to_owned).collect()
    }
}

/// Reads messages off a stream.
#[derive(Debug)]
pub struct Reader<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S: Read> Reader<S> {
    /// Reads what `stream` brings.
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// The stream, to write to.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The next head; `None` if the stream ends before one begins.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        let Some(start) = self.line_or_end()? else { return Ok(None) };
        let mut headers = Headers::default();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Some(Head { start, headers }));
            }
            let colon = line.iter().position(|b| *b == b':');
            let colon = colon.ok_or_else(|| broken("a header line without a colon"))?;
            let value = line[colon + 1..].trim_ascii();
            headers.push(&line[..colon], value);
        }
    }

    /// Reads a body to its end, piece by piece as the pieces arrive.
    pub fn body(&mut self, framing: Framing, mut piece: impl FnMut(&[u8])) -> io::Result<()> {
        match framing {
            Framing::None => Ok(()),
            Framing::Length(length) => self.pieces(length, &mut piece),
            Framing::Chunked => {
                while let Some(chunk) = self.chunk()? {
                    piece(&chunk);
                }
                Ok(())
            }
            Framing::UntilClose => {
                while self.fill()? {
                    piece(&std::mem::take(&mut self.buffer));
                }
                Ok(())
            }
        }
    }

    /// The next chunk of a chunked body; `None` after the last.
    pub fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = String::from_utf8_lossy(&self.line()?).into_owned();
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| broken("a chunk without a size"))?;
        if size == 0 {
            while !self.line()?.is_empty() {}
            return Ok(None);
        }
        let mut chunk = Vec::with_capacity(size);
        self.pieces(size, &mut |piece| chunk.extend_from_slice(piece))?;
        match self.line()?.is_empty() {
            true => Ok(Some(chunk)),
            false => Err(broken("a chunk longer than its size")),
        }
    }

    /// Reads until the stream ends, one way or another; returns how.
    pub fn wait_for_end(&mut self) -> io::Error {
        loop {
            self.buffer.clear();
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return ErrorKind::UnexpectedEof.into(),
                Err(error) => return error,
            }
        }
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(count);
        self.pieces(count, &mut |piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }

    fn pieces(&mut self, count: usize, piece: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut missing = count;
        while missing > 0 {
            if self.buffer.is_empty() && !self.fill()? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let rest = self.buffer.split_off(missing.min(self.buffer.len()));
            let bytes = std::mem::replace(&mut self.buffer, rest);
            missing -= bytes.len();
            piece(&bytes);
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        self.line_or_end()?.ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    fn line_or_end(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let mut rest = self.buffer.split_off(end);
                rest.drain(..2);
                return Ok(Some(std::mem::replace(&mut self.buffer, rest)));
            }
            if !self.fill()? {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    fn fill(&mut self) -> io::Result<bool> {
        let mut space = [0; 16 * 1024];
        let count = self.stream.read(&mut space)?;
        self.buffer.extend_from_slice(&space[..count]);
        Ok(count > 0)
    }
}

/// Writes a head.
pub fn write_head(stream: &mut impl Write, start: &[u8], headers: &Headers) -> io::Result<()> {
    let mut bytes = [start, b"\r\n"].concat();
    for (name, value) in &headers.0 {
        bytes.extend([name, b": ".as_slice(), value, b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    stream.write_all(&bytes)?;
    stream.flush()
}

/// Writes one chunk; an empty one is the last.
pub fn write_chunk(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let framed = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    stream.write_all(&framed)?;
    stream.flush()
}

fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
