//! The kinds of requests, and the answer that belongs to each.

use splitway_tests::chance::Chance;
use splitway_tests::http::write_chunk;

/// More than is kept of a body for another attempt (65536 bytes).
const LARGE: usize = 100_000;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Get,
    /// With an answer that does not fit into a packet.
    LargeGet,
    /// May be executed once at most.
    Post,
    /// May be executed again, as its key says.
    KeyedPost,
    /// With more than is kept for another attempt; may be executed once at most.
    LargePost,
    /// A stream of events.
    Stream,
}

impl Kind {
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        match chance.below(100) {
            0..50 => Self::Get,
            50..53 => Self::LargeGet,
            53..78 => Self::Post,
            78..90 => Self::KeyedPost,
            90..92 => Self::LargePost,
            _ => Self::Stream,
        }
    }

    pub(crate) const fn method(self) -> &'static str {
        match self {
            Self::Get | Self::LargeGet | Self::Stream => "GET",
            Self::Post | Self::KeyedPost | Self::LargePost => "POST",
        }
    }

    /// The first part of the path.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::LargeGet => "large-get",
            Self::Post => "post",
            Self::KeyedPost => "keyed-post",
            Self::LargePost => "large-post",
            Self::Stream => "stream",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        use Kind::*;
        [Get, LargeGet, Post, KeyedPost, LargePost, Stream].into_iter().find(|it| it.word() == word)
    }

    /// Whether it must not reach two origins, so that a failure may have to be told.
    pub(crate) const fn is_once(self) -> bool {
        matches!(self, Self::Post | Self::LargePost)
    }

    /// Whether its answer may end early when its origin does: a part of it is with the client already.
    pub(crate) const fn may_be_cut(self) -> bool {
        matches!(self, Self::LargeGet | Self::Stream)
    }

    /// The body of the request with this number.
    pub(crate) fn body(self, number: u64) -> Vec<u8> {
        let size = usize::try_from(number * 7919 % 4096).expect("small");
        match self {
            Self::Get | Self::LargeGet | Self::Stream => Vec::new(),
            Self::Post | Self::KeyedPost => fill(number, size),
            Self::LargePost => fill(number, LARGE),
        }
    }

    /// The pieces of the answer of the origin `name`.
    pub(crate) fn answer(self, number: u64, name: &str) -> Vec<Vec<u8>> {
        let first = format!("{number} {name} {} {}\n", self.word(), self.body(number).len());
        match self {
            Self::LargeGet => vec![[first.into_bytes(), fill(number, LARGE)].concat()],
            Self::Stream => {
                let count = 2 + number % 5;
                let events = (0..count).map(|event| format!("data: {number} {event}\n\n"));
                let last = format!("data: end of {first}\n");
                events.chain([last]).map(String::into_bytes).collect()
            }
            Self::Get | Self::Post | Self::KeyedPost | Self::LargePost => vec![first.into_bytes()],
        }
    }

    /// The head of that answer.
    pub(crate) fn answer_head(self, number: u64, name: &str) -> Vec<u8> {
        let body = match self {
            Self::Stream => "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked".into(),
            Self::Get | Self::LargeGet | Self::Post | Self::KeyedPost | Self::LargePost => {
                let length: usize = self.answer(number, name).iter().map(Vec::len).sum();
                format!("Content-Length: {length}")
            }
        };
        format!("HTTP/1.1 200 OK\r\nX-Number: {number}\r\nX-Origin: {name}\r\n{body}\r\n\r\n")
            .into()
    }

    /// What goes over the wire, at once or with pauses between.
    pub(crate) fn wire(self, number: u64, name: &str) -> Vec<Vec<u8>> {
        let head = self.answer_head(number, name);
        let pieces = self.answer(number, name);
        if self != Self::Stream {
            return vec![[&[head], &pieces[..]].concat().concat()];
        }
        let chunked = |piece: &Vec<u8>| {
            let mut chunk = Vec::new();
            write_chunk(&mut chunk, piece).expect("memory takes all");
            chunk
        };
        let mut wire: Vec<Vec<u8>> = [head].into_iter().chain(pieces.iter().map(chunked)).collect();
        wire.push(b"0\r\n\r\n".to_vec());
        wire
    }
}

/// So many bytes that only this number has.
fn fill(number: u64, size: usize) -> Vec<u8> {
    let letters: Vec<u8> = format!("{number}.").into_bytes();
    letters.iter().copied().cycle().take(size).collect()
}
