//! One JSON object on one line, whatever is in it.
//!
//! What clients send is in lines that people read at terminals. JSON escapes quotes, backslashes and the
//! controls of ASCII, so that nothing ends a line or a string early. Other characters that a terminal
//! obeys or hides (DEL, the controls of Latin-1, what turns the direction of text around or has no width)
//! are escaped here, too; a reader of JSON gets them back.

use std::fmt;
use std::io;

use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

/// A line, without a line feed; nothing if there is no JSON for it.
pub fn line(value: &impl Serialize) -> Option<String> {
    let mut bytes = Vec::with_capacity(256);
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, Careful);
    value.serialize(&mut writer).ok()?;
    String::from_utf8(bytes).ok()
}

/// A line that lacks its end: what is known only later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun(String);

impl Begun {
    /// The beginning of a line; nothing if there is no JSON for it.
    pub fn new(value: &impl Serialize) -> Option<Self> {
        let mut line = line(value)?;
        (line.pop() == Some('}')).then_some(Self(line))
    }

    /// The whole line.
    pub fn end(self, value: &impl Serialize) -> String {
        let Self(mut whole) = self;
        let end = line(value).unwrap_or_default();
        match end.strip_prefix('{').unwrap_or("}") {
            rest @ "}" => whole.push_str(rest),
            rest => {
                whole.push(',');
                whole.push_str(rest);
            }
        }
        whole
    }
}

struct Careful;

impl Formatter for Careful {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if fragment.bytes().all(|b| b < 0x7f) {
            return writer.write_all(fragment.as_bytes());
        }
        for char in fragment.chars() {
            if is_obeyed(char) {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            } else {
                writer.write_all(char.encode_utf8(&mut [0; 4]).as_bytes())?;
            }
        }
        Ok(())
    }
}

/// Whether a terminal does something else with a character than to show it.
fn is_obeyed(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// What a client sent, as URLs write it: whatever is not visible ASCII is escaped with `%`. No more than
/// `max` bytes of it are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'t> {
    text: &'t str,
    max: usize,
}

impl<'t> Shown<'t> {
    pub(crate) fn new(text: &'t str, max: usize) -> Self {
        Self { text, max }
    }

    /// How long it is, if not all of it is shown.
    pub(crate) fn cut(self) -> Option<usize> {
        Some(self.text.len()).filter(|length| *length > self.max)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.text.as_bytes().get(..self.max).unwrap_or(self.text.as_bytes());
        for part in shown.chunk_by(|one, other| one.is_ascii_graphic() == other.is_ascii_graphic())
        {
            match str::from_utf8(part) {
                Ok(visible) if part.iter().all(u8::is_ascii_graphic) => f.write_str(visible)?,
                Ok(_) | Err(_) => part.iter().try_for_each(|byte| write!(f, "%{byte:02X}"))?,
            }
        }
        Ok(())
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn nothing_that_a_terminal_obeys_is_in_a_line() {
        let nasty: String =
            ('\0'..='\u{2ff}').chain(['\u{2028}', '\u{202e}', '\u{feff}']).collect();
        let nasty = format!("{nasty}\u{e0041}\u{1f600}\r\n\"}}\\\u{1b}[2J");
        let line = line(&json!({"a": nasty, nasty.clone(): 1})).expect("JSON");
        assert!(!line.chars().any(is_obeyed), "{line}");
        let read: Value = serde_json::from_str(&line).expect("JSON again");
        assert_eq!(read, json!({"a": nasty, nasty: 1}));
        assert!(line.contains("\\u009b") && line.contains("\\udb40\\udc41"), "{line}");
        assert!(line.contains('\u{1f600}') && line.contains('\u{e9}'), "what is harmless stays");
    }

    #[test]
    fn what_clients_send_is_shown_as_urls_write_it_and_never_at_length() {
        for (text, max, shown, cut) in [
            ("/a?b", 9, "/a?b", None),
            ("/caf\u{e9}\n\u{1b}[0m \"", 99, "/caf%C3%A9%0A%1B[0m%20\"", None),
            ("/\u{fffd}\u{7f}", 2, "/%EF", Some(5)),
            ("aaaa", 3, "aaa", Some(4)),
            ("", 3, "", None),
        ] {
            let text = Shown::new(text, max);
            assert_eq!((text.to_string().as_str(), text.cut()), (shown, cut), "{text:?}");
        }
    }

    #[test]
    fn a_line_ends_with_what_is_known_last() {
        let begun = || Begun::new(&json!({"a": 1})).expect("an object");
        assert_eq!(begun().end(&json!({"b": 2})), r#"{"a":1,"b":2}"#);
        assert_eq!(begun().end(&json!({})), r#"{"a":1}"#);
        assert_eq!(Begun::new(&json!(1)), None);
    }
}
