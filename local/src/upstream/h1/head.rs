//! The head of a response as a node writes it, and what follows it.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use httparse::{Header, Status};
use hyper::ext::ReasonPhrase;
use splitway_core::problem::Failure;

use crate::h1::field;
use crate::h1::lines::{self, Places};

/// The most bytes of a head, and the most headers.
pub(super) const BYTES_MAX: usize = 8192 + 4096 * HEADERS_MAX;
const HEADERS_MAX: usize = 100;

/// What was asked, as far as the answer depends on it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::upstream) struct Asked {
    /// The answer has no body.
    pub(in crate::upstream) is_head: bool,
    /// The connection may leave HTTP.
    pub(in crate::upstream) is_switch: bool,
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// Another head (RFC 9110, section 15.2).
    Head,
    /// As many bytes.
    Length(u64),
    Chunks,
    /// All until the connection ends.
    Rest,
}

/// A head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) follows: Follows,
    /// Whether the connection takes no other request after this one.
    pub(super) is_last: bool,
}

/// Takes a head from the start of `buffer` if all of it is there.
pub(super) fn parse(buffer: &mut BytesMut, asked: Asked) -> Result<Option<Head>, Failure> {
    let mut places = Places::default();
    let Some(line) = locate(buffer, &mut places)? else { return Ok(None) };
    let bytes = buffer.split_to(line.length).freeze();
    let mut response = Response::new(());
    *response.status_mut() = line.status;
    if let Some(reason) = line.reason {
        response.extensions_mut().insert(reason);
    }
    let mut found = Found::default();
    let headers = lines::headers(&bytes, &places, |name, value| {
        found.note(name, value);
        true
    });
    *response.headers_mut() = headers.ok_or(Failure::HttpProtocolError)?;
    let follows = found.follows(line.status, line.is_old, asked)?;
    if found.is_coded {
        // It is not to be believed, and whoever believes it cuts the body (RFC 9112, section 6.3).
        response.headers_mut().remove(CONTENT_LENGTH);
    } else if let Some(length) = found.length.filter(|_| found.lengths > 1) {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let is_last = found.is_last(line.is_old) || follows == Follows::Rest;
    Ok(Some(Head { response, follows, is_last }))
}

/// The first line, and how long the head is.
struct Line {
    status: StatusCode,
    /// Where it is not the usual one of the status.
    reason: Option<ReasonPhrase>,
    /// HTTP/1.0.
    is_old: bool,
    /// Bytes.
    length: usize,
}

/// Reads the first line, and finds the headers.
fn locate(bytes: &[u8], places: &mut Places) -> Result<Option<Line>, Failure> {
    let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let status = config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut fields);
    let Status::Complete(length) = status.map_err(|_| Failure::HttpProtocolError)? else {
        return match bytes.len() < BYTES_MAX {
            true => Ok(None),
            false => Err(Failure::HttpProtocolError),
        };
    };
    if length > BYTES_MAX {
        return Err(Failure::HttpProtocolError);
    }
    places.note(bytes, parsed.headers);
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default());
    let status = status.map_err(|_| Failure::HttpProtocolError)?;
    let reason = parsed.reason.filter(|reason| Some(*reason) != status.canonical_reason());
    let reason = reason.and_then(|reason| ReasonPhrase::try_from(reason.as_bytes()).ok());
    let is_old = parsed.version == Some(0);
    Ok(Some(Line { status, reason, is_old, length }))
}

/// What the headers say of the message and its connection.
#[derive(Debug, Default)]
struct Found {
    length: Option<u64>,
    /// Lines that say it, and more than one for a line that says it more than once.
    lengths: u8,
    /// Whether one of them does not say what the others do, or nothing at all.
    is_bad_length: bool,
    is_coded: bool,
    /// Whether the coding is not the one that is known, or that one is not all.
    is_bad_coding: bool,
    is_closed: bool,
    is_kept: bool,
}

impl Found {
    fn note(&mut self, name: &HeaderName, value: &[u8]) {
        if *name == CONTENT_LENGTH {
            // Digits alone go on as they are.
            let (length, lines) = match field::length(value) {
                Some(length) => {
                    (self.length.is_none_or(|known| known == length).then_some(length), 1)
                }
                None if value.contains(&b',') => (field::lengths(value, self.length), 2),
                None => (field::lengths(value, self.length), 1),
            };
            self.is_bad_length |= length.is_none();
            self.length = length;
            self.lengths = self.lengths.saturating_add(lines);
        } else if *name == TRANSFER_ENCODING {
            self.is_bad_coding |= self.is_coded || !value.eq_ignore_ascii_case(b"chunked");
            self.is_coded = true;
        } else if *name == CONNECTION && value == b"keep-alive" {
            self.is_kept = true;
        } else if *name == CONNECTION {
            self.is_closed |= field::has_word(value, b"close");
            self.is_kept |= field::has_word(value, b"keep-alive");
        }
    }

    /// What follows the head (RFC 9112, section 6.3).
    fn follows(&self, status: StatusCode, is_old: bool, asked: Asked) -> Result<Follows, Failure> {
        match status.as_u16() {
            101 if asked.is_switch => return Ok(Follows::Length(0)),
            101 => return Err(Failure::HttpProtocolError),
            100..=199 => return Ok(Follows::Head),
            _ => {}
        }
        if self.is_bad_coding || (self.is_bad_length && !self.is_coded) {
            return Err(Failure::HttpProtocolError);
        }
        if asked.is_head || matches!(status.as_u16(), 204 | 304) {
            return Ok(Follows::Length(0));
        }
        match (self.is_coded, self.length) {
            // HTTP/1.0 knows no chunks: whoever handed them on may not have understood them.
            (true, _) if is_old => Err(Failure::HttpProtocolError),
            (true, _) => Ok(Follows::Chunks),
            (false, Some(length)) => Ok(Follows::Length(length)),
            (false, None) => Ok(Follows::Rest),
        }
    }

    /// Whether the connection ends with this response, or should: who says two lengths may have meant either.
    fn is_last(&self, is_old: bool) -> bool {
        let is_kept = if is_old { self.is_kept && !self.is_coded } else { true };
        self.is_closed || !is_kept || (self.is_coded && self.lengths > 0)
    }
}

#[cfg(test)]
mod tests;
