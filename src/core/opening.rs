//! What a stream of events (`text/event-stream`; HTML, section 9.2, "Server-sent events") begins with:
//! an answer, an error, or nothing.
//!
//! An upstream that fails after it sent its head says so in the stream, or ends it. As long as nothing
//! of the stream was passed on, another upstream can be asked instead. So the beginning is held back
//! until [`Opening`] has a verdict; it judges byte by byte, however the stream was cut into chunks.

use serde_json::{Value, json};

/// What ends a stream of OpenAI's API; it is no answer.
const DONE: &[u8] = b"[DONE]";

/// The byte order mark that a stream may begin with, in UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// How many bytes of a stream are looked at before it counts as speaking.
pub const OPENING_MAX: usize = 64 * 1024;

/// What a stream begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The first event is no error.
    Speaks,
    /// The first event is called `error`, or its data is a JSON object with an `error` that is not null.
    Error,
    /// It ended without an event, or says that it is done and nothing else.
    Empty,
    /// There was no event in as many bytes as may be held back: it counts as speaking.
    Unclear,
}

/// A judge of the beginning of one stream. It holds at most twice the bytes that it may look at.
#[derive(Debug)]
pub struct Opening {
    /// How many bytes it may still look at.
    room: usize,
    /// What there is of the line that has not ended.
    line: Vec<u8>,
    is_first_line: bool,
    /// Whether the last line ended in CR, to which a LF may belong that comes next.
    after_cr: bool,
    /// The data of the event that has not ended, each line with a LF behind it.
    data: Vec<u8>,
    /// Whether that event is called `error`.
    is_error: bool,
    verdict: Option<Verdict>,
}

impl Opening {
    /// A judge that looks at `max_bytes` at most.
    pub const fn new(max_bytes: usize) -> Self {
        Self {
            room: max_bytes,
            line: Vec::new(),
            is_first_line: true,
            after_cr: false,
            data: Vec::new(),
            is_error: false,
            verdict: None,
        }
    }

    /// Looks at what comes next. Once there is a verdict it stays.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Verdict> {
        if self.verdict.is_none() {
            let (inside, beyond) = bytes.split_at(bytes.len().min(self.room));
            self.room -= inside.len();
            self.verdict = self.judge(inside);
            if self.verdict.is_none() && !beyond.is_empty() {
                self.verdict = Some(Verdict::Unclear);
            }
        }
        self.verdict
    }

    /// The verdict where the stream has ended. What is left of an event without a blank line behind it
    /// is no event.
    pub fn end(&mut self) -> Verdict {
        *self.verdict.get_or_insert(Verdict::Empty)
    }

    /// Every byte is looked at once, and copied at most twice.
    fn judge(&mut self, mut bytes: &[u8]) -> Option<Verdict> {
        while let Some((first, rest)) = bytes.split_first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                bytes = rest;
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            self.line.extend_from_slice(line);
            let (ending, rest) = rest.split_first()?;
            self.after_cr = *ending == b'\r';
            bytes = rest;
            if let Some(verdict) = self.end_line() {
                return Some(verdict);
            }
        }
        None
    }

    fn end_line(&mut self) -> Option<Verdict> {
        let mut line = std::mem::take(&mut self.line);
        let verdict = self.take_line(&line);
        line.clear();
        self.line = line;
        verdict
    }

    fn take_line(&mut self, mut text: &[u8]) -> Option<Verdict> {
        if std::mem::take(&mut self.is_first_line) {
            text = text.strip_prefix(BOM).unwrap_or(text);
        }
        if text.is_empty() {
            return self.end_event();
        }
        let (name, value) = match text.iter().position(|byte| *byte == b':') {
            Some(colon) => text.split_at(colon),
            None => (text, &[][..]),
        };
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => self.is_error = value == b"error",
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            // A comment, which has no name, or a field that says nothing about the answer.
            _ => {}
        }
        None
    }

    /// An event without data is none.
    fn end_event(&mut self) -> Option<Verdict> {
        let data = std::mem::take(&mut self.data);
        let is_error = std::mem::take(&mut self.is_error);
        let data = data.strip_suffix(b"\n")?;
        Some(if is_error || reports_error(data) {
            Verdict::Error
        } else if data.trim_ascii() == DONE {
            Verdict::Empty
        } else {
            Verdict::Speaks
        })
    }
}

/// Whether data is a JSON object with an `error` that is not null.
fn reports_error(data: &[u8]) -> bool {
    if data.trim_ascii_start().first() != Some(&b'{') {
        return false;
    }
    let value = serde_json::from_slice::<Value>(String::from_utf8_lossy(data).as_bytes()).ok();
    value.is_some_and(|value| value.get("error").is_some_and(|error| !error.is_null()))
}

/// The event that ends a stream which broke off: clients of OpenAI's API raise an error whose message is
/// `title` and whose code is `token` ([`crate::problem`]). It begins with blank lines, so that it is an
/// event of its own wherever the stream broke off.
pub fn error_event(token: &str, title: &str) -> String {
    let data = json!({"error": {"message": title, "type": "server_error", "code": token}});
    format!("\n\nevent: error\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 256;

    /// Streams that have ended, with what is to be found of them.
    const STREAMS: &[(&str, Verdict)] = &[
        ("", Verdict::Empty),
        ("\n\n\n", Verdict::Empty),
        ("data: {\"choices\":[]}\n\n", Verdict::Speaks),
        ("data: {\"choices\":[]}\r\n\r\n", Verdict::Speaks),
        ("data: {\"choices\":[]}\r\r", Verdict::Speaks),
        ("data: {\"choices\":[]}\r\n\n", Verdict::Speaks),
        ("data: {\"choices\":[]}\n\r", Verdict::Speaks),
        ("\u{feff}data: {\"error\":{}}\n\n", Verdict::Error),
        ("\u{feff}\u{feff}data: {\"error\":{}}\n\n", Verdict::Empty),
        ("\n\u{feff}data: {\"error\":{}}\n\n", Verdict::Empty),
        ("\u{feff}\r\n\r\ndata:x\r\n\r\n", Verdict::Speaks),
        (": PROCESSING\n\n: PROCESSING\n\ndata: {\"error\":{\"code\":502}}\n\n", Verdict::Error),
        (": \u{1f600} data: x\n\n", Verdict::Empty),
        ("data: \u{1f600}\n\n", Verdict::Speaks),
        ("event: error\ndata: gone\n\n", Verdict::Error),
        ("data: gone\nevent:error\n\n", Verdict::Error),
        ("event: error\nevent: message\ndata: x\n\n", Verdict::Speaks),
        ("event: error\nevent\ndata: x\n\n", Verdict::Speaks),
        ("event:  error\ndata: x\n\n", Verdict::Speaks),
        ("event: errors\ndata: x\n\n", Verdict::Speaks),
        ("Event: error\ndata: x\n\n", Verdict::Speaks),
        ("event : error\ndata: x\n\n", Verdict::Speaks),
        ("event: error\n\ndata: x\n\n", Verdict::Speaks),
        ("event: ping\n\nid: 1\nretry: 10\n\ndata: {\"error\":1}\n\n", Verdict::Error),
        ("event: message_start\ndata: {\"type\":\"message_start\"}\n\n", Verdict::Speaks),
        ("event: error\ndata: {\"type\":\"error\",\"error\":{}}\n\n", Verdict::Error),
        ("data: {\"error\":null,\"choices\":[]}\n\n", Verdict::Speaks),
        ("data: {\"error\":\"no\"}\n\n", Verdict::Error),
        ("data: {\"error\":false}\n\n", Verdict::Error),
        ("data: {\"choices\":[{\"error\":{}}]}\n\n", Verdict::Speaks),
        ("data: [{\"error\":{}}]\n\n", Verdict::Speaks),
        ("data: {\"error\":{}\n\n", Verdict::Speaks),
        ("data: {\"error\":\ndata: {}}\n\n", Verdict::Error),
        ("data: {\"error\":\rdata\rdata:1}\r\r", Verdict::Error),
        ("data\n\n", Verdict::Speaks),
        ("data:\n\n", Verdict::Speaks),
        ("data: \u{0}\n\n", Verdict::Speaks),
        ("data: [DONE]\n\n", Verdict::Empty),
        ("data:[DONE]\r\n\r\n", Verdict::Empty),
        (": hello\n\ndata: [DONE]\n\n", Verdict::Empty),
        ("data: [DONE]\n\ndata: x\n\n", Verdict::Empty),
        ("data: x\n\ndata: {\"error\":{}}\n\n", Verdict::Speaks),
        ("data: {\"error\":{}}\n", Verdict::Empty),
        ("data: {\"error\":{}}", Verdict::Empty),
        ("{\"error\":{\"message\":\"not a stream\"}}", Verdict::Empty),
        ("datax: y\n\n", Verdict::Empty),
    ];

    fn judge<'c>(chunks: impl IntoIterator<Item = &'c [u8]>, max: usize) -> Verdict {
        let mut opening = Opening::new(max);
        for chunk in chunks {
            opening.feed(chunk);
        }
        opening.end()
    }

    /// All verdicts on a stream that is cut in three in every way, and into single bytes, and with
    /// empty chunks in between.
    fn check_however_cut(stream: &[u8], max: usize, expected: Verdict) {
        let text = String::from_utf8_lossy(stream);
        assert_eq!(judge([stream], max), expected, "{text:?} of {max}");
        assert_eq!(judge(stream.chunks(1), max), expected, "{text:?} of {max} byte by byte");
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let chunks = [&stream[..first], &stream[first..second], &[], &stream[second..]];
                assert_eq!(judge(chunks, max), expected, "{text:?} of {max} at {first}, {second}");
            }
        }
    }

    #[test]
    fn streams_are_judged_alike_however_they_are_cut() {
        for (stream, expected) in STREAMS {
            check_however_cut(stream.as_bytes(), MAX, *expected);
        }
        // Bytes that are no UTF-8.
        check_however_cut(b"data: {\"error\":\"\xff\"}\n\n", MAX, Verdict::Error);
        check_however_cut(b"\xef\xbbdata: {\"error\":1}\n\n", MAX, Verdict::Empty);
    }

    #[test]
    fn a_limit_is_the_same_however_a_stream_is_cut() {
        for (stream, expected) in STREAMS {
            let stream = stream.as_bytes();
            // Where the verdict falls; the LF of a last CRLF is not waited for.
            let mut opening = Opening::new(MAX);
            let decided = stream.iter().position(|byte| opening.feed(&[*byte]).is_some());
            let needed = decided.map_or(stream.len(), |at| at + 1);
            for max in 0..=stream.len() + 1 {
                let expected = if max < needed { Verdict::Unclear } else { *expected };
                for size in 1..=stream.len().max(1) {
                    let verdict = judge(stream.chunks(size), max);
                    assert_eq!(verdict, expected, "{stream:?} of {max} by {size}");
                }
            }
        }
    }

    #[test]
    fn a_verdict_is_given_at_once_and_stays() {
        let mut opening = Opening::new(MAX);
        assert_eq!(opening.feed(b": hello\r\n\r\n"), None);
        assert_eq!(opening.feed(b"data: x\r\n"), None);
        assert_eq!(opening.feed(b"\r"), Some(Verdict::Speaks), "without waiting for a LF");
        assert_eq!(opening.feed(b"data: {\"error\":1}\n\n"), Some(Verdict::Speaks));
        assert_eq!(opening.end(), Verdict::Speaks);
        let mut opening = Opening::new(4);
        assert_eq!(opening.feed(b"data"), None, "it may look at four bytes");
        assert_eq!(opening.feed(b""), None);
        assert_eq!(opening.feed(b":"), Some(Verdict::Unclear));
        assert_eq!(opening.end(), Verdict::Unclear);
    }

    /// Random streams of the pieces that matter, cut at random places.
    #[test]
    fn seeded_streams_are_judged_alike_however_they_are_cut() {
        const PIECES: [&str; 16] = [
            "data",
            "event",
            ":",
            " ",
            "\r",
            "\n",
            "\r\n",
            "\n\n",
            "error",
            "{\"error\":",
            "1}",
            "null}",
            "[DONE]",
            "\u{feff}",
            "\u{e9}",
            "x",
        ];
        let mut seed = 1;
        let mut draw = |below: usize| {
            seed = u64::wrapping_mul(seed, 6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(seed >> 33).expect("31 bits") % below
        };
        for _ in 0..20_000 {
            let stream: String = (0..draw(24)).map(|_| PIECES[draw(PIECES.len())]).collect();
            let max = draw(80);
            let whole = judge([stream.as_bytes()], max);
            let mut rest = stream.as_bytes();
            let mut chunks = Vec::new();
            while !rest.is_empty() {
                let (chunk, behind) = rest.split_at(1 + draw(rest.len().min(7)));
                chunks.push(chunk);
                rest = behind;
            }
            assert_eq!(judge(chunks, max), whole, "{stream:?} of {max}");
        }
    }

    /// A quarter of a megabyte a byte at a time, and no line ends: what is quadratic would not come to an end.
    #[test]
    fn hostile_streams_cost_no_more_than_their_length() {
        const LENGTH: usize = 1 << 18;
        for piece in ["a", "data\n", ":\n", "data:\r", "event: error\n", "\n", "data: [\n"] {
            let mut opening = Opening::new(LENGTH);
            for byte in piece.bytes().cycle().take(LENGTH) {
                opening.feed(&[byte]);
            }
            assert!(opening.line.capacity() + opening.data.capacity() <= 4 * LENGTH, "{piece:?}");
        }
        let deep = format!("data: {{\"error\":{}\n\n", "[".repeat(100_000));
        assert_eq!(judge([deep.as_bytes()], LENGTH), Verdict::Speaks, "no JSON");
    }

    #[test]
    fn an_error_is_an_event_of_its_own_wherever_a_stream_broke_off() {
        let title = "The \"upstream\"\nbroke off";
        let event = error_event("connection_terminated", title);
        assert_eq!(judge([event.as_bytes()], MAX), Verdict::Error);
        for before in
            ["", "data: x\n\n", "data: x\r\n\r", "data: x\n", "data: {\"a", "event: y\r", ": c"]
        {
            let stream = format!("{before}{event}");
            let (_, own) =
                stream.split_once("\n\nevent: error\ndata: ").expect("an event of its own");
            let data = own.strip_suffix("\n\n").expect("it ends");
            let data: Value = serde_json::from_str(data).expect("JSON on one line");
            assert_eq!(
                data,
                json!({"error": {
                    "message": title, "type": "server_error", "code": "connection_terminated",
                }})
            );
        }
    }
}
