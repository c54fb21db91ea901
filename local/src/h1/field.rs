//! Fields that frame messages (RFC 9112, sections 6 and 9.3).

use http::{HeaderMap, HeaderName, HeaderValue};

/// The most that a length may be; what is left of 64 bits has other meanings for those who count.
const LENGTH_MAX: u64 = u64::MAX - 2;

/// A length as digits alone say it.
pub(crate) fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let length = value.iter().try_fold(0_u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    });
    length.filter(|length| *length <= LENGTH_MAX)
}

/// The one length that a line of `Content-Length` says, which may say it several times (RFC 9112, section
/// 6.3), if `known`, which lines before said, is the same.
pub(crate) fn lengths(value: &[u8], known: Option<u64>) -> Option<u64> {
    let mut parts = value.split(|byte| *byte == b',');
    parts.try_fold(known, |known, part| {
        let said = length(part.trim_ascii())?;
        known.is_none_or(|known| known == said).then_some(Some(said))
    })?
}

/// Whether a list has a word, in any case.
pub(crate) fn has_word(list: &[u8], word: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|found| found.trim_ascii().eq_ignore_ascii_case(word))
}

/// Whether a field may be a trailer: none that frames, routes or controls a message (RFC 9110, section
/// 6.5.1), or concerns one connection only.
pub(crate) fn may_trail(name: &HeaderName) -> bool {
    !matches!(
        name.as_str(),
        "authorization"
            | "cache-control"
            | "connection"
            | "content-encoding"
            | "content-length"
            | "content-range"
            | "content-type"
            | "cookie"
            | "expect"
            | "host"
            | "keep-alive"
            | "max-forwards"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "set-cookie"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Writes the trailers that were announced and may be some.
pub(crate) fn write_trailers(out: &mut Vec<u8>, names: &HeaderValue, trailers: &HeaderMap) {
    for (name, value) in trailers {
        if may_trail(name) && announces(names, name) {
            write(out, name.as_str(), value.as_bytes());
        }
    }
}

/// Writes a line.
pub(crate) fn write(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Whether a document's header can be written: a name and a value without what ends lines.
pub(crate) fn is_sound(name: &str, value: &[u8]) -> bool {
    !name.is_empty() && TOKENS.has_all(name.as_bytes()) && is_value(value)
}

/// Whether bytes are a value: tabs, blanks and what can be seen or is not ASCII.
pub(crate) fn is_value(value: &[u8]) -> bool {
    // Without leaving early, which makes it many bytes at a time.
    let is_none = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
    !value.iter().fold(false, |found, byte| found | is_none(*byte))
}

/// What names are made of (RFC 9110, section 5.6.2).
pub(crate) const TOKENS: Letters = Letters::with(b"!#$%&'*+-.^_`|~");

/// A set of bytes that has all ASCII letters and digits.
pub(crate) struct Letters([bool; 256]);

impl Letters {
    #[expect(clippy::indexing_slicing, reason = "computed by the compiler, which would say so")]
    pub(crate) const fn with(others: &[u8]) -> Self {
        let mut letters = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            let (mut at, mut is_other) = (0, false);
            while at < others.len() {
                is_other |= others[at] == byte;
                at += 1;
            }
            letters[byte as usize] = byte.is_ascii_alphanumeric() || is_other;
            byte += 1;
        }
        Self(letters)
    }

    pub(crate) fn has_all(&self, bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| self.0.get(usize::from(*byte)).copied().unwrap_or_default())
    }
}

/// Writes a number.
pub(crate) fn number(mut number: u64, radix: u64, write: impl FnOnce(&[u8])) {
    let mut digits = [0_u8; 20];
    let mut count = 0;
    // 64 bits are 20 digits at most.
    for place in digits.iter_mut().rev() {
        let digit = u8::try_from(number % radix).unwrap_or_default();
        *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        number /= radix;
        count += 1;
        if number == 0 {
            break;
        }
    }
    write(digits.get(digits.len() - count..).unwrap_or_default());
}

/// Whether `names`, a value of `Trailer`, has the name of a field.
fn announces(names: &HeaderValue, name: &HeaderName) -> bool {
    has_word(names.as_bytes(), name.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_digits_and_nothing_else() {
        for (value, expected) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551613", Some(LENGTH_MAX)),
            ("18446744073709551614", None),
            ("18446744073709551616", None),
            ("99999999999999999999999", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("0x1", None),
            ("1_0", None),
            ("1 0", None),
            ("1.0", None),
            ("\u{661}", None),
        ] {
            assert_eq!(length(value.as_bytes()), expected, "{value:?}");
        }
    }

    #[test]
    fn several_lengths_are_one_if_they_are_equal() {
        for (value, known, expected) in [
            ("5", None, Some(5)),
            ("5", Some(5), Some(5)),
            ("5", Some(6), None),
            ("5, 5,5", None, Some(5)),
            ("5, 05", None, Some(5)),
            ("5, 6", None, None),
            ("5,", None, None),
            (",5", None, None),
            ("5, 5", Some(6), None),
            ("5 5", None, None),
        ] {
            assert_eq!(lengths(value.as_bytes(), known), expected, "{value:?} after {known:?}");
        }
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for value in [0, 1, 9, 10, 255, 4096, u64::MAX] {
            number(value, 10, |text| assert_eq!(text, value.to_string().as_bytes()));
            number(value, 16, |text| assert_eq!(text, format!("{value:x}").as_bytes()));
        }
    }
}
