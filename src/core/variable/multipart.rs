//! Forms in parts (RFC 7578), as far as their fields are text.

use serde_json::{Map, Value as Json};

use super::body::add;

/// The fields of a form, by the name of each part; nothing, where no boundary is given.
pub(super) fn parse(kind: &str, body: &[u8]) -> Option<Map<String, Json>> {
    let boundary = format!("--{}", parameter(kind, "boundary")?);
    let body = String::from_utf8_lossy(body);
    let mut fields = Map::new();
    // What is before the first boundary is no part; what is behind the last begins with dashes.
    for part in body.split(boundary.as_str()).skip(1) {
        if part.starts_with("--") {
            break;
        }
        let Some((head, content)) = part.split_once("\r\n\r\n") else { continue };
        let disposition = head.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
        });
        if let Some(name) = disposition.and_then(|value| parameter(value, "name")) {
            let content = content.strip_suffix("\r\n").unwrap_or(content);
            add(&mut fields, name.to_owned(), Json::from(content));
        }
    }
    Some(fields)
}

/// A parameter of a header's value, without quotes. One that stands twice counts where it stands first.
fn parameter<'v>(value: &'v str, name: &str) -> Option<&'v str> {
    let parameters = value.split(';').skip(1).filter_map(|pair| pair.split_once('='));
    let mut named = parameters.filter(|(own, _)| own.trim().eq_ignore_ascii_case(name));
    let found = named.next().map(|(_, value)| value.trim().trim_matches('"'));
    found.filter(|found| !found.is_empty())
}
