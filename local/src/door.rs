//! Where a request came in.

use http::request::Parts;
use splitway_core::problem::Problem;

use crate::options::ServeOptions;

/// The listener that took a request, and what it lets through of one that HTTP itself would.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door {
    /// The port that clients speak to.
    pub(crate) port: u16,
    /// Whether they speak TLS.
    pub(crate) is_secure: bool,
    headers_max: usize,
    uri_max: usize,
}

impl Door {
    /// That of the traffic at `port`.
    pub(crate) fn new(options: &ServeOptions, port: u16, is_secure: bool) -> Self {
        let size = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let clients = &options.clients;
        let (headers_max, uri_max) = (size(clients.max_headers), size(clients.max_uri));
        Self { port, is_secure, headers_max, uri_max }
    }

    /// That of the Admin API, which judges targets by itself.
    pub(crate) fn of_admin(port: u16) -> Self {
        Self { port, is_secure: false, headers_max: usize::MAX, uri_max: usize::MAX }
    }

    /// Why a request is not let through.
    pub(crate) fn fault(&self, head: &Parts) -> Option<Problem> {
        let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
        if target > self.uri_max {
            return Some(Problem::UriTooLong);
        }
        (head.headers.len() > self.headers_max).then_some(Problem::HeadTooLarge)
    }
}
