//! Why an attempt brought no response, told from the types in an error's chain of causes.

use std::error::Error;
use std::io;

use splitway_core::problem::Failure;

use crate::listen::Torn;

/// The name of a host could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("the name could not be resolved")]
pub(crate) struct Unresolved(#[source] Box<dyn Error + Send + Sync>);

impl Unresolved {
    pub(crate) fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// Names why there is no response of a request of which something may have been sent. Whatever the causes
/// are, it may have been executed, so none of the names is one of a connection that could not be made.
pub(crate) fn name_sent(error: &(dyn Error + 'static)) -> Failure {
    match name(error) {
        told if matches!(told, Failure::HttpProtocolError | Failure::HttpRequestError) => told,
        _ => Failure::ConnectionTerminated,
    }
}

/// Whether a node says of a request over HTTP/2 that it did nothing with it: it refused the stream, or
/// went away without having looked at it (RFC 9113, section 8.7). Of a GOAWAY only the streams that are
/// beyond its last are told.
pub(crate) fn is_refused(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let refused = match error.is_go_away() {
                true => h2::Reason::NO_ERROR,
                false => h2::Reason::REFUSED_STREAM,
            };
            return error.is_remote() && error.reason() == Some(refused);
        }
        cause = next(error);
    }
    false
}

/// Names why TLS could not be had on a connection. One that ended meanwhile is none that could be had:
/// nothing was sent on it.
pub(crate) fn name_unsent(error: &(dyn Error + 'static)) -> Failure {
    let told = name(error);
    if told == Failure::ConnectionTerminated { Failure::DestinationUnavailable } else { told }
}

/// Names the first cause in the chain that says enough; a connection that ended otherwise counts as
/// terminated.
pub(crate) fn name(error: &(dyn Error + 'static)) -> Failure {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(failure) = name_one(error) {
            return failure;
        }
        cause = next(error);
    }
    Failure::ConnectionTerminated
}

/// The cause behind an error. An I/O error hides the error it was made of behind `source`.
fn next<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
}

fn name_one(error: &(dyn Error + 'static)) -> Option<Failure> {
    if error.is::<Unresolved>() {
        return Some(Failure::DnsError);
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(name_tls(error));
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return name_http(error);
    }
    let error = error.downcast_ref::<io::Error>()?;
    // One that wraps another error is only as telling as that one.
    error.get_ref().is_none().then(|| name_io(error.kind()))?
}

/// Whether the body of a client's request broke off: one of HTTP/2, or of an application, fails with an error of
/// hyper's.
pub(crate) fn is_torn(error: &(dyn Error + 'static)) -> bool {
    error.is::<Torn>() || error.is::<hyper::Error>()
}

/// What hyper calls the user's is what it was given to send; of that, only the body of the client's
/// request fails.
fn name_http(error: &hyper::Error) -> Option<Failure> {
    let is_body = error.is_user() && error.source().is_some_and(is_torn);
    match is_body {
        true => Some(Failure::HttpRequestError),
        false => error.is_parse().then_some(Failure::HttpProtocolError),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others are failures of the handshake")]
fn name_tls(error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::InvalidCertificate(_)
        | rustls::Error::NoCertificatesPresented
        | rustls::Error::InvalidCertRevocationList(_) => Failure::TlsCertificateError,
        _ => Failure::TlsProtocolError,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a foreign list that grows")]
fn name_io(kind: io::ErrorKind) -> Option<Failure> {
    match kind {
        io::ErrorKind::ConnectionRefused => Some(Failure::ConnectionRefused),
        io::ErrorKind::TimedOut => Some(Failure::ConnectionTimeout),
        io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::PermissionDenied => Some(Failure::DestinationUnavailable),
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => Some(Failure::ConnectionTerminated),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: impl Error + 'static, expected: Failure) {
        assert_eq!(name(&error), expected, "{error:?}");
    }

    #[test]
    fn causes_are_found_behind_wrappers() {
        let untrusted =
            || rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        check(io::Error::other(io::Error::other(untrusted())), Failure::TlsCertificateError);
        check(io::Error::other(rustls::Error::HandshakeNotComplete), Failure::TlsProtocolError);
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        check(Unresolved::new(refused), Failure::DnsError);
        check(io::Error::from(io::ErrorKind::ConnectionRefused), Failure::ConnectionRefused);
        check(io::Error::from(io::ErrorKind::HostUnreachable), Failure::DestinationUnavailable);
        check(io::Error::from_raw_os_error(110), Failure::ConnectionTimeout);
        check(io::Error::other("no more to tell"), Failure::ConnectionTerminated);
        let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(name_unsent(&cut), Failure::DestinationUnavailable);
    }

    #[test]
    fn what_happens_after_the_request_was_sent_never_says_that_it_was_not() {
        let raw = io::Error::from_raw_os_error;
        for error in [
            io::Error::other(rustls::Error::DecryptError),
            io::Error::other(rustls::Error::AlertReceived(rustls::AlertDescription::InternalError)),
            io::Error::other(rustls::Error::NoCertificatesPresented),
            io::Error::from(io::ErrorKind::ConnectionRefused),
            // ETIMEDOUT and EHOSTUNREACH.
            raw(110),
            raw(113),
        ] {
            assert_ne!(name(&error), Failure::ConnectionTerminated, "{error:?}");
            assert_eq!(name_sent(&error), Failure::ConnectionTerminated, "{error:?}");
        }
    }
}
