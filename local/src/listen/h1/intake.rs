//! The body of a request, out of the bytes of a connection.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use hyper::body::Frame;

use super::head::Follows;
use crate::h1::chunked::{Broken, Chunked, Part};

/// For how many bytes of a body there is space when one reads, at least and at most.
const SPACE_MIN: usize = 2 * 1024;
const SPACE_MAX: usize = 64 * 1024;

/// What is still to come of a body.
#[derive(Debug)]
pub(super) enum Intake {
    Length(u64),
    Chunks(Box<Chunked>),
    /// Nothing.
    Done,
    /// What comes is no body, or nobody wants it: nothing behind it can be a request.
    Broken,
}

/// What there is next of a body.
#[derive(Debug)]
pub(super) enum Taken {
    /// More bytes are needed.
    More,
    Some(Frame<Bytes>),
    End,
}

impl From<Follows> for Intake {
    fn from(follows: Follows) -> Self {
        match follows {
            Follows::Length(0) => Self::Done,
            Follows::Length(length) => Self::Length(length),
            Follows::Chunks => Self::Chunks(Box::default()),
        }
    }
}

impl Intake {
    /// Takes from `buffer` what is next.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Result<Taken, Broken> {
        match self {
            Self::Done => Ok(Taken::End),
            Self::Broken => Err(Broken),
            Self::Length(left) => {
                let there = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                if there == 0 {
                    return Ok(Taken::More);
                }
                *left -= u64::try_from(there).unwrap_or(*left);
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(Taken::Some(Frame::data(buffer.split_to(there).freeze())))
            }
            Self::Chunks(chunks) => {
                let part = chunks.next(buffer);
                let is_over = matches!(&part, Ok(Part::Data(_))) && chunks.take_end(buffer);
                self.chunk(part, is_over)
            }
        }
    }

    fn chunk(&mut self, part: Result<Part, Broken>, is_over: bool) -> Result<Taken, Broken> {
        let trailers = |trailers: Option<HeaderMap>| trailers.map(Frame::trailers);
        let (taken, is_over) = match part {
            Ok(Part::More) => (Ok(Taken::More), false),
            Ok(Part::Data(bytes)) => (Ok(Taken::Some(Frame::data(bytes))), is_over),
            Ok(Part::End(lines)) => (Ok(trailers(lines).map_or(Taken::End, Taken::Some)), true),
            Err(Broken) => {
                *self = Self::Broken;
                return Err(Broken);
            }
        };
        if is_over {
            *self = Self::Done;
        }
        taken
    }

    /// Whether nothing more is to come.
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Whether something of it is still to come.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Length(_) | Self::Chunks(_))
    }

    /// How many bytes are to come, where that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Done => Some(0),
            Self::Chunks(_) | Self::Broken => None,
        }
    }

    /// For how many bytes there should be space before the next are read.
    pub(super) fn space(&self) -> usize {
        match self {
            // One more than there are: a read that leaves space says that there is nothing else.
            Self::Length(left) => {
                let left = usize::try_from(*left).unwrap_or(SPACE_MAX);
                left.saturating_add(1).clamp(SPACE_MIN, SPACE_MAX)
            }
            Self::Chunks(_) => SPACE_MAX / 4,
            Self::Done | Self::Broken => SPACE_MIN,
        }
    }
}
