//! Heads on their way: which can be forwarded at all, and what of them is, which is every header as
//! it came, except those that concern one connection only, with the core's edits.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use splitway_core::exchange::Attempt;
use splitway_core::head::{Edits, HOP_BY_HOP};
use splitway_core::node::parse_authority;
use splitway_core::problem::Problem;

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

fn has_sound_host(head: &Parts) -> bool {
    let mut hosts = head.headers.get_all(HOST).iter();
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
pub(crate) fn forwarded(headers: &HeaderMap, edits: &Edits) -> HeaderMap {
    let added_count = edits.set.len() + edits.add.len() + 1;
    let mut kept = HeaderMap::with_capacity(headers.len() + added_count);
    for (name, value) in headers {
        let is_kept = !HOP_BY_HOP.contains(&name.as_str())
            && !edits.remove.iter().any(|removed| removed == name.as_str());
        if is_kept {
            kept.append(name.clone(), value.clone());
        }
    }
    for (name, value) in edits.set.iter().filter_map(header) {
        kept.insert(name, value);
    }
    for (name, value) in edits.add.iter().filter_map(header) {
        kept.append(name, value);
    }
    kept
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
    let mut values = headers.get_all(name).iter();
    let first = String::from_utf8_lossy(values.next()?.as_bytes());
    let between = if name == "cookie" { "; " } else { ", " };
    Some(values.fold(first, |joined, value| {
        let value = String::from_utf8_lossy(value.as_bytes());
        Cow::Owned(format!("{joined}{between}{value}"))
    }))
}

fn header((name, value): &(Cow<'static, str>, String)) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let value = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(value.as_bytes())).ok()?;
    Some((name, value))
}
