//! The page that shows routes, shares and revisions in a browser: its files, and how they are sent.
//!
//! The files are the same for everybody and hold nothing of a configuration: a browser gets them
//! without a key, wherever the Admin API may be used. All that the page shows it asks of the Admin API
//! with the key that its user types.
//!
//! Nothing that a configuration says can become code in it: its policy (CSP level 3, Trusted Types) takes
//! scripts and styles from here alone, and no text as markup.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use crate::head::Head;
use crate::problem::{Answer, Problem};

/// A file of the page: its name behind the folder, its media type, and what is in it.
struct File {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files. The page itself has no name: it is the folder.
const FILES: [File; 12] = [
    File::new("", "text/html; charset=utf-8", include_str!("page/index.html")),
    File::new("page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    File::new("page.js", SCRIPT, include_str!("page/page.js")),
    File::new("api.js", SCRIPT, include_str!("page/api.js")),
    File::new("changes.js", SCRIPT, include_str!("page/changes.js")),
    File::new("chart.js", SCRIPT, include_str!("page/chart.js")),
    File::new("dom.js", SCRIPT, include_str!("page/dom.js")),
    File::new("editor.js", SCRIPT, include_str!("page/editor.js")),
    File::new("live.js", SCRIPT, include_str!("page/live.js")),
    File::new("revisions.js", SCRIPT, include_str!("page/revisions.js")),
    File::new("routes.js", SCRIPT, include_str!("page/routes.js")),
    File::new("splits.js", SCRIPT, include_str!("page/splits.js")),
];

/// What a browser may do with the page: run and paint by its own files, ask its own server, and nothing
/// else; be framed by nobody, send no form, take no text for markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// With every file. A browser asks each time whether it is still the same: an upgrade is seen at once.
const HEADERS: [(&str, &str); 6] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-cache"),
];

impl File {
    const fn new(name: &'static str, media_type: &'static str, text: &'static str) -> Self {
        Self { name, media_type, text }
    }

    /// A strong validator (RFC 9110, section 8.8.3): 64 bits of the text's digest.
    fn tag(&self) -> String {
        let digest = Sha256::digest(self.text.as_bytes());
        let hex = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
        format!("\"{}\"", hex.collect::<String>())
    }
}

/// Answers a request for a file of the page; `path` is what stands behind the path of its folder, with
/// the slash in front.
pub fn answer(path: &str, head: &impl Head) -> Answer {
    if !matches!(head.method(), "GET" | "HEAD") {
        return Problem::MethodNotAllowed.answer();
    }
    let Some(name) = path.strip_prefix('/') else {
        // Links inside the page are relative to its folder.
        let headers = vec![("location".into(), "ui/".to_owned())];
        return Answer { status: 308, headers, body: String::new() };
    };
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return Problem::NoRoute.answer();
    };
    let mut headers: Vec<(Cow<'static, str>, String)> =
        HEADERS.iter().map(|(name, value)| ((*name).into(), (*value).to_owned())).collect();
    let tag = file.tag();
    let is_known = head.header("if-none-match").is_some_and(|known| names(&known, &tag));
    headers.push(("etag".into(), tag));
    if is_known {
        return Answer { status: 304, headers, body: String::new() };
    }
    headers.push(("content-type".into(), file.media_type.to_owned()));
    Answer { status: 200, headers, body: file.text.to_owned() }
}

/// Whether `If-None-Match` names a tag; whoever compresses an answer on the way makes its tag weak.
fn names(known: &str, tag: &str) -> bool {
    let mut listed = known.split(',').map(str::trim);
    listed.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of it together is at most so large, in bytes.
    const SIZE_MAX: usize = 100 * 1024;

    #[test]
    fn the_page_is_small() {
        let size: usize = FILES.iter().map(|file| file.text.len()).sum();
        assert!((10_000..=SIZE_MAX).contains(&size), "{size} bytes");
    }

    #[test]
    fn tags_differ_and_are_known_again() {
        let tags: Vec<String> = FILES.iter().map(File::tag).collect();
        for (position, tag) in tags.iter().enumerate() {
            assert_eq!(tag.len(), 18, "{tag}");
            assert!(!tags.iter().take(position).any(|other| other == tag));
            assert!(names(&format!("\"x\", W/{tag}"), tag) && names(tag, tag) && names("*", tag));
            assert!(!names("\"x\"", tag));
        }
    }

    #[test]
    fn the_policy_takes_nothing_from_elsewhere() {
        for part in ["default-src 'none'", "frame-ancestors 'none'", "trusted-types 'none'"] {
            assert!(POLICY.contains(part), "{part}");
        }
        assert!(!POLICY.contains("unsafe") && !POLICY.contains("http") && !POLICY.contains('*'));
    }
}
