//! A client of Splitway's own API, for the commands that talk to a server: one request at a time, from
//! code that blocks.
//!
//! The key goes to the server of the base URL and nowhere else: redirects are not followed, no proxy
//! is asked, and over plain HTTP it leaves the machine only where somebody said that it may. It is
//! never part of a message.

pub mod api;
pub mod base;
pub(crate) mod connector;
pub mod error;
pub mod key;
pub mod options;

use std::error::Error;
use std::future::Future;
use std::io;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, ETAG, IF_MATCH, USER_AGENT};
use http::request::Builder;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::runtime::Runtime;
use tower_service::Service;

use crate::connect::Trust;
use crate::failure;

use api::Run;
use base::Base;
use connector::{Connector, connector};
use error::{ClientError, SetupError};
use key::Key;
use options::ClientOptions;

/// How long a connection may take: the name, TCP and TLS together.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The most bytes of an answer that are read: a list of changes has a document of up to 8 MiB twice,
/// and JSON may write a character in six bytes.
const ANSWER_MAX: usize = 128 << 20;

/// The header that carries the key.
const KEY_HEADER: &str = "x-api-key";

/// Talks to one server. It has no `Debug`, which would lead to the key.
pub struct Client {
    base: Base,
    key: Key,
    timeout: Duration,
    http: hyper_util::client::legacy::Client<InTime, Full<Bytes>>,
    // Not dropped, which would wait for the look-up of a name even when nobody else does any more.
    runtime: ManuallyDrop<Runtime>,
}

/// One request, with a path below the API's.
struct Question<'q> {
    method: Method,
    path: &'q str,
    if_match: Option<u64>,
    body: Option<&'q Value>,
}

/// What was answered.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    /// Gets ready; nothing is sent yet.
    pub fn new(options: &ClientOptions) -> Result<Self, SetupError> {
        let is_loopback = options.server.is_loopback(&options.resolve);
        if !options.server.is_https() && !is_loopback && !options.allow_plain_http {
            return Err(SetupError::PlainHttp(options.server.clone()));
        }
        let key = Key::find(options, is_loopback)?;
        let tls = Trust::new(options.ca.as_deref())?.config();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let timeout = Duration::from_secs(options.timeout.get());
        let overrides = Arc::from(options.resolve.as_slice());
        let connector =
            InTime { connector: connector(tls, overrides), limit: CONNECT_MAX.min(timeout) };
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            // Between two requests somebody may think for minutes; the server would not wait.
            .pool_max_idle_per_host(0)
            .build(connector);
        let runtime = ManuallyDrop::new(runtime);
        Ok(Self { base: options.server.clone(), key, timeout, http, runtime })
    }

    /// Asks, and waits for the whole answer. Whatever is not a success is an error.
    fn ask(&self, question: &Question<'_>) -> Result<Answer, ClientError> {
        let is_write = question.is_write();
        let request = self.request(question).map_err(|_| ClientError::NoRequest)?;
        let answer = self.runtime.block_on(async {
            let exchange = self.exchange(request, is_write);
            tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| {
                let (server, seconds) = (self.base.clone(), self.timeout.as_secs());
                Err(ClientError::Late { server, seconds, is_write })
            })
        })?;
        match answer.status.is_success() {
            true => Ok(answer),
            false => Err(error::of_answer(&self.base, self.key.place(), &answer)),
        }
    }

    fn request(&self, question: &Question<'_>) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Builder::new()
            .method(question.method.clone())
            .uri(self.base.join(question.path))
            .header(USER_AGENT, concat!("splitway/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json")
            .header(KEY_HEADER, self.key.header().clone());
        if let Some(revision) = question.if_match {
            request = request.header(IF_MATCH, format!("\"{revision}\""));
        }
        match question.body {
            Some(body) => {
                request.header(CONTENT_TYPE, "application/json").body(Full::from(body.to_string()))
            }
            None => request.body(Full::default()),
        }
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        is_write: bool,
    ) -> Result<Answer, ClientError> {
        let broken = |error: &(dyn Error + 'static)| {
            let (server, why) = (self.base.clone(), failure::name(error));
            ClientError::Connection { server, why, is_write }
        };
        let response = self.http.request(request).await.map_err(|error| broken(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => ClientError::TooLong { server: self.base.clone() },
            false => broken(&*error),
        })?;
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }
}

impl Question<'_> {
    /// Whether it is to change something.
    fn is_write(&self) -> bool {
        let only_asks = self.path == api::EXPLAIN || self.path.ends_with(Run::Dry.query());
        self.method != Method::GET && !only_asks
    }
}

impl Answer {
    /// The revision that `ETag` names, which something on the way may have called a weak one.
    fn revision(&self) -> Option<u64> {
        let tag = self.headers.get(ETAG)?.to_str().ok()?;
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
    }
}

/// Connections that are there in time, or not at all.
#[derive(Clone)]
struct InTime {
    connector: Connector,
    limit: Duration,
}

impl Service<Uri> for InTime {
    type Response = <Connector as Service<Uri>>::Response;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connection, limit) = (self.connector.call(uri), self.limit);
        Box::pin(async move {
            let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
            tokio::time::timeout(limit, connection).await.unwrap_or_else(late)
        })
    }
}
