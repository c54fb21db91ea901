//! HTTP/1.1 towards nodes as bytes (RFC 9112): what is written of a request, and what is read of a response.
//! Nothing here waits or owns a connection; `link` does.
//!
//! A node is not trusted. Whatever two readers could take for two messages is no message: the attempt fails,
//! or the body breaks off, and the connection is closed. Nothing that is read after the end of a response is
//! ever the beginning of the next one, and no body looks whole that is not.

pub(super) mod head;
mod reader;
mod request;
mod sending;

pub(super) use self::reader::{Piece, Reader};
pub(super) use self::sending::Sending;
