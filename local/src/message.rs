//! Heads on their way: which can be forwarded at all, and what of them is, which is every header as
//! it came, except those that concern one connection only, with the core's edits.

use std::borrow::Cow;

use http::header::{CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use splitway_core::exchange::Attempt;
use splitway_core::head::{Changes, Text};
use splitway_core::node::parse_authority;
use splitway_core::problem::Problem;
use splitway_core::telemetry::proof;

/// Why a request cannot be forwarded as the same message, or is none (RFC 9112, sections 3.2 and
/// 6.1).
pub(crate) fn fault(head: &Parts) -> Option<Problem> {
    if head.method == Method::CONNECT {
        return Some(Problem::MethodNotAllowed);
    }
    if head.uri.authority().is_some_and(|host| !names_same_host(host, &head.headers, head.version))
    {
        return Some(Problem::BadRequest);
    }
    // Only the form of CONNECT, `host:port`, is a target without a path.
    if head.uri.path_and_query().is_none() || !has_sound_host(head) {
        return Some(Problem::BadRequest);
    }
    has_unknown_coding(&head.headers).then_some(Problem::UnknownTransferCoding)
}

/// Whether the host of the target is one. Of HTTP/2 it is the only one that a request names (RFC 9113,
/// section 8.3.1); of HTTP/1.1 it replaces another (RFC 9112, section 3.2.2).
fn names_same_host(host: &Authority, headers: &HeaderMap, version: Version) -> bool {
    let same =
        |other: &HeaderValue| other.as_bytes().eq_ignore_ascii_case(host.as_str().as_bytes());
    let is_only = version != Version::HTTP_2 || headers.get_all(HOST).iter().all(same);
    is_only && parse_authority(host.as_str()).is_some()
}

/// Whether a request names one host, and no more of them.
fn has_sound_host(head: &Parts) -> bool {
    let mut hosts = head.headers.iter().filter(|(name, _)| **name == HOST).map(|(_, host)| host);
    let is_sound = match hosts.next() {
        // An empty one is what a client sends whose target has no authority.
        Some(host) => {
            host.to_str().is_ok_and(|host| host.is_empty() || parse_authority(host).is_some())
        }
        None => head.version != Version::HTTP_11,
    };
    is_sound && hosts.next().is_none()
}

/// Whether a body comes in anything but one `chunked`: what hyper takes off is that alone, and the
/// header that tells of the rest goes no further.
pub(crate) fn has_unknown_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    !codings.next().is_none_or(is_chunked) || codings.next().is_some()
}

/// The headers of a message that go further.
pub(crate) fn forwarded(headers: &HeaderMap, edits: &Changes) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(headers.len() + edits.count() + 1);
    for (name, value) in headers {
        if !is_left_behind(name.as_str(), edits) {
            kept.append(name.clone(), value.clone());
        }
    }
    add(&mut kept, edits);
    kept
}

/// Takes from a message what concerns the connection alone that it came by.
pub(crate) fn strip(headers: &mut HeaderMap) {
    remove(headers, is_hop_by_hop);
}

/// Changes the headers of a message that was stripped. What concerns the connection that it goes by stays.
pub(crate) fn change(headers: &mut HeaderMap, edits: &Changes) {
    remove(headers, |name| edits.removes(name));
    headers.reserve(edits.count());
    add(headers, edits);
}

fn remove(headers: &mut HeaderMap, is_gone: impl Fn(&str) -> bool) {
    let mut left = headers.keys().filter(|name| is_gone(name.as_str())).cloned();
    // There is seldom more than one.
    let (first, others) = (left.next(), left.collect::<Vec<HeaderName>>());
    for name in first.into_iter().chain(others) {
        headers.remove(name);
    }
}

fn is_left_behind(name: &str, edits: &Changes) -> bool {
    is_hop_by_hop(name) || edits.removes(name)
}

/// Whether it is one of [`splitway_core::head::HOP_BY_HOP`]; told by the length at first.
pub(crate) fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "expect"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

fn add(headers: &mut HeaderMap, edits: &Changes) {
    for (name, value) in edits.set().filter_map(|(name, value)| header(name, value)) {
        headers.insert(name, value);
    }
    for (name, value) in edits.added().filter_map(|(name, value)| header(name, value)) {
        headers.append(name, value);
    }
}

/// The headers of an attempt over HTTP/2, which frames messages by itself and names the host elsewhere.
pub(crate) fn multiplexed_headers(client: &HeaderMap, attempt: &Attempt<'_>) -> HeaderMap {
    let mut headers = forwarded(client, &attempt.edits);
    headers.remove(HOST);
    // gRPC tells by trailers how a call ended, and asks for them (RFC 9113, section 8.2.2).
    if attempt.scheme.is_grpc() || takes_trailers(client) {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    headers
}

/// Whether whoever sent these headers takes trailers (RFC 9110, section 10.1.4).
pub(crate) fn takes_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(TE).iter().any(|codings| {
        let mut codings = codings.as_bytes().split(|byte| *byte == b',');
        codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

/// Says how long a body is that is sent as a whole, however the client framed its own.
pub(crate) fn say_length(headers: &mut HeaderMap, length: u64) {
    let was_coded = headers.remove(TRANSFER_ENCODING).is_some();
    if length > 0 || was_coded || headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
}

/// The target of an attempt as HTTP/2 has it, with the host (RFC 9113, section 8.3.1).
pub(crate) fn multiplexed_uri(attempt: &Attempt<'_>) -> Result<Uri, http::Error> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::try_from(attempt.scheme.as_str())?);
    let host = Authority::try_from(&*attempt.host);
    parts.authority = Some(host.or_else(|_| Authority::try_from(attempt.node.authority()))?);
    parts.path_and_query = Some(PathAndQuery::try_from(&*attempt.target)?);
    Ok(Uri::from_parts(parts)?)
}

/// The value of a header as the core reads it: several values joined, U+FFFD for bytes that are not
/// UTF-8. Lines of cookies are joined as one list of them (RFC 9113, section 8.2.3).
pub(crate) fn joined<'h>(headers: &'h HeaderMap, name: &str) -> Option<Cow<'h, str>> {
    let between = if name == "cookie" { "; " } else { ", " };
    let join = |joined: Cow<'h, str>, value: &'h HeaderValue| {
        Cow::Owned(format!("{joined}{between}{}", text(value)))
    };
    // To look at all names of a usual head costs a fraction of what it takes to parse and to hash one.
    if headers.len() <= FEW {
        let mut values = headers.iter().filter(|(own, _)| own.as_str() == name);
        let (_, first) = values.next()?;
        return Some(values.fold(text(first), |joined, (_, value)| join(joined, value)));
    }
    let mut values = headers.get_all(name).iter();
    let first = text(values.next()?);
    Some(values.fold(first, join))
}

fn text(value: &HeaderValue) -> Cow<'_, str> {
    match str::from_utf8(value.as_bytes()) {
        Ok(value) => Cow::Borrowed(value),
        Err(_) => String::from_utf8_lossy(value.as_bytes()),
    }
}

/// As many headers as most messages have at most.
const FEW: usize = 24;

fn header(name: &str, value: &Text) -> Option<(HeaderName, HeaderValue)> {
    let name = match known(name) {
        Some(name) => name.clone(),
        None => HeaderName::from_bytes(name.as_bytes()).ok()?,
    };
    Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
}

/// One of the names that all messages are given, which need neither be parsed nor copied.
fn known(name: &str) -> Option<&'static HeaderName> {
    static ROUTE: HeaderName = HeaderName::from_static(proof::ROUTE);
    static BRANCH: HeaderName = HeaderName::from_static(proof::BRANCH);
    static REVISION: HeaderName = HeaderName::from_static(proof::REVISION);
    static PICKED: HeaderName = HeaderName::from_static(proof::PICKED);
    static ATTEMPTS: HeaderName = HeaderName::from_static(proof::ATTEMPTS);
    static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
    static FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
    static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    static REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
    Some(match name {
        proof::ROUTE => &ROUTE,
        proof::BRANCH => &BRANCH,
        proof::REVISION => &REVISION,
        proof::PICKED => &PICKED,
        proof::ATTEMPTS => &ATTEMPTS,
        "x-forwarded-for" => &FORWARDED_FOR,
        "x-forwarded-host" => &FORWARDED_HOST,
        "x-forwarded-port" => &FORWARDED_PORT,
        "x-forwarded-proto" => &FORWARDED_PROTO,
        "x-real-ip" => &REAL_IP,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use splitway_core::head::{Edits, HOP_BY_HOP, Lists};

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn headers_of_the_connection_are_those_of_the_core() {
        assert!(HOP_BY_HOP.iter().all(|name| is_hop_by_hop(name)));
        let kept = ["content-length", "host", "keep", "x-te", "traile", "cookie", "upgrade-x"];
        assert!(!kept.iter().any(|name| is_hop_by_hop(name)));
    }

    #[test]
    fn what_goes_further_is_the_same_copied_or_in_place() {
        let mut headers = map(&[
            ("connection", "close"),
            ("x-a", "1"),
            ("set-cookie", "a=1"),
            ("te", "trailers"),
            ("x-gone", "1"),
            ("x-a", "2"),
            ("x-gone", "2"),
            ("set-cookie", "b=2"),
            ("x-splitway-branch", "a lie"),
        ]);
        let mut edits = Edits::default();
        *edits = Lists {
            remove: vec!["x-gone".into(), "x-absent".into()],
            set: vec![("x-splitway-branch".into(), "a".into()), ("server".into(), "s".into())],
            add: vec![("set-cookie".into(), "c=3".into()), ("x-bad".into(), "\n".into())],
        };
        let edits = Changes::from(edits);
        let expected = map(&[
            ("x-a", "1"),
            ("x-a", "2"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("set-cookie", "c=3"),
            ("x-splitway-branch", "a"),
            ("server", "s"),
        ]);
        assert_eq!(forwarded(&headers, &edits), expected);
        strip(&mut headers);
        headers.insert("trailer", HeaderValue::from_static("x-sum"));
        change(&mut headers, &edits);
        assert_eq!(headers.remove("trailer").expect("one of this connection"), "x-sum");
        assert_eq!(headers, expected);
    }

    #[test]
    fn values_are_joined_however_many_names_there_are() {
        let mut headers = map(&[("x-a", "1"), ("cookie", "a=1"), ("x-a", "2"), ("cookie", "b=2")]);
        for _ in 0..2 {
            assert_eq!(joined(&headers, "x-a").as_deref(), Some("1, 2"));
            assert_eq!(joined(&headers, "cookie").as_deref(), Some("a=1; b=2"));
            assert_eq!(joined(&headers, "x-b"), None);
            for number in 0..=FEW {
                let name = format!("x-{number}").parse::<HeaderName>().expect("a name");
                headers.insert(name, HeaderValue::from_static(""));
            }
        }
    }
}
