//! As much of HTTP/1.1 as the origin and the own clients speak.

use std::ops::Range;

/// Where a head ends in these bytes, the empty line included; nothing while it is not all there.
///
/// `seen` bytes were looked at before.
pub(crate) fn end_of_head(bytes: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(3);
    let at = bytes[from..].windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(from + at + 4)
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes, none included.
    Length(usize),
    /// In chunks (RFC 9112, section 7.1).
    Chunks,
}

/// How the message with this head is framed.
pub(crate) fn framing(head: &[u8]) -> Framing {
    let mut framing = Framing::Length(0);
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        if let Some(value) = field(line, b"content-length:") {
            framing = Framing::Length(value.parse().unwrap_or(0));
        } else if field(line, b"transfer-encoding:").is_some() {
            return Framing::Chunks;
        }
    }
    framing
}

/// The value on a line that begins with this name and its colon, in any case.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let (start, value) = line.split_at_checked(name.len())?;
    if !start.eq_ignore_ascii_case(name) {
        return None;
    }
    std::str::from_utf8(value).ok().map(str::trim)
}

/// Takes the chunks of a body apart, however they arrive.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    place: Place,
    /// Of the chunk; while its length is read, as much of that as was there.
    left: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Length,
    /// What may stand behind a length, to the end of the line.
    Extension,
    Data,
    /// The line end behind data.
    Behind,
    /// The lines behind the last chunk; how many bytes are on this one.
    Trailer(usize),
    End,
}

impl Chunks {
    /// Takes what has arrived, hands on the pieces of it that are data, and says whether the body has ended.
    pub(crate) fn take(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> bool {
        let mut at = 0;
        while at < bytes.len() && self.place != Place::End {
            if self.place == Place::Data {
                let piece: Range<usize> = at..(at + self.left).min(bytes.len());
                self.left -= piece.len();
                at = piece.end;
                data(&bytes[piece]);
                if self.left == 0 {
                    self.place = Place::Behind;
                }
            } else {
                self.step(bytes[at]);
                at += 1;
            }
        }
        self.place == Place::End
    }

    /// Takes a byte that is no data.
    fn step(&mut self, byte: u8) {
        self.place = match (self.place, byte) {
            (Place::Length | Place::Extension, b'\n') if self.left == 0 => Place::Trailer(0),
            (Place::Length | Place::Extension, b'\n') => Place::Data,
            (Place::Length, b';') | (Place::Extension, _) => Place::Extension,
            (Place::Length, byte) => {
                if let Some(digit) = char::from(byte).to_digit(16) {
                    self.left = self.left * 16 + digit as usize;
                }
                Place::Length
            }
            (Place::Behind, b'\n') => Place::Length,
            (Place::Trailer(0), b'\n') => Place::End,
            (Place::Trailer(_), b'\n') => Place::Trailer(0),
            (Place::Trailer(count), b'\r') => Place::Trailer(count),
            (Place::Trailer(count), _) => Place::Trailer(count + 1),
            (place @ (Place::Behind | Place::Data | Place::End), _) => place,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_taken_apart_wherever_they_are_cut() {
        let body = b"5\r\nhello\r\nB;note=x\r\n, you there\r\n0\r\nx-trailer: y\r\n\r\n";
        for cut in 0..body.len() {
            let (mut chunks, mut data) = (Chunks::default(), Vec::new());
            assert!(!chunks.take(&body[..cut], |piece| data.extend_from_slice(piece)), "{cut}");
            assert!(chunks.take(&body[cut..], |piece| data.extend_from_slice(piece)), "{cut}");
            assert_eq!(data, b"hello, you there", "{cut}");
        }
    }

    #[test]
    fn a_head_says_how_its_body_ends() {
        let framing = |fields: &str| framing(format!("POST / HTTP/1.1\r\n{fields}\r\n").as_bytes());
        assert_eq!(framing("Content-Length: 12\r\n"), Framing::Length(12));
        assert_eq!(framing("transfer-encoding: chunked\r\n"), Framing::Chunks);
        assert_eq!(framing("host: x\r\n"), Framing::Length(0));
    }

    #[test]
    fn the_end_of_a_head_is_found_in_pieces() {
        let head = b"GET / HTTP/1.1\r\n\r\nbody";
        assert_eq!(end_of_head(&head[..17], 0), None);
        for seen in 0..18 {
            assert_eq!(end_of_head(head, seen), Some(18), "{seen}");
        }
    }
}
