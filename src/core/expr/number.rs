//! Numbers as Lua's `tonumber` reads them, for that is what decides in APISIX.

use serde_json::Value as Json;

use crate::variable::Value;

/// The number that a value is or spells.
pub(super) fn of_value(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Text(text) => of_text(text),
        Value::Json(json) => of_json(json),
    }
}

/// The number that a value in a document is or spells.
pub(super) fn of_json(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => of_text(text),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

/// The number that a text spells: as Rust reads it, blanks around it, or a hexadecimal integer.
/// LuaJIT also reads hexadecimal fractions, which nobody sends.
fn of_text(text: &str) -> Option<f64> {
    let text = text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let Some(digits) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) else {
        return text.parse().ok();
    };
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    // As far as a u64 goes; what is rounded is rounded as LuaJIT does it.
    u64::from_str_radix(digits, 16).ok().map(|number| sign * number as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_spells_a_number_as_in_lua() {
        for (text, number) in [
            ("18", Some(18.0)),
            ("18.0", Some(18.0)),
            (" 18\n", Some(18.0)),
            ("1.8e1", Some(18.0)),
            ("0x12", Some(18.0)),
            ("-0X12", Some(-18.0)),
            ("+1", Some(1.0)),
            ("1.", Some(1.0)),
            (".5", Some(0.5)),
            ("", None),
            (" ", None),
            (".", None),
            ("0x", None),
            ("0x+1", None),
            ("0xg", None),
            ("1 2", None),
            ("1,5", None),
            ("--1", None),
            ("\u{a0}1", None),
            ("1_000", None),
            ("abc", None),
        ] {
            assert_eq!(of_text(text), number, "{text:?}");
        }
        assert!(of_text("nan").is_some_and(f64::is_nan));
    }
}
