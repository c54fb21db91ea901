//! The header lines of a head: where they are, and what they say.

use bytes::Bytes;
use http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, InvalidHeaderName, SERVER,
    TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use httparse::Header;

use crate::spare;

/// So many headers are added to most heads before they go on: to make room later is to hash all again.
const ADDED: usize = 5;

/// Where in a head a header is: where the name begins and ends, and the value.
type Place = [usize; 4];

/// The places of the headers of a head.
#[derive(Default)]
pub(crate) struct Places {
    /// The first of them.
    few: [Place; 24],
    more: Vec<Place>,
    count: usize,
}

impl Places {
    /// Notes where in `bytes` these are, which were found there.
    pub(crate) fn note(&mut self, bytes: &[u8], fields: &[Header<'_>]) {
        for field in fields {
            let (name, name_end) = place(bytes, field.name.as_bytes());
            let (value, value_end) = place(bytes, field.value);
            self.push([name, name_end, value, value_end]);
        }
    }

    fn push(&mut self, place: Place) {
        match self.few.get_mut(self.count) {
            Some(free) => *free = place,
            None => self.more.push(place),
        }
        self.count += 1;
    }

    fn iter(&self) -> impl Iterator<Item = &Place> {
        self.few.iter().take(self.count).chain(&self.more)
    }
}

/// Where in `bytes` a part of it begins and ends.
pub(crate) fn place(bytes: &[u8], part: &[u8]) -> (usize, usize) {
    let start = part.as_ptr().addr() - bytes.as_ptr().addr();
    (start, start + part.len())
}

/// The headers, whose values share the bytes of the head. `note` sees each, and says whether it is kept;
/// none if one of them is no header.
pub(crate) fn headers(
    bytes: &Bytes,
    places: &Places,
    mut note: impl FnMut(&HeaderName, &[u8]) -> bool,
) -> Option<HeaderMap> {
    let mut headers = spare::take(places.count + ADDED);
    for [name, name_end, value, value_end] in places.iter().copied() {
        let name = name_of(bytes.get(name..name_end).unwrap_or_default()).ok()?;
        let value = HeaderValue::from_maybe_shared(bytes.slice(value..value_end)).ok()?;
        if note(&name, value.as_bytes()) {
            headers.append(name, value);
        }
    }
    Some(headers)
}

/// A name. Those of nearly every message are had without looking through all that there are.
fn name_of(bytes: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
    let (likely, cases) = match (bytes.len(), bytes.first()) {
        (4, Some(b'H' | b'h')) => (&HOST, [b"Host".as_slice(), b"host"]),
        (4, _) => (&DATE, [b"Date".as_slice(), b"date"]),
        (6, Some(b'A' | b'a')) => (&ACCEPT, [b"Accept".as_slice(), b"accept"]),
        (6, _) => (&SERVER, [b"Server".as_slice(), b"server"]),
        (10, Some(b'U' | b'u')) => (&USER_AGENT, [b"User-Agent".as_slice(), b"user-agent"]),
        (10, _) => (&CONNECTION, [b"Connection".as_slice(), b"connection"]),
        (12, _) => (&CONTENT_TYPE, [b"Content-Type".as_slice(), b"content-type"]),
        (14, _) => (&CONTENT_LENGTH, [b"Content-Length".as_slice(), b"content-length"]),
        (17, _) => (&TRANSFER_ENCODING, [b"Transfer-Encoding".as_slice(), b"transfer-encoding"]),
        _ => return HeaderName::from_bytes(bytes),
    };
    match cases.contains(&bytes) {
        true => Ok(likely.clone()),
        false => HeaderName::from_bytes(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_they_are_however_they_are_written() {
        let names = ["host", "date", "accept", "server", "user-agent", "connection"];
        let names = [&names[..], &["content-type", "content-length", "transfer-encoding"]].concat();
        for name in names {
            let other = |byte: u8| if byte == b'e' { b'i' } else { byte };
            let cases = [name.to_owned(), name.to_uppercase(), title(name)];
            for case in cases {
                assert_eq!(name_of(case.as_bytes()).expect("a name"), name);
            }
            let twin: Vec<u8> = name.bytes().map(other).collect();
            assert_eq!(name_of(&twin).expect("a name").as_str().as_bytes(), twin);
        }
        assert!(name_of(b"a b:").is_err() && name_of(b"").is_err());
    }

    fn title(name: &str) -> String {
        let mut is_first = true;
        let upper = |letter: char| {
            let upper = if is_first { letter.to_ascii_uppercase() } else { letter };
            is_first = letter == '-';
            upper
        };
        name.chars().map(upper).collect()
    }
}
