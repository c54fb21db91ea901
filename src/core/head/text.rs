//! Short texts that are kept where they are written.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;

/// The longest text that is kept in place: an IPv6 address has at most 39 characters, an id mostly fewer.
const SHORT_MAX: usize = 46;

/// A name or a value of a header. Nothing is allocated for one that is short or part of the program, nor
/// for a copy of it.
#[derive(Clone)]
pub struct Text(Kept);

#[derive(Clone)]
enum Kept {
    Fixed(&'static str),
    Short { length: u8, bytes: [u8; SHORT_MAX] },
    Long(Box<str>),
}

impl Text {
    /// A text that is part of the program.
    pub const fn fixed(text: &'static str) -> Self {
        Self(Kept::Fixed(text))
    }

    /// A copy of a text.
    pub fn copy(text: &str) -> Self {
        let mut bytes = [0; SHORT_MAX];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                Self(Kept::Short { length, bytes })
            }
            _ => Self(Kept::Long(text.into())),
        }
    }

    /// A number in decimal digits.
    pub(crate) fn of_number(number: u32) -> Self {
        let mut writer = Writer::default();
        writer.number(number);
        writer.text()
    }

    /// An address, as its `Display` has it.
    pub(crate) fn of_address(address: IpAddr) -> Self {
        let mut writer = Writer::default();
        match address {
            IpAddr::V4(address) => writer.address(address),
            IpAddr::V6(address) => {
                // Cannot fail: none is longer than there is room for.
                _ = fmt::Write::write_fmt(&mut writer, format_args!("{address}"));
            }
        }
        writer.text()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Kept::Fixed(text) => text,
            Kept::Long(text) => text,
            Kept::Short { .. } => str::from_utf8(self.as_bytes()).unwrap_or_default(),
        }
    }

    /// Its bytes, which are UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Kept::Fixed(text) => text.as_bytes(),
            Kept::Long(text) => text.as_bytes(),
            Kept::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
        }
    }
}

/// Writes what has room in place.
struct Writer {
    length: usize,
    bytes: [u8; SHORT_MAX],
}

impl Default for Writer {
    fn default() -> Self {
        Self { length: 0, bytes: [0; SHORT_MAX] }
    }
}

impl Writer {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    fn number(&mut self, mut number: u32) {
        let start = self.length;
        loop {
            self.push(b'0' + u8::try_from(number % 10).unwrap_or_default());
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.bytes.get_mut(start..self.length).unwrap_or_default().reverse();
    }

    fn address(&mut self, address: Ipv4Addr) {
        for (place, part) in address.octets().into_iter().enumerate() {
            if place > 0 {
                self.push(b'.');
            }
            if part > 99 {
                self.push(b'0' + part / 100);
            }
            if part > 9 {
                self.push(b'0' + part / 10 % 10);
            }
            self.push(b'0' + part % 10);
        }
    }

    fn text(self) -> Text {
        let length = u8::try_from(self.length).unwrap_or_default();
        Text(Kept::Short { length, bytes: self.bytes })
    }
}

impl fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let place = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self::fixed(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        if text.len() > SHORT_MAX { Self(Kept::Long(text.into())) } else { Self::copy(&text) }
    }
}

impl From<Cow<'_, str>> for Text {
    fn from(text: Cow<'_, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::copy(text),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_length_and_origin_are_what_they_were() {
        for length in [0, 1, 45, 46, 47, 300] {
            let text = "\u{e9}".repeat(length / 2) + &"x".repeat(length % 2);
            for kept in [Text::copy(&text), text.clone().into(), Cow::Borrowed(&*text).into()] {
                assert_eq!((kept.as_str(), kept.as_bytes()), (&*text, text.as_bytes()));
                assert_eq!(kept.clone(), *text);
            }
        }
        assert_eq!(Text::fixed("a"), Text::copy("a"));
    }

    #[test]
    fn numbers_and_addresses_are_written_as_everywhere() {
        for number in [0, 7, 10, 80, 101, 9080, 65_535, 1_000_000_000, u32::MAX] {
            assert_eq!(Text::of_number(number), *number.to_string());
        }
        let longest = "2a02:8109:8a40:1234:d5f2:1a2b:3c4d:5e6f";
        for address in ["0.0.0.0", "10.9.100.255", "::", "::1", "::ffff:1.2.3.4", longest] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(Text::of_address(address), *address.to_string());
        }
    }

    #[test]
    fn nothing_is_allocated_for_what_is_short() {
        let short = "s".repeat(SHORT_MAX);
        let making = || {
            let text = Text::copy(&short);
            let made = [Text::of_address(IpAddr::from([10, 0, 0, 255])), text.clone(), text];
            assert!(made.iter().all(|text| !text.is_empty()));
        };
        assert_eq!(allocation_counter::measure(making).count_total, 0);
    }
}
