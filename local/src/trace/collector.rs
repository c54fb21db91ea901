//! How spans get to the collector: protobuf over HTTP/1.1, from the thread that has the batches.

use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::client::connector::{Connector, connector};
use crate::connect::Trust;
use crate::telemetry::{Level, Log};

/// How long a batch may take on its way.
const BATCH_MAX: Duration = Duration::from_secs(10);

/// The most bytes of an answer that are read.
const ANSWER_MAX: usize = 64 * 1024;

/// What sends spans to the collector of this base URL.
pub(super) fn exporter(
    base: &Uri,
    trust: &Trust,
    log: Log,
) -> Result<SpanExporter, ExporterBuildError> {
    let endpoint = format!("{}/v1/traces", base.to_string().trim_end_matches('/'));
    let post = Post::new(trust, log)
        .map_err(|error| ExporterBuildError::InternalFailure(error.to_string()))?;
    SpanExporter::builder()
        .with_http()
        .with_http_client(post)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .build()
}

/// Sends one batch after the other, each on a connection of its own: they are seconds apart.
struct Post {
    http: Client<Connector, Full<Bytes>>,
    // Not dropped, which would wait for the look-up of a name even when nobody else does any more.
    runtime: ManuallyDrop<Runtime>,
    log: Log,
    /// Whether the last batch was lost, which was told.
    fails: AtomicBool,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").finish_non_exhaustive()
    }
}

impl Post {
    fn new(trust: &Trust, log: Log) -> std::io::Result<Self> {
        let http = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector(trust.config(), Arc::default()));
        let runtime = ManuallyDrop::new(Builder::new_current_thread().enable_all().build()?);
        Ok(Self { http, runtime, log, fails: AtomicBool::new(false) })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let response = self.http.request(request.map(Full::new)).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }

    /// Tells of the first batch that is lost, and of the first that is not.
    fn note(&self, answer: &Result<Response<Bytes>, HttpError>) {
        let fault = match answer {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("the collector answers {}", response.status())),
            Err(error) => Some(causes(&**error)),
        };
        let failed = self.fails.swap(fault.is_some(), Ordering::Relaxed);
        match fault {
            Some(detail) if !failed => {
                self.log.tell(Level::Error, "traces_not_sent", json!({"detail": detail}));
            }
            None if failed => self.log.tell(Level::Info, "traces_sent", json!({})),
            Some(_) | None => {}
        }
    }
}

fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl HttpClient for Post {
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            // The thread of the batches is there for nothing else, and has no runtime of its own.
            let answer = self.runtime.block_on(async {
                let sending = tokio::time::timeout(BATCH_MAX, self.send(request));
                sending.await.unwrap_or_else(|_| Err("it takes too long".into()))
            });
            self.note(&answer);
            answer
        })
    }
}
