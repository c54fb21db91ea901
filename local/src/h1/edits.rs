//! What is changed of the headers of a message, written beside those that it came with.

use splitway_core::head::{Changes, Text};

use super::field::{self, is_sound};

/// Whether what came of a header does not go on.
pub(crate) fn replaces(edits: &Changes, name: &str) -> bool {
    edits.removes(name)
        || edits.set().any(|(set, value)| set == name && is_sound(set, value.as_bytes()))
}

/// Writes the headers that documents set and add, if their names are `free` to be. What frames the message is
/// not.
pub(crate) fn write(out: &mut Vec<u8>, edits: &Changes, mut free: impl FnMut(&str) -> bool) {
    // Those that each message is given are names, and none is there twice or frames it.
    for (name, value) in edits.own() {
        if field::is_value(value.as_bytes()) {
            field::write(out, name, value.as_bytes());
        }
    }
    let mut is_fit = |name: &str, value: &Text| is_sound(name, value.as_bytes()) && free(name);
    for (place, (name, value)) in edits.set_by_others().enumerate() {
        // The last one holds.
        let mut later = edits.set_by_others().skip(place + 1);
        let is_last =
            !later.any(|(other, value)| other == name && is_sound(other, value.as_bytes()));
        if is_last && is_fit(name, value) {
            field::write(out, name, value.as_bytes());
        }
    }
    for (name, value) in edits.added() {
        if is_fit(name, value) {
            field::write(out, name, value.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use splitway_core::head::{Edits, Lists};

    #[test]
    fn documents_set_and_add_whole_lines() {
        let pair = |name: &'static str, value: &str| (name.into(), Text::copy(value));
        let mut edits = Edits::default();
        *edits = Lists {
            remove: Vec::new(),
            set: vec![pair("x-a", "1"), pair("x-b", "a\r\nx-evil: 1"), pair("x-a", "2")],
            add: vec![pair("x-c", "é"), pair("x d", "1"), pair("content-length", "9")],
        };
        let edits = Changes::from(edits);
        let mut out = Vec::new();
        write(&mut out, &edits, |name| name != "content-length");
        assert_eq!(out, "x-a: 2\r\nx-c: é\r\n".as_bytes());
        assert!(replaces(&edits, "x-a") && !replaces(&edits, "x-b") && !replaces(&edits, "x-c"));
    }
}
