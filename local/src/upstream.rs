//! One attempt: the request to a node, until the head of its response is there.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Version};
use http_body_util::{Either, Full};
use hyper::body::Body as _;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use splitway_core::exchange::Attempt;
use splitway_core::problem::Failure;

use crate::connect::{Connector, connector};
use crate::failure;
use crate::listen::ClientBody;
use crate::message::{has_unknown_coding, request_headers, request_uri, say_length};
use crate::platform::{Received, RequestHead};
use crate::resolve::Override;

/// How long a connection may wait for its next request, as in APISIX.
const IDLE: Duration = Duration::from_secs(60);

/// The body of a request: as it comes from the client, or bytes of our own.
pub(crate) type Upload = Either<ClientBody, Full<Bytes>>;

/// The connections of one thread to all upstreams.
#[derive(Clone, Debug)]
pub(crate) struct Upstreams {
    client: Client<Connector, Upload>,
}

impl Upstreams {
    pub(crate) fn new(tls: ClientConfig, overrides: Arc<[Override]>) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .set_host(false)
            // One copy of a small body costs less than a scattered write.
            .http1_writev(false)
            .build(connector(tls, overrides));
        Self { client }
    }

    /// Makes the attempt. Dropping the future cancels it: the connection is closed.
    pub(crate) async fn send(
        &self,
        attempt: &Attempt<'_>,
        head: &RequestHead,
        body: Upload,
    ) -> Result<Received, Failure> {
        // What a document may name and HTTP cannot is not to be had.
        let uri = request_uri(attempt).map_err(|_| Failure::DestinationUnavailable)?;
        let method = Method::from_bytes(attempt.method.as_bytes());
        let mut headers = request_headers(&head.parts().headers, attempt);
        if let Either::Right(bytes) = &body {
            say_length(&mut headers, bytes.size_hint().lower());
        }
        let mut request = Request::new(body);
        *request.method_mut() = method.map_err(|_| Failure::HttpRequestError)?;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        let response = self.client.request(request).await.map_err(|error| failure::name(&error))?;
        if has_unknown_coding(response.headers()) {
            return Err(Failure::HttpProtocolError);
        }
        Ok(Received(response))
    }
}
