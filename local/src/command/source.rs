//! Documents that the command line names.

use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

/// What to say of a document that has faults because it [is a route](is_route).
pub(crate) const ROUTE_HINT: &str =
    "this looks like one route; a document has it in a list: routes: [...]";

/// The text of a file; `-` is standard input.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path)
}

/// Whether a document is what belongs into the list of its routes.
pub(crate) fn is_route(document: &Value) -> bool {
    let has = |key| document.get(key).is_some();
    (has("uri") || has("uris")) && !has("routes")
}
