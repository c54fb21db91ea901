//! Responses that are streams of events, as a server of language models sends them, and their faults.

use crate::script::{Piece, Reply};

/// One event of a stream that goes well.
pub const DELTA: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";

/// The event that ends such a stream.
pub const DONE: &str = "data: [DONE]\n\n";

/// An event that tells of an error, by its data.
pub const ERROR: &str = "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n";

/// An event that tells of an error, by its type too.
pub const TYPED_ERROR: &str =
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";

/// Lines that keep a connection alive and are no events.
pub const COMMENT: &str = ": keep-alive\n\n";

/// A stream of these, and then of what `then` does.
pub fn stream(events: &[&str], then: impl IntoIterator<Item = Piece>) -> Reply {
    let sent = events.iter().map(|event| Piece::Send(event.as_bytes().to_vec()));
    let pieces: Vec<Piece> = sent.chain(then).collect();
    Reply::status(200).header("Content-Type", "text/event-stream").pieces(pieces)
}

/// A stream that goes well.
pub fn whole() -> Reply {
    stream(&[DELTA, DELTA, DONE], [])
}

/// A stream whose first event is an error, with status 200.
pub fn first_is_error() -> Reply {
    stream(&[ERROR, DONE], [])
}

/// A stream that ends before any event.
pub fn none() -> Reply {
    stream(&[], [])
}

/// A stream with comments only.
pub fn comments_only() -> Reply {
    stream(&[COMMENT, COMMENT], [])
}

/// A stream that says nothing more after these, until the other side goes away.
pub fn then_stall(events: &[&str]) -> Reply {
    stream(events, [Piece::WaitUntilGone])
}

/// A stream whose connection is closed after these, without an end.
pub fn then_cut(events: &[&str]) -> Reply {
    stream(events, [Piece::Cut])
}

/// A stream whose connection is reset after these.
pub fn then_reset(events: &[&str]) -> Reply {
    stream(events, [Piece::Reset])
}
