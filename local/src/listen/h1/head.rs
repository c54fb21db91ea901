//! The head of a request as a client writes it, and what follows it.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderName, Method, Request, Uri, Version};
use httparse::{Error, Header, Status};
use splitway_core::problem::Problem;

use crate::h1::field;
use crate::h1::lines::{self, Places};

/// So many headers there is room for without an allocation for each request.
const HEADERS_FREE: usize = 100;

/// A request on a connection that can be one of another protocol behind the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CanSwitch;

/// The most that there may be of a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) bytes: usize,
    pub(super) headers: usize,
}

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// As many bytes, or no body.
    Length(u64),
    Chunks,
}

/// What an answer has to know of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    /// The answer has no body.
    pub(super) is_head: bool,
    /// HTTP/1.0.
    pub(super) is_old: bool,
    /// Whether the client means to go on behind the answer.
    pub(super) is_kept: bool,
    /// Whether the client waits to be asked for the body.
    pub(super) expects: bool,
}

/// A head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) parts: Box<Parts>,
    pub(super) follows: Follows,
    pub(super) manner: Manner,
}

/// Takes a head from the start of `buffer` if all of it is there.
pub(super) fn parse(buffer: &mut BytesMut, bounds: Bounds) -> Result<Option<Head>, Problem> {
    let mut places = Places::default();
    let Some(line) = locate(buffer, bounds, &mut places)? else {
        return match buffer.len() > bounds.bytes {
            true => Err(too_large(buffer)),
            false => Ok(None),
        };
    };
    if line.length > bounds.bytes {
        return Err(Problem::HeadTooLarge);
    }
    let bytes = buffer.split_to(line.length).freeze();
    let mut found = Found { is_old: line.is_old, ..Found::default() };
    let headers = lines::headers(&bytes, &places, |name, value| found.note(name, value));
    let mut headers = headers.ok_or(Problem::BadRequest)?;
    let follows = found.follows()?;
    if found.is_coded {
        // It is not to be believed, and whoever believes it cuts the body (RFC 9112, section 6.3).
        headers.remove(CONTENT_LENGTH);
    }
    let manner = Manner {
        is_head: line.method == Method::HEAD,
        is_old: line.is_old,
        is_kept: found.is_kept(),
        expects: found.expects && follows != Follows::Length(0),
    };
    // It stays where it is until the request is answered.
    let mut parts = Box::new(Request::new(()).into_parts().0);
    parts.uri = uri(&bytes, line.target)?;
    parts.method = line.method;
    parts.version = if line.is_old { Version::HTTP_10 } else { Version::HTTP_11 };
    parts.headers = headers;
    if found.can_switch && !line.is_old {
        parts.extensions.insert(CanSwitch);
    }
    Ok(Some(Head { parts, follows, manner }))
}

/// What is too large of a head of which there is more than may be.
fn too_large(bytes: &[u8]) -> Problem {
    let is_in_line = !bytes.trim_ascii_start().contains(&b'\n');
    if is_in_line { Problem::UriTooLong } else { Problem::HeadTooLarge }
}

/// The target, which shares the bytes of the head.
fn uri(bytes: &Bytes, (start, end): (usize, usize)) -> Result<Uri, Problem> {
    if end - start > URI_MAX {
        return Err(Problem::UriTooLong);
    }
    Uri::from_maybe_shared(bytes.slice(start..end)).map_err(|_| Problem::BadRequest)
}

/// The most bytes of a target that the library can hold.
const URI_MAX: usize = 65_534;

/// The first line, and how long the head is.
struct Line {
    method: Method,
    /// Where the target begins and ends.
    target: (usize, usize),
    /// HTTP/1.0.
    is_old: bool,
    /// Bytes.
    length: usize,
}

/// Reads the first line, and finds the headers.
fn locate(bytes: &[u8], bounds: Bounds, places: &mut Places) -> Result<Option<Line>, Problem> {
    let mut few = [const { MaybeUninit::<Header<'_>>::uninit() }; HEADERS_FREE];
    let mut many = Vec::new();
    let fields = match few.get_mut(..bounds.headers) {
        Some(few) => few,
        None => {
            many.resize_with(bounds.headers, MaybeUninit::uninit);
            many.as_mut_slice()
        }
    };
    let mut parsed = httparse::Request::new(&mut []);
    let config = httparse::ParserConfig::default();
    let status = config.parse_request_with_uninit_headers(&mut parsed, bytes, fields);
    let Status::Complete(length) = status.map_err(problem)? else { return Ok(None) };
    places.note(bytes, parsed.headers);
    let method = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes());
    let method = method.map_err(|_| Problem::BadRequest)?;
    let target = lines::place(bytes, parsed.path.unwrap_or_default().as_bytes());
    Ok(Some(Line { method, target, is_old: parsed.version == Some(0), length }))
}

fn problem(error: Error) -> Problem {
    if error == Error::TooManyHeaders { Problem::HeadTooLarge } else { Problem::BadRequest }
}

/// What the headers say of the message and its connection.
#[derive(Debug, Default)]
struct Found {
    is_old: bool,
    length: Option<u64>,
    /// Whether a length is said that is none, or that is not the one said before.
    is_bad_length: bool,
    has_length: bool,
    is_coded: bool,
    /// Whether the last coding is the one that is known.
    is_chunked: bool,
    asks_to_close: bool,
    asks_to_keep: bool,
    expects: bool,
    can_switch: bool,
}

impl Found {
    /// Notes a header, and whether it is to be kept: of lengths that are the same one says it.
    fn note(&mut self, name: &HeaderName, value: &[u8]) -> bool {
        if *name == CONTENT_LENGTH {
            let length = field::length(value);
            let is_first = !self.has_length;
            // Behind a coding it says nothing.
            let is_bad = length.is_none() || !(is_first || self.length == length);
            self.is_bad_length |= is_bad && !self.is_coded;
            self.has_length = true;
            self.length = length;
            return is_first;
        } else if *name == TRANSFER_ENCODING {
            self.is_coded = true;
            let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            self.is_chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        } else if *name == CONNECTION {
            self.asks_to_close |= field::has_word(value, b"close");
            self.asks_to_keep |= field::has_word(value, b"keep-alive");
        } else if *name == EXPECT {
            self.expects = value.eq_ignore_ascii_case(b"100-continue");
        } else if *name == UPGRADE {
            self.can_switch = true;
        }
        true
    }

    /// What follows the head (RFC 9112, section 6.3).
    fn follows(&self) -> Result<Follows, Problem> {
        match (self.is_coded, self.length) {
            // HTTP/1.0 knows no chunks: whoever handed them on may not have understood them.
            (true, _) if self.is_old || !self.is_chunked => Err(Problem::BadRequest),
            _ if self.is_bad_length => Err(Problem::BadRequest),
            (true, _) => Ok(Follows::Chunks),
            (false, length) => Ok(Follows::Length(length.unwrap_or(0))),
        }
    }

    /// Whether the connection goes on. Who frames a body in two ways may have meant either.
    fn is_kept(&self) -> bool {
        let is_ambiguous = self.is_coded && self.has_length;
        !self.asks_to_close && !is_ambiguous && (!self.is_old || self.asks_to_keep)
    }
}

#[cfg(test)]
mod tests;
