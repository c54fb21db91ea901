//! Why a server could not be asked, or did not do what it was asked for: one line each, and a hint.

use std::io;
use std::path::PathBuf;

use http::StatusCode;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use serde_json::Value;
use splitway_core::fault::Fault;
use splitway_core::problem::Failure;

use super::base::Base;
use super::key::VARIABLE;
use super::{ANSWER_MAX, Answer, CONNECT_MAX};
use crate::connect::TrustError;

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No key was given.
    #[error("there is no key to open the server with")]
    NoKey,
    /// The file of the key cannot be read.
    #[error("the key in {} cannot be read: {source}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What hinders.
        source: io::Error,
    },
    /// There is nothing where the key should be.
    #[error("the key of {place} is empty")]
    EmptyKey {
        /// The file or the variable.
        place: String,
    },
    /// No header can carry it.
    #[error("the key of {place} is none: it has more than one line, or control characters")]
    UnfitKey {
        /// The file or the variable.
        place: String,
    },
    /// The key would cross a network for everybody to read.
    #[error("the key is not sent to {0}: http to another machine can be read on the way")]
    PlainHttp(Base),
    /// No certificate could be verified.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The system gives no means to wait for a network.
    #[error("the system gives no runtime: {0}")]
    System(#[from] io::Error),
}

impl SetupError {
    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoKey | Self::EmptyKey { .. } | Self::UnfitKey { .. } => Some(give_a_key()),
            Self::PlainHttp(_) => {
                Some("use https://, or --allow-plain-http where that is wanted".to_owned())
            }
            Self::KeyFile { .. } | Self::Trust(_) | Self::System(_) => None,
        }
    }
}

/// Why a request was not answered, or not with success.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// What was asked for is not a request that HTTP knows.
    #[error("the request cannot be written as HTTP")]
    NoRequest,
    /// No answer came.
    #[error("no answer from {server}: {}", words(*why))]
    Connection {
        /// The server.
        server: Base,
        /// Why not.
        why: Failure,
        /// Whether the request was to change something.
        is_write: bool,
    },
    /// The time was up.
    #[error("no answer from {server} within {seconds} s")]
    Late {
        /// The server.
        server: Base,
        /// The time it had.
        seconds: u64,
        /// Whether the request was to change something.
        is_write: bool,
    },
    /// The answer has no end.
    #[error("the answer of {server} is larger than {} MiB", ANSWER_MAX >> 20)]
    TooLong {
        /// The server.
        server: Base,
    },
    /// 401.
    #[error("{server} does not take the key of {place}: {why}")]
    Key {
        /// The server.
        server: Base,
        /// The file or the variable that the key is from.
        place: String,
        /// What the server says.
        why: String,
    },
    /// 401 to a key that may read.
    #[error("the key of {place} is a viewer's, which may only read")]
    Viewer {
        /// The file or the variable that the key is from.
        place: String,
    },
    /// 403.
    #[error("{server} does not let this address in: {why}")]
    Address {
        /// The server.
        server: Base,
        /// What the server says.
        why: String,
    },
    /// What answers is something else.
    #[error("what {server} answers ({status}) is not Splitway's API")]
    Foreign {
        /// The server.
        server: Base,
        /// The status.
        status: StatusCode,
    },
    /// 429.
    #[error("{server} has had too many wrong keys{}", wait(after.as_deref()))]
    TooManyKeys {
        /// The server.
        server: Base,
        /// `Retry-After`.
        after: Option<String>,
    },
    /// 3xx.
    #[error("{server} answered {status} and points elsewhere, where the key is not sent")]
    Redirect {
        /// The server.
        server: Base,
        /// The status.
        status: StatusCode,
        /// Where it points to.
        location: Option<String>,
    },
    /// 412.
    #[error("somebody changed it since{}", now_at(*revision))]
    Changed {
        /// The revision that the server has.
        revision: Option<u64>,
    },
    /// 400 with the faults of a document.
    #[error("the document has faults")]
    Faults(Vec<Fault>),
    /// 503 or 507.
    #[error("{server} cannot do it: {why} ({status})")]
    Unavailable {
        /// The server.
        server: Base,
        /// The status.
        status: StatusCode,
        /// What the server says.
        why: String,
    },
    /// Whatever else the server says.
    #[error("{server} refuses: {why} ({status})")]
    Refused {
        /// The server.
        server: Base,
        /// The status.
        status: StatusCode,
        /// What the server says.
        why: String,
    },
}

impl ClientError {
    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Late { is_write: true, .. }
            | Self::Connection { is_write: true, why: Failure::ConnectionTerminated, .. } => {
                "it may have been done all the same: look before you try again"
            }
            Self::Connection { why, .. } => return advice(*why).map(str::to_owned),
            Self::Late { .. } => "--timeout SECONDS waits longer",
            Self::Key { .. } => return Some(give_a_key()),
            Self::Viewer { .. } => "this needs the key of an admin",
            Self::Address { .. } => {
                "--allow-admin of `splitway serve`, and SPLITWAY_ALLOW_ADMIN at the edge, name the \
                 addresses that are let in"
            }
            Self::Foreign { .. } => {
                "is this Splitway's Admin API, of a version that has it? It is not where traffic is \
                 taken, and at the edge the URL may need a prefix"
            }
            Self::TooManyKeys { .. } => "look first whether the key is the right one",
            Self::Redirect { location: Some(location), .. } => {
                return Some(format!("if the server is there, say so with --server: {location}"));
            }
            Self::Changed { .. } => "look with `splitway diff`",
            Self::Unavailable { .. } => "try again later, or see the server's log",
            Self::NoRequest
            | Self::TooLong { .. }
            | Self::Redirect { location: None, .. }
            | Self::Faults(_)
            | Self::Refused { .. } => return None,
        };
        Some(text.to_owned())
    }
}

/// Names what an answer without success says.
pub(super) fn of_answer(server: &Base, place: &str, answer: &Answer) -> ClientError {
    let problem = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let (server, place, status) = (server.clone(), place.to_owned(), answer.status);
    match status.as_u16() {
        300..=399 => ClientError::Redirect { server, status, location: header(answer, LOCATION) },
        400 if problem.get("errors").is_some() => ClientError::Faults(faults(&problem)),
        401 => match member(&problem, "description") {
            Some(why) if why.contains("role viewer") => ClientError::Viewer { place },
            why => {
                let why = why.unwrap_or_else(|| message(&problem, status));
                ClientError::Key { server, place, why }
            }
        },
        403 => ClientError::Address { server, why: message(&problem, status) },
        404 | 405 | 501 if !is_of_api(answer) => ClientError::Foreign { server, status },
        412 => ClientError::Changed { revision: problem.get("revision").and_then(Value::as_u64) },
        429 => ClientError::TooManyKeys { server, after: header(answer, RETRY_AFTER) },
        503 | 507 => ClientError::Unavailable { server, status, why: message(&problem, status) },
        _ => ClientError::Refused { server, status, why: message(&problem, status) },
    }
}

/// Whether a problem is the API's. Those of the traffic are alike, but say where they come from.
fn is_of_api(answer: &Answer) -> bool {
    let media = header(answer, CONTENT_TYPE).unwrap_or_default();
    media.starts_with("application/problem+json") && !answer.headers.contains_key("proxy-status")
}

fn faults(problem: &Value) -> Vec<Fault> {
    let errors = problem.get("errors").and_then(Value::as_array);
    let text = |error: &Value, name| member(error, name).unwrap_or_default();
    let fault = |error| Fault::new(text(error, "pointer"), text(error, "detail"));
    errors.into_iter().flatten().map(fault).collect()
}

/// What a problem says in words, else what its status means.
fn message(problem: &Value, status: StatusCode) -> String {
    let words = member(problem, "error_msg").or_else(|| member(problem, "title"));
    let words = words
        .unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason is given").to_owned());
    match member(problem, "detail") {
        Some(detail) => format!("{words}: {detail}"),
        None => words,
    }
}

fn member(object: &Value, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(plain)
}

fn header(answer: &Answer, name: http::HeaderName) -> Option<String> {
    let value = answer.headers.get(name)?.as_bytes();
    Some(plain(&String::from_utf8_lossy(value)))
}

/// A text of somebody else's with nothing in it that would steer a terminal.
pub fn plain(text: &str) -> String {
    let shown = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
}

fn give_a_key() -> String {
    format!("give the server's key in {VARIABLE}, or its file with --key-file")
}

fn wait(after: Option<&str>) -> String {
    match after {
        Some(after) if after.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("; try again in {after} s")
        }
        Some(after) => format!("; try again after {after}"),
        None => "; try again later".to_owned(),
    }
}

fn now_at(revision: Option<u64>) -> String {
    revision.map(|revision| format!(": it is now revision {revision}")).unwrap_or_default()
}

fn words(why: Failure) -> String {
    match why {
        Failure::ConnectionRefused => "the connection was refused".to_owned(),
        Failure::ConnectionTerminated => "the connection ended too early".to_owned(),
        Failure::ConnectionTimeout => {
            format!("no connection within {} s", CONNECT_MAX.as_secs())
        }
        Failure::DestinationUnavailable => "it cannot be reached".to_owned(),
        Failure::DnsError => "its name cannot be resolved".to_owned(),
        Failure::HttpProtocolError => "what came back is not HTTP".to_owned(),
        Failure::TlsCertificateError => "its certificate is not trusted for this name".to_owned(),
        Failure::TlsProtocolError => "TLS could not be agreed on".to_owned(),
        Failure::HttpRequestError | Failure::HttpResponseTimeout | Failure::RequestBodyTooLong => {
            why.token().to_owned()
        }
    }
}

fn advice(why: Failure) -> Option<&'static str> {
    match why {
        Failure::ConnectionRefused
        | Failure::ConnectionTimeout
        | Failure::DestinationUnavailable => Some(
            "is `splitway serve` running there? --server or SPLITWAY_SERVER names another place",
        ),
        Failure::DnsError => Some("--server or SPLITWAY_SERVER names another place"),
        Failure::HttpProtocolError => Some("is it https:// that is spoken there?"),
        Failure::TlsCertificateError => Some("--ca FILE trusts another authority"),
        Failure::TlsProtocolError => Some("is it http:// that is spoken there?"),
        Failure::ConnectionTerminated
        | Failure::HttpRequestError
        | Failure::HttpResponseTimeout
        | Failure::RequestBodyTooLong => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_does_not_steer_a_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\u{9b}é"), "a\\u{1b}[31mb\\u{9b}é");
    }
}
