//! The chunked coding as a node writes it (RFC 9112, section 7.1), byte for byte: lines end in CRLF, sizes
//! are hexadecimal digits, and all that a node could go on with for ever is bounded.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::field;

/// The most bytes of extensions of chunks of one body, and of its trailers.
const EXTENSIONS_MAX: usize = 16 * 1024;
const TRAILERS_MAX: usize = 16 * 1024;

/// The most trailers.
const TRAILERS_COUNT_MAX: usize = 100;

/// The most digits of a size, zeros before it included.
const DIGITS_MAX: u8 = 32;

/// What a body in chunks is about to be read of.
#[derive(Debug, Default)]
pub(crate) struct Chunked {
    state: State,
    /// Of the chunk: as far as its size is read, and then as much as is left.
    left: u64,
    digits: u8,
    extensions: usize,
    /// The lines of trailers as far as they are there.
    trailers: Vec<u8>,
    /// Where in these the last line begins.
    line: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    /// Blanks behind the size.
    Blank,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    Trailers,
    End,
}

/// What is no chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// What there is next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// More bytes are needed.
    More,
    Data(Bytes),
    /// The end, with the trailers if there are any.
    End(Option<HeaderMap>),
}

impl Chunked {
    /// Takes from `buffer` what is next.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Result<Part, Broken> {
        loop {
            match self.state {
                State::Data => {
                    let there = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
                    if there == 0 {
                        return Ok(Part::More);
                    }
                    let data = buffer.split_to(there).freeze();
                    self.left -= u64::try_from(there).unwrap_or(self.left);
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Part::Data(data));
                }
                State::End => return self.end().map(Part::End),
                State::Trailers => {
                    if !self.trailer(buffer)? {
                        return Ok(Part::More);
                    }
                }
                State::Size
                | State::Blank
                | State::Extension
                | State::SizeEnd
                | State::DataCr
                | State::DataLf => {
                    let Some(byte) = buffer.first().copied() else { return Ok(Part::More) };
                    buffer.advance(1);
                    self.state = self.step(byte)?;
                }
            }
        }
    }

    /// Takes the end of a body without trailers, where all of it follows the data at once.
    pub(crate) fn take_end(&mut self, buffer: &mut BytesMut) -> bool {
        const END: &[u8] = b"\r\n0\r\n\r\n";
        let is_end = self.state == State::DataCr && buffer.starts_with(END);
        if is_end {
            buffer.advance(END.len());
            self.state = State::End;
        }
        is_end
    }

    /// What a byte between data leads to.
    fn step(&mut self, byte: u8) -> Result<State, Broken> {
        match (self.state, byte) {
            (State::Size, _) if byte.is_ascii_hexdigit() => self.digit(byte),
            (State::Size, _) if self.digits == 0 => Err(Broken),
            (State::Size | State::Blank, b' ' | b'\t') => self.extension(State::Blank),
            (State::Size | State::Blank, b';') => self.extension(State::Extension),
            (State::Size | State::Blank | State::Extension, b'\r') => Ok(State::SizeEnd),
            (State::Extension, _) if field::is_value(&[byte]) => self.extension(State::Extension),
            (State::SizeEnd, b'\n') => {
                self.digits = 0;
                Ok(if self.left == 0 { State::Trailers } else { State::Data })
            }
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            _ => Err(Broken),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<State, Broken> {
        let digit = char::from(byte).to_digit(16).ok_or(Broken)?;
        self.digits =
            self.digits.checked_add(1).filter(|count| *count <= DIGITS_MAX).ok_or(Broken)?;
        let shifted = self.left.checked_mul(16).ok_or(Broken)?;
        self.left = shifted.checked_add(digit.into()).ok_or(Broken)?;
        Ok(State::Size)
    }

    fn extension(&mut self, state: State) -> Result<State, Broken> {
        self.extensions += 1;
        (self.extensions <= EXTENSIONS_MAX).then_some(state).ok_or(Broken)
    }

    /// Takes up to the end of a line. Whether one was there.
    fn trailer(&mut self, buffer: &mut BytesMut) -> Result<bool, Broken> {
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let taken = buffer.split_to(end.map_or(buffer.len(), |end| end + 1));
        if self.trailers.len() + taken.len() > TRAILERS_MAX {
            return Err(Broken);
        }
        self.trailers.extend_from_slice(&taken);
        if end.is_none() {
            return Ok(false);
        }
        let line = self.trailers.get(self.line..).unwrap_or_default();
        if !line.ends_with(b"\r\n") {
            return Err(Broken);
        }
        if line.len() == 2 {
            self.state = State::End;
        }
        self.line = self.trailers.len();
        Ok(true)
    }

    /// The trailers, as far as they may be some.
    fn end(&mut self) -> Result<Option<HeaderMap>, Broken> {
        let lines = std::mem::take(&mut self.trailers);
        if lines.len() <= 2 {
            return Ok(None);
        }
        let mut fields = [httparse::EMPTY_HEADER; TRAILERS_COUNT_MAX];
        let parsed = httparse::parse_headers(&lines, &mut fields);
        let Ok(httparse::Status::Complete((_, fields))) = parsed else { return Err(Broken) };
        let mut trailers = HeaderMap::with_capacity(fields.len());
        for found in fields {
            let name = HeaderName::from_bytes(found.name.as_bytes()).map_err(|_| Broken)?;
            let value = HeaderValue::from_bytes(found.value).map_err(|_| Broken)?;
            if field::may_trail(&name) {
                trailers.append(name, value);
            }
        }
        Ok((!trailers.is_empty()).then_some(trailers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Whole = (Vec<u8>, Option<HeaderMap>, Vec<u8>);

    /// All of a body, its trailers, and what follows it.
    fn read(bytes: &[u8]) -> Result<Whole, &'static str> {
        let mut buffer = BytesMut::from(bytes);
        let mut chunked = Chunked::default();
        let mut data = Vec::new();
        loop {
            match chunked.next(&mut buffer).map_err(|Broken| "broken")? {
                Part::More => return Err("not whole"),
                Part::Data(piece) => data.extend_from_slice(&piece),
                Part::End(trailers) => return Ok((data, trailers, buffer.to_vec())),
            }
        }
    }

    #[test]
    fn chunks_are_put_together() {
        for (bytes, data) in [
            ("0\r\n\r\n", ""),
            ("3\r\nabc\r\n0\r\n\r\n", "abc"),
            ("1\r\na\r\n02\r\nbc\r\n000\r\n\r\n", "abc"),
            ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
            ("3;a=b;c=\"d e\"\r\nabc\r\n0;x\r\n\r\n", "abc"),
            ("3 \t\r\nabc\r\n0 ;x\r\n\r\n", "abc"),
            ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ] {
            let whole = read(format!("{bytes}HTTP/1.1").as_bytes());
            assert_eq!(whole, Ok((data.into(), None, b"HTTP/1.1".to_vec())), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_none_is_broken_and_what_is_cut_is_not_whole() {
        let extension = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(EXTENSIONS_MAX));
        let zeros = format!("{}1\r\na\r\n0\r\n\r\n", "0".repeat(32));
        let many = "a: b\r\n".repeat(TRAILERS_COUNT_MAX + 1);
        let long = format!("0\r\na: {}\r\n\r\n", "x".repeat(TRAILERS_MAX));
        for bytes in [
            "g\r\n",
            "\r\n0\r\n\r\n",
            " 1\r\na\r\n0\r\n\r\n",
            "+1\r\n",
            "-1\r\n",
            "0x1\r\n",
            "1 1\r\n",
            "1\n",
            "1\ra",
            "1;a\nb\r\n",
            "1;a\0\r\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "1\r\na\r0",
            "10000000000000000\r\n",
            "10000000000000001\r\n",
            "fffffffffffffffff\r\n",
            &extension,
            &zeros,
            &format!("0\r\n{many}\r\n"),
            &long,
            "0\r\n\n",
            "0\r\na: b\n\r\n",
            "0\r\na: b\r\n c\r\n\r\n",
            "0\r\na\r\n\r\n",
            "0\r\na : b\r\n\r\n",
            "0\r\na: b\0\r\n\r\n",
            "0\r\na: b\rc\r\n\r\n",
        ] {
            let shown: String = bytes.chars().take(40).collect();
            assert_eq!(read(bytes.as_bytes()), Err("broken"), "{shown:?}");
        }
        let whole = b"3;a=b\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(read(whole.split_at(end).0), Err("not whole"), "{end}");
        }
    }

    #[test]
    fn trailers_are_those_that_may_be() {
        let body =
            b"0\r\nX-Sum: 7\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\nx-sum: 8\r\n\r\n";
        let (_, trailers, rest) = read(body).expect("a whole body");
        let trailers = trailers.expect("trailers");
        assert_eq!(trailers.len(), 2);
        assert_eq!(trailers.get_all("x-sum").iter().count(), 2);
        assert!(rest.is_empty());
        let (_, trailers, _) = read(b"0\r\nhost: a\r\n\r\n").expect("a whole body");
        assert_eq!(trailers, None);
    }
}
