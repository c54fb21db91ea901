//! What a client is told when Splitway answers by itself: one table from reason to response.
//!
//! The body is a problem document (RFC 9457) with a member `error_msg`, which clients written for
//! APISIX read; the header `Proxy-Status` (RFC 9209) carries the same reason for machines. What an
//! upstream answers is never rewritten into a problem.

use std::borrow::Cow;

use serde_json::json;

/// Why an attempt brought no response, by the error types of RFC 9209, section 2.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The node actively refused the connection.
    ConnectionRefused,
    /// The connection ended before a response head was complete.
    ConnectionTerminated,
    /// Connecting took longer than it may.
    ConnectionTimeout,
    /// The node cannot be reached.
    DestinationUnavailable,
    /// The name of the node could not be resolved.
    DnsError,
    /// What the node sent is not HTTP.
    HttpProtocolError,
    /// What the client sent broke off, or is not HTTP, while it was being forwarded.
    HttpRequestError,
    /// The response head took longer than it may.
    HttpResponseTimeout,
    /// What the client sent became longer than it may be, while it was being forwarded.
    RequestBodyTooLong,
    /// The certificate of the node is not trusted for its name.
    TlsCertificateError,
    /// The TLS handshake failed.
    TlsProtocolError,
}

impl Failure {
    /// The token of RFC 9209; also the label in logs and metrics.
    pub const fn token(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTerminated => "connection_terminated",
            Self::ConnectionTimeout => "connection_timeout",
            Self::DestinationUnavailable => "destination_unavailable",
            Self::DnsError => "dns_error",
            Self::HttpProtocolError => "http_protocol_error",
            Self::HttpRequestError | Self::RequestBodyTooLong => "http_request_error",
            Self::HttpResponseTimeout => "http_response_timeout",
            Self::TlsCertificateError => "tls_certificate_error",
            Self::TlsProtocolError => "tls_protocol_error",
        }
    }

    const fn is_timeout(self) -> bool {
        matches!(self, Self::ConnectionTimeout | Self::HttpResponseTimeout)
    }
}

/// Why Splitway answers by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The request is not sound HTTP, so it cannot be forwarded as the same message.
    BadRequest,
    /// The plugin `api-breaker` of the route lets nothing through.
    CircuitOpen,
    /// A guard does not let the request pass, whoever calls.
    Forbidden,
    /// The head of the request is larger than it may be, in bytes or in headers.
    HeadTooLarge,
    /// The keys that tokens are checked with could not be had.
    KeysUnknown,
    /// So many requests have passed that this one may not.
    Limited,
    /// What a limit has counted could not be asked for.
    LimitUnknown,
    /// The method is for proxies that Splitway is none of (CONNECT).
    MethodNotAllowed,
    /// There is no configuration to decide by.
    NoConfiguration,
    /// No route takes the request.
    NoRoute,
    /// Nobody knows who calls, and that has to be known.
    Unauthorized,
    /// The body of the request comes in a transfer coding that cannot be forwarded (RFC 9112,
    /// section 6.1).
    UnknownTransferCoding,
    /// The body of the request comes in a content coding, so that nothing can be changed in it.
    BodyEncoded,
    /// The body of the request is no JSON object, so that nothing can be changed in it.
    BodyNotJson,
    /// The body of the request is longer than it may be, or than what is read of one for a decision.
    BodyTooLarge,
    /// No rule of the route takes the request, and the route has no upstream of its own.
    NoUpstream,
    /// So many requests are under way that this one would have to wait for too long.
    Overloaded,
    /// The request did not come to its end in time.
    RequestTimeout,
    /// The upstream brought no response.
    Upstream(Failure),
    /// What the route names was deleted while the route still needed it.
    UpstreamGone,
    /// The target of the request is longer than it may be.
    UriTooLong,
}

/// When a client that was turned away for want of room may try again, in seconds.
const RETRY_AFTER: &str = "1";

impl Problem {
    /// The tokens that there are.
    pub(crate) const TOKENS: [&str; 14] = [
        Failure::ConnectionRefused.token(),
        Failure::ConnectionTerminated.token(),
        Failure::ConnectionTimeout.token(),
        Failure::DestinationUnavailable.token(),
        Failure::DnsError.token(),
        Failure::HttpProtocolError.token(),
        Failure::HttpRequestError.token(),
        Failure::HttpResponseTimeout.token(),
        Failure::TlsCertificateError.token(),
        Failure::TlsProtocolError.token(),
        Self::NoConfiguration.token(),
        Self::NoRoute.token(),
        Self::LimitUnknown.token(),
        Self::Overloaded.token(),
    ];

    /// The status of the response.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest | Self::BodyNotJson | Self::Upstream(Failure::HttpRequestError) => 400,
            Self::BodyEncoded => 415,
            Self::Forbidden => 403,
            Self::LimitUnknown => 500,
            Self::Unauthorized => 401,
            Self::BodyTooLarge | Self::Upstream(Failure::RequestBodyTooLong) => 413,
            Self::MethodNotAllowed => 405,
            Self::HeadTooLarge => 431,
            Self::CircuitOpen
            | Self::KeysUnknown
            | Self::Limited
            | Self::NoConfiguration
            | Self::NoUpstream
            | Self::Overloaded
            | Self::UpstreamGone => 503,
            Self::NoRoute => 404,
            Self::RequestTimeout => 408,
            Self::UnknownTransferCoding => 501,
            Self::Upstream(failure) if failure.is_timeout() => 504,
            Self::Upstream(_) => 502,
            Self::UriTooLong => 414,
        }
    }

    /// The error type of RFC 9209.
    pub const fn token(self) -> &'static str {
        match self {
            Self::BadRequest
            | Self::BodyEncoded
            | Self::BodyNotJson
            | Self::BodyTooLarge
            | Self::HeadTooLarge
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::UnknownTransferCoding
            | Self::UriTooLong => Failure::HttpRequestError.token(),
            Self::CircuitOpen => Failure::DestinationUnavailable.token(),
            Self::NoConfiguration | Self::NoUpstream | Self::UpstreamGone => {
                "proxy_configuration_error"
            }
            Self::NoRoute => "destination_not_found",
            Self::Forbidden | Self::Limited | Self::Overloaded | Self::Unauthorized => {
                "http_request_denied"
            }
            Self::KeysUnknown | Self::LimitUnknown => "proxy_internal_error",
            Self::Upstream(failure) => failure.token(),
        }
    }

    /// In words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is not sound HTTP",
            Self::BodyEncoded => "The content coding of the body is not known here",
            Self::BodyNotJson => "The body of the request is no JSON object",
            Self::BodyTooLarge | Self::Upstream(Failure::RequestBodyTooLong) => {
                "The body of the request is longer than this route takes"
            }
            Self::CircuitOpen => "The circuit breaker of this route is open",
            Self::Forbidden => "This request is not let through",
            Self::HeadTooLarge => "The head of the request is too large",
            Self::KeysUnknown => "The keys that tokens are checked with could not be had",
            Self::Limited => "Too many requests",
            Self::LimitUnknown => "How many requests may pass could not be found out",
            Self::Unauthorized => "Who calls could not be found out",
            Self::MethodNotAllowed => "This method is not for here",
            Self::NoConfiguration => "No configuration is loaded",
            Self::NoUpstream => "No rule of this route takes this request",
            Self::NoRoute => "No route takes this request",
            Self::Overloaded => "Too many requests are under way",
            Self::RequestTimeout => "The request did not come to its end in time",
            Self::UnknownTransferCoding => "The transfer coding of the body is not known here",
            Self::Upstream(Failure::HttpRequestError) => "The body of the request broke off",
            Self::Upstream(failure) if failure.is_timeout() => "The upstream took too long",
            Self::Upstream(_) => "The upstream could not be reached",
            Self::UpstreamGone => "The upstream of this route is gone",
            Self::UriTooLong => "The target of the request is too long",
        }
    }

    /// The text that APISIX gives in such a case, where it gives one.
    const fn error_msg(self) -> &'static str {
        match self {
            Self::NoRoute => "404 Route Not Found",
            Self::BadRequest
            | Self::BodyEncoded
            | Self::BodyNotJson
            | Self::BodyTooLarge
            | Self::CircuitOpen
            | Self::Forbidden
            | Self::HeadTooLarge
            | Self::KeysUnknown
            | Self::Limited
            | Self::LimitUnknown
            | Self::MethodNotAllowed
            | Self::NoConfiguration
            | Self::NoUpstream
            | Self::Overloaded
            | Self::RequestTimeout
            | Self::Unauthorized
            | Self::UnknownTransferCoding
            | Self::Upstream(_)
            | Self::UpstreamGone
            | Self::UriTooLong => self.title(),
        }
    }

    /// The response that tells it.
    pub fn answer(self) -> Answer {
        self.answer_with(self.status())
    }

    /// The same with another status.
    pub(crate) fn answer_with(self, status: u16) -> Answer {
        let body = json!({
            "type": format!("urn:splitway:problem:{}", self.token()),
            "title": self.title(),
            "status": status,
            "error_msg": self.error_msg(),
        });
        let mut headers = vec![
            ("content-type".into(), "application/problem+json".to_owned()),
            ("proxy-status".into(), format!("splitway; error={}", self.token())),
        ];
        if self == Self::Overloaded {
            headers.push(("retry-after".into(), RETRY_AFTER.to_owned()));
        }
        Answer { status, headers, body: body.to_string() }
    }
}

/// A whole response that Splitway gives by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case; the runtime adds `content-length`.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body; not sent in answer to HEAD.
    pub body: String,
}
