//! Documents written as YAML 1.2, for people: in blocks, texts bare where that is safe.
//!
//! Only written: a reader of YAML is larger than all else in a Worker, and those who have one (the
//! command line) send JSON.

use serde_json::{Map, Value};

/// Words that some reader or other takes for something else than a text.
const RESERVED: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"];

/// What tells who a resource is goes before what it says.
const FIRST: [&str; 3] = ["id", "username", "name"];

/// The value as a YAML document.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

/// A value that begins where the text has come to, and ends a line; `depth` levels in.
fn block(value: &Value, depth: usize, out: &mut String) {
    let inner = Inner::of(value);
    match inner {
        Inner::Members(members) => {
            let first = FIRST.iter().filter_map(|key| members.get_key_value(*key));
            let rest = members.iter().filter(|(key, _)| !FIRST.contains(&key.as_str()));
            for (index, (key, value)) in first.chain(rest).enumerate() {
                if index > 0 {
                    indent(depth, out);
                }
                text(key, out);
                out.push(':');
                match Inner::of(value) {
                    Inner::None => out.push(' '),
                    Inner::Members(_) | Inner::Items(_) => {
                        out.push('\n');
                        indent(depth + 1, out);
                    }
                }
                block(value, depth + 1, out);
            }
        }
        Inner::Items(items) => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    indent(depth, out);
                }
                out.push_str("- ");
                block(item, depth + 1, out);
            }
        }
        Inner::None => {
            scalar(value, out);
            out.push('\n');
        }
    }
}

/// What stands inside a value, if anything does.
enum Inner<'v> {
    None,
    Members(&'v Map<String, Value>),
    Items(&'v [Value]),
}

impl<'v> Inner<'v> {
    fn of(value: &'v Value) -> Self {
        match (value.as_object(), value.as_array()) {
            (Some(members), _) if !members.is_empty() => Self::Members(members),
            (_, Some(items)) if !items.is_empty() => Self::Items(items),
            _ => Self::None,
        }
    }
}

fn indent(depth: usize, out: &mut String) {
    (0..depth).for_each(|_| out.push_str("  "));
}

fn scalar(value: &Value, out: &mut String) {
    match value.as_str() {
        Some(string) => text(string, out),
        // Numbers and literals are the same in both, and so are an empty object and list.
        None => out.push_str(&value.to_string()),
    }
}

/// A text, bare if it can be nothing else, in double quotes as JSON writes it if not.
fn text(text: &str, out: &mut String) {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:*".contains(c))
        && !text.ends_with(':')
        && !RESERVED.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_plain {
        return out.push_str(text);
    }
    for c in Value::from(text).to_string().chars() {
        // What YAML does not take as it is.
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_written_in_blocks() {
        let value = json!({
            "routes": [
                {"id": "a", "uri": "/a/*", "methods": [], "status": 1, "names": ["on", "1e3", ""]},
                {"nested": [[1, 2], {"x": {}}]},
            ],
            "settings": {"proof_headers": true, "note": "a: b\n\u{85}"},
        });
        let expected = concat!(
            "routes:\n",
            "  - id: a\n",
            "    methods: []\n",
            "    names:\n",
            "      - \"on\"\n",
            "      - \"1e3\"\n",
            "      - \"\"\n",
            "    status: 1\n",
            "    uri: /a/*\n",
            "  - nested:\n",
            "      - - 1\n",
            "        - 2\n",
            "      - x: {}\n",
            "settings:\n",
            "  note: \"a: b\\n\\u0085\"\n",
            "  proof_headers: true\n",
        );
        assert_eq!(write(&value), expected);
    }
}
