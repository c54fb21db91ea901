//! One response after the other out of the bytes of a connection, however these are cut into pieces.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};
use splitway_core::problem::Failure;

use super::head::{self, Asked, Follows};
use crate::h1::chunked::{Broken, Chunked, Part};
use crate::h1::may_end;

/// The most heads that may come before the one of the answer (RFC 9110, section 15.2).
const INTERIM_MAX: u32 = 100;

/// For how many bytes there is space when one reads, at first, and at least and at most.
const SPACE: usize = 8 * 1024;
const SPACE_MIN: usize = 1024;
const SPACE_MAX: usize = 64 * 1024;

/// Where in a response one is.
#[derive(Debug)]
pub(in crate::upstream) struct Reader {
    state: State,
    asked: Asked,
    is_last: bool,
    interim: u32,
    /// As many bytes were there when they were no whole head.
    seen: usize,
    /// How much to read at once where nobody says how much there is.
    space: usize,
}

#[derive(Debug)]
enum State {
    Head,
    Length(u64),
    Chunks(Box<Chunked>),
    /// All until the connection ends.
    Rest,
    End,
    Broken,
}

/// A piece of a body.
#[derive(Debug)]
pub(in crate::upstream) enum Piece {
    /// More bytes are needed.
    More,
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

impl Reader {
    /// Before the first request.
    pub(in crate::upstream) fn new() -> Self {
        let asked = Asked::default();
        Self { state: State::End, asked, is_last: false, interim: 0, seen: 0, space: SPACE }
    }

    /// A request is sent.
    pub(in crate::upstream) fn ask(&mut self, asked: Asked) {
        *self = Self { state: State::Head, asked, ..Self::new() };
    }

    /// The head of the answer, if all of it is there. Those before it are skipped.
    pub(in crate::upstream) fn head(
        &mut self,
        buffer: &mut BytesMut,
        is_ended: bool,
    ) -> Result<Option<Response<()>>, Failure> {
        loop {
            let is_full = buffer.len() >= head::BYTES_MAX;
            if !may_end(buffer, self.seen) && !is_full && !is_ended {
                return Ok(None);
            }
            let Some(head) = head::parse(buffer, self.asked)? else {
                self.seen = buffer.len();
                return if is_ended { Err(Failure::ConnectionTerminated) } else { Ok(None) };
            };
            self.seen = 0;
            self.state = match head.follows {
                Follows::Head => {
                    self.interim += 1;
                    if self.interim > INTERIM_MAX {
                        return Err(Failure::HttpProtocolError);
                    }
                    continue;
                }
                Follows::Length(0) => State::End,
                Follows::Length(length) => State::Length(length),
                Follows::Chunks => State::Chunks(Box::default()),
                Follows::Rest => State::Rest,
            };
            self.is_last = head.is_last;
            return Ok(Some(head.response));
        }
    }

    /// The next piece of the body. `is_ended` says that the node closed its side in the proper way.
    pub(in crate::upstream) fn body(
        &mut self,
        buffer: &mut BytesMut,
        is_ended: bool,
    ) -> Result<Piece, Failure> {
        let piece = match &mut self.state {
            State::End => return Ok(Piece::End),
            State::Head | State::Broken => return Err(Failure::ConnectionTerminated),
            State::Length(left) => {
                let there = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                *left -= u64::try_from(there).unwrap_or(*left);
                let is_whole = *left == 0;
                let piece = data(buffer, there);
                if is_whole {
                    self.state = State::End;
                }
                piece
            }
            State::Rest if buffer.is_empty() && is_ended => {
                self.state = State::End;
                return Ok(Piece::End);
            }
            State::Rest => data(buffer, buffer.len()),
            State::Chunks(_) => return self.chunk(buffer, is_ended),
        };
        if is_ended && matches!(piece, Piece::More) {
            self.state = State::Broken;
            return Err(Failure::ConnectionTerminated);
        }
        Ok(piece)
    }

    fn chunk(&mut self, buffer: &mut BytesMut, is_ended: bool) -> Result<Piece, Failure> {
        let State::Chunks(chunks) = &mut self.state else { return Ok(Piece::More) };
        let (next, piece) = match chunks.next(buffer) {
            Ok(Part::Data(bytes)) if !chunks.take_end(buffer) => return Ok(Piece::Data(bytes)),
            Ok(Part::Data(bytes)) => (State::End, Ok(Piece::Data(bytes))),
            Ok(Part::More) if !is_ended => return Ok(Piece::More),
            Ok(Part::End(None)) => (State::End, Ok(Piece::End)),
            Ok(Part::End(Some(trailers))) => (State::End, Ok(Piece::Trailers(trailers))),
            Ok(Part::More) | Err(Broken) => (State::Broken, Err(Failure::ConnectionTerminated)),
        };
        self.state = next;
        piece
    }

    /// Whether the response is through.
    pub(in crate::upstream) fn is_at_end(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// Whether another request may be sent after the response.
    pub(in crate::upstream) fn is_free(&self) -> bool {
        self.is_at_end() && !self.is_last
    }

    /// How many bytes of the body are to come, where that is known.
    pub(in crate::upstream) fn left(&self) -> Option<u64> {
        match &self.state {
            State::Length(left) => Some(*left),
            State::End => Some(0),
            State::Head | State::Chunks(_) | State::Rest | State::Broken => None,
        }
    }

    /// For how many bytes there should be space before the next are read.
    pub(in crate::upstream) fn space(&self) -> usize {
        match &self.state {
            // One more than there are: a read that leaves space says that there is nothing else.
            State::Length(left) => {
                let left = usize::try_from(*left).unwrap_or(SPACE_MAX);
                left.saturating_add(1).clamp(SPACE_MIN, SPACE_MAX)
            }
            State::Head | State::Chunks(_) | State::Rest | State::End | State::Broken => self.space,
        }
    }

    /// All the space was used: there may be more where that came from.
    pub(in crate::upstream) fn widen(&mut self) {
        self.space = (self.space * 2).min(SPACE_MAX);
    }
}

/// So many bytes of a body.
fn data(buffer: &mut BytesMut, length: usize) -> Piece {
    match length {
        0 => Piece::More,
        length => Piece::Data(buffer.split_to(length).freeze()),
    }
}

#[cfg(test)]
mod tests;
