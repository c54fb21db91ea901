//! The head of a message as the core sees it, and the changes to make to it.
//!
//! A head is a trait and changes are data because of what reading costs at the edge: one header
//! 0.3 us, all of them 12 us and more. The core asks for the few fields it needs and returns the few
//! changes to make; it never iterates or copies a whole head.

mod edits;
mod text;

use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::net::IpAddr;

pub use self::edits::{Changes, Edits, Lists};
pub use self::text::Text;
use crate::problem::Problem;

/// The head of a client's request.
pub trait Head {
    /// The method as sent; any token, not only the registered ones.
    fn method(&self) -> &str;

    /// The path as sent, normalised as [`normalise_target`] says; starts with `/`, or is `*`.
    fn path(&self) -> &str;

    /// What follows the first `?` of the target.
    fn query(&self) -> Option<&str>;

    /// The authority the client asked for, `host[:port]`; empty if it named none.
    fn host(&self) -> &str;

    /// The value of a header by its lower-case name, several values joined by `, `, of cookies by `; `;
    /// bytes that are not UTF-8 become U+FFFD.
    fn header(&self, name: &str) -> Option<Cow<'_, str>>;

    /// The address of the client, as far as the runtime vouches for it.
    fn client(&self) -> Option<IpAddr>;

    /// The address of whoever the connection is from, where that is another than the client: a proxy in
    /// front that is trusted.
    fn hop(&self) -> Option<IpAddr> {
        self.client()
    }

    /// `http` or `https`, as the client spoke to this hop.
    fn scheme(&self) -> &str;

    /// The port the client spoke to.
    fn port(&self) -> u16;

    /// Why the request cannot be forwarded as the same message, where the runtime leaves it to the
    /// shell to find out.
    fn fault(&self) -> Option<Problem> {
        None
    }

    /// Where the client is, as far as the runtime tells.
    fn place(&self, _what: Place) -> Option<Cow<'_, str>> {
        None
    }

    /// Whether a front of the runtime (Cloudflare's) may have added the client to `X-Forwarded-For`.
    fn is_fronted(&self) -> bool;
}

/// What a runtime may tell of where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The country, as two letters (ISO 3166-1), in upper case.
    Country,
    /// The data centre that took the request, as Cloudflare names it: three letters, in upper case.
    Colo,
    /// The number of the autonomous system, in digits.
    Asn,
}

/// The head of an upstream's response.
pub trait ResponseHead {
    /// The status code.
    fn status(&self) -> u16;

    /// The value of a header, as [`Head::header`].
    fn header(&self, name: &str) -> Option<Cow<'_, str>>;
}

/// Headers that concern one connection only and never go further (RFC 9110, section 7.6.1).
///
/// `expect` is among them because the hop that receives the request answers it (as nginx does);
/// the proxy credentials because they are meant for this hop.
pub const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that `Connection` may not take away, nor documents edit: the next hop frames and routes the message by them.
const NOT_NOMINATED: [&str; 2] = ["content-length", "host"];

/// Adds the headers that `Connection` nominates to those to remove.
pub(crate) fn remove_nominated(connection: Option<&str>, changes: &mut Changes) {
    // That is what most say who say something.
    let Some(list) = connection.filter(|list| !list.eq_ignore_ascii_case("keep-alive")) else {
        return;
    };
    for name in list.split(',').map(|name| name.trim_matches([' ', '\t'])) {
        let mut known = HOP_BY_HOP.iter().chain(&NOT_NOMINATED);
        if !known.any(|known| known.eq_ignore_ascii_case(name)) && is_header_name(name) {
            changes.take_away(name.to_ascii_lowercase().into());
        }
    }
}

/// Tells the upstream who asked, as APISIX does: `X-Real-IP`, `X-Forwarded-For` (extended),
/// `X-Forwarded-Proto`, `-Host` and `-Port` (this hop's own values: the client's are not trusted).
///
/// `client` is the address of the client, where another is known than the runtime vouches for.
pub(crate) fn forward(head: &dyn Head, client: Option<IpAddr>, changes: &mut Changes) {
    if let Some(address) = client.or_else(|| head.client()) {
        let client = Text::of_address(address.to_canonical());
        let hop = match head.hop() {
            Some(hop) if hop != address => Text::of_address(hop.to_canonical()),
            Some(_) | None => client.clone(),
        };
        let hops = match head.header("x-forwarded-for") {
            Some(hops) if head.is_fronted() && ends_with_hop(&hops, &hop) => hops.into(),
            Some(hops) if !hops.is_empty() => format!("{hops}, {hop}").into(),
            Some(_) | None => hop,
        };
        changes.tell("x-forwarded-for", Some(hops));
        changes.tell("x-real-ip", Some(client));
    }
    let host = head.host();
    if !host.is_empty() {
        changes.tell("x-forwarded-host", Some(Text::copy(host)));
    }
    changes.tell("x-forwarded-port", Some(Text::of_number(head.port().into())));
    let proto = match head.scheme() {
        "http" => Text::fixed("http"),
        "https" => Text::fixed("https"),
        other => Text::copy(other),
    };
    changes.tell("x-forwarded-proto", Some(proto));
}

fn ends_with_hop(hops: &str, client: &str) -> bool {
    hops.rsplit(',').next().is_some_and(|last| last.trim() == client)
}

/// Whether `name` is a token (RFC 9110, section 5.6.2), as header names and methods are.
pub(crate) fn is_header_name(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token)
}

/// Whether `value` can be sent as a header value: visible ASCII, blanks and tabs, none at the ends.
pub(crate) fn is_header_value(value: &str) -> bool {
    value.trim() == value && value.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~'))
}

/// A value without what cannot be sent as a header value.
pub(crate) fn sendable(value: Cow<'_, str>) -> Cow<'_, str> {
    if is_header_value(&value) {
        return value;
    }
    let visible = value.chars().filter(|c| matches!(c, '\t' | ' '..='~'));
    visible.collect::<String>().trim().to_owned().into()
}

/// Why a document cannot edit the header of this lower-case name, if it cannot.
pub(crate) fn why_fixed(name: &str) -> Option<&'static str> {
    if !is_header_name(name) {
        return Some("expected a header name");
    }
    let is_fixed = NOT_NOMINATED.contains(&name) || HOP_BY_HOP.contains(&name);
    is_fixed.then_some("this header belongs to the connection and cannot be edited")
}

/// The path and query of a request target, normalised as Cloudflare does before a Worker sees it
/// (measured on workerd): `\` in the path is `/`, dot segments are folded also when their dots are
/// escaped, everything else is kept. Of an absolute target only path and query count.
pub fn normalise_target(target: &str) -> Cow<'_, str> {
    if is_clean(target) {
        return Cow::Borrowed(target);
    }
    let target = origin_form(target);
    let (path, query) = match target.find('?') {
        Some(mark) => target.split_at(mark),
        None => (target, ""),
    };
    let path_is_clean = path.starts_with('/') && !path.contains('\\') && !has_dot_segment(path);
    if path_is_clean || target == "*" {
        return Cow::Borrowed(target);
    }
    let path = path.replace('\\', "/");
    Cow::Owned(fold_dot_segments(&path) + query)
}

/// Whether a target is nothing but a path of segments in which no dot can mean anything, as nearly all are.
/// Each byte is looked at once.
fn is_clean(target: &str) -> bool {
    let mut before = 0;
    let is_plain = |byte: u8| {
        let is_dot_first = before == b'/' && (byte == b'.' || byte == b'%');
        before = byte;
        !is_dot_first && !matches!(byte, b'?' | b'#' | b'\\' | b':')
    };
    target.starts_with('/') && target.bytes().all(is_plain)
}

/// Cuts scheme and authority off an absolute target and a fragment off any.
fn origin_form(target: &str) -> &str {
    let target = target.split_once('#').map_or(target, |(before, _)| before);
    let Some((scheme, rest)) = target.split_once("://") else { return target };
    if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return target;
    }
    rest.find(['/', '?']).and_then(|start| rest.get(start..)).unwrap_or("/")
}

/// Whether a segment is one of `.`, `..` or their escaped forms.
fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| dots(segment) > 0)
}

/// 1 for a segment that means "here", 2 for one that means "up", else 0.
pub(crate) fn dots(segment: &str) -> usize {
    let (mut count, mut rest) = (0, segment.as_bytes());
    loop {
        rest = match rest {
            [] => return count,
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] if count < 2 => rest,
            _ => return 0,
        };
        count += 1;
    }
}

/// A path without the segments `.` and `..` and their escaped forms: they are left out, not followed, so
/// that what stands before them cannot be left.
pub(crate) fn without_dot_segments(path: String) -> String {
    if !has_dot_segment(&path) {
        return path;
    }
    let mut kept: Vec<&str> = path.split('/').filter(|segment| dots(segment) == 0).collect();
    if path.rsplit('/').next().is_some_and(|last| dots(last) > 0) {
        kept.push("");
    }
    kept.join("/")
}

/// RFC 3986, section 5.2.4, on segments.
fn fold_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let meaning = dots(segment);
        if meaning == 2 {
            kept.pop();
        }
        if meaning == 0 {
            kept.push(segment);
        } else if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

/// The path that routes are matched against, as nginx prepares it for APISIX: escapes decoded, then
/// dot segments folded and runs of slashes merged. What is forwarded stays as it was sent.
pub(crate) fn match_path(path: &str) -> Cow<'_, [u8]> {
    if is_plain(path.as_bytes()) {
        return Cow::Borrowed(path.as_bytes());
    }
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = decoded.split(|b| *b == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"" | b"." if !is_last => {}
            b"." => kept.push(b""),
            b".." => {
                kept.pop();
                if is_last {
                    kept.push(b"");
                }
            }
            segment => kept.push(segment),
        }
    }
    Cow::Owned([b"/".as_slice(), &kept.join(b"/".as_slice())].concat())
}

/// Whether nothing is escaped in a path and no two slashes stand together. Each byte is looked at once
/// and without a branch: a search for a text costs more than that to begin with.
fn is_plain(path: &[u8]) -> bool {
    let pairs = path.iter().zip(path.get(1..).unwrap_or_default());
    let is_special = |byte: u8, next: u8| (byte == b'%') | ((byte == b'/') & (next == b'/'));
    let has_special = pairs.fold(false, |found, (byte, next)| found | is_special(*byte, *next));
    !has_special && !path.ends_with(b"%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_normalised_as_before_a_worker() {
        for (sent, normal) in [
            ("/a/b?c=d", "/a/b?c=d"),
            ("/x/../y", "/y"),
            ("/x/%2e%2E/y?q=..", "/y?q=.."),
            ("/x/.%2e/y/.", "/y/"),
            ("/x/..", "/"),
            ("/../../y", "/y"),
            ("/a\\b\\..\\c", "/a/c"),
            ("//host/a", "//host/a"),
            ("/%zz/|{}^", "/%zz/|{}^"),
            ("/...%2e/%252e%252e", "/...%2e/%252e%252e"),
            ("http://other.example/p?q", "/p?q"),
            ("http://other.example", "/"),
            ("/p?u=http://x/../y", "/p?u=http://x/../y"),
            ("*", "*"),
        ] {
            assert_eq!(normalise_target(sent), normal, "{sent}");
        }
    }

    #[test]
    fn match_paths_are_decoded_folded_and_merged() {
        for (sent, matched) in [
            ("/a/b", "/a/b"),
            ("/a//b///", "/a/b/"),
            ("/caf%C3%A9", "/caf\u{e9}"),
            ("/a%2F..%2Fb", "/b"),
            ("/a/%2e", "/a/"),
            ("/%zz", "/%zz"),
            ("/%", "/%"),
            ("//", "/"),
        ] {
            assert_eq!(match_path(sent), matched.as_bytes(), "{sent}");
        }
    }

    #[test]
    fn dot_segments_are_left_out_and_not_followed() {
        for (path, left) in [
            ("/a/b", "/a/b"),
            ("/a/../../b", "/a/b"),
            ("/a/%2e./b/.", "/a/b/"),
            ("/..", "/"),
            ("/.a/..b/...", "/.a/..b/..."),
        ] {
            assert_eq!(without_dot_segments(path.to_owned()), left, "{path}");
        }
    }

    #[test]
    fn connection_takes_away_what_it_nominates_and_no_more() {
        let mut changes = Changes::default();
        remove_nominated(Some("close, X-Hop ,te, Content-Length, b@d,,Host"), &mut changes);
        assert_eq!(changes.removed().collect::<Vec<_>>(), ["close", "x-hop"]);
    }
}
