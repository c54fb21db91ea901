//! What both sides of HTTP/1.1 have in common as bytes (RFC 9112): that of clients in `listen::h1`, that of
//! nodes in `upstream::h1`. Nothing here owns a connection.
//!
//! Neither side is trusted. Whatever two readers could take for two messages is no message.

pub(crate) mod chunked;
pub(crate) mod edits;
pub(crate) mod field;
pub(crate) mod lines;
pub(crate) mod out;

/// Whether the end of a head may be in `bytes`, of which the first `seen` were no whole head: whoever sends
/// bytes one by one is not to have them all read for each.
pub(crate) fn may_end(bytes: &[u8], seen: usize) -> bool {
    if seen == 0 {
        return !bytes.is_empty();
    }
    let fresh = bytes.get(seen.saturating_sub(3)..).unwrap_or_default();
    let ends = |end: &[u8]| fresh.windows(end.len()).any(|window| window == end);
    ends(b"\n\n") || ends(b"\n\r\n")
}
