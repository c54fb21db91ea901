//! The head of a request, written straight from what the client sent and what the core changes of it.

use http::header::CONTENT_LENGTH;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method};
use http_body_util::Either;
use hyper::body::Body;
use splitway_core::head::Changes;
use splitway_core::problem::Failure;

use super::super::{Outgoing, Upload};

use crate::h1::edits;
use crate::h1::field::{self, Letters};
use crate::message::is_hop_by_hop;

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::upstream) enum Framing {
    /// There is none, and nothing is said of it.
    #[default]
    None,
    /// As many bytes.
    Length(u64),
    Chunks,
}

/// What is told of the body of a request.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Told {
    pub(in crate::upstream) framing: Framing,
    /// The trailers that may follow.
    pub(in crate::upstream) trailer: Option<HeaderValue>,
}

/// Writes the head of a request that has this body.
pub(in crate::upstream) fn write(
    out: &mut Vec<u8>,
    outgoing: Outgoing<'_>,
    body: &Upload,
) -> Result<Told, Failure> {
    let attempt = outgoing.attempt;
    let client = &outgoing.head.parts().headers;
    Method::from_bytes(attempt.method.as_bytes()).map_err(|_| Failure::HttpRequestError)?;
    out.extend_from_slice(attempt.method.as_bytes());
    out.push(b' ');
    write_target(out, &attempt.target)?;
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if !field::is_value(attempt.host.as_bytes()) {
        return Err(Failure::DestinationUnavailable);
    }
    field::write(out, "host", attempt.host.as_bytes());
    let replaced =
        Replaced { edits: &attempt.edits, trace: outgoing.trace.map(|trace| trace.drops_state()) };
    let mut of_body = OfBody::default();
    for (name, value) in client {
        match name.as_str() {
            "content-length" => of_body.length = Some(value),
            "transfer-encoding" => of_body.is_coded = true,
            "trailer" => of_body.trailer = of_body.trailer.or(Some(value)),
            name if is_own(name) || replaced.has(name) => {}
            name => field::write(out, name, value.as_bytes()),
        }
    }
    edits::write(out, &attempt.edits, |name| !is_own(name) && !replaced.is_traced(name));
    if let Some(protocol) = outgoing.wish {
        field::write(out, "upgrade", protocol.as_bytes());
        field::write(out, "connection", b"upgrade");
    }
    if let Some(trace) = outgoing.trace {
        field::write(out, "traceparent", trace.parent().as_bytes());
    }
    let told = of_body.told(body)?;
    told.write(out);
    out.extend_from_slice(b"\r\n");
    Ok(told)
}

/// What is written is what was decided, or nothing (RFC 9112, section 3.2.1).
fn write_target(out: &mut Vec<u8>, target: &str) -> Result<(), Failure> {
    const PLAIN: Letters = Letters::with(b"/?&=%-._~:@!$'()*+,;[]");
    if target.starts_with('/') && PLAIN.has_all(target.as_bytes()) {
        out.extend_from_slice(target.as_bytes());
        return Ok(());
    }
    // What a document may name and HTTP cannot is not to be had.
    let target = PathAndQuery::try_from(target).map_err(|_| Failure::DestinationUnavailable)?;
    out.extend_from_slice(target.path().as_bytes());
    if let Some(query) = target.query() {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    Ok(())
}

/// Whether a header of the client concerns its connection alone, or is written anew.
fn is_own(name: &str) -> bool {
    is_hop_by_hop(name) || matches!(name, "content-length" | "host")
}

/// What is not as the client said.
struct Replaced<'r> {
    edits: &'r Changes,
    /// Whether the request is traced, and if so, whether the state of the trace is dropped.
    trace: Option<bool>,
}

impl Replaced<'_> {
    fn has(&self, name: &str) -> bool {
        edits::replaces(self.edits, name) || self.is_traced(name)
    }

    fn is_traced(&self, name: &str) -> bool {
        match self.trace {
            Some(drops_state) => name == "traceparent" || (drops_state && name == "tracestate"),
            None => false,
        }
    }
}

/// What the client said of its body.
#[derive(Default)]
struct OfBody<'c> {
    length: Option<&'c HeaderValue>,
    is_coded: bool,
    trailer: Option<&'c HeaderValue>,
}

impl OfBody<'_> {
    /// The length of the body is said as the client said it: a request without a body gains none, and
    /// one in chunks stays in chunks. That of one of our own is said however the client framed its own.
    fn told(&self, body: &Upload) -> Result<Told, Failure> {
        let framing = match body {
            Either::Right(bytes) => match bytes.size_hint().lower() {
                0 if !self.is_coded && self.length.is_none() => Framing::None,
                length => Framing::Length(length),
            },
            Either::Left(_) if self.is_coded => Framing::Chunks,
            Either::Left(client) => match self.length {
                Some(length) => field::lengths(length.as_bytes(), None)
                    .map(Framing::Length)
                    .ok_or(Failure::HttpRequestError)?,
                None if client.is_end_stream() => Framing::None,
                None => Framing::Chunks,
            },
        };
        let trailer = self.trailer.filter(|_| framing == Framing::Chunks).cloned();
        Ok(Told { framing, trailer })
    }
}

impl Told {
    fn write(&self, out: &mut Vec<u8>) {
        match self.framing {
            Framing::None => {}
            Framing::Length(length) => {
                let name = CONTENT_LENGTH;
                field::number(length, 10, |digits| field::write(out, name.as_str(), digits));
            }
            Framing::Chunks => field::write(out, "transfer-encoding", b"chunked"),
        }
        if let Some(names) = &self.trailer {
            field::write(out, "trailer", names.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use splitway_core::head::HOP_BY_HOP;

    #[test]
    fn nothing_that_concerns_one_connection_only_goes_further() {
        for name in HOP_BY_HOP {
            assert!(is_own(name), "{name}");
        }
    }

    #[test]
    fn targets_are_written_as_they_stand_or_not_at_all() {
        for (target, written) in [
            ("/", Some("/")),
            ("/a/b?c=d&e=%20", Some("/a/b?c=d&e=%20")),
            ("/a|b\"{}", Some("/a|b\"{}")),
            ("*", Some("*")),
            ("?a", Some("/?a")),
            ("/a b", None),
            ("/a\r\nb", None),
            ("/a\0", None),
            ("/a HTTP/1.1\r\nx: y", None),
        ] {
            let mut out = Vec::new();
            let done = write_target(&mut out, target);
            let out = String::from_utf8(out).expect("text");
            assert_eq!(done.ok().map(|()| out.as_str()), written, "{target:?}");
        }
    }
}
