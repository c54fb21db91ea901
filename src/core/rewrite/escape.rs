//! Escapes for what is filled into a target, so that it stays a piece of the path, or of the query, that
//! it was put in.

use percent_encoding::{AsciiSet, CONTROLS, percent_encode, utf8_percent_encode};

use crate::facts::Facts;
use crate::template::{Captures, Piece, Template};

/// What is escaped where something is filled in.
#[derive(Clone, Copy)]
pub(super) struct Escapes {
    /// In plain values.
    pub(super) value: &'static AsciiSet,
    /// In what is escaped as the client has escaped it.
    written: &'static AsciiSet,
}

/// What cannot stand in a path, and `%`.
const IN_PATH: AsciiSet = CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// In a path.
pub(super) const PATH: Escapes = Escapes { value: &IN_PATH, written: &IN_PATH.remove(b'%') };

/// In a query `'` besides, which some runtimes escape there, and what parts arguments.
pub(super) const QUERY: Escapes = Escapes {
    value: &IN_PATH.remove(b'?').add(b'&').add(b'\'').add(b'+').add(b';').add(b'='),
    written: &IN_PATH.remove(b'%').remove(b'?').add(b'\''),
};

/// Writes a filled template behind `out`.
pub(super) fn fill(
    template: &Template,
    escapes: Escapes,
    facts: &Facts<'_>,
    captures: &Captures<'_>,
    is_bytes: bool,
    out: &mut String,
) {
    template.each_piece(facts, captures, |piece| match piece {
        Piece::Text(text) => out.push_str(text),
        Piece::Value(value) => escape(value, escapes.value, false, out),
        Piece::Written(value) => escape(value, escapes.written, false, out),
        Piece::Capture(value) => escape(value, escapes.value, is_bytes, out),
    });
}

/// Writes a value, escaped, behind `out`; with `is_bytes` each character of it stands for a byte.
pub(super) fn escape(value: &str, set: &'static AsciiSet, is_bytes: bool, out: &mut String) {
    if is_bytes {
        let bytes: Vec<u8> =
            value.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
        out.extend(percent_encode(&bytes, set));
    } else {
        out.extend(utf8_percent_encode(value, set));
    }
}
