//! How answers are written: the head, and the body framed as the client can read it.

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::body::{Frame, SizeHint};
use hyper::ext::ReasonPhrase;
use splitway_core::head::Changes;

use super::date;
use super::head::Manner;
use crate::h1::out::Out;
use crate::h1::{edits, field};
use crate::message::is_hop_by_hop;

/// How the body of an answer is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// As many bytes are to come, of which there may be none.
    Length(u64),
    Chunks,
    /// All until the connection ends.
    Rest,
}

/// The body of an answer as it is written.
#[derive(Debug)]
pub(super) struct Body {
    framing: Framing,
    /// The trailers that may follow.
    trailer: Option<HeaderValue>,
    /// Whether it is not whole: more came of it, or less, than its head says, or it broke off.
    is_cut: bool,
}

/// An answer that is to be written.
#[derive(Debug)]
pub(super) struct Reply<'r> {
    pub(super) parts: &'r Parts,
    /// What is changed of the head.
    pub(super) edits: Option<&'r Changes>,
    /// What is known of the length of the body.
    pub(super) size: SizeHint,
}

impl Reply<'_> {
    /// Writes the head as the answer to a request of this manner, the last of its connection or not, and tells
    /// how the body follows.
    pub(super) fn write(&self, out: &mut Vec<u8>, manner: Manner, is_last: bool) -> Body {
        line(out, self.parts, manner.is_old);
        let framing = framing(self.parts, &self.size, manner);
        let found = self.write_headers(out, framing == Framing::Chunks);
        match (is_last || framing == Framing::Rest, manner.is_old) {
            _ if found.has_connection => {}
            (false, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
            (true, false) => out.extend_from_slice(b"connection: close\r\n"),
            (false, false) | (true, true) => {}
        }
        write_framing(out, self.parts, &self.size, manner, framing);
        if !found.has_date {
            date::now(|date| field::write(out, "date", date.as_bytes()));
        }
        out.extend_from_slice(b"\r\n");
        Body { framing, trailer: found.trailer, is_cut: false }
    }

    /// Writes the headers but for those that frame the body, of which there are trailers if it is chunked.
    fn write_headers(&self, out: &mut Vec<u8>, is_chunked: bool) -> Found {
        let mut found = Found::default();
        for (name, value) in &self.parts.headers {
            match name.as_str() {
                "content-length" | "transfer-encoding" => continue,
                "trailer" if !is_chunked => continue,
                "trailer" => found.trailer = Some(value.clone()),
                "connection" => found.has_connection = true,
                name if self.edits.is_some_and(|edits| edits::replaces(edits, name)) => continue,
                "date" => found.has_date = true,
                _ => {}
            }
            field::write(out, name.as_str(), value.as_bytes());
        }
        if let Some(edits) = self.edits {
            edits::write(out, edits, |name| {
                found.has_date |= name == "date";
                !is_hop_by_hop(name) && name != "content-length"
            });
        }
        found
    }
}

/// What there is among the headers of an answer.
#[derive(Debug, Default)]
struct Found {
    has_date: bool,
    has_connection: bool,
    /// The trailers that may follow.
    trailer: Option<HeaderValue>,
}

/// The first line. The reason is the one of whoever answered (RFC 9112, section 4).
fn line(out: &mut Vec<u8>, parts: &Parts, is_old: bool) {
    let reason = parts.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
    if parts.status == StatusCode::OK && reason.is_none() && !is_old {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(if is_old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend_from_slice(parts.status.as_str().as_bytes());
    out.push(b' ');
    let usual = || parts.status.canonical_reason().unwrap_or_default().as_bytes();
    out.extend_from_slice(reason.unwrap_or_else(usual));
    out.extend_from_slice(b"\r\n");
}

/// Whether an answer of this status has no body, whatever its head says (RFC 9112, section 6.3).
fn is_bare(status: StatusCode) -> bool {
    status.is_informational() || matches!(status.as_u16(), 204 | 304)
}

fn framing(parts: &Parts, size: &SizeHint, manner: Manner) -> Framing {
    if manner.is_head || is_bare(parts.status) {
        return Framing::Length(0);
    }
    match size.exact().or_else(|| said(&parts.headers)) {
        Some(length) => Framing::Length(length),
        None if manner.is_old => Framing::Rest,
        None => Framing::Chunks,
    }
}

/// The length that a head says.
fn said(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH).and_then(|length| field::length(length.as_bytes()))
}

fn write_framing(
    out: &mut Vec<u8>,
    parts: &Parts,
    size: &SizeHint,
    manner: Manner,
    framing: Framing,
) {
    let length = match framing {
        Framing::Rest => None,
        Framing::Chunks => return field::write(out, "transfer-encoding", b"chunked"),
        // Of what is not sent the length may be told (RFC 9110, section 8.6).
        Framing::Length(_) if manner.is_head || parts.status == StatusCode::NOT_MODIFIED => {
            said(&parts.headers).or_else(|| size.exact().filter(|length| *length > 0))
        }
        Framing::Length(_) if is_bare(parts.status) => None,
        Framing::Length(length) => Some(length),
    };
    if let Some(length) = length {
        field::number(length, 10, |digits| field::write(out, "content-length", digits));
    }
}

impl Body {
    /// Whether nothing is to be written of it.
    pub(super) fn is_over(&self) -> bool {
        self.framing == Framing::Length(0)
    }

    /// Whether the connection ends with it.
    pub(super) fn is_rest(&self) -> bool {
        self.framing == Framing::Rest
    }

    /// Whether the client cannot have all of it.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// It breaks off.
    pub(super) fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Writes a piece.
    pub(super) fn piece(&mut self, out: &mut Out, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => self.data(out, data),
            Err(frame) => {
                if let (Framing::Chunks, Ok(trailers)) = (self.framing, frame.into_trailers()) {
                    self.end(out.bytes(), Some(&trailers));
                }
            }
        }
    }

    fn data(&mut self, out: &mut Out, data: Bytes) {
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        match &mut self.framing {
            // It would be the end.
            Framing::Chunks if data.is_empty() => {}
            Framing::Chunks => {
                field::number(length, 16, |digits| out.bytes().extend_from_slice(digits));
                out.bytes().extend_from_slice(b"\r\n");
                out.piece(data);
                out.bytes().extend_from_slice(b"\r\n");
            }
            Framing::Length(left) => match left.checked_sub(length) {
                Some(less) => {
                    *left = less;
                    out.piece(data);
                }
                None => self.cut(),
            },
            Framing::Rest => out.piece(data),
        }
    }

    /// Writes the end, if it is not written.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        match self.framing {
            Framing::Length(0) | Framing::Rest => {}
            Framing::Length(_) => self.cut(),
            Framing::Chunks => self.end(out, None),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>, trailers: Option<&HeaderMap>) {
        out.extend_from_slice(b"0\r\n");
        if let (Some(names), Some(trailers)) = (&self.trailer, trailers) {
            field::write_trailers(out, names, trailers);
        }
        out.extend_from_slice(b"\r\n");
        self.framing = Framing::Length(0);
    }
}

#[cfg(test)]
mod tests;
