//! HTTP/1.1 with clients (RFC 9112), one request after the other.
//!
//! Whoever has the connection drives all of it in one task: a request is answered where it was read, and its
//! answer written from there, so that nothing is handed from one task to another and nobody is woken in between.
//! `wire` is the stream with what was read and what is to be written, `head` reads requests, `intake` their
//! bodies, `reply` says how answers are framed, and `dialogue` has them follow each other. `later` writes the answers
//! of many connections one behind the other.

mod date;
mod dialogue;
mod head;
mod intake;
mod later;
mod reply;
mod wire;

pub(super) use self::dialogue::{Dialogue, Ending};
pub(crate) use self::head::CanSwitch;
pub(super) use self::later::Later;
pub(super) use self::wire::Wire;
pub(crate) use self::wire::{Streamed, Torn};

#[cfg(test)]
mod tests;
